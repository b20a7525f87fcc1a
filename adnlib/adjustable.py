"""Two-stage robust plans: decide, see the uncertainty, then act. Column-and-constraint generation.

Chapter 08 writes it out. With x decided beforehand and y after xi is seen,

    min over x of  first(x) + max over xi of  min over y of  d' y,   W y >= r(x) + H xi,  y >= 0.

A master knows some xi, has a copy of y for each and gives a lower bound; the worst xi for its x
gives an upper bound and joins the master, until both meet. Zeng and Zhao, Oper. Res. Lett. 41(5),
2013, 10.1016/j.orl.2013.05.003.
"""

from dataclasses import dataclass

import cvxpy as cp
import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import block_array, csr_array, eye_array

from . import solve
from .robust import Box, Budget


@dataclass(frozen=True, eq=False)
class Adjustable:
    """Where column-and-constraint generation ended; the variables of the plan hold the best one.

    value, bound   first stage + worst recourse of that plan (proven), and the master's bound
    scenarios      (k, d) the xi that the master knew
    history        (bound, best value) after every round
    """

    value: float
    bound: float
    scenarios: np.ndarray
    history: tuple


def column_and_constraint(first, constraints, recourse, worst, start, tol=1e-6, max_rounds=50):
    """Adjustable robust plan by column-and-constraint generation (Adjustable).

    first         convex CVXPY expression of the first stage's cost
    constraints   of the first stage
    recourse(xi)  (cost expression, constraints) of a fresh copy of y for one xi (d,)
    worst()       (value, xi): the costliest xi for the first stage's present values
    start         (d,) or (k, d): the xi known at the beginning, such as the forecast
    Ends when value - bound <= tol max(1, |value|). RuntimeError if max_rounds do not get there,
    and at once where worst() returns an xi that the master knows and the gap is still open.
    A recourse must exist for every plan and every xi (give it a priced slack where it may not).
    """
    cost = cp.Variable(name="worst recourse")
    rows, known, history = list(constraints), [], []
    fresh, best, kept = list(np.atleast_2d(start)), np.inf, None
    for _ in range(max_rounds):
        for xi in fresh:
            value, more = recourse(xi)
            rows += [value <= cost, *more]
            known.append(xi)
        master = cp.Problem(cp.Minimize(first + cost), rows)
        bound = float(solve.solve(master))
        loss, xi = worst()
        if float(first.value) + loss < best:
            best = float(first.value) + loss
            kept = [(v, v.value) for v in master.variables()]
        history.append((bound, best))
        if best - bound <= tol * max(1.0, abs(best)):
            for variable, value in kept:
                variable.save_value(value)
            return Adjustable(best, bound, np.array(known), tuple(history))
        if any(np.allclose(xi, k, rtol=1e-9, atol=1e-12) for k in known):
            raise RuntimeError(
                f"round {len(history)} leaves a gap of {best - bound:.3g} and its worst xi is one "
                "that the master knows, so that no round can close it: raise tol above the "
                "solvers' accuracy, or see that recourse(xi) and worst() count the same cost"
            )
        fresh = [xi]
    raise RuntimeError(
        f"{max_rounds} rounds left a gap of {best - bound:.3g}: raise max_rounds or tol"
    )


