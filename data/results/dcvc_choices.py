"""What chapter 23's comparison of methods owes to its choices: one at a time, the whole day.

33 buses (choice, value): methods 2 and 3 planned in one piece with positions continuous for
tornado.few scenarios, judged by the exact flow of all representative ones. deviation_2,
deviation_3 [p.u.], loss_2, loss_3 [kW]: means over the day; excess, more: deviation and loss of
3 over those of 2, less 1 [%]. Method 3 prices a hundredth of the deviation: without any its optimum
is so flat that the solver stalls. choice none: as chosen. Empty: no plan keeps the band.

123 buses: mappings of what the paper names and the feeder has not; method 2 alone, *_1: no control.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from adnlib import interval, planning, profiles, read_feeder, solve
from tools.sweeps import load

TREND = load(Path(__file__).with_name("dcvc_trend.py"))
DEPENDS = [*TREND.DEPENDS, "data/cases/dcvc123.toml", "data/results/dcvc_trend.py"]
RTOL = 1e-3
LOSS = {"loss": 1.0, "deviation": 0.01}
KEYS = {
    "w_deviation": "cost.w_deviation",
    "pv_mw": "pv.mw",
    "peak": "day.peak",
    "s_per_mw": "pv.s_per_mw",
    "mwh": "storage.mwh",
    "efficiency": "storage.efficiency",
    "taps": "oltc.n",
    "step_mvar": "bank.step_mvar",
    "V_ref": "feeder.V_ref",
    "few_scenarios": "scenarios.few",
    "date": "day.date",
}
MAPPINGS = ("as chosen", "118 left out", "118 is 114", "118 is 300", "118 is 450",
            "regulator kept beside", "other regulators off")  # fmt: skip
OWN = profiles.read_case("dcvc_study")


def other(case, key=None, value=None):
    """The case with one value changed."""
    if key is None:
        return case
    return replace(case, entries=case.entries | {key: case.entries[key] | {"value": value}})


def compared(case, few):
    """Row of methods 2 and 3 on the whole day."""
    out = {}
    for method, kw in ((2, {}), (3, LOSS)):
        joint = interval.fewer(interval.study_of(case, common=method == 3), few)
        plan = TREND.PLANS.central(joint, **kw)[0]
        found = TREND.judged(interval.study_of(case), plan)
        out |= {f"{k}_{method}": found[k] for k in ("deviation", "loss", "inside")}
    ratio = lambda k: 100 * (out[f"{k}_3"] / out[f"{k}_2"] - 1)  # noqa: E731
    return out | {"excess": ratio("deviation"), "more": ratio("loss")}


def mapped(case, name):
    """Study of the 123 buses by what stands for bus 118, and for the regulators."""
    d = interval.Devices.of_case(case)
    bank, others = d.banks[151], {b: v for b, v in d.banks.items() if b != 151}
    if name == "118 left out":
        d = replace(d, banks=others)
    elif name.startswith("118 is"):
        d = replace(d, banks=others | {int(name.split()[-1]): bank})
    feeder = interval.feeder_of(case)
    if name == "regulator kept beside":
        feeder = read_feeder(case["feeder.name"])
    if name == "other regulators off":
        feeder = replace(feeder, ratio=np.ones(feeder.n))
    return interval.study_of(case, feeder, d)


def mapping(case, name):
    whole = mapped(case, name)
    few = interval.fewer(whole, OWN["tornado.few_123"])
    try:
        plan = TREND.PLANS.central(few)[0]
    except solve.SolveError:  # stalled: other tolerances
        plan = planning.central(few)[0]
    both = {1: interval.nothing(whole), 2: plan}
    found = {m: TREND.judged(whole, p) for m, p in both.items()}
    return {f"{k}_{m}": found[m][k] for m in both for k in ("deviation", "loss", "inside")}


def run():
    case, large = profiles.read_case("dcvc33"), profiles.read_case("dcvc123")
    todo = [("none", "", None, None)]
    todo += [(n, v, key, v) for n, key in KEYS.items() for v in OWN[f"tornado.{n}"]]
    out = []
    for name, shown, key, value in todo:
        few = value if key == "scenarios.few" else OWN["tornado.few"]
        row = {"feeder": "ieee33", "choice": name, "value": str(shown)}
        try:
            out.append(row | compared(other(case, key, value), few))
        except solve.SolveError as error:
            print(row, error)
            out.append(row)
        print(out[-1], flush=True)
    for name in MAPPINGS:
        row = {"feeder": "ieee123", "choice": "mapping", "value": name}
        out.append(row | mapping(large, name))
        print(out[-1], flush=True)
    return pd.DataFrame(out)


def one_point():
    key = {"feeder": "ieee33", "choice": "peak", "value": "0.8"}
    row = compared(other(profiles.read_case("dcvc33"), "day.peak", 0.8), OWN["tornado.few"])
    return key, {k: row[k] for k in ("deviation_2", "loss_2")}
