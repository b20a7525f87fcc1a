"""What the reduction of the scenarios changes in chapter 23's day, and the memory it takes.

A row is a size of the reduced set; the joint day is solved in a process of its own, so that
memory [MB] is the most that it held. promised: its value with positions continuous, which are then
rounded. planned_*: that plan in the exact flow of all representative scenarios: objective [MW,
summed over intervals], mean deviation [p.u.], mean loss [kW], share of pairs in the band [%].
full_*, some_*: the same over every trend.every-th interval (the first is number every / 2), full:
with set-points solved for all scenarios there, positions and batteries of the joint day held, some:
with those of the joint day; left: intervals in which no set-point found keeps the band.
"""

import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from adnlib import areacontrol, interval, planning, profiles
from tools import ROOT
from tools.sweeps import load

PLANS = load(Path(__file__).with_name("dcvc_plans123.py"))
DEPENDS = [
    *PLANS.DEPENDS,
    "data/cases/dcvc33.toml",
    "data/cases/dcvc_study.toml",
    "data/results/dcvc_plans123.py",
]
RTOL = 1e-3
OWN = profiles.read_case("dcvc_study")
SIZES = {"dcvc33": OWN["trend.few"], "dcvc123": OWN["trend.few_123"]}
ALONE = (
    "import json, pathlib; from tools.sweeps import load; "
    "print(json.dumps(load(pathlib.Path({!r})).one({!r}, {})))"
)


def judged(study, plan):
    """Objective, deviation, loss and share in the band of a plan in the exact flow."""
    flow = interval.replay(study, plan)
    mean = np.abs(flow.V - study.V_ref).mean(axis=-1) @ study.prob
    loss = (flow.p_loss @ study.prob).mean() + plan.lost.mean()
    inside = areacontrol.inside(flow, study.band) @ study.prob
    return {"objective": interval.objective(study, plan, flow)["total"],
            "deviation": float(mean.mean()), "loss": 1e3 * float(loss),
            "inside": 100 * float(inside.mean())}  # fmt: skip


def named(name, found):
    return {f"{name}_{k}": v for k, v in found.items()}


def sample(study, plan, times):
    """(Study, Plan) of some intervals, each by itself with its hour's positions."""
    hour = times // study.per_hour
    few = {k: getattr(plan, k)[times] for k in ("q", "b", "lost")}
    part = replace(study, load=study.load[times], pv=study.pv[times], per_hour=1)
    return part, replace(plan, tap=plan.tap[hour], bank=plan.bank[hour], **few)


def one(name, few):
    """A row: the joint day of few scenarios."""
    whole = interval.study_of(profiles.read_case(name))
    joint = interval.fewer(whole, few)
    relaxed, promised, _ = PLANS.central(joint)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    tap, bank = planning.rounded(joint, relaxed)
    plan = replace(relaxed, tap=tap, bank=bank)
    every = OWN["trend.every"]
    part, held = sample(whole, plan, np.arange(every // 2, whole.n_t, every))
    full, left = planning.refined(part, held)
    row = {"feeder": whole.feeder.name, "scenarios": few, "promised": promised, "memory": memory}
    row |= named("planned", judged(whole, plan)) | named("some", judged(part, held))
    return row | named("full", judged(part, full)) | {"left": len(left)}


def alone(name, few):
    """`one` in a process of its own."""
    script = Path(__file__).relative_to(ROOT).as_posix()
    done = subprocess.run([sys.executable, "-c", ALONE.format(script, name, few)], cwd=ROOT,
                          check=True, capture_output=True, text=True)  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def run():
    out = []
    for name, sizes in SIZES.items():
        for few in sizes:
            out.append(alone(name, few))
            print(out[-1], flush=True)
    return pd.DataFrame(out)


def one_point():
    whole = interval.study_of(profiles.read_case("dcvc33"))
    return {"feeder": "ieee33", "scenarios": 1}, {
        "promised": PLANS.central(interval.fewer(whole, 1))[1]
    }
