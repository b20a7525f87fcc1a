"""Areas and cloud of `transformer` put together: the system, its plan, and what a day makes of it.

Chapter 22 uses it. `system` cuts a feeder into a utility grid and areas, `centralised` solves them
as one problem, `by_admm` as many that agree, `settle` replays a plan on the exact flow and pays.
"""

from dataclasses import dataclass, replace

import cvxpy as cp
import numpy as np

from . import admm, areas, powerflow, robust, solve
from .transformer import Edge, Utility, area_problem, lines, margins, master_problem, response


def hanging(feeder, n_areas, share=0.7):
    """Bus labels of n_areas cuts, none above another: each the subtree nearest to an equal load.

    share  of all load that the areas together should hold
    ValueError where the feeder has not that many subtrees apart.

    >>> from adnlib import read_feeder
    >>> hanging(read_feeder("ieee33"), 3)
    [8, 24, 27]
    """
    above = lines(feeder).A.astype(bool)  # above[i, j]: j on the path to i
    load = above.T @ feeder.p_load
    size, free, found = above.sum(axis=0), np.ones(feeder.n, bool), []
    for _ in range(n_areas):
        far = np.where(
            free & (size > 1), np.abs(load - share * feeder.p_load.sum() / n_areas), np.inf
        )
        far = np.where(load > 0, far, np.inf)
        j = int(far.argmin())
        if not np.isfinite(far[j]):
            raise ValueError(f"{feeder.name} has no {n_areas} areas apart; ask for {len(found)}")
        found.append(j)
        free &= ~(above[j] | above[:, j])
    return [feeder.buses[j] for j in sorted(found)]


def system(feeder, cuts, load, pv, pv_bus, sets, turbines, stores, price, most, local=False):
    """([Edge, ...], Utility) of a feeder whose areas hang below the branches above `cuts`.

    load      (p, q), each (n_t, n) [p.u.]; shunts join it, as what they take at 1 p.u.
    pv, pv_bus   (n_t, k) forecast [p.u.] and k bus labels
    sets      [(columns of pv, robust set of deviations), ...]; []: the forecast is believed
    turbines, stores   one dict an area, as Edge has them with "bus" for "at"
    local     areas look at what their own PV does inside the area, not at the edge's voltage
    ValueError for a cut below another, or for a plant or device outside its area.
    """
    pieces, at = areas.cut(feeder, cuts), [feeder.index(b) for b in pv_bus]
    load = load[0] + feeder.g_shunt, load[1] - feeder.b_shunt  # shunts at nominal voltage
    top, *rest = pieces
    nested = [p.name for p in rest if p.below]
    if nested:
        raise ValueError(f"area {nested[0]} has another area below it; areas hang side by side")
    outside = [feeder.buses[j] for j in at if j in top.place]
    if outside:
        raise ValueError(f"the plant at bus {outside[0]} is in no area; PV belongs to areas")
    M, n_t = response(feeder, at), len(price)
    rise, fall = margins(M, sets) if sets else np.zeros((2, n_t, feeder.n))
    edges = [
        _edge(feeder, piece, load, pv, pv_bus, sets if local else None, (rise, fall), devices)
        for piece, *devices in zip(rest, turbines, stores, strict=True)
    ]
    u, trusting = top.place, 0 if local else 1
    utility = Utility(
        lines=lines(top.feeder),
        p_load=load[0][:, u],
        q_load=load[1][:, u],
        rise=trusting * rise[:, u],
        fall=trusting * fall[:, u],
        below={str(bus): j for bus, j in top.below},
        price=np.asarray(price, float),
        most=most,
        short=sum((_missing(s) for _, s in sets), np.zeros(n_t)),
    )
    return edges, utility


def _edge(feeder, piece, load, pv, pv_bus, own_sets, moved, devices):
    f, here = piece.feeder, piece.place
    up = feeder.parent[here[0]]
    w = feeder.V_root * (lines(feeder).T[up] if up >= 0 else 1.0)
    own = [k for k, bus in enumerate(pv_bus) if feeder.index(bus) in here]
    made = np.zeros((len(pv), f.n))
    np.add.at(made.T, [f.index(pv_bus[k]) for k in own], pv[:, own].T)
    moved = tuple(a[:, here] for a in moved) if own_sets is None else _own(f, w, pv_bus, own_sets,
                                                                           own)  # fmt: skip
    placed = [{k: v for k, v in d.items() if k != "bus"} | {"at": f.index(d["bus"])}
              for d in devices]  # fmt: skip
    return Edge(piece.name, lines(f, w), *(a[:, here] for a in load), made, *moved, *placed)


def _missing(deviation):
    """(n_t,) most that can be missing at once: the worst case of minus the sum."""
    return robust.worst_case(deviation, -np.ones(deviation.centre.shape))[0]


def _own(piece, w, pv_bus, sets, own):
    """Margins of an area from its own plants, its edge's voltage taken as fixed."""
    line, at = lines(piece, w), [piece.index(pv_bus[k]) for k in own]
    M = line.T[:, None] * line.R[:, at] / w
    found = [([own.index(k) for k in cols], s) for cols, s in sets if set(cols) <= set(own)]
    return margins(M, found) if found else np.zeros((2, len(sets[0][1].centre), piece.n))


