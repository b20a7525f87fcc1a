"""Cuts that know what whole positions of one device cost in one block (see `blocks`).

The value of a block is convex in the devices, so that duals, which are planes below it, never see
that a fraction of a position is not to be had. Let s run over the patterns that the integer columns
x of one device take in block k (the 12 positions of a tap changer), and u be all other device
columns that the block sees. With any price lambda of u

    G(s) = min of cost_k(y) - lambda'u  over the block's y and all u in their box, the device at s

and for every integer point, with shares delta_s >= 0 of the patterns,

    eta_k >= sum_s delta_s G(s) + lambda'u,   sum_s delta_s = 1,   x = sum_s delta_s s

G(s) is bounded below by any dual z of the block, whatever pattern and price it was found with:

    G(s) >= -b'z + (N_x s)'z + the least of (N_u'z - lambda)'u over the box

so that one cone problem, with every block at one of its patterns, serves all blocks at once, and
all duals ever found serve every cut.

Lagrangian cuts: Zou, Ahmed and Sun, Math. Program. 175, 2019, 10.1007/s10107-018-1249-5.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from . import conic

MOST = 24  # patterns of a device in a block; devices with more have no shares


@dataclass(frozen=True, eq=False)
class Table:
    """One device in one block: positions of its (block, column) pairs and of all others of the
    block; its patterns (n_patterns, n_pairs); the columns of their shares."""

    block: int
    device: int
    pairs: np.ndarray
    others: np.ndarray
    patterns: np.ndarray
    shares: np.ndarray


class Patterns:
    """Shares of the patterns of every device in every block, as columns of blocks.linear."""

    def __init__(self, blocks, x):
        self.blocks, m = blocks, blocks.m
        whole = np.isin(blocks.device, m.integer)
        low, high = boxes(*blocks.hard, m.low[blocks.device], m.high[blocks.device])
        low[whole], high[whole] = np.ceil(low[whole] - 1e-6), np.floor(high[whole] + 1e-6)
        far = conic.REACH * np.maximum(1, abs(x[blocks.device]))
        self.box = np.maximum(low, -far), np.minimum(high, far)
        N, n = sp.coo_array(blocks.N), len(blocks.device)
        block = blocks.block_of_row[N.coords[0]].astype(np.int64)
        key, pair = np.unique(block * n + N.coords[1], return_inverse=True)
        self.block, self.column = key // n, key % n
        self.M = sp.csr_array((N.data, (N.coords[0], pair)), (N.shape[0], len(key)))
        self.low, self.high = self.box[0][self.column], self.box[1][self.column]
        one = np.ones(len(key)), (self.block, np.arange(len(key)))
        self.of_block = sp.csr_array(one, (blocks.count, len(key)))
        self.size = np.asarray(self.M.sum(axis=0)).ravel()
        self.slopes, self.bases, self.solvers = np.zeros((0, len(key))), [], {}
        self.tables = self._tables(whole)
        self.devices = sorted({t.device for t in self.tables})

    def _tables(self, whole):
        """A Table for each device and block, and the rows that tie the shares to the device."""
        device = self.blocks.component[self.column]
        mine = np.flatnonzero(whole[self.column])
        order = mine[np.lexsort((self.column[mine], device[mine], self.block[mine]))]
        group = np.stack([self.block[order], device[order]])
        ends = np.flatnonzero((np.diff(group, axis=1) != 0).any(axis=0)) + 1
        known, out, linear = {}, [], self.blocks.linear
        for pairs in np.split(order, ends) if len(order) else []:
            columns = tuple(self.column[pairs])
            if columns not in known:
                patterns = listed(*self.blocks.hard, *self.box, np.array(columns))
                shares = None if patterns is None else linear.widen(len(patterns))
                known[columns] = patterns, shares
                if patterns is not None:
                    linear.equal(*_tied(np.array(columns), patterns, shares, len(linear.c)))
            patterns, shares = known[columns]
            if patterns is not None:
                k = int(self.block[pairs[0]])
                others = np.setdiff1d(np.flatnonzero(self.block == k), pairs)
                out.append(Table(k, int(device[pairs[0]]), pairs, others, patterns, shares))
        return out

    def learn(self, z):
        """Keep the planes of a dual of the cost."""
        blocks = self.blocks
        z = conic.to_dual(blocks.m, z)[blocks.rows]
        self.slopes = np.vstack([self.slopes, self.M.T @ z])
        self.bases.append(blocks.fixed(z))

    def least(self, price, tables):
        """G(s) of these tables at a price (pairs,) as far as the duals kept know."""
        slack = self.slopes - price
        box = np.where(slack > 0, slack * self.low, slack * self.high)
        whole = np.array(self.bases) + (self.of_block @ box.T).T
        out = []
        for t in tables:
            rest = whole[:, t.block] - box[:, t.pairs].sum(axis=1)
            out.append((rest[:, None] + self.slopes[:, t.pairs] @ t.patterns.T).max(axis=0))
        return out

    def cut(self, price, device=None):
        """The cuts of one device, None: of all, at a price (pairs,)."""
        tables = [t for t in self.tables if device in (None, t.device)]
        first, linear, parts = len(self.blocks.device), self.blocks.linear, []
        for t, least in zip(tables, self.least(price, tables)):
            columns = np.r_[first + t.block, t.shares, self.column[t.others]]
            parts.append((columns, np.r_[-1.0, least, price[t.others]]))
        if parts:
            linear.add(_stacked(parts, len(linear.c)), np.zeros(len(parts)))

    def nearest(self, x, device, rank):
        """{block: number} of the pattern that the network sees nearest to x, or the next."""
        pick = {}
        for t in (t for t in self.tables if t.device == device):
            size = self.size[t.pairs]
            off = abs(t.patterns @ size - x[self.column[t.pairs]] @ size)
            pick[t.block] = np.argsort(off, kind="stable")[min(rank, len(off) - 1)]
        return pick

    def worth(self, device, pick, price):
        """Sum of the G(s) of a device at one pattern a block."""
        tables = [t for t in self.tables if t.device == device]
        return sum(a[pick[t.block]] for t, a in zip(tables, self.least(price, tables)))

    def probe(self, device, pick, price):
        """(status, dual z, work) of all blocks with the device at these patterns, all else priced
        and free within its box."""
        seen, blocks = np.zeros(len(self.block)), self.blocks
        for t in self.tables:
            if t.device == device:
                seen[t.pairs] = t.patterns[pick[t.block]]
        if device not in self.solvers:
            self.solvers[device] = self._solver(device)
        free, solver = self.solvers[device]
        solver.price(np.r_[blocks.m.c[blocks.rest], -price[free]])
        box = np.r_[-self.low[free], self.high[free]]
        return blocks.solved(solver, blocks.b - self.M @ seen, box)

    def _solver(self, device):
        """(free pairs, Clarabel solver with them as columns within their box)."""
        held = [t.pairs for t in self.tables if t.device == device]
        free = np.setdiff1d(np.arange(len(self.block)), np.concatenate(held))
        eye, none = sp.eye_array(len(free)), sp.csr_array((len(free), len(self.blocks.rest)))
        box = sp.vstack([sp.hstack([none, -eye]), sp.hstack([none, eye])])
        return free, self.blocks.stated(sp.hstack([self.blocks.C, self.M[:, free]]), box)


def boxes(A, lower, upper, low, high, rounds=3):
    """(low, high) of the columns, tightened by what each row lower <= A x <= upper leaves them.

    >>> low, high = boxes(np.array([[1.0, -2.0]]), [-np.inf], [0.0], np.zeros(2), np.r_[np.inf, 1])
    >>> high.tolist()
    [2.0, 1.0]
    """
    A = sp.coo_array(A)
    row, column = A.coords
    low, high = low.astype(float), high.astype(float)
    for sign, limit in ((1.0, upper), (-1.0, -np.asarray(lower))) * rounds:
        a = sign * A.data
        least = np.where(a > 0, a * low[column], a * high[column])
        known, finite = np.where(np.isfinite(least), least, 0), np.isfinite(least)
        n_open = np.bincount(row, ~finite, len(limit))[row] - ~finite
        rest = np.bincount(row, known, len(limit))[row] - known
        room = np.where(n_open > 0, np.inf, np.asarray(limit)[row] - rest) / a
        up = a > 0
        np.minimum.at(high, column[up], room[up])
        np.maximum.at(low, column[~up], room[~up])
    return low, high


def listed(A, lower, upper, low, high, columns):
    """(n, columns) all whole values of the columns that no row forbids; None: more than MOST.

    >>> ordered = np.array([[-1.0, 1.0]])
    >>> listed(ordered, [-np.inf], [0.0], np.zeros(2), np.ones(2), np.arange(2)).tolist()
    [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
    """
    A = sp.csr_array(A)
    rows = np.unique(sp.csc_array(A[:, columns]).indices)
    a = A[rows].toarray()
    least, most = _ends(a, low, high)
    own = np.isin(np.arange(a.shape[1]), columns)
    up = np.asarray(upper)[rows] - least[:, ~own].sum(axis=1) + 1e-6
    down = np.asarray(lower)[rows] - most[:, ~own].sum(axis=1) - 1e-6
    a, least, most = a[:, columns], least[:, columns], most[:, columns]
    found = np.zeros((1, 0))
    for j, column in enumerate(columns):
        if len(found) * (high[column] - low[column] + 1) > 8 * MOST:
            return None
        values = np.arange(low[column], high[column] + 1)
        found = np.c_[np.repeat(found, len(values), axis=0), np.tile(values, len(found))]
        sums, rest = found @ a[:, : j + 1].T, slice(j + 1, None)
        fits = sums + least[:, rest].sum(axis=1) <= up
        fits &= sums + most[:, rest].sum(axis=1) >= down
        found = found[fits.all(axis=1)]
    return found if 1 < len(found) <= MOST else None


def _ends(a, low, high):
    """Least and most of every entry of a times its column."""
    with np.errstate(invalid="ignore"):
        ends = np.where(a == 0, 0, a * low), np.where(a == 0, 0, a * high)
    return np.minimum(*ends), np.maximum(*ends)


def _tied(columns, patterns, shares, n):
    """(A, b): the shares sum to 1 and give the columns."""
    parts = [(shares, np.ones(len(shares)))]
    for column, values in zip(columns, patterns.T):
        parts.append((np.r_[shares, column], np.r_[values, -1.0]))
    return _stacked(parts, n), np.r_[1.0, np.zeros(len(columns))]


def _stacked(parts, n):
    """Sparse rows from (columns, values)."""
    row = np.repeat(np.arange(len(parts)), [len(c) for c, _ in parts])
    columns, values = (np.concatenate(a) for a in zip(*parts))
    out = sp.csr_array((values, (row, columns)), (len(parts), n))
    out.eliminate_zeros()
    return out
