"""The problems of the interval dispatch: an area's, the cloud's, the whole; integers; ways to plan.

Chapter 23 composes it from `interval.Study`. Cones as in chapter 3, borders and rounds as in
chapter 9, the cloud's own model as in chapter 10. Integers are relaxed, rounded by the certified
solver, and the rest is solved again. The dcvc paper, 10.1155/2022/7280220, (7) to (20), A, B.
"""

from dataclasses import dataclass, replace

import cvxpy as cp
import numpy as np

from . import admm, areas, certified, powerflow
from . import solve as solver
from .interval import IntervalError, Plan, Study, applied, every, nothing, place, replay

# ---------------------------------------------------------------------------------- problems


@dataclass(frozen=True, eq=False)
class Part:
    """A stated subproblem: what it costs, its limits, what it shares, its decisions and flows."""

    loss: object  # (rows,) of lines [p.u.]
    deviation: object  # (rows,)
    lost: object  # (n_t,) of batteries
    constraints: list
    shared: dict
    decided: dict  # tap, bank, q, b, lost
    flow: tuple  # P, Q, ell, v


def state(study, piece, whole=False, held=None, limits=True, given=None, around=None):
    """Part of an area; whole: of the whole feeder in the cloud's words, borders copied from inside.

    held     (tap, bank) positions kept fixed; None: continuous
    given    instead: (squared root voltage over V_root^2 (n_h,), bank (n_h, n)) expressions
    limits   voltage band; the cloud leaves it to the edges
    around   an exact powerflow.Flow of the rows: tangents there instead of cones (chapter 3)
    """
    own, d, rows = piece.feeder, study.devices, study.rows
    here = {k: [b for b in getattr(d, k) if b in own.buses] for k in ("pv", "ess", "banks")}
    again, base = every(study.n_t, study.n_s), own.s_base_mva
    reach = study.reach()[:, [list(d.pv).index(b) for b in here["pv"]]]
    h, more = _inverters(study, here["pv"], reach)
    b, lost, kept, stored = _batteries(study, here["ess"], base)
    tap, bank, moved = (
        _positions(study, here["banks"], held, piece.top is None) if given is None else (*given, [])
    )
    p0, q0 = (a[:, piece.place] for a in study.injections())
    hold = every(study.n_h, study.per_hour)
    step = np.array([d.banks[x][0] for x in here["banks"]]) / base
    p, q = cp.Constant(p0), cp.Constant(q0)
    if here["ess"]:
        p = p + again @ (b @ place(own, here["ess"]))
    if here["pv"]:
        q = q + again @ (h @ place(own, here["pv"]))
    if here["banks"]:
        q = q + again @ (hold @ (cp.multiply(bank, step[None])) @ place(own, here["banks"]))
    band = dict(zip(("V_min", "V_max"), study.band)) if limits else {}
    band |= {} if around is None else {"around": around}
    if piece.top is None:
        band["v_root"] = (again @ hold) @ (tap * own.V_root**2)
    model, shared, (P, Q, ell, v) = areas.model(piece, p, q, rows, **band)
    if whole:
        for bus in study.cuts:
            j = own.index(bus)
            above = v[:, own.parent[j]]
            shared |= {f"v {bus}": above, f"P {bus}": P[:, j], f"Q {bus}": Q[:, j]}
    shared |= {f"q {bus}": h[:, k] for k, bus in enumerate(here["pv"])}
    shared |= {f"p {bus}": b[:, k] for k, bus in enumerate(here["ess"])}
    if held is None and given is None:
        shared |= {f"bank {bus}": bank[:, k] for k, bus in enumerate(here["banks"])}
        shared |= {"v root": tap} if piece.top is None else {}
    return Part(
        loss=ell @ own.r,
        deviation=cp.sum(cp.square(v - study.V_ref**2), axis=1),
        lost=lost,
        constraints=[*model, *more, *kept, *moved],
        shared=shared,
        decided={"tap": tap, "bank": bank, "q": h, "b": b, "lost": lost, "here": here} | stored,
        flow=(P, Q, ell, v),
    )


def _inverters(study, here, reach):
    if not here:
        return cp.Constant(np.zeros((study.n_t, 0))), []
    u = cp.Variable((study.n_t, len(here)), name="q")
    return cp.multiply(reach, u), [u <= 1, u >= -1]


