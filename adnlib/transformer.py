"""Transformer areas under a utility grid: the models of cloud-edge cooperative dispatch.

Chapter 22 derives them. An area hangs below a bus of the utility grid, its edge bus, and holds a
gas turbine, a storage and PV plants. In the rectangular linear flow, lossless in power, p.u.,

    P = -A' p,   V = T (W + (R p + X q) / w),   loss = sum r (P^2 + Q^2) / w^2,

A the paths, R = A diag(r) A', T the ratios from the piece's root, w that root's voltage at no load
and W the real part of its voltage. An area and the cloud share P and Q into the branch below the
edge bus, and W. PV beside its forecast is taken by the exchange; what that does to a voltage does
not depend on the plan, so that a robust voltage row is a row with a margin: its own worst case.
`edgeplan` puts areas and cloud together.
"""

from dataclasses import dataclass

import cvxpy as cp
import numpy as np

from . import robust
from .tree import Tree

BIG = 1e4  # money per p.u. and hour outside the band, where a plan may be elastic


@dataclass(frozen=True, eq=False)
class Lines:
    """Linear flow of a piece of a feeder: A (n, n); T, r (n,); R, X (n, n) [p.u.]; w [p.u.]."""

    A: np.ndarray
    T: np.ndarray
    r: np.ndarray
    R: np.ndarray
    X: np.ndarray
    w: float

    def voltage(self, W, p, q):
        """(n_t, n) voltages; W (n_t,) of the root, p and q (n_t, n) net injections [p.u.]."""
        drop = (p @ self.R.T + q @ self.X.T) / self.w
        return cp.multiply(np.broadcast_to(self.T, p.shape), column(W, len(self.T)) + drop)

    def losses(self, p, q):
        """(n_t,) r (P^2 + Q^2) / w^2, summed over branches [p.u.]."""
        scale = np.diag(np.sqrt(self.r) / self.w)
        squares = cp.square(p @ self.A @ scale) + cp.square(q @ self.A @ scale)
        return cp.sum(squares, axis=1)


def lines(feeder, w=None):
    """Lines of a feeder or a piece of one; w: voltage of its root at no load (None: V_root)."""
    A = Tree.of(feeder).ancestors()
    T = np.exp(A @ np.log(feeder.ratio))
    r, x = feeder.r / T**2, feeder.x / T**2
    w = feeder.V_root if w is None else w
    return Lines(A, T, r, (A * r) @ A.T, (A * x) @ A.T, float(w))


def response(feeder, at):
    """(n, k) rise of every voltage per p.u. injected at the k buses in `at`, linear flow.

    >>> from adnlib import read_feeder
    >>> feeder = read_feeder("ieee33")
    >>> M = response(feeder, [feeder.index(2), feeder.index(18)])
    >>> bool(np.isclose(M[feeder.index(18), 0], feeder.r[0]))    # they share the first branch
    True
    """
    line = lines(feeder)
    return line.T[:, None] * line.R[:, at] / line.w


def margins(M, sets):
    """(rise, fall), each (n_t, n): the most that every voltage can move over a product of sets.

    M     (n, k) rise per p.u. of each plant
    sets  [(columns of M, robust.Box or Budget of deviations, centre 0, a row an hour), ...]
    Every bus and hour has its own worst case; sets of areas are independent, so that they add up.

    >>> one = robust.Box(np.zeros((1, 1)), 0.5, 0.2)
    >>> rise, fall = margins(np.array([[0.1]]), [([0], one)])
    >>> print(rise[0, 0].round(6), fall[0, 0].round(6))
    0.05 0.02
    """
    n_t, n = sets[0][1].centre.shape[0], M.shape[0]
    found = np.zeros((2, n_t, n))
    for columns, deviation in sets:
        of_rows, a = robust.repeated(deviation, n), np.tile(M[:, columns], (n_t, 1))
        for side, sign in zip(found, (1, -1)):
            side += robust.worst_case(of_rows, sign * a)[0].reshape(n_t, n)
    return found


# ---------------------------------------------------------------------------------- the area


@dataclass(frozen=True, eq=False)
class Edge:
    """What an edge node knows of its area [p.u. of the feeder's base, h, money].

    name, lines          what the area is called, and its linear flow
    p_load, q_load, pv   (n_t, n)         rise, fall   (n_t, n) margins of its voltages
    turbine   {"at": position, "p_max", "ramp", "cost"}
    store     {"at", "p_max", "e_min", "e_max", "e_0", "efficiency", "tan_phi", "cost"}
    """

    name: str
    lines: Lines
    p_load: np.ndarray
    q_load: np.ndarray
    pv: np.ndarray
    rise: np.ndarray
    fall: np.ndarray
    turbine: dict
    store: dict


