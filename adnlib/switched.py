"""Devices with positions: tap changers and capacitor banks, by ordered binaries.

Chapter 04 derives them. A position n in 0 .. N is a ladder sigma_1 >= ... >= sigma_N of binaries,
n = sum of sigma, so that any function of the position is linear in them:

    f(n) = f(0) + sum_s (f(s) - f(s-1)) sigma_s

The square of the tap ratio is such a function, and a product of a ladder with a bounded voltage is
linear in one more variable a rung (McCormick, Math. Program. 10, 1976, 10.1007/BF01580665, exact
for binaries).
"""

from dataclasses import dataclass

import cvxpy as cp
import numpy as np

from .horizon import Part, at_times, labelled, named
from .tables import plain_label, positive


@dataclass(frozen=True)
class Moves:
    """Limits and costs of moving; None: no limit. An operation is a move of any number of steps.

    operations_per_hour, operations_per_day, steps_per_hour, steps_per_day; steps_at_once;
    cost_per_operation, cost_per_step [money]. Hours are all runs of one hour, days are days of the
    horizon; an interval of more than an hour may use what its hours may.
    """

    operations_per_hour: float | None = None
    operations_per_day: float | None = None
    steps_per_hour: float | None = None
    steps_per_day: float | None = None
    steps_at_once: float | None = None
    cost_per_operation: float = 0.0
    cost_per_step: float = 0.0


@dataclass(frozen=True, eq=False)
class TapChanger:
    """On-load tap changer: V_side = V_primary (k_min + k_step position), position 0 .. n_steps.

    bus None: between the source, of voltage V_source [p.u.], and the root (the OLTC of the papers);
    a bus label: a regulator in the branch above that bus, whose own ratio it replaces.
    start: position before the first interval, from which the first move counts; None: free.
    """

    k_min: float = 0.9
    k_step: float = 0.01
    n_steps: int = 20
    start: int | None = None
    bus: object = None
    V_source: float = 1.0
    moves: Moves = Moves()
    name: str = ""

    def __post_init__(self):
        named(self, "tap changer" if self.bus is None else f"regulator {self.bus}")
        positive(f"k_min of {self.name}", self.k_min)
        _check_ladder(self)

    @property
    def ratios(self):
        """(n_steps + 1,) ratio of every position."""
        return self.k_min + self.k_step * np.arange(self.n_steps + 1)

    def part(self, h):
        """Part of the model: the squared root voltage, or that behind the regulator."""
        square = self.ratios**2
        sigma, constraints = _ladder(h, self)
        cost, more, shown = _moved(h, self, sigma)
        constraints += more
        shown["ratio"] = self.k_min + self.k_step * shown["position"]
        if self.bus is None:
            v_root = self.V_source**2 * (square[0] + sigma @ np.diff(square))
            return Part((), constraints, cost, shown, v_root=h.repeat(v_root))
        up = h.feeder.parent[_branch(h.feeder, self)]
        v_up = cp.Constant(np.full(h.rows, h.V_root**2)) if up < 0 else h.v[:, int(up)]
        product, more = _product(h, self, sigma, v_up)
        v_side = square[0] * v_up + product @ np.diff(square)
        return Part((), constraints + more, cost, shown, tapped=self.bus, v_side=v_side)


@dataclass(frozen=True, eq=False)
class CapacitorBank:
    """Switched bank of n_steps groups of step_mvar each at a bus.

    admittance False: each group gives step_mvar at any voltage, as in the papers. True: step_mvar
    is at 1 p.u. and grows with the square of the voltage, as capacitors do.
    cost_per_mvarh of what is given (at 1 p.u.) [money]. start, moves: as TapChanger.
    """

    bus: object
    step_mvar: float
    n_steps: int
    start: int | None = None
    admittance: bool = False
    cost_per_mvarh: float = 0.0
    moves: Moves = Moves()
    name: str = ""

    def __post_init__(self):
        named(self, f"bank {self.bus}")
        positive(f"step_mvar of {self.name}", self.step_mvar)
        _check_ladder(self)

    def part(self, h):
        """Part of the model: reactive power, constant or with the square of the voltage."""
        sigma, constraints = _ladder(h, self)
        cost, more, shown = _moved(h, self, sigma)
        q = self.step_mvar * shown["position"]
        cost = cost + self.cost_per_mvarh * h.integral(q)
        rows = {"q_mvar": q}
        if not self.admittance:
            return Part(((self.bus, None, h.repeat(q)),), constraints + more, cost, shown | rows)
        v = h.v[:, h.feeder.index(self.bus)]
        product, bounds = _product(h, self, sigma, v)
        given = self.step_mvar * cp.sum(product, axis=1)
        b = h.repeat(q) / h.feeder.s_base_mva
        return Part(
            ((self.bus, None, given),), constraints + more + bounds, cost,
            shown | {"q_mvar": given}, bank=self.bus, b_shunt=b,
        )  # fmt: skip


