"""Exact AC power flow of a radial feeder, batched over time and scenarios: the referee.

Chapter 01 builds it step by step. With T_j the product of the ratios between the root and bus j,
the voltages U = V / T, impedances z / T^2, shunt admittances y T^2 and currents J T are those of a
feeder without transformers, so that one sweep is two sums over the tree:

    J = sum of the nodal currents below      I = y U - conj(s / U)
    U = U_root - sum of z J along the path

repeated until no voltage would move by more than `tol`. On a feeder the map is a contraction far
beyond any normal load, up to the point of collapse, where it stops converging and says so.
"""

from dataclasses import dataclass

import numpy as np

from .tree import Tree

CHUNK = 24_000  # complex numbers in one working array: about a level-two cache
NARROW = 8  # columns at least, or the work that does not depend on their number rules
FREE_SWEEPS = 5  # sweeps up to the first judgement of what still moves
ROUNDING = 1e-14  # [p.u.] a move that is no more than the rounding of the sums
MAX_SWEEPS = 2000


class CollapseError(ValueError):
    """No power flow solution was found; names the bus, and the time and scenario of a batch."""


@dataclass(frozen=True, eq=False)
class Flow:
    """A power flow. Shapes (..., n) for buses and branches, (...) for totals, as the batch.

    V, theta    voltage magnitude [p.u.] and angle against the root [rad]
    P, Q        power into the branch above each bus, at its upstream end [p.u.]
    ell         squared current through the impedance of that branch [p.u.]
    p_loss, q_loss   sum of r ell and x ell (what shunts take is not in it) [p.u.]
    p_root, q_root   drawn from the grid, what stands at the root bus itself included [p.u.]
    converged   (...) bool; False rows are NaN
    p, q, V_root, ratio, b_shunt   what was solved, broadcast to the batch
    """

    V: np.ndarray
    theta: np.ndarray
    P: np.ndarray
    Q: np.ndarray
    ell: np.ndarray
    p_loss: np.ndarray
    q_loss: np.ndarray
    p_root: np.ndarray
    q_root: np.ndarray
    converged: np.ndarray
    p: np.ndarray
    q: np.ndarray
    V_root: np.ndarray
    ratio: np.ndarray
    b_shunt: np.ndarray


