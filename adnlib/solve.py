"""Solving a model and certifying its plan: nothing passes that is not optimal and not true.

Chapter 03 uses it first. `solve` raises unless the solver says optimal; `certify` replays a plan
through the exact AC flow; `explain` names the limits that make a problem infeasible.
"""

import warnings
from dataclasses import dataclass

import cvxpy as cp
import numpy as np

from . import powerflow
from .branchflow import cone_gaps

CURES = {
    "infeasible": "no point keeps all constraints: solve.explain(problem, feeder) names the limits",
    "unbounded": "the cost falls without end: a limit or a cost term is missing",
    "optimal_inaccurate": "the solver stopped short of its tolerances: bring the model nearer to 1 "
    "(branchflow.variables does), or loosen its tolerances and check the certificate",
    "user_limit": "the limit of time or iterations came first: raise it",
}
WIDE = 300  # buses from which CVXPY's COO backend compiles faster than its CPP backend
TIGHT = {"tol_gap_abs": 1e-9, "tol_gap_rel": 1e-9}  # a cone gap is a hundred times this or so
LOOSE = {"tol_gap_abs": 1e-7, "tol_gap_rel": 1e-7, "tol_feas": 1e-7}
RETRIES = (  # where Clarabel's last step stalls: its own 1e-8, other arithmetic, at last 1e-7
    TIGHT,
    {},
    {"static_regularization_constant": 1e-10},
    {"equilibrate_enable": False},
    {"equilibrate_enable": False, "static_regularization_constant": 1e-10},
    LOOSE,
)
FLAT = (TIGHT, LOOSE, {"tol_gap_abs": 1e-6, "tol_gap_rel": 1e-6})  # many devices, flat optima
CURES |= {f"{k}_inaccurate": CURES[k] for k in ("infeasible", "unbounded")}


class SolveError(RuntimeError):
    """The solver did not say optimal; names its status and a cure."""


class CertificateError(AssertionError):
    """A plan failed its certificate; names the part, and its bus and time. `.certificate`: it."""

    certificate = None


# ---------------------------------------------------------------------------------- solve


def solve(problem, feeder=None, retries=RETRIES, n_t=None, **options):
    """Optimal value of a CVXPY problem; SolveError unless its status is optimal.

    Clarabel unless another solver is given, to a gap of 1e-9; options go to problem.solve. Where
    it stalls it is asked again as `retries` say: for 1e-8, with other arithmetic, at last for 1e-7;
    with retries=FLAT at once for 1e-7, then 1e-6 (a dispatch problem has many plans of nearly the
    same cost, and its certificate judges the one that is found). With a feeder an infeasible
    problem is explained (see `explain`; n_t as there). The same problem with new values of its
    CVXPY parameters is solved again without being compiled again.

    >>> x = cp.Variable()
    >>> round(solve(cp.Problem(cp.Minimize(x), [x >= 1])), 6)
    1.0
    >>> solve(cp.Problem(cp.Minimize(x), [x <= 1]))
    Traceback (most recent call last):
    adnlib.solve.SolveError: unbounded: the cost falls without end: a limit or a cost term is missing
    """  # noqa: E501
    options = {"solver": cp.CLARABEL, "canon_backend": _backend(problem)} | options
    for retry in retries if options["solver"] == cp.CLARABEL else ({},):
        _run(problem, retry | options)
        if problem.status != cp.OPTIMAL_INACCURATE:
            break
    if problem.status == cp.OPTIMAL:
        return problem.value
    message = f"{problem.status}: {CURES.get(problem.status, 'see the manual of the solver')}"
    if problem.status.startswith("infeasible") and feeder is not None:
        message = f"{problem.status}: " + "; ".join(map(str, explain(problem, feeder, n_t=n_t)[:3]))
    raise SolveError(message)


def _backend(problem):
    """CVXPY's compiler: COO is many times faster on large feeders and with parameters, CPP else."""
    wide = max((v.shape[-1] for v in problem.variables() if v.ndim), default=0) > WIDE
    return "COO" if wide or problem.parameters() else "CPP"


def _run(problem, options):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Solution may be inaccurate")
        warnings.filterwarnings("ignore", message=".*don't support CPP backend")
        try:
            problem.solve(**options)
        except cp.SolverError as error:
            cure = CURES["optimal_inaccurate"]
            raise SolveError(f"{options['solver']} failed: {error}; {cure}") from None


# ---------------------------------------------------------------------------------- certificate