# ---------------------------------------------------------------------------------- inside


def _check_ladder(device):
    if device.n_steps != int(device.n_steps) or device.n_steps < 1:
        raise ValueError(f"{device.name} has n_steps = {device.n_steps}; it needs 1 step or more")
    if device.start is not None and device.start not in range(int(device.n_steps) + 1):
        raise ValueError(
            f"{device.name} starts at position {device.start}; it has 0 to {device.n_steps}"
        )


def _ladder(h, device):
    """Ordered binaries (n_t, n_steps) and their order."""
    sigma = h.binary((h.n_t, device.n_steps), f"{device.name} ladder")
    order = [sigma[:, 1:] <= sigma[:, :-1]] if device.n_steps > 1 else []
    return sigma, order


def _moved(h, device, sigma):
    """(cost, constraints, shown) of the moves of a ladder.

    An operation is seen by every rung that changes: flag_t >= |sigma_ts - sigma_(t-1)s|, which is
    tighter than one big-M row, and the flag may be continuous. All rungs change the same way, so
    the steps of a move are the absolute value of a sum.
    """
    position = cp.sum(sigma, axis=1)
    first = 0 if device.start is not None else 1
    m, moves, out, cost = h.n_t - first, device.moves, [], 0.0
    if m == 0:
        return 0.0, [], {"position": position}
    if device.start is not None:
        start = (np.arange(device.n_steps) < device.start).astype(float)[None, :]
        change = sigma - cp.vstack([start, sigma[:-1]]) if h.n_t > 1 else sigma - start
    else:
        change = sigma[1:] - sigma[:-1]
    limits = {"per hour": (1, moves.operations_per_hour), "per day": (24, moves.operations_per_day)}
    if any(n is not None for _, n in limits.values()) or moves.cost_per_operation:
        flag = cp.Variable(m, nonneg=True, name=f"{device.name} operations")
        wide = cp.reshape(flag, (m, 1), order="C") @ np.ones((1, device.n_steps))
        out += [change <= wide, -change <= wide, flag <= 1]
        out += _at_most(h, device, flag, first, limits, "operations")
        cost += moves.cost_per_operation * cp.sum(flag)
    limits = {"per hour": (1, moves.steps_per_hour), "per day": (24, moves.steps_per_day)}
    many = any(n is not None for _, n in limits.values()) or moves.cost_per_step
    if many or moves.steps_at_once is not None:
        steps, net = (
            cp.Variable(m, nonneg=True, name=f"{device.name} steps"),
            cp.sum(change, axis=1),
        )
        out += [net <= steps, -net <= steps]
        out += _at_most(h, device, steps, first, limits, "steps")
        if moves.steps_at_once is not None:
            few = at_times(steps <= moves.steps_at_once, range(first, h.n_t))
            out += labelled(device.name, {"steps at once": few})
        cost += moves.cost_per_step * cp.sum(steps)
    return cost, out, {"position": position}


def _at_most(h, device, moved, first, limits, what):
    """Moves within every hour and every day, labelled, at the first interval of each."""
    out = []
    for period, (hours, most) in limits.items():
        if most is not None:
            most = most * max(1.0, h.step_h / hours)
            windows = h.windows(hours)
            row = at_times(windows[:, first:] @ moved <= most, windows.argmax(axis=1))
            out += labelled(device.name, {f"{what} {period}": row})
    return out


def _product(h, device, sigma, v):
    """sigma_s v for every rung, (rows, n_steps), exact for binaries and V_min <= V <= V_max."""
    low, high = h.V_min**2, h.V_max**2
    w = cp.Variable((h.rows, device.n_steps), nonneg=True, name=f"{device.name} product")
    on = cp.vstack([sigma] * h.n_s) if h.n_s > 1 else sigma
    v = cp.reshape(v, (h.rows, 1), order="C") @ np.ones((1, device.n_steps))
    return w, [low * on <= w, w <= high * on, v - high * (1 - on) <= w, w <= v - low * (1 - on)]


def _branch(feeder, device):
    """Position of the branch of a regulator; one that was fused has no branch of its own."""
    if plain_label(device.bus) in feeder.fused:
        raise ValueError(
            f"the branch above bus {device.bus} has no impedance and ratio 1, so it was fused; "
            f"give it a ratio other than 1, or a small impedance, to put {device.name} there"
        )
    return feeder.index(device.bus)
