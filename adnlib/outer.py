"""Outer approximation: mixed-integer linear problems that bound a cone problem, in HiGHS.

A dual z of a cone (z_0 >= ||z_1..||) gives the linear row z's >= 0 for every s of that cone: the
cuts of `Tangents`, from whatever point z comes. Hence the dual bound of the linear problem is one
of the cone problem. Where the network falls into many blocks, `blocks` does better.

Duran and Grossmann, Math. Program. 36, 1986, 10.1007/BF02592064; cuts from cone duals: Coey, Lubin
and Vielma, Math. Program. Comput. 12, 2020, 10.1007/s12532-020-00178-3.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from . import conic

TOLERANCE = 1e-9, 1e-7  # least and most of HiGHS, for rows, reduced costs and integers
HEURISTICS = ("run_rins", "run_rens", "run_root_reduced_cost", "run_feasibility_jump")
SIMPLEX = 100  # simplex iterations that count as one unit of work


@dataclass(frozen=True, eq=False)
class Found:
    """status: optimal, infeasible, unbounded or stopped; bound proven; x None: no point."""

    status: str
    bound: float
    x: np.ndarray | None
    work: int


class Linear:
    """minimise c'x, lower <= A x <= upper, low <= x <= high, x_I integer; rows are added."""

    def __init__(self, c, A, lower, upper, low, high, integer):
        self.c, self.low, self.high, self.integer = c, low, high, integer
        self.parts = [(sp.csr_array(A), lower, upper)]

    def add(self, A, upper):
        """Rows A x <= upper."""
        if A.shape[0]:
            self._append(A, np.full(A.shape[0], -np.inf), upper)

    def equal(self, A, b):
        """Rows A x = b."""
        self._append(A, b, b)

    def _append(self, A, lower, upper):
        A = sp.csr_array(A)
        A.resize((A.shape[0], len(self.c)))
        self.parts.append((A, lower, upper))

    def widen(self, n):
        """Positions of n new columns, 0 <= x, without a cost; rows without them may be shorter."""
        old = len(self.c)
        self.c, self.low = np.r_[self.c, np.zeros(n)], np.r_[self.low, np.zeros(n)]
        self.high = np.r_[self.high, np.full(n, np.inf)]
        for A, _, _ in self.parts:
            A.resize((A.shape[0], old + n))
        return old + np.arange(n)

    def solve(self, gap=1e-6, nodes=None, seconds=None, cutoff=np.inf, extra=(), points=True):
        """Found; only points below the cutoff are looked for, bound = cutoff where none is.

        extra: further parts (A, lower, upper), for this once. points: HiGHS's heuristics; without
        them the bound comes sooner
        """
        import highspy

        h = highspy.Highs()
        for name, value in _options(gap, nodes, seconds, cutoff).items():
            h.setOptionValue(name, value)
        if not points:
            for name in HEURISTICS:
                h.setOptionValue(f"mip_heuristic_{name}", False)
        parts = [*self.parts, *extra]
        h.passModel(_lp(highspy, self.c, parts, self.low, self.high, self.integer))
        _run(h, highspy)
        return _found(h, highspy, cutoff, len(self.integer) > 0)


def _options(gap, nodes, seconds, cutoff):
    tolerance = float(np.clip(1e-3 * gap, *TOLERANCE))
    out = {"output_flag": False, "threads": 1, "random_seed": 0}
    out |= {"mip_rel_gap": gap, "mip_abs_gap": 1e-9, "mip_feasibility_tolerance": tolerance}
    out |= {f"{kind}_feasibility_tolerance": tolerance for kind in ("primal", "dual")}
    if nodes is not None:
        out["mip_max_nodes"] = int(max(nodes, 1))
    if seconds is not None:
        out["time_limit"] = float(max(seconds, 0.01))
    if np.isfinite(cutoff):
        out["objective_bound"] = float(cutoff)
    return out


