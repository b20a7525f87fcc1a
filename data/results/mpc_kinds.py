"""Which kinds of resources regulate, under all three layers of chapter 25, on its 33-bus feeder.

kinds: those that regulate, of wind, pv, ess; the others give what they can and rest. Of the eight
sets the two others, none and all, stand in mpc_layers.csv. Columns of layers.score; loosened: how
far the limits of the plan gave way.
"""

from itertools import combinations

import pandas as pd

from adnlib import layers, mpccase, profiles

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
SETS = [some for k in (1, 2) for some in combinations(mpccase.KINDS, k)]


def started(date, kinds):
    """(layers.Day, rolling.Plan, loosened) where devices of some kinds regulate."""
    own = mpccase.feeder(CASE, "ieee33")
    fleet = mpccase.fleet(CASE, own, "ieee33")
    day = layers.only(mpccase.day(CASE, fleet, date), mpccase.names(CASE, fleet, kinds))
    return day, *mpccase.plan(CASE, day)


def row(date, kinds):
    """All three layers."""
    day, plan, loosened = started(date, kinds)
    window = mpccase.window(CASE, day, plan)
    found = mpccase.run(CASE, day, window, plan, mpccase.fast(CASE, day))[1]
    return {"date": date, "kinds": "+".join(kinds), "loosened": loosened} | found


def run():
    rows = []
    for date in CASE["day.quarterly"]:
        rows += [row(date, kinds) for kinds in SETS]
        print(date, flush=True)
    return pd.DataFrame(rows)


def one_point():
    date, kinds = CASE["day.quarterly"][2], ("ess",)
    found = row(date, kinds)
    names = ("loss_mwh", "deviation", "V_low", "V_high")
    return {"date": date, "kinds": "ess"}, {k: found[k] for k in names}
