"""What the reduction of the scenarios changes in chapter 23's day, and the memory it takes.

A row is a size of the reduced set on 33 buses, the last the whole set. promised: value of the joint
day with positions continuous; held: with the nearest whole ones; memory [MB] that its process held
for the first. Then the plan in the exact flow of all representative scenarios, with the set-points
of the joint day: objective [MW, summed over intervals], mean deviation [p.u.], mean loss [kW],
share of pairs in the band [%].
"""

from pathlib import Path

import numpy as np
import pandas as pd

from adnlib import areacontrol, interval, profiles
from tools.sweeps import alone, load

PLANS = load(Path(__file__).with_name("dcvc_plans.py"))
DEPENDS = [
    *PLANS.DEPENDS,
    "adnlib/areacontrol.py",
    "adnlib/consensus.py",
    "adnlib/leader.py",
    "adnlib/linflow.py",
    "adnlib/metropolis.py",
    "data/cases/dcvc_study.toml",
    "data/results/dcvc_plans.py",
]
RTOL = 1e-3
CASE = "dcvc33"
OWN = profiles.read_case("dcvc_study")


def judged(study, plan):
    """Objective, deviation, loss and share in the band of a plan in the exact flow."""
    flow = interval.replay(study, plan)
    mean = np.abs(flow.V - study.V_ref).mean(axis=-1) @ study.prob
    loss = (flow.p_loss @ study.prob).mean() + plan.lost.mean()
    inside = areacontrol.inside(flow, study.band) @ study.prob
    return {"objective": interval.objective(study, plan, flow)["total"],
            "deviation": float(mean.mean()), "loss": 1e3 * float(loss),
            "inside": 100 * float(inside.mean())}  # fmt: skip


def one(name, few):
    """A row: the joint day of few scenarios."""
    case = profiles.read_case(name)
    whole, (plan, told) = PLANS.study(case), PLANS.planned(case, 2, few)
    row = {"feeder": whole.feeder.name, "scenarios": few, "promised": told["relaxed"]}
    return row | {k: told[k] for k in ("held", "memory")} | judged(whole, plan)


def table(name, sizes):
    out = []
    for few in sizes:
        out.append(alone(__file__, "one", name, few))
        print(out[-1], flush=True)
    return pd.DataFrame(out)


def run():
    return table(CASE, OWN["trend.few"])


def one_point(name=CASE):
    few = PLANS.study(profiles.read_case(name), n=1)
    return {"feeder": few.feeder.name, "scenarios": 1}, {"promised": PLANS.central(few)[1]}
