"""A CVXPY problem that is stated once and solved again with new parameters at a solver's bare cost.

CVXPY compiles a parametrised problem (DPP) into arrays that depend linearly on the parameters.
With new values these are refreshed by one sparse product, and Clarabel, which keeps what it
has set up, gets what has changed. Chapter 13.

CVXPY's compilation needs memory for parameters times variables, 20 GB for the voltages of 906 buses
over 16 steps. Large blocks of numbers are given as a Slot instead: constants that CVXPY compiles as
they are, and that are found again in the arrays and replaced there.
"""

import cvxpy as cp
import numpy as np
import scipy.sparse as sp

CONES = {"zero": "ZeroConeT", "nonneg": "NonnegativeConeT", "soc": "SecondOrderConeT"}
TOLERANCES = ("tol_gap_abs", "tol_gap_rel", "tol_feas")
SETTINGS = dict.fromkeys(TOLERANCES, 1e-8) | {f"reduced_{t}": 1e-6 for t in TOLERANCES}
RETRIES = (  # where even the reduced tolerances are not met: other arithmetic
    {"equilibrate_enable": False},
    {"static_regularization_constant": 1e-10},
)


class KeptError(RuntimeError):
    """The problem cannot be kept, or has no solution today; says why."""


class Slot:
    """A block of numbers that change from solve to solve, compiled as the constants `marks`.

    Set `value` (shape) before each solve. Every number must reach the arrays of the constraints by
    itself, times 1 or -1, as in `slot.marks @ x == y`; KeptError where one does not.
    """

    made = 0

    def __init__(self, shape):
        self.marks = np.random.default_rng([20, Slot.made]).uniform(1, 2, shape)
        self.value = None
        Slot.made += 1

    def numbers(self):
        """(size,) values of now, in the order of the marks."""
        if np.shape(self.value) != self.marks.shape:
            raise KeptError(
                f"a slot of shape {self.marks.shape} has a value of shape {np.shape(self.value)}: "
                "give every slot its numbers before a solve"
            )
        return np.ravel(np.asarray(self.value, float))