def worst_recourse(d, W, r, H, uncertainty, marginal, gap=1e-9):
    """(value, xi): largest over xi of  min d' y,  W y >= r + H xi,  y >= 0. One exact MILP.

    d (n_y,), W (m, n_y), r (m,), H (m, d_xi): arrays or sparse
    uncertainty  a Box, or a Budget with a whole gamma, centre (d_xi,)
    marginal     (lowest, highest), each scalar or (d_xi,): bounds on what one unit of each xi may
                 change the recourse's cost by, (H' lam)_k at some best lam: prices usually say
    gap          relative gap at which the mixed-integer search ends: value is at most the worst
                 case, short of it by gap |value| at most, or 1e-6 where that is more
    The inner minimum is replaced by its dual, max lam' (r + H xi), W' lam <= d. The maximum of a
    convex function stands in a vertex, so that xi moves by whole deviations, and the product of
    such a choice with (H' lam)_k is linear between the bounds. ValueError for another set, where
    no recourse exists at the xi found, and where the bounds prove too narrow there.
    Source: Zeng and Zhao 2013, with the dual in place of the KKT system.

    >>> W, H = np.array([[1.0]]), np.array([[-1.0]])                 # buy y >= 1 - xi at 2
    >>> value, xi = worst_recourse([2.0], W, [1.0], H, Box([0.6], 0.2), (-2, 0))
    >>> round(value, 6), xi.round(6).tolist()
    (1.2, [0.4])
    """
    s, gamma = uncertainty, _whole(uncertainty)
    W, H = csr_array(W), csr_array(H)
    m, k = H.shape
    low, high = (np.broadcast_to(np.asarray(b, float), (k,)) for b in marginal)
    gain = np.r_[np.asarray(r, float) + H @ s.centre, np.zeros(2 * k), s.up, s.down]
    whole = np.r_[np.zeros(m), np.ones(2 * k), np.zeros(2 * k)]
    rows = [
        LinearConstraint(
            block_array([[W.T, csr_array((W.shape[1], 4 * k))]]), ub=np.asarray(d, float)
        ),
        LinearConstraint(block_array([[H.T, csr_array((k, 4 * k))]]), low, high),
        LinearConstraint(whole[None], ub=gamma),
        _products(H, low, high),
    ]
    bounds = Bounds(0, np.where(whole > 0, 1, np.inf))
    found = milp(-gain, integrality=whole, bounds=bounds, constraints=rows,
                 options={"mip_rel_gap": gap})  # fmt: skip
    if found.status != 0:
        raise ValueError(f"the worst case was not found: {found.message}")
    z, value = np.round(found.x[m : m + 2 * k]), -float(found.fun)
    xi = s.centre + s.up * z[:k] - s.down * z[k:]
    _confirm(value, d, W, np.asarray(r, float) + H @ xi)
    return value, xi


def _products(H, low, high):
    """Rows over (lam, z_up, z_down, gain_up, gain_down): a gain is (H' lam)_k where its z is 1."""
    (m, k), one = H.shape, eye_array(H.shape[1], format="csr")
    span = np.maximum(high, 0) - np.minimum(low, 0)
    link = [
        [None, -_diagonal(np.maximum(high, 0)), None, one, None],  # gain_up <= high z_up
        [None, None, -_diagonal(np.maximum(-low, 0)), None, one],  # gain_down <= -low z_down
        [-H.T, _diagonal(span), None, one, None],  # gain_up <= H'lam + span (1 - z_up)
        [H.T, None, _diagonal(span), None, one],  # gain_down <= -H'lam + span (1 - z_down)
        [csr_array((k, m)), one, one, None, None],  # up or down
    ]
    return LinearConstraint(block_array(link), ub=np.r_[np.zeros(2 * k), span, span, np.ones(k)])


def _confirm(value, d, W, right):
    """The recourse itself at the xi found: it must exist and cost what the dual says."""
    recourse = linprog(d, A_ub=-W, b_ub=-right)
    if recourse.status == 2:
        raise ValueError(
            "no recourse exists at the worst case found: limit the first stage so that one always "
            "does, or give it a priced slack"
        )
    if recourse.status != 0 or recourse.fun > value + 1e-6 * max(1.0, abs(value)):
        raise ValueError(
            f"the recourse costs {recourse.fun} at the worst case, its dual says {value}: the "
            "bounds `marginal` are too narrow"
        )


def _whole(s):
    if isinstance(s, Box):
        return len(s.centre)
    if isinstance(s, Budget) and s.gamma.ndim == 0 and float(s.gamma).is_integer():
        return float(s.gamma)
    raise ValueError("worst_recourse takes a Box or a Budget with one whole gamma")


def _diagonal(a):
    at = np.arange(len(a))
    return csr_array((a, (at, at)), shape=(len(a), len(a)))
