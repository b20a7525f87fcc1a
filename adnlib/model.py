"""The dispatch problem of a day, stated: branch flow, devices, tie line and objective in one model.

Chapter 04 builds it step by step. One interval of one scenario is a row of the branch-flow model;
devices add injections, limits and cost (see `horizon`); decisions that scenarios share make the
problem a two-stage one, of expected cost. `dispatch` solves it.
"""

from dataclasses import dataclass, fields, replace

import cvxpy as cp
import numpy as np
from scipy.sparse import csr_array

from . import branchflow
from .horizon import Horizon
from .profiles import loads
from .tieline import TieLine

OBJECTIVE = {"energy": 1, "loss": 1, "deviation": 0, "carbon": 0, "devices": 1}


class DispatchError(ValueError):
    """A device, a limit or a day that does not fit the feeder; names it and the cure."""


@dataclass(frozen=True, eq=False)
class Model:
    """A dispatch problem before it is solved: `problem`, and where its numbers stand.

    cost {term: expression}: energy, loss, carbon, devices [money]; deviation [p.u.^2 h]
    scale          what the objective was divided by to make `problem` one of numbers near 1
    parts          {device name: horizon.Part};  tie: the TieLine
    P, Q, ell, v, p, q   (rows, n) expressions [p.u.], q without the banks of constant admittance
    p_grid, q_grid (rows,) drawn from the grid above [MW], [Mvar]
    given          what `model` was called with
    """

    problem: cp.Problem
    horizon: Horizon
    cost: dict
    scale: float
    parts: dict
    tie: TieLine
    P: object
    Q: object
    ell: object
    v: object
    p: object
    q: object
    p_grid: object
    q_grid: object
    given: dict

    def first_stage(self):
        """{name: values} of all decisions that scenarios share, binaries rounded.

        Given as `binaries` to another model they are held there: so a plan
        made for one day is judged on other days, or on scenarios.
        """
        whole = lambda x: np.round(x.value) if x.attributes["boolean"] else x.value  # noqa: E731
        held = self.given["binaries"] if isinstance(self.given["binaries"], dict) else {}
        return held | {x.name(): whole(x) for x in self.horizon.first_stage}

    def held(self, binaries=None):
        """The same model with its binaries held where they are, or as Horizon.binaries says."""
        if binaries is None:
            mine = [x for x in self.horizon.first_stage if x.attributes["boolean"]]
            before = self.given["binaries"] if isinstance(self.given["binaries"], dict) else {}
            binaries = before | {x.name(): np.round(x.value) for x in mine}
        return model(**self.given | {"binaries": binaries})

    def plan(self):
        """branchflow.Plan of the solved model, with taps and banks as the exact flow takes them.

        Arrays (n_t, n), or (n_s, n_t, n) with scenarios.
        """
        return _plan(self)


