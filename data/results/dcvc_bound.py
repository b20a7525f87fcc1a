"""How far the whole positions of chapter 23's day are from the best: a bound, on both feeders.

The joint day of the dcvc paper's problem with few scenarios, taps and banks whole. relaxed: value
with positions continuous; held: with the nearest whole positions within all limits (`rounded`), the
rest solved again; value, bound, status, work: of the certified solver on the whole problem, within
bound.work (bound.work_123) over the number of scenarios, since a unit of work takes as much longer.
DONE: how many of the sizes in bound.few; the second was stopped after minutes without an end.
gap_relaxed, gap: what `held` lies above the relaxed value and above the certified bound, over it;
moved: positions in which the two plans differ.
"""

import numpy as np
import pandas as pd

from adnlib import certified, interval, planning, profiles

DEPENDS = [
    "adnlib/admm.py",
    "adnlib/anderson.py",
    "adnlib/areas.py",
    "adnlib/blocks.py",
    "adnlib/branchflow.py",
    "adnlib/certified.py",
    "adnlib/conic.py",
    "adnlib/feeder.py",
    "adnlib/interval.py",
    "adnlib/outer.py",
    "adnlib/patterns.py",
    "adnlib/planning.py",
    "adnlib/powerflow.py",
    "adnlib/profiles.py",
    "adnlib/scenarios.py",
    "adnlib/search.py",
    "adnlib/solve.py",
    "adnlib/subproblem.py",
    "adnlib/tables.py",
    "adnlib/tree.py",
    "adnlib/wiring.py",
    "data/cases/dcvc123.toml",
    "data/cases/dcvc33.toml",
    "data/cases/dcvc_study.toml",
    "data/feeders",
    "data/profiles/rts_load_5min.csv.gz",
    "data/profiles/rts_pv_5min.csv.gz",
    "data/profiles/rts_units.csv",
    "data/profiles/rts_wind_5min.csv.gz",
]
RTOL = 1e-3
DONE = 1


def day(name, few):
    return interval.fewer(interval.study_of(profiles.read_case(name)), few)


def rounded(study):
    """(relaxed value, held value, (tap, bank))."""
    plan, relaxed, _ = planning.central(study)
    held = planning.rounded(study, plan)
    return relaxed, planning.central(study, held=held)[1], held


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


def table(name, sizes, work):
    own, out = profiles.read_case("dcvc_study"), []
    for few in own[sizes][:DONE]:
        study = day(name, few)
        key = {"feeder": study.feeder.name, "scenarios": few}
        out.append(key | bounded(study, own["bound.gap"], own[work] // few))
        print(out[-1], flush=True)
    return pd.DataFrame(out)


def run():
    both = (("dcvc33", "bound.few", "bound.work"), ("dcvc123", "bound.few_123", "bound.work_123"))
    return pd.concat([table(*each) for each in both], ignore_index=True)


def one_point():
    relaxed, held, _ = rounded(day("dcvc33", 1))
    return {"feeder": "ieee33", "scenarios": 1}, {"relaxed": relaxed, "held": held}
