"""Sitings on two feeders: Tabu, plain descents, random search; with and without areas (chapter 11).

inner       whether a partition into three areas has to be left (dcvc, Equations 2 to 5)
floor       control ability demanded of the best partition (0: none)
method      tabu; descents and random get at least the evaluations of the Tabu run of that seed
loss_mwh    energy lost in the day; at: evaluations until then; ability, cuts of the best partition
"""

import numpy as np
import pandas as pd

from adnlib import partition, profiles, read_feeder, siting, tabu

DEPENDS = [
    "adnlib/branchflow.py",
    "adnlib/feeder.py",
    "adnlib/linflow.py",
    "adnlib/partition.py",
    "adnlib/powerflow.py",
    "adnlib/profiles.py",
    "adnlib/siting.py",
    "adnlib/solve.py",
    "adnlib/tables.py",
    "adnlib/tabu.py",
    "adnlib/tree.py",
    "data/cases/first_day.toml",
    "data/cases/siting.toml",
    "data/feeders/ieee123",
    "data/feeders/ieee33",
    "data/profiles",
]
RTOL = 1e-4  # another processor may break a tie the other way
SIZE = {"ieee33": "", "ieee123": "_large"}


def day():
    """(load, pv) of the day, hourly, in p.u. of nominal and rated."""
    first = profiles.read_case("first_day")
    given = {"region": first["day.region"], "pv": first["generation.pv_unit"]}
    hourly = profiles.resampled(profiles.rts_day(first["day.date"], **given), 1.0)
    return hourly.load, hourly.pv.mean(axis=1)


def prepared(name, case):
    """(study, table of partitions) of a feeder."""
    feeder = read_feeder(name)
    study = siting.Study.of_case(feeder, case, *day())
    most = case["inner.degree"] ** case[f"{name}.hops"]
    at = partition.all_cuts(feeder, case["inner.n_areas"])
    return study, partition.for_study(study, at, most=most, least=case["inner.least"])


def one_run(name, case, study, allowed, seed):
    """A Tabu run from a random start, and the generator that drew it."""
    rng = np.random.default_rng([11, seed])
    start = tabu.drawn(study, case[f"{name}.n_pv"], case[f"{name}.n_ess"], rng, 1, allowed)
    steps, width = (case[f"search.{k}{SIZE[name]}"] for k in ("steps", "width"))
    return tabu.tabu(study, *start, steps, width, case["search.tenure"], allowed=allowed), rng


def row(name, method, seed, found, table, inner, floor=0.0):
    labels = read_feeder(name).buses
    say = lambda at: " ".join(str(labels[j]) for j in at)  # noqa: E731
    ability, which = table.best(found.pv, found.ess)
    known = np.isfinite(ability[0])
    return {
        "feeder": name, "inner": inner, "floor": floor, "method": method, "seed": seed,
        "loss_mwh": found.loss, "evaluations": found.evaluations,
        "at": next(e for e, loss in found.history if loss <= found.loss),
        "ability": ability[0] if known else np.nan,
        "cuts": say(table.at[which[0]]) if known else "", "pv": say(found.pv),
        "ess": say(found.ess),
    }  # fmt: skip


def compared(name, case, study, table, seed):
    """Three methods from one seed at equal evaluations, and Tabu without areas."""
    found, rng = one_run(name, case, study, table.allows, seed)
    count = case[f"{name}.n_pv"], case[f"{name}.n_ess"], found.evaluations
    width = case[f"search.width{SIZE[name]}"]
    others = {
        "descents": tabu.restarts(study, *count, rng, width, table.allows),
        "random": tabu.random_search(study, *count, rng, table.allows),
    }
    rows = [row(name, m, seed, f, table, True) for m, f in {"tabu": found, **others}.items()]
    free, _ = one_run(name, case, study, None, seed)
    return [*rows, row(name, "tabu", seed, free, table, False)]


def lifted(study, table, pv, ess, floor):
    """A siting with at least that ability, by moves that raise it most; None where they end."""
    pv, ess, now = pv[0], ess[0], table.best(pv, ess)[0][0]
    while now < floor:
        new_pv, new_ess, *_ = tabu.moves(study, pv, ess)
        value = table.best(new_pv, new_ess)[0]
        if value.max() <= now:
            return None
        pv, ess, now = new_pv[value.argmax()], new_ess[value.argmax()], value.max()
    return pv, ess


def floors(name, case, study, table):
    """Tabu with a floor on the control ability: the best of several starts each."""
    options = case["search.steps"], case["search.width"], case["search.tenure"]
    for floor in case["search.floors"]:
        allowed = lambda pv, ess, floor=floor: table.allows(pv, ess, floor)  # noqa: E731
        runs = []
        for seed in range(case["search.floor_seeds"]):
            rng = np.random.default_rng([11, seed])
            any_ = tabu.drawn(study, case[f"{name}.n_pv"], case[f"{name}.n_ess"], rng, 1,
                              table.allows)  # fmt: skip
            if start := lifted(study, table, *any_, floor):
                runs.append(tabu.tabu(study, *start, *options, allowed=allowed))
        if runs:
            best = min(runs, key=lambda found: found.loss)
            yield row(name, "tabu", runs.index(best), best, table, True, floor)


def run():
    case, rows = profiles.read_case("siting"), []
    for name in SIZE:
        study, table = prepared(name, case)
        for seed in range(case[f"search.seeds{SIZE[name]}"]):
            rows += compared(name, case, study, table, seed)
            print(
                name, seed, *(f"{r['method']} {r['loss_mwh']:.5f}" for r in rows[-4:]), flush=True
            )
        if name == "ieee33":
            rows += floors(name, case, study, table)
    return pd.DataFrame(rows)


def one_point():
    case = profiles.read_case("siting")
    study, table = prepared("ieee33", case)
    found, _ = one_run("ieee33", case, study, table.allows, 0)
    key = {"feeder": "ieee33", "inner": True, "floor": 0.0, "method": "tabu", "seed": 0}
    return key, {"loss_mwh": found.loss}
