"""Which kinds of resources regulate, under all three layers of chapter 25, on its 33-bus feeder.

kinds: those that regulate, of wind, pv, ess; the others give what they can and rest. Day by day,
all eight sets. Columns of layers.score; loosened: how far the limits of the plan gave way.
"""

from itertools import combinations

import pandas as pd

from adnlib import layers, mpc, mpccase, profiles

DEPENDS = [
    "adnlib/blocks.py",
    "adnlib/branchflow.py",
    "adnlib/capability.py",
    "adnlib/certified.py",
    "adnlib/conic.py",
    "adnlib/devices.py",
    "adnlib/dispatch.py",
    "adnlib/fastlayer.py",
    "adnlib/feeder.py",
    "adnlib/flexible.py",
    "adnlib/forecast.py",
    "adnlib/horizon.py",
    "adnlib/kept.py",
    "adnlib/layers.py",
    "adnlib/linflow.py",
    "adnlib/model.py",
    "adnlib/mpc.py",
    "adnlib/mpccase.py",
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
SETS = [some for k in range(4) for some in combinations(mpccase.KINDS, k)]


def row(date, kinds):
    """All three layers with the devices of some kinds."""
    own = mpccase.feeder(CASE, "ieee33")
    fleet = mpccase.fleet(CASE, own, "ieee33")
    day = layers.only(mpccase.day(CASE, fleet, date), mpccase.names(CASE, fleet, kinds))
    key = {"date": date, "kinds": "+".join(kinds) or "none"}
    if not kinds:
        return key | {"loosened": 0.0} | mpccase.run(CASE, day, mpc.idle(day.fleet), None)[1]
    plan, loosened = mpccase.plan(CASE, day)
    window = mpccase.window(CASE, day, plan)
    found = mpccase.run(CASE, day, window, plan, mpccase.fast(CASE, day))[1]
    return key | {"loosened": loosened} | found


def run():
    rows = []
    for date in CASE["day.judged"]:
        rows += [row(date, kinds) for kinds in SETS]
        print(date, flush=True)
    return pd.DataFrame(rows)


def one_point():
    found = row(CASE["day.date"], ())
    names = ("loss_mwh", "deviation", "V_low", "V_high")
    return {k: found[k] for k in ("date", "kinds")}, {k: found[k] for k in names}
