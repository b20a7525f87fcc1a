"""Who gets how much of a shared pool of processors and lines in a cloud-edge round.

The cloud solves, then the edges, each with its own message to and from the cloud. With a part f of
the processors and a part u of the lines, work w [s on a whole processor] and messages of b bytes,

    T_cloud = w_cloud / f_cloud,    T_a = w_a / f_a + b_a / u_a + delay,
    sum of all f <= cpu,            sum of all u <= line

and a round takes T_cloud + max T_a. Rules: the same for each (`polling`), the least largest time
(`balanced`), the least round (`fastest`), and a pool that is handed on from the cloud to the edges
and back (`handed_on`). Chapter 10. After Int. Trans. Electr. Energy Syst. 2022, 7280220,
10.1155/2022/7280220, equations (21) to (24), whose formulas are read there.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize_scalar

FEW = 1e-9  # part of the pool that no rule goes below
CLOSELY = {"xatol": 1e-10}


class PoolError(ValueError):
    """A pool, work or messages that are none; names the culprit."""


@dataclass(frozen=True)
class Pool:
    """What there is to share: cpu [processors], line [bytes/s], delay of an edge's messages [s]."""

    cpu: float
    line: float
    delay: float = 0.0

    def __post_init__(self):
        for name, least in (("cpu", FEW), ("line", FEW), ("delay", 0.0)):
            value = getattr(self, name)
            if not least <= value < np.inf:
                raise PoolError(
                    f"{name} of the pool is {value:g}; it is finite and above {least:g}"
                )


@dataclass(frozen=True, eq=False)
class Shares:
    """cloud: processors of the cloud; edges, lines (n_edges,): processors, bytes/s of each edge."""

    cloud: float
    edges: np.ndarray
    lines: np.ndarray


@dataclass(frozen=True, eq=False)
class Load:
    """A round's cloud: work [s on a processor]; edges (n_edges,): work; sent (n_edges,): bytes."""

    cloud: float
    edges: np.ndarray
    sent: np.ndarray

    def __post_init__(self):
        edges, sent = np.asarray(self.edges, float), np.asarray(self.sent, float)
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "sent", sent)
        if edges.ndim != 1 or edges.shape != sent.shape or not len(edges):
            raise PoolError(
                f"work of shape {edges.shape} and bytes of {sent.shape}: one each an edge"
            )
        if not (self.cloud > 0 and (edges > 0).all() and (sent >= 0).all()):
            raise PoolError("work is above 0 and bytes are at least 0, for the cloud and each edge")


def times(load, shares, pool):
    """(1 + n_edges,) seconds: of the cloud, then of each edge from being sent to until heard.

    >>> pool = Pool(cpu=3.0, line=100.0)
    >>> load = Load(2.0, [1.0, 3.0], [50.0, 100.0])
    >>> times(load, polling(2, pool), pool)
    array([2., 2., 5.])
    """
    edges = load.edges / shares.edges + load.sent / shares.lines + pool.delay
    return np.r_[load.cloud / shares.cloud, edges]


def round_time(T):
    """Cloud, then the slowest edge: seconds of a round, T as from `times`, (..., 1 + n_edges)."""
    T = np.asarray(T)
    return T[..., 0] + T[..., 1:].max(axis=-1)


def imbalance(T):
    """std / mean of the times of cloud and edges, along the last axis. A reading: the paper's own
    formula is lost.

    >>> float(imbalance([1.0, 3.0]))
    0.5
    """
    T = np.asarray(T, float)
    return T.std(axis=-1) / T.mean(axis=-1)


# ---------------------------------------------------------------------------------- rules


def polling(n_edges, pool):
    """Each in turn, a slice of the same length: equal parts of processors and of lines."""
    even = np.ones(n_edges)
    return Shares(
        pool.cpu / (n_edges + 1), even * pool.cpu / (n_edges + 1), even * pool.line / n_edges
    )


def fastest(load, pool):
    """Shares that make the round shortest: min T_cloud + max T_a.

    >>> load = Load(1.0, [1.0, 3.0], [0.0, 0.0])       # cloud and edges as sqrt(1) to sqrt(4)
    >>> shares = fastest(load, Pool(cpu=3.0, line=1.0))
    >>> round(shares.cloud, 4), shares.edges.round(4)
    (1.0, array([0.5, 1.5]))
    """

    def spent(part):
        late = _lateness(load, (1 - part) * pool.cpu, pool)
        return load.cloud / (part * pool.cpu) + late

    found = minimize_scalar(spent, bounds=(FEW, 1 - FEW), method="bounded", options=CLOSELY)
    return _shares(load, float(found.x), pool)


