"""The plans of dcvc_plans123 within what the inverters have in all 200 scenarios (chapter 23).

A reduced set holds few of the sunny scenarios, so that the set-points of its day may ask more
reactive power of an inverter than it has beside its output in the whole set. Here the joint day of
each method is solved again with the same positions, its scenarios and its objective, but with the
inverters' circles of the whole set. Rows as in dcvc_plans; what = value: held, as there; before,
the value without these limits; beyond, plants and intervals that asked too much [%]; most, by how
much [Mvar]; left, intervals in which the whole set leaves the band.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from adnlib import areacontrol, interval, profiles
from tools.sweeps import load

LARGE = load(Path(__file__).with_name("dcvc_plans123.py"))
PLANS, CASE = LARGE.PLANS, LARGE.CASE
DEPENDS = [*LARGE.DEPENDS, "data/results/dcvc_plans123.py", "data/results/dcvc_plans123.csv"]
RTOL = PLANS.RTOL
WAYS = {3: LARGE.LOSS, 5: {"worst": True}}


@dataclass(frozen=True, eq=False)
class Within(interval.Study):
    """A Study of few scenarios whose inverters keep `most` (n_t, n_pv), that of the whole set."""

    most: np.ndarray = None

    def reach(self):
        return self.most


def within(study, whole):
    own = {f.name: getattr(study, f.name) for f in fields(interval.Study)}
    return Within(**own, most=whole.reach())


def stored(study, method):
    """Plan of a method in dcvc_plans123.csv."""
    table = pd.read_csv(Path(__file__).with_name("dcvc_plans123.csv"))
    mine = table[(table["method"] == method) & (table["what"] != "value")]
    wide = {k: rows.pivot(index="k", columns="device", values="value")
            for k, rows in mine.groupby("what")}  # fmt: skip
    d = study.devices
    order = {"bank": d.banks, "q": d.pv, "b": d.ess}
    found = {k: wide[k].to_numpy()[:, 0] for k in ("tap", "lost")}
    found |= {k: wide[k][[str(b) for b in names]].to_numpy() for k, names in order.items()}
    return interval.Plan(**found)


def again(case, method, study):
    """(Plan, {name: value}) of a method within the circles of its whole set."""
    old, whole = stored(study, method), interval.study_of(case, common=method == 3)
    over = np.maximum(np.abs(old.q) - whole.reach(), 0)
    held = old.tap, old.bank
    kw = WAYS.get(method, {})
    plan, value, _ = LARGE.central(within(study, whole), held=held, **kw)
    plan = replace(plan, tap=held[0], bank=held[1])
    inside = areacontrol.inside(interval.replay(whole, plan), whole.band).all(axis=1)
    before = LARGE.central(study, held=held, **kw)[1] if method == 2 else np.nan
    return plan, {"held": value, "before": before, "beyond": 100 * (over > 1e-6).mean(),
                  "most": over.max() * whole.feeder.s_base_mva,
                  "left": (~inside).sum()}  # fmt: skip


def run():
    case, out = profiles.read_case(CASE), []
    for method, study in PLANS.sets(case).items():
        plan, told = again(case, method, study)
        key = {"feeder": study.feeder.name, "method": method}
        out += PLANS.rows(study, plan, key)
        out += [key | {"what": "value", "device": k, "k": 0, "value": float(v)}
                for k, v in told.items()]  # fmt: skip
        print(CASE, method, told, flush=True)
    return pd.DataFrame(out)


def one_point():
    case = profiles.read_case(CASE)
    study, whole = PLANS.sets(case)[2], interval.study_of(case)
    over = np.maximum(np.abs(stored(study, 2).q) - whole.reach(), 0)
    key = {"feeder": "ieee123", "method": 2, "what": "value", "device": "beyond"}
    return key, {"value": 100 * (over > 1e-6).mean()}
