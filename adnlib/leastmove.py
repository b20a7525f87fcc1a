"""The least correction that does what the zones ask: the optimisation beside the rule of `zones`.

Chapter 14 compares the two. With the same sensitivities, limits and order of means, levels are
minimised one after the other, each kept while the next is minimised (lexicographic):

    1 sum of the voltages beyond the limits     4 sum of those beyond the optimal interval
    2 active power of storage that is moved     5 reactive power of storage that is moved
    3 active power of renewables                6 reactive power of renewables

Each is a linear program. The circle |p + j q| <= s is replaced by a polygon around it, so that
on the linear model no correction can be better by a lower level's measure.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog

from . import linflow, powerflow, zones

FACETS = 32  # of the polygon round the circle: it reaches 0.5 % beyond
FREE = 3  # rounds of `exact` before its radius shrinks
KEEP = 1e-7  # [p.u.] by which a level may give way for the next ones
SHARP = {"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9}
OUTSIDE = 1 / np.cos(np.pi / FACETS)


@dataclass(frozen=True, eq=False)
class Least:
    """dp, dq (k,) [p.u.]; V (n,) predicted; levels (6,) [p.u.], their least values in order."""

    dp: np.ndarray
    dq: np.ndarray
    V: np.ndarray
    levels: np.ndarray
    solves: int


def correct(V, p, q, room, plants, dV_dp, dV_dq, optimal, limits, near=None):
    """Least correction of one case: arguments as zones.correct, without a batch.

    optimal (V_low, V_high), limits (V_min, V_max) [p.u.]; near (dp, dq, radius): no plant's move
    may differ by more than the radius from these. Returns Least. RuntimeError if HiGHS does not say
    optimal (without `near` the program always has a solution: no move at all).
    """
    k, n = len(p), len(V)
    effect = sp.hstack([sp.csr_array(a) for a in (dV_dp, -dV_dp, dV_dq, -dV_dq)])
    inside = [_band(V, effect, band, first) for band, first in ((limits, True), (optimal, False))]
    rows, most = map(list, zip(*inside))
    circle = _polygon(p, q, room.s)
    rows.append(sp.hstack([circle[0], sp.csr_array((circle[0].shape[0], 2 * n))]))
    most.append(circle[1])
    if near is not None:
        trust = _trust(*near, n)
        rows.append(trust[0])
        most.append(trust[1])
    bounds = _bounds(p, q, room, n)
    levels, x, value = _levels(plants, n), None, []
    for level in levels:
        left = sp.vstack(rows, format="csr")
        found = linprog(level, left, np.concatenate(most), bounds=bounds, options=SHARP)
        if found.status != 0:
            raise RuntimeError(f"the least correction was not found: {found.message}")
        x = found.x
        value.append(found.fun)
        rows.append(sp.csr_array(level[None]))
        most.append([found.fun + KEEP])
    dp, dq = x[:k] - x[k : 2 * k], x[2 * k : 3 * k] - x[3 * k : 4 * k]
    return Least(dp, dq, V + dV_dp @ dp + dV_dq @ dq, np.array(value), len(levels))


def exact(feeder, plants, p_bus, q_bus, p, q, room, optimal, limits, tol=1e-6, most=20, **source):
    """The same on the exact flow, linearised again at each answer until V is met within tol.

    p_bus, q_bus (n,) net injections with the plants at p, q (k,); source: V_root, ratio, b_shunt of
    powerflow.solve. From the fourth round on a move may differ from the last one by a radius that
    halves each time: without it the answer may jump between two corners for ever. Returns
    (Least, Flow after it, rounds); compare Least.V with Flow.V where rounds is `most`.
    """
    dp = dq = np.zeros(len(p))
    solves, radius, found = 0, 1.0, None
    for turn in range(1, most + 1):
        flow = powerflow.solve(feeder, *moved(plants, p_bus, q_bus, dp, dq), **source)
        if found is not None and np.abs(flow.V - found.V).max() <= tol:
            break
        at = zones.columns(linflow.sensitivities(feeder, flow), plants.at)
        here = flow.V - at[0] @ dp - at[1] @ dq
        near = (dp, dq, radius) if turn > FREE else None
        found = correct(here, p, q, room, plants, *at, optimal, limits, near)
        dp, dq, solves = found.dp, found.dq, solves + found.solves
        radius /= 2 if turn > FREE else 1
    flow = powerflow.solve(feeder, *moved(plants, p_bus, q_bus, dp, dq), **source)
    return Least(dp, dq, found.V, found.levels, solves), flow, turn


def moved(plants, p_bus, q_bus, dp, dq):
    """Net injections (..., n) after the plants have moved by dp, dq (..., k)."""
    shape = np.broadcast_shapes(np.shape(p_bus), np.shape(dp)[:-1] + np.shape(p_bus)[-1:])
    p, q = np.array(np.broadcast_to(p_bus, shape)), np.array(np.broadcast_to(q_bus, shape))
    for j, bus in enumerate(plants.at):  # plants may share a bus
        p[..., bus] += dp[..., j]
        q[..., bus] += dq[..., j]
    return p, q


def used(dp, dq, plants):
    """(..., 4): moved power by level, p of storage and renewables, q of storage and renewables."""
    mine = np.stack([~plants.renewable, plants.renewable], axis=1).astype(float)
    return np.concatenate([np.abs(dp) @ mine, np.abs(dq) @ mine], axis=-1)


# ---------------------------------------------------------------------------------- inside


def _levels(plants, n):
    """(6, 4 k + 2 n) costs over p+, p-, q+, q-, excess over the limits, over the interval."""
    ren = plants.renewable.astype(float)
    zero, none, one = np.zeros_like(ren), np.zeros(n), np.ones(n)

    def of(p, q, far, near):
        return np.concatenate([p, p, q, q, far, near])

    return np.array([
        of(zero, zero, one, none), of(1 - ren, zero, none, none), of(ren, zero, none, none),
        of(zero, zero, none, one), of(zero, 1 - ren, none, none), of(zero, ren, none, none),
    ])  # fmt: skip


def _band(V, effect, band, first):
    """Rows V + effect <= high + excess and >= low - excess."""
    n = len(V)
    excess = [sp.eye_array(n), sp.csr_array((n, n))]
    pair = sp.hstack(excess if first else excess[::-1])
    rows = sp.vstack([sp.hstack([effect, -pair]), sp.hstack([-effect, -pair])])
    return rows, np.r_[band[1] - V, V - band[0]]


def _polygon(p, q, s):
    """Rows that keep p + dp, q + dq in a polygon round the circle s, where s is finite."""
    k, round_ = len(p), np.flatnonzero(np.isfinite(s))
    angle = 2 * np.pi * (np.arange(FACETS) + 0.5) / FACETS
    pick = sp.eye_array(k, format="csr")[round_]
    c, d = sp.kron(pick, np.cos(angle)[:, None]), sp.kron(pick, np.sin(angle)[:, None])
    rest = s[round_, None] - np.outer(p[round_], np.cos(angle)) - np.outer(
        q[round_], np.sin(angle)
    )  # fmt: skip
    return sp.hstack([c, -c, d, -d]), np.maximum(rest.ravel(), 0)


def _trust(dp, dq, radius, n):
    """Rows that keep every move within the radius of dp, dq."""
    eye, x = sp.eye_array(len(dp)), np.r_[dp, dq]
    move = sp.hstack(
        [sp.block_diag([sp.hstack([eye, -eye])] * 2), sp.csr_array((2 * len(dp), 2 * n))]
    )
    return sp.vstack([move, -move]), np.r_[x + radius, radius - x]


def _bounds(p, q, room, n):
    """Each move up and down by itself, 0 to what is left; excess >= 0."""
    ends = (room.p_max - p, p - room.p_min, room.q_max - q, q - room.q_min)
    high = np.r_[tuple(np.maximum(a, 0) for a in ends) + (np.full(2 * n, np.inf),)]
    return np.c_[np.zeros_like(high), high]
