"""The interval dispatch of a cloud and its edges: hourly taps and banks, set-points every 15 min.

Chapter 23 composes it: the dcvc paper's problems (7) and (8) in the stochastic form (9) to (12),
over one day or a part of it. A row is an interval with one of its scenarios, interval after
interval. Taps and banks hold over the intervals of an hour, set-points of inverters and batteries
over the scenarios of an interval; flows differ by row. Objective, mean over scenarios, summed over
intervals [MW]:

    loss of lines and batteries + w sum_j (v_j - V_ref^2)^2

The dcvc paper, 10.1155/2022/7280220; cones as in chapter 3, borders as in chapter 9.
"""

from dataclasses import dataclass, replace

import cvxpy as cp
import numpy as np
from scipy.sparse import csr_array

from . import admm, areas, branchflow, certified, powerflow
from . import solve as solver


class IntervalError(ValueError):
    """Devices, scenarios or positions that do not fit the study; names the culprit."""


@dataclass(frozen=True, eq=False)
class Devices:
    """What stands where: labels of buses, sizes in MW, Mvar, MWh.

    pv {bus: MW}; s_per_mw of the inverters; ess {bus: (MW, MWh)}; soc (least, most, start);
    efficiency each way; banks {bus: (step Mvar, steps, moves an hour, moves a day)}
    oltc (step [p.u.], positions each way, moves an hour, moves a day)
    """

    pv: dict
    s_per_mw: float
    ess: dict
    soc: tuple
    efficiency: float
    banks: dict
    oltc: tuple

    @classmethod
    def of_case(cls, case, feeder=None, size=1.0):
        """From a case file; size scales all powers and energies (another feeder)."""
        grid = {k: case[f"{k}.bus"] for k in ("pv", "storage", "bank")}
        ess = size * case["storage.mw"], size * case["storage.mwh"]
        limits = case["bank.n"], case["bank.per_hour"], case["bank.per_day"]
        return cls(
            pv=dict.fromkeys(grid["pv"], size * case["pv.mw"]),
            s_per_mw=case["pv.s_per_mw"],
            ess=dict.fromkeys(grid["storage"], ess),
            soc=tuple(case["storage.soc"]),
            efficiency=case["storage.efficiency"],
            banks=dict.fromkeys(grid["bank"], (size * case["bank.step_mvar"], *limits)),
            oltc=tuple(case[f"oltc.{k}"] for k in ("step", "n", "per_hour", "per_day")),
        )


@dataclass(frozen=True, eq=False)
class Study:
    """A day or a part of it with its scenarios.

    cuts     labels of the buses below the borders;  devices  Devices
    load, pv (n_t,) forecasts: of nominal load, of rated output;  step_h [h], per_hour intervals
    factors  (k, A, 2) on the forecasts of PV and load in each area;  prob (k,)
    w        weight of the deviation [MW per p.u.^2];  band (V_min, V_max), V_ref [p.u.]
    cyclic   batteries end where they start
    """

    feeder: object
    cuts: tuple
    devices: Devices
    load: np.ndarray
    pv: np.ndarray
    factors: np.ndarray
    prob: np.ndarray
    w: float = 1.0
    band: tuple = (0.95, 1.05)
    V_ref: float = 1.0
    step_h: float = 0.25
    per_hour: int = 4
    cyclic: bool = True

    def __post_init__(self):
        if len(self.load) != len(self.pv) or len(self.load) % self.per_hour:
            raise IntervalError(
                f"{len(self.load)} intervals of load, {len(self.pv)} of PV: as many, whole hours"
            )
        if np.shape(self.factors) != (len(self.prob), len(self.cuts) + 1, 2):
            raise IntervalError(
                f"factors have shape {np.shape(self.factors)}; {len(self.prob)} scenarios of "
                f"{len(self.cuts) + 1} areas need ({len(self.prob)}, {len(self.cuts) + 1}, 2)"
            )

    @property
    def n_t(self):
        """Intervals."""
        return len(self.load)

    @property
    def n_h(self):
        """Hours."""
        return self.n_t // self.per_hour

    @property
    def n_s(self):
        """Scenarios of an interval."""
        return len(self.prob)

    @property
    def rows(self):
        """n_t n_s."""
        return self.n_t * self.n_s

    @property
    def weight(self):
        """(rows,) probability of each row."""
        return np.tile(self.prob, self.n_t)

    @property
    def owner(self):
        """(n,) area of each bus, 0 with the root."""
        return areas.owners(self.feeder, sorted(self.feeder.index(b) for b in self.cuts))

    def with_scenarios(self, factors, prob):
        """The same study with other scenarios."""
        return replace(self, factors=np.asarray(factors, float), prob=np.asarray(prob, float))

    def hours(self, first, last):
        """The part from hour `first` to `last`; batteries as at the start of the day."""
        part = slice(first * self.per_hour, last * self.per_hour)
        return replace(self, load=self.load[part], pv=self.pv[part])

    def output(self):
        """(rows, n_pv) output of each plant over its rating: forecast times factor, at most 1."""
        own = self.owner[[self.feeder.index(b) for b in self.devices.pv]]
        return np.minimum(self.pv[:, None, None] * self.factors[:, own, 0], 1.0).reshape(
            self.rows, len(own)
        )

    def injections(self):
        """(p, q), each (rows, n) [p.u.]: loads and PV output, no control."""
        factor = (self.load[:, None, None] * self.factors[:, self.owner, 1]).reshape(self.rows, -1)
        base, rated = self.feeder.s_base_mva, np.array(list(self.devices.pv.values()))
        p = -factor * self.feeder.p_load + (self.output() * rated / base) @ place(
            self.feeder, self.devices.pv
        )
        return p, -factor * self.feeder.q_load

    def reach(self):
        """(n_t, n_pv) reactive power that an inverter has in every scenario [p.u.]."""
        rated = np.array(list(self.devices.pv.values())) / self.feeder.s_base_mva
        most = self.output().reshape(self.n_t, self.n_s, -1).max(axis=1)
        return rated * np.sqrt(self.devices.s_per_mw**2 - most**2)


