"""Energy that a feeder loses in a day with PV plants and batteries at given buses.

Chapter 11 builds it step by step: the outer problem of the dcvc paper's siting (Equation 6).
A siting is evaluated in two steps. Its reactive powers and batteries are dispatched on a quadratic
loss (LinDistFlow flows at the voltages of the day without devices), many sitings at once; its loss
is then that of the exact power flow under this dispatch. So the number is one that a real day
attains, a little above the optimum of the cone-relaxed model, `plan`.
"""

from dataclasses import dataclass
from functools import cached_property

import cvxpy as cp
import numpy as np

from . import branchflow, powerflow
from . import solve as solver
from .tree import Tree

SWEEPS, ROUNDS = 30, 100  # of the two dispatch iterations
BLOCK = 256  # sitings in one batch


@dataclass(frozen=True, eq=False)
class Study:
    """A day on which sitings are compared; n_t intervals of step_h hours, all powers in p.u.

    p, q    (n_t, n) net injections without the devices, generation positive
    pv      (n_t,) output of one plant, not curtailed;  q_max (n_t,) its reactive power at most
    p_max   power of one battery, either way;  energy: of one battery, full [p.u. h]
            it starts and ends the day half full and has no losses
    sites   positions of the buses that may carry devices: one plant and one battery at most each
    """

    feeder: object
    p: np.ndarray
    q: np.ndarray
    pv: np.ndarray
    q_max: np.ndarray
    p_max: float
    energy: float
    step_h: float
    sites: np.ndarray

    @classmethod
    def of(cls, feeder, load, pv, s_max, p_max, energy, step_h=1.0, sites=None):
        """From load factors (n_t,) on the nominal loads and the rating s_max of an inverter.

        ValueError where a plant's output is above its inverter's rating. sites None: all buses
        that have an impedance to the bus above.
        """
        load, pv = np.asarray(load, float), np.asarray(pv, float)
        if (pv > s_max).any():
            raise ValueError(
                f"a plant gives up to {pv.max():g} p.u. and its inverter is rated {s_max:g}: raise "
                "s_max or lower pv"
            )
        real = np.flatnonzero((feeder.r != 0) | (feeder.x != 0))
        return cls(
            feeder, -np.outer(load, feeder.p_load), -np.outer(load, feeder.q_load), pv,
            np.sqrt(s_max**2 - pv**2), float(p_max), float(energy), float(step_h),
            real if sites is None else np.asarray(sites, int),
        )  # fmt: skip

    @classmethod
    def of_case(cls, feeder, case, load, pv, sites=None):
        """From the section of a case file that is named like the feeder: pv_mw, s_mva, ess_mw,
        ess_mwh of one device; load, pv (n_t,) hourly, p.u. of nominal load and rated output."""
        rated = [
            case[f"{feeder.name}.{k}"] / feeder.s_base_mva for k in ("s_mva", "ess_mw", "ess_mwh")
        ]
        output = case[f"{feeder.name}.pv_mw"] / feeder.s_base_mva * np.asarray(pv, float)
        return cls.of(feeder, load, output, *rated, sites=sites)

    @cached_property
    def without(self):
        """powerflow.Flow of the day without devices."""
        return powerflow.solve(self.feeder, self.p, self.q)

    @cached_property
    def kernel(self):
        """(n, n) R with loss = p R p + q R q [p.u.]: A diag(r / v) A^T, v the day's mean."""
        base, above = self.without, Tree.of(self.feeder).ancestors()
        v = branchflow.side(self.feeder, base.V**2, base.V_root**2, base.ratio).mean(axis=0)
        return (above * (self.feeder.r / v)) @ above.T

    @cached_property
    def q_seen(self):
        """(n_t, n) reactive injections, shunts at the voltages without devices included."""
        return self.q + self.feeder.b_shunt * self.without.V**2


# ---------------------------------------------------------------------------------- evaluation


def dispatch(study, pv, ess):
    """(q (k, n_t, n_pv), b (k, n_t, n_ess)) of sitings pv (k, n_pv), ess (k, n_ess), positions.

    Least quadratic loss. q within +-q_max, hour by hour: coordinate descent. b, discharge
    positive, within +-p_max and the energy, over the day: ADMM in the eigenvectors of the kernel,
    then made feasible to the last digit.
    """
    q = _reactive(study, np.atleast_2d(pv))
    p = np.array(np.broadcast_to(study.p, (len(q), *study.p.shape)))
    place(p, pv, study.pv[None, :, None])
    return q, _battery(study, p, np.atleast_2d(ess))


def place(a, at, values):
    """a[k, t, at[k, i]] += values[k, t, i], in place; the positions of a row are different."""
    at = np.broadcast_to(np.atleast_2d(at)[:, None, :], (*a.shape[:2], np.shape(at)[-1]))
    np.put_along_axis(a, at, np.take_along_axis(a, at, 2) + values, 2)


def _among(kernel, at):
    return kernel[at[:, :, None], at[:, None, :]]


def _reactive(study, pv):
    near = _among(study.kernel, pv)
    pull = np.moveaxis((study.q_seen @ study.kernel)[:, pv], 0, 2)  # (k, n_pv, n_t)
    own = np.maximum(np.diagonal(near, axis1=1, axis2=2), 1e-12)
    q = np.zeros_like(pull)
    for _ in range(SWEEPS):
        for i in range(pv.shape[1]):
            others = np.einsum("kj,kjt->kt", near[:, i], q) - own[:, i, None] * q[:, i]
            q[:, i] = np.clip(-(pull[:, i] + others) / own[:, i, None], -study.q_max, study.q_max)
    return q.transpose(0, 2, 1)


