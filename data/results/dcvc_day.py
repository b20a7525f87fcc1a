"""Rounds of cloud and edges over a day, both feeders (chapter 23); as dcvc_rounds.

The whole day on 33 buses, the hours round noon on 123 (what time allowed), in quarters with
rounds.few scenarios, positions continuous, chapter 9's weights with Anderson's memory. hours: how
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
HOURS = {"dcvc33": (0, 24), "dcvc123": (8, 16)}


def stated(name, few):
    """(case, Split, centralised value) of the hours."""
    case = profiles.read_case(name)
    study = interval.fewer(interval.study_of(case), few).hours(*HOURS[name])
    central = planning.central(study)[1]
    pair = planning.split(study, share=case["cost.cloud_share"], memory=case["admm.memory"])
    return case, pair, central


def run():
    own, out = profiles.read_case("dcvc_study"), []
    for name, size in SIZES.items():
        case, pair, central = stated(name, own[size])
        study = pair.study
        row = {"feeder": study.feeder.name, "scenarios": study.n_s, "hours": study.n_h,
               "central": central, "copies": sum(len(e.labels) for e in pair.edges),
               "cones": study.rows * study.feeder.n}  # fmt: skip
        out.append(row | ROUNDS.ran(pair, central, case))
        print(out[-1], flush=True)
    return pd.DataFrame(out)


def one_point():
    study = interval.fewer(interval.study_of(profiles.read_case("dcvc33")), 1)
    key = {"feeder": "ieee33", "scenarios": 1}
    return key, {"central": planning.central(study)[1]}
