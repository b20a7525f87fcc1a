"""The plant of a receding horizon: devices as arrays, what they are told, what they then do.

Chapter 13 uses it; `mpc` runs it. Powers of devices are in MW and Mvar, generation positive, the
feeder's own quantities in p.u.
"""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from . import powerflow


@dataclass(frozen=True, eq=False)
class Outlook:
    """What is foreseen for n intervals: p_load, q_load (n, n_bus) [p.u.], consumption positive;
    available_mw (n, n_g), what the plants could give."""

    p_load: np.ndarray
    q_load: np.ndarray
    available_mw: np.ndarray


@dataclass(frozen=True, eq=False)
class Fleet:
    """Plants and batteries of a feeder, as arrays.

    plants     devices.Renewable records; available_mw is the rated power, s_mva the inverter
    batteries  devices.Storage records; s_mva their inverter (None: no reactive power)
    capability {name of a plant: function of p [MW] (any shape) that gives (lowest, highest) q
               [Mvar]}; without one the inverter's circle, |q| <= sqrt(s^2 - p^2)
    Controls stand in one vector u (n_u,): p of the plants, q of the plants, p and q of the
    batteries, generation positive [MW], [Mvar]; `parts` has the four slices.
    """

    feeder: object
    plants: tuple
    batteries: tuple = ()
    capability: dict = field(default_factory=dict)

    def __post_init__(self):
        for device in (*self.plants, *self.batteries):
            if device.bus not in self.feeder.buses:
                raise ValueError(f"{device.name} stands at bus {device.bus}, which is no bus of "
                                 "the feeder (the root has no voltage to control)")  # fmt: skip
        for plant in self.plants:
            if np.ndim(plant.available_mw) or not plant.available_mw > 0:
                raise ValueError(f"available_mw of {plant.name} must be its rated power, a number")
        unknown = set(self.capability) - {plant.name for plant in self.plants}
        if unknown:
            raise ValueError(f"capability names {min(unknown)!r}, which is no plant of the fleet")

    @cached_property
    def parts(self):
        """The slices of u: (p of plants, q of plants, p of batteries, q of batteries)."""
        ends = np.cumsum([0, *[len(self.plants)] * 2, *[len(self.batteries)] * 2])
        return tuple(slice(a, b) for a, b in pairwise(ends))

    @property
    def n_u(self):
        """Number of controls."""
        return 2 * len(self.plants) + 2 * len(self.batteries)

    @cached_property
    def at(self):
        """(n_u,) position of the bus of each control."""
        index = [
            [self.feeder.index(d.bus) for d in group] for group in (self.plants, self.batteries)
        ]
        return np.array([*index[0], *index[0], *index[1], *index[1]], int)

    @cached_property
    def rated_mw(self):
        """(n_g,) rated power of the plants."""
        return np.array([plant.available_mw for plant in self.plants], float)

    @cached_property
    def ess(self):
        """{charge_mw, discharge_mw, s_mva, eta_in, eta_out, E_min, E_max, E_start}: (n_e,) each."""
        of = lambda f: np.array([f(b) for b in self.batteries], float)  # noqa: E731
        return {
            "charge_mw": of(lambda b: b.p_charge_mw),
            "discharge_mw": of(lambda b: b.p_discharge_mw),
            "s_mva": of(lambda b: b.s_mva or max(b.p_charge_mw, b.p_discharge_mw)),
            "no_q": of(lambda b: b.s_mva is None),
            "eta_in": of(lambda b: b.efficiency_charge),
            "eta_out": of(lambda b: b.efficiency_discharge),
            "E_min": of(lambda b: b.soc_min * b.energy_mwh),
            "E_max": of(lambda b: b.soc_max * b.energy_mwh),
            "E_start": of(lambda b: b.soc_start * b.energy_mwh),
        }  # fmt: skip

    def q_limits(self, p_mw):
        """(lowest, highest) reactive power of the plants at powers p_mw (..., n_g) [Mvar]."""
        p_mw = np.asarray(p_mw, float)
        low, high = np.zeros((2, *p_mw.shape))
        for j, plant in enumerate(self.plants):
            p = p_mw[..., j]
            if plant.name in self.capability:
                low[..., j], high[..., j] = self.capability[plant.name](p)
            elif plant.s_mva is not None:
                high[..., j] = np.sqrt(np.maximum(plant.s_mva**2 - p**2, 0))
                if plant.q_over_p is not None:
                    high[..., j] = np.minimum(high[..., j], plant.q_over_p * p)
                low[..., j] = -high[..., j]
        return low, high

    def injections(self, u, p_load, q_load):
        """(p, q) net injections (..., n) of controls u (..., n_u) beside the loads [p.u.]."""
        base = self.feeder.s_base_mva
        p, q = -np.asarray(p_load, float), -np.asarray(q_load, float)
        for out, parts in ((p, self.parts[::2]), (q, self.parts[1::2])):
            for part in parts:
                for j in range(part.start, part.stop):
                    out[..., self.at[j]] += u[..., j] / base
        return p, q