@dataclass(frozen=True, eq=False)
class Plan:
    """A day's plan; p.u., money.

    value     of the objective               p, q          (n_t, n) net injections, PV as forecast
    devices   cost of turbines and storages  bought, loss  (n_t,)
    exchange  {area: (P, Q, W), each (n_t,)} shown         {area: {device: (n_t,)}}
    over      most by which an elastic plan leaves the band with its margins [p.u.]
    """

    value: float
    p: np.ndarray
    q: np.ndarray
    bought: np.ndarray
    loss: np.ndarray
    exchange: dict
    shown: dict
    devices: float
    over: float


def centralised(feeder, cuts, edges, utility, loss_price, band, elastic=False):
    """Plan of all areas and the utility grid as one problem (Method 3)."""
    parts = [area_problem(e, loss_price, band, elastic) for e in edges]
    top = master_problem(utility, loss_price, band, elastic)
    rows = [*top[1], *(row for part in parts for row in part[1])]
    rows += [a == top[2][k] for part in parts for k, a in part[2].items()]
    problem = cp.Problem(cp.Minimize(top[0] + sum(part[0] for part in parts)), rows)
    value = solve.solve(problem)
    return plan_of(feeder, cuts, edges, value, parts, top)


def plan_of(feeder, cuts, edges, value, parts, top):
    """Plan out of stated problems (area_problem, master_problem) whose variables have values."""
    shape = (len(top[3]["bought"].value), feeder.n)
    p, q, loss = np.zeros(shape), np.zeros(shape), top[3]["loss"].value
    for piece, part in zip(areas.cut(feeder, cuts), [top, *parts]):
        p[:, piece.place], q[:, piece.place] = (part[3][k].value for k in ("p_bus", "q_bus"))
    p, q = p + feeder.g_shunt, q - feeder.b_shunt  # the exact flow has the shunts itself
    names = [e.name for e in edges]
    loss = loss + sum(part[3]["loss"].value for part in parts)
    wear = sum(
        e.turbine["cost"] * part[3]["turbine"].value.sum()
        + e.store["cost"] * (part[3]["charge"].value + part[3]["discharge"].value).sum()
        for e, part in zip(edges, parts)
    )
    kept = ("turbine", "charge", "discharge", "q", "energy")
    return Plan(
        value=float(value),
        p=p,
        q=q,
        bought=top[3]["bought"].value,
        loss=loss,
        exchange={
            k: tuple(part[2][f"{a} {k}"].value for a in "PQV") for k, part in zip(names, parts)
        },
        shown={k: {a: part[3][a].value for a in kept} for k, part in zip(names, parts)},
        devices=float(wear),
        over=max(float(part[3]["over"].value.max()) for part in [top, *parts]),
    )


def by_admm(edges, utility, loss_price, band, unit, elastic=False):
    """(areas, master) for admm.coordinate, costs in `unit` of money: Methods 2 and 5.

    Each is (admm.Area, stated), stated as area_problem gives it, to be read back by `restore`.
    """
    stated = [area_problem(e, loss_price, band, elastic) for e in edges]
    top = master_problem(utility, loss_price, band, elastic)
    made = [admm.area(_scaled(s, unit), s[2], name=e.name) for e, s in zip(edges, stated)]
    return list(zip(made, stated)), (admm.area(_scaled(top, unit), top[2], name="cloud"), top)


def by_peers(edges, utility, loss_price, band, unit):
    """[(admm.Area, stated, its own copy of the master)]: edges alone agree, Method 4.

    Each edge holds the utility grid's model and an equal part of its cost; all share all P and Q.
    """
    out = []
    for e in edges:
        s, top = (area_problem(e, loss_price, band), master_problem(utility, loss_price, band))
        rows = [*s[1], *top[1], *(a == top[2][k] for k, a in s[2].items())]
        both = cp.Problem(cp.Minimize((s[0] + top[0] / len(edges)) / unit), rows)
        shared = {k: a for k, a in top[2].items() if not k.startswith("V")}
        out.append((admm.area(both, shared, name=e.name), s, top))
    return out


def _scaled(stated, unit):
    return cp.Problem(cp.Minimize(stated[0] / unit), stated[1])


@dataclass(frozen=True, eq=False)
class Day:
    """What a day made of a plan: flow (exact), and money: day_ahead, balance, devices, total.

    Shapes follow the batch of PV: (...,) for costs, (..., n_t, n) for the flow.
    """

    flow: object
    day_ahead: np.ndarray
    balance: np.ndarray
    devices: float
    total: np.ndarray


def settle(feeder, plan, off, pv_bus, price, short, surplus):
    """Day of a plan when the plants give `off` (..., n_t, k) more than forecast [p.u.].

    The plan's purchase and its planned loss are bought a day ahead. What the exact flow draws
    beyond that costs `short` times the price, what it leaves brings `surplus` times the price.
    """
    p = np.broadcast_to(plan.p, (*off.shape[:-1], feeder.n)).copy()
    for k, bus in enumerate(pv_bus):
        p[..., feeder.index(bus)] += off[..., k]
    flow = powerflow.solve(feeder, p, plan.q)
    schedule = plan.bought + plan.loss
    open_ = flow.p_root - schedule
    balance = np.maximum(short * price * open_, surplus * price * open_).sum(axis=-1)
    ahead = float(price @ schedule)
    return Day(flow, ahead, balance, plan.devices, ahead + balance + plan.devices)


def undispatched(edges):
    """The same areas with turbine and storage at rest (Method 1)."""
    idle = {"p_max": 0.0}
    return [replace(e, turbine=e.turbine | idle, store=e.store | idle) for e in edges]