def place(feeder, buses):
    """(devices, n) sparse 0/1: which bus each device stands at."""
    at = [feeder.index(b) for b in buses]
    return csr_array((np.ones(len(at)), (range(len(at)), at)), shape=(len(at), feeder.n))


def _every(m, times):
    """(m times, m): repeats each entry."""
    return csr_array((np.ones(m * times), (np.arange(m * times), np.repeat(np.arange(m), times))))


# ---------------------------------------------------------------------------------- plans


@dataclass(frozen=True, eq=False)
class Plan:
    """Decisions: tap (n_h,), bank (n_h, n_bank) positions; q (n_t, n_pv), b (n_t, n_ess) [p.u.].

    b: discharge positive, net of the converter;  lost (n_t,) of the batteries [p.u.]
    """

    tap: np.ndarray
    bank: np.ndarray
    q: np.ndarray
    b: np.ndarray
    lost: np.ndarray

    @property
    def positions(self):
        """(tap, bank) rounded to whole numbers."""
        return np.round(self.tap), np.round(self.bank)


def nothing(study):
    """The Plan without control."""
    d, n_t = study.devices, study.n_t
    return Plan(np.zeros(study.n_h), np.zeros((study.n_h, len(d.banks))),
                np.zeros((n_t, len(d.pv))), np.zeros((n_t, len(d.ess))), np.zeros(n_t))  # fmt: skip


def replay(study, plan):
    """powerflow.Flow of a plan in every scenario, batch (n_t, n_s)."""
    p, q, V_root = applied(study, plan)
    shape = (study.n_t, study.n_s)
    return powerflow.solve(
        study.feeder, p.reshape(*shape, -1), q.reshape(*shape, -1), V_root=V_root.reshape(shape)
    )


def applied(study, plan):
    """(p, q (rows, n), V_root (rows,)) of a plan in every scenario."""
    d, feeder, k = study.devices, study.feeder, study.n_s
    p, q = study.injections()
    hold = _every(study.n_h, study.per_hour)
    step = np.array([b[0] for b in d.banks.values()]) / feeder.s_base_mva
    given = plan.q @ place(feeder, d.pv) + (hold @ plan.bank * step) @ place(feeder, d.banks)
    p = p + np.repeat(plan.b @ place(feeder, d.ess), k, axis=0)
    V = study.feeder.V_root * (1 + d.oltc[0] * (hold @ plan.tap))
    return p, q + np.repeat(given, k, axis=0), np.repeat(V, k)


def objective(study, plan, flow=None):
    """{"loss", "deviation", "total"} of a plan in the exact flow, summed over intervals [MW]."""
    flow = replay(study, plan) if flow is None else flow
    v = flow.V**2 - study.V_ref**2
    loss = float((flow.p_loss @ study.prob).sum() + plan.lost.sum())
    off = study.w * float(((v**2).sum(axis=-1) @ study.prob).sum())
    return {"loss": loss, "deviation": off, "total": loss + off}


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