def _batteries(study, here, base):
    """(net injection (n_t, n), lost (n_t,), constraints, {"energy": (n_t, n) [p.u. h]})."""
    if not here:
        none = cp.Constant(np.zeros((study.n_t, 0)))
        return none, cp.Constant(np.zeros(study.n_t)), [], {"energy": none}
    eta, (least, most, start) = study.devices.efficiency, study.devices.soc
    p_max, e_max = np.array([study.devices.ess[b] for b in here]).T / base
    c, d = (cp.Variable((study.n_t, len(here)), nonneg=True, name=k) for k in ("in", "out"))
    soc = cp.Variable((study.n_t, len(here)), name="soc")
    before = cp.vstack([np.full((1, len(here)), start), soc[:-1]])
    speed = np.tile(study.step_h * p_max / e_max, (study.n_t, 1))
    limits = [soc == before + cp.multiply(speed, eta * c - d / eta)]
    limits += [c <= 1, d <= 1, soc >= least, soc <= most]
    limits += [soc[-1] == start] if study.cyclic else []
    lost = ((1 - eta) * c + (1 / eta - 1) * d) @ p_max
    return cp.multiply(p_max[None], d - c), lost, limits, {"energy": cp.multiply(e_max[None], soc)}


def _positions(study, here, held, top):
    """(squared root voltage over V_root^2 (n_h,), bank (n_h, n), constraints)."""
    d = study.devices
    step, n, hourly, daily = d.oltc
    names = list(d.banks)
    if held is not None:
        tap, bank = held
        columns = [names.index(b) for b in here]
        return (1 + step * np.asarray(tap)) ** 2, np.asarray(bank, float)[:, columns], []
    bank, limits = np.zeros((study.n_h, 0)), []
    if here:
        bank = cp.Variable((study.n_h, len(here)), name="bank")
        most = np.array([d.banks[b][1:] for b in here]).T
        limits += [bank >= 0, bank <= np.tile(most[0], (study.n_h, 1))]
        limits += _moves(bank, most[1], most[2])
    if not top:
        return None, bank, limits
    tap = cp.Variable(study.n_h, name="tap")
    low, high = (1 - step * n) ** 2, (1 + step * n) ** 2
    about = cp.reshape((tap - 1) / (2 * step), (study.n_h, 1), order="C")
    return tap, bank, [*limits, tap >= low, tap <= high, *_moves(about, [hourly], [daily])]


def _moves(position, hourly, daily):
    if position.shape[0] < 2:
        return []
    change = cp.abs(position[1:] - position[:-1])
    return [change <= np.tile(hourly, (position.shape[0] - 1, 1)),
            cp.sum(change, axis=0) <= np.asarray(daily, float)]  # fmt: skip


def cost(study, part, loss=1.0, deviation=1.0, lost=1.0, worst=False):
    """Expected cost of a Part; worst: the worst scenario of each interval instead of the mean."""
    if worst:
        by_row = loss * part.loss + deviation * study.w * part.deviation
        by_time = cp.reshape(by_row, (study.n_t, study.n_s), order="C")
        return cp.sum(cp.max(by_time, axis=1)) + lost * cp.sum(part.lost)
    return (
        loss * (study.weight @ part.loss)
        + deviation * study.w * (study.weight @ part.deviation)
        + lost * cp.sum(part.lost)
    )


def central(study, held=None, around=None, retries=solver.FLAT, **weights):
    """(Plan, value, Part) of the problem in one piece; weights as `cost`, around as `state`,
    retries as solve.solve: tolerances that are tried where the solver stalls.

    The value is that of the relaxed cones; `interval.replay` says what it is in the exact flow.
    """
    (piece,) = areas.cut(study.feeder, [])
    part = state(study, piece, held=held, around=around)
    problem = cp.Problem(cp.Minimize(cost(study, part, **weights)), part.constraints)
    value = solver.solve(problem, retries=retries)
    return plan_of(study, [part], held), value, part


def plan_of(study, parts, held=None):
    """Plan of solved parts, put together."""
    d, n_t = study.devices, study.n_t
    tap, bank = (nothing(study).tap, nothing(study).bank) if held is None else held
    q, b, lost = np.zeros((n_t, len(d.pv))), np.zeros((n_t, len(d.ess))), np.zeros(n_t)
    bank = np.array(bank, float)
    for part in parts:
        x, here = part.decided, part.decided["here"]
        q[:, [list(d.pv).index(i) for i in here["pv"]]] = _number(x["q"])
        b[:, [list(d.ess).index(i) for i in here["ess"]]] = _number(x["b"])
        lost += _number(x["lost"])
        if held is None:
            bank[:, [list(d.banks).index(i) for i in here["banks"]]] = _number(x["bank"])
            if x["tap"] is not None:
                tap = (np.sqrt(_number(x["tap"])) - 1) / d.oltc[0]
    return Plan(np.asarray(tap, float), bank, q, b, lost)


