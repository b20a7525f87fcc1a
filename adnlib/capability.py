"""What a plant may still do: reactive limits of PV and DFIG wind, power limits of storage.

Chapter 14 derives them. Everything is in p.u. of one base (1 MVA: MW, Mvar, MWh); generation is
positive. A doubly fed induction generator (DFIG) without resistances, stator at voltage U, has

    S_s + j U^2 / x_s = U (x_m / x_s) conj(I_r):

the rotor current limit is a circle round -j U^2 / x_s, the stator's one round 0. The grid-side
converter carries -slip P_s and adds what reactive power its rating leaves. Source: Engelhardt et
al., IEEE Trans. Energy Convers. 26(1), 2011, 10.1109/TEC.2010.2081365.
"""

from dataclasses import dataclass

import numpy as np

from .tables import positive

KINDS = ("pv", "wind", "storage")


def circle(s, p):
    """(q_min, q_max) of an inverter: -+ sqrt(s^2 - p^2), zero where |p| >= s. Any shapes.

    >>> [round(float(q), 9) for q in circle(1.0, 0.6)]
    [-0.8, 0.8]
    """
    q = np.sqrt(np.maximum(np.square(s) - np.square(p), 0))
    return -q, q


@dataclass(frozen=True)
class Dfig:
    """Doubly fed induction generator, in p.u. of its rated power; only its limits.

    x_s, x_m      stator and magnetising reactance          i_s_max, i_r_max   current limits
    s_gsc         rating of the grid-side converter
    speed_min, speed_max   rotor speed over the synchronous one; between them it follows the wind,
                  speed_max p^(1/3), so that full power comes at speed_max
    """

    x_s: float = 4.1
    x_m: float = 4.0
    i_s_max: float = 0.92
    i_r_max: float = 1.05
    s_gsc: float = 0.3
    speed_min: float = 0.7
    speed_max: float = 1.2

    def __post_init__(self):
        for name in self.__dataclass_fields__:
            positive(f"{name} of the DFIG", getattr(self, name))
        if self.x_m > self.x_s:
            raise ValueError(f"x_m = {self.x_m:g} exceeds x_s = {self.x_s:g}, which contains it")
        if self.speed_min > self.speed_max:
            raise ValueError("speed_min of the DFIG exceeds its speed_max")

    def slip(self, p):
        """1 - speed at output p (...), 0 to 1 p.u. of rated power; negative above synchronism."""
        speed = self.speed_max * np.cbrt(np.maximum(p, 0))
        return 1 - np.clip(speed, self.speed_min, self.speed_max)

    def limits(self, p, U=1.0):
        """(q_min, q_max) of stator and grid-side converter together at output p, voltage U.

        P_s = p / (1 - slip) in the stator, -slip P_s in the converter. NaN where a limit is
        passed by the active power alone: such an output is impossible.
        """
        slip = self.slip(p)
        p_s = np.asarray(p) / (1 - slip)
        with np.errstate(invalid="ignore"):
            stator = np.sqrt((U * self.i_s_max) ** 2 - p_s**2)
            rotor = np.sqrt((U * self.i_r_max * self.x_m / self.x_s) ** 2 - p_s**2)
            converter = np.sqrt(self.s_gsc**2 - (slip * p_s) ** 2)
        centre = -(U**2) / self.x_s
        q_max = np.minimum(stator, centre + rotor) + converter
        return np.maximum(-stator, centre - rotor) - converter, q_max


def storage_power(energy, e_min, e_max, p_charge, p_discharge, eta_in, eta_out, step_h):
    """(p_min, p_max), charging negative, that keep the energy inside for one step.

    p is one signed number, so that charging and discharging exclude each other. Energy outside
    [e_min, e_max] leaves no power that makes it worse.

    >>> p_min, p_max = storage_power(0.5, 0.1, 0.55, 0.3, 0.3, 1, 1, 1 / 12)
    >>> round(float(p_min), 9), round(float(p_max), 9)  # 0.05 MWh fit, in 5 min 0.6 MW: no limit
    (-0.3, 0.3)
    >>> round(float(storage_power(0.5, 0.1, 0.51, 0.3, 0.3, 1, 1, 1 / 12)[0]), 9)
    -0.12
    """
    into = np.maximum(e_max - np.asarray(energy), 0) / (eta_in * step_h)
    out = np.maximum(np.asarray(energy) - e_min, 0) * eta_out / step_h
    return -np.minimum(p_charge, into), np.minimum(p_discharge, out)


