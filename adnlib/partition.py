"""A feeder cut into areas by electrical distance and by what the devices inside can control.

Chapter 11 builds it step by step: the inner problem of the dcvc paper's siting (Equations 1 to 5).
On a tree, areas that hang together are a choice of cut branches, so that all partitions into a few
areas can be listed, and the best for a given siting is found by one matrix product.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from . import linflow, powerflow
from .tree import Tree


class PartitionError(ValueError):
    """A partition that cannot be, with the number at fault and the cure."""


# ---------------------------------------------------------------------------------- distance


def attenuation(S):
    """(n, n) in [0, 1]: sqrt(S_ij S_ji / (S_ii S_jj)) of sensitivities S, row = observed bus.

    1: the two voltages answer alike; 0: nothing in common, or a bus that does not answer at all.

    >>> attenuation(np.array([[1.0, 1.0], [1.0, 4.0]]))
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    S = np.asarray(S, float)
    own = np.diagonal(S)
    answers = np.where(own > 0, own, np.inf)
    out = np.sqrt(np.maximum(S * S.T, 0) / np.outer(answers, answers))
    np.fill_diagonal(out, 1.0)
    return np.minimum(out, 1.0)


def electrical_distance(S):
    """(n, n): -log(attenuation); 0 for a bus to itself, inf where there is nothing in common.

    Half of -log(alpha_ij alpha_ji), alpha_ij = S_ij / S_jj; after Chai et al., IEEE Trans. Power
    Syst. 33(3), 2018, 10.1109/TPWRS.2018.2813400.
    """
    with np.errstate(divide="ignore"):
        return -np.log(attenuation(S))


def coupling(dV_dp, dV_dq):
    """(n, n): mean of the attenuations of active and reactive power, linflow.sensitivities."""
    return (attenuation(dV_dp) + attenuation(dV_dq)) / 2


def strengths(coupled, owner, n_areas):
    """(inside, outside), each (m, n_areas): mean coupling of pairs in an area, and across its edge.

    coupled (n, n) of `coupling`; owner (m, n) number of the area of each bus. An area of one bus
    has inside 1, an area without buses nan.
    """
    n = owner.shape[1]
    inside, outside = np.empty((2, len(owner), n_areas))
    for a in range(n_areas):
        mine = (owner == a).astype(float)
        size, among = mine.sum(axis=1), ((mine @ coupled) * mine).sum(axis=1)
        across = (mine @ coupled).sum(axis=1) - among
        with np.errstate(invalid="ignore", divide="ignore"):
            inside[:, a] = np.where(size == 1, 1, (among - size) / (size * (size - 1)))
            outside[:, a] = np.where(size < n, across / (size * (n - size)), 0)
    return inside, outside


# ---------------------------------------------------------------------------------- messages


def hops(n_devices, degree):
    """log(N) / log(d): hops of a message through a random graph of N devices of mean degree d.

    >>> hops(np.array([1, 2, 8]), 2)
    array([0., 1., 3.])
    """
    if degree <= 1:
        raise PartitionError(f"degree is {degree}; a message spreads only if it is above 1")
    return np.log(np.maximum(n_devices, 1)) / np.log(degree)


def most_devices(delay_max, step, degree):
    """Devices at most in a cluster that keeps its delay: hops(N, degree) step <= delay_max.

    delay_max, step [s]; step: one message, its computation and its action.

    >>> most_devices(0.06, 0.02, 2)
    8
    """
    hops(1, degree)
    return int(np.floor(np.exp(np.log(degree) * delay_max / step) + 1e-9))


# ---------------------------------------------------------------------------------- partitions


def all_cuts(feeder, n_areas):
    """(m, n_areas - 1) positions of cut buses: every partition into areas that hang together.

    The branch above a cut bus is the border. Top branches are no borders: the area with the root
    has at least one bus.

    >>> from adnlib import read_feeder
    >>> all_cuts(read_feeder("ieee33"), 3).shape         # 31 branches, two of them cut
    (465, 2)
    """
    inner = np.flatnonzero(feeder.parent >= 0)
    if not 1 <= n_areas <= len(inner) + 1:
        raise PartitionError(f"{n_areas} areas of {feeder.n} buses; ask for 1 to {len(inner) + 1}")
    listed = list(combinations(inner, n_areas - 1))
    return np.array(listed, int).reshape(len(listed), n_areas - 1)


def owners(feeder, at):
    """(m, n) area of each bus for cuts at (m, k): 0 with the root, c + 1 below the c-th cut.

    >>> from adnlib import read_feeder
    >>> np.bincount(owners(read_feeder("ieee33"), np.array([[7, 24]]))[0])
    array([14, 10,  8])
    """
    at = np.sort(np.atleast_2d(at), axis=1)  # parents come first: the last cut above a bus owns it
    below = Tree.of(feeder).ancestors().T.astype(bool)  # [j, i]: bus i hangs from branch j
    owner = np.zeros((len(at), feeder.n), int)
    for c in range(at.shape[1]):
        owner[below[at[:, c]]] = c + 1
    return owner


