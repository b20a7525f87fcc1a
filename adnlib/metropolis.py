"""Weights by which neighbours agree, and how fast they do: Metropolis, grounded, delayed.

Chapter 12 builds it step by step. Devices s and d that exchange messages weigh each other with

    z_sd = 1 / (1 + max(d_s, d_d)),    z_ss = 1 - sum of the others,

d the number of links. Where one device leads, the rest obey y = G y + b y_leader with G the matrix
without the leader's row and column: its spectral radius is the rate, not the second eigenvalue of
the whole matrix. Xiao, Boyd, Lall, IPSN 2005; the dcvc paper, 10.1155/2022/7280220, (27)-(28).
"""

import numpy as np

KINDS = ("path", "ring", "star", "complete")


class ConsensusError(ValueError):
    """Devices, links or gains that do not fit together; names the culprit."""


def graph(kind, n):
    """(n, n) bool links between n devices: path 0 - 1 - ..., ring, star round 0, or complete.

    >>> graph("path", 3).astype(int).tolist()
    [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    """
    if kind not in KINDS:
        raise ConsensusError(f"graph {kind!r} is none of {', '.join(KINDS)}")
    if n < 2:
        raise ConsensusError(f"{n} device(s) have nobody to talk to; it takes two")
    i = np.arange(n)
    apart = np.abs(i[:, None] - i)
    if kind == "path":
        return apart == 1
    if kind == "ring":
        return (apart == 1) | (apart == n - 1)
    if kind == "star":
        return (apart > 0) & ((i == 0) | (i[:, None] == 0))
    return apart > 0


def metropolis(links):
    """(n, n) Metropolis weights of a link matrix (n, n): symmetric, rows sum to 1, none negative.

    ConsensusError where a link has one end only, or a device is linked to itself.

    >>> metropolis(graph("path", 3)).round(3).tolist()
    [[0.667, 0.333, 0.0], [0.333, 0.333, 0.333], [0.0, 0.333, 0.667]]
    """
    links = np.asarray(links, bool)
    if links.ndim != 2 or links.shape[0] != links.shape[1]:
        raise ConsensusError(f"links have shape {links.shape}; they are a square matrix")
    for wrong, what in ((links != links.T, "goes one way only"), (np.diag(links.diagonal()),
                        "joins a device with itself")):  # fmt: skip
        if wrong.any():
            raise ConsensusError(f"the link {tuple(map(int, np.argwhere(wrong)[0]))} {what}")
    degree = links.sum(axis=1)
    Z = np.where(links, 1 / (1 + np.maximum(degree[:, None], degree)), 0.0)
    return Z + np.diag(1 - Z.sum(axis=1))


def reached(links, leader):
    """(n,) bool: which devices a message of the leader comes to, over any number of links."""
    links, seen = np.asarray(links, bool), np.arange(len(links)) == leader
    while (more := seen | links[seen].any(axis=0)).sum() > seen.sum():
        seen = more
    return seen


def grounded(Z, leader):
    """(n - 1, n - 1): the weights without the leader's row and column."""
    rest = np.arange(len(Z)) != leader
    return Z[np.ix_(rest, rest)]


def rate(M):
    """Spectral radius: what an error is multiplied with in a step, in the long run.

    >>> print(f"{rate(grounded(metropolis(graph('path', 5)), 0)):.3f}")
    0.960
    """
    return float(np.abs(np.linalg.eigvals(M)).max(initial=0.0))


def steps(rho, tol):
    """Steps that an error needs to fall to tol times itself at the rate rho: ceil(ln tol / ln rho).

    >>> steps(0.5, 0.1)
    4
    """
    if not 0 < tol < 1:
        raise ConsensusError(f"tol is {tol:g}; it lies between 0 and 1")
    if rho >= 1:
        return np.inf
    return 0 if rho <= 0 else int(np.ceil(np.log(tol) / np.log(rho) - 1e-12))


def delayed(now, later, delay):
    """Matrix of x_{k+1} = now x_k + later x_{k-delay} on the stack (x_k, ..., x_{k-delay}).

    >>> rate(delayed(np.array([[0.5]]), np.array([[0.5]]), 3)).__round__(6)
    1.0
    """
    if delay < 0 or delay != int(delay):
        raise ConsensusError(f"delay is {delay}; it counts whole steps")
    if not delay:
        return now + later
    n, m = len(now), int(delay)
    M = np.eye(n * (m + 1), k=-n)
    M[:n, :n], M[:n, -n:] = now, later
    return M


class Mailbox:
    """Messages between devices, a batch at once: late by `delay` steps, lost at random.

    exchange(X) takes what each device says, (n_s, n_d, n_k), and returns Z applied to what each
    heard, (n_s, n_d, n_k). A device always knows its own value; of a neighbour it keeps the last
    message that came. Each message is lost with probability `drop`, each way for itself.
    """

    def __init__(self, Z, first, drop=0.0, delay=0, rng=None):
        if not 0 <= drop < 1:
            raise ConsensusError(f"drop is {drop:g}; a probability of at least 0 and below 1")
        if drop and rng is None:
            raise ConsensusError("lost messages need a rng: numpy.random.default_rng(seed)")
        self.own, self.others = np.diag(Z), Z - np.diag(np.diag(Z))
        self.drop, self.rng, self.past = drop, rng, [first] * int(delay)
        self.heard = np.repeat(first[:, None], len(Z), axis=1)  # (n_s, receiver, sender, n_k)

    def exchange(self, X):
        self.past.append(X)
        news = np.broadcast_to(self.past.pop(0)[:, None], self.heard.shape)
        if self.drop:
            lost = self.rng.random(self.heard.shape[:3]) < self.drop
            news = np.where(lost[..., None], self.heard, news)
        self.heard = news
        return self.own[:, None] * X + np.einsum("ij,sijk->sik", self.others, news)

    def keep(self, rows):
        """Go on with some cases of the batch only."""
        self.heard, self.past = self.heard[rows], [x[rows] for x in self.past]
