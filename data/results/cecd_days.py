"""Chapter 22 on many days: plans by their forecasts, settled with the PV that then came.

One row a day and way of planning. Every plan is made for the day's own forecast, replayed on the
exact flow with the real PV, and the difference to what was bought is settled at the real-time
prices. Plans may leave their band at a high price: `over` says by how much they do.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd

from adnlib import edgeplan, profiles, read_feeder, robust

DEPENDS = [
    "adnlib/admm.py", "adnlib/anderson.py", "adnlib/areas.py", "adnlib/branchflow.py",
    "adnlib/edgeplan.py", "adnlib/feeder.py", "adnlib/powerflow.py", "adnlib/profiles.py",
    "adnlib/robust.py", "adnlib/solve.py", "adnlib/subproblem.py", "adnlib/tables.py",
    "adnlib/transformer.py", "adnlib/tree.py", "adnlib/wiring.py", "data/cases/cecd.toml",
    "data/feeders/ieee33", "data/profiles",
]  # fmt: skip
RTOL = 1e-4
CASE = profiles.read_case("cecd")
N_T = 24


@cache
def data():
    """(dates, forecast, actual), (days, 24, K) in parts of the rating, and which are studied."""
    units = CASE["pv.unit"]
    rated = profiles.read_units()["p_max_mw"][units].to_numpy()
    columns = [f"{u}_mw" for u in units]
    real = profiles.read_series("rts_pv_5min")[columns].resample("1h").mean()
    ahead = profiles.read_series("rts_day_ahead")[columns]
    dates = real.index[::N_T]
    forecast, actual = (
        (a / rated).to_numpy().clip(0, 1).reshape(len(dates), N_T, -1) for a in (ahead, real)
    )
    first, last = CASE["study.repeated"]
    used = ~((dates >= first) & (dates <= last))
    studied = used & (np.arange(len(dates)) % CASE["study.step"] == 0)
    return dates, forecast, actual, studied, used & ~studied


def prices():
    """(24,) day-ahead price."""
    hour = np.searchsorted(CASE["price.hours"], np.arange(N_T), "right") - 1
    return np.array(CASE["price.energy"])[hour]


def groups():
    """Columns of the plants of each area."""
    k = len(CASE["pv.bus"]) // CASE["areas.number"]
    return [list(range(i, i + k)) for i in range(0, len(CASE["pv.bus"]), k)]


def devices():
    """(turbines, stores), one dict an area."""
    names = ("bus", "mw", "ramp", "cost")
    turbines = [
        {"bus": b, "p_max": mw, "ramp": ramp, "cost": cost}
        for b, mw, ramp, cost in zip(*(CASE[f"turbine.{k}"] for k in names))
    ]
    least, most, start = CASE["storage.soc"]
    tan_phi = np.tan(np.arccos(CASE["storage.power_factor"]))
    fixed = {"efficiency": CASE["storage.efficiency"], "tan_phi": tan_phi}
    stores = [
        {"bus": b, "p_max": mw, "e_min": least * e, "e_max": most * e, "e_0": start * e,
         "cost": CASE["storage.cost"]} | fixed
        for b, mw, e in zip(*(CASE[f"storage.{k}"] for k in ("bus", "mw", "mwh")))
    ]  # fmt: skip
    return turbines, stores


def boxes(up, down):
    """Box of deviations of each area."""
    return [(c, robust.Box(0 * up[:, c], up[:, c], down[:, c])) for c in groups()]


def around(f, share):
    """Boxes of a share of the forecast f [MW], below the rating; [] for no deviation."""
    rated = np.array(CASE["pv.mw"])
    return boxes(np.minimum(share * f, rated - f), share * f) if share else []


def by_quantiles(f):
    """Boxes by the quantiles of the errors of the days that are not studied."""
    _, forecast, actual, _, others = data()
    rated, (low, high) = np.array(CASE["pv.mw"]), CASE["study.quantiles"]
    error = (actual - forecast)[others] * rated
    below, above = np.quantile(error, [low, high], axis=0)
    up, down = np.where(f > 0, np.clip(above, 0, rated - f), 0), np.clip(-below, 0, f)
    return boxes(up, down)


def feeder_of():
    return replace(read_feeder("ieee33"), V_root=CASE["feeder.V_source"])


def planned(load, f, sets, local=False, idle=False):
    """Plan of a day, elastic. load (24,) in parts of the peak; f (24, K) forecast [MW]."""
    feeder, cuts = feeder_of(), CASE["areas.cuts"]
    loads = profiles.loads(feeder, load, CASE["feeder.peak"])
    edges, utility = edgeplan.system(
        feeder, cuts, loads, f, CASE["pv.bus"], sets, *devices(), prices(), CASE["feeder.pcc_mw"],
        local,
    )  # fmt: skip
    edges = edgeplan.undispatched(edges) if idle else edges
    band = None if idle else (CASE["feeder.V_min"], CASE["feeder.V_max"])
    loss = CASE["price.loss"]
    return edgeplan.centralised(feeder, cuts, edges, utility, loss, band, elastic=not idle)


def row(plan, off):
    """What a day made of a plan; off (24, K): PV beside the plan's forecast [MW]."""
    short, surplus = CASE["price.short"], CASE["price.surplus"]
    day = edgeplan.settle(feeder_of(), plan, off, CASE["pv.bus"], prices(), short, surplus)
    V, band = day.flow.V, (CASE["feeder.V_min"], CASE["feeder.V_max"])
    beyond = np.maximum(V - band[1], band[0] - V).max(axis=-1)
    return {
        "planned": plan.value, "day_ahead": day.day_ahead, "balance": float(day.balance),
        "devices": plan.devices, "total": float(day.total), "V_high": V.max(), "V_low": V.min(),
        "beyond": max(0.0, beyond.max()), "hours_beyond": int((beyond > 1e-6).sum()),
        "loss": day.flow.p_loss.sum(), "over": plan.over, "both": both_ways(plan),
    }  # fmt: skip


