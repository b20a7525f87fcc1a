"""The branch-flow model of a radial feeder and its cone relaxation, vectorised over time.

Chapter 03 builds it step by step. With S = P + jQ into the branch above bus j at its upper end,
ell the squared current there and v_side = v_parent ratio^2 behind the ideal transformer,

    P_j = sum of P below - p_j + g_j v_j + r_j ell_j       (Q alike, with -b and x)
    v_j = v_side - 2 (r_j P_j + x_j Q_j) + (r_j^2 + x_j^2) ell_j
    ell_j v_side >= P_j^2 + Q_j^2                           (relaxed: exact with equality)

Farivar and Low, IEEE Trans. Power Syst. 28(3), 2013, 10.1109/TPWRS.2013.2255317.
"""

from dataclasses import dataclass

import cvxpy as cp
import numpy as np
from scipy.sparse import csr_array

from . import powerflow
from .tree import Tree


def total_load(feeder):
    """Base of the models: the feeder's total apparent load [p.u.], or 1 where it has none.

    >>> from adnlib import read_feeder
    >>> print(f"{total_load(read_feeder('ieee33')):.4f}")
    4.3694
    """
    total = float(np.hypot(feeder.p_load.sum(), feeder.q_load.sum()))
    return total if total > 0 else 1.0


def variables(feeder, n_t=None):
    """(P, Q, ell, v): CVXPY expressions of shape (n_t, n), or (n,) without n_t [p.u.].

    Multiples of variables on the base of the total load, where all are near 1 whatever the
    feeder's own base. Scenarios are further rows: n_t = n_s n_t.
    """
    shape = (feeder.n,) if n_t is None else (n_t, feeder.n)
    base = total_load(feeder)
    P, Q, ell, v = (cp.Variable(shape, name=name) for name in ("P", "Q", "ell", "v"))
    return base * P, base * Q, base**2 * ell, v


def constraints(
    feeder,
    P,
    Q,
    ell,
    v,
    p,
    q,
    V_root=None,
    ratio=None,
    b_shunt=None,
    V_min=None,
    V_max=None,
    i_max=None,
    v_root=None,
    around=None,
    tapped=None,
):
    """CVXPY constraints of the relaxed branch flow, no loop over buses or hours.

    P, Q, ell, v   (n_t, n) or (n,), of `variables` or CVXPY variables of one's own [p.u.]
    p, q           net injections, generation positive: arrays, parameters or affine [p.u.]
    V_root         [p.u.] scalar or (n_t,);  or v_root, its square, as an affine expression (taps)
    ratio, b_shunt (n,) or (n_t, n): taps and banks may vary in time; None: the feeder's own
    V_min, V_max   [p.u.] scalar, (n,) or (n_t, n); None: no limit
    i_max          [p.u.] of the branches; None: the feeder's own (inf: none)
    tapped         {position of a bus: its v_side, (n_t,) affine}, for regulators whose ratio is
                   part of the model
    around         an exact powerflow.Flow of the same shape: the cone is replaced by its tangent
                   there, ell0 v + v0 ell = 2 (P0 P + Q0 Q), for successive linearisation
    Limits carry a label, by which solve.explain names them. Branches without impedance have
    ell = 0 and no cone (a current limit of theirs is kept). ValueError for a wrong shape.
    """
    given = {"P": P, "Q": Q, "ell": ell, "v": v, "p": p, "q": q}
    P, Q, ell, v, p, q = (_rows(feeder, name, a) for name, a in given.items())
    n_t = P.shape[0]
    of_time = lambda a: np.broadcast_to(np.asarray(a, float), (n_t, feeder.n))  # noqa: E731
    ratio = of_time(feeder.ratio if ratio is None else ratio)
    b_shunt = of_time(feeder.b_shunt if b_shunt is None else b_shunt)
    base, r, x, g = total_load(feeder), feeder.r, feeder.x, feeder.g_shunt
    v_root = _root(feeder, V_root, v_root, n_t)
    children, top = _incidence(feeder)
    v_side = v @ children + v_root @ top
    if (ratio != 1).any():
        v_side = cp.multiply(ratio**2, v_side)
    if tapped:
        v_side = _replaced(v_side, tapped)
    p_in = P - ell @ _diagonal(r) + p
    q_in = Q - ell @ _diagonal(x) + q
    if g.any():
        p_in -= v @ _diagonal(g)
    if b_shunt.any():
        q_in += cp.multiply(b_shunt, v)
    out = [
        (p_in - P @ children.T) / base == 0,
        (q_in - Q @ children.T) / base == 0,
        v == v_side - P @ _diagonal(2 * r) - Q @ _diagonal(2 * x) + ell @ _diagonal(r**2 + x**2),
    ]
    real = np.flatnonzero((r != 0) | (x != 0))
    pure = np.flatnonzero((r == 0) & (x == 0))
    if len(pure):
        out.append(ell[:, pure] / base**2 == 0)
    part = (P, Q, ell, v_side) if len(pure) == 0 else (a[:, real] for a in (P, Q, ell, v_side))
    if around is None:
        out.append(_cone(*part, base))
    else:
        out.append(_tangent(feeder, around, real, *part, base))
    return out + _limits(feeder, P, Q, ell, v, v_side, V_min, V_max, i_max, pure, base)