@dataclass(frozen=True, eq=False)
class SetPoint:
    """What the devices are told: cap_mw (n_g,) on the plants' active power (inf: none), q_gen_mvar
    (n_g,), p_ess_mw and q_ess_mvar (n_e,), generation positive."""

    cap_mw: np.ndarray
    q_gen_mvar: np.ndarray
    p_ess_mw: np.ndarray
    q_ess_mvar: np.ndarray


@dataclass(frozen=True, eq=False)
class Correction:
    """What a fast controller adds to the devices: p_gen_mw, q_gen_mvar (n_g,), p_ess_mw,
    q_ess_mvar (n_e,), generation positive. The plant clips the sum to what a device can do."""

    p_gen_mw: np.ndarray
    q_gen_mvar: np.ndarray
    p_ess_mw: np.ndarray
    q_ess_mvar: np.ndarray

    @classmethod
    def none(cls, fleet):
        """All zeros."""
        return cls(*(np.zeros(part.stop - part.start) for part in fleet.parts))

    def plus(self, other):
        """Sum of two corrections."""
        mine, theirs = vars(self), vars(other)
        return Correction(**{name: mine[name] + theirs[name] for name in mine})


@dataclass(frozen=True, eq=False)
class Applied:
    """What the plant did in one of its steps.

    t         index of the step              u (n_u,) applied controls [MW], [Mvar]
    available_mw (n_g,)                      energy_before, energy (n_e,) [MWh] round the step
    flow      powerflow.Flow, exact          wanted (n_u,) what set-point and correction asked for
    """

    t: int
    u: np.ndarray
    available_mw: np.ndarray
    energy_before: np.ndarray
    energy: np.ndarray
    flow: powerflow.Flow
    wanted: np.ndarray


@dataclass(frozen=True, eq=False)
class Plant:
    """The feeder as it is: real loads and plants at a fine step, exact AC flow.

    fleet; p_load, q_load (n_t, n) [p.u.]; available_mw (n_t, n_g); step_h
    """

    fleet: Fleet
    p_load: np.ndarray
    q_load: np.ndarray
    available_mw: np.ndarray
    step_h: float = 1 / 12

    def __post_init__(self):
        n_t, n = len(self.p_load), self.fleet.feeder.n
        want = {
            "p_load": (n_t, n),
            "q_load": (n_t, n),
            "available_mw": (n_t, len(self.fleet.plants)),
        }
        for name, shape in want.items():
            if np.shape(getattr(self, name)) != shape:
                raise ValueError(f"{name} has shape {np.shape(getattr(self, name))}, not {shape}")

    def step(self, t, setpoint, energy, correction=None):
        """Applied: step t from stored energy (n_e,) [MWh] with a set-point and a Correction.

        Each device does what it is told within what it can: plants min(available, cap) plus
        correction, in [0, available], and q within their capability at that p; batteries p within
        power and stored energy, then q within the inverter. Active power comes first. Depends on
        nothing but its arguments.
        """
        f, ess, c = self.fleet, self.fleet.ess, correction or Correction.none(self.fleet)
        available = self.available_mw[t]
        p_wanted = np.minimum(available, setpoint.cap_mw) + c.p_gen_mw
        q_wanted, e_wanted = setpoint.q_gen_mvar + c.q_gen_mvar, setpoint.p_ess_mw + c.p_ess_mw
        s_wanted = setpoint.q_ess_mvar + c.q_ess_mvar
        p = np.clip(p_wanted, 0, available)
        q = np.clip(q_wanted, *f.q_limits(p))
        room = (ess["E_max"] - energy) / (ess["eta_in"] * self.step_h)
        left = (energy - ess["E_min"]) * ess["eta_out"] / self.step_h
        most, least = np.minimum(ess["discharge_mw"], left), -np.minimum(ess["charge_mw"], room)
        p_ess = np.clip(e_wanted, np.minimum(least, 0), np.maximum(most, 0))
        reach = np.sqrt(np.maximum(ess["s_mva"] ** 2 - p_ess**2, 0)) * (1 - ess["no_q"])
        u = np.concatenate([p, q, p_ess, np.clip(s_wanted, -reach, reach)])
        after = energy + self.step_h * stored(f, p_ess)
        flow = powerflow.solve(
            f.feeder, *f.injections(u, self.p_load[t], self.q_load[t]), tol=1e-12
        )
        wanted = np.concatenate([p_wanted, q_wanted, e_wanted, s_wanted])
        return Applied(t, u, available, energy, after, flow, wanted)


def stored(fleet, p_ess):
    """(..., n_e) rate of the stored energy [MW] at battery powers p_ess, discharging positive:
    eta_in times what is charged, less what is discharged over eta_out."""
    ess = fleet.ess
    return ess["eta_in"] * np.maximum(-p_ess, 0) - np.maximum(p_ess, 0) / ess["eta_out"]
