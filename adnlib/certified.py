"""Mixed-integer cone problems solved to a proven gap, by open solvers.

Any CVXPY problem with boolean and integer variables, linear and second-order-cone constraints and
convex quadratic objectives. Chapter 04 builds the idea up.

1. relax    Clarabel without integrality: its dual value is the first bound
2. weigh    where the rest falls into blocks (hours) that meet in the devices only (`blocks`): what
            whole positions of every device cost in every block (`patterns`)
   project  elsewhere, or where the budget is short: a small linear problem for integers that keep
            the rows of the devices and displace least, at prices, what the rest sees of them
3. close    HiGHS on what duals know: the devices with the value of each block, or all columns with
            tangents of the cones (`outer`)
4. fix      the cone problem with HiGHS's integers: a point, and a dual that gives cuts; 3 again,
            until (value - bound) / |value| <= gap or the budget is spent

The phases are in `search`, the cone problems in `conic`.

Work is counted in cone iterations, branch-and-bound nodes and hundreds of simplex iterations, so
that a run under a work limit repeats to the digit.
"""

import time
import warnings
from dataclasses import dataclass

import cvxpy as cp
import cvxpy.settings as s
import numpy as np
from cvxpy.constraints import SOC
from cvxpy.reductions.solution import Solution, failure_solution
from cvxpy.reductions.solvers import utilities
from cvxpy.reductions.solvers.conic_solvers.conic_solver import ConicSolver

from . import conic
from .search import Search

STATUS = {
    "optimal": s.OPTIMAL,
    "gap_open": s.OPTIMAL_INACCURATE,
    "no_incumbent": s.SOLVER_ERROR,
    "infeasible": s.INFEASIBLE,
    "unbounded": s.UNBOUNDED,
}


@dataclass(frozen=True, eq=False)
class Result:
    """What was found and proven, in the sign of the user's objective.

    status   optimal: gap reached; gap_open or no_incumbent: the budget came first; infeasible;
             unbounded
    value    of the best point (nan: none);  bound: no feasible point is better, by a dual value
    gap      |value - bound| / max(|value|, 1e-9)
    time     [s];  history: tuples (time, work, phase, value, bound)
    """

    status: str
    value: float
    bound: float
    gap: float
    time: float
    history: tuple


def solve(problem, gap=1e-4, time_limit=None, work_limit=None):
    """Result of a CVXPY problem; its variables hold the best point.

    gap          relative, at which to stop
    time_limit   [s];  work_limit: cone iterations + nodes + simplex iterations / 100, the same on
                 every machine. None: no limit. When it comes first: the best point and its gap
    Constraints other than linear and second-order-cone ones: cvxpy.SolverError.

    >>> n = cp.Variable(integer=True)
    >>> found = solve(cp.Problem(cp.Maximize(n), [cp.square(n) <= 10.5]))
    >>> found.status, round(found.value, 6), n.value.item()
    ('optimal', 3.0, 3.0)
    """
    start = time.perf_counter()
    if not problem.variables():
        value = float(problem.solve())
        status = {s.OPTIMAL: "optimal"}.get(problem.status, "infeasible")
        return Result(status, value, value, 0.0, time.perf_counter() - start, ())
    solver = Certified(gap, time_limit, work_limit)
    data, chain, inverse = problem.get_problem_data(solver)
    found = solver.run(data, start)
    sign = -1.0 if isinstance(problem.objective, cp.Maximize) else 1.0
    own = lambda value: sign * float(value + inverse[-1][s.OFFSET])  # noqa: E731
    history = tuple((t, w, phase, own(v), own(b)) for t, w, phase, v, b in found.history)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Solution may be inaccurate")
        if found.status == "no_incumbent":
            for variable in problem.variables():
                variable.save_value(None)
        else:
            problem.unpack_results(found, chain, inverse)
    value, bound = own(found.value), own(found.bound)
    seconds = time.perf_counter() - start
    return Result(found.status, value, bound, gap_of(value, bound), seconds, history)


def gap_of(value, bound):
    """|value - bound| / max(|value|, 1e-9); 0 where both are the same infinity, nan without value.

    >>> gap_of(10.0, 9.0), gap_of(-10.0, -11.0)
    (0.1, 0.1)
    """
    if value == bound:
        return 0.0
    if not np.isfinite(value):
        return float("nan")
    return abs(value - bound) / max(abs(value), 1e-9)


class Certified(ConicSolver):
    """CVXPY solver: problem.solve(solver=Certified(gap=1e-4)); arguments as those of `solve`.

    They may be given to problem.solve too. An open gap is labelled optimal_inaccurate.
    """

    MIP_CAPABLE = True
    SUPPORTED_CONSTRAINTS = ConicSolver.SUPPORTED_CONSTRAINTS + [SOC]
    MI_SUPPORTED_CONSTRAINTS = SUPPORTED_CONSTRAINTS

    def __init__(self, gap=1e-4, time_limit=None, work_limit=None):
        self.options = {"gap": gap, "time_limit": time_limit, "work_limit": work_limit}

    def name(self):
        return "CERTIFIED"

    def import_solver(self):
        import clarabel  # noqa: F401
        import highspy  # noqa: F401

    def cite(self, data):
        return ""

    def apply(self, problem):
        data, inverse = super().apply(problem)
        x = problem.x
        data["boolean"] = np.array([int(k[0]) for k in x.boolean_idx], int)
        data["integer"] = np.array([int(k[0]) for k in x.integer_idx], int)
        return data, inverse

    def solve_via_data(self, data, warm_start, verbose, solver_opts, solver_cache=None):
        given = {k: v for k, v in solver_opts.items() if k != "use_quad_obj"}
        unknown = sorted(set(given) - set(self.options))
        if unknown:
            raise TypeError(
                f"CERTIFIED has no option {unknown[0]!r}; it has {', '.join(self.options)}"
            )
        return Certified(**(self.options | given)).run(data, time.perf_counter())

    def run(self, data, start):
        return Search(matrices(data), start, **self.options).run(len(data["c"]))

    def invert(self, found, inverse):
        attr = {s.SOLVE_TIME: found.time, s.NUM_ITERS: found.work, s.EXTRA_STATS: found}
        status = STATUS[found.status]
        if found.x is None:
            return failure_solution(status, attr)
        duals = {}
        if found.z is not None:
            k = inverse[self.DIMS].zero
            for z, rows in ((found.z[:k], self.EQ_CONSTR), (found.z[k:], self.NEQ_CONSTR)):
                duals |= utilities.get_dual_values(z, utilities.extract_dual_value, inverse[rows])
        x = {inverse[self.VAR_ID]: found.x}
        return Solution(status, found.value + inverse[s.OFFSET], x, duals, attr)


def matrices(data):
    """conic.Model of what CVXPY hands to a conic solver."""
    dims, kinds = data["dims"], (data["boolean"], data["integer"])
    cones = dims.zero, dims.nonneg, dims.soc
    return conic.model(data["c"], data["A"], data["b"], *cones, *kinds)


CERTIFIED = Certified()