def solve(
    feeder,
    p=None,
    q=None,
    V_root=None,
    ratio=None,
    b_shunt=None,
    tol=1e-10,
    on_collapse="raise",
):
    """Exact AC power flow.

    p, q      net injection, generation positive [p.u.], (n,), (n_t, n) or (n_s, n_t, n)
    V_root    source voltage [p.u.], scalar or broadcast to the batch (...)
    ratio     transformer ratios, broadcast to (..., n): taps may vary in time
    b_shunt   shunt susceptance, generation at 1 p.u. [p.u.], broadcast to (..., n)
    tol       largest voltage change that further sweeps would bring [p.u.]
    on_collapse  "raise" (CollapseError names bus, time, scenario) or "mask" (NaN rows)
    None means the feeder's own. Returns a Flow; ValueError for shapes and NaN. Within a relative
    1e-4 of the largest load that can be carried, a load that has a solution may be refused.

    A hand check: 1 p.u. over r = 0.01 at V_root = 1 leaves V = (1 + sqrt(1 - 0.04)) / 2.

    >>> from adnlib.feeder import Feeder; import pandas as pd
    >>> f = Feeder.from_tables(
    ...     pd.DataFrame({"bus": [1, 2], "p_mw": [0, 1.0], "q_mvar": [0, 0.0], "v_kv": [1, 1]}),
    ...     pd.DataFrame({"from_bus": [1], "to_bus": [2], "r_ohm": [0.01], "x_ohm": [0.0]}))
    >>> print(f"{solve(f).V[0]:.9f} {(1 + 0.96**0.5) / 2:.9f}")
    0.989897949 0.989897949
    """
    if on_collapse not in ("raise", "mask"):
        raise ValueError(f"on_collapse is {on_collapse!r}; it is 'raise' or 'mask'")
    if not (isinstance(tol, int | float | np.number) and tol > 0):
        raise ValueError(f"tol is {tol!r}; it must be a positive number")
    p, q, V_root, ratio, b_shunt, batch = inputs(feeder, p, q, V_root, ratio, b_shunt)
    given = {"p": p, "q": q, "V_root": V_root, "ratio": ratio, "b_shunt": b_shunt}
    tree = Tree.of(feeder)
    m = int(np.prod(batch))
    rows = {name: _rows(a, m, len(batch)) for name, a in given.items()}
    out = dict(zip(("V", "theta", "P", "Q", "ell"), np.empty((5, m, feeder.n))))
    out |= {k: np.empty(m) for k in ("p_loss", "q_loss", "p_root", "q_root")}
    out["converged"] = np.empty(m, bool)
    step = max(NARROW, CHUNK // max(feeder.n, 1))
    for start in range(0, m, step):
        part = slice(start, min(start + step, m))
        few = {name: a[part] for name, a in rows.items()}
        flat = Flat.of(tree, feeder, (part.stop - start,), **few)
        U, converged = _sweeps(tree, flat, tol)
        if on_collapse == "raise" and not converged.all():
            raise CollapseError(_where(feeder, tree, flat, converged, start, batch))
        U[:, ~converged] = np.nan
        for name, value in _read_off(feeder, tree, flat, U).items():
            out[name][part] = value[tree.place].T if value.ndim == 2 else value
        out["converged"][part] = converged
    return Flow(**{k: a.reshape(batch + a.shape[1:])[()] for k, a in out.items()}, **given)


# ---------------------------------------------------------------------------------- the sweep


def _sweeps(tree, flat, tol):
    """Repeat the sweep on the columns that still move: (U, converged)."""
    U = np.broadcast_to(flat.U_root, (tree.n, flat.m)).copy()
    converged = np.zeros(flat.m, bool)
    at = np.arange(flat.m)  # columns not yet converged
    now, u, moved = flat, U.copy(), np.zeros(flat.m)
    judge, dropped = FREE_SWEEPS, 0
    with np.errstate(all="ignore"):
        for sweep in range(1, MAX_SWEEPS + 1):
            drop = tree.below(now.current(u))
            drop *= now.z
            old, u = u, tree.from_root(now.U_root, drop)
            if sweep < judge - 1:
                continue
            last, moved = moved, _largest(u, old)
            if sweep < judge:  # a rate needs two moves in a row
                continue
            left = _still_to_come(moved, last)
            done = left <= max(tol, ROUNDING)
            if done.all() or sweep == MAX_SWEEPS:
                break
            judge = min(sweep + _sweeps_ahead(moved, last, left, tol), MAX_SWEEPS)
            if sweep >= dropped + 16:  # drop what has converged or run away
                dropped = sweep
                going = ~done & (moved < 10)
                U[:, at], converged[at] = u, done
                at, now, moved = at[going], now.columns(going), moved[going]
                u = np.ascontiguousarray(u[:, going])
                done = done[going]
                if not len(at):
                    break
    if len(at) == flat.m:
        return u, done
    U[:, at], converged[at] = u, done
    return U, converged


def _still_to_come(moved, last):
    """How far the voltages will yet move, from their last two moves: a geometric series.

    Twice its sum, because `moved` is the larger of two components and the rate an estimate; no
    estimate at the level of rounding, where a rate means nothing. A rate below 0.001 is not
    believed: beyond collapse a voltage that comes back from far away would fake one.
    """
    rate = np.maximum(moved / last, 1e-3)
    left = np.where(rate < 1, 2 * moved * rate / (1 - rate), np.inf)
    return np.where(moved <= ROUNDING, moved, left)


def _sweeps_ahead(moved, last, left, tol):
    """Sweeps until the slowest column will have settled at its rate: when to judge next, 1 to 8."""
    ahead = np.log(tol / left) / np.log(moved / last)
    return int(np.clip(np.nanmax(ahead[left > tol], initial=1), 1, 8))


def _largest(new, old):
    """Per column the largest |Re| or |Im| of the change; `old` is overwritten."""
    change = np.subtract(new, old, out=old).view(float)
    largest = np.abs(change, out=change).max(axis=0, initial=0)
    return np.maximum(largest[0::2], largest[1::2])


@dataclass(frozen=True)
class Flat:
    """The inputs in the tree's order, batch flattened to columns, transformers scaled away."""

    drawn: np.ndarray  # -conj(s), (n, m) or (n, 1)
    U_root: np.ndarray  # (1, m) or (1, 1)
    z: np.ndarray
    y: np.ndarray | None  # None: no shunt anywhere
    T: np.ndarray
    m: int

    @classmethod
    def of(cls, tree, feeder, batch, p, q, V_root, ratio, b_shunt):
        m = int(np.prod(batch))
        columns = lambda a: _columns(a, m, tree.order)  # noqa: E731
        T = tree.product(columns(ratio))
        y = columns(feeder.g_shunt) + 1j * columns(b_shunt)  # draws conj(y) |V|^2: b generates
        z = columns(feeder.r) + 1j * columns(feeder.x)
        U_root = _columns(np.asarray(V_root)[..., None], m, [0])
        p, q = columns(p), columns(q)
        drawn = np.empty(np.broadcast_shapes(p.shape, q.shape), complex)
        drawn.real, drawn.imag = -p, q
        y = y * T**2 if y.any() else None
        return cls(drawn, U_root.astype(complex), z / T**2, y, T, m)

    def current(self, U):
        """Nodal current drawn at every bus; y = 0 everywhere costs nothing."""
        drawn = np.conj(U)
        np.divide(self.drawn, drawn, out=drawn)
        if self.y is not None:
            drawn += self.y * U
        return drawn

    def columns(self, keep):
        def pick(a):
            return a if a is None or a.shape[1] == 1 else a[:, keep]

        parts = map(pick, (self.drawn, self.U_root, self.z, self.y, self.T))
        return Flat(*parts, m=int(np.count_nonzero(keep)))


def _rows(a, m, n_batch):
    """(..., k) to (m, k), (...) to (m,); what the batch shares stays shared and is not copied."""
    if n_batch and m and not any(a.strides[:n_batch]):
        return np.broadcast_to(a[(0,) * n_batch], (m, *a.shape[n_batch:]))
    return a.reshape(m, *a.shape[n_batch:])


def _columns(a, m, order):
    """(..., k) to (k, m) with rows in `order`, or to (k, 1) where the batch shares one row."""
    a = np.asarray(a)
    if a.ndim == 1 or (m and all(stride == 0 for stride in a.strides[:-1])):
        return a[(0,) * (a.ndim - 1)][order, None]
    return a.reshape(m, a.shape[-1]).T[order]


# ---------------------------------------------------------------------------------- in and out


def inputs(feeder, p, q, V_root, ratio, b_shunt):
    """Fill in the feeder's own values, check, broadcast: (p, q, V_root, ratio, b_shunt, batch)."""
    given = {"p": p, "q": q, "ratio": ratio, "b_shunt": b_shunt}
    arrays = {k: _array(k, getattr(feeder, k) if a is None else a) for k, a in given.items()}
    V_root = _array("V_root", feeder.V_root if V_root is None else V_root)
    for name, a in arrays.items():
        if a.ndim == 0:
            arrays[name] = a = np.broadcast_to(a, (feeder.n,))
        if a.shape[-1] != feeder.n:
            raise ValueError(
                f"{name} has shape {a.shape}; its last axis runs over the {feeder.n} non-root "
                f"buses of the feeder (root {feeder.root} is not one of them)"
            )
    try:
        batch = np.broadcast_shapes(V_root.shape, *(a.shape[:-1] for a in arrays.values()))
    except ValueError:
        shapes = {k: a.shape for k, a in arrays.items()} | {"V_root": V_root.shape}
        raise ValueError(f"these shapes do not fit one batch: {shapes}") from None
    if (V_root <= 0).any() or (arrays["ratio"] <= 0).any():
        raise ValueError("V_root and ratio must be positive")
    full = (np.broadcast_to(arrays[k], (*batch, feeder.n)) for k in ("p", "q"))
    rest = (np.broadcast_to(arrays[k], (*batch, feeder.n)) for k in ("ratio", "b_shunt"))
    return *full, np.broadcast_to(V_root, batch), *rest, batch


def _array(name, a):
    try:
        a = np.asarray(a)
        a = a if np.iscomplexobj(a) else np.asarray(a, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is not an array of numbers") from None
    if np.iscomplexobj(a):
        raise ValueError(f"{name} is complex; real and reactive power go in as p and q")
    if not np.isfinite(a).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(a))[0])
        raise ValueError(f"{name} is not finite at index {at}")
    return a