def model(
    feeder,
    devices,
    day,
    scenarios=None,
    objective=None,
    V_min=0.95,
    V_max=1.05,
    i_max=None,
    V_ref=1.0,
    peak=1.0,
    load=None,
    binaries="free",
):
    """The dispatch problem of a day, stated and not solved: a Model.

    devices     records of `devices`; at most one TieLine (without one: energy at 1 a MWh) and one
                TapChanger at the root
    day         profiles.Day, or (n_t,) hourly load factors; loads: the feeder's, peak times them
    load        instead: (p_load, q_load), each (n_t, n) or (n_s, n_t, n) [p.u.]
    scenarios   Scenarios or probabilities (n_s,): devices then may hold (n_s, n_t) arrays; taps,
                banks, storage and flexible loads are shared, all else is recourse
    objective   weights of the terms energy, loss, deviation, carbon, devices; those not named keep
                1, 1, 0, 0, 1. Loss is priced by the tie line's loss_price_per_mwh; the deviation is
                the sum over buses of (|V|^2 - V_ref^2)^2, over time [p.u.^2 h]
    V_min, V_max, i_max   limits [p.u.] of all voltages and branches (None: the feeder's own i_max)
    binaries    as Horizon.binaries
    DispatchError or ValueError names the device and the cure.
    """
    given = dict(locals())
    weights = _weights(objective)
    step_h, factor = getattr(day, "step_h", 1.0), getattr(day, "load", day)
    prob = np.ones(1) if scenarios is None else np.asarray(getattr(scenarios, "prob", scenarios))
    n_t = len(factor) if load is None else np.asarray(load[0]).shape[-2]
    p_load, q_load = loads(feeder, factor, peak) if load is None else load
    tie, others = _sorted(devices)
    h = Horizon(feeder, n_t, step_h, prob, None, feeder.V_root, V_min, V_max, binaries)
    P, Q, ell, v = branchflow.variables(feeder, h.rows)
    h = replace(h, v=v)
    parts = {device.name: device.part(h) for device in others}
    p, q, q_banks = _injections(h, parts, p_load, q_load)
    v_root = root_voltage(parts)
    network = branchflow.constraints(
        feeder, P, Q, ell, v, p, q + q_banks, v_root=v_root, V_min=V_min, V_max=V_max,
        i_max=i_max, tapped=_tapped(h, parts),
    )  # fmt: skip
    p_grid, q_grid = _drawn(h, P, Q, v_root)
    cost = {
        "energy": tie.energy_cost(h, p_grid),
        "loss": tie.loss_price_per_mwh * feeder.s_base_mva * h.expected(ell @ feeder.r),
        "deviation": h.weight @ cp.sum(cp.square(v - V_ref**2), axis=1),
        "carbon": tie.carbon_cost(h, p_grid),
        "devices": sum(part.cost for part in parts.values()),
    }
    scale = _scale(h, tie, weights, p_load)
    total = sum(w * cost[term] for term, w in weights.items() if w) / scale
    limits = tie.limits(h, p_grid, q_grid)
    constraints = network + limits + [c for part in parts.values() for c in part.constraints]
    return Model(
        cp.Problem(cp.Minimize(total), constraints), h, cost, scale, parts, tie,
        P, Q, ell, v, p, q, p_grid, q_grid, given,
    )  # fmt: skip


def _weights(objective):
    unknown = set(objective or {}) - set(OBJECTIVE)
    if unknown:
        raise DispatchError(
            f"objective has no term {min(unknown)!r}; the terms are {', '.join(OBJECTIVE)}"
        )
    weights = OBJECTIVE | (objective or {})
    for term, w in weights.items():
        if not w >= 0:
            raise DispatchError(f"the weight of {term} is {w}; weights are >= 0")
    if not any(weights.values()):
        raise DispatchError("all weights of the objective are 0: there is nothing to minimise")
    return weights


def _sorted(devices):
    """(tie line, other devices); names must be unique, for they name the schedule's columns."""
    devices = list(devices)
    ties = [d for d in devices if isinstance(d, TieLine)]
    if len(ties) > 1:
        raise DispatchError(f"there are {len(ties)} tie lines; a radial feeder has one")
    names = [d.name for d in devices]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise DispatchError(f"two devices are called {twice[0]!r}; give one of them another name=")
    return (ties[0] if ties else TieLine()), [d for d in devices if d not in ties]


def _injections(h, parts, p_load, q_load):
    """p, q (rows, n) [p.u.] and q of the banks of constant admittance, apart."""
    feeder, n = h.feeder, h.feeder.n
    own = []
    for gen, load in ((feeder.p_gen, p_load), (feeder.q_gen, q_load)):
        net = np.broadcast_to(gen - np.asarray(load, float), (h.n_s, h.n_t, n))
        own.append(net.reshape(h.rows, n))
    columns = {"p": [], "q": [], "bank": []}
    for part in parts.values():
        for bus, p, q in part.at:
            at = feeder.index(bus)
            columns["p"] += [(at, p)] if p is not None else []
            columns["q" if part.bank is None else "bank"] += [(at, q)] if q is not None else []
    p, q, bank = (_spread(h, columns[k]) / feeder.s_base_mva for k in ("p", "q", "bank"))
    return own[0] + p, own[1] + q, bank