def state(study, piece, whole=False, held=None, limits=True):
    """Part of an area; whole: of the whole feeder in the cloud's words, borders copied from inside.

    held     (tap, bank) positions kept fixed; None: continuous
    limits   voltage band; the cloud leaves it to the edges
    """
    own, d, rows = piece.feeder, study.devices, study.rows
    here = {k: [b for b in getattr(d, k) if b in own.buses] for k in ("pv", "ess", "banks")}
    every, base = _every(study.n_t, study.n_s), own.s_base_mva
    reach = study.reach()[:, [list(d.pv).index(b) for b in here["pv"]]]
    h, more = _inverters(study, here["pv"], reach)
    b, lost, kept, stored = _batteries(study, here["ess"], base)
    tap, bank, moved = _positions(study, here["banks"], held, piece.top is None)
    p0, q0 = (a[:, piece.place] for a in study.injections())
    hold = _every(study.n_h, study.per_hour)
    step = np.array([d.banks[x][0] for x in here["banks"]]) / base
    p, q = cp.Constant(p0), cp.Constant(q0)
    if here["ess"]:
        p = p + every @ (b @ place(own, here["ess"]))
    if here["pv"]:
        q = q + every @ (h @ place(own, here["pv"]))
    if here["banks"]:
        q = q + every @ (hold @ (cp.multiply(bank, step[None])) @ place(own, here["banks"]))
    given = dict(zip(("V_min", "V_max"), study.band)) if limits else {}
    if piece.top is None:
        given["v_root"] = (every @ hold) @ (tap * own.V_root**2)
    model, shared, (P, Q, ell, v) = areas.model(piece, p, q, rows, **given)
    if whole:
        for bus in study.cuts:
            j = own.index(bus)
            above = v[:, own.parent[j]]
            shared |= {f"v {bus}": above, f"P {bus}": P[:, j], f"Q {bus}": Q[:, j]}
    shared |= {f"q {bus}": h[:, k] for k, bus in enumerate(here["pv"])}
    shared |= {f"p {bus}": b[:, k] for k, bus in enumerate(here["ess"])}
    if held is None:
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
        nothing = cp.Constant(np.zeros((study.n_t, 0)))
        return nothing, cp.Constant(np.zeros(study.n_t)), [], {"energy": nothing}
    eta, (least, most, start) = study.devices.efficiency, study.devices.soc
    p_max, e_max = np.array([study.devices.ess[b] for b in here]).T / base
    c, d = (cp.Variable((study.n_t, len(here)), nonneg=True, name=k) for k in ("in", "out"))
    soc = start + cp.cumsum(
        cp.multiply(np.tile(study.step_h * p_max / e_max, (study.n_t, 1)), eta * c - d / eta), axis=0
    )
    limits = [c <= 1, d <= 1, soc >= least, soc <= most]
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


def central(study, held=None, extra=None, **weights):
    """(Plan, value, Part) of the problem in one piece; weights as `cost`, extra(part) constraints.

    The value is that of the relaxed cones; `replay` says what it is in the exact flow.
    """
    (piece,) = areas.cut(study.feeder, [])
    part = state(study, piece, held=held)
    problem = cp.Problem(
        cp.Minimize(cost(study, part, **weights)),
        part.constraints + (extra(part) if extra else []),
    )
    value = solver.solve(problem)
    return plan_of(study, [part], held), value, part


def plan_of(study, parts, held=None):
    """Plan of solved parts, put together."""
    d, n_t = study.devices, study.n_t
    tap, bank = (np.zeros(study.n_h), np.zeros((study.n_h, len(d.banks)))) if held is None else held
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
        master = admm.area(
            cp.Problem(cp.Minimize(value), whole.constraints), whole.shared, "cloud"
        )
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
    row = np.sqrt(study.weight)
    found = {}
    for label in _labels(edges):
        name = label.split("[")[0]
        if name in out or name.split()[0] in out and name[:2] not in BORDER:
            found[label] = out.get(name, out.get(name.split()[0]))
        else:
            found[label] = rule[name[0]] * row[int(label.split("[")[1][:-1])]
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
    step, n, hourly, daily = d.oltc
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
        out.append(np.round(x.value[:, 0]))
    return out[0], np.array(out[1:]).T.reshape(study.n_h, len(d.banks))
