"""Siting of PV plants and batteries: what a siting costs to evaluate, and a whole search.

evaluate  the energy that a day of 24 h loses with the devices of data/cases/siting.toml: SITINGS of
          them in one batch of adnlib.siting beside the cone optimum of each in CVXPY. off: largest
          relative difference of the two losses.
search    Tabu with the partition inside, from one random start, the steps of the case; CPU seconds
          of this process, in the note the best loss and the evaluations.
"""

import time

import numpy as np

from adnlib import partition, profiles, read_feeder, siting, tabu
from benchmarks import timing

SITINGS = 128
CONES = {"ieee33": 4, "ieee123": 2}  # sitings that the cone model is given, scaled up
SIZES = {"ieee33": (33, ""), "ieee123": (123, "_large")}
WANTED = {33: 60, 123: 180}
WANTED_RATIO = 100


def steps(small):
    if small:
        return [("33 buses, one evaluation", 2, lambda: evaluate("ieee33", True)),
                ("33 buses, three moves", 2, lambda: search("ieee33", 3))]  # fmt: skip
    out = []
    for name, weight in (("ieee33", 6), ("ieee123", 30)):
        out.append((f"{SIZES[name][0]} buses, evaluations", weight, lambda n=name: evaluate(n)))
        out.append((f"{SIZES[name][0]} buses, search", weight, lambda n=name: search(n)))
    return out


def prepared(name):
    """(case, study, table of partitions)."""
    first, case = profiles.read_case("first_day"), profiles.read_case("siting")
    given = {"region": first["day.region"], "pv": first["generation.pv_unit"]}
    day = profiles.resampled(profiles.rts_day(first["day.date"], **given), 1.0)
    study = siting.Study.of_case(read_feeder(name), case, day.load, day.pv.mean(axis=1))
    most = case["inner.degree"] ** case[f"{name}.hops"]
    at = partition.all_cuts(study.feeder, case["inner.n_areas"])
    return case, study, partition.for_study(study, at, most=most, least=case["inner.least"])


def evaluate(name, small=False):
    case, study, table = prepared(name)
    size = case[f"{name}.n_pv"], case[f"{name}.n_ess"]
    pv, ess = tabu.drawn(study, *size, np.random.default_rng(11), SITINGS, table.allows)
    few = 1 if small else CONES[name]
    fast = siting.losses(study, pv[:few], ess[:few])
    cone = np.array([siting.plan(study, a, b) for a, b in zip(pv[:few], ess[:few])])
    jobs = {
        "adnlib, all in one batch": lambda: siting.losses(study, pv, ess),
        "cone optimum by CVXPY, one by one": lambda: [
            siting.plan(study, a, b) for a, b in zip(pv[:few], ess[:few])
        ],
    }
    seconds = timing.alternate(jobs, 1 if small else 5)
    ours, other = jobs
    rows = timing.rows("siting_speed", SIZES[name][0], SITINGS, seconds, ours,
                       scale={other: SITINGS / few},
                       note=dict.fromkeys(jobs, "evaluations"))  # fmt: skip
    return [row | {"off": float(np.abs(fast / cone - 1).max())} for row in rows]


def search(name, most=None):
    buses, large = SIZES[name]
    start = time.process_time()
    case, study, table = prepared(name)
    size = case[f"{name}.n_pv"], case[f"{name}.n_ess"]
    first = tabu.drawn(study, *size, np.random.default_rng(11), 1, table.allows)
    options = case[f"search.steps{large}"] if most is None else most, case[f"search.width{large}"]
    found = tabu.tabu(study, *first, *options, case["search.tenure"], allowed=table.allows)
    spent = {"adnlib, Tabu": np.array([time.process_time() - start])}
    note = {"adnlib, Tabu": f"{found.loss:.5f} MWh in {found.evaluations} evaluations"}
    rows = timing.rows("siting_speed", buses, 1, spent, "adnlib, Tabu", note=note)
    return [row | {"off": np.nan} for row in rows]


def checks(rows):
    out = []
    for row in rows:
        if row["method"] == "adnlib, Tabu":
            limit = WANTED[row["size"]]
            out.append((f"search on {row['size']} buses: seconds", row["median_s"], f"<= {limit}",
                        row["median_s"] <= limit))  # fmt: skip
        elif row["ratio"] != 1:
            out.append((f"evaluation on {row['size']} buses: times faster", row["ratio"],
                        f">= {WANTED_RATIO}", row["ratio"] >= WANTED_RATIO))  # fmt: skip
            out.append((f"evaluation on {row['size']} buses: largest difference", row["off"],
                        "", True))  # fmt: skip
    return out
