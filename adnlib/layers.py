"""Three layers on one feeder: a plan a day ahead, windows every 15 minutes, zones every 5.

Chapter 25 composes them from chapters 4, 13 and 14. Here stands what lies between: the plan with
any machine's reactive limits, a day on which only some devices regulate, a window that is followed
for several rolls, a fast layer that remembers, and the numbers of a run.
"""

from dataclasses import dataclass, replace

import cvxpy as cp
import numpy as np

from . import dispatch
from .devices import TieLine
from .horizon import Part, labelled, named
from .mpc import Decision, Fleet, Outlook, Plant, SetPoint, stored
from .rolling import LEAST_CUT, Plan
from .solve import SolveError


@dataclass(frozen=True, eq=False)
class Machine:
    """Plant of the day-ahead plan whose active power is its forecast: p = p_mw.

    p_mw (n_t,) or a number [MW]; q_low <= q <= q_high (n_t,) [Mvar], what it can do at that p
    """

    bus: object
    p_mw: object
    q_low: object
    q_high: object
    name: str = ""

    def __post_init__(self):
        named(self, f"machine {self.bus}")
        if (np.asarray(self.q_low) > np.asarray(self.q_high)).any():
            raise ValueError(f"q_low of {self.name} exceeds its q_high")

    def part(self, h):
        """Part of the model."""
        p, low, high = (
            h.given(self.name, k, getattr(self, k)) for k in ("p_mw", "q_low", "q_high")
        )
        size = max(np.abs(low).max(), np.abs(high).max(), 1e-6)
        u = cp.Variable(h.rows, name=f"{self.name} q")
        limits = {"lower reactive limit": u >= low / size, "upper reactive limit": u <= high / size}
        shown = {"p_mw": cp.Constant(p), "q_mvar": size * u}
        return Part(((self.bus, *shown.values()),), labelled(self.name, limits), 0.0, shown)


def day_ahead(fleet, outlook, w_loss=1.0, w_deviation=1.0, step_h=0.25, loosen=(0.0,), **given):
    """(Plan, loosened): hourly plan of least w_loss x loss + w_deviation x sum (V - V_ref)^2.

    As rolling.day_ahead, for plants with any reactive limits (Fleet.capability), and with limits
    that give way: V_min - s and V_max + s with the first s of `loosen` [p.u.] that has a plan.
    SolveError of the last s where none has. The certificate is in plan.schedule, not enforced.
    """
    m = round(1 / step_h)
    p_load, q_load, available = (
        a.reshape(len(a) // m, m, a.shape[-1]).mean(axis=1)
        for a in (outlook.p_load, outlook.q_load, outlook.available_mw)
    )
    low, high = fleet.q_limits(available)
    machines = [Machine(plant.bus, available[:, j], low[:, j], high[:, j], plant.name)
                for j, plant in enumerate(fleet.plants)]  # fmt: skip
    V_min, V_max = (given.pop(k, default) for k, default in (("V_min", 0.95), ("V_max", 1.05)))
    weights = {"energy": 0, "loss": w_loss, "devices": 0,
               "deviation": w_deviation / (4 * given.get("V_ref", 1.0) ** 2)}  # fmt: skip
    for s in loosen:
        try:
            schedule = dispatch.day_ahead(
                fleet.feeder, [*machines, *fleet.batteries, TieLine(loss_price_per_mwh=1.0)],
                np.ones(len(p_load)), load=(p_load, q_load), objective=weights, strict=False,
                V_min=V_min - s, V_max=V_max + s, **given,
            )  # fmt: skip
            return _plan(fleet, schedule, m), s
        except SolveError:
            if s == loosen[-1]:
                raise
    raise ValueError("loosen is empty; give it at least the 0.0 of limits that hold")


def _plan(fleet, schedule, m):
    """The schedule's set-points at the step of the rolls, m to an hour."""
    none = np.zeros(len(schedule.time))
    columns = [schedule.devices[d.name].get(key, none)
               for group in (fleet.plants, fleet.batteries)
               for key in ("p_mw", "q_mvar") for d in group]  # fmt: skip
    u = np.repeat(np.stack(columns, axis=1), m, axis=0)
    rate = stored(fleet, u[:, fleet.parts[2]])
    energy = fleet.ess["E_start"] + np.cumsum(rate / m, axis=0)
    return Plan(u, energy, schedule, schedule.gap)


# ---------------------------------------------------------------------------------- a day


@dataclass(frozen=True, eq=False)
class Day:
    """A day of a fleet: `ahead` the Outlook of the day before, forecast(k, n) -> Outlook as it is
    made anew, `plant` what comes."""

    fleet: Fleet
    ahead: Outlook
    forecast: object
    plant: Plant


def only(day, names):
    """The same Day where only the devices of these names regulate.

    The other plants give what they can and no reactive power: they are load that is counted
    negative. The other batteries rest, and are left out. ValueError for an unknown name.
    """
    f, plant = day.fleet, day.plant
    known = [d.name for d in (*f.plants, *f.batteries)]
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} is no device of the fleet, which has {', '.join(known)}")
    stay = np.array([p.name in names for p in f.plants], bool)
    fleet = replace(
        f, plants=tuple(p for p in f.plants if p.name in names),
        batteries=tuple(b for b in f.batteries if b.name in names),
        capability={k: v for k, v in f.capability.items() if k in names},
    )  # fmt: skip

    def netted(seen):
        p = np.array(seen.p_load, float)
        for j in np.flatnonzero(~stay):
            p[:, f.at[j]] -= seen.available_mw[:, j] / f.feeder.s_base_mva
        return p, seen.q_load, seen.available_mw[:, stay]

    return Day(
        fleet, Outlook(*netted(day.ahead)), lambda k, n: Outlook(*netted(day.forecast(k, n))),
        Plant(fleet, *netted(plant), plant.step_h),
    )  # fmt: skip