@dataclass(frozen=True, eq=False)
class Certificate:
    """What was found when a plan was replayed; differences are plan minus exact flow.

    status              of the solver
    cone_gap            largest ell v - P^2 - Q^2, p.u. of the feeder's own total load, squared
    voltage_difference  largest |V_plan - V_exact| [p.u.]      loss_difference [p.u.], largest
    voltage_violation, current_violation   of the exact flow beyond the limits [p.u.], 0 = inside
    root_difference     largest |p_root_plan - p_root_exact| [p.u.]
    bound_gap           relative gap to a proven bound (plans with integers), else None
    primal_residual, dual_residual   of distributed plans, else None
    flow                the exact flow of the plan
    """

    status: str
    cone_gap: float
    voltage_difference: float
    voltage_violation: float
    current_violation: float
    loss_difference: float
    root_difference: float
    bound_gap: float | None
    primal_residual: float | None
    dual_residual: float | None
    flow: powerflow.Flow

    def __str__(self):
        shown = {k: getattr(self, k) for k in NUMBERS if getattr(self, k) is not None}
        return f"{self.status}, " + ", ".join(f"{k} {value:.1e}" for k, value in shown.items())


NUMBERS = ("cone_gap", "voltage_difference", "voltage_violation", "current_violation",
           "loss_difference", "root_difference", "bound_gap", "primal_residual",
           "dual_residual")  # fmt: skip


def certify(
    feeder,
    schedule,
    V_min=None,
    V_max=None,
    i_max=None,
    exact=True,
    tol_gap=1e-6,
    tol=1e-6,
    bound_gap=None,
    tol_bound=1e-4,
    primal_residual=None,
    dual_residual=None,
    tol_residual=1e-3,
    strict=True,
):
    """Certificate of a plan by AC replay; CertificateError names the first part that fails.

    schedule   a branchflow.Plan, anything with its fields (p, q, V_root, ratio, b_shunt: these are
               replayed; P, Q, ell, V, p_loss, p_root: these are compared; status), or a
               dispatch.Schedule that holds one as `plan`
    V_min, V_max, i_max   limits [p.u.] that the exact flow must keep within tol; None: none, for
               i_max the feeder's own
    exact      whether exactness is claimed: then cone gap <= tol_gap, and voltages, losses and
               exchange agree with the exact flow within tol [p.u.] (loss and exchange: tol times
               the feeder's total load or 1 p.u., whichever is more)
    bound_gap, primal_residual, dual_residual   of the plan, where it has them, with limits
    strict=False returns a failing certificate instead of raising
    """
    schedule = getattr(schedule, "plan", schedule)
    replay = ("p", "q", "V_root", "ratio", "b_shunt")
    flow = powerflow.solve(feeder, **{k: getattr(schedule, k) for k in replay}, tol=1e-12)
    i_max = feeder.i_max if i_max is None else np.broadcast_to(i_max, feeder.n)
    gaps = cone_gaps(schedule, feeder)
    over = {
        "cone gap": gaps,
        "voltage difference": abs(schedule.V - flow.V),
        "voltage violation": _beyond(flow.V, V_min, V_max),
        "current violation": np.maximum(np.sqrt(flow.ell) - i_max, 0),
        "loss difference": abs(schedule.p_loss - flow.p_loss),
        "exchange difference": abs(schedule.p_root - flow.p_root),
    }
    numbers = [float(np.max(a, initial=0)) for a in over.values()]
    found = Certificate(schedule.status, *numbers, bound_gap, primal_residual, dual_residual, flow)
    power = tol * max(1.0, float(np.hypot(feeder.p_load.sum(), feeder.q_load.sum())))
    allowed = dict(zip(over, (tol_gap, tol, tol, tol, power, power)))
    if not exact:
        for name in ("cone gap", "voltage difference", "loss difference", "exchange difference"):
            del allowed[name]
    if strict:
        _refuse(feeder, found, over, allowed, (tol_bound, tol_residual))
    return found


def _beyond(V, V_min, V_max):
    low = 0.0 if V_min is None else np.maximum(np.asarray(V_min) - V, 0)
    high = 0.0 if V_max is None else np.maximum(V - np.asarray(V_max), 0)
    return np.maximum(low, high) + np.zeros_like(V)


def _refuse(feeder, found, over, allowed, others):
    def fail(what):
        error = CertificateError(f"{what} ({found})")
        error.certificate = found
        raise error

    if found.status != cp.OPTIMAL:
        fail(f"solver status is {found.status}, not optimal")
    for name, most in allowed.items():
        a = np.asarray(over[name])
        worst = float(a.max(initial=0))
        if not worst <= most:
            fail(f"{name} {worst:.3g} > {most:.3g}{_place(feeder, a, name)}")
    tol_bound, tol_residual = others
    for name, most in (("bound_gap", tol_bound), ("primal_residual", tol_residual),
                       ("dual_residual", tol_residual)):  # fmt: skip
        value = getattr(found, name)
        if value is not None and not value <= most:
            fail(f"{name.replace('_', ' ')} {value:.3g} > {most:.3g}")