def area_problem(edge, loss_price, band, elastic=False):
    """(cost, constraints, shared, shown) of an area: equations (8) to (20), rows robust by margins.

    band     (V_min, V_max) [p.u.], or None: no voltage rows
    elastic  the band may be left, an hour and area at BIG times how far
    shared   {"P name": (n_t,), "Q name", "V name"}       shown   {what: expression}
    """
    n_t, n = edge.p_load.shape
    g, c, d, qc, qd = (cp.Variable(n_t, nonneg=True) for _ in range(5))
    W, over = cp.Variable(n_t), cp.Variable(n_t, nonneg=True)
    energy, rows = _devices(edge, g, c, d, qc, qd)
    p = edge.pv - edge.p_load + at(g, edge.turbine["at"], n) + at(d - c, edge.store["at"], n)
    q = -edge.q_load + at(qd - qc, edge.store["at"], n)
    loss = edge.lines.losses(p, q)
    cost = edge.turbine["cost"] * cp.sum(g) + edge.store["cost"] * cp.sum(c + d)
    cost += loss_price * cp.sum(loss) + BIG * cp.sum(over)
    V = edge.lines.voltage(W, p, q)
    rows += inside(V, edge, band, over, elastic)
    shared = {f"P {edge.name}": -cp.sum(p, 1), f"Q {edge.name}": -cp.sum(q, 1)}
    shown = {"turbine": g, "charge": c, "discharge": d, "q": qd - qc, "energy": energy,
             "p_bus": p, "q_bus": q, "loss": loss, "over": over, "V": V}  # fmt: skip
    return cost, rows, shared | {f"V {edge.name}": W}, shown


def _devices(edge, g, c, d, qc, qd):
    """(energy, rows): turbine with ramps, storage with the end of the day at its beginning."""
    t, s = edge.turbine, edge.store
    energy = s["e_0"] + cp.cumsum(s["efficiency"] * c - d / s["efficiency"])
    rows = [g <= t["p_max"], cp.abs(cp.diff(g)) <= t["ramp"], c <= s["p_max"], d <= s["p_max"],
            energy >= s["e_min"], energy <= s["e_max"], energy[-1] == s["e_0"],
            qc <= s["tan_phi"] * c, qd <= s["tan_phi"] * d]  # fmt: skip
    return energy, rows


# ---------------------------------------------------------------------------------- the cloud


@dataclass(frozen=True, eq=False)
class Utility:
    """What the cloud knows of the utility grid, the buses that belong to no area.

    lines, p_load, q_load, rise, fall   as of an Edge
    below    {area's name: position of its edge bus, -1 the root}
    price    (n_t,) money per p.u. h        most   largest |purchase| at the PCC [p.u.]
    short    (n_t,) PV that may be missing in all areas together [p.u.]: bought with the rest
    """

    lines: Lines
    p_load: np.ndarray
    q_load: np.ndarray
    rise: np.ndarray
    fall: np.ndarray
    below: dict
    price: np.ndarray
    most: float
    short: np.ndarray


def master_problem(utility, loss_price, band, elastic=False):
    """(cost, constraints, shared, shown) of the cloud: equations (21) to (27)."""
    (n_t, n), w = utility.p_load.shape, utility.lines.w
    P, Q = ({k: cp.Variable(n_t) for k in utility.below} for _ in range(2))
    over = cp.Variable(n_t, nonneg=True)
    p, q = (
        cp.Constant(-load) - sum(at(S[k], j, n) for k, j in utility.below.items() if j >= 0)
        for load, S in ((utility.p_load, P), (utility.q_load, Q))
    )
    V, loss = utility.lines.voltage(cp.Constant(np.full(n_t, w)), p, q), utility.lines.losses(p, q)
    bought = utility.p_load.sum(axis=1) + sum(P.values()) + utility.short
    cost = utility.price @ bought + loss_price * cp.sum(loss) + BIG * cp.sum(over)
    rows = [(cp.abs(bought) <= utility.most).set_label("PCC limit")]
    rows += inside(V, utility, band, over, elastic)
    shared = {}
    for k, j in utility.below.items():
        W = cp.Variable(n_t)
        rows.append((V[:, j] if j >= 0 else w) == W)
        shared |= {f"P {k}": P[k], f"Q {k}": Q[k], f"V {k}": W}
    own = {"p_bus": cp.Constant(-utility.p_load), "q_bus": cp.Constant(-utility.q_load)}
    return cost, rows, shared, own | {"bought": bought, "loss": loss, "over": over, "V": V}


# ---------------------------------------------------------------------------------- rows


def inside(V, piece, band, over, elastic):
    """Voltage rows of every bus and hour, each with its margin; over (n_t,): how far outside."""
    if band is None:
        return [over == 0]
    slack = column(over, V.shape[1])
    upper = (V + piece.rise - slack <= band[1]).set_label("upper voltage limit")
    lower = (V - piece.fall + slack >= band[0]).set_label("lower voltage limit")
    return [upper, lower] + ([] if elastic else [over == 0])


def column(x, n):
    """(n_t, n) with x (n_t,) in every column."""
    return cp.reshape(x, (x.shape[0], 1), order="C") @ np.ones((1, n))


def at(x, j, n):
    """(n_t, n) with x (n_t,) in column j, zero elsewhere."""
    return cp.reshape(x, (x.shape[0], 1), order="C") @ np.eye(n)[[j]]
