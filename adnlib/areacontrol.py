"""The real-time stage: what happens to a plan, and the areas that correct themselves.

Chapter 23 composes it. Instants are drawn over the day; the exact flow says which leave the band;
in every area that does, `consensus.correct` moves batteries and inverters and keeps the area's
boundary flow at that of the plan. The dcvc paper, 10.1155/2022/7280220, section 5, Algorithm 3.
"""

from dataclasses import dataclass, replace

import numpy as np

from . import consensus, linflow, powerflow
from .interval import every, place


@dataclass(frozen=True, eq=False)
class Instants:
    """Instants of a study under a plan: interval t (n,), factors (n, A, 2); what then flows.

    p, q (n, n_bus) [p.u.], V_root (n,); output (n, n_pv) over rating; planned: powerflow.Flow of
    the plan at the forecast of the same interval
    """

    t: np.ndarray
    factors: np.ndarray
    p: np.ndarray
    q: np.ndarray
    V_root: np.ndarray
    output: np.ndarray
    planned: powerflow.Flow


def draw(study, n, rng, shape, load_std):
    """(t (n,), factors (n, A, 2)): intervals evenly over the study, PV 2 Beta, load normal."""
    n_areas = len(study.cuts) + 1
    t = rng.integers(study.n_t, size=n)
    pv = 2 * rng.beta(shape, shape, (n, n_areas))
    return t, np.stack([pv, 1 + load_std * rng.standard_normal((n, n_areas))], axis=-1)


def instants(study, plan, t, factors):
    """Instants of a plan: t (n,), factors (n, A, 2) as from `draw`."""
    t, d, feeder = np.asarray(t), study.devices, study.feeder
    base, own = feeder.s_base_mva, study.owner
    rated = np.array(list(d.pv.values())) / base
    at = own[[feeder.index(b) for b in d.pv]]
    step = np.array([b[0] for b in d.banks.values()]) / base
    hold = every(study.n_h, study.per_hour)
    fixed_p = plan.b @ place(feeder, d.ess)
    fixed_q = plan.q @ place(feeder, d.pv) + (hold @ plan.bank * step) @ place(feeder, d.banks)
    V = feeder.V_root * (1 + d.oltc[0] * (hold @ plan.tap))

    def flows(load, pv):
        out = np.minimum(pv[:, at] * study.pv[t][:, None], 1.0)
        loads = study.load[t][:, None] * load[:, own]
        p = fixed_p[t] + feeder.p_gen - loads * feeder.p_load + (out * rated) @ place(feeder, d.pv)
        return p, fixed_q[t] + feeder.q_gen - loads * feeder.q_load, out

    p, q, output = flows(factors[..., 1], factors[..., 0])
    ones = np.ones(factors.shape[:2])
    planned = powerflow.solve(feeder, *flows(ones, ones)[:2], V_root=V[t])
    return Instants(t, factors, p, q, V[t], output, planned)


def clusters(study, plan, at, area, graph):
    """(ess, pv) consensus.Clusters of an area at Instants; room is what each device has left."""
    d, feeder, own = study.devices, study.feeder, study.owner
    out = []
    for kind in ("ess", "pv"):
        names = list(getattr(d, kind))
        mine = [k for k, b in enumerate(names) if own[feeder.index(b)] == area]
        if kind == "ess":
            most = np.array([d.ess[names[k]][0] for k in mine]) / feeder.s_base_mva
            low, high = -most - plan.b[at.t][:, mine], most - plan.b[at.t][:, mine]
        else:
            rated = np.array([d.pv[names[k]] for k in mine]) / feeder.s_base_mva
            most = rated * np.sqrt(np.maximum(d.s_per_mw**2 - at.output[:, mine] ** 2, 0))
            low, high = -most - plan.q[at.t][:, mine], most - plan.q[at.t][:, mine]
        links = consensus.graph(graph, len(mine))
        room = np.minimum(low, 0), np.maximum(high, 1e-9)
        out.append(consensus.Cluster.of(feeder, [names[k] for k in mine], links, *room))
    return out


def gains(study, at, area, pair, push, split):
    """(eta_P, eta_Q): droops at which the leaders alone would remove `push` of an error in a step.

    Sensitivities of the bus of the area that moves most, at the mean of the planned flows.
    """
    feeder, mine = study.feeder, np.flatnonzero(study.owner == area)
    mean = powerflow.solve(feeder, at.p.mean(axis=0), at.q.mean(axis=0), V_root=at.V_root.mean())
    most = [s[np.ix_(mine, c.at)].max() for s, c in zip(linflow.sensitivities(feeder, mean), pair)]
    return push * split / most[0], push * (1 - split) / most[1]


