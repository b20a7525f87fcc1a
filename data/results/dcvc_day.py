"""Rounds of cloud and edges over the whole day, both feeders (chapter 23); as dcvc_rounds.

In quarters with rounds.few scenarios, chapter 9's weights with Anderson's memory. positions:
continuous, or whole, which are then held: the nearest to the continuous ones (method 2), or, on 33
buses, those that each area finds for itself (method 4, neighbours without a cloud). hours: how
many; copies: shared quantities that the edges hold; cones: rows times branches.
"""

from pathlib import Path

import pandas as pd

from adnlib import interval, planning, profiles
from tools.sweeps import load

ROUNDS = load(Path(__file__).with_name("dcvc_rounds.py"))
DEPENDS = [*ROUNDS.DEPENDS, "data/cases/dcvc_study.toml", "data/results/dcvc_rounds.py"]
RTOL = 0.05  # of rounds
SIZES = {"dcvc33": "rounds.few", "dcvc123": "rounds.few_123"}


def positions(study, relaxed):
    """{(method, positions): held} of the runs."""
    runs = {(2, "continuous"): None, (2, "whole"): planning.rounded(study, relaxed)}
    if study.feeder.name == "ieee33":
        runs[4, "whole"] = planning.local_positions(study)
    return runs


def run():
    own, out = profiles.read_case("dcvc_study"), []
    for name, size in SIZES.items():
        case = profiles.read_case(name)
        study = ROUNDS.PLANS.study(case, n=own[size])
        for (method, kind), held in positions(study, planning.central(study)[0]).items():
            value = planning.central(study, held=held)[1]
            pair = planning.split(study, held=held, share=case["cost.cloud_share"],
                                  cloud=method == 2, memory=case["admm.memory"])  # fmt: skip
            row = {"feeder": study.feeder.name, "method": method, "positions": kind,
                   "scenarios": study.n_s, "hours": study.n_h, "central": value,
                   "copies": sum(len(e.labels) for e in pair.edges),
                   "cones": study.rows * study.feeder.n}  # fmt: skip
            out.append(row | ROUNDS.ran(pair, value, case))
            print(out[-1], flush=True)
    return pd.DataFrame(out)


def one_point():
    study = interval.fewer(interval.study_of(profiles.read_case("dcvc123")), 1)
    key = {"feeder": "ieee123", "method": 2, "positions": "continuous"}
    return key, {"central": planning.central(study)[1]}