def _number(a):
    return a.value if isinstance(a, cp.Expression) else np.asarray(a, float)


# ---------------------------------------------------------------------------------- cloud and edges


@dataclass(frozen=True, eq=False)
class Split:
    """Cloud and edges of a study: admm.Areas, their Parts, options for admm.coordinate."""

    study: Study
    edges: list
    cloud: object
    parts: list
    held: tuple | None
    options: dict

    def run(self, **options):
        """(admm.Result, Plan of the edges' set-points and the cloud's positions)."""
        found = admm.coordinate(self.edges, self.cloud, **self.options | options)
        for edge, x in zip(self.edges, found.x):
            edge.restore(x)
        plan = plan_of(self.study, self.parts, self.held)
        return found, plan


def split(study, held=None, share=0.5, cloud=True, worst=False, deviation=1.0, memory=10):
    """Split of a study. share: part of the loss that the cloud prices; cloud False: neighbours.

    Penalties follow chapter 9's rule, times the weight of a row in the objective.
    """
    share = share if cloud else 0.0
    edges, parts = [], []
    for piece in areas.cut(study.feeder, study.cuts):
        part = state(study, piece, held=held)
        value = cost(study, part, loss=1 - share, deviation=deviation, worst=worst)
        shared = part.shared if cloud else {k: e for k, e in part.shared.items() if k[:2] in BORDER}
        edges.append(
            admm.area(cp.Problem(cp.Minimize(value), part.constraints), shared, piece.name)
        )
        parts.append(part)
    master = None
    if cloud:
        (piece,) = areas.cut(study.feeder, [])
        whole = state(study, piece, whole=True, held=held, limits=False)
        value = cost(study, whole, loss=share, deviation=0.0, lost=0.0, worst=worst)
        master = admm.area(cp.Problem(cp.Minimize(value), whole.constraints), whole.shared, "cloud")
    options = {"scale": _scale(study, edges), "start": _start(study, edges), "memory": memory}
    return Split(study, edges, master, parts, held, options)


BORDER = ("v ", "P ", "Q ")


def _labels(edges):
    return sorted({label for e in edges for label in e.labels})


def _scale(study, edges):
    rule = areas.stiffness(study.feeder, study.cuts)
    held = np.sqrt(study.per_hour)
    step = max((b[0] for b in study.devices.banks.values()), default=1) / study.feeder.s_base_mva
    out = {"q": rule["P"], "p": rule["P"], "bank": rule["P"] * held * step,
           "v root": rule["v"] * held}  # fmt: skip
    row, found = np.sqrt(study.weight), {}
    for label in _labels(edges):
        name = label.split("[")[0]
        point = name if name in out else name.split()[0]
        border = rule[name[0]] * row[int(label[:-1].split("[")[1])] if point not in out else 0
        found[label] = out.get(point, border)
    return found


def _start(study, edges):
    v = study.feeder.V_root**2
    one = {"v root": 1.0}
    return {
        label: one.get(label.split("[")[0], v if label.startswith("v ") else 0.0)
        for label in _labels(edges)
    }


# ---------------------------------------------------------------------------------- integers


def rounded(study, plan):
    """(tap, bank): the whole positions nearest to a plan's, within all limits of moves.

    Least sum of squares, proven by the certified solver: a small mixed-integer problem.
    """
    d = study.devices
    _, n, hourly, daily = d.oltc
    out = []
    sets = [(plan.tap[:, None], -n, n, hourly, daily)]
    sets += [(plan.bank[:, [k]], 0, *limits[1:]) for k, limits in enumerate(d.banks.values())]
    for wanted, low, high, hourly, daily in sets:
        x = cp.Variable(wanted.shape, integer=True)
        limits = [x >= low, x <= high, *_moves(x, [hourly], [daily])]
        problem = cp.Problem(cp.Minimize(cp.sum_squares(x - wanted)), limits)
        found = certified.solve(problem, gap=1e-3, work_limit=20000)
        if found.status not in ("optimal", "gap_open"):
            raise IntervalError(f"no whole positions within the limits of moves: {found.status}")
        out.append(np.round(x.value[:, 0]) + 0.0)
    return out[0], np.array(out[1:]).T.reshape(study.n_h, len(d.banks))


