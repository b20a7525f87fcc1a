"""Uncertainty sets, their worst cases, and robust rows made finite by duality.

Chapter 08 derives them. A row  a(x)' xi + rest <= bound  has to hold for every xi of a set. The
worst xi is the maximum of a linear function over the set; where a depends on decisions the
maximum is replaced by its dual, a minimum, which then joins the decisions of the plan:

    box        sum over k of p_k,                 p_k     >= a_k up_k, -a_k down_k, 0
    budget     Gamma w + sum over k of p_k,       w + p_k >= a_k up_k, -a_k down_k;  w, p >= 0
    ellipsoid  the length of factor' a

each added to a' centre. Rows are stacked (m, d), and every row may have a set of its own.
Bertsimas and Sim, Oper. Res. 52(1), 2004, 10.1287/opre.1030.0065; Ben-Tal and Nemirovski, Math.
Oper. Res. 23(4), 1998, 10.1287/moor.23.4.769.
"""

import math
from dataclasses import dataclass
from itertools import combinations, product

import cvxpy as cp
import numpy as np

MOST_VERTICES = 1_000_000


@dataclass(frozen=True, eq=False)
class Box:
    """xi_k between centre_k - down_k and centre_k + up_k; arrays (d,), or (m, d): a set a row.

    up, down >= 0 in the unit of xi; down None: as up. ValueError names what does not fit.

    >>> Box([0.6], 0.2, 0.3).down
    array([0.3])
    """

    centre: np.ndarray
    up: np.ndarray
    down: np.ndarray | None = None

    def __post_init__(self):
        _settle(self, self.up if self.down is None else self.down)


@dataclass(frozen=True, eq=False)
class Budget:
    """The box, of which at most gamma entries may leave the centre at once (parts add up).

    xi = centre + up z+ - down z-, z+ and z- between 0 and 1, sum over k of (z+ + z-) <= gamma.
    gamma >= 0, whole or not, one number or (m,): a budget a row. gamma >= d is the box.
    Source: Bertsimas and Sim 2004.
    """

    centre: np.ndarray
    up: np.ndarray
    down: np.ndarray | None = None
    gamma: np.ndarray | float = 1.0

    def __post_init__(self):
        _settle(self, self.up if self.down is None else self.down)
        gamma = np.asarray(self.gamma, float)
        if not (gamma >= 0).all():
            raise ValueError(f"gamma is {self.gamma}; it counts deviations and cannot be negative")
        if gamma.shape not in ((), self.centre.shape[:-1]):
            raise ValueError(f"gamma has shape {gamma.shape}; give one number, or one for each row")
        object.__setattr__(self, "gamma", gamma)


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """xi = centre + factor z, z no longer than 1; centre (d,), factor (d, k), or (m, ...): a row's.

    For a covariance C and a radius rho: factor = rho cholesky(C).
    """

    centre: np.ndarray
    factor: np.ndarray

    def __post_init__(self):
        centre, factor = np.asarray(self.centre, float), np.asarray(self.factor, float)
        if factor.ndim < 2 or centre.shape != factor.shape[:-1]:
            raise ValueError(
                f"factor has shape {factor.shape} and centre {centre.shape}: give (d, k) and (d,)"
            )
        object.__setattr__(self, "centre", centre)
        object.__setattr__(self, "factor", factor)


def _settle(self, down):
    centre = np.asarray(self.centre, float)
    for name, a in (("up", self.up), ("down", down)):
        try:
            a = np.broadcast_to(np.asarray(a, float), centre.shape)
        except ValueError:
            raise ValueError(f"{name} {np.shape(a)} does not fit centre {centre.shape}") from None
        if not (a >= 0).all():
            raise ValueError(f"{name} holds {a.min():g}: deviations are distances and not negative")
        object.__setattr__(self, name, a)
    object.__setattr__(self, "centre", centre)


