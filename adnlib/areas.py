"""A feeder cut into areas: each a feeder of its own, with copies of what crosses its borders.

Chapter 09 uses it first. A cut at bus j gives everything at and below j to a new area, with the
branch above j. Its root is the bus i above, and both sides hold copies of three quantities a time
step: v_i, and P and Q into the branch at its upper end. The lower area sees v_i as its source, the
upper one sees P + jQ as a load at bus i. Power balance, voltage drop and cone of every branch then
stand in exactly one area: with equal copies the areas are the feeder, nothing is approximated.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import cvxpy as cp
import numpy as np

from . import branchflow
from .feeder import RootBus

QUANTITIES = ("v", "P", "Q")


class CutError(ValueError):
    """A cut that is none; names the bus."""


@dataclass(frozen=True, eq=False)
class Piece:
    """One area: its feeder, where its buses stand in the whole, and where it was cut.

    feeder   the piece as a feeder; its root is the bus above the cut (loads there are not its own)
    place    (n,) positions of its buses in the whole feeder
    top      bus label of the cut above it, None for the piece with the root of the whole
    below    ((cut bus, position of the bus above it in this piece, -1: the root), ...)
    """

    feeder: object
    place: np.ndarray
    top: object
    below: tuple

    @property
    def name(self):
        """What the area is called: that of the root, or the bus below its upper border."""
        return "root" if self.top is None else str(self.top)


def cut(feeder, buses):
    """The pieces of a feeder cut above each of `buses` (labels), the piece with the root first.

    CutError for a bus that is cut twice, is the root, or is unknown.

    >>> from adnlib import read_feeder
    >>> [(p.name, p.feeder.n) for p in cut(read_feeder("ieee33"), [9, 26])]
    [('root', 14), ('9', 10), ('26', 8)]
    """
    try:
        at = sorted(feeder.index(bus) for bus in buses)
    except ValueError as error:
        raise CutError(f"cannot cut: {error}") from None
    if len(set(at)) < len(at):
        twice = next(i for i, j in pairwise(at) if i == j)
        raise CutError(f"bus {feeder.buses[twice]!r} is cut twice; name each cut once")
    owner = owners(feeder, at)
    return [_piece(feeder, owner, k, at) for k in range(len(at) + 1)]


def owners(feeder, at):
    """(n,) number of the piece of each bus: 0 with the root, k + 1 below the k-th cut position."""
    number = {j: k + 1 for k, j in enumerate(at)}
    owner = np.zeros(feeder.n, int)
    for j, i in enumerate(feeder.parent):
        owner[j] = number.get(j, 0 if i < 0 else owner[i])
    return owner


def _piece(feeder, owner, k, at):
    place = np.flatnonzero(owner == k)
    where = np.full(feeder.n + 1, -1)
    where[place] = np.arange(len(place))
    below = [j for j in at if owner[j] != k and _above(feeder, owner, j) == k]
    own = {name: getattr(feeder, name)[place] for name in _PER_BUS}
    part = replace(
        feeder,
        buses=tuple(feeder.buses[j] for j in place),
        parent=where[feeder.parent[place]],
        xy=None if feeder.xy is None else feeder.xy[place],
        fused={},
        name=f"{feeder.name}/{k}",
        **own,
        **({} if k == 0 else _new_root(feeder, feeder.parent[at[k - 1]])),
    )
    top = feeder.buses[at[k - 1]] if k else None
    cuts = tuple((feeder.buses[j], int(where[feeder.parent[j]])) for j in below)
    return Piece(part, place, top, cuts)


_PER_BUS = ("r", "x", "ratio", "g_shunt", "b_shunt", "p_load", "q_load", "p_gen", "q_gen", "i_max",
            "v_base_kv")  # fmt: skip


def _above(feeder, owner, j):
    return owner[feeder.parent[j]] if feeder.parent[j] >= 0 else 0


def _new_root(feeder, i):
    if i < 0:
        top = feeder.root_bus
        return {"root": feeder.root, "root_bus": RootBus(top.v_base_kv, xy=top.xy)}
    xy = None if feeder.xy is None else tuple(feeder.xy[i])
    return {"root": feeder.buses[i], "root_bus": RootBus(float(feeder.v_base_kv[i]), xy=xy)}


def split(feeder, n_areas):
    """Bus labels of n_areas - 1 cuts: time and again the largest piece is cut nearest its half.

    CutError when there are fewer buses than areas.

    >>> from adnlib import read_feeder
    >>> split(read_feeder("ieee33"), 3)
    [5, 7]
    """
    if not 1 <= n_areas <= feeder.n:
        raise CutError(f"{feeder.n} buses cannot make {n_areas} areas; ask for 1 to {feeder.n}")
    at = []
    while len(at) < n_areas - 1:
        owner = owners(feeder, sorted(at))
        most = int(np.bincount(owner).argmax())
        at.append(_half(feeder, owner == most))
    return [feeder.buses[j] for j in sorted(at)]


def _half(feeder, mine):
    """Position at which a cut leaves a piece most evenly divided."""
    size = mine.astype(int)
    for j in range(feeder.n - 1, -1, -1):
        i = feeder.parent[j]
        if i >= 0 and mine[j] and mine[i]:
            size[i] += size[j]
    total = mine.sum()
    inner = mine & (size < total)  # the top of the piece is cut already
    worse = np.where(inner, np.abs(2 * size - total), 2 * total + 1)
    return int(worse.argmin())


def model(piece, p, q, n_t=1, **limits):
    """(constraints, shared, (P, Q, ell, v)) of an area, chapter 03's branch flow with its borders.

    p, q     (n_t, n) net injections of its own buses, generation positive: arrays or affine [p.u.]
    shared   {"v 9": (n_t,) expression, "P 9": ..., "Q 9": ...}: copies at the cut above bus 9
    limits   V_min, V_max, i_max, ratio, b_shunt as in branchflow.constraints; V_root, v_root for
             the piece with the root only
    """
    feeder, n = piece.feeder, piece.feeder.n
    P, Q, ell, v = branchflow.variables(feeder, n_t)
    p, q = (a if isinstance(a, cp.Expression) else cp.Constant(np.atleast_2d(a)) for a in (p, q))
    shared, v_top = {}, None
    for bus, i in piece.below:
        S = [cp.Variable(n_t, name=f"{quantity} {bus}") for quantity in "PQ"]
        v_i = v[:, i] if i >= 0 else _source(feeder, n_t, limits)
        shared |= {f"v {bus}": v_i, f"P {bus}": S[0], f"Q {bus}": S[1]}
        if i >= 0:
            here = np.eye(n)[[i]]
            p, q = (a - cp.reshape(s, (n_t, 1), order="C") @ here for a, s in zip((p, q), S))
    if piece.top is not None:
        v_top = cp.Variable(n_t, name=f"v {piece.top}")
        limits = limits | {"v_root": v_top}
    constraints = branchflow.constraints(feeder, P, Q, ell, v, p, q, **limits)
    if piece.top is not None:
        flow = (branchflow.at_root(feeder, a) for a in (P, Q))
        shared |= dict(zip((f"{k} {piece.top}" for k in QUANTITIES), (v_top, *flow)))
    return constraints, shared, (P, Q, ell, v)


def _source(feeder, n_t, limits):
    if limits.get("v_root") is not None:
        return limits["v_root"] + np.zeros(n_t)
    V = limits.get("V_root")
    return cp.Constant(np.broadcast_to((feeder.V_root if V is None else V) ** 2, n_t))


def stiffness(feeder, buses):
    """Weights of the quantities shared at the cuts, for admm.coordinate(scale=..., rho=1).

    A voltage answers to power as dv = 2 |z| dP, with |z| of the path from the root, on average L
    over the cuts; the loss of carrying P there curves as 2 L. So the penalty is 2 L on P and Q
    and 1 / (2 L) on v [cost in p.u. of power]; the weights are their square roots. Chapter 09.

    >>> from adnlib import read_feeder
    >>> {k: round(w, 2) for k, w in stiffness(read_feeder("ieee33"), [9, 26]).items()}
    {'v': 4.46, 'P': 0.22, 'Q': 0.22}
    """
    far = 2 * float(np.mean([feeder.length[feeder.index(bus)] for bus in buses]))
    return {"v": far**-0.5, "P": far**0.5, "Q": far**0.5}


def flat(feeder):
    """A flat start for admm.coordinate: no flow, and the root's voltage everywhere."""
    return {"v": feeder.V_root**2, "P": 0.0, "Q": 0.0}
