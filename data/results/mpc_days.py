"""Real days under open loop, rolling and perfect foresight, and what the rolling depends on (13).

study    days: every judged day; horizon, error, storage, predictor: the studied days
method   what ran; n_h, terminal, p_ess, scale, loss: its settings
Columns of mpc.Trace.summary; value: rolling.realised; off: root mean square error of the voltages
foreseen for the next quarter of an hour; gap: largest cone gap; both: largest power charged and
discharged at once; exclusive: rolls whose directions had to be held. "whole day known" is no run:
value is that of one window of 96 steps which knows the day, bound that of its relaxation. plan_gap:
of the day-ahead plan to its bound.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from adnlib import forecast, mpc, profiles, read_feeder, rolling
from adnlib.devices import Renewable, Storage

DEPENDS = [
    "adnlib/blocks.py",
    "adnlib/branchflow.py",
    "adnlib/certified.py",
    "adnlib/conic.py",
    "adnlib/currents.py",
    "adnlib/devices.py",
    "adnlib/dispatch.py",
    "adnlib/feeder.py",
    "adnlib/flexible.py",
    "adnlib/forecast.py",
    "adnlib/horizon.py",
    "adnlib/kept.py",
    "adnlib/linflow.py",
    "adnlib/model.py",
    "adnlib/mpc.py",
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
    "data/cases/mpc_rolling.toml",
    "data/feeders/ieee33",
    "data/profiles",
]
RTOL = 2e-2  # the day-ahead plan is one of many within its gap
CASE = profiles.read_case("mpc_rolling")


def fleet():
    """The plants and batteries of the case on the 33-bus feeder."""
    own = {k: CASE[f"devices.{k}"] for k in ("bus", "unit", "rated_mw", "s_mva", "ess_bus")}
    plants = tuple(Renewable(b, mw, s_mva=own["s_mva"], name=unit)
                   for b, mw, unit in zip(own["bus"], own["rated_mw"], own["unit"]))  # fmt: skip
    size = [CASE[f"devices.{k}"] for k in ("ess_mwh", "ess_mw", "ess_mw")]
    batteries = tuple(Storage(b, *size, s_mva=CASE["devices.ess_mva"], name=f"battery {b}")
                      for b in own["ess_bus"])  # fmt: skip
    return mpc.Fleet(read_feeder("ieee33"), plants, batteries)


def weights():
    """The weights of the case."""
    w = {k: CASE[f"rolling.w_{k}"] for k in
         ("deviation", "p_gen", "p_ess", "limit", "terminal", "loss")}  # fmt: skip
    return rolling.Weights(**w, q_gen=CASE["rolling.w_q"], q_ess=CASE["rolling.w_q"])


def errors_of(pair):
    """phi of each unit, fitted on the days that are not judged."""
    days = pd.DatetimeIndex([*CASE["day.judged"], CASE["day.date"]])
    return forecast.persistence(pair.error, pair.time.normalize().isin(days))


class Day:
    """A day with its plan, on which controllers are tried."""

    def __init__(self, own, pair, phi, date):
        stamp = pd.Timestamp(date)
        rng = np.random.default_rng([13, stamp.dayofyear])
        load = profiles.rts_day(date, region=CASE["day.region"]).load
        e = forecast.ar1(288, CASE["load.error"], CASE["load.phi"] ** (1 / 3), rng)
        self.date, self.own, self.limits = date, own, {k: CASE[f"voltage.{k}"] for k in
                                                       ("V_min", "V_max", "V_ref")}  # fmt: skip
        self.given = (own, pair, date, phi, load, e, CASE["load.phi"])
        self.ahead, _, self.plant = forecast.real_day(*self.given)
        self.plan = rolling.day_ahead(
            own, self.ahead, CASE["plan.w_loss"], CASE["plan.w_deviation"], **self.limits
        )

    def row(self, study, method, controller, scale=1.0, judge=None, **settings):
        """A run of a controller as a row of the table."""
        outlooks = forecast.real_day(*self.given, scale=scale)[1]
        trace = mpc.receding_horizon(self.plant, controller, outlooks)
        notes = [n for n in trace.notes if n]
        off = trace.V_foreseen - trace.by_roll(trace.V)
        found = trace.summary(self.plan, **self.limits) | {
            "value": rolling.realised(trace, self.plan, judge or weights(), **self.limits),
            "off": np.sqrt((off**2).mean()),
            "plan_gap": self.plan.gap,
            "gap": max((n["gap"] for n in notes), default=np.nan),
            "both": max((n["both"] for n in notes), default=np.nan),
            "exclusive": sum(n["value"] > n["bound"] for n in notes) if notes else np.nan,
        }
        return (
            {"study": study, "date": self.date, "method": method, "scale": scale} | settings | found
        )

    def window(self, **options):
        w = replace(weights(), **options.pop("weights", {}))
        return rolling.Window(self.own, self.plan, w, **self.limits, **options)

    def rolling(self, study, method="rolling", n_h=16, scale=1.0, **options):
        w = replace(weights(), **options.get("weights", {}))
        kept = {"n_h": n_h, "terminal": w.terminal, "p_ess": w.p_ess, "loss": w.loss}
        return self.row(study, method, self.window(n_h=n_h, **options), scale, **kept)


def of_day(day):
    """No control, two open loops, rolling, perfect foresight, the whole day known."""
    whole = day.window(n_h=96, passes=2)
    start = mpc.State(0, day.own.ess["E_start"], None)
    once = whole.solve(start, day.ahead)
    known = whole.solve(start, forecast.real_day(*day.given, scale=0.0)[1](0, 96))
    once = rolling.Plan(once["u"], once["E"])
    return [
        day.row("days", "no control", mpc.idle(day.own)),
        day.row("days", "day-ahead plan", mpc.open_loop(day.own, day.plan)),
        day.row("days", "corrected once", mpc.open_loop(day.own, once)),
        day.rolling("days"),
        day.rolling("days", "perfect foresight", scale=0.0),
        {"study": "days", "date": day.date, "method": "whole day known", "scale": 0.0, "n_h": 96,
         "value": known["value"], "bound": known["bound"]},
    ]  # fmt: skip


def sensitivities(day):
    """Horizon with and without a rule for the energy, error, price of storage, predictor."""
    out = []
    for n_h in CASE["horizon.steps"]:
        for terminal in (CASE["rolling.w_terminal"], 0.0):
            out.append(day.rolling("horizon", n_h=n_h, weights={"terminal": terminal}))
    out += [day.rolling("error", scale=s) for s in CASE["horizon.scales"]]
    for p_ess in CASE["horizon.p_ess"]:
        for terminal in (CASE["rolling.w_terminal"], 0.0):
            out.append(day.rolling("storage", weights={"p_ess": p_ess, "terminal": terminal}))
    for name, options in PREDICTORS.items():
        out.append(day.rolling("predictor", name, **options))
    out.append(day.rolling("reading", "plan literally", follow="plan"))
    return out


PREDICTORS = {
    "tangent, twice": {"passes": 2},
    "shifted": {"predictor": "shifted"},
    "LinDistFlow": {"predictor": "lindistflow"},
    "LinDistFlow, bias": {"predictor": "lindistflow", "bias": True},
    "cone": {"predictor": "cone"},
    "cone, loss 0.1": {"predictor": "cone", "weights": {"loss": 0.1}},
    "cone, loss 1": {"predictor": "cone", "weights": {"loss": 1.0}},
}


def prepared():
    pair = forecast.rts_pair(CASE["devices.unit"])
    return fleet(), pair, errors_of(pair)


def run():
    given, rows = prepared(), []
    for date in CASE["day.judged"]:
        day = Day(*given, date)
        rows += of_day(day)
        if date in CASE["day.studied"]:
            rows += sensitivities(day)
    return pd.DataFrame(rows)


def one_point():
    day = Day(*prepared(), CASE["day.judged"][1])
    row = day.row("days", "day-ahead plan", mpc.open_loop(day.own, day.plan))
    key = {k: row[k] for k in ("study", "date", "method")}
    return key, {k: row[k] for k in ("loss_mwh", "deviation", "value")}
