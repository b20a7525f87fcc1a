"""Devices of an active distribution network: small records that give constraints and cost.

Chapter 04 walks through them. A record holds what a user knows, in MW, Mvar, MWh, hours and money;
`device.part(horizon)` adds it to a model (horizon.Part). Injections are positive for generation.
Tap changers and capacitor banks stand in `switched`, flexible loads in `flexible`, the line to the
grid above in `tieline`; all can be imported from here.
"""

from dataclasses import dataclass

import cvxpy as cp
import numpy as np

from .flexible import DemandResponse, ReducibleLoad, TransferableLoad
from .horizon import Part, inverter, labelled, named, not_negative, placed, ramp
from .switched import CapacitorBank, Moves, TapChanger
from .tables import positive
from .tieline import TieLine

__all__ = [
    "CapacitorBank", "DemandResponse", "GasTurbine", "Moves", "ReducibleLoad", "Renewable",
    "SoftOpenPoint", "StaticVar", "Storage", "TapChanger", "TieLine", "TransferableLoad",
]  # fmt: skip


# ---------------------------------------------------------------------------------- generation


@dataclass(frozen=True, eq=False)
class Renewable:
    """PV plant or wind turbine: 0 <= p <= available (= without curtailment), p^2 + q^2 <= s^2.

    available_mw  forecast, a number, (n_t,) or (n_s, n_t) [MW]
    s_mva         inverter; None: no reactive power.  q_over_p: largest |q| / p, or None
    cost_per_mwh of what is produced, curtailment_cost_per_mwh of what is not [money]
    p and q are recourse: they may differ by scenario.
    """

    bus: object
    available_mw: object
    s_mva: float | None = None
    curtailable: bool = True
    q_over_p: float | None = None
    cost_per_mwh: float = 0.0
    curtailment_cost_per_mwh: float = 0.0
    name: str = ""

    def __post_init__(self):
        named(self, f"plant {self.bus}")
        not_negative(self, "available_mw", "s_mva", "q_over_p")

    def part(self, h):
        """Part of the model."""
        most = h.given(self.name, "available_mw", self.available_mw)
        if not self.curtailable and self.s_mva is not None and (most > self.s_mva).any():
            raise ValueError(
                f"{self.name} gives up to {most.max():g} MW through an inverter of {self.s_mva:g} "
                "MVA and may not be curtailed; let it be curtailable or enlarge s_mva"
            )
        p, limits, on = cp.Constant(most), {}, np.flatnonzero(most)
        if self.curtailable and len(on):
            u = cp.Variable(len(on), nonneg=True, name=self.name)
            p, limits["forecast"] = placed(cp.multiply(most[on], u), on, h.rows), u <= 1
        q, more = inverter(h, self, p, self.s_mva, self.q_over_p)
        lost = self.curtailment_cost_per_mwh * h.expected(most - p)
        cost = self.cost_per_mwh * h.expected(p) + lost
        shown = {"p_mw": p, "available_mw": cp.Constant(most)}
        shown |= {} if q is None else {"q_mvar": q}
        return Part(((self.bus, p, q),), labelled(self.name, limits) + more, cost, shown)


@dataclass(frozen=True, eq=False)
class GasTurbine:
    """Micro gas turbine: p_min <= p <= p_max, |change of p| <= ramp, p^2 + q^2 <= s^2.

    ramp_mw_per_h: per hour, both ways; start_mw: output before the first interval, or None
    s_mva None: no reactive power. cost_per_mwh [money]. p and q are recourse.
    """

    bus: object
    p_max_mw: float
    p_min_mw: float = 0.0
    s_mva: float | None = None
    ramp_mw_per_h: float | None = None
    start_mw: float | None = None
    cost_per_mwh: float = 0.0
    name: str = ""

    def __post_init__(self):
        named(self, f"turbine {self.bus}")
        positive(f"p_max_mw of {self.name}", self.p_max_mw)
        if not 0 <= self.p_min_mw <= self.p_max_mw:
            raise ValueError(f"p_min_mw of {self.name} is {self.p_min_mw}, not 0 to p_max_mw")
        if self.s_mva is not None and self.s_mva < self.p_max_mw:
            raise ValueError(f"s_mva of {self.name} is below its p_max_mw {self.p_max_mw:g}")

    def part(self, h):
        """Part of the model."""
        u = cp.Variable(h.rows, name=self.name)
        p = self.p_max_mw * u
        limits = {"lower limit": u >= self.p_min_mw / self.p_max_mw, "upper limit": u <= 1}
        if self.ramp_mw_per_h is not None:
            limits |= ramp(h, p, self.ramp_mw_per_h, self.start_mw)
        q, more = inverter(h, self, p, self.s_mva, None)
        shown = {"p_mw": p} | ({} if q is None else {"q_mvar": q})
        cost = self.cost_per_mwh * h.expected(p)
        return Part(((self.bus, p, q),), labelled(self.name, limits) + more, cost, shown)


# ---------------------------------------------------------------------------------- storage