def _read_off(feeder, tree, flat, U):
    """What a Flow reports of scaled voltages U (n, m) in the tree's order."""
    with np.errstate(invalid="ignore", divide="ignore"):  # collapsed columns are NaN already
        J = tree.below(flat.current(U))
    ell = J.real**2 + J.imag**2
    S = np.conj(J, out=J)
    S *= tree.parent_of(U, flat.U_root)
    if (flat.T != 1).any():
        ell /= flat.T**2
    top = feeder.root_bus
    own = top.p_load - top.p_gen + 1j * (top.q_load - top.q_gen)
    v_root = np.abs(flat.U_root[0]) ** 2
    s_root = S[tree.up < 0].sum(axis=0) + own + (top.g_shunt - 1j * top.b_shunt) * v_root
    return {
        "V": np.abs(U) * flat.T,
        "theta": np.angle(U),
        "P": S.real,
        "Q": S.imag,
        "ell": ell,
        "p_loss": feeder.r[tree.order] @ ell,
        "q_loss": feeder.x[tree.order] @ ell,
        "p_root": s_root.real,
        "q_root": s_root.imag,
    }


def case_of(column, batch):
    """Which case of a batch a flat column is, in words: ", scenario 3, time 7"."""
    at = np.unravel_index(column, batch) if batch else ()
    names = ("time", "scenario")[: len(at)][::-1] if len(at) <= 2 else ("index",) * len(at)
    return "".join(f", {name} {int(i)}" for name, i in zip(names, at))


def _where(feeder, tree, flat, converged, start, batch):
    column = int(np.flatnonzero(~converged)[0])
    when = case_of(start + column, batch)
    one = flat.columns(np.arange(flat.m) == column)
    first = tree.path(one.z * tree.below(one.current(np.tile(one.U_root, (tree.n, 1)))))
    low = feeder.buses[tree.order[int(np.argmin((1 - first / one.U_root).real))]]
    return (
        f"voltage collapse: no power flow solution found{when}, lowest at bus {low}; the load is "
        f"beyond what the feeder can carry or within 1e-4 of it ({MAX_SWEEPS} sweeps did not "
        "settle): lower it, raise V_root, or ask for on_collapse='mask'"
    )