# ---------------------------------------------------------------------------------- layers


def replanned(window, every=1):
    """Controller that solves a rolling.Window at every `every`-th roll and follows it between.

    every = 1 is the receding horizon; every = window.n_h follows a plan of the whole horizon with
    open eyes at its start only. ValueError where a window is shorter than `every`.
    """
    if not 1 <= every <= window.n_h:
        raise ValueError(f"a window of {window.n_h} steps cannot be followed for {every}")
    held, f = {}, window.fleet

    def controller(state, forecast):
        age = state.k % every
        if age == 0:
            outlook = forecast(state.k, window.n_h)
            held.update(window.solve(state, outlook), available=outlook.available_mw)
        p, q, p_ess, q_ess = (held["u"][age][part] for part in f.parts)
        free = p >= held["available"][age] - LEAST_CUT * f.rated_mw
        setpoint = SetPoint(np.where(free, np.inf, np.maximum(p, 0)), q, p_ess, q_ess)
        return Decision(setpoint, held["V"][age], held["E"][age])

    return controller


class Logged:
    """A fast layer that remembers: V (list of (n,)) as measured before it acts, `acted` (bool)."""

    def __init__(self, respond):
        self.respond, self.V, self.acted = respond, [], []

    def __call__(self, seen):
        change = self.respond(seen)
        self.V.append(seen.flow.V)
        self.acted.append(change is not None)
        return change


# ---------------------------------------------------------------------------------- numbers


def score(trace, plan=None, log=None, V_min=0.95, V_max=1.05, V_ref=1.0, optimal=(0.97, 1.03)):
    """{quantity: number} of a run: those of Trace.summary, and

    steps_out        steps with a bus beyond the limits
    unsettled_h      bus-hours beyond `optimal`
    overload_h       branch-hours above the rating           loading       largest current over it
    moved_p, moved_q size of the fast layer's corrections in force, MWh and Mvarh
    reversals        share of its successive moves of a device that undo part of the one before
    off              root mean square error of the voltages foreseen for a roll; NaN if none were
    with a Logged    events, steps in which it acted; before_h, bus-hours beyond the limits and
                     before_unsettled_h beyond `optimal`, as measured before it acted
    """
    h, f = trace.step_h, trace.fleet
    out = trace.summary(plan, V_min, V_max, V_ref)
    far = lambda V, low, high: (low - 1e-6 > V) | (high + 1e-6 < V)  # noqa: E731
    loading = np.sqrt(trace.ell) / f.feeder.i_max
    fast = np.array([np.concatenate(list(vars(c).values())) for c in trace.corrections])
    size = h * np.abs(fast).sum(axis=0)
    p = np.r_[f.parts[0], f.parts[2]]
    out |= {
        "steps_out": far(trace.V, V_min, V_max).any(axis=1).sum(),
        "unsettled_h": h * far(trace.V, *optimal).sum(),
        "overload_h": h * (loading > 1 + 1e-6).sum(),
        "loading": loading.max(),
        "moved_p": size[p].sum(),
        "moved_q": size.sum() - size[p].sum(),
        "reversals": reversals(fast, trace.m),
        "off": np.sqrt(((trace.V_foreseen - trace.by_roll(trace.V)) ** 2).mean()),
    }
    if log is not None:
        V = np.array(log.V)
        out |= {
            "events": sum(log.acted),
            "before_h": h * far(V, V_min, V_max).sum(),
            "before_unsettled_h": h * far(V, *optimal).sum(),
        }
    return {name: float(value) for name, value in out.items()}


def reversals(fast, m, least=1e-3):
    """Share of successive moves of a device within a roll that have opposite signs.

    fast (n_t, n_u) corrections in force [MW], [Mvar]; m steps a roll, between which moves are not
    compared; moves below `least` do not count. 0 where nothing moves twice.

    >>> reversals(np.array([[0.1], [0.3], [0.2]]), 3)  # up, up, down
    0.5
    """
    by_roll = fast.reshape(-1, m, fast.shape[1])
    move = np.diff(by_roll, axis=1, prepend=0)
    move = np.where(np.abs(move) < least, 0, move)
    pairs = move[:, 1:] * move[:, :-1]
    twice = np.count_nonzero(pairs)
    return float((pairs < 0).sum() / twice) if twice else 0.0