@dataclass(frozen=True, eq=False)
class Storage:
    """Battery: E(t+1) = E(t) + (eta_charge p_charge - p_discharge / eta_discharge) step_h.

    energy_mwh; soc_min, soc_max, soc_start in parts of it; cyclic: the day ends where it starts
    p_charge_mw, p_discharge_mw  largest powers, on the grid's side
    exclusive     a binary an interval forbids charging and discharging at once
    s_mva         four-quadrant inverter for reactive power (recourse); None: none
    cost_per_mwh  of energy charged and of energy discharged [money]
    Powers and energy are shared by all scenarios.
    """

    bus: object
    energy_mwh: float
    p_charge_mw: float
    p_discharge_mw: float
    efficiency_charge: float = 0.95
    efficiency_discharge: float = 0.95
    soc_min: float = 0.1
    soc_max: float = 0.9
    soc_start: float = 0.5
    cyclic: bool = True
    exclusive: bool = True
    s_mva: float | None = None
    cost_per_mwh: float = 0.0
    name: str = ""

    def __post_init__(self):
        named(self, f"storage {self.bus}")
        for name in ("energy_mwh", "p_charge_mw", "p_discharge_mw"):
            positive(f"{name} of {self.name}", getattr(self, name))
        for name in ("efficiency_charge", "efficiency_discharge"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} of {self.name} is {getattr(self, name)}, not in (0, 1]")
        if not 0 <= self.soc_min <= self.soc_start <= self.soc_max <= 1:
            raise ValueError(
                f"{self.name} needs 0 <= soc_min <= soc_start <= soc_max <= 1; it has "
                f"{self.soc_min}, {self.soc_start}, {self.soc_max}"
            )

    def part(self, h):
        """Part of the model."""
        c, d = (h.shared(f"{self.name} {k}", nonneg=True) for k in ("in", "out"))
        p_in, p_out = self.p_charge_mw * c, self.p_discharge_mw * d
        gained = self.efficiency_charge * p_in - p_out / self.efficiency_discharge
        soc = self.soc_start + (h.step_h / self.energy_mwh) * cp.cumsum(gained)
        limits = {
            "lowest energy": soc >= self.soc_min,
            "highest energy": soc <= self.soc_max,
            "end of day": soc[-1] == self.soc_start if self.cyclic else None,
        }
        if self.exclusive:
            charging = h.binary((h.n_t,), f"{self.name} charging")
            limits |= {"charging power": c <= charging, "discharging power": d <= 1 - charging}
        else:
            limits |= {"charging power": c <= 1, "discharging power": d <= 1}
        p = h.repeat(p_out - p_in)
        q, more = None, []
        if self.s_mva is not None:  # a copy in the circle, so that intervals meet in energy alone
            given = self.s_mva * cp.Variable(h.rows)
            q, more = inverter(h, self, given, self.s_mva, None)
            more.append((given - p) / self.s_mva == 0)
        shown = {"p_mw": p_out - p_in, "charge_mw": p_in, "discharge_mw": p_out}
        shown |= {"energy_mwh": self.energy_mwh * soc} | ({} if q is None else {"q_mvar": q})
        cost = self.cost_per_mwh * h.integral(p_in + p_out)
        return Part(((self.bus, p, q),), labelled(self.name, limits) + more, cost, shown)


# ---------------------------------------------------------------------------------- reactive


@dataclass(frozen=True, eq=False)
class StaticVar:
    """Static var compensator: q_min <= q <= q_max, recourse; cost_per_mvarh of |q| [money]."""

    bus: object
    q_min_mvar: float
    q_max_mvar: float
    cost_per_mvarh: float = 0.0
    name: str = ""

    def __post_init__(self):
        named(self, f"var compensator {self.bus}")
        if not self.q_min_mvar < self.q_max_mvar:
            raise ValueError(f"{self.name} needs q_min_mvar < q_max_mvar")
        not_negative(self, "cost_per_mvarh")

    def part(self, h):
        """Part of the model."""
        size = max(abs(self.q_min_mvar), abs(self.q_max_mvar))
        u = cp.Variable(h.rows, name=self.name)
        limits = {
            "lower limit": u >= self.q_min_mvar / size,
            "upper limit": u <= self.q_max_mvar / size,
        }
        q = size * u
        cost = self.cost_per_mvarh * h.expected(cp.abs(q)) if self.cost_per_mvarh else 0.0
        return Part(((self.bus, None, q),), labelled(self.name, limits), cost, {"q_mvar": q})


@dataclass(frozen=True, eq=False)
class SoftOpenPoint:
    """Back-to-back converter between two buses: p_a + p_b + losses = 0, |s| <= s_mva at each end.

    loss: part of |s| lost in each converter; relaxed to >=, exact where losing costs. Recourse.
    """

    bus_a: object
    bus_b: object
    s_mva: float
    loss: float = 0.02
    name: str = ""

    def __post_init__(self):
        named(self, f"soft open point {self.bus_a}-{self.bus_b}")
        positive(f"s_mva of {self.name}", self.s_mva)
        not_negative(self, "loss")

    def part(self, h):
        """Part of the model."""
        at, constraints, shown, apparent = [], [], {}, 0
        for end, bus in zip("ab", (self.bus_a, self.bus_b)):
            p, q, s = (cp.Variable(h.rows, name=f"{self.name} {k}_{end}") for k in "pqs")
            constraints += [cp.SOC(s, cp.vstack([p, q]), axis=0)]
            constraints += labelled(self.name, {f"capacity at {bus}": s <= 1})
            at.append((bus, self.s_mva * p, self.s_mva * q))
            shown |= {f"p_{end}_mw": self.s_mva * p, f"q_{end}_mvar": self.s_mva * q}
            apparent += s
        transfer = (at[0][1] + at[1][1]) / self.s_mva
        return Part(tuple(at), [*constraints, transfer + self.loss * apparent == 0], 0.0, shown)
