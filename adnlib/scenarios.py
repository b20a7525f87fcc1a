"""Few scenarios for many: distances between scenario sets, reduction, a quadrature grid.

Chapter 06 derives them. For a set kept out of n scenarios with probabilities p and distances c the
cost of the reduction, with every dropped scenario given to the nearest kept one, is

    D(kept) = sum_i p_i min_{j in kept} c_ij

which is the Kantorovich distance between the two sets (Dupacova, Groewe-Kuska and Roemisch, Math.
Program. 95, 2003, 10.1007/s10107-002-0331-0). The best set is a p-median problem; both heuristics
are greedy (Heitsch and Roemisch, Comput. Optim. Appl. 24, 2003, 10.1023/A:1021805924152).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

METRICS = ("euclidean", "cityblock", "chebyshev")
TIE = 1e-12  # of the largest distance: costs closer than this count as equal, the first one wins
BLOCK = 64


@dataclass(frozen=True, eq=False)
class Scenarios:
    """A finite distribution: values (n_s, ...) and their probabilities prob (n_s,).

    After a reduction also: index (n_s,) positions in the original set; assigned (n_original,)
    position in this set of the scenario that stands for each original; distance, what it cost.
    prob None means equal ones. ValueError names the scenario that holds no number, the negative
    probability, or the sum that is not 1.

    >>> Scenarios([[1.0, 2.0], [3.0, 4.0]]).prob
    array([0.5, 0.5])
    """

    values: np.ndarray
    prob: np.ndarray | None = None
    index: np.ndarray | None = None
    assigned: np.ndarray | None = None
    distance: float = 0.0

    def __post_init__(self):
        values = np.asarray(self.values, float)
        if values.ndim == 0 or len(values) == 0:
            raise ValueError("there is no scenario; values needs the shape (n_s, ...)")
        n = len(values)
        if not np.isfinite(values).all():
            bad = int(np.flatnonzero(~np.isfinite(values.reshape(n, -1)).all(axis=1))[0])
            raise ValueError(f"scenario {bad} holds a value that is no number; drop or repair it")
        prob = np.full(n, 1 / n) if self.prob is None else np.asarray(self.prob, float)
        if prob.shape != (n,):
            raise ValueError(f"prob has shape {prob.shape}; {n} scenarios need ({n},)")
        if not np.isfinite(prob).all() or (prob < 0).any():
            bad = int(np.flatnonzero(~(prob >= 0) | ~np.isfinite(prob))[0])
            raise ValueError(f"the probability of scenario {bad} is {prob[bad]}; it must be >= 0")
        if abs(prob.sum() - 1) > 1e-9:
            raise ValueError(f"the probabilities sum to {prob.sum():.9g}; divide them by the sum")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "prob", prob)

    @property
    def n_s(self):
        return len(self.prob)

    @property
    def flat(self):
        """(n_s, d) values with all but the first axis joined."""
        return self.values.reshape(self.n_s, -1)

    def mean(self):
        """Expected value, shape of one scenario."""
        return np.tensordot(self.prob, self.values, axes=1)

    def std(self):
        """Standard deviation of each component, shape of one scenario."""
        return np.sqrt(np.tensordot(self.prob, (self.values - self.mean()) ** 2, axes=1))


def distances(a, b, distance="euclidean"):
    """(n_a, n_b) distances between the flattened scenarios of two sets (not squared).

    >>> distances(Scenarios([[0.0, 0.0]]), Scenarios([[3.0, 4.0]]))
    array([[5.]])
    """
    from scipy.spatial.distance import cdist

    if distance not in METRICS:
        raise ValueError(f"distance = {distance!r}; there are {', '.join(METRICS)}")
    if a.values.shape[1:] != b.values.shape[1:]:
        raise ValueError(
            f"a scenario has shape {a.values.shape[1:]} here and {b.values.shape[1:]} there"
        )
    return cdist(a.flat, b.flat, distance)


def forward_selection(s, k, distance="euclidean"):
    """Fast forward selection: the set grows by the scenario that lowers D most, k times.

    What a candidate gains can only fall while the set grows, so that old gains are upper bounds
    and only candidates whose bound reaches the best gain are looked at again. Result as `reduced`.

    >>> s = Scenarios([[0.0], [1.0], [10.0]], [0.6, 0.2, 0.2])
    >>> r = forward_selection(s, 2)
    >>> r.index, r.prob, r.distance
    (array([0, 2]), array([0.8, 0.2]), 0.2)
    """
    k = _check_number(s, k)
    c = distances(s, s, distance)
    tie = TIE * c.max()
    kept = [_first(-(c @ s.prob), tie)]
    near = c[kept[0]].copy()  # distance to the nearest kept one
    bound = np.full(s.n_s, np.inf)
    for _ in range(k - 1):
        bound[kept] = -np.inf
        kept.append(_best_gain(c, s.prob, near, bound, tie))
        np.minimum(near, c[kept[-1]], out=near)
    return reduced(s, kept, distance, c[kept])


def _best_gain(c, prob, near, bound, tie):
    """Candidate with the largest gain sum_i p_i max(near_i - c_iu, 0); `bound` is refreshed."""
    order, best = np.argsort(-bound, kind="stable"), -np.inf
    for at in range(0, len(order), BLOCK):
        block = order[at : at + BLOCK]
        block = block[bound[block] >= best - tie]
        if not len(block):
            break
        fresh = np.maximum(near - c[block], 0) @ prob
        bound[block] = np.where(np.isneginf(bound[block]), -np.inf, fresh)
        best = max(best, bound[block].max())
    return _first(bound, tie)


def _first(gain, tie):
    """First position whose gain is the largest one, but for rounding."""
    return int(np.argmax(gain >= gain.max() - tie))


def backward_reduction(s, k, distance="euclidean"):
    """Simultaneous backward reduction: the scenario whose loss raises D least goes, n - k times.

    With the nearest and second nearest kept one of every scenario at hand, the loss of l costs
    sum p_i (second_i - nearest_i) over the scenarios that l stands for. Result as `reduced`.

    >>> s = Scenarios([[0.0], [1.0], [10.0]], [0.4, 0.2, 0.4])
    >>> r = backward_reduction(s, 2)
    >>> r.index, r.prob
    (array([0, 2]), array([0.6, 0.4]))
    """
    k = _check_number(s, k)
    n, everyone = s.n_s, np.arange(s.n_s)
    if k == n:
        return reduced(s, everyone, distance)
    c = distances(s, s, distance)
    tie, kept = TIE * c.max(), np.ones(n, bool)
    c[everyone, everyone] = -1.0  # a kept scenario stands for itself, even beside a twin
    first, second = everyone.copy(), np.empty(n, int)
    d1, d2 = np.zeros(n), np.empty(n)
    stale = everyone
    for _ in range(n - k):
        _refresh(c, stale, first, second, d1, d2)
        loss = np.bincount(first, s.prob * (d2 - d1), minlength=n)
        loss[~kept] = np.inf
        gone = _first(-loss, tie)
        kept[gone] = False
        c[:, gone] = np.inf
        stale = np.flatnonzero((first == gone) | (second == gone))
    return reduced(s, np.flatnonzero(kept), distance)


def _refresh(c, rows, first, second, d1, d2):
    """Nearest and second nearest kept scenario of these rows; dropped columns are inf."""
    for at in range(0, len(rows), 256):
        part = rows[at : at + 256]
        near, own = c[part], np.arange(len(part))
        first[part] = near.argmin(axis=1)
        d1[part] = np.maximum(near[own, first[part]], 0)
        near[own, first[part]] = np.inf
        second[part] = near.argmin(axis=1)
        d2[part] = near[own, second[part]]


def reduced(s, index, distance="euclidean", c=None):
    """The scenarios at `index` with the optimal probabilities: every dropped one gives its own
    to the nearest kept one (the first of several equally near).

    Scenarios whose values are originals; index, assigned and distance = D are set. c: distances
    of the kept ones to all, (k, n), if at hand.
    """
    index = np.asarray(index, int)
    if index.ndim != 1 or not len(index) or len(set(index.tolist())) < len(index):
        raise ValueError("index must name each kept scenario once, and one at least")
    if index.min() < 0 or index.max() >= s.n_s:
        raise ValueError(f"index names scenario {index.max()}; there are {s.n_s} (from 0)")
    order = np.argsort(index, kind="stable")
    index = index[order]
    if c is None:
        c = distances(Scenarios(s.values[index]), s, distance)
    else:
        c = c[order]
    assigned = c.argmin(axis=0)
    assigned[index] = np.arange(len(index))  # each stands for itself, even beside a twin
    prob = np.bincount(assigned, s.prob, minlength=len(index))
    cost = float(s.prob @ c[assigned, np.arange(s.n_s)])
    return Scenarios(s.values[index], prob / prob.sum(), index, assigned, cost)


def exact_reduction(s, k, distance="euclidean", time_limit=60.0):
    """The best set of k scenarios: the p-median problem as a mixed-integer program (HiGHS).

    Variables: kept_j in {0, 1}, share_ij >= 0 of scenario i given to j; minimise sum p_i c_ij
    share_ij, sum_j share_ij = 1, share_ij <= kept_j, sum kept = k. For up to some hundred
    scenarios. ValueError if the optimum is not proven in time_limit seconds. Result as `reduced`.
    """
    from scipy import optimize, sparse

    k = _check_number(s, k)
    n, c = s.n_s, distances(s, s, distance)
    eye, ones = sparse.identity(n), np.ones((1, n))
    give = sparse.hstack([sparse.csr_matrix((n, n)), sparse.kron(eye, ones)])
    allowed = sparse.hstack([sparse.kron(-np.ones((n, 1)), eye), sparse.identity(n * n)])
    number = sparse.hstack([ones, sparse.csr_matrix((1, n * n))])
    scale = c.max() or 1.0
    found = optimize.milp(
        np.r_[np.zeros(n), (s.prob[:, None] * c).ravel() / scale],
        integrality=np.r_[np.ones(n), np.zeros(n * n)],
        bounds=optimize.Bounds(0, 1),
        constraints=[
            optimize.LinearConstraint(give, 1, 1),
            optimize.LinearConstraint(allowed, -np.inf, 0),
            optimize.LinearConstraint(number, k, k),
        ],
        options={"mip_rel_gap": 0.0, "time_limit": time_limit},
    )
    if found.status != 0:
        raise ValueError(f"the best {k} of {n} scenarios were not proven: {found.message}")
    return reduced(s, np.flatnonzero(found.x[:n] > 0.5), distance)


def kantorovich(a, b, distance="euclidean"):
    """Exact Kantorovich distance of two scenario sets: least cost of carrying a over to b.

    min sum c_ij f_ij with sum_j f_ij = p_i, sum_i f_ij = q_j, f >= 0, a linear program of
    n_a n_b variables (HiGHS). Unit of the values.

    >>> a, b = Scenarios([[0.0], [1.0]]), Scenarios([[0.0], [3.0]])
    >>> round(kantorovich(a, b), 9)
    1.0
    """
    from scipy import optimize, sparse

    c = distances(a, b, distance)
    if min(c.shape) == 1:
        return float(a.prob @ c @ b.prob)
    scale = c.max() or 1.0
    out = sparse.kron(sparse.identity(a.n_s), np.ones((1, b.n_s)))
    into = sparse.kron(np.ones((1, a.n_s)), sparse.identity(b.n_s))
    size = max(a.prob.max(), b.prob.max())
    found = optimize.linprog(
        c.ravel() / scale,
        A_eq=sparse.vstack([out, into]).tocsc()[:-1],  # the last row follows from the others
        b_eq=np.r_[a.prob / a.prob.sum(), b.prob / b.prob.sum()][:-1] / size,
        method="highs",
    )
    if found.status != 0:
        raise ValueError(f"the transport problem was not solved: {found.message}")
    return float(found.fun * scale * size)


def quadrature(n_pv, n_load, shape=6.06, load_std=0.05, reach=3.5):
    """Grid of PV and load factors, both with mean 1: values (n_pv n_load, 2), load runs first.

    PV is twice a Beta(shape, shape) variable, load normal(1, load_std). Each axis is cut into
    bins of equal width over the mean -+ reach standard deviations (PV: within [0, 2]), the end
    bins open; a bin has its probability and stands at its mean, so that the means are exact and
    variances a little small. Weights multiply. Reading of the representative scenarios of dcvc.
    Bins with less than 1e-12 of the probability (a narrow shape, a long reach) are left out.
    """
    if n_pv < 1 or n_load < 1 or shape <= 0 or load_std < 0 or reach <= 0:
        raise ValueError("n_pv and n_load must be at least 1, shape and reach > 0, load_std >= 0")
    from scipy.special import betainc, ndtr

    pv_std = 0.5 / np.sqrt(2 * shape + 1)
    cut = np.clip(np.linspace(0.5 - reach * pv_std, 0.5 + reach * pv_std, n_pv + 1), 0, 1)
    cut[[0, -1]] = 0, 1
    p_pv = np.diff(betainc(shape, shape, cut))
    pv = np.diff(betainc(shape + 1, shape, cut))  # 2 E[X; bin] = I(shape + 1, shape)
    p_pv, pv = _bins(p_pv, pv)
    z = np.r_[-np.inf, np.linspace(-reach, reach, n_load + 1)[1:-1], np.inf]
    p_load = np.diff(ndtr(z))
    p_load, load = _bins(p_load, -np.diff(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)))
    load = 1 + load_std * load
    values = np.stack(np.meshgrid(pv, load, indexing="ij"), axis=-1).reshape(-1, 2)
    prob = np.outer(p_pv, p_load).ravel()
    return Scenarios(values, prob / prob.sum())


def _bins(prob, moment):
    """(probabilities, means) of the bins that hold any probability."""
    held = prob > 1e-12
    return prob[held], moment[held] / prob[held]


class Judged(NamedTuple):
    """What a decision costs on the set it was made for, and on another one."""

    decision: object
    in_sample: float
    out_of_sample: float


def out_of_sample(decide, cost, few, many):
    """Decide on one set of scenarios, pay on another: Judged(decision, in_sample, out_of_sample).

    decide(Scenarios) -> decision; cost(decision, values (n_s, ...)) -> (n_s,) cost by scenario.

    >>> few, many = Scenarios([[1.0]]), Scenarios([[0.0], [4.0]])
    >>> judged = out_of_sample(lambda s: s.mean(), lambda x, v: abs(v - x).sum(axis=1), few, many)
    >>> judged.in_sample, judged.out_of_sample
    (0.0, 2.0)
    """
    decision = decide(few)
    return Judged(
        decision,
        float(few.prob @ cost(decision, few.values)),
        float(many.prob @ cost(decision, many.values)),
    )


def _check_number(s, k):
    """k as an int."""
    if not 1 <= k <= s.n_s or k != int(k):
        raise ValueError(f"{k} of {s.n_s} scenarios cannot be kept; k is a whole number from 1")
    return int(k)
