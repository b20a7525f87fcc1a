"""Error of the linear flows over a whole year of 5-minute steps on four feeders (chapter 02).

Load, wind and PV of RTS-GMLC; wind and PV are the means of all plants of the year's series,
rated and spread as the section [year] of data/cases/first_day.toml says.
"""

import numpy as np
import pandas as pd

from adnlib import linflow, powerflow, profiles, read_feeder

DEPENDS = [
    "adnlib/feeder.py",
    "adnlib/linflow.py",
    "adnlib/powerflow.py",
    "adnlib/profiles.py",
    "adnlib/tables.py",
    "adnlib/tree.py",
    "data/cases/first_day.toml",
    "data/feeders",
    "data/profiles/rts_load_5min.csv.gz",
    "data/profiles/rts_pv_5min.csv.gz",
    "data/profiles/rts_wind_5min.csv.gz",
    "data/profiles/rts_units.csv",
]


def series(case):
    """(load, plants) by time [p.u. of nominal load]."""
    rated = profiles.read_units()["p_max_mw"]
    plants = 0
    for kind in ("pv", "wind"):
        output = profiles.read_series(f"rts_{kind}_5min")
        units = output.columns.str.removesuffix("_mw")
        mean = (output.to_numpy() / rated[units].to_numpy()).mean(axis=1)
        plants = plants + case[f"year.{kind}_per_peak"] * pd.Series(mean, index=output.index)
    load = f"load_{case['day.region']}"
    return profiles.read_series("rts_load_5min")[f"{load}_mw"] / rated[load], plants


def day_errors(feeder, load, plants):
    """Extremes of one day's steps: load, plants (n_t,) in p.u. of nominal load."""
    share = np.maximum(feeder.p_load, 0) / np.maximum(feeder.p_load, 0).sum()
    p = -load[:, None] * feeder.p_load + (plants * feeder.p_load.sum())[:, None] * share
    q = -load[:, None] * feeder.q_load
    flow = powerflow.solve(feeder, p, q)
    found = {
        "steps": len(load),
        "reverse_steps": int((flow.p_root < 0).sum()),
        "V_low": flow.V.min(),
        "V_high": flow.V.max(),
    }
    for name, model in (("ldf", linflow.lindistflow), ("rect", linflow.rectangular)):
        linear = model(feeder, p, q)
        found[f"{name}_dV"] = np.abs(linear.V - flow.V).max()
        found[f"{name}_down"] = (linear.V - flow.V).min()
        found[f"{name}_angle_deg"] = np.degrees(np.abs(linear.theta - flow.theta)).max()
    return found


def month_errors(name, month, load, plants):
    """One row of the result."""
    feeder, days = read_feeder(name), load.index[load.index.month == month].normalize().unique()
    rows = []
    for day in days:
        here = load.index.normalize() == day
        rows.append(day_errors(feeder, load[here].to_numpy(), plants[here].to_numpy()))
    rows = pd.DataFrame(rows)
    low = rows[["V_low", "ldf_down", "rect_down"]].min()
    high = rows.filter(regex="V_high|dV|angle").max()
    return {
        "feeder": name,
        "month": month,
        **rows[["steps", "reverse_steps"]].sum().astype(int),
        **low,
        **high,
    }


def run():
    case = profiles.read_case("first_day")
    load, plants = series(case)
    return pd.DataFrame(
        month_errors(name, month, load, plants)
        for name in case["year.feeders"]
        for month in range(1, 13)
    )


def one_point():
    row = month_errors("ieee33", 8, *series(profiles.read_case("first_day")))
    key = {"feeder": row.pop("feeder"), "month": row.pop("month")}
    return key, {k: v for k, v in row.items() if not k.endswith("_down")}