def stored(energy, p, eta_in, eta_out, step_h):
    """Energy after a step at power p, charging negative: eta_in charged - discharged / eta_out."""
    p = np.asarray(p)
    return energy + (np.maximum(-p, 0) * eta_in - np.maximum(p, 0) / eta_out) * step_h


@dataclass(frozen=True, eq=False)
class Room:
    """Limits of the set-points at a moment, each (..., k) [p.u.].

    q_min, q_max at the present active power; p_min, p_max; s: |p + j q| <= s must hold when the
    active power moves (inf where the reactive limits alone say it).
    """

    q_min: np.ndarray
    q_max: np.ndarray
    p_min: np.ndarray
    p_max: np.ndarray
    s: np.ndarray


@dataclass(frozen=True, eq=False)
class Plants:
    """The plants of a feeder as arrays over k plants [p.u.].

    at (k,)       position of the bus in the feeder's arrays      kind (k,)  pv, wind or storage
    s (k,)        inverter of PV and storage, rated power of wind (`machine` is in parts of it)
    p_max (k,)    largest charge and discharge of storage (others: not read)
    e_min, e_max (k,)   limits of stored energy [p.u. h]     efficiency   of storage, each way
    """

    at: np.ndarray
    kind: np.ndarray
    s: np.ndarray
    p_max: np.ndarray
    e_min: np.ndarray
    e_max: np.ndarray
    efficiency: float = 0.95
    machine: Dfig = Dfig()

    def __post_init__(self):
        unknown = sorted(set(map(str, self.kind)) - set(KINDS))
        if unknown:
            raise ValueError(f"kind {unknown[0]!r} is none of {', '.join(KINDS)}")
        for name in ("at", "kind", "s", "p_max", "e_min", "e_max"):
            array = np.asarray(getattr(self, name))
            if array.shape != np.shape(self.at):
                raise ValueError(f"{name} has shape {array.shape}, at has {np.shape(self.at)}")
            object.__setattr__(self, name, array)
        if (self.s <= 0).any():
            raise ValueError(f"s of plant {int(np.argmax(self.s <= 0))} is not positive")
        if (self.e_min > self.e_max).any():
            raise ValueError(f"e_min exceeds e_max at plant {np.argmax(self.e_min > self.e_max)}")

    @property
    def renewable(self):
        """(k,) bool: PV or wind."""
        return self.kind != "storage"

    def reactive(self, p, V=1.0):
        """(q_min, q_max), each (..., k), at active powers p; V (..., k) voltages of the plants."""
        q_min, q_max = circle(self.s, p)
        wind = self.kind == "wind"
        if wind.any():
            low, high = self.machine.limits(np.where(wind, p, 0) / self.s, V)
            q_min, q_max = np.where(wind, low * self.s, q_min), np.where(wind, high * self.s, q_max)
            if np.isnan(q_min + q_max).any():
                j = int(np.argwhere(np.isnan(q_min + q_max))[0][-1])
                raise ValueError(
                    f"plant {j}, rated {self.s[j]:g}, gives {np.max(p[..., j]):g}: more than the "
                    "currents of its machine allow"
                )
        return q_min, q_max

    def active(self, available, energy, step_h):
        """(p_min, p_max), each (..., k): renewables 0 to available, storage by its energy."""
        low, high = storage_power(energy, self.e_min, self.e_max, self.p_max, self.p_max,
                                  self.efficiency, self.efficiency, step_h)  # fmt: skip
        return np.where(self.renewable, 0.0, low), np.where(self.renewable, available, high)

    def room(self, p, available, energy, step_h, V=1.0):
        """Room at active powers p (..., k): available output of PV and wind, energy of storage.

        Entries of `available` for storage and of `energy` for the others are not read.
        """
        s = np.where(self.kind == "wind", np.inf, self.s)
        limits = (*self.reactive(p, V), *self.active(available, energy, step_h))
        return Room(*limits, np.broadcast_to(s, np.shape(p)))

    def obey(self, p, q, available, energy, step_h, V=1.0):
        """(p, q, Room): set-points as the plants can follow them, active power first."""
        p = np.clip(p, *self.active(available, energy, step_h))
        room = self.room(p, available, energy, step_h, V)
        return p, np.clip(q, room.q_min, room.q_max), room

    def after(self, p, energy, step_h):
        """(..., k) energy after a step at active powers p; of storage, others unchanged."""
        e = stored(energy, p, self.efficiency, self.efficiency, step_h)
        return np.where(self.renewable, energy, e)
