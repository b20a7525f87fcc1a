"""The feeders, fleets and days of chapter 25, from data/cases/mpc.toml, and runs of its layers."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd

from . import fastlayer, forecast, inputs, layers, mpc, profiles, rolling, zones
from .capability import Dfig
from .devices import Renewable, Storage
from .tree import Tree

KINDS = ("wind", "pv", "ess")
HOME = 3.715  # [MW] nominal load of the feeder that the sizes of the case belong to


def feeder(case, name):
    """A feeder (whatever inputs.feeder takes) with the root voltage of the case and a rating of
    every branch: its own, or `current.margin` times the larger of nominal load and banks, and of
    the rated plants below it."""
    own = inputs.feeder(name)
    own = replace(own, V_root=case.entries.get(f"{name}.V_root", {}).get("value", own.V_root))
    at = places(case, own, name)
    built = np.zeros(own.n)
    for kind in KINDS:
        for bus in at[kind]:
            built[own.index(bus)] += case[f"plants.{kind}_mw"] * size(own) / own.s_base_mva
    each = np.stack([own.p_load, own.q_load, np.abs(own.b_shunt), built], axis=1)
    tree = Tree.of(own)
    p, q, bank, plants = tree.below(each[tree.order])[tree.place].T
    rating = np.maximum(np.hypot(p, np.maximum(q, bank)), plants)
    rating = case["current.margin"] * np.maximum(rating, 0.01 * rating.max())
    return replace(own, i_max=np.where(np.isfinite(own.i_max), own.i_max, rating))


def size(own):
    """Nominal load of a feeder over that of the feeder at home: what its devices are scaled by."""
    return float(own.p_load.sum() * own.s_base_mva / HOME)


def places(case, own, name):
    """{kind: buses}: those of the case, or on an unknown feeder different loaded buses, spread over
    the electrical distance, farthest first, the kinds in turn."""
    if f"{name}.wind_bus" in case.entries:
        return {kind: case[f"{name}.{kind}_bus"] for kind in KINDS}
    count = {"wind": len(case["plants.wind_unit"]), "pv": len(case["plants.pv_unit"]), "ess": 2}
    far = np.argsort(own.length, kind="stable")
    far = far[own.p_load[far] > 0]
    wanted = sum(count.values())
    if len(far) < wanted:
        raise ValueError(f"{name} has {len(far)} loaded buses, its devices need {wanted}")
    at = [own.buses[far[i]] for i in np.linspace(len(far) - 1, len(far) // 3, wanted).astype(int)]
    found, left = {kind: [] for kind in KINDS}, dict(count)
    for bus in at:  # the kind of which most is still to be placed
        kind = max(KINDS, key=lambda k: left[k] / count[k])
        found[kind].append(bus)
        left[kind] -= 1
    return found


def fleet(case, own, name, plants=1.0, ess=1.0):
    """Fleet on a feeder; plants, ess: factors on the plants and on the energy of the batteries."""
    at, scale = places(case, own, name), size(own)
    machine = Dfig(**{k: case[f"machine.{k}"] for k in Dfig.__dataclass_fields__})
    mw = {kind: case[f"plants.{kind}_mw"] * scale * plants for kind in ("wind", "pv")}
    ac = {"wind": mw["wind"], "pv": case["plants.pv_mva"] * scale * plants}
    records = [Renewable(bus, mw[kind], s_mva=ac[kind], name=unit) for kind in ("wind", "pv")
               for bus, unit in zip(at[kind], case[f"plants.{kind}_unit"])]  # fmt: skip
    p, energy, s = (case[f"plants.{k}"] * scale for k in ("ess_mw", "ess_mwh", "ess_mva"))
    batteries = [
        Storage(bus, energy * ess, p, p, s_mva=s, name=f"battery {bus}") for bus in at["ess"]
    ]

    def reactive(p_mw):
        return tuple(mw["wind"] * q for q in machine.limits(np.asarray(p_mw) / mw["wind"]))

    capability = dict.fromkeys(case["plants.wind_unit"], reactive)
    return mpc.Fleet(own, tuple(records), tuple(batteries), capability)


def names(case, own_fleet, kinds):
    """Names of the devices of some kinds: wind, pv, ess."""
    of = {kind: case[f"plants.{kind}_unit"] for kind in ("wind", "pv")}
    of["ess"] = [b.name for b in own_fleet.batteries]
    return [name for kind in kinds for name in of[kind]]


@cache
def pair(units):
    """forecast.rts_pair, read once."""
    return forecast.rts_pair(units)


def day(case, own_fleet, date, scale=1.0):
    """layers.Day: real weather and load of a date; scale: of the errors of the day's forecasts.

    phi is fitted without the days that the case keeps out; the load error is drawn from a seed that
    depends on the date alone.
    """
    units = (*case["plants.wind_unit"], *case["plants.pv_unit"])
    both, stamp = pair(units), pd.Timestamp(date)
    kept_out = pd.DatetimeIndex([*case["day.kept_out"], case["day.date"]])
    phi = forecast.persistence(both.error, both.time.normalize().isin(kept_out))
    load = profiles.rts_day(date, region=case["day.region"]).load
    rng = np.random.default_rng([case["load.seed"], stamp.dayofyear])
    error = forecast.ar1(len(load), case["load.error"], case["load.phi"] ** (1 / 3), rng)
    given = (both, date, phi, load, error, case["load.phi"], scale)
    return layers.Day(own_fleet, *forecast.real_day(own_fleet, *given))


# ---------------------------------------------------------------------------------- runs


def limits(case):
    """{V_min, V_max, V_ref} of the case."""
    return {k: case[f"voltage.{k}"] for k in ("V_min", "V_max", "V_ref")}


def weights(case, w4=1.0):
    """rolling.Weights of the case; w4: factor on the prices of all corrections."""
    w = {k: case[f"rolling.w_{k}"] for k in ("deviation", "limit", "current", "terminal", "loss")}
    prices = {"p_gen": "p_gen", "p_ess": "p_ess", "q_gen": "q", "q_ess": "q"}
    return rolling.Weights(**w, **{k: w4 * case[f"rolling.w_{v}"] for k, v in prices.items()})


def plan(case, today, w2=1.0):
    """(rolling.Plan, loosened) of the day-ahead layer; w2: factor on its weight of deviation."""
    return layers.day_ahead(
        today.fleet, today.ahead, case["plan.w_loss"], w2 * case["plan.w_deviation"],
        loosen=case["plan.loosen"], gap=case["plan.gap"], work_limit=60, **limits(case),
    )  # fmt: skip


def window(case, today, planned, **options):
    """rolling.Window of the rolling layer."""
    n_h = round(case["time.horizon_h"] / case["time.roll_step_h"])
    given = {"n_h": n_h, "weights": weights(case)} | limits(case) | options
    return rolling.Window(today.fleet, planned, **given)


def rule(case, optimal=None):
    """Stages of zones; optimal: another interval than the case's."""
    limits = (case["voltage.V_min"], case["voltage.V_max"])
    return zones.stages(optimal or case["voltage.optimal"], limits)


def fast(case, today, optimal=None):
    """layers.Logged real-time layer."""
    return layers.Logged(
        fastlayer.fast(today.fleet, rule(case, optimal), case["time.plant_step_h"])
    )


def run(case, today, controller, planned, real_time=None, keep=False, rolls=None):
    """(Trace, score): a controller on the plant, with a Logged real-time layer or without."""
    trace = mpc.receding_horizon(
        today.plant, controller, today.forecast, rolls=rolls, fast=real_time, keep=keep
    )
    return trace, layers.score(
        trace, planned, real_time, optimal=case["voltage.optimal"], **limits(case)
    )