def _place(feeder, a, name):
    """ " at bus 18, time 3" of the largest entry of (n,), (n_t, n) or (n_t,)."""
    of_bus = "voltage" in name or "cone" in name or "current" in name
    at = np.unravel_index(int(np.argmax(a)), a.shape) if a.ndim else ()
    words = []
    if of_bus:
        words.append(f"bus {feeder.buses[at[-1]]}")
        at = at[:-1]
    if at:
        words.append(f"time {int(at[-1])}")
    return " at " + ", ".join(words) if words else ""


# ---------------------------------------------------------------------------------- infeasible


@dataclass(frozen=True)
class Blame:
    """A limit that has to give way: its name, bus label, time, by how much (its own unit), and
    the scenario where there are several; None: the limit belongs to no bus, no single time."""

    limit: str
    bus: object
    time: int | None
    amount: float
    scenario: int | None = None

    def __str__(self):
        parts = {"bus": self.bus, "time": self.time, "scenario": self.scenario}
        where = ", ".join(f"{k} {at}" for k, at in parts.items() if at is not None)
        return f"{self.limit}{where and ' at '}{where} would have to give by {self.amount:.4g}"


def explain(problem, feeder=None, smallest=1e-6, n_t=None, **options):
    """Which limits make a problem infeasible: list of Blame, the largest first.

    An elastic re-solve: every inequality and cone that carries a label gets a slack >= 0, all
    others stay, and the sum of the slacks is minimised (integers stay integers). Entries of a
    (n_t, n) constraint are named by time and, with a feeder, by bus label; those of an (n_t,) one
    by time, unless it is as long as the feeder; those of a device by its times (horizon.at_times).
    n_t: where rows are scenario after scenario, the intervals of one; else a time is a row. Amounts
    are in the unit of the constraint: squared p.u. for the voltage limits of branchflow, parts of
    the limit's square for currents, of the capacity for circles.
    An empty list: the problem is feasible. SolveError where no labelled limit can help.

    >>> x = cp.Variable(2)
    >>> limit = (x <= 1).set_label("upper limit")
    >>> print(explain(cp.Problem(cp.Minimize(0), [limit, x[1] == 3]))[0])
    upper limit at time 1 would have to give by 2
    """
    slacks, kept = [], []
    for constraint in problem.constraints:
        elastic, slack = _elastic(constraint)
        kept.append(elastic)
        if slack is not None:
            slacks.append((constraint, slack))
    if not slacks:
        raise SolveError("no constraint carries a label: name the limits with set_label")
    elastic = cp.Problem(cp.Minimize(sum(cp.sum(s) for _, s in slacks)), kept)
    _run(elastic, {"solver": cp.CLARABEL, "canon_backend": _backend(elastic)} | options)
    if elastic.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
        raise SolveError(
            f"{elastic.status} even without the labelled limits: the fault lies in the balance "
            "(the load may be beyond what the feeder can carry) or in a limit without a label"
        )
    blames = []
    for constraint, slack in slacks:
        amounts = np.asarray(slack.value)
        for at in np.argwhere(amounts > smallest):
            at = tuple(int(i) for i in at)
            bus, time, scenario = _where(constraint, at, amounts.shape, feeder, n_t)
            blames.append(Blame(constraint.label, bus, time, float(amounts[at]), scenario))
    return sorted(blames, key=lambda b: -b.amount)


def _elastic(constraint):
    """(constraint that a slack loosens, the slack); (constraint, None) where it has no label."""
    if getattr(constraint, "label", None) is None:
        return constraint, None
    if isinstance(constraint, cp.constraints.Inequality):
        slack = cp.Variable(constraint.shape, nonneg=True)
        small, large = constraint.args
        return small <= large + slack, slack
    if isinstance(constraint, cp.SOC):
        radius, inside = constraint.args
        slack = cp.Variable(radius.shape, nonneg=True)
        return cp.SOC(radius + slack, inside, axis=constraint.axis), slack
    return constraint, None


def _where(constraint, at, shape, feeder, n_t):
    """(bus, time, scenario) of an entry of a constraint."""
    if not at:
        return None, None, None
    buses, times = getattr(constraint, "buses", None), getattr(constraint, "times", None)
    bus, scenario = None, None
    if times is not None:
        time = int(times[at[-1]])
        if len(at) > 1 and shape[0] > 1:
            return bus, time, at[0]
    else:
        own = feeder is not None and shape[-1] == feeder.n
        if buses is not None or own or len(at) > 1:
            names = buses if buses is not None else feeder.buses if own else range(shape[-1])
            bus, at = names[at[-1]], at[:-1]
        time = at[-1] if at else None
    if time is not None and n_t is not None and max(shape[0], time + 1) > n_t:
        scenario, time = divmod(time, n_t)
    return bus, time, scenario
