"""An area's subproblem as plain matrices, solved again and again at a solver's bare cost.

CVXPY states the problem once; what is left are the arrays of

    minimise  1/2 x^T P x + q^T x   subject to  A x + s = b,  s in a product of cones,

in which a step of ADMM only adds rho to the diagonal of P and a vector to q, at the columns of the
copies. Clarabel keeps what it set up and gets the new vector. Chapter 09.
"""

import time
import uuid
from dataclasses import dataclass, field
from itertools import product
from types import SimpleNamespace

import cvxpy as cp
import numpy as np
import scipy.sparse as sp

CONES = {"zero": "ZeroConeT", "nonneg": "NonnegativeConeT", "soc": "SecondOrderConeT"}
SETTINGS = {"tol_gap_abs": 1e-9, "tol_gap_rel": 1e-9, "tol_feas": 1e-9}
RETRIES = (  # where the last step stalls: Clarabel's own 1e-8, other arithmetic, at last 1e-7
    dict.fromkeys(SETTINGS, 1e-8),
    dict.fromkeys(SETTINGS, 1e-8) | {"equilibrate_enable": False},
    dict.fromkeys(SETTINGS, 1e-7) | {"static_regularization_constant": 1e-10},
)
MOST_SOLVERS = 256  # kept in one process
_solvers = {}  # area key: (rho, solver); solvers cannot be sent, every process makes its own


class SubproblemError(RuntimeError):
    """An area's problem that cannot be stated or has no solution; names the area."""


@dataclass(frozen=True, eq=False)
class Area:
    """An area's own data: numbers only, so that any process can take its step over.

    name      what errors call it           labels   of its copies
    P, q, offset, A, b, cones   the cone problem above; P its upper triangle, cones ((kind, size)..)
    copies    columns of x that are the copies
    choices   tuples of values: the first rows of A fix columns to one value of each (integers)
    key       tells areas apart in a process
    origin    what CVXPY needs to read x back; stays in the process that stated the area
    """

    name: str
    labels: tuple
    P: sp.csc_matrix = field(repr=False)
    q: np.ndarray = field(repr=False)
    offset: float = field(repr=False)
    A: sp.csc_matrix = field(repr=False)
    b: np.ndarray = field(repr=False)
    cones: tuple = field(repr=False)
    copies: np.ndarray = field(repr=False)
    choices: tuple = field(repr=False)
    key: str = field(repr=False)
    origin: object = field(repr=False, default=None)

    def __getstate__(self):
        return {**self.__dict__, "origin": None}

    def restore(self, x):
        """Give the CVXPY variables of the stated problem their values in x; returns the cost."""
        if self.origin is None:
            raise SubproblemError(f"area {self.name} was sent here: restore where it was stated")
        problem, stated, chain, inverse, rows = self.origin
        found = SimpleNamespace(x=x, z=np.zeros(len(self.b) - rows), status="Solved", obj_val=0.0,
                                solve_time=0.0, iterations=0)  # fmt: skip
        stated.unpack_results(found, chain, inverse)
        return float(problem.objective.value)


@dataclass(frozen=True, eq=False)
class Reply:
    """Answer of an area: its copies y, its own cost, all of x, time inside the solver [s]."""

    y: np.ndarray
    cost: float
    x: np.ndarray = field(repr=False)
    solver_s: float = field(repr=False)


def area(problem, shared, name="area", choices=None):
    """Area of a CVXPY problem whose boundary is called by name.

    problem   a convex minimisation within Clarabel's cones; parameters enter with today's values
    shared    {label: variable or affine expression}; a vector's copies are "label[0]", ...
    choices   {scalar variable: values}: taps or steps of a bank; a step tries every combination.
              Left out, these variables are continuous
    SubproblemError for what is not convex, not affine or has integer variables.

    >>> x = cp.Variable()
    >>> one = area(cp.Problem(cp.Minimize((x - 3) ** 2)), {"x": x})
    >>> reply = step(one, z=np.zeros(1), lam=np.zeros(1), rho=np.full(1, 2.0))
    >>> print(f"{reply.y[0]:.6f} {reply.cost:.6f}")       # of (x - 3)^2 + x^2
    1.500000 2.250000
    """
    if not isinstance(problem.objective, cp.Minimize) or not problem.is_dcp():
        raise SubproblemError(
            f"area {name}: the problem is no convex minimisation by CVXPY's rules"
        )
    if problem.is_mixed_integer():
        raise SubproblemError(
            f"area {name} has integer variables: give them as choices, or fix them"
        )
    labels, copies, ties = _copies(shared, name)
    fixed = [cp.Variable() for _ in choices or ()]
    ties += [a == b for a, b in zip(fixed, choices or ())]
    stated = cp.Problem(problem.objective, problem.constraints + ties)
    data, chain, inverse = stated.get_problem_data(cp.CLARABEL, canon_backend="COO", solver_opts={})
    form, q = data["param_prob"], np.asarray(data["c"], float)
    at = [form.var_id_to_col[c.id] + np.arange(c.size) for c in copies]
    held = [form.var_id_to_col[c.id] for c in fixed]
    P = data["P"] if "P" in data else sp.csc_matrix((len(q), len(q)))
    hold = sp.csc_matrix((np.ones(len(held)), (range(len(held)), held)), (len(held), len(q)))
    return Area(
        name=name,
        labels=labels,
        P=sp.csc_matrix(sp.triu(P)),
        q=q,
        offset=float(form.apply_parameters(quad_obj="P" in data)[-3]),
        A=sp.csc_matrix(sp.vstack([hold, data["A"]])),
        b=np.r_[np.zeros(len(held)), np.asarray(data["b"], float)],
        cones=(("zero", len(held)),) * bool(held) + _cones(data["dims"], name),
        copies=np.concatenate([np.zeros(0, int), *at]),
        choices=tuple(tuple(map(float, values)) for values in (choices or {}).values()),
        key=uuid.uuid4().hex,
        origin=(problem, stated, chain, inverse, len(held)),
    )