def _spread(h, columns):
    """(rows, n) from [(position, (rows,) expression)]: entries at the same bus add up."""
    if not columns:
        return cp.Constant(np.zeros((h.rows, h.feeder.n)))
    at = [j for j, _ in columns]
    place = csr_array((np.ones(len(at)), (np.arange(len(at)), at)), (len(at), h.feeder.n))
    return cp.vstack([e for _, e in columns]).T @ place


def root_voltage(parts):
    found = [(name, part.v_root) for name, part in parts.items() if part.v_root is not None]
    if len(found) > 1:
        raise DispatchError(f"{found[0][0]} and {found[1][0]} both set the voltage of the root")
    return found[0][1] if found else None


def _tapped(h, parts):
    found = {}
    for name, part in parts.items():
        if part.v_side is not None:
            at = h.feeder.index(part.tapped)
            if at in found:
                raise DispatchError(f"{name}: bus {part.tapped} has a second regulator")
            if h.feeder.parent[at] < 0 and root_voltage(parts) is not None:
                raise DispatchError(
                    f"{name} is next to the root, whose voltage another tap changer sets: the "
                    "product of two ladders is not linear; leave one of them out"
                )
            found[at] = part.v_side
    return found


def _drawn(h, P, Q, v_root):
    """Power drawn from the grid above [MW], [Mvar]: into the feeder, and at the root bus itself."""
    top = h.feeder.root_bus
    v = cp.Constant(np.full(h.rows, h.V_root**2)) if v_root is None else v_root
    p = branchflow.at_root(h.feeder, P) + (top.p_load - top.p_gen) + top.g_shunt * v
    q = branchflow.at_root(h.feeder, Q) + (top.q_load - top.q_gen) - top.b_shunt * v
    return p * h.feeder.s_base_mva, q * h.feeder.s_base_mva


def _scale(h, tie, weights, p_load):
    """Size of the objective: the load at the mean price, or what else the weights leave."""
    load = float(np.abs(p_load).sum(axis=-1).mean()) * h.feeder.s_base_mva * h.n_t * h.step_h
    price = float(np.abs(tie.price_per_mwh).mean())
    size = load * (weights["energy"] * price + 0.05 * weights["loss"] * tie.loss_price_per_mwh)
    size += weights["deviation"] * h.feeder.n * h.n_t * h.step_h * 0.05**2
    return size if size > 0 else max(load, 1.0)


def _plan(m):
    """Plan of the network with the taps and banks as the exact flow takes them."""
    h, feeder = m.horizon, m.horizon.feeder
    ratio, b_shunt = (np.tile(a, (h.rows, 1)) for a in (feeder.ratio, feeder.b_shunt))
    for part in m.parts.values():
        if part.v_side is not None:
            at = feeder.index(part.tapped)
            ratio[:, at] = h.repeat(part.shown["ratio"]).value
        if part.b_shunt is not None:
            b_shunt[:, feeder.index(part.bank)] += part.b_shunt.value
    v_root = root_voltage(m.parts)
    rows = branchflow.plan(
        feeder, m.P, m.Q, m.ell, m.v, m.p, m.q, ratio=ratio, b_shunt=b_shunt, v_root=v_root,
        status=m.problem.status,
    )  # fmt: skip
    if m.given["scenarios"] is None:
        return rows
    fold = lambda a: a.reshape(h.n_s, h.n_t, *np.shape(a)[1:])  # noqa: E731
    arrays = {f.name: getattr(rows, f.name) for f in fields(rows)}
    return branchflow.Plan(
        **{k: fold(a) if isinstance(a, np.ndarray) else a for k, a in arrays.items()}
    )