def repeated(uncertainty, times):
    """The set of every row, `times` times in succession: a set an hour for `times` buses an hour.

    >>> repeated(Box([[0.5], [0.6]], 0.1), 2).centre[:, 0].tolist()
    [0.5, 0.5, 0.6, 0.6]
    """
    s = uncertainty
    if s.centre.ndim != 2:
        raise ValueError(f"centre has shape {s.centre.shape}; a set a row has (m, d)")
    again = {k: np.repeat(a, times, axis=0) if np.ndim(a) else a for k, a in vars(s).items()}
    return type(s)(**again)


# ---------------------------------------------------------------------------------- worst case


def worst_case(uncertainty, coefficients):
    """(value (...), xi (..., d)): largest a' xi over the set, and where; a of shape (..., d).

    Box and budget: each entry moves to the side that raises the row, a budget spends itself on
    the largest gains; where an entry gains nothing it stays at the centre. Rows of a batch have
    the set's own rows (..., d), or all the same (d,). ValueError where set and rows do not match.

    >>> value, xi = worst_case(Budget([0, 0, 0], [1, 1, 1], gamma=1.5), [1.0, -3.0, 2.0])
    >>> float(value), xi.tolist()
    (4.0, [0.0, -1.0, 0.5])
    """
    a, s = np.asarray(coefficients, float), uncertainty
    if a.shape[-s.centre.ndim :] != s.centre.shape:
        raise ValueError(
            f"coefficients of shape {a.shape}, and a set with centre {s.centre.shape}: the set has "
            "one row for all, (d,), or one for each of theirs"
        )
    if isinstance(s, Ellipsoid):
        along = np.einsum("...d,...dk->...k", a, s.factor)
        length = np.linalg.norm(along, axis=-1, keepdims=True)
        move = np.einsum("...k,...dk->...d", along / np.where(length > 0, length, 1), s.factor)
    else:
        move = np.where(a > 0, s.up, -s.down) * (a != 0)
        move = move * _spent(a * move, s)
    xi = s.centre + move
    return (a * xi).sum(axis=-1), xi


def _spent(gain, s):
    """Share of its budget that each entry gets: 1 for the largest gains, the rest a fraction."""
    if isinstance(s, Box):
        return np.ones_like(gain)
    order = np.argsort(-gain, axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1, kind="stable")
    return np.clip(np.asarray(s.gamma)[..., None] - rank, 0, 1)


def vertices(uncertainty):
    """(n, d): all extreme points of a box or of a budget with a whole gamma; d is small.

    For referees: the worst case of anything convex stands in one of them. ValueError beyond a
    million points, for a fractional budget and for an ellipsoid, which has no vertices.

    >>> vertices(Budget([0, 0], [1, 2], gamma=1)).tolist()
    [[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]]
    """
    s = uncertainty
    if isinstance(s, Ellipsoid) or s.centre.ndim != 1:
        raise ValueError("vertices are listed of one box or budget with a centre of shape (d,)")
    d = len(s.centre)
    k = d if isinstance(s, Box) else int(min(float(s.gamma), d))
    if not isinstance(s, Box) and k < d and k != s.gamma:
        raise ValueError(f"gamma = {s.gamma} is not whole: vertices are listed for a whole one")
    if math.comb(d, k) * 2**k > MOST_VERTICES:
        raise ValueError(f"more than {MOST_VERTICES} vertices: enumerate smaller sets")
    signs = np.array(list(product((1.0, -1.0), repeat=k)))
    z = np.zeros((math.comb(d, k), len(signs), d))
    for at, places in zip(z, combinations(range(d), k)):
        at[:, places] = signs
    z = z.reshape(-1, d)
    return s.centre + np.where(z > 0, s.up * z, s.down * z)


def sample(uncertainty, n, rng):
    """(n, d) points of the set, some inside and some on its border; no claim on their law."""
    s = uncertainty
    if isinstance(s, Ellipsoid):
        z = rng.normal(size=(n, s.factor.shape[-1]))
        z *= (rng.random(n) ** (1 / z.shape[1]) / np.linalg.norm(z, axis=1))[:, None]
        return s.centre + z @ s.factor.T
    z = rng.uniform(-1, 1, (n, *s.centre.shape))
    if isinstance(s, Budget):
        z /= np.maximum(np.abs(z).sum(axis=-1) / np.maximum(s.gamma, 1e-300), 1)[..., None]
    return s.centre + np.where(z > 0, s.up * z, s.down * z)