@dataclass(frozen=True, eq=False)
class Corrected:
    """before, after powerflow.Flows of all instants;  violated, solved (n,) outside the band
    before, inside after;  restored (n,) boundaries back too;  steps (n,) the most of any area
    by_area  list of consensus.Corrections, area by area;  p, q (n, n_bus) after
    """

    before: powerflow.Flow
    after: powerflow.Flow
    violated: np.ndarray
    solved: np.ndarray
    restored: np.ndarray
    steps: np.ndarray
    by_area: list
    p: np.ndarray
    q: np.ndarray


def correct(study, plan, at, graph="ring", push=0.25, split=0.5, bounded=True, **options):
    """Corrected of Instants: one area after the other, from the root down.

    options   of consensus.correct: kappa, margin, tol, most, trace
    bounded False: nobody keeps a boundary (each area pushes its voltages with all it has)
    """
    feeder, own = study.feeder, study.owner
    p, q, found = at.p.copy(), at.q.copy(), []
    before = powerflow.solve(feeder, p, q, V_root=at.V_root)
    hit = ~inside(before, study.band)
    rows = np.flatnonzero(hit)
    some = subset(at, rows)
    p_on, q_on = p[rows], q[rows]
    restored, steps = np.ones(len(p), bool), np.zeros(len(p), int)
    for area in range(len(study.cuts) + 1) if len(rows) else ():
        ess, pv = clusters(study, plan, some, area, graph)
        where = consensus.Area.of(feeder, [feeder.buses[j] for j in np.flatnonzero(own == area)])
        eta = gains(study, some, area, (ess, pv), push, split)
        args = (feeder, some.planned, p_on, q_on, where, ess, pv, eta)
        one = (
            consensus.correct(*args, band=study.band, **options)
            if bounded
            else _local(*args, study.band)
        )
        for out, cluster, change in ((p_on, ess, one.dp), (q_on, pv, one.dq)):
            np.add.at(out, (slice(None), cluster.at), change)
        restored[rows] &= one.converged
        steps[rows] = np.maximum(steps[rows], one.steps)
        found.append(one)
    p[rows], q[rows] = p_on, q_on
    after = powerflow.solve(feeder, p, q, V_root=at.V_root)
    return Corrected(before, after, hit, inside(after, study.band), restored, steps, found, p, q)


@dataclass(frozen=True, eq=False)
class _Local:
    dp: np.ndarray
    dq: np.ndarray
    converged: np.ndarray
    steps: np.ndarray


def _local(feeder, plan, p, q, where, ess, pv, eta, band, most=60):
    """Every device of an area answers to the area's worst voltage; boundaries are left alone."""
    dp, dq = np.zeros((len(p), len(ess.at))), np.zeros((len(p), len(pv.at)))
    steps = np.zeros(len(p), int)
    for k in range(most + 1):
        now_p, now_q = p.copy(), q.copy()
        np.add.at(now_p, (slice(None), ess.at), dp)
        np.add.at(now_q, (slice(None), pv.at), dq)
        V = powerflow.solve(feeder, now_p, now_q, V_root=plan.V_root).V[:, where.at]
        low, high = (band[0] - V).max(axis=1), (V - band[1]).max(axis=1)
        error = np.where(low > 0, low + 5e-4, 0) - np.where(high > 0, high + 5e-4, 0)
        if not error.any() or k == most:
            break
        steps += error != 0
        dp = np.clip(dp + eta[0] * error[:, None] / len(ess.at), ess.lower, ess.upper)
        dq = np.clip(dq + eta[1] * error[:, None] / len(pv.at), pv.lower, pv.upper)
    return _Local(dp, dq, error == 0, steps)


def inside(flow, band):
    """(...) whether all voltages are in the band, to 1e-9 p.u."""
    return ((band[0] - 1e-9 <= flow.V) & (band[1] + 1e-9 >= flow.V)).all(axis=-1)


def subset(at, rows):
    """Some of the Instants."""
    flow = at.planned
    few = type(flow)(**{k: getattr(flow, k)[rows] for k in flow.__dataclass_fields__})
    arrays = {k: getattr(at, k)[rows] for k in ("t", "factors", "p", "q", "V_root", "output")}
    return replace(at, planned=few, **arrays)
