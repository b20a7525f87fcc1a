"""Receding horizon: a controller that plans again every quarter of an hour, on an exact plant.

Chapter 13 builds it step by step. `receding_horizon` runs a day: at each roll the controller gets
the state of the plant and a forecast, and gives set-points; the plant keeps them for the length of
a roll and answers with the exact AC flow every 5 minutes; a fast controller may correct them there.
The plant and its devices stand in `plant`, the windows that a controller solves in `rolling`, the
forecasts in `forecast`.
"""

from dataclasses import dataclass, field

import numpy as np

from .plant import Applied, Correction, Fleet, Outlook, Plant, SetPoint, stored

__all__ = [
    "Applied", "Correction", "Decision", "Fleet", "Outlook", "Plant", "SetPoint", "State", "Trace",
    "idle", "open_loop", "receding_horizon", "stored",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class State:
    """What a controller may know at the start of roll k: the stored energy (n_e,) [MWh] and `last`,
    the Applied before it (None at the start)."""

    k: int
    energy: np.ndarray
    last: Applied | None


@dataclass(frozen=True, eq=False)
class Decision:
    """Answer of a controller: the set-points of this roll, and what it foresees.

    setpoint; V (n,) voltages and energy (n_e,) at the end of the roll foreseen, or None; notes:
    numbers to keep in the trace, such as the objective or the cone gap
    """

    setpoint: SetPoint
    V: np.ndarray | None = None
    energy: np.ndarray | None = None
    notes: dict = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Trace:
    """What happened. n_t steps of the plant, n_k rolls of m steps.

    step_h, m      length of a step [h], steps a roll       fleet
    u, wanted      (n_t, n_u) applied, asked for            available_mw (n_t, n_g)
    energy         (n_t + 1, n_e) [MWh], before the first step and after each
    p_load, q_load (n_t, n) [p.u.]
    V, ell         (n_t, n)      p_loss, p_root (n_t,) [p.u.]
    setpoints      n_k SetPoint, as the controller gave them
    corrections    n_t Correction in force, zeros without a fast controller
    V_foreseen     (n_k, n) or NaN     energy_foreseen (n_k, n_e) or NaN     notes: n_k dicts
    """

    step_h: float
    m: int
    fleet: Fleet
    u: np.ndarray
    wanted: np.ndarray
    available_mw: np.ndarray
    energy: np.ndarray
    p_load: np.ndarray
    q_load: np.ndarray
    V: np.ndarray
    ell: np.ndarray
    p_loss: np.ndarray
    p_root: np.ndarray
    setpoints: tuple
    corrections: tuple
    V_foreseen: np.ndarray
    energy_foreseen: np.ndarray
    notes: tuple

    def by_roll(self, a):
        """(n_k, ...) means over the rolls of an array over the steps."""
        return a.reshape(-1, self.m, *a.shape[1:]).mean(axis=1)

    def balance(self):
        """Largest power that is out of balance [p.u.]: drawn + generated - load - lost. Leaves out
        what shunts take."""
        f = self.fleet
        p = self.u[:, f.parts[0]].sum(axis=1) + self.u[:, f.parts[2]].sum(axis=1)
        left = self.p_root + p / f.feeder.s_base_mva - self.p_load.sum(axis=1) - self.p_loss
        return float(np.abs(left).max())

    def energy_created(self):
        """Largest energy of a battery that its power does not explain, over the whole trace [MWh]:
        |E - E_start - integral of the stored rate|."""
        rate = stored(self.fleet, self.u[:, self.fleet.parts[2]])
        explained = self.energy[0] + np.cumsum(self.step_h * rate, axis=0)
        return float(np.abs(self.energy[1:] - explained).max(initial=0))

    def summary(self, plan=None, V_min=0.95, V_max=1.05, V_ref=1.0):
        """{quantity: number} of the day.

        loss_mwh; deviation [p.u.^2 h], sum over buses of (V - V_ref)^2; violation [p.u. h], sum of
        what lies beyond the limits; outside_h, bus-hours there; V_low, V_high; curtailed_mwh;
        energy_end_mwh. With a rolling.Plan: correction [MW^2 h] of all controls but the plants' p,
        over the rolls that the trace has.
        """
        base, h, f = self.fleet.feeder.s_base_mva, self.step_h, self.fleet
        beyond = np.maximum(np.maximum(V_min - self.V, self.V - V_max), 0)
        lost = self.available_mw - self.u[:, f.parts[0]]
        out = {
            "loss_mwh": h * base * self.p_loss.sum(),
            "deviation": h * ((self.V - V_ref) ** 2).sum(),
            "violation": h * beyond.sum(),
            "outside_h": h * (beyond > 1e-6).sum(),
            "V_low": self.V.min(),
            "V_high": self.V.max(),
            "curtailed_mwh": h * lost.sum(),
            "energy_end_mwh": self.energy[-1].sum(),
        }
        if plan is not None:
            off = self.u - np.repeat(plan.u[: len(self.setpoints)], self.m, axis=0)
            out["correction"] = h * (off[:, f.parts[1].start :] ** 2).sum()
        return {name: float(value) for name, value in out.items()}


def receding_horizon(
    plant, controller, forecast, rolls=None, m=3, energy=None, fast=None, keep=False
):
    """Trace of a day: plan, apply the first step, measure, plan again.

    plant       Plant, or anything with its fields and `step`
    controller  controller(state, forecast) -> Decision, with state a State; called once a roll
    forecast    forecast(k, n) -> Outlook, made at the start of roll k: handed to the controller
    rolls, m    number of rolls (None: the whole plant), and steps of the plant in each
    energy      (n_e,) stored at the start [MWh]; None: the batteries' own
    fast        fast(seen) -> Correction or None. Called once in every step of the plant (5 min),
                after the roll's set-points and the correction in force are applied. `seen` is the
                Applied of this step so far: the measured voltages are seen.flow.V, what the devices
                do seen.u, what the plants could give seen.available_mw, and the energy that is
                there seen.energy_before. What it returns is added to the correction in force
                and the step is done again from the same energy: the trace holds the step
                after it. A correction stays in force for the steps that follow in the roll, so
                that the fast controller returns changes, and None for none
    keep        what becomes of the correction at the next roll: False, it is reset to zero (the
                new plan replaces it); True, it stays added to the new set-points. The mpc paper
                does not say which
    The state that a roll starts from is the plant's own, nothing is copied or predicted.
    ValueError where the plant has fewer steps than rolls m, or a correction has a wrong shape.
    """
    fleet, n_t = plant.fleet, len(plant.p_load)
    rolls = n_t // m if rolls is None else rolls
    if rolls < 1 or rolls * m > n_t:
        raise ValueError(f"{rolls} rolls of {m} steps do not fit the plant's {n_t} steps")
    energy = fleet.ess["E_start"] if energy is None else np.asarray(energy, float)
    state, in_force = State(0, energy, None), Correction.none(fleet)
    steps, decisions, corrections = [], [], []
    for k in range(rolls):
        decision = controller(state, forecast)
        decisions.append(decision)
        in_force = in_force if keep else Correction.none(fleet)
        for t in range(k * m, (k + 1) * m):
            done = plant.step(t, decision.setpoint, energy, in_force)
            change = None if fast is None else fast(done)
            if change is not None:
                in_force = _checked(fleet, in_force.plus(change))
                done = plant.step(t, decision.setpoint, energy, in_force)
            energy = done.energy
            steps.append(done)
            corrections.append(in_force)
        state = State(k + 1, energy, done)
    return _trace(plant, m, steps, decisions, corrections)


def _checked(fleet, correction):
    for (name, a), part in zip(vars(correction).items(), fleet.parts):
        if np.shape(a) != (part.stop - part.start,):
            raise ValueError(f"{name} of a correction has shape {np.shape(a)}, not "
                             f"({part.stop - part.start},)")  # fmt: skip
    return correction


def _trace(plant, m, steps, decisions, corrections):
    fleet, n_t = plant.fleet, len(steps)
    nan = lambda a, n: np.full(n, np.nan) if a is None else a  # noqa: E731
    n, n_e = fleet.feeder.n, len(fleet.batteries)
    of = lambda name: np.array([getattr(s.flow, name) for s in steps])  # noqa: E731
    return Trace(
        step_h=plant.step_h,
        m=m,
        fleet=fleet,
        u=np.array([s.u for s in steps]),
        wanted=np.array([s.wanted for s in steps]),
        available_mw=np.array([s.available_mw for s in steps]),
        energy=np.array([steps[0].energy_before] + [s.energy for s in steps]),
        p_load=plant.p_load[:n_t],
        q_load=plant.q_load[:n_t],
        **{name: of(name) for name in ("V", "ell", "p_loss", "p_root")},
        setpoints=tuple(d.setpoint for d in decisions),
        corrections=tuple(corrections),
        V_foreseen=np.array([nan(d.V, n) for d in decisions]),
        energy_foreseen=np.array([nan(d.energy, n_e) for d in decisions]),
        notes=tuple(d.notes for d in decisions),
    )


# ---------------------------------------------------------------------------------- simple ones


def idle(fleet):
    """Controller that leaves the devices alone: no reactive power, batteries at rest, no cap."""
    parts = [np.zeros(part.stop - part.start) for part in fleet.parts]
    setpoint = SetPoint(np.full(len(fleet.plants), np.inf), *parts[1:])
    return lambda state, forecast: Decision(setpoint)


def open_loop(fleet, plan):
    """Controller that follows a rolling.Plan whatever comes: its q, its batteries, no cap."""

    def controller(state, forecast):
        _, q, p_ess, q_ess = (plan.u[state.k, part] for part in fleet.parts)
        return Decision(SetPoint(np.full(len(fleet.plants), np.inf), q, p_ess, q_ess),
                        energy=plan.energy[state.k])  # fmt: skip

    return controller
