"""A mixed-integer cone problem as matrices, solved by Clarabel relaxed or with integers fixed.

    minimise c'x  subject to  s = b - A x,  s in K,  low <= x_I <= high,  x_I integer

K: zero rows, then nonnegative rows, then second-order cones ||s_1..|| <= s_0. A dual z in K with
multipliers of the bounds proves a lower bound whatever x is: for every feasible x

    c'x >= -b'z + (c + A'z)'x >= -b'z + the least of (c + A'z)'x over the box.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

QUICK = {"tol_gap_abs": 1e-7, "tol_gap_rel": 1e-7}  # for the search
TIGHT = {"tol_gap_abs": 1e-9, "tol_gap_rel": 1e-9}  # for the answer
OTHERS = (  # where Clarabel's last steps stall: other arithmetic
    {"equilibrate_enable": False},
    {"equilibrate_enable": False, "static_regularization_constant": 1e-10},
    {"tol_gap_abs": 1e-6, "tol_gap_rel": 1e-6, "tol_feas": 1e-6},
)
FEASIBLE = 1e-6  # largest violation of a row, by the size of the row, that passes as feasible
REACH = 10.0  # columns without bounds are taken to stay within this times max(1, |x_relaxed|)


@dataclass(frozen=True, eq=False)
class Model:
    """c (n,), A (m, n) csr, b (m,); n_zero, n_nonneg rows, then cones of the sizes soc.

    integer: sorted columns; low, high (n,): bounds, those of integer columns whole numbers.
    """

    c: np.ndarray
    A: sp.csr_array
    b: np.ndarray
    n_zero: int
    n_nonneg: int
    soc: tuple
    integer: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def n_linear(self):
        return self.n_zero + self.n_nonneg

    @property
    def heads(self):
        """First row of each cone."""
        return self.n_linear + heads_of(self.soc)


def model(c, A, b, n_zero, n_nonneg, soc, boolean, integer):
    """Model with the inequalities of a single integer column turned into its bounds."""
    A = sp.csr_array(A)
    A.eliminate_zeros()
    n = len(c)
    low, high = np.full(n, -np.inf), np.full(n, np.inf)
    low[boolean], high[boolean] = 0, 1
    ints = np.union1d(np.asarray(boolean, int), np.asarray(integer, int)).astype(int)
    is_int = np.zeros(n, bool)
    is_int[ints] = True
    count = np.diff(A.indptr)
    rows = n_zero + np.flatnonzero(count[n_zero : n_zero + n_nonneg] == 1)
    col, a = A.indices[A.indptr[rows]], A.data[A.indptr[rows]]
    bound = b[rows] / a
    mine = is_int[col]
    for k in np.flatnonzero(mine):
        j = col[k]
        if a[k] > 0:
            high[j] = min(high[j], np.floor(bound[k] + 1e-9))
        else:
            low[j] = max(low[j], np.ceil(bound[k] - 1e-9))
    keep = np.ones(len(b), bool)
    keep[rows[mine]] = False
    out = Model(
        c, A[keep], b[keep], n_zero, n_nonneg - int(mine.sum()), tuple(soc), ints, low, high
    )
    return split_cones(out) if len(ints) else out


def split_cones(m, most=3):
    """Cones of more than `most` rows as cones of three: w_i s_0 >= s_i^2 and sum of w <= s_0.

    The new columns come last. Tangents of many small cones bound far better than those of one
    large one (Vielma, Dunning, Huchette and Lubin, Math. Program. Comput. 9, 2017,
    10.1007/s12532-016-0113-y).
    """
    soc, heads = np.array(m.soc, int), m.heads
    large = np.flatnonzero(soc > most)
    if len(large) == 0:
        return m
    head = np.repeat(heads[large], soc[large] - 1)
    rest = np.concatenate([heads[k] + 1 + np.arange(soc[k] - 1) for k in large])
    n_w = len(rest)
    w = np.arange(n_w)
    unit = lambda rows, cols, a, size: sp.csr_array((a, (rows, cols)), (size, n_w))  # noqa: E731
    which = np.repeat(np.arange(len(large)), soc[large] - 1)
    total = sp.hstack([m.A[heads[large]], unit(which, w, np.ones(n_w), len(large))])
    A3 = sp.vstack([m.A[head], m.A[head], 2 * m.A[rest]])
    W3 = unit(np.r_[w, n_w + w], np.r_[w, w], np.r_[-np.ones(n_w), np.ones(n_w)], 3 * n_w)
    order = np.arange(3 * n_w).reshape(3, n_w).T.ravel()
    three = sp.csr_array(sp.hstack([A3, W3]))[order]
    b3 = np.r_[m.b[head], m.b[head], 2 * m.b[rest]][order]
    small = np.flatnonzero(np.repeat(soc, soc) <= most) + m.n_linear
    wide = lambda rows: sp.hstack([m.A[rows], sp.csr_array((len(rows), n_w))])  # noqa: E731
    k, far = m.n_linear, np.full(n_w, np.inf)
    return Model(
        np.r_[m.c, np.zeros(n_w)],
        sp.csr_array(sp.vstack([wide(np.arange(k)), total, wide(small), three])),
        np.r_[m.b[:k], m.b[heads[large]], m.b[small], b3],
        m.n_zero,
        m.n_nonneg + len(large),
        tuple(int(a) for a in soc[soc <= most]) + (3,) * n_w,
        m.integer,
        np.r_[m.low, -far],
        np.r_[m.high, far],
    )


@dataclass(frozen=True, eq=False)
class Answer:
    """status: optimal, infeasible, unbounded or failed; value c'x; bound: proven by z.

    x (n,); z (m,) dual of the rows; reduced (n,): c + A'z, the multipliers of the bounds.
    """

    status: str
    value: float
    bound: float
    x: np.ndarray
    z: np.ndarray
    reduced: np.ndarray
    iterations: int


def relax(m, low=None, high=None, options=QUICK):
    """The relaxation within bounds (n,) of the integer columns; None: the model's own."""
    low, high = (m.low if low is None else low), (m.high if high is None else high)
    if (low > high).any():
        return _nothing(m, "infeasible")
    n, lower, upper = len(m.c), np.flatnonzero(np.isfinite(low)), np.flatnonzero(np.isfinite(high))
    unit = lambda j, sign: sp.csr_array((np.full(len(j), sign), (range(len(j)), j)), (len(j), n))  # noqa: E731
    k = m.n_linear
    A = sp.vstack([m.A[:k], unit(lower, -1.0), unit(upper, 1.0), m.A[k:]])
    b = np.r_[m.b[:k], -low[lower], high[upper], m.b[k:]]
    extra = len(lower) + len(upper)
    stated = cones(m.n_zero, m.n_nonneg + extra, m.soc)
    status, x, z, iterations = Clarabel(m.c, A, stated, options).solve(b)
    z = np.r_[z[:k], z[k + extra :]] if len(z) else np.zeros(len(m.b))
    return _answer(m, status, x, z, iterations, low, high)


