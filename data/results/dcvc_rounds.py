"""Rounds of cloud and edges in the noon hour, both feeders (chapter 23).

The hour from 12:00 in four intervals with scenarios.few scenarios, positions continuous. A row is a
run: way plain (one penalty rho for all copies), weighted (chapter 9's rule) or accelerated (with
Anderson's memory); method 2 (cloud and edges), 4 (neighbours without a cloud, positions whole) or
5 (worst corner). first_*: rounds until both residuals were at most so many p.u.; off_*, priced_*:
cost of that round over the centralised one, less 1, without and with the price of disagreement.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from adnlib import planning, profiles
from tools.sweeps import load

PLANS = load(Path(__file__).with_name("dcvc_plans.py"))
DEPENDS = [*PLANS.DEPENDS, "data/cases/dcvc123.toml", "data/results/dcvc_plans.py"]
RTOL = 0.05  # of rounds
CASES = ("dcvc33", "dcvc123")
HOUR = 12


def stated(case, method):
    """(Split, centralised value) of the hour."""
    study = PLANS.study(case, method, case["scenarios.few"]).hours(HOUR, HOUR + 1)
    kw = {"worst": True} if method == 5 else {}
    held = planning.local_positions(study) if method == 4 else None
    central = planning.central(study, held=held, **kw)[1]
    pair = planning.split(study, held=held, share=case["cost.cloud_share"], cloud=method != 4,
                          memory=case["admm.memory"], **kw)  # fmt: skip
    return pair, central


def ran(pair, central, case, **options):
    limit = {"tol": min(case["admm.tolerances"]), "max_iter": case["admm.most"]}
    log = pair.run(**limit | options)[0].history
    off, out = np.maximum(log["primal"], log["dual"]), {}
    for tol in case["admm.tolerances"]:
        hit = np.flatnonzero(off <= tol)
        k = int(hit[0]) if len(hit) else None
        out[f"first_{tol:g}"] = np.nan if k is None else k + 1
        for name, column in (("off", "cost"), ("priced", "priced")):
            out[f"{name}_{tol:g}"] = np.nan if k is None else log[column][k] / central - 1
    return out


def run():
    out = []
    for name in CASES:
        case = profiles.read_case(name)
        for method in (2, 4, 5):
            pair, central = stated(case, method)
            key = {"feeder": pair.study.feeder.name, "method": method}
            ways = {("accelerated", 1.0): {}, ("weighted", 1.0): {"memory": 0}}
            if method == 2:
                ways |= {("plain", r): {"memory": 0, "scale": None, "rho": r}
                         for r in case["admm.rho"]}  # fmt: skip
            for (way, rho), options in ways.items():
                found = ran(pair, central, case, **options)
                out.append(key | {"way": way, "rho": rho, "central": central} | found)
                print(out[-1], flush=True)
    return pd.DataFrame(out)


def one_point():
    case = profiles.read_case("dcvc33")
    found = ran(*stated(case, 2), case)
    key = {"feeder": "ieee33", "method": 2, "way": "accelerated"}
    return key, {"first_0.001": found["first_0.001"]}