def probability_bound(n, gamma):
    """Largest probability that a row protected with gamma of its n deviations is broken.

    For independent, symmetric deviations within the set: with nu = (gamma + n) / 2, mu its
    fraction, ((1 - mu) C(n, floor nu) + sum of C(n, l) over l > floor nu) / 2^n.
    Source: Bertsimas and Sim 2004, theorem 3, equation (18).

    >>> probability_bound(4, 2)
    0.3125
    """
    if not 0 <= gamma <= n:
        raise ValueError(f"gamma = {gamma} is not between 0 and the {n} deviations of the row")
    nu = (gamma + n) / 2
    low = math.floor(nu)
    mu, total = nu - low, sum(math.comb(n, k) for k in range(low + 1, n + 1))
    return (1 - mu) * (math.comb(n, low) / 2**n) + total / 2**n


# ---------------------------------------------------------------------------------- counterpart


def protection(uncertainty, coefficients):
    """(largest a' xi of every row as a CVXPY expression (m,), constraints that it needs).

    coefficients  (m, d) or (d,): an array, or affine in the decisions
    By the dual of the inner maximum; the expression is an upper bound, and tight wherever the
    plan is better for it to be small. Where the coefficients are numbers nothing is dualised:
    the maximum is itself a number (worst_case). No loop over rows.
    """
    s = uncertainty
    if not isinstance(coefficients, cp.Expression):
        return cp.Constant(np.atleast_1d(worst_case(s, coefficients)[0])), []
    a = coefficients if coefficients.ndim == 2 else cp.reshape(coefficients, (1, -1), order="C")
    m, d = a.shape
    if s.centre.shape not in ((d,), (m, d)):
        raise ValueError(f"{m} rows of {d} coefficients, and a set with centre {s.centre.shape}")
    middle = cp.sum(cp.multiply(np.broadcast_to(s.centre, (m, d)), a), axis=1)
    if isinstance(s, Ellipsoid):
        f = np.broadcast_to(s.factor, (m, *s.factor.shape[-2:]))
        along = [cp.sum(cp.multiply(f[:, :, k], a), axis=1) for k in range(f.shape[2])]
        return middle + cp.norm(cp.vstack(along), axis=0), []
    up, down = (np.broadcast_to(b, (m, d)) for b in (s.up, s.down))
    p = cp.Variable((m, d), nonneg=True)
    if isinstance(s, Box):
        return middle + cp.sum(p, axis=1), [p >= cp.multiply(up, a), p >= -cp.multiply(down, a)]
    w = cp.Variable((m, 1), nonneg=True)
    least = p + w @ np.ones((1, d))
    rows = [least >= cp.multiply(up, a), least >= -cp.multiply(down, a)]
    spent = cp.multiply(np.broadcast_to(s.gamma, (m,)), w[:, 0])
    return middle + spent + cp.sum(p, axis=1), rows


def counterpart(uncertainty, coefficients, rest=0.0, bound=0.0, label=None):
    """CVXPY constraints that hold  a' xi + rest <= bound  for every xi of the set, row by row.

    coefficients  (m, d) or (d,): arrays, or affine in the decisions
    rest, bound   (m,) or scalar: arrays or affine (rest: convex)
    label         named by solve.explain on the protected rows
    Every row is protected by its own worst case; rows of 'at least' go in with their signs turned.
    Source: module docstring.

    >>> x = cp.Variable()
    >>> rows = counterpart(Box([0.6], 0.2), x * np.ones((1, 1)), bound=0.4)  # x xi <= 0.4
    >>> round(float(cp.Problem(cp.Maximize(x), rows).solve()), 6)
    0.5
    """
    value, rows = protection(uncertainty, coefficients)
    protected = value + rest <= bound
    return [protected.set_label(label) if label else protected, *rows]