def _limits(feeder, P, Q, ell, v, v_side, V_min, V_max, i_max, pure, base):
    out = []
    n_t, n = v.shape
    if V_min is not None:
        low = np.broadcast_to(np.asarray(V_min, float) ** 2, (n_t, n))
        out.append((low <= v).set_label("lower voltage limit"))
    if V_max is not None:
        high = np.broadcast_to(np.asarray(V_max, float) ** 2, (n_t, n))
        out.append((v <= high).set_label("upper voltage limit"))
    i_max = np.broadcast_to(feeder.i_max if i_max is None else i_max, (n,))
    limited = np.isfinite(i_max)
    both = np.flatnonzero(limited & ~np.isin(np.arange(n), pure))
    if len(both):
        most = ell @ _columns(n, both, 1 / i_max[both] ** 2) <= 1
        most.buses = [feeder.buses[j] for j in both]
        out.append(most.set_label("current limit"))
    only = pure[limited[pure]]
    if len(only):
        most = np.tile((i_max[only] / base) ** 2, (n_t, 1))
        cap = (cp.Constant(most * base**2), v_side[:, only])
        out.append(_cone(P[:, only], Q[:, only], *cap, base))
    return out


def _cone(P, Q, ell, v, base):
    """|| (2P, 2Q, ell - v) || <= ell + v for every branch and hour, as one stacked cone."""
    P, Q, ell, v = (cp.vec(a, order="F") for a in (P / base, Q / base, ell / base**2, v))
    return cp.SOC(ell + v, cp.vstack([2 * P, 2 * Q, ell - v]), axis=0)


def _tangent(feeder, flow, real, P, Q, ell, v_side, base):
    """ell v = P^2 + Q^2 linearised round an exact flow."""
    P0, Q0, ell0 = (np.atleast_2d(a)[:, real] for a in (flow.P, flow.Q, flow.ell))
    v0 = np.atleast_2d(side(feeder, flow.V**2, flow.V_root**2, flow.ratio))[:, real]
    left = cp.multiply(ell0, v_side) + cp.multiply(v0, ell)
    right = 2 * (cp.multiply(P0, P) + cp.multiply(Q0, Q))
    return (left - right) / base**2 == (ell0 * v0 - P0**2 - Q0**2) / base**2


def at_root(feeder, P):
    """Power that enters the feeder at its root: the sum of P (or Q) over the top branches, (n_t,).

    What stands at the root bus itself is not in it.
    """
    return P @ (feeder.parent < 0).astype(float)


@dataclass(frozen=True, eq=False)
class Plan:
    """Numbers of a solved model, in the words of powerflow.Flow, with its feeder.

    Shapes (n_t, n), or (n,): V, theta [rad], P, Q, ell, p, q, ratio, b_shunt; (n_t,) or scalar:
    V_root, p_loss, q_loss, p_root, q_root. status: what the solver said.
    """

    feeder: object
    P: np.ndarray
    Q: np.ndarray
    ell: np.ndarray
    V: np.ndarray
    theta: np.ndarray
    p: np.ndarray
    q: np.ndarray
    V_root: np.ndarray
    ratio: np.ndarray
    b_shunt: np.ndarray
    p_loss: np.ndarray
    q_loss: np.ndarray
    p_root: np.ndarray
    q_root: np.ndarray
    status: str = "optimal"


def plan(
    feeder, P, Q, ell, v, p, q, V_root=None, ratio=None, b_shunt=None, v_root=None, status="optimal"
):
    """Plan of the values of a solved model; arguments as `constraints`. Angles recovered."""
    P, Q, ell, v, p, q = (_value(a) for a in (P, Q, ell, v, p, q))
    own = lambda a, b: np.broadcast_to(np.asarray(b if a is None else a, float), v.shape)  # noqa: E731
    ratio, b_shunt = own(ratio, feeder.ratio), own(b_shunt, feeder.b_shunt)
    square = _value(v_root) if v_root is not None else None
    V_root = feeder.V_root if V_root is None else V_root
    V_root = np.broadcast_to(np.sqrt(square) if square is not None else V_root, v.shape[:-1])
    top = feeder.root_bus
    own_p = top.p_load - top.p_gen + top.g_shunt * V_root**2
    own_q = top.q_load - top.q_gen - top.b_shunt * V_root**2
    return Plan(
        feeder, P, Q, ell, np.sqrt(np.maximum(v, 0)), angles(feeder, P, Q, v, V_root, ratio), p, q,
        V_root, ratio, b_shunt, ell @ feeder.r, ell @ feeder.x, at_root(feeder, P) + own_p,
        at_root(feeder, Q) + own_q, status,
    )  # fmt: skip


