"""Branch currents that are linear in the controls of a window, and their limits as cones.

With J the currents drawn at the buses, I of the branch above bus j is the sum of J below, and round
an exact flow the phasors Re I, Im I are nearly linear in the injections where |I| is not: |I| grows
whichever way a reactive power moves far enough. So the phasor is linearised, and |I| <= I_max is a
second-order cone. `rolling.Window` uses it; chapter 25 shows what it does.
"""

import cvxpy as cp
import numpy as np

from .kept import Slot
from .tree import Tree


def phasors(feeder, flow):
    """(..., n) complex currents of the branches of a powerflow.Flow, |I|^2 = ell [p.u.], in the
    frame of the root's angle, at the lower side of their transformers."""
    root = np.broadcast_to(np.asarray(flow.V_root, complex)[..., None], (*flow.V.shape[:-1], 1))
    above = np.concatenate([root, flow.V * np.exp(1j * flow.theta)], axis=-1)
    V_side = above[..., feeder.parent + 1] * flow.ratio
    return np.conj((flow.P + 1j * flow.Q) / V_side)


def sensitivities(feeder, flow, at):
    """(dI_dp, dI_dq): change of each branch current per injection at the buses `at`, at one flow.

    at    (k,) positions of buses; returns two (n, k) complex arrays [p.u. per p.u.]
    The exact derivative of the power flow equations V = V_0 - Z J, J = y V - conj(s / V), with Z
    the impedance matrix: dV and its conjugate are solved for together, in reals. ValueError for a
    batch of flows.
    """
    if flow.V.ndim != 1:
        raise ValueError(f"sensitivities are those of one flow; this one is a batch of shape "
                         f"{flow.V.shape[:-1]}: take one of its rows")  # fmt: skip
    above, n, k = Tree.of(feeder).ancestors().astype(float), feeder.n, len(at)
    T = np.exp(above @ np.log(flow.ratio))
    Z = T[:, None] * ((above * ((feeder.r + 1j * feeder.x) / T**2)) @ above.T) * T
    V = flow.V * np.exp(1j * flow.theta)
    y, back = feeder.g_shunt + 1j * flow.b_shunt, np.conj((flow.p + 1j * flow.q) / V**2)
    push = np.zeros((n, 2 * k), complex)  # what ds = 1 and ds = j at the buses draw less
    push[at, np.arange(k)], push[at, k + np.arange(k)] = 1 / np.conj(V[at]), -1j / np.conj(V[at])
    own, other = np.eye(n) + Z * y, Z * back
    jacobian = np.block([[own.real + other.real, other.imag - own.imag],
                         [own.imag + other.imag, own.real - other.real]])  # fmt: skip
    drop = Z @ push
    dV = np.linalg.solve(jacobian, np.concatenate([drop.real, drop.imag]))
    dV = dV[:n] + 1j * dV[n:]
    dJ = y[:, None] * dV + back[:, None] * np.conj(dV) - push
    dI = (above.T @ (T[:, None] * dJ)) / T[:, None]
    return dI[:, :k], dI[:, k:]


def watched(fleet):
    """Positions of the branches with a rating and with a device below: the others carry load that
    no control moves."""
    above = Tree.of(fleet.feeder).ancestors()[np.unique(fleet.at)]
    return np.flatnonzero(np.isfinite(fleet.feeder.i_max) & (above != 0).any(axis=0))


class Limits:
    """|I| <= (1 + over) I_max in each of n_h steps, I = base + S u of the watched branches `at`.

    `take` gives base and S the values of a flow, in parts of the rating; `loading` says what
    controls make of them; `cones` states the limit of so many branches with slots, which
    `hold` gives those that are loaded most.
    """

    def __init__(self, fleet, n_h):
        self.fleet, self.n_h, self.at, self.given = fleet, n_h, watched(fleet), {}

    def cones(self, u, over, rows):
        """Constraints of `rows` branches, for controls u (n_h, n_u) and over (n_h,), both CVXPY."""
        sides = [
            cp.vec(base.marks + u @ S.marks.T, order="F") for base, S in zip(*self._given(rows))
        ]
        most = 1 + cp.reshape(over, (self.n_h, 1), order="C") @ np.ones((1, rows))
        return [over >= 0, cp.SOC(cp.vec(most, order="F"), cp.vstack(sides), axis=0)]

    def hold(self, rows, loading):
        """Give the cones of `rows` branches those of most loading (m,): `held`."""
        self.held = np.sort(np.argsort(-loading, kind="stable")[:rows])
        for given, value in zip(self._given(rows), (self.base[:, self.held], self.S[self.held])):
            given[0].value, given[1].value = value.real, value.imag

    def _given(self, rows):
        """[base, S] of so many branches, the real and the imaginary part of each a kept.Slot."""
        if rows not in self.given:
            shapes = (self.n_h, rows), (rows, self.fleet.n_u)
            self.given[rows] = [[Slot(shape), Slot(shape)] for shape in shapes]
        return self.given[rows]

    def slots(self, rows):
        """What `cones` of so many branches has for numbers that change."""
        return [slot for pair in self._given(rows) for slot in pair]

    def take(self, flow, first, u):
        """Linearise round controls u with their flow (n_h, n); S at `first`, flow of one step."""
        f = self.fleet
        by = sensitivities(f.feeder, first, f.at)
        S = np.empty((len(self.at), f.n_u), complex)
        for k, part in enumerate(f.parts):
            S[:, part] = by[k % 2][self.at, part] / f.feeder.s_base_mva
        rating = f.feeder.i_max[self.at]
        self.S = S / rating[:, None]
        self.base = phasors(f.feeder, flow)[:, self.at] / rating - u @ self.S.T

    def loading(self, u):
        """(n_h, m) currents over their ratings that controls u would make."""
        return np.abs(self.base + u @ self.S.T)
