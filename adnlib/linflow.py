"""Linear power flow: LinDistFlow, the rectangular linear flow, its guarantee, and sensitivities.

Chapter 02 derives them. With w the voltages at no load (ratios and shunts included, no injection)
and u = V / w, the exact equations of any feeder take the form of one without shunts,

    u = 1 + M conj(s / u),     M = diag(1 / w) Z diag(1 / conj(w)),

Z the impedance matrix of the feeder with its shunts. Bolognani and Zampieri (IEEE Trans. Power
Syst. 31(1), 2016, 10.1109/TPWRS.2015.2395452) linearise it at u = 1 and bound what is lost.
"""

from dataclasses import dataclass

import numpy as np

from .powerflow import Flat, Flow, case_of, inputs
from .tree import Tree


def lindistflow(feeder, p=None, q=None, V_root=None, ratio=None, b_shunt=None):
    """LinDistFlow: losses dropped, v_side = v_parent ratio^2, v = v_side - 2 (r P + x Q).

    Arguments and units as powerflow.solve; a shunt takes (g - j b) v, linear in v like the rest.
    Returns a Flow with ell = 0; theta from the same linearisation, (x P - r Q) / v_0 per branch.
    Source: Baran and Wu, IEEE Trans. Power Deliv. 4(2), 1989, 10.1109/61.25627, without the loss
    terms. ValueError where the linear v falls to zero or below: there the model says nothing.
    """
    given = _given(feeder, p, q, V_root, ratio, b_shunt)
    tree, flat, batch = given["tree"], given["flat"], given["batch"]
    v0 = np.abs(flat.U_root) ** 2

    def below(v):
        take = np.broadcast_to(np.conj(flat.drawn), v.shape).copy()  # P + jQ drawn
        return tree.below(take if flat.y is None else take + np.conj(flat.y) * v)

    def squares(v):
        return v0 - tree.path(2 * (flat.z * np.conj(below(v))).real)

    v = _settled(squares, np.broadcast_to(v0, (tree.n, flat.m)), flat)
    S = below(v)
    theta = -tree.path((flat.z * np.conj(S)).imag / v0)
    if (v <= 0).any():
        row, column = np.unravel_index(np.argmin(v), v.shape)
        raise ValueError(
            f"LinDistFlow gives a negative squared voltage{case_of(column, batch)}, lowest at bus "
            f"{feeder.buses[tree.order[row]]}; the load is beyond its use"
        )
    return _flow(feeder, given, np.sqrt(v) * flat.T, theta, S, batch)


def rectangular(feeder, p=None, q=None, V_root=None, ratio=None, b_shunt=None):
    """Rectangular linear flow: V = w (1 + M conj(s)), complex voltages linear in the injections.

    Arguments and units as powerflow.solve. Without shunts and ratios
    V = V_root + Z conj(s) / V_root.
    Returns a Flow with ell = 0: branch powers are the sums of what is drawn below, without losses.
    Source: Bolognani and Zampieri 2016 (module docstring).
    """
    given = _given(feeder, p, q, V_root, ratio, b_shunt)
    tree, flat, batch = given["tree"], given["flat"], given["batch"]
    w = _voltages(tree, flat, np.zeros((1, 1)))
    drawn = np.broadcast_to(flat.drawn / np.conj(w), (tree.n, flat.m))
    U = _voltages(tree, flat, drawn)
    take = np.broadcast_to(np.conj(flat.drawn), (tree.n, flat.m)).copy()
    if flat.y is not None:
        take += np.conj(flat.y) * np.abs(w) ** 2
    return _flow(feeder, given, np.abs(U) * flat.T, np.angle(U), tree.below(take), batch)


@dataclass(frozen=True, eq=False)
class Existence:
    """Bolognani and Zampieri's condition and bound.

    value    4 ||M|| ||s||; below 1 an exact solution exists near the linear one
    bound    (n,) a-priori bound on |V_exact - V_linear|, |w| 4 ||M||^2 ||s||^2 [p.u.];
             inf where the condition fails
    norm_m   ||M||, largest 2-norm of a row      norm_s   2-norm of the injections
    """

    value: np.ndarray
    bound: np.ndarray
    norm_m: float
    norm_s: np.ndarray


def existence(feeder, p=None, q=None, V_root=None):
    """Condition of existence and error bound of the rectangular flow (Existence).

    p, q net injections [p.u.], (..., n); V_root [p.u.] one number; ratios and shunts are the
    feeder's own. A batch gives value (...) and
    bound (..., n). Source: Bolognani and Zampieri 2016, theorem 1.
    """
    p, q, *_ = inputs(feeder, p, q, None, None, None)
    w, M = _normalised(feeder, V_root)
    norm_m = np.linalg.norm(M, axis=1).max(initial=0)
    norm_s = np.sqrt((p**2 + q**2).sum(axis=-1))
    value = 4 * norm_m * norm_s
    bound = 4 * norm_m**2 * norm_s**2
    bound = np.where(value < 1, bound, np.inf)
    return Existence(value, bound[..., None] * np.abs(w), float(norm_m), norm_s)


