"""How far the whole positions of chapter 23's day are from the best: a bound, on both feeders.

The joint day of the dcvc paper's problem with few scenarios, taps and banks whole. relaxed: value
with positions continuous; held: with the nearest whole positions within all limits (`rounded`), the
rest solved again; value, bound, status, work: of the certified solver on the whole problem, within
bound.work (bound.work_123); four scenarios were stopped after minutes without an end.
gap_relaxed, gap: what `held` lies above the relaxed value and above the certified bound, over it;
moved: positions in which the two plans differ.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from adnlib import certified, planning, profiles
from tools.sweeps import load

PLANS = load(Path(__file__).with_name("dcvc_plans.py"))
DEPENDS = [
    *PLANS.DEPENDS,
    "data/cases/dcvc123.toml",
    "data/cases/dcvc_study.toml",
    "data/results/dcvc_plans.py",
]
RTOL = 1e-3
SIZES = {"dcvc33": ("bound.few", "bound.work"), "dcvc123": ("bound.few_123", "bound.work_123")}


def day(name, few):
    return PLANS.study(profiles.read_case(name), n=few)


def rounded(study):
    """(relaxed value, held value, (tap, bank))."""
    plan, relaxed = PLANS.central(study)
    held = planning.rounded(study, plan)
    return relaxed, PLANS.central(study, held=held)[1], held


def positions(study, problem):
    """(tap, bank) of a solved `planning.integer`: sums of its rungs."""
    whole = sorted((v for v in problem.variables() if v.attributes["boolean"]), key=lambda v: v.id)
    rungs = [v.value.sum(axis=1) for v in whole]
    tap = rungs[0] - study.devices.oltc[1]
    return np.round(tap), np.round(np.array(rungs[1:]).T.reshape(study.n_h, -1))


def bounded(study, gap, work):
    relaxed, held, at = rounded(study)
    problem = planning.integer(study)
    found = certified.solve(problem, gap=gap, work_limit=work)
    moved = sum(int((np.abs(a - b) > 0.5).sum()) for a, b in zip(at, positions(study, problem)))
    return {"relaxed": relaxed, "held": held, "value": found.value, "bound": found.bound,
            "status": found.status, "work": found.history[-1][1], "moved": moved,
            "gap_relaxed": (held - relaxed) / held, "gap": (held - found.bound) / held}  # fmt: skip


def run():
    own, out = profiles.read_case("dcvc_study"), []
    for name, (few, work) in SIZES.items():
        study = day(name, own[few])
        key = {"feeder": study.feeder.name, "scenarios": study.n_s}
        out.append(key | bounded(study, own["bound.gap"], own[work]))
        print(out[-1], flush=True)
    return pd.DataFrame(out)


def one_point():
    relaxed, held, _ = rounded(day("dcvc33", 1))
    return {"feeder": "ieee33", "scenarios": 1}, {"relaxed": relaxed, "held": held}