def _battery(study, p, ess):
    """Least b R b + 2 b R p, in units of p_max: |b| <= 1, |sum of b| <= half, ends at 0."""
    n_t, (k, m) = len(study.pv), ess.shape
    if m == 0:
        return np.zeros((k, n_t, 0))
    near = _among(study.kernel, ess) * 2 * study.p_max**2
    at = np.broadcast_to(ess[:, None, :], (k, n_t, m))
    pull = 2 * study.p_max * np.take_along_axis(p @ study.kernel, at, 2).transpose(0, 2, 1)
    total = np.tril(np.ones((n_t, n_t)))
    half = study.energy / 2 / study.p_max / study.step_h
    most = np.r_[np.full(n_t - 1, half), 0.0]
    bend, U = np.linalg.eigh(near)
    stay, V = np.linalg.eigh(np.eye(n_t) + total.T @ total)
    rho = np.trace(near, axis1=1, axis2=2)[:, None, None] / m
    rho = np.maximum(rho, 1e-12)
    weight, Ut = 1 / (bend[:, :, None] + rho * stay), U.transpose(0, 2, 1)
    z = y = np.zeros((2, k, m, n_t))
    for _ in range(ROUNDS):
        aim = rho * ((z[0] - y[0]) + (z[1] - y[1]) @ total) - pull
        b = U @ ((Ut @ aim @ V) * weight) @ V.T
        s = 1.6 * np.stack([b, b @ total.T]) - 0.6 * z + y  # over-relaxed
        z = np.stack([np.clip(s[0], -1, 1), np.clip(s[1], -most, most)])
        y = s - z
    b -= b.mean(axis=2, keepdims=True)
    peak = np.maximum(np.abs(b).max(axis=2), np.abs(b @ total.T).max(axis=2) / half)
    return (study.p_max * b / np.maximum(peak, 1)[:, :, None]).transpose(0, 2, 1)


def losses(study, pv, ess):
    """(k,) energy lost in the day [p.u. h] by the exact flow, under the quadratic dispatch.

    pv (k, n_pv), ess (k, n_ess): positions of the devices, all of a row different.
    """
    pv, ess = np.atleast_2d(pv), np.atleast_2d(ess)
    lost = np.empty(len(pv))
    for i in range(0, len(pv), BLOCK):
        part = slice(i, i + BLOCK)
        lost[part] = flows(study, pv[part], ess[part]).p_loss.sum(axis=1) * study.step_h
    return lost


def flows(study, pv, ess):
    """powerflow.Flow (k, n_t, n) of sitings under the quadratic dispatch."""
    pv, ess = np.atleast_2d(pv), np.atleast_2d(ess)
    q, b = dispatch(study, pv, ess)
    p_all, q_all = (np.array(np.broadcast_to(a, (len(pv), *a.shape))) for a in (study.p, study.q))
    place(p_all, pv, study.pv[None, :, None])
    place(p_all, ess, b)
    place(q_all, pv, q)
    return powerflow.solve(study.feeder, p_all, q_all)


def cone_problem(study, n_pv=None, n_ess=None, pv=None, ess=None):
    """(problem, x, y) of the siting under the cone-relaxed flow; x, y (n,) sites of PV, batteries.

    With n_pv, n_ess: boolean variables; with pv, ess (positions): 0/1 numbers, a convex problem.
    The paper's outer problem (6) with its flow (A.1)-(A.4), batteries (B.7)-(B.9) and inverters
    (B.10); no voltage limits, as there.
    """
    feeder, n, n_t = study.feeder, study.feeder.n, len(study.pv)
    x, limits = _sites(study, pv, n_pv)
    y, more = _sites(study, ess, n_ess)
    P, Q, ell, v = branchflow.variables(feeder, n_t)
    q, b = cp.Variable((n_t, n)), cp.Variable((n_t, n))  # in units of one device's limit
    X, Y = (cp.reshape(a, (1, n), order="C") for a in (x, y))
    every = np.ones((n_t, 1))
    half = study.energy / 2 / study.p_max / study.step_h
    stored = np.tril(np.ones((n_t, n_t))) @ b
    limits += more + [cp.abs(q) <= every @ X, cp.abs(b) <= every @ Y, stored[-1] == 0]
    limits += [cp.abs(stored[:-1]) <= half * every[1:] @ Y]
    p_all = study.p + study.pv[:, None] @ X + study.p_max * b
    q_all = study.q + cp.multiply(np.tile(study.q_max[:, None], (1, n)), q)
    limits += branchflow.constraints(feeder, P, Q, ell, v, p_all, q_all)
    return cp.Problem(cp.Minimize(study.step_h * cp.sum(ell @ feeder.r)), limits), x, y


def _sites(study, at, count):
    n = study.feeder.n
    if at is not None:
        return cp.Constant(np.isin(np.arange(n), at).astype(float)), []
    x, free = cp.Variable(n, boolean=True), np.isin(np.arange(n), study.sites)
    return x, [cp.sum(x) == count, x <= free.astype(float)]


def plan(study, pv, ess):
    """Energy lost [p.u. h] by the best dispatch of one siting, the cone-relaxed optimum."""
    return float(solver.solve(cone_problem(study, pv=np.ravel(pv), ess=np.ravel(ess))[0]))
