"""What the three layers of chapter 25 owe to its choices: one at a time, two days, 33 buses.

study: horizon, error, terminal (no rule for the energy), keep (corrections kept), tornado, current
(the largest plants, under which ratings bind: the other methods, and windows that are blind to the
ratings); choice and value say what was changed; as chosen, the day stands in mpc_layers.csv. All
with the method `three`; where the plan changes (size) `day ahead` as well. Columns of layers.score;
energy_off: stored energy at the end off that of the plan, in parts of the capacity.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from adnlib import mpc, mpccase, profiles

DEPENDS = [
    "adnlib/blocks.py",
    "adnlib/branchflow.py",
    "adnlib/capability.py",
    "adnlib/certified.py",
    "adnlib/conic.py",
    "adnlib/currents.py",
    "adnlib/devices.py",
    "adnlib/dispatch.py",
    "adnlib/fastlayer.py",
    "adnlib/feeder.py",
    "adnlib/flexible.py",
    "adnlib/forecast.py",
    "adnlib/horizon.py",
    "adnlib/inputs.py",
    "adnlib/kept.py",
    "adnlib/layers.py",
    "adnlib/linflow.py",
    "adnlib/model.py",
    "adnlib/mpc.py",
    "adnlib/mpccase.py",
    "adnlib/netcheck.py",
    "adnlib/outer.py",
    "adnlib/patterns.py",
    "adnlib/plant.py",
    "adnlib/powerflow.py",
    "adnlib/profiles.py",
    "adnlib/rolling.py",
    "adnlib/search.py",
    "adnlib/solve.py",
    "adnlib/switched.py",
    "adnlib/tables.py",
    "adnlib/tieline.py",
    "adnlib/tree.py",
    "adnlib/zones.py",
    "data/cases/mpc.toml",
    "data/feeders",
    "data/profiles",
]
RTOL = 2e-2  # the day-ahead plan is one of many within its gap
CASE = profiles.read_case("mpc")


def rows(study, choice, value, date, scale=1.0, plants=1.0, optimal=None, both=False,
         terminal=None, w4=1.0, n_h=None, keep=False):  # fmt: skip
    """Rows of one changed choice on one day."""
    own = mpccase.feeder(CASE, "ieee33")
    fleet = mpccase.fleet(CASE, own, "ieee33", plants)
    day = mpccase.day(CASE, fleet, date, scale)
    plan, loosened = mpccase.plan(CASE, day)
    weights = mpccase.weights(CASE, w4)
    if terminal is not None:
        weights = replace(weights, terminal=terminal)
    options = {"weights": weights} | ({} if n_h is None else {"n_h": n_h})
    runs = {"day ahead": (mpc.open_loop(fleet, plan), None)} if both else {}
    runs["three"] = (mpccase.window(CASE, day, plan, **options), mpccase.fast(CASE, day, optimal))
    for method, (controller, fast) in runs.items():
        trace, found = mpccase.run(CASE, day, controller, plan, fast, keep)
        key = {"study": study, "choice": choice, "value": value, "date": date, "method": method}
        full = sum(b.energy_mwh for b in fleet.batteries)
        off = np.abs(trace.energy[-1] - plan.energy[-1]).sum() / full
        yield key | {"loosened": loosened, "energy_off": off} | found


def heavy(date):
    """The methods of mpc_layers.csv with the largest plants, and windows without the ratings."""
    value = CASE["study.size"][-1]
    own = mpccase.feeder(CASE, "ieee33")
    day = mpccase.day(CASE, mpccase.fleet(CASE, own, "ieee33", value), date)
    plan, loosened = mpccase.plan(CASE, day)
    seeing, blind = (mpccase.window(CASE, day, plan, currents=c) for c in (True, False))
    idle, planned = mpc.idle(day.fleet), mpc.open_loop(day.fleet, plan)
    for method, controller, fast in (
        ("no control", idle, False), ("real time", idle, True),
        ("day ahead, real time", planned, True), ("rolling", seeing, False),
        ("rolling, blind", blind, False), ("three, blind", blind, True),
    ):  # fmt: skip
        real_time = mpccase.fast(CASE, day) if fast else None
        key = {"study": "current", "choice": "size", "value": value, "date": date}
        found = mpccase.run(CASE, day, controller, plan, real_time)[1]
        yield key | {"method": method, "loosened": loosened} | found


def plan_kept(date):
    """The day-ahead plan under zones whose corrections are kept."""
    own = mpccase.feeder(CASE, "ieee33")
    day = mpccase.day(CASE, mpccase.fleet(CASE, own, "ieee33"), date)
    plan, _ = mpccase.plan(CASE, day)
    given = (mpc.open_loop(day.fleet, plan), plan, mpccase.fast(CASE, day), True)
    key = {"study": "keep", "choice": "plan", "date": date, "method": "day ahead, real time"}
    return key | mpccase.run(CASE, day, *given)[1]


def of_day(date):
    out = []
    for value in CASE["study.size"]:
        out += rows("tornado", "size", value, date, both=True, plants=value)
    for value in CASE["study.w4"]:
        out += rows("tornado", "w4", value, date, w4=value)
    narrow = CASE["study.narrow"]
    out += rows("tornado", "optimal interval", narrow[1] - 1, date, optimal=narrow)
    out += rows("keep", "optimal interval", narrow[1] - 1, date, optimal=narrow, keep=True)
    out.append(plan_kept(date))
    out += heavy(date)
    for n_h in CASE["study.horizons"]:
        out += rows("horizon", "n_h", n_h, date, n_h=n_h)
    for scale in CASE["study.scales"]:
        out += rows("error", "scale", scale, date, scale=scale)
    return out + list(rows("terminal", "w_terminal", 0.0, date, terminal=0.0))


def run():
    out = []
    for date in CASE["study.days"]:
        out += of_day(date)
        print(date, flush=True)
    return pd.DataFrame(out)


def one_point():
    date, value = CASE["study.days"][1], CASE["study.size"][0]
    row = next(rows("tornado", "size", value, date, both=True, plants=value))
    names = ("loss_mwh", "deviation", "V_low", "V_high")
    key = {k: row[k] for k in ("study", "choice", "value", "date", "method")}
    return key, {k: row[k] for k in names}