def side(feeder, v, v_root, ratio=None):
    """v_side: squared voltage above each branch's impedance, behind its transformer [p.u.]."""
    v_root = np.broadcast_to(np.asarray(v_root)[..., None], (*v.shape[:-1], 1))
    above = np.concatenate([v_root, v], axis=-1)
    return above[..., feeder.parent + 1] * (feeder.ratio if ratio is None else ratio) ** 2


def angles(feeder, P, Q, v, V_root=None, ratio=None):
    """Voltage angles against the root [rad] of a branch flow, (..., n) arrays.

    From V_j conj(V_side) = v_side - z conj(P + jQ), added up along the path of each bus; exact
    where the cone is tight. Source: Farivar and Low 2013 (module docstring).
    """
    V_root = feeder.V_root if V_root is None else V_root
    tree, v_side = Tree.of(feeder), side(feeder, v, np.asarray(V_root) ** 2, ratio)
    turn = np.angle(v_side - (feeder.r + 1j * feeder.x) * (P - 1j * Q))
    flat = turn.reshape(-1, feeder.n).T[tree.order]
    return tree.path(flat)[tree.place].T.reshape(turn.shape)


def cone_gap(flow, feeder=None):
    """max(ell v_side - P^2 - Q^2), in p.u. of the feeder's own total load, squared.

    flow: a Plan, or anything with P, Q, ell, V, V_root and ratio as powerflow.Flow has them (then
    name the feeder). 0 where the relaxation is exact; branches without impedance do not count.

    >>> from adnlib import powerflow, read_feeder
    >>> f = read_feeder("ieee33")
    >>> bool(cone_gap(powerflow.solve(f), f) < 1e-12)
    True
    """
    return float(cone_gaps(flow, feeder).max(initial=0))


def cone_gaps(flow, feeder=None):
    """ell v_side - P^2 - Q^2 of every branch, (..., n), in p.u. of the feeder's total load."""
    feeder = flow.feeder if feeder is None else feeder
    v_side = side(feeder, flow.V**2, np.asarray(flow.V_root) ** 2, flow.ratio)
    gap = (flow.ell * v_side - flow.P**2 - flow.Q**2) / total_load(feeder) ** 2
    return np.where((feeder.r == 0) & (feeder.x == 0), 0.0, gap)


def gan_condition(feeder, p_max, q_max, V_min):
    """A-priori condition of exactness: the smallest entry of its vectors; positive: it holds.

    For every bus t and every s above or at it, A_s ... A_(t-1) u_t > 0, u = (r, x) / |z| and
    A_i = I - 2 / V_min_i^2 (r_i, x_i)^T (P_i^+, Q_i^+), P_i, Q_i the sums of the largest net
    injections p_max, q_max (n,) [p.u.] at and below bus i, ^+ the positive part; V_min [p.u.].
    Holds then: relaxation exact if voltages without losses (LinDistFlow) stay below V_max and
    cost rises with the power bought. Not for shunts that vary with the voltage.
    Source: Gan, Li, Topcu, Low, IEEE Trans. Autom. Control 60(1), 2015, 10.1109/TAC.2014.2332712.

    >>> from adnlib import read_feeder
    >>> f = read_feeder("ieee33")
    >>> bool(gan_condition(f, -f.p_load, -f.q_load, 0.9) > 0)    # a load alone: always
    True
    """
    tree = Tree.of(feeder)
    P, Q = (
        np.maximum(tree.below(np.array(a, float)[tree.order][:, None])[tree.place, 0], 0)
        for a in (np.broadcast_to(p_max, feeder.n), np.broadcast_to(q_max, feeder.n))
    )
    push = 2 / np.broadcast_to(np.asarray(V_min, float), feeder.n) ** 2
    real = np.flatnonzero((feeder.r != 0) | (feeder.x != 0))
    w = np.stack([feeder.r, feeder.x])[:, real]
    w, at, smallest = w / np.hypot(*w), real, np.inf
    while len(at):
        smallest = min(smallest, w.min())
        up = feeder.parent[at]
        w, at = w[:, up >= 0], up[up >= 0]
        drop = push[at] * (P[at] * w[0] + Q[at] * w[1])
        w = w - np.stack([feeder.r[at], feeder.x[at]]) * drop
    return float(smallest)