def _copies(shared, name):
    """(labels, one new variable each, equalities that tie them to the expressions)."""
    labels, copies, ties = [], [], []
    for label, expression in shared.items():
        expression = cp.Constant(expression) if np.isscalar(expression) else expression
        if not expression.is_affine() or expression.ndim > 1:
            raise SubproblemError(f"area {name}: {label!r} is not affine, or no scalar or vector")
        copy = cp.Variable(expression.shape)
        labels += [label] if copy.ndim == 0 else [f"{label}[{k}]" for k in range(copy.size)]
        copies.append(copy)
        ties.append(copy == expression)
    return tuple(labels), copies, ties


def _cones(dims, name):
    if dims.exp or dims.psd or dims.p3d or getattr(dims, "pnd", None):
        raise SubproblemError(f"area {name}: only linear and second-order cones are understood")
    flat = (("zero", dims.zero), ("nonneg", dims.nonneg))
    return tuple(c for c in flat if c[1]) + tuple(("soc", k) for k in dims.soc)


def step(area, z, lam, rho):
    """Reply of an area to a message: argmin f(x) + lam^T (y - z) + 1/2 sum rho (y - z)^2.

    A pure function of the area's data, the shared quantities z, its last multipliers lam and the
    penalties rho, each (len(area.labels),): any process gives the same answer. SubproblemError
    names an area without a solution.
    """
    solver = _solver(area, rho)
    q = area.q.copy()
    q[area.copies] += lam - rho * z
    best, started = None, time.perf_counter()
    for values in product(*area.choices):
        found = _solve(area, rho, solver, q, values)
        if found is not None and (best is None or found.obj_val < best.obj_val):
            best = found
    seconds = time.perf_counter() - started
    if best is None:
        raise SubproblemError(f"area {area.name}: none of its choices is feasible")
    x = np.array(best.x)
    cost = area.offset + area.q @ x + x @ (area.P @ x) - 0.5 * area.P.diagonal() @ x**2
    return Reply(x[area.copies], float(cost), x, seconds)


def _solve(area, rho, solver, q, values):
    """Clarabel's solution; None where a choice of values is infeasible."""
    b = np.r_[values, area.b[len(values) :]] if values else None
    for retry in (None, *RETRIES):
        solver = solver if retry is None else _set_up(area, rho, retry)
        if b is not None:
            solver.update(b=b)
        solver.update(q=q)
        found = solver.solve()
        status = str(found.status)
        if status in ("Solved", "AlmostSolved"):
            return found
        if values and "PrimalInfeasible" in status:
            return None
        if "Infeasible" in status:
            break
    cure = {
        "PrimalInfeasible": "its limits leave no point",
        "DualInfeasible": "its cost has no end",
    }
    raise SubproblemError(f"area {area.name}: {cure.get(status, 'the solver says ' + status)}")


def _solver(area, rho):
    """Clarabel set up for an area and its penalties, before any message: kept for the next step."""
    key, (known, solver) = rho.tobytes(), _solvers.get(area.key, (None, None))
    if known != key:
        if len(_solvers) >= MOST_SOLVERS:
            _solvers.clear()
        solver = _set_up(area, rho, SETTINGS)
        _solvers[area.key] = (key, solver)
    return solver


def _set_up(area, rho, options):
    import clarabel

    settings = clarabel.DefaultSettings()
    settings.verbose, settings.presolve_enable, settings.max_threads = False, False, 1
    settings.chordal_decomposition_enable = False
    for option, value in options.items():
        setattr(settings, option, value)
    cones = [getattr(clarabel, CONES[kind])(size) for kind, size in area.cones]
    extra = np.zeros(len(area.q))
    np.add.at(extra, area.copies, rho)
    P = sp.csc_matrix(sp.triu(area.P + sp.diags(extra, format="csc")))
    return clarabel.DefaultSolver(P, area.q, area.A, area.b, cones, settings)