def sensitivities(feeder, flow):
    """(dV_dp, dV_dq): change of each voltage magnitude per injection at a solved flow [p.u./p.u.].

    flow from powerflow.solve; shapes (..., n, n), row = observed bus, column = bus of the
    injection. The exact Jacobian of the power flow equations, inverted: with Z the impedance
    matrix and E = diag(conj(s / V^2)),  dV + Z E conj(dV) = Z diag(1 / conj(V)) conj(ds).
    """
    if not np.all(flow.converged):
        raise ValueError("sensitivities need a converged flow; this one has cases that collapsed")
    n = feeder.n
    V = flow.V * np.exp(1j * flow.theta)
    s = flow.p + 1j * flow.q
    Z = _impedance(feeder, flow.ratio, flow.b_shunt)
    ZE = Z * np.conj(s / V**2)[..., None, :]
    jacobian = np.empty((*V.shape[:-1], 2 * n, 2 * n))
    jacobian[..., :n, :n] = np.eye(n) + ZE.real
    jacobian[..., :n, n:] = ZE.imag
    jacobian[..., n:, :n] = ZE.imag
    jacobian[..., n:, n:] = np.eye(n) - ZE.real
    push = Z / np.conj(V)[..., None, :]  # dV per conj(ds) before the loads react
    push = np.concatenate([push, -1j * push], axis=-1)  # ds = 1 and ds = j
    dV = np.linalg.solve(jacobian, np.concatenate([push.real, push.imag], axis=-2))
    along = np.conj(V) / flow.V
    dmagnitude = along.real[..., None] * dV[..., :n, :] - along.imag[..., None] * dV[..., n:, :]
    return dmagnitude[..., :n], dmagnitude[..., n:]


# ---------------------------------------------------------------------------------- inside


def _given(feeder, p, q, V_root, ratio, b_shunt):
    p, q, V_root, ratio, b_shunt, batch = inputs(feeder, p, q, V_root, ratio, b_shunt)
    given = {"p": p, "q": q, "V_root": V_root, "ratio": ratio, "b_shunt": b_shunt}
    tree = Tree.of(feeder)
    flat = Flat.of(tree, feeder, batch, **given)
    return {"tree": tree, "flat": flat, "batch": batch, "solved": given}


def _voltages(tree, flat, drawn):
    """Scaled voltages of constant currents `drawn` beside the shunts: U = U_root - Z (I + y U)."""

    def voltages(U):
        current = np.broadcast_to(drawn, U.shape).astype(complex)
        if flat.y is not None:
            current += flat.y * U
        return flat.U_root - tree.path(flat.z * tree.below(current))

    return _settled(voltages, np.broadcast_to(flat.U_root, (tree.n, flat.m)), flat)


def _settled(step, x, flat):
    """x = step(x), linear in x and without x where there is no shunt; shunts are small, so that
    repetition settles in a few steps."""
    for _ in range(200):
        new = step(x)
        moved = np.abs(new - x).max(initial=0)
        x = new
        if flat.y is None or moved <= 1e-14:
            return x
    raise ValueError(
        "the shunts of this feeder are too large for a linear flow: it does not settle"
    )


def _impedance(feeder, ratio, b_shunt):
    """(..., n, n) impedance matrix with shunts: voltage at the row per current at the column."""
    above = Tree.of(feeder).ancestors()
    T = np.exp(np.log(ratio) @ above.T)
    z = (feeder.r + 1j * feeder.x) / T**2
    Z = (above * z[..., None, :]) @ above.T
    Z = T[..., :, None] * Z * T[..., None, :]
    y = feeder.g_shunt + 1j * b_shunt
    if not y.any():
        return Z
    return np.linalg.solve(np.eye(feeder.n) + Z * y[..., None, :], Z)


def _normalised(feeder, V_root):
    """(w, M): no-load voltages (n,) and the normalised impedance matrix (n, n)."""
    *_, V_root, ratio, b_shunt, batch = inputs(feeder, None, None, V_root, None, None)
    if batch:
        raise ValueError("existence takes one V_root, not a batch of them")
    T = np.exp(Tree.of(feeder).ancestors() @ np.log(ratio))
    Z = _impedance(feeder, ratio, b_shunt)
    y = feeder.g_shunt + 1j * b_shunt
    w = V_root * (T - Z @ (y * T))
    return w, Z / w[:, None] / np.conj(w)[None, :]


def _flow(feeder, given, V, theta, S, batch):
    tree, flat, top = given["tree"], given["flat"], feeder.root_bus

    def back(a):
        a = np.broadcast_to(a, (feeder.n, flat.m))[tree.place].T
        return np.ascontiguousarray(a).reshape(*batch, feeder.n)

    own = top.p_load - top.p_gen + 1j * (top.q_load - top.q_gen)
    v_root = np.abs(flat.U_root[0]) ** 2
    s_root = S[tree.up < 0].sum(axis=0) + own + (top.g_shunt - 1j * top.b_shunt) * v_root
    zero = np.zeros(batch)[()]
    return Flow(
        V=back(V),
        theta=back(theta),
        P=back(S.real),
        Q=back(S.imag),
        ell=np.zeros((*batch, feeder.n)),
        p_loss=zero,
        q_loss=zero,
        p_root=s_root.real.reshape(batch)[()],
        q_root=s_root.imag.reshape(batch)[()],
        converged=np.ones(batch, bool)[()],
        **given["solved"],
    )
