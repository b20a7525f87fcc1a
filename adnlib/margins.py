"""Margins: from a value to a uniform number and back, one column at a time.

A margin is the distribution of one quantity alone. `fit` learns the margins of all columns of a
sample; `Margins.uniform` and `Margins.quantile` are F and its inverse. Chapter 05 derives them.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, ndtr, ndtri

KINDS = ("empirical", "kernel", "beta")
REACH = 6.0  # normal scores up to which smooth margins are tabulated
NODES = 769  # nodes of the table of a column; linear in between
BLOCK = 64  # columns whose kernel sums are formed at a time


@dataclass(frozen=True, eq=False)
class Margins:
    """Margins of d columns: uniform(x) is F(x), quantile(u) its inverse.

    kind    empirical, kernel or beta
    ordered (n_obs, d) the sample, every column sorted
    table   None (empirical), or (scores, values), each (NODES, d): the smooth margin F(value) =
            Phi(score) at its nodes
    """

    kind: str
    ordered: np.ndarray
    table: tuple | None = None

    def uniform(self, x, rng=None):
        """u = F(x) in (0, 1), x and result of shape (n, d).

        empirical: with n_obs values, l of them below x and e equal to it,
        u = (l + 1/2 + V e) / (n_obs + 1). V = 1/2 is the mid-distribution transform, the rank over
        n_obs + 1 for a value without ties. With an rng V is uniform on (0, 1), drawn anew for each
        value: the randomised distributional transform, which spreads an atom over its own step
        (and a value without ties over half a rank to either side)
        (Rueschendorf, J. Stat. Plan. Inference 139, 2009, 10.1016/j.jspi.2009.05.030).
        kernel, beta: F from the table; an rng changes nothing. beta: at the ends of the observed
        range, where F is 0 and 1, the mid-distribution, and u off the steps of these two values.

        >>> fit(np.array([[0.0], [0.0], [3.0]])).uniform(np.array([[0.0], [2.0], [3.0]])).ravel()
        array([0.375, 0.625, 0.75 ])
        """
        x = np.asarray(x, float)
        if self.kind != "empirical":
            scores, values = self.table
            columns = range(x.shape[1])
            u = ndtr(np.stack([np.interp(x[:, k], values[:, k], scores[:, k]) for k in columns], 1))
            return u if self.kind == "kernel" else _off_the_ends(u, x, self.ordered)
        below, upto = np.empty(x.shape), np.empty(x.shape)
        for k, column in enumerate(self.ordered.T):
            column = np.ascontiguousarray(column)
            below[:, k] = np.searchsorted(column, x[:, k], "left")
            upto[:, k] = np.searchsorted(column, x[:, k], "right")
        v = 0.5 if rng is None else rng.random(x.shape)
        return (below + 0.5 + v * (upto - below)) / (len(self.ordered) + 1)

    def quantile(self, u):
        """x = F^-1(u), u and result of shape (n, d), u in [0, 1].

        empirical: the smallest observed value whose share of the sample exceeds u. Nothing beyond
        the observed range ever comes out, and every atom keeps its share exactly.
        """
        u = np.asarray(u, float)
        if self.kind == "empirical":
            rows = np.minimum((u * len(self.ordered)).astype(np.intp), len(self.ordered) - 1)
            return self.ordered[rows, np.arange(u.shape[1])]
        scores, values = self.table
        with np.errstate(divide="ignore"):
            z = np.clip(ndtri(u), -REACH, REACH)
        columns = range(u.shape[1])
        return np.stack([np.interp(z[:, k], scores[:, k], values[:, k]) for k in columns], axis=1)


def fit(samples, kind="empirical"):
    """Margins of samples (n_obs, d), no column constant.

    kind: empirical (steps of the sample itself); kernel (Gaussian kernels of Silverman's bandwidth
    0.9 min(sd, IQR / 1.34) n_obs^-1/5, which reach beyond the observed range); beta (on the
    observed range, its mean and variance matched; its draws do not repeat atoms). ValueError for
    another kind, or for a column of two values only where beta is asked.
    """
    if kind not in KINDS:
        raise ValueError(f"there are no margins {kind!r}; there are {', '.join(KINDS)}")
    ordered = np.sort(np.asarray(samples, float), axis=0)
    if kind == "empirical":
        return Margins(kind, ordered)
    return Margins(kind, ordered, (_kernel if kind == "kernel" else _beta)(ordered))


def _off_the_ends(u, x, ordered):
    """Beta margins at their ends: e values at the least one get u = (e / 2 + 1/2) / (n_obs + 1),
    those above at least (e + 1/2) / (n_obs + 1); mirrored at the largest."""
    n = len(ordered)
    low, high = ordered[0], ordered[-1]
    at_low, at_high = (ordered == low).sum(axis=0), (ordered == high).sum(axis=0)
    u = np.clip(u, (at_low + 0.5) / (n + 1), 1 - (at_high + 0.5) / (n + 1))
    u = np.where(x <= low, (at_low + 1) / 2 / (n + 1), u)
    return np.where(x >= high, 1 - (at_high + 1) / 2 / (n + 1), u)


def _kernel(ordered):
    quarter, three = np.quantile(ordered, [0.25, 0.75], axis=0)
    deviation, span = ordered.std(axis=0, ddof=1), (three - quarter) / 1.34
    h = 0.9 * np.where(span > 0, np.minimum(deviation, span), deviation) * len(ordered) ** -0.2
    share = np.linspace(0, 1, NODES)[:, None]
    low, high = ordered[0] - REACH * h, ordered[-1] + REACH * h
    values = low + share * (high - low)
    scores = np.empty(values.shape)
    for k in range(len(h)):
        rise = np.zeros(NODES)
        for start in range(0, len(ordered), 4096):
            part = ordered[start : start + 4096, k]
            rise += ndtr((values[:, k, None] - part) / h[k]).sum(axis=1)
        scores[:, k] = ndtri(np.clip(rise / len(ordered), ndtr(-REACH), ndtr(REACH)))
    return scores, values


def _beta(ordered):
    low, width = ordered[0], np.ptp(ordered, axis=0)
    unit = (ordered - low) / width
    mean, variance = unit.mean(axis=0), unit.var(axis=0)
    sum_ab = mean * (1 - mean) / variance - 1
    if (sum_ab <= 1e-9).any():
        column = int(np.argmin(sum_ab))
        raise ValueError(
            f"live column {column} takes two values only, which no beta distribution does; "
            "use empirical margins"
        )
    scores = np.linspace(-REACH, REACH, NODES)[:, None] * np.ones(len(low))
    values = low + width * betaincinv(mean * sum_ab, (1 - mean) * sum_ab, ndtr(scores))
    return scores, values