def both_ways(plan):
    """Energy that storages charge while they discharge [MWh]."""
    return sum(np.minimum(s["charge"], s["discharge"]).sum() for s in plan.shown.values())


def shifted(plan, mw):
    """The same dispatch with mw (24,) more bought."""
    value = plan.value + float(prices() @ mw)
    return replace(plan, bought=plan.bought + mw, value=value)


def of_day(i):
    """Rows of one day."""
    dates, forecast, actual, _, others = data()
    rated = np.array(CASE["pv.mw"])
    f, came = forecast[i] * rated, actual[i] * rated
    load = profiles.rts_day(dates[i], True, CASE["day.region"], [], []).load
    usual = np.median(((actual - forecast)[others] * rated).sum(axis=2), axis=0)
    plans = {"none": planned(load, f, [], idle=True), "deterministic": planned(load, f, [])}
    for share in CASE["study.deviations"]:
        plans[f"robust {share:g}"] = planned(load, f, around(f, share))
    base = CASE["pv.deviation"]
    missing = base * f.sum(axis=1)
    plans["rows only"] = shifted(plans[f"robust {base:g}"], -missing)
    plans["purchase only"] = shifted(plans["deterministic"], missing)
    plans["corrected"] = shifted(plans["deterministic"], np.where(f.sum(axis=1) > 0, -usual, 0))
    plans["own rows"] = planned(load, f, around(f, base), local=True)
    plans["quantiles"] = planned(load, f, by_quantiles(f))
    found = [{"way": way} | row(plan, came - f) for way, plan in plans.items()]
    found.append({"way": "perfect"} | row(planned(load, came, []), 0 * f))
    return [{"date": str(dates[i].date())} | r for r in found]


def run():
    return pd.DataFrame(r for i in np.flatnonzero(data()[3]) for r in of_day(i))


def one_point():
    i = np.flatnonzero(data()[3])[40]
    dates, forecast, actual, *_ = data()
    rated = np.array(CASE["pv.mw"])
    f = forecast[i] * rated
    load = profiles.rts_day(dates[i], True, CASE["day.region"], [], []).load
    plan = planned(load, f, around(f, CASE["pv.deviation"]))
    found = row(plan, actual[i] * rated - f)
    key = {"date": str(dates[i].date()), "way": f"robust {CASE['pv.deviation']:g}"}
    return key, {k: found[k] for k in ("planned", "total", "V_high")}