def balanced(load, pool):
    """Shares that make the largest of all times, the cloud's too, least: then all are equal.

    >>> load = Load(1.0, [1.0, 3.0], [0.0, 0.0])
    >>> pool = Pool(cpu=5.0, line=1.0)
    >>> times(load, balanced(load, pool), pool).round(6)
    array([1., 1., 1.])
    """

    def ahead(part):
        late = pool.delay + _lateness(load, (1 - part) * pool.cpu, pool)
        return np.log(late * part * pool.cpu / load.cloud)

    return _shares(load, brentq(ahead, FEW, 1 - FEW, xtol=1e-14), pool)


def handed_on(load, pool):
    """(1 + n_edges,) seconds where the cloud has the whole pool while it solves, then the edges.

    No rule that fixes the parts for a round is faster: it is the bound of what sharing can do.
    """
    late = pool.delay + _lateness(load, pool.cpu, pool)
    return np.r_[load.cloud / pool.cpu, np.full(len(load.edges), late)]


def _shares(load, part, pool):
    edges, lines = of_edges(load, (1 - part) * pool.cpu, pool)
    return Shares(part * pool.cpu, edges, lines)


def _lateness(load, cpu, pool):
    """tau: time of every edge, less the delay, when the edges share cpu best.

    The larger root of (cpu tau - W)(line tau - B) = R^2 with W = sum w, B = sum b and
    R = sum sqrt(w b): the edges' common time in closed form.
    """
    W, B, R = _sums(load)
    half = (cpu * B + pool.line * W) / (2 * cpu * pool.line)
    return half + np.sqrt(max(half**2 - (W * B - R**2) / (cpu * pool.line), 0.0))


def of_edges(load, cpu, pool):
    """(processors, bytes/s) of each edge, (n_edges,): all answer at the same time, the soonest.

    From the conditions of the optimum, with tau as above and g = (line tau - B) / R:
    processors (w + sqrt(w b) / g) / tau, bytes/s (b + g sqrt(w b)) / tau.
    """
    W, B, R = _sums(load)
    tau, root = _lateness(load, cpu, pool), np.sqrt(load.edges * load.sent)
    if R == 0:  # nothing to send
        return load.edges * cpu / W, np.full(len(root), pool.line / len(root))
    g = (pool.line * tau - B) / R
    return (load.edges + root / g) / tau, (load.sent + g * root) / tau


def _sums(load):
    return load.edges.sum(), load.sent.sum(), np.sqrt(load.edges * load.sent).sum()


# ---------------------------------------------------------------------------------- a whole run


def follow(loads, pool, rule, known="last", first=None):
    """(n_rounds, 1 + n_edges) seconds of a run whose shares are set before each round.

    loads   [Load, ...] one a round;   rule   `fastest`, `balanced`, or any function of them
    known   what is known when the shares are set: "last" round's work, "size": `first` in every
            round, "all": the round itself, which nobody knows
    first   Load to begin with where nothing has been seen; None: equal parts
    """
    if known not in ("last", "size", "all"):
        raise PoolError(f"known is {known!r}; it is 'last', 'size' or 'all'")
    if known == "size" and first is None:
        raise PoolError("known is 'size' and no first load says what the sizes are")
    before = {"last": [first, *loads[:-1]], "size": [first] * len(loads), "all": loads}[known]
    even = polling(len(loads[0].edges), pool)
    shares = [even if b is None else rule(b, pool) for b in before]
    return np.array([times(a, s, pool) for a, s in zip(loads, shares)])


# ---------------------------------------------------------------------------------- the most


def most_gain(index, n_edges):
    """Largest ratio of round times, equal parts over any sharing, that an imbalance index leaves.

    For computing alone. With equal parts the times T of cloud and edges are as their work, and the
    mean of T is what the same pool, handed on, needs for the round. Two of n = n_edges + 1 numbers
    exceed twice their mean by at most sqrt(2 (n - 2)) standard deviations, so that

        (T_cloud + max T_a) / mean T <= 2 + index sqrt(2 (n_edges - 1)),   and never above n.

    >>> most_gain(0.0, 3), round(most_gain(0.264, 3), 3)
    (2.0, 2.528)
    """
    if index < 0 or n_edges < 1:
        raise PoolError(f"index {index:g} of {n_edges} edges; it is at least 0, of 1 edge or more")
    return float(min(2 + index * np.sqrt(2 * (n_edges - 1)), n_edges + 1))
