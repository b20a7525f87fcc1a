"""Day-ahead dispatch: the model of a day solved to a proven gap, read, and certified.

Chapter 04 builds it step by step; the model is stated in `model`, its devices in `devices`.
"""

from dataclasses import dataclass

import cvxpy as cp
import numpy as np
import pandas as pd

from . import branchflow, certified
from .model import OBJECTIVE, DispatchError, Model, model
from .solve import FLAT, Certificate, SolveError, certify, explain, solve

__all__ = ["OBJECTIVE", "DispatchError", "Model", "Schedule", "day_ahead", "model"]


@dataclass(frozen=True, eq=False)
class Schedule:
    """A solved day. Arrays are (n_t,) where scenarios share a decision, else (n_s, n_t); without
    scenarios always (n_t,).

    devices      {name: {quantity: array}} [MW], [Mvar], [MWh], positions; the tie line's p_mw,
                 q_mvar are what is drawn from the grid
    cost         {term: money} of energy, loss, carbon, devices; deviation [p.u.^2 h]
    device_cost  {name: money}
    value, bound objective in the user's weights, and its proven lower bound
    gap          (value - bound) / |value|
    plan         branchflow.Plan of the network, (n_t, n) or (n_s, n_t, n)
    certificate  solve.Certificate: AC replay, cone gap, bound gap
    result       certified.Result of a plan with binaries, else None
    """

    time: np.ndarray
    devices: dict
    cost: dict
    device_cost: dict
    value: float
    bound: float
    gap: float
    plan: branchflow.Plan
    certificate: Certificate
    result: object = None

    def table(self, scenario=0):
        """DataFrame over time: columns "device quantity", of one scenario."""
        columns = {}
        for name, found in self.devices.items():
            for quantity, a in found.items():
                if a.ndim and a.shape[-1] == len(self.time):
                    columns[f"{name} {quantity}"] = a if a.ndim == 1 else a[scenario]
        return pd.DataFrame(columns, index=pd.Index(self.time, name="hour"))


# ---------------------------------------------------------------------------------- solve


def day_ahead(
    feeder,
    devices,
    day,
    scenarios=None,
    objective=None,
    gap=1e-4,
    work_limit=None,
    time_limit=None,
    exact=True,
    strict=True,
    **given,
):
    """Schedule of the cheapest day: deterministic, or two-stage over scenarios, to a proven gap.

    feeder, devices, day, scenarios, objective, and V_min, V_max, i_max, V_ref, peak, load: as model
    gap         relative, (value - bound) / |value|, proven; only where there are binaries
    work_limit, time_limit   of certified.solve; the first is reproducible. When it runs out the
                best plan is returned with its true gap, unless strict
    exact       whether the cone relaxation is claimed to be exact (see solve.certify)
    strict      raise CertificateError where the plan fails its certificate; else return it
    SolveError where no plan was found; an infeasible day is explained by limit, bus and hour.
    """
    stated = model(feeder, devices, day, scenarios, objective, **given)
    result, held, bound = None, stated, None
    if stated.problem.is_mixed_integer():
        result = certified.solve(
            stated.problem, gap=gap, work_limit=work_limit, time_limit=time_limit
        )
        if result.status not in ("optimal", "gap_open"):
            raise SolveError(_why(stated, result))
        held, bound = stated.held(), result.bound * stated.scale
    value = solve(held.problem, feeder, FLAT, n_t=held.horizon.n_t) * stated.scale
    return _schedule(held, value, value if bound is None else bound, result, gap, exact, strict)


def _why(stated, result):
    if result.status == "infeasible":
        try:
            blames = explain(
                stated.held("relaxed").problem, stated.horizon.feeder, n_t=stated.horizon.n_t
            )
        except SolveError as error:
            return f"infeasible: {error}"
        if blames:
            return "infeasible: " + "; ".join(map(str, blames[:3]))
        return "infeasible, but feasible where binaries may be fractions: loosen limits on moves"
    cure = {"unbounded": "the cost falls without end: a limit is missing"}
    return f"{result.status}: {cure.get(result.status, 'raise work_limit or time_limit')}"


def _schedule(m, value, bound, result, gap, exact, strict):
    h, found = m.horizon, None
    if result is not None:
        found = max(value - bound, 0.0) / max(abs(value), 1e-9)
    plan = m.plan()
    certificate = certify(
        m.horizon.feeder, plan, h.V_min, h.V_max, m.given["i_max"], exact=exact, bound_gap=found,
        tol_bound=gap * (1 + 1e-3), strict=strict,
    )  # fmt: skip
    shown = {name: _read(h, part.shown) for name, part in m.parts.items()}
    shown[m.tie.name] = _read(h, {"p_mw": m.p_grid, "q_mvar": m.q_grid})
    if m.given["scenarios"] is None:
        shown = {k: {q: _alone(h, a) for q, a in found.items()} for k, found in shown.items()}
    return Schedule(
        np.arange(h.n_t) * h.step_h,
        shown,
        {term: float(_number(c)) for term, c in m.cost.items()},
        {name: float(_number(part.cost)) for name, part in m.parts.items()},
        value,
        bound,
        found or 0.0,
        plan,
        certificate,
        result,
    )


def _read(h, shown):
    """{quantity: array}: (n_t,) where shared, else (n_s, n_t); single numbers stay."""
    out = {}
    for quantity, expression in shown.items():
        a = np.asarray(_number(expression), float)
        out[quantity] = a.reshape(h.n_s, h.n_t) if a.size == h.rows and h.n_s > 1 else a
    return out


def _alone(h, a):
    return a.reshape(h.n_t) if a.size == h.n_t else a


def _number(expression):
    return expression.value if isinstance(expression, cp.Expression) else expression