def _answer(m, status, x, z, iterations, low, high):
    if status != "optimal":
        return replace(_nothing(m, status), z=z, iterations=iterations)
    z = to_dual(m, z)
    reduced = m.c + m.A.T @ z
    return Answer("optimal", float(m.c @ x), bound(m, z, reduced, x, low, high), x, z, reduced,
                  iterations)  # fmt: skip


def _nothing(m, status):
    value = {"infeasible": np.inf, "unbounded": -np.inf}.get(status, np.nan)
    zero = np.zeros(len(m.b))
    return Answer(status, value, value, np.zeros(len(m.c)), zero, m.c, 0)


def bound(m, z, reduced, x, low, high):
    """-b'z + least of reduced'x over the box; open sides are closed at REACH max(1, |x|)."""
    far = REACH * np.maximum(1, abs(x))
    low = np.where(np.isfinite(low), low, -far)
    high = np.where(np.isfinite(high), high, far)
    return float(-m.b @ z + np.where(reduced > 0, reduced * low, reduced * high).sum())


def to_dual(m, z):
    """z moved into K: rows clipped, heads of the cones raised to the norm of the rest."""
    z = np.asarray(z, float).copy()
    k = m.n_linear
    z[m.n_zero : k] = np.maximum(z[m.n_zero : k], 0)
    if m.soc:
        z[m.heads] = np.maximum(z[m.heads], norms(m, z))
    return z


def norms(m, s):
    """||s_1..|| of every cone."""
    return norms_of(s[m.n_linear :], m.soc)


def norms_of(s, soc):
    if not soc:
        return np.zeros(0)
    square, starts = s**2, heads_of(soc)
    square[starts] = 0
    return np.sqrt(np.add.reduceat(square, starts))


def heads_of(soc):
    return np.r_[0, np.cumsum(soc)][: len(soc)].astype(int)


def violation(m, x):
    """Largest violation of a row or cone at x, by max(1, |b|)."""
    s = m.b - m.A @ x
    worst = [np.abs(s[: m.n_zero]), -s[m.n_zero : m.n_linear]]
    scale = [np.maximum(1, abs(m.b[: m.n_zero])), np.maximum(1, abs(m.b[m.n_zero : m.n_linear]))]
    if m.soc:
        worst.append(norms(m, s) - s[m.heads])
        scale.append(np.maximum(1, abs(s[m.heads])))
    return float(np.max(np.concatenate(worst) / np.concatenate(scale), initial=0))


