"""Plans of the day by the methods of the dcvc paper, 123 buses (chapter 23); as dcvc_plans.

The day is planned in one piece here, also where the method is one of rounds: dcvc_rounds has the
rounds of its noon hour, dcvc_day those of a day. Set-points of methods 2 and 4 are solved again for
the whole set in the hours in which the band is left in one of its scenarios; hours: how many.
Methods 3 and 5 keep those of their joint problem.
"""

import resource
from dataclasses import replace
from pathlib import Path

import cvxpy as cp
import numpy as np
import pandas as pd

from adnlib import areacontrol, areas, interval, planning, profiles, solve
from tools.sweeps import load

PLANS = load(Path(__file__).with_name("dcvc_plans.py"))
CASE = "dcvc123"
LOSS = {"loss": 1.0, "deviation": 1e-3}  # a little of the deviation, or the optimum is flat
CLOSE = tuple({"tol_gap_abs": a, "tol_gap_rel": a} for a in (1e-7, 1e-5, 1e-4))  # of 5 MW
DEPENDS = [
    *(a for a in PLANS.DEPENDS if a != "data/cases/dcvc33.toml"),
    "adnlib/consensus.py",
    "adnlib/leader.py",
    "adnlib/linflow.py",
    "adnlib/metropolis.py",
    "adnlib/areacontrol.py",
    "data/cases/dcvc123.toml",
    "data/results/dcvc_plans.py",
]
RTOL = PLANS.RTOL


def refined(many, plan, **kw):
    """(Plan, hours solved again, intervals left): in hours in which the band is left, as there."""
    out = ~areacontrol.inside(interval.replay(many, plan), many.band)
    q, found, left = plan.q.copy(), np.flatnonzero(out.any(axis=1).reshape(many.n_h, -1).any(1)), 0
    for h in found:
        t = slice(h * many.per_hour, (h + 1) * many.per_hour)
        part = {"tap": plan.tap[[h]], "bank": plan.bank[[h]], "b": plan.b[t], "lost": plan.lost[t]}
        one, bad = planning.refined(many.hours(h, h + 1), replace(plan, q=q[t], **part), **kw)
        q[t], left = one.q, left + len(bad)
    return replace(plan, q=q), len(found), left


def central(study, held=None, **kw):
    """planning.central, to a wider gap where the solver stalls."""
    (piece,) = areas.cut(study.feeder, [])
    part = planning.state(study, piece, held=held)
    problem = cp.Problem(cp.Minimize(planning.cost(study, part, **kw)), part.constraints)
    value = solve.solve(problem, retries=CLOSE)
    return planning.plan_of(study, [part], held), value, part


def planned(case, method, study):
    kw, told = {3: LOSS, 5: {"worst": True}}.get(method, {}), {}
    if method == 4:
        held = planning.local_positions(study)
    else:
        relaxed, told["relaxed"], _ = central(study, **kw)
        held = planning.rounded(study, relaxed)
    plan, told["held"], _ = central(study, held=held, **kw)
    plan = replace(plan, tap=held[0], bank=held[1])
    if method in (2, 4):
        many = PLANS.larger(case, method)
        plan, told["hours"], told["left"] = refined(many, plan, **kw)
        told |= {"refined": interval.objective(many, plan)["total"]}
    told["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return plan, told


def run():
    case, out = profiles.read_case(CASE), []
    for method, study in PLANS.sets(case).items():
        plan, told = planned(case, method, study)
        key = {"feeder": study.feeder.name, "method": method}
        out += PLANS.rows(study, plan, key)
        out += [key | {"what": "value", "device": k, "k": 0, "value": float(v)}
                for k, v in told.items()]  # fmt: skip
        print(CASE, method, told, flush=True)
    return pd.DataFrame(out)


def one_point():
    case = profiles.read_case(CASE)
    value = central(PLANS.sets(case)[2])[1]
    key = {"feeder": "ieee123", "method": 2, "what": "value", "device": "relaxed"}
    return key, {"value": value}