def _lp(highspy, c, parts, low, high, integer):
    A = sp.vstack([p[0] for p in parts]).tocsc()
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(c), A.shape[0]
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = c, low, high
    lp.row_lower_ = np.concatenate([p[1] for p in parts])
    lp.row_upper_ = np.concatenate([p[2] for p in parts])
    matrix = lp.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kColwise
    matrix.num_col_, matrix.num_row_ = len(c), A.shape[0]
    matrix.start_, matrix.index_, matrix.value_ = A.indptr, A.indices, A.data
    if len(integer):
        kind = np.full(len(c), highspy.HighsVarType.kContinuous)
        kind[integer] = highspy.HighsVarType.kInteger
        lp.integrality_ = list(kind)
    return lp


def _run(h, highspy):
    """Run; HiGHS refuses one thread where somebody in this process has let it have more."""
    if h.run() == highspy.HighsStatus.kError:
        highspy.Highs.resetGlobalScheduler(True)
        if h.run() == highspy.HighsStatus.kError:
            raise RuntimeError(
                f"HiGHS {h.version()} refuses the problem ({h.getModelStatus()}): set its option "
                "output_flag in outer._options to read why"
            )


def _found(h, highspy, cutoff, mixed):
    info, status = h.getInfo(), h.getModelStatus()
    S = highspy.HighsModelStatus
    work = max(int(info.mip_node_count), 0) + max(int(info.simplex_iteration_count), 0) // SIMPLEX
    if status in (S.kInfeasible, S.kObjectiveBound):
        return Found("infeasible", cutoff, None, work + 1)
    if status in (S.kUnbounded, S.kUnboundedOrInfeasible):
        return Found("unbounded", -np.inf, None, work + 1)
    bound = info.mip_dual_bound if mixed else info.objective_function_value
    x = np.array(h.getSolution().col_value) if info.primal_solution_status == 2 else None
    if status == S.kOptimal and x is not None:
        return Found("optimal", min(float(bound), cutoff), x, work + 1)
    return Found("stopped", min(float(bound), cutoff) if mixed else -np.inf, x, work + 1)


# ---------------------------------------------------------------------------------- tangents


class Tangents:
    """All columns, all linear rows, the cones by tangents."""

    def __init__(self, m):
        self.m, k = m, m.n_linear
        lower = np.where(np.arange(k) < m.n_zero, m.b[:k], -np.inf)
        self.linear = Linear(m.c, m.A[:k], lower, m.b[:k], m.low, m.high, m.integer)
        self.cone_of = np.repeat(np.arange(len(m.soc)), m.soc)
        self.box()

    def box(self):
        """s_0 >= |s_i| in every cone, so that the linear problem has a bottom."""
        m = self.m
        head = np.repeat(m.heads, np.array(m.soc, int) - 1)
        rest = np.setdiff1d(np.arange(m.n_linear, len(m.b)), m.heads)
        for sign in (1, -1):
            self.linear.add(m.A[head] + sign * m.A[rest], m.b[head] + sign * m.b[rest])

    def integers(self, x):
        return np.round(x[self.m.integer])

    def add(self, z, ray=False):
        """The row z's >= 0 of every cone whose z is not nought, ray or not."""
        m = self.m
        if not m.soc:
            return
        zk, k = conic.to_dual(m, z)[m.n_linear :], m.n_linear
        head = zk[m.heads - k]
        used = np.flatnonzero(head > 1e-7 * max(head.max(initial=0), 1e-12))
        zk = zk / np.where(head > 0, head, 1)[self.cone_of]
        E = sp.csr_array((zk, (self.cone_of, np.arange(len(zk)))), shape=(len(m.soc), len(zk)))
        E = E[used]
        self.linear.add(E @ m.A[k:], E @ m.b[k:])

    def separate(self, x):
        """Tangents where x lies outside a cone; True if there is one."""
        m = self.m
        if not m.soc:
            return False
        s, heads = m.b - m.A @ x, m.heads
        norm, z = conic.norms(m, s), np.zeros(len(m.b))
        out = norm - s[heads] > 1e-7 * np.maximum(1, norm)
        scale = np.repeat(np.where(out, 1 / np.maximum(norm, 1e-300), 0), m.soc)
        z[m.n_linear :] = -s[m.n_linear :] * scale
        z[heads] = out
        self.add(z)
        return bool(out.any())
