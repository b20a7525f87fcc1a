"""What the choices behind dcvc's comparison do to it (chapter 23), on the days of both feeders.

A row is a choice changed alone, with k scenarios in the joint problem (base: choice scenarios,
k = 1): methods 2 and 3 planned centrally, positions rounded, the rest solved again, then replayed
in the exact flow of all representative scenarios. deviation: mean of
|V - 1| over buses, intervals and scenarios [p.u.]; loss: mean of lines and batteries [kW]; worst:
largest |V - 1|. relaxed, held: objectives of method 2 with positions continuous and whole, in the
exact flow of the whole set for `all`. k: scenarios of the joint problem; memory: of the process so
far [MB]. mapping: what stands for bus 118 and for the tap changer at bus 1.
"""

import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from adnlib import interval, planning, profiles, read_feeder
from tools.sweeps import load

PLANS = load(Path(__file__).with_name("dcvc_plans.py"))
DEPENDS = [*PLANS.DEPENDS, "data/cases/dcvc123.toml", "data/results/dcvc_plans.py"]
RTOL = 2e-3
CHANGES = {
    "weight of the deviation": ("cost.w_deviation", (0.3, 3.0)),
    "PV plants [MW]": ("pv.mw", (0.4, 0.7)),
    "peak load [p.u.]": ("day.peak", (0.8, 1.1)),
}
MAPPINGS = ("stated", "118 left out", "118 is 450", "no regulators")


def changed(case, key, value):
    entries = case.entries | {key: case.entries[key] | {"value": value}}
    return replace(case, entries=entries)


def judged(study, plan, name):
    flow = interval.replay(study, plan)
    off = np.abs(flow.V - study.V_ref)
    loss = (flow.p_loss @ study.prob).mean() + plan.lost.mean()
    return {f"deviation_{name}": (off.mean(axis=-1) @ study.prob).mean(),
            f"loss_{name}": 1e3 * loss * study.feeder.s_base_mva,
            f"worst_{name}": off.max()}  # fmt: skip


def whole_positions(study, plan):
    """Each position to the next whole one where that keeps all limits, else planning.rounded."""
    tap, bank = plan.positions
    limits = [study.devices.oltc[2:], *(b[2:] for b in study.devices.banks.values())]
    for column, (hourly, daily) in zip([tap, *bank.T], limits):
        moves = np.abs(np.diff(column))
        if moves.max() > hourly or moves.sum() > daily:
            return planning.rounded(study, plan)
    return tap, bank


def compared(study, common, few):
    """Methods 1, 2 and, with a common set, 3 on a study with all its scenarios."""
    out = judged(study, interval.nothing(study), "1")
    ways = ((2, study, {}), (3, common, PLANS.LOSS))
    for method, own, kw in ways[: 1 if common is None else 2]:
        joint = interval.fewer(own, few)
        plan, value, _ = planning.central(joint, **kw)
        held = whole_positions(joint, plan)
        whole, after, _ = planning.central(joint, held=held, **kw)
        whole = replace(whole, tap=held[0], bank=held[1])
        out |= judged(study, whole, str(method))
        if method == 2:
            out |= {"relaxed": value, "held": after,
                    "all": interval.objective(study, whole)["total"]}  # fmt: skip
    return out | {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def both(case, **given):
    return interval.study_of(case, **given), interval.study_of(case, common=True, **given)


def mapped(case, mapping):
    """Studies of the 123-bus feeder by what stands for bus 118 and for the regulators."""
    d, feeder = interval.Devices.of_case(case), None
    other = {"118 left out": None, "118 is 450": 450}
    if mapping in other:
        bank = d.banks[151]
        banks = {b: v for b, v in d.banks.items() if b != 151}
        d = replace(d, banks=banks | ({other[mapping]: bank} if other[mapping] else {}))
    if mapping == "no regulators":
        feeder = read_feeder("ieee119")
    return both(case, devices=d, feeder=feeder)


def run():
    case, out = profiles.read_case("dcvc33"), []
    few = case["scenarios.few"]

    def add(name, value, k, studies):
        key = {"feeder": studies[0].feeder.name, "choice": name, "value": value, "k": k}
        out.append(key | compared(*studies, k))
        print(out[-1], flush=True)

    for k in (1, 2, few):
        add("scenarios", str(k), k, both(case))
    for name, (key, values) in CHANGES.items():
        for value in values:
            add(name, str(value), 1, both(changed(case, key, value)))
    case = profiles.read_case("dcvc123")
    for mapping in MAPPINGS:
        add("mapping", mapping, 1, (mapped(case, mapping)[0], None))
    return pd.DataFrame(out)


def one_point():
    case = profiles.read_case("dcvc33")
    key = {"feeder": "ieee33", "choice": "scenarios", "k": 1}
    found = compared(*both(case), 1)
    return key, {k: found[k] for k in ("relaxed", "held", "deviation_2", "loss_3")}