@dataclass(frozen=True, eq=False)
class Partitions:
    """Partitions that keep the coupling bounds, with what a device at each bus controls in each.

    at       (m, A - 1) cut positions;  owner (m, n) area of each bus
    ess, pv  (m, n) share of the feeder's mean deviation within reach of one device at that bus,
             over the buses of its own area
    most     devices of a kind in an area at most;  least: at least
    """

    at: np.ndarray
    owner: np.ndarray
    ess: np.ndarray
    pv: np.ndarray
    most: int
    least: int

    @property
    def n_areas(self):
        return self.at.shape[1] + 1

    def abilities(self, pv, ess):
        """(k, m) control ability of sitings (positions of the devices) in every partition.

        sum of h_e over the buses over sum of the mean deviations, h_e from the own area's devices
        (dcvc, Equation 1); -inf where an area has more than `most` or less than `least` devices
        of a kind (Equations 4, 5).
        """
        pv, ess = (self._marked(a) for a in (pv, ess))
        value = pv @ self.pv.T + ess @ self.ess.T
        for a in range(self.n_areas):
            mine = (self.owner == a).astype(float).T
            for kind in (pv, ess):
                count = kind @ mine
                value[(count > self.most + 0.5) | (count < self.least - 0.5)] = -np.inf
        return value

    def best(self, pv, ess):
        """(ability (k,), which (k,)): the best partition of each siting; -inf: none is left."""
        value = self.abilities(pv, ess)
        which = value.argmax(axis=1)
        return value[np.arange(len(value)), which], which

    def allows(self, pv, ess, at_least=-np.inf):
        """(k,) whether some partition is left whose ability is at least a number."""
        value = self.best(pv, ess)[0]
        return np.isfinite(value) & (value >= at_least)

    def _marked(self, at):
        """(k, n) 0/1 of positions (k, devices)."""
        at = np.atleast_2d(np.asarray(at, int))
        out = np.zeros((len(at), self.owner.shape[1]))
        np.put_along_axis(out, at, 1.0, axis=1)
        return out


def partitions(feeder, at, coupled, reach_pv, reach_ess, deviation, bound=None, most=None, least=1):
    """Partitions of the cuts `at` (all_cuts) whose areas keep the coupling bounds.

    coupled    (n, n) of `coupling`
    reach_pv, reach_ess  (n, n) voltage at the row that a device at the column moves at most [p.u.]:
               dV_dq q_max, dV_dp p_max
    deviation  (n,) historical mean |V - 1| [p.u.]
    bound      (inside at least, outside at most); None: both the mean coupling of all pairs
    most       devices of a kind in an area (most_devices); None: no limit
    PartitionError if no partition keeps the bounds.
    """
    owner, n_areas = owners(feeder, at), np.shape(at)[1] + 1
    inside, outside = strengths(coupled, owner, n_areas)
    low, high = (mean_coupling(coupled),) * 2 if bound is None else bound
    kept = (inside >= low).all(axis=1) & (outside <= high).all(axis=1)
    if not kept.any():
        raise PartitionError(
            f"none of {len(owner)} partitions has coupling of at least {low:.3g} inside and at "
            f"most {high:.3g} outside in all areas; widen the bounds or ask for fewer areas"
        )
    at, owner = np.asarray(at)[kept], owner[kept]
    pv, ess = (within(reach, owner, n_areas) / deviation.sum() for reach in (reach_pv, reach_ess))
    return Partitions(at, owner, ess, pv, feeder.n if most is None else most, least)


def for_study(study, at, **limits):
    """Partitions for a siting.Study: sensitivities at the day's mean injections without devices.

    A device's reach is what it can do in every hour: p_max of a battery, the least q_max of a
    plant. The deviation is the day's mean of |V - 1| without devices. limits: bound, most, least.
    """
    feeder = study.feeder
    mean = powerflow.solve(feeder, study.p.mean(axis=0), study.q.mean(axis=0))
    dV_dp, dV_dq = linflow.sensitivities(feeder, mean)
    deviation = np.abs(study.without.V - 1).mean(axis=0)
    reach = dV_dq * study.q_max.min(), dV_dp * study.p_max
    return partitions(feeder, at, coupling(dV_dp, dV_dq), *reach, deviation, **limits)


def mean_coupling(coupled):
    """Mean over all pairs of different buses."""
    n = len(coupled)
    return (coupled.sum() - np.trace(coupled)) / (n * (n - 1))


def within(reach, owner, n_areas):
    """(m, n): column sums of reach (n, n) over the rows of the column's own area."""
    out = np.zeros(owner.shape)
    for a in range(n_areas):
        mine = (owner == a).astype(float)
        out += mine * (mine @ reach)
    return out


def climb(feeder, start, table_of, pv, ess):
    """(cuts, ability): from the cuts `start` one border after the other to its best place.

    table_of(at) -> Partitions of those cuts; pv, ess positions of the devices. For more areas than
    can be listed; ends where moving a single border gains nothing, with -inf if none is allowed.
    """
    at, value = np.array(start, int), -np.inf
    free = np.flatnonzero(feeder.parent >= 0)
    while True:
        moves = [np.r_[np.delete(at, c), j] for c in range(len(at)) for j in free if j not in at]
        table = table_of(np.array([at, *moves]))
        best, which = table.best(pv, ess)
        if not best[0] > value + 1e-12:
            return tuple(int(j) for j in np.sort(at)), float(value)
        at, value = table.at[which[0]], best[0]
