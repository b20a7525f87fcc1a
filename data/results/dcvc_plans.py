"""Plans of the day by the methods of the dcvc paper, 33 buses (chapter 23).

A row is a number of a plan: what tap (device root), bank, q (inverter), b (battery) [p.u.] or lost
(of all batteries), at the hour or interval k. Rows with what = value tell of the run by name (in
device): relaxed, the value of the joint problem with positions continuous; held, with them whole;
before, the objective of this plan in the exact flow of the whole set; refined, the same with
set-points solved for the whole set in every interval; left, intervals in which no set-point keeps
the band in all of its scenarios; memory [MB] with which the joint problem was first solved, in a
process of its own.

Method 2: cloud and edges, the subnetworks' own scenarios. 3: the centre, loss alone, one set of
scenarios for the whole feeder. 4: neighbours, positions by each area for itself. 5: the worst of
the corners of a box, whose joint problem is all there is. The day is planned in one piece, for
scenarios.joint scenarios; dcvc_rounds and dcvc_day tell how rounds arrive there.
"""

import resource
from dataclasses import replace

import numpy as np
import pandas as pd

from adnlib import interval, planning, profiles
from tools.sweeps import alone

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
    "data/cases/dcvc33.toml",
    "data/feeders",
    "data/profiles/rts_load_5min.csv.gz",
    "data/profiles/rts_pv_5min.csv.gz",
    "data/profiles/rts_units.csv",
    "data/profiles/rts_wind_5min.csv.gz",
]
RTOL = 1e-3
CASE = "dcvc33"
METHODS = (2, 3, 4, 5)
# 3: a little of the deviation, or the optimum is so flat that the solver stalls
WAYS = {3: {"loss": 1.0, "deviation": 1e-3}, 5: {"worst": True}}
CLOSE = tuple(  # of 5 MW; where the solver stalls less, or with other arithmetic
    {"tol_gap_abs": gap, "tol_gap_rel": gap} | more
    for gap, more in ((1e-6, {}), (1e-5, {}), (1e-5, {"tol_feas": 1e-7}),
                      (1e-5, {"equilibrate_enable": False}))
)  # fmt: skip


def study(case, method=2, n=None):
    """Study of a method with n of its scenarios; None: all."""
    own = interval.study_of(case, common=method == 3)
    if method == 5:
        box = interval.corners(case, len(own.cuts) + 1)
        return own.with_scenarios(box.values, box.prob)
    return own if n is None or n >= own.n_s else interval.fewer(own, n)


def central(study, held=None, **kw):
    """(Plan, value): planning.central, to a wider gap where the solver stalls."""
    return planning.central(study, held=held, retries=CLOSE, **kw)[:2]


def planned(case, method, n):
    """(Plan of the joint problem of n scenarios with whole positions, told)."""
    few, kw, told = study(case, method, n), WAYS.get(method, {}), {}
    if method == 4:
        held = planning.local_positions(few)
    else:
        relaxed, told["relaxed"] = central(few, **kw)
        told["memory"] = most_memory()
        held = planning.rounded(few, relaxed)
    plan, told["held"] = central(few, held=held, **kw)
    told.setdefault("memory", most_memory())
    return replace(plan, tap=held[0], bank=held[1]), told


def solved(case, method, plan):
    """(The plan with set-points solved for the whole set in every interval, told)."""
    whole, kw = study(case, method), WAYS.get(method, {})
    before = interval.objective(whole, plan)["total"]
    full, left = planning.refined(whole, plan, **kw)
    refined = interval.objective(whole, full)["total"]
    return full, {"before": before, "refined": refined, "left": len(left)}


def most_memory():
    """[MB] that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rows(name, method):
    """Rows of a method."""
    case, out = profiles.read_case(name), []
    plan, told = planned(case, method, case["scenarios.joint"])
    if method != 5:  # whose corners are all there is
        plan, more = solved(case, method, plan)
        told |= more
    few = study(case, method, 1)
    d, key = few.devices, {"feeder": few.feeder.name, "method": method}
    columns = {"tap": ["root"], "bank": d.banks, "q": d.pv, "b": d.ess, "lost": ["all"]}
    for what, names in columns.items():
        for device, values in zip(names, np.reshape(getattr(plan, what), (-1, len(names))).T):
            for k, value in enumerate(values):
                out.append(key | {"what": what, "device": device, "k": k, "value": float(value)})
    return out + [key | {"what": "value", "device": k, "k": 0, "value": float(v)}
                  for k, v in told.items()]  # fmt: skip


def table(name):
    """All plans of a case."""
    out = []
    for method in METHODS:
        out += alone(__file__, "rows", name, method)
        print(name, method, {r["device"]: r["value"] for r in out if r["method"] == method
                             and r["what"] == "value"}, flush=True)  # fmt: skip
    return pd.DataFrame(out)


def run():
    return table(CASE)


def one_point(name=CASE):
    few = study(profiles.read_case(name), 5)
    key = {"feeder": few.feeder.name, "method": 5, "what": "value", "device": "relaxed"}
    return key, {"value": central(few, worst=True)[1]}
