"""Three methods on a reader's own feeder: dispatch of the day ahead, ADMM over areas, MPC.

Chapter 33 uses it on a `study.Study`. Each result carries what certifies it: the dispatch a proven
gap and an AC replay, ADMM its residuals and the distance to the central plan, MPC the balances of
an exact flow in every step.
"""

from dataclasses import dataclass, replace

import cvxpy as cp
import numpy as np
import pandas as pd

from . import admm, areas, branchflow, dispatch, mpc, powerflow, rolling, solve
from .devices import TieLine
from .horizon import Horizon

QUANTITIES = {
    "cost": "money", "energy_mwh": "MWh", "loss_mwh": "MWh", "V_low": "p.u.", "V_high": "p.u.",
    "outside_h": "bus h", "overload_h": "branch h", "curtailed_mwh": "MWh",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Ahead:
    """A plan of the day ahead.

    schedule   dispatch.Schedule: certificate from the replay, not enforced
    gap        proven: (value - bound) / |value|        ways   {binary: values} it holds
    limits     {V_min, V_max, i_max} it keeps           loosened, why   (p.u., factor on ratings) by
               which they gave way, and the limits that made it necessary ("" for none)
    """

    schedule: dispatch.Schedule
    gap: float
    ways: dict
    limits: dict
    loosened: tuple
    why: str


def _devices(study):
    available = study.hourly[2]
    plants = [replace(plant, available_mw=available[:, j])
              for j, plant in enumerate(study.fleet.plants)]  # fmt: skip
    return [*plants, *study.fleet.batteries, TieLine(price_per_mwh=study.price)]


def day_ahead(study, V_min=None, V_max=None):
    """Ahead: the cheapest day at the case's tariff, by branch flow cones.

    The directions of the batteries are relaxed, rounded to the way that the net power goes, and
    the plan is solved again; the relaxation proves the gap. Where that is more than the case asks
    for, and the feeder is not too large, the certified mixed-integer solver goes on. Where no
    plan keeps the limits they give way in the steps of the case. SolveError where none has.
    """
    case = study.case
    V_min = case["voltage.V_min"] if V_min is None else V_min
    V_max = case["voltage.V_max"] if V_max is None else V_max
    if not 0 < V_min < V_max:
        raise ValueError(f"V_MIN is {V_min} and V_MAX {V_max}; they are p.u., the first is smaller")
    why, steps = "", list(zip(case["plan.loosen_V"], case["plan.loosen_i"]))
    for step in steps:
        limits = {"V_min": V_min - step[0], "V_max": V_max + step[0],
                  "i_max": step[1] * study.feeder.i_max}  # fmt: skip
        try:
            return Ahead(*_planned(study, limits), limits, step, why)
        except solve.SolveError as error:
            why = why or str(error)
            if step == steps[-1]:
                raise
    raise AssertionError("loosen_V and loosen_i are empty")


def _planned(study, limits):
    """(schedule, gap, ways) within the limits."""
    case, devices = study.case, _devices(study)
    given = {"load": study.hourly[:2], "objective": {"loss": 0}} | limits
    one = (study.feeder, devices, np.ones(24))
    relaxed = dispatch.model(*one, binaries="relaxed", **given)
    bound = solve.solve(relaxed.problem, study.feeder, solve.FLAT) * relaxed.scale
    net = {b.name: relaxed.parts[b.name].shown["p_mw"].value for b in study.fleet.batteries}
    ways = {f"{name} charging": (p < 0).astype(float) for name, p in net.items()}
    schedule = dispatch.day_ahead(*one, binaries=ways, strict=False, **given)
    gap = max(schedule.value - bound, 0.0) / max(abs(schedule.value), 1e-9)
    if gap > case["plan.gap"] and study.feeder.n <= case["plan.most_buses"]:
        schedule = dispatch.day_ahead(
            *one, gap=case["plan.gap"], work_limit=case["plan.work_limit"], strict=False, **given
        )
        gap = schedule.gap
        net = {b.name: schedule.devices[b.name]["p_mw"] for b in study.fleet.batteries}
        ways = {f"{name} charging": (p < 0).astype(float) for name, p in net.items()}
    return schedule, gap, ways


# ---------------------------------------------------------------------------------- areas


@dataclass(frozen=True, eq=False)
class Agreed:
    """What areas agreed on: cuts, admm.Result, and the certificate of their plan put together."""

    cuts: list
    result: admm.Result
    certificate: solve.Certificate


def by_areas(study, ahead, n_areas=None):
    """Agreed: the same day and the same directions, as `n_areas` areas that keep their data.

    Cost in MWh at the mean price; penalties by areas.stiffness, Anderson acceleration (chapter 9).
    """
    case, feeder = study.case, study.feeder
    n_areas = case["areas.number"] if n_areas is None else n_areas
    if not 2 <= n_areas <= feeder.n:
        raise ValueError(f"AREAS is {n_areas}; it is 2 to {feeder.n}, or 0 to leave ADMM out")
    cuts = areas.split(feeder, n_areas)
    pieces = areas.cut(feeder, cuts)
    unit = float(study.price.mean()) * feeder.s_base_mva
    stated = [_area(study, piece, ahead, unit) for piece in pieces]
    found = admm.coordinate(
        [part[0] for part in stated], scale=areas.stiffness(feeder, cuts),
        start=areas.flat(feeder), memory=case["areas.memory"], tol=case["areas.tol"],
        max_iter=case["areas.most"], central=ahead.schedule.value / unit,
    )  # fmt: skip
    plan = _together(study, pieces, stated, found)
    limits = {k: ahead.limits[k] for k in ("V_min", "V_max", "i_max")}
    certificate = solve.certify(
        feeder, plan, **limits, primal_residual=found.residuals[0],
        dual_residual=found.residuals[1], strict=False,
    )  # fmt: skip
    return Agreed(cuts, found, certificate)


def _area(study, piece, ahead, unit):
    """(admm.Area, flows (P, Q, ell, v), (p, q)) of a piece of the feeder."""
    own, limits = piece.feeder, ahead.limits
    h = Horizon(own, 24, 1.0, np.ones(1), None, study.feeder.V_root, limits["V_min"],
                limits["V_max"], ahead.ways)  # fmt: skip
    here = [d for d in _devices(study) if getattr(d, "bus", None) in own.buses]
    parts = [d.part(h) for d in here]
    p_load, q_load = (a[:, piece.place] for a in study.hourly[:2])
    p, q = (
        _injected(own, own.p_gen - p_load, parts, 1),
        _injected(own, own.q_gen - q_load, parts, 2),
    )
    band = limits | {"i_max": limits["i_max"][piece.place]}
    constraints, shared, flows = areas.model(piece, p, q, 24, **band)
    cost = sum(part.cost for part in parts)
    if piece.top is None:
        cost = cost + study.price @ _drawn(piece, flows[0], shared) * own.s_base_mva
    constraints = [*constraints, *(c for part in parts for c in part.constraints)]
    problem = cp.Problem(cp.Minimize(cost / unit), constraints)
    return admm.area(problem, shared, name=piece.name), flows, (p, q)


def _injected(own, base, parts, k):
    """(24, n) net injections [p.u.]: what stands there, and the p (k = 1) or q (2) of devices."""
    total = cp.Constant(base)
    for part in parts:
        for entry in part.at:
            if entry[k] is not None:
                here = np.eye(own.n)[[own.index(entry[0])]] / own.s_base_mva
                total = total + cp.reshape(entry[k], (24, 1), order="C") @ here
    return total


def _drawn(piece, P, shared):
    """(24,) power from the grid above [p.u.]: into branches at the root, own or cut, and at it."""
    top = piece.feeder.root_bus
    cut_there = [shared[f"P {bus}"] for bus, i in piece.below if i < 0]
    own = top.p_load - top.p_gen + top.g_shunt * piece.feeder.V_root**2
    return branchflow.at_root(piece.feeder, P) + sum(cut_there) + own


def _together(study, pieces, stated, found):
    """branchflow.Plan of all areas' answers."""
    arrays = np.zeros((6, 24, study.feeder.n))
    for piece, (area, flows, injected), x in zip(pieces, stated, found.x):
        area.restore(x)
        for a, expression in zip(arrays, (*flows, *injected)):
            a[:, piece.place] = expression.value
    return branchflow.plan(study.feeder, *arrays)


# ---------------------------------------------------------------------------------- rolling


@dataclass(frozen=True, eq=False)
class Rolled:
    """A controller's day: mpc.Trace, {quantity: number} (QUANTITIES), and its balances
    {power [p.u.], energy [MWh]}, both of rounding size where the trace is true."""

    trace: mpc.Trace
    summary: dict
    balance: dict


def plan_of(study, schedule):
    """rolling.Plan of a schedule: its hours held for four rolls each."""
    none, fleet = np.zeros(len(schedule.time)), study.fleet
    columns = [schedule.devices[d.name].get(key, none)
               for group in (fleet.plants, fleet.batteries)
               for key in ("p_mw", "q_mvar") for d in group]  # fmt: skip
    u = np.repeat(np.stack(columns, axis=1), 4, axis=0) if columns else np.zeros((96, 0))
    rate = mpc.stored(fleet, u[:, fleet.parts[2]])
    energy = fleet.ess["E_start"] + np.cumsum(rate / 4, axis=0)
    return rolling.Plan(u, energy, schedule, schedule.gap)


def weights(study):
    """rolling.Weights of the case for this feeder: corrections count as parts of its load."""
    case, feeder = study.case, study.feeder
    load = float(np.abs(feeder.p_load).sum()) * feeder.s_base_mva
    f = case["rolling.home"] / load if load > 0 else 1.0
    w = {k: case[f"rolling.{k}"] for k in ("deviation", "limit")}
    w |= {"terminal": f * case["rolling.terminal"], "loss": f * case["rolling.loss"]}
    prices = {"p_gen": "p_gen", "p_ess": "p_ess", "q_gen": "q", "q_ess": "q"}
    return rolling.Weights(**w, **{k: f**2 * case[f"rolling.{v}"] for k, v in prices.items()})


def roll(study, ahead, method="rolling", rolls=96):
    """Rolled: "nothing" leaves the devices alone, "plan" follows it, "rolling" corrects it."""
    plan = plan_of(study, ahead.schedule)
    limits = {k: ahead.limits[k] for k in ("V_min", "V_max")}
    V_ref = study.case["voltage.V_ref"]
    if not 1 <= rolls <= 96:
        raise ValueError(f"ROLLS is {rolls}; a day has 1 to 96 quarters of an hour")
    if method == "rolling":
        n_h = study.case["rolling.horizon"]
        controller = rolling.Window(study.fleet, plan, weights(study), n_h, V_ref=V_ref, **limits)
    else:
        made = {"nothing": mpc.idle(study.fleet), "plan": mpc.open_loop(study.fleet, plan)}
        controller = made[method]
    trace = mpc.receding_horizon(study.day.plant, controller, study.day.forecast, rolls)
    return Rolled(trace, _summary(study, trace, limits), _balance(study, trace))


def _summary(study, trace, limits):
    seen, drawn = trace.summary(**limits), trace.p_root * study.feeder.s_base_mva * trace.step_h
    hour = (np.arange(len(drawn)) * trace.step_h).astype(int)
    over = np.sqrt(trace.ell) > study.feeder.i_max * (1 + 1e-6)
    seen["cost"] = float(study.price[hour] @ drawn)
    seen["energy_mwh"] = float(drawn.sum())
    seen["overload_h"] = float(trace.step_h * over.sum())
    return {k: seen[k] for k in QUANTITIES}


def _balance(study, trace):
    """{power: largest drawn + generated - load - lost - shunts [p.u.], energy [MWh]}."""
    f, u = study.feeder, trace.u
    top, parts = f.root_bus, trace.fleet.parts
    made = (u[:, parts[0]].sum(axis=1) + u[:, parts[2]].sum(axis=1)) / f.s_base_mva
    taken = trace.p_load.sum(axis=1) + trace.p_loss + trace.V**2 @ f.g_shunt
    at_root = top.p_load - top.p_gen + top.g_shunt * f.V_root**2
    left = trace.p_root + made + f.p_gen.sum() - taken - at_root
    return {"power": float(np.abs(left).max()), "energy": trace.energy_created()}


# ---------------------------------------------------------------------------------- all of it


def flow_table(study):
    """DataFrame of the exact flow at the feeder's own loads: quantity, value, unit."""
    f, flow = study.feeder, powerflow.solve(study.feeder)
    base = f.s_base_mva
    load = np.sqrt(flow.ell) / f.i_max
    rows = [
        ("buses besides the root", f.n, ""),
        ("nominal load", base * f.p_load.sum(), "MW"),
        ("losses at nominal load", 1e3 * base * float(flow.p_loss), "kW"),
        ("lowest voltage", float(flow.V.min()), "p.u."),
        ("largest current over its rating", float(load.max(initial=0)), ""),
    ]
    return pd.DataFrame(rows, columns=["quantity", "value", "unit"]).set_index("quantity")
