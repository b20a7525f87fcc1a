"""Sums over a rooted tree, on whole batches at once: what power flow on a radial feeder is made of.

Chapter 01 does the same with two loops.
"""

from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array

WIDE = 100  # columns from which a loop over the buses beats running totals


class Tree:
    """Sums over a rooted tree on (n, m) arrays.

    Many columns (scenarios): the textbook sweep, bus by bus, each step vectorised over columns.
    Few columns: no loop. Buses stand in depth-first order, so that everything below bus j is the
    run j .. j + size_j - 1: a subtree sum is a difference of two running totals, a path sum a
    running total in which every bus leaves again behind its last descendant.
    """

    def __init__(self, parent):
        self.n = len(parent)
        self.order, self.size, self.up = _depth_first(parent)
        self.place = np.argsort(self.order)
        self.tops = np.flatnonzero(self.up < 0)
        self.upwards = [(i, int(k)) for i, k in enumerate(self.up) if k >= 0][::-1]
        ends = np.arange(self.n) + self.size
        leave = ends < self.n
        self.leaving = csr_array(
            (np.ones(leave.sum()), (ends[leave], np.flatnonzero(leave))), shape=(self.n, self.n)
        )
        self.ends = ends

    @staticmethod
    def of(feeder):
        """The tree of a feeder, made once for each topology."""
        return cached(feeder.parent.tobytes())

    def below(self, a):
        """Sum over each bus and everything below it; `a` is overwritten."""
        if a.shape[1] > WIDE:
            rows = list(a)
            for bus, parent in self.upwards:
                np.add(rows[parent], rows[bus], rows[parent])
            return a
        total = np.zeros((self.n + 1, a.shape[1]), a.dtype)
        np.cumsum(a, axis=0, out=total[1:])
        return np.subtract(total[self.ends], total[:-1], out=a)

    def path(self, a):
        """Sum over the branches between the root and each bus; `a` is overwritten."""
        if a.shape[1] > WIDE:
            for bus, parent in reversed(self.upwards):
                a[bus] += a[parent]
            return a
        return np.cumsum(a - self.leaving @ a, axis=0, out=a)

    def from_root(self, root, a):
        """root - path(a): voltages from the drops along the branches; `a` is overwritten."""
        if a.shape[1] <= WIDE:
            return np.subtract(root, self.path(a), out=a)
        a[self.tops] = root - a[self.tops]
        rows = list(a)
        for bus, parent in reversed(self.upwards):
            np.subtract(rows[parent], rows[bus], rows[bus])
        return a

    def product(self, ratio):
        """Product of the ratios between the root and each bus."""
        if (ratio == 1).all():
            return np.ones((1, 1))
        return np.exp(self.path(np.log(ratio)))

    def ancestors(self):
        """(n, n) of 0 and 1 in the feeder's own order: branch j lies on the path to bus i."""
        return self.path(np.eye(self.n))[np.ix_(self.place, self.place)]

    def parent_of(self, a, root):
        """Rows of the parents; `root` (1, m) stands above the first buses."""
        above = np.broadcast_to(root, (1, a.shape[1]))
        return np.concatenate([above, a])[self.up + 1]


@lru_cache(maxsize=64)
def cached(parent_bytes):
    """The tree of a parent array given as bytes."""
    return Tree(np.frombuffer(parent_bytes, dtype=int))


def _depth_first(parent):
    """(order, size, up): depth-first order, subtree sizes and parents in that order."""
    n = len(parent)
    size = np.ones(n, int)
    for i in range(n - 1, -1, -1):
        if parent[i] >= 0:
            size[parent[i]] += size[i]
    place, free = np.empty(n, int), {-1: 0}
    for i in range(n):
        place[i] = free[parent[i]]
        free[parent[i]] += size[i]
        free[i] = place[i] + 1
    order = np.argsort(place)
    up = np.where(parent[order] >= 0, place[parent[order]], -1)
    return order, size[order], up
