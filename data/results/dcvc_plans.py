"""Plans of the day by the methods of the dcvc paper, 33 buses (chapter 23).

A row is a number of a plan: what tap (device root), bank, q (inverter), b (battery) [p.u.] or lost
(of all batteries), at the hour or interval k. Rows with what = value tell of the run by name (in
device): relaxed, the value of the joint problem with positions continuous; held, with them whole;
refined, the objective of
the plan in the exact flow of scenarios.refine scenarios, for which set-points were solved; left,
intervals in which no set-point keeps the band in all of these; first_* and rounds of ADMM with
positions continuous (r) and whole (h), gap_* its cost over the centralised one, less 1; memory of
the process so far [MB].

Method 2: cloud and edges, the subnetworks' own scenarios. 3: the centre, loss alone, one set of
scenarios for the whole feeder. 4: neighbours, positions by each area for itself. 5: the worst of
the corners of a box.
"""

import resource
from dataclasses import replace

import numpy as np
import pandas as pd

from adnlib import interval, planning, profiles

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
LOSS = {"loss": 1.0, "deviation": 0.0}


def sets(case):
    """{method: study with the few scenarios of its joint problem}."""
    own, common = interval.study_of(case), interval.study_of(case, common=True)
    few, box = case["scenarios.few"], interval.corners(case, len(own.cuts) + 1)
    both = interval.fewer(own, few)
    return {
        2: both,
        3: interval.fewer(common, few),
        4: both,
        5: own.with_scenarios(box.values, box.prob),
    }


def larger(case, method):
    """Study with the scenarios for which set-points are solved interval by interval."""
    study, n = interval.study_of(case, common=method == 3), case["scenarios.refine"]
    return study if n >= study.n_s else interval.fewer(study, n)


def rounds(found, name, central):
    log = found.history
    out = {f"rounds_{name}": found.iterations, f"gap_{name}": found.cost / central - 1}
    out |= {f"priced_{name}": found.priced / central - 1, f"kept_{name}": log["kept"].mean()}
    for tol in (1e-2, 1e-3):
        out[f"first_{tol:g}_{name}"] = found.first(tol) or np.nan
    return out


def planned(case, method, study):
    """(Plan, {name: value}) of a method."""
    kw = {3: LOSS, 5: {"worst": True}}.get(method, {})
    told, limit = {}, {"tol": case["admm.tol"], "max_iter": case["admm.most"]}
    relaxed = None
    if method != 4:
        relaxed, told["relaxed"], _ = planning.central(study, **kw)
    if method == 2:
        pair = planning.split(study, share=case["cost.cloud_share"], memory=case["admm.memory"])
        found, relaxed = pair.run(**limit)
        told |= rounds(found, "r", told["relaxed"])
    held = planning.local_positions(study) if method == 4 else planning.rounded(study, relaxed)
    plan, told["held"], _ = planning.central(study, held=held, **kw)
    if method in (2, 4):
        pair = planning.split(study, held=held, share=case["cost.cloud_share"],
                              cloud=method == 2, memory=case["admm.memory"])  # fmt: skip
        found, plan = pair.run(**limit)
        told |= rounds(found, "h", told["held"])
    plan = replace(plan, tap=held[0], bank=held[1])
    if method != 5:
        many = larger(case, method)
        plan, left = planning.refined(many, plan, **kw)
        told |= {"left": len(left), "refined": interval.objective(many, plan)["total"]}
    told["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return plan, told


def rows(study, plan, key):
    d = study.devices
    columns = {"tap": ["root"], "bank": d.banks, "q": d.pv, "b": d.ess, "lost": ["all"]}
    for what, names in columns.items():
        for name, values in zip(names, np.reshape(getattr(plan, what), (-1, len(names))).T):
            for k, value in enumerate(values):
                yield key | {"what": what, "device": name, "k": k, "value": float(value)}


def table(name):
    """All plans of a case."""
    case, out = profiles.read_case(name), []
    for method, study in sets(case).items():
        plan, told = planned(case, method, study)
        key = {"feeder": study.feeder.name, "method": method}
        out += rows(study, plan, key)
        out += [key | {"what": "value", "device": k, "k": 0, "value": float(v)}
                for k, v in told.items()]  # fmt: skip
        print(name, method, told, flush=True)
    return pd.DataFrame(out)


def run():
    return table(CASE)


def one_point(name=CASE):
    case = profiles.read_case(name)
    study = sets(case)[3]
    value = planning.central(study, **LOSS)[1]
    key = {"feeder": study.feeder.name, "method": 3, "what": "value", "device": "relaxed"}
    return key, {"value": value}
