"""A network projected out of a mixed-integer cone problem, block by block.

The device columns stay in a linear problem with their own rows; what the rest costs is a column
eta_k for each block k (an hour of a scenario), held up by rows that duals of the network give. Such
a row holds whatever the dual is, so that the dual bound of the linear problem is one of the cone
problem.

Geoffrion, J. Optim. Theory Appl. 10(4), 1972, 10.1007/BF00934810.
"""

import numpy as np
import scipy.sparse as sp

from . import conic
from .outer import Linear


class Blocks:
    """The device columns with their own rows; the value of each block of the rest by cuts.

    Devices: the columns that rows without cone columns tie to an integer one. The rest falls
    into blocks (the hours and scenarios of a network) that meet in device columns only.
    """

    def __init__(self, m, x):
        device, hard, block_of_row, block_of_col = split(m)
        self.m, self.device = m, device
        self.rest = np.setdiff1d(np.arange(len(m.c)), device)
        self.rows = np.flatnonzero(~hard)
        k = int(max(block_of_row.max(initial=-1), block_of_col.max(initial=-1))) + 1
        self.count = k
        one = lambda of: sp.csr_array((np.ones(len(of)), (of, np.arange(len(of)))), (k, len(of)))  # noqa: E731
        self.of_row, self.of_col = one(block_of_row), one(block_of_col)
        self.N, self.C = m.A[self.rows][:, device], sp.csc_array(m.A[self.rows][:, self.rest])
        self.b = m.b[self.rows]
        self.far = conic.REACH * np.maximum(1, abs(x[self.rest]))
        rows = np.flatnonzero(hard)
        lower = np.where(rows < m.n_zero, m.b[rows], -np.inf)
        A = sp.hstack([m.A[rows][:, device], sp.csr_array((len(rows), k))])
        low, high = (
            np.r_[m.low[device], np.full(k, -np.inf)],
            np.r_[m.high[device], np.full(k, np.inf)],
        )
        self.hard = m.A[rows][:, device], lower, m.b[rows]
        self.block_of_row, self.solver = block_of_row, None
        self.component = _groups(sp.csr_array(self.hard[0]))[1]
        self.position = np.flatnonzero(np.isin(device, m.integer))
        cost = np.r_[m.c[device], np.ones(k)]
        self.linear = Linear(cost, A, lower, m.b[rows], low, high, self.position)

    def integers(self, x):
        return np.round(x[self.position])

    def evaluate(self, seen):
        """(status, dual z of all rows) of the rest where it sees the devices as `seen` (rows,)."""
        if self.solver is None:
            self.solver = self.stated(self.C)
        return self.solved(self.solver, self.b - seen)

    def stated(self, A, box=None):
        """Clarabel solver of all blocks: their rows A, and rows of a box."""
        n_zero, k = (int((self.rows < n).sum()) for n in (self.m.n_zero, self.m.n_linear))
        A, extra = sp.csr_array(A), 0 if box is None else box.shape[0]
        if extra:
            A = sp.vstack([A[:k], box, A[k:]])
        cones = conic.cones(n_zero, k - n_zero + extra, self.m.soc)
        cost = np.r_[self.m.c[self.rest], np.zeros(A.shape[1] - len(self.rest))]
        return conic.Clarabel(cost, A, cones, conic.QUICK)

    def solved(self, solver, b, box=()):
        """(status, dual z of all rows, work) of a stated problem."""
        k, n = int((self.rows < self.m.n_linear).sum()), len(box)
        status, _, zk, work = solver.solve(np.r_[b[:k], box, b[k:]])
        z = np.zeros(len(self.m.b))
        if len(zk):
            z[self.rows] = np.r_[zk[:k], zk[k + n :]]
        return status, z, work

    def add(self, z, ray=False):
        """eta_k >= value of block k at the dual z, or 0 >= it where z proves infeasibility."""
        z = conic.to_dual(self.m, z)[self.rows]
        scale = 1 / max(abs(z).max(initial=0), 1e-12) if ray else 1.0
        fixed = self.fixed(z, ray)
        slope = self.of_row @ (self.N * z[:, None])
        eye = sp.csr_array((self.count, self.count)) if ray else sp.eye_array(self.count)
        self.linear.add(sp.hstack([slope * scale, -eye]), -fixed * scale)

    def fixed(self, z, ray=False):
        """(count,) value of each block at the dual z (of the blocks' rows) with no devices."""
        left = self.C.T @ z + (0 if ray else self.m.c[self.rest])
        return -(self.of_row @ (z * self.b)) - self.of_col @ (abs(left) * self.far)


def split(m):
    """(device columns, hard: rows of device columns alone, block of the other rows, of columns).

    A device column is tied to an integer one by rows without cone columns, or tied by such rows to
    others of more than one block (ramps, energy that is kept over the day).
    """
    n, k = len(m.c), m.n_linear
    is_int = np.zeros(n, bool)
    is_int[m.integer] = True
    in_cone = np.zeros(n, bool)
    in_cone[m.A[k:].indices] = True
    in_cone &= ~is_int
    pattern = sp.csr_array((np.ones(m.A.nnz), m.A.indices, m.A.indptr), shape=m.A.shape)
    hard = pattern @ in_cone.astype(float) == 0
    hard[k:] = False
    tied = _groups(pattern[np.flatnonzero(hard)])[1]
    device = np.isin(tied, tied[m.integer]) & ~in_cone
    loose = np.flatnonzero(~device & ~in_cone)
    rows, block, _ = _blocks(m, pattern, ~hard, in_cone)
    device[_linking(pattern[rows][:, loose], block, tied[loose], loose)] = True
    hard &= pattern @ (~device).astype(float) == 0
    _, of_row, of_col = _blocks(m, pattern, ~hard, ~device)
    return np.flatnonzero(device), hard, of_row, of_col


def _blocks(m, pattern, rows, columns):
    """(rows, block of each, block of each column): what hangs together by those columns."""
    rows, columns = np.flatnonzero(rows), np.flatnonzero(columns)
    part = pattern[rows][:, columns]
    if m.soc:  # the rows of one cone belong together
        cone_of = np.repeat(np.arange(len(m.soc)), m.soc)
        at = (np.flatnonzero(rows >= m.n_linear), cone_of)
        part = sp.hstack([part, sp.csr_array((np.ones(len(cone_of)), at), (len(rows), len(m.soc)))])
    of_row, of_col = _groups(sp.csr_array(part))
    return rows, of_row, of_col[: len(columns)]


def _linking(part, block, tied, columns):
    """Those columns whose group (tied) meets rows of more than one block."""
    if len(columns) == 0:
        return columns
    _, group = np.unique(tied, return_inverse=True)
    cell = part.tocoo()
    pairs = np.unique(np.c_[group[cell.coords[1]], block[cell.coords[0]]], axis=0)
    many = np.bincount(pairs[:, 0], minlength=group.max() + 1) > 1
    return columns[many[group]]


def _groups(pattern):
    """(of rows, of columns): connected components of a sparse pattern."""
    from scipy.sparse.csgraph import connected_components

    m, n = pattern.shape
    graph = sp.block_array([[None, pattern], [pattern.T, None]]).tocsr() if m and n else None
    if graph is None:
        return np.arange(m), m + np.arange(n)
    _, of = connected_components(graph, directed=False)
    return of[:m], of[m:]