class Kept:
    """A convex minimisation in CVXPY, kept in Clarabel between solves.

    Solved to 1e-8, or to 1e-6 where the last steps stall: state objectives of a size near 1.

    problem    by CVXPY's rules for parameters (DPP), within linear and second-order cones; every
               parameter has a value
    variables  those whose values are read; without attributes such as nonneg, which CVXPY replaces
    slots      the Slots whose marks stand in the problem

    >>> x, p = cp.Variable(2), cp.Parameter(2, value=[0.0, 0.0])
    >>> kept = Kept(cp.Problem(cp.Minimize(cp.sum_squares(x - p)), [x >= 1]), [x])
    >>> p.value = [3.0, 0.0]
    >>> value, (found,) = kept.solve()
    >>> print(f"{value:.4f}", found.round(4).tolist())
    1.0000 [3.0, 1.0]
    """

    def __init__(self, problem, variables, settings=SETTINGS, slots=()):
        if not isinstance(problem.objective, cp.Minimize) or not problem.is_dcp(dpp=True):
            raise KeptError(
                "a kept problem is a convex minimisation by CVXPY's rules for parameters"
            )
        if problem.is_mixed_integer():
            raise KeptError("a kept problem has no integer variables")
        data, _, _ = problem.get_problem_data(cp.CLARABEL, canon_backend="COO", solver_opts={})
        self.form, self.settings, dims = data["param_prob"], settings, data["dims"]
        self.quadratic = "P" in data
        if dims.exp or dims.psd or dims.p3d:
            raise KeptError("a kept problem has linear and second-order cones only")
        flat = (("zero", dims.zero), ("nonneg", dims.nonneg))
        self.cones = [c for c in flat if c[1]] + [("soc", k) for k in dims.soc]
        self.places = []
        for x in variables:
            if x.id not in self.form.var_id_to_col:
                raise KeptError(f"variable {x.name()} has attributes: write them as constraints")
            self.places.append((self.form.var_id_to_col[x.id], x.size, x.shape))
        self.arrays, self.solver, self.iterations = None, None, 0
        self.slots, self.found = slots, ()
        if slots:
            *_, A, b = self._compiled()
            self.found = _places(np.concatenate([s.marks.ravel() for s in slots]), A.data, b)

    def solve(self):
        """(value, values of the variables) with the parameters' values of now. KeptError names the
        solver's status; a stalled solve is repeated with other settings."""
        P, q, offset, A, b = self._now()
        self._hand_over(P, q, A, b)
        for retry in (None, *RETRIES):
            if retry is not None:
                self.solver = None
                self._hand_over(P, q, A, b, self.settings | retry)
            found = self.solver.solve()
            status = str(found.status)
            if status in ("Solved", "AlmostSolved") or "Infeasible" in status:
                break
        if retry is not None:
            self.solver = None  # the next problem starts with the usual settings
        if status not in ("Solved", "AlmostSolved"):
            raise KeptError(f"the solver says {status}")
        self.iterations, x = found.iterations, np.array(found.x)
        values = [x[i : i + n].reshape(shape, order="F") for i, n, shape in self.places]
        return float(found.obj_val + offset), values

    def _now(self):
        """The arrays of 1/2 x^T P x + q^T x + offset, A x + s = b, for the values of now."""
        *objective, A, b = self._compiled()
        if self.slots:
            values = np.concatenate([s.numbers() for s in self.slots])
            for array, (at, which, sign) in zip((A.data, b), self.found):
                array[at] = sign * values[which]
        return *objective, A, b

    def _compiled(self):
        """The same with the marks of the slots in place of their values."""
        found = self.form.apply_parameters(quad_obj=self.quadratic)
        P = found[0] if self.quadratic else sp.csc_matrix((len(found[0]), len(found[0])))
        q, offset, A, b = found[-4:]
        P = sp.csc_matrix(sp.triu(P))
        return (
            P,
            np.asarray(q, float),
            float(np.squeeze(offset)),
            -sp.csc_matrix(A),
            np.asarray(b, float),
        )

    def _hand_over(self, P, q, A, b, settings=None):
        """Give the solver what has changed; set it up where it is new or a pattern changed."""
        new = {"P": P, "q": q, "A": A, "b": b}
        old, self.arrays = self.arrays, new
        if self.solver is None or not all(_alike(old[k], new[k]) for k in ("P", "A")):
            self.solver = _set_up(new, self.cones, settings or self.settings)
            return
        changed = {
            k: a.data if sp.issparse(a) else a
            for k, a in new.items()
            if not np.array_equal(getattr(a, "data", a) if sp.issparse(a) else a,
                                  old[k].data if sp.issparse(a) else old[k])
        }  # fmt: skip
        if changed:
            self.solver.update(**changed)


def _places(marks, *arrays):
    """For each array (positions, which mark stands there, its sign)."""
    order = np.argsort(marks)
    out, seen = [], np.zeros(len(marks), bool)
    for array in arrays:
        near = order[np.minimum(np.searchsorted(marks[order], np.abs(array)), len(marks) - 1)]
        at = np.flatnonzero(marks[near] == np.abs(array))
        out.append((at, near[at], np.sign(array[at])))
        seen[near[at]] = True
    if not seen.all():
        raise KeptError(
            f"{(~seen).sum()} of {len(marks)} numbers of the slots do not stand in a constraint "
            "by themselves: write them as constants times variables, or use CVXPY's parameters"
        )
    return out


def _alike(a, b):
    return np.array_equal(a.indptr, b.indptr) and np.array_equal(a.indices, b.indices)


def _set_up(arrays, cones, options):
    import clarabel

    settings = clarabel.DefaultSettings()
    settings.verbose, settings.presolve_enable, settings.max_threads = False, False, 1
    settings.chordal_decomposition_enable = False
    for option, value in options.items():
        setattr(settings, option, value)
    blocks = [getattr(clarabel, CONES[kind])(size) for kind, size in cones]
    return clarabel.DefaultSolver(
        arrays["P"], arrays["q"], arrays["A"], arrays["b"], blocks, settings
    )