@dataclass(frozen=True, eq=False)
class Successive:
    """Where successive linearisation settled: p, q, their exact flow, value = merit(flow).

    agreement   largest |V_model - V_exact| of the last step, which gained nothing more [p.u.]
    values      merit before the first step and after each step that was taken
    """

    p: np.ndarray
    q: np.ndarray
    flow: powerflow.Flow
    value: float
    agreement: float
    values: tuple


def successive(feeder, step, merit, p, q, radius=0.2, tol=1e-8, max_steps=100, **given):
    """Successive linearisation round the exact flow, within a trust region: an AC-feasible plan.

    step(flow, radius)   solves the model linearised round `flow` (constraints(around=flow)) with
                         decisions at most `radius` [p.u.] from those of flow.p, flow.q; returns
                         (p, q, value, V): new injections, the merit and voltages it foresees
    merit(flow)          cost of an exact flow, violations of limits included with a heavy price
    p, q                 injections to start from [p.u.];  given: V_root, ratio, b_shunt
    A step that lowers the merit is taken, and the radius doubled where it kept its promise; else
    the radius is quartered. Done when the step foresees less than tol max(1, |merit|). Returns
    Successive: a local optimum, whose distance to the best is at most that to the relaxation's
    bound. RuntimeError if max_steps do not settle it. Chapter 03.
    """
    flow = powerflow.solve(feeder, p, q, tol=1e-12, **given)
    value = float(merit(flow))
    values = [value]
    for _ in range(max_steps):
        p_new, q_new, foreseen, V = step(flow, radius)
        new = powerflow.solve(feeder, p_new, q_new, tol=1e-12, **given)
        if value - foreseen <= tol * max(1.0, abs(value)):
            agreement = float(np.abs(V - new.V).max())
            return Successive(flow.p, flow.q, flow, value, agreement, tuple(values))
        gain = value - float(merit(new))
        if gain > 0:
            if gain > 0.75 * (value - foreseen):
                radius *= 2
            flow, value = new, value - gain
            values.append(value)
        else:
            radius /= 4
    raise RuntimeError(
        f"{max_steps} steps of successive linearisation did not settle: the last radius is "
        f"{radius:.2g} p.u.; start from another plan, or raise max_steps or tol"
    )


# ---------------------------------------------------------------------------------- inside


def _incidence(feeder):
    """children (n, n): children[i, j] = 1 if bus j hangs from bus i; top (1, n): from the root."""
    j = np.arange(feeder.n)
    low = feeder.parent >= 0
    one = np.ones(low.sum())
    children = csr_array((one, (feeder.parent[low], j[low])), shape=(feeder.n, feeder.n))
    return children, csr_array((~low).astype(float)[None, :])


def _diagonal(a):
    j = np.arange(len(a))
    return csr_array((np.asarray(a, float), (j, j)), shape=(len(a), len(a)))


def _columns(n, at, factor):
    return csr_array((factor, (at, np.arange(len(at)))), shape=(n, len(at)))


def _rows(feeder, name, a):
    """A CVXPY expression or array as (n_t, n)."""
    a = a if isinstance(a, cp.Expression) else cp.Constant(np.asarray(a, float))
    if a.ndim not in (1, 2) or a.shape[-1] != feeder.n:
        raise ValueError(
            f"{name} has shape {a.shape}; it must be (n,) or (n_t, n) with n = {feeder.n}, the "
            "non-root buses; scenarios are further rows: (n_s * n_t, n)"
        )
    return cp.reshape(a, (1, feeder.n), order="C") if a.ndim == 1 else a


def _root(feeder, V_root, v_root, n_t):
    """Squared root voltage as a column (n_t, 1)."""
    if V_root is not None and v_root is not None:
        raise ValueError("give V_root or its square v_root, not both")
    if v_root is None:
        V_root = feeder.V_root if V_root is None else V_root
        v_root = np.broadcast_to(np.asarray(V_root, float) ** 2, (n_t,))
    v_root = v_root if isinstance(v_root, cp.Expression) else cp.Constant(v_root)
    if v_root.size == 1:
        return np.ones((n_t, 1)) @ cp.reshape(v_root, (1, 1), order="C")
    return cp.reshape(v_root, (n_t, 1), order="C")


def _replaced(a, columns):
    """(n_t, n) expression with some columns replaced: {position: (n_t,) expression}."""
    n = a.shape[1]
    at = np.array(sorted(columns))
    other = np.ones(n)
    other[at] = 0
    new = cp.vstack([columns[j] for j in at]).T
    return a @ _diagonal(other) + new @ csr_array(
        (np.ones(len(at)), (np.arange(len(at)), at)), shape=(len(at), n)
    )


def _value(a):
    a = a.value if isinstance(a, cp.Expression) else np.asarray(a, float)
    if a is None:
        raise ValueError("the model has no values yet: solve it first")
    return a
