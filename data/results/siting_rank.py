"""The fast loss beside the cone optimum on sitings of ieee33 (chapter 11).

kind     random: drawn; near: moves away from the best siting of data/results/siting.csv that any
         run found with areas
fast_mwh loss by the exact flow under the quadratic dispatch; cone_mwh the cone-relaxed optimum
"""

import numpy as np
import pandas as pd

from adnlib import profiles, read_feeder, siting, tabu
from adnlib.feeder import DATA

DEPENDS = [
    "adnlib/branchflow.py",
    "adnlib/feeder.py",
    "adnlib/powerflow.py",
    "adnlib/profiles.py",
    "adnlib/siting.py",
    "adnlib/solve.py",
    "adnlib/tables.py",
    "adnlib/tabu.py",
    "adnlib/tree.py",
    "data/cases/first_day.toml",
    "data/cases/siting.toml",
    "data/feeders/ieee33",
    "data/profiles",
    "data/results/siting.csv",
]
RTOL = 1e-4


def prepared():
    """(study, best siting) of ieee33."""
    first, case = profiles.read_case("first_day"), profiles.read_case("siting")
    given = {"region": first["day.region"], "pv": first["generation.pv_unit"]}
    day = profiles.resampled(profiles.rts_day(first["day.date"], **given), 1.0)
    feeder = read_feeder("ieee33")
    study = siting.Study.of_case(feeder, case, day.load, day.pv.mean(axis=1))
    runs = pd.read_csv(DATA / "results" / "siting.csv")
    runs = runs[(runs["feeder"] == "ieee33") & runs["inner"] & (runs["floor"] == 0)]
    best = runs.loc[runs["loss_mwh"].idxmin()]
    at = lambda text: np.array([feeder.index(int(b)) for b in text.split()])  # noqa: E731
    return study, (at(best["pv"]), at(best["ess"]))


def sample(study, best, case):
    """{kind: (pv, ess)}."""
    rng = np.random.default_rng(11)
    size = case["ieee33.n_pv"], case["ieee33.n_ess"]
    pv, ess, *_ = tabu.moves(study, *best)
    near = np.sort(rng.permutation(len(pv))[: case["rank.n_near"]])
    random = tabu.drawn(study, *size, rng, case["rank.n_random"])
    return {"random": random, "near": (pv[near], ess[near])}


def run():
    case, rows = profiles.read_case("siting"), []
    study, best = prepared()
    for kind, (pv, ess) in sample(study, best, case).items():
        fast = siting.losses(study, pv, ess)
        for k, (a, b) in enumerate(zip(pv, ess)):
            found = {"fast_mwh": fast[k], "cone_mwh": siting.plan(study, a, b)}
            rows.append({"kind": kind, "number": k, **found})
    return pd.DataFrame(rows)


def one_point():
    study, best = prepared()
    pv, ess = sample(study, best, profiles.read_case("siting"))["near"]
    key = {"kind": "near", "number": 3}
    return key, {"fast_mwh": siting.losses(study, pv[3], ess[3])[0],
                 "cone_mwh": siting.plan(study, pv[3], ess[3])}  # fmt: skip