# ---------------------------------------------------------------------------------- integers fixed


class Fixed:
    """The cone problem with the integers fixed: one Clarabel solver, updated with new b."""

    def __init__(self, m, options=QUICK):
        self.m, self.options = m, options
        self.free = np.setdiff1d(np.arange(len(m.c)), m.integer)
        self.A_int, self.A_free = m.A[:, m.integer], sp.csr_array(m.A[:, self.free])
        some = np.diff(self.A_free.indptr) > 0
        some[m.n_linear :] = True
        self.kept, self.empty = np.flatnonzero(some), np.flatnonzero(~some)
        n_zero = int((self.kept < m.n_zero).sum())
        self.cones = (n_zero, int((self.kept < m.n_linear).sum()) - n_zero, m.soc)
        self.A_kept = self.A_free[self.kept]
        self.solver = None

    def possible(self, y, tol=1e-7):
        """Whether the integers y keep the rows and bounds that hold integers alone."""
        m = self.m
        s = (m.b - self.A_int @ y)[self.empty]
        zero = self.empty < m.n_zero
        within = (y >= m.low[m.integer] - tol).all() and (y <= m.high[m.integer] + tol).all()
        return within and (abs(s[zero]) <= tol).all() and (s[~zero] >= -tol).all()

    def solve(self, y):
        """Answer with x_I = y; reduced: the slope of the value in the integers."""
        m, y = self.m, np.round(y)
        if not self.possible(y):
            return _nothing(m, "infeasible")
        b = (m.b - self.A_int @ y)[self.kept]
        status, xf, zk, iterations = self._run(b)
        z = np.zeros(len(m.b))
        if len(zk):
            z[self.kept] = zk
        x = np.zeros(len(m.c))
        x[m.integer] = y
        if status == "optimal":
            x[self.free] = xf
            if violation(m, x) > FEASIBLE:
                status = "failed"
        low, high = m.low.copy(), m.high.copy()
        low[m.integer] = high[m.integer] = y
        return _answer(m, status, x, z, iterations, low, high)

    def _run(self, b):
        m, nothing = self.m, np.zeros(0)
        if len(self.free) == 0:
            s = b.copy()
            short = norms_of(s, m.soc) - s[heads_of(m.soc)]
            return ("optimal" if (short <= 1e-7).all() else "infeasible", nothing, nothing, 0)
        if self.solver is None:
            self.solver = Clarabel(m.c[self.free], self.A_kept, cones(*self.cones), self.options)
        return self.solver.solve(b)


# ---------------------------------------------------------------------------------- Clarabel


def cones(n_zero, n_nonneg, soc):
    import clarabel

    out = [clarabel.ZeroConeT(n_zero)] if n_zero else []
    out += [clarabel.NonnegativeConeT(n_nonneg)] if n_nonneg else []
    return out + [clarabel.SecondOrderConeT(k) for k in soc]


class Clarabel:
    """One structure, many b."""

    def __init__(self, c, A, cones, options):
        self.options = options
        self.c, self.A, self.cones = c, sp.csc_matrix(A), cones
        self.P = sp.csc_matrix((len(c), len(c)))
        self.solver = None

    def solve(self, b):
        """(status, x, z, iterations); status failed where no setting gives an answer."""
        iterations, status, found = 0, "failed", None
        for options in (self.options, *OTHERS):
            found = self._once(b, options)
            iterations += found.iterations
            status = STATUS.get(str(found.status), "failed")
            if status != "failed":
                break
        if status == "unbounded" or status == "failed":
            return status, np.zeros(0), np.zeros(0), iterations
        return status, np.array(found.x), np.array(found.z), iterations

    def price(self, c):
        """Another cost; Clarabel starts anew."""
        if not np.array_equal(c, self.c):
            self.c, self.solver = c, None

    def _once(self, b, options):
        import clarabel

        if self.solver is not None and options is self.options:
            self.solver.update(b=b)
            return self.solver.solve()
        settings = clarabel.DefaultSettings()
        settings.verbose, settings.presolve_enable, settings.max_threads = False, False, 1
        for name, value in options.items():
            setattr(settings, name, value)
        solver = clarabel.DefaultSolver(self.P, self.c, self.A, b, self.cones, settings)
        if options is self.options:
            self.solver = solver
        return solver.solve()


STATUS = {"Solved": "optimal", "AlmostSolved": "optimal", "PrimalInfeasible": "infeasible",
          "DualInfeasible": "unbounded"}  # fmt: skip