def ladder(study):
    """(tap rungs (n_h, 2 n), bank rungs [(n_h, steps), ...], constraints): boolean variables.

    position = sum of the rungs, rung s at least rung s + 1; all limits of moves.
    """
    d = study.devices
    _, n, hourly, daily = d.oltc
    sizes = [(2 * n, hourly, daily)] + [(b[1], b[2], b[3]) for b in d.banks.values()]
    rungs, limits = [], []
    for size, hourly, daily in sizes:
        sigma = cp.Variable((study.n_h, int(size)), boolean=True)
        limits += [sigma[:, 1:] <= sigma[:, :-1]] if size > 1 else []
        position = cp.reshape(cp.sum(sigma, axis=1), (study.n_h, 1), order="C")
        limits += _moves(position, [hourly], [daily])
        rungs.append(sigma)
    return rungs[0], rungs[1:], limits


def integer(study):
    """CVXPY problem of the study in one piece with whole positions: for certified.solve."""
    tap, banks, limits = ladder(study)
    step, n = study.devices.oltc[:2]
    square = (1 + step * np.arange(-n, n + 1)) ** 2
    v = square[0] + tap @ np.diff(square)
    bank = cp.vstack([cp.sum(b, axis=1) for b in banks]).T if banks else np.zeros((study.n_h, 0))
    (piece,) = areas.cut(study.feeder, [])
    part = state(study, piece, given=(v, bank))
    return cp.Problem(cp.Minimize(cost(study, part)), [*part.constraints, *limits])


# ---------------------------------------------------------------------------------- ways to plan


def local_positions(study):
    """(tap, bank) whole positions that each area finds by itself, borders as without control.

    The root's area sets the tap and its banks for the borders' forecast power, the others theirs
    for the forecast voltage above them: nobody coordinates.
    """
    flow, here = powerflow.solve(study.feeder, *applied(study, nothing(study))[:2]), {}
    at = {b: study.feeder.index(b) for b in study.cuts}
    for b, j in at.items():
        above = study.feeder.parent[j]
        v = flow.V[:, above] if above >= 0 else np.full(study.rows, study.feeder.V_root)
        here |= {f"v {b}": v**2, f"P {b}": flow.P[:, j], f"Q {b}": flow.Q[:, j]}
    parts = []
    for piece in areas.cut(study.feeder, study.cuts):
        part = state(study, piece, limits=False)
        names = [f"v {piece.top}"] if piece.top is not None else []
        names += [f"{k} {b}" for b, _ in piece.below for k in "PQ"]
        fixed = [part.shared[k] == here[k] for k in names]
        problem = cp.Problem(cp.Minimize(cost(study, part)), part.constraints + fixed)
        solver.solve(problem, retries=solver.FLAT)
        parts.append(part)
    return rounded(study, plan_of(study, parts))


def refined(study, plan, rounds=6, tol=1e-6, **weights):
    """Plan with q solved again in every interval for all scenarios of a (larger) study.

    Positions and batteries stay; each interval is a problem of its own. A scenario of small
    probability has cheap losses, with which a loose cone buys its way under the upper limit: where
    the exact flow leaves the band, the interval is solved again on tangents (chapter 3's third
    cure). Returns (Plan, left): intervals in which the exact flow of the best q found still leaves
    the band; where nothing can be solved, the plan's own q stays.
    """
    q, left = plan.q.copy(), []
    for t in range(study.n_t):
        h, one = t // study.per_hour, study.interval(t, plan.b[t])
        held = plan.tap[h : h + 1], plan.bank[h : h + 1]
        q[t], beyond = _refined(one, q[t], held, rounds, tol, weights)
        left += [t] if beyond > tol else []
    return replace(plan, q=q), left


def _refined(one, q, held, rounds, tol, weights):
    best, around = np.inf, None
    for _ in range(rounds):
        try:
            found = central(one, held=held, around=around, **weights)[0]
        except solver.SolveError:
            break
        flow = replay(one, found)
        beyond = max(one.band[0] - flow.V.min(), flow.V.max() - one.band[1], 0.0)
        if beyond < best:
            q, best = found.q[0], beyond
        if best <= tol:
            break
        around = rowwise(flow)
    return q, best


def rowwise(flow):
    """A Flow of a batch (n_t, n_s) as one of rows."""
    n = flow.V.shape[-1]
    arrays = {k: getattr(flow, k) for k in flow.__dataclass_fields__}
    return type(flow)(**{k: a.reshape((-1, n) if a.ndim == 3 else -1) for k, a in arrays.items()})
