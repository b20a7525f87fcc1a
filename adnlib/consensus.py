"""Voltage correction inside an area: a leader, its followers, and the boundary flow kept.

Chapter 12 builds it step by step. A bus e of an area leaves its voltage band. In each cluster (one
of active, one of reactive power) the device with the highest sensitivity S_ei = dV_e/dp_i leads:

    leader      y_l <- [y_l + eta sigma (U_lim - U_e) / m_l]_+       droop, sigma = 1 raises
    followers   y_i <- sum_j z_ij y_j                                Metropolis weights
    change      m_l y_l of the leader,  C (S_ei / S_el) m_i y_i of a follower

with C such that the changes add up to minus the disturbance at the area's upstream boundary, where
the exact power flow measures it. The dcvc paper, 10.1155/2022/7280220, (25)-(28), Algorithm 3.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from . import linflow, powerflow
from .leader import Run, at_boundary, by_algebra, moved, weights
from .metropolis import (
    ConsensusError,
    Mailbox,
    delayed,
    graph,
    grounded,
    metropolis,
    rate,
    reached,
    steps,
)

__all__ = ["Area", "Cluster", "ConsensusError", "Correction", "Mailbox", "closed_loop", "correct",
           "delayed", "graph", "grounded", "metropolis", "rate", "reached", "steps",
           "weights"]  # fmt: skip

MODES = ("algebra", "sum", "feedback")


@dataclass(frozen=True, eq=False)
class Area:
    """A connected part of a feeder: `at` (n_a,) positions of its buses, `top` of its first bus.

    Its upstream boundary is the branch above `top`; what hangs below it is not touched.
    """

    at: np.ndarray
    top: int

    @classmethod
    def of(cls, feeder, buses):
        """From bus labels. ConsensusError names the buses that do not hang together."""
        at = np.array([feeder.index(b) for b in buses])
        tops = [int(j) for j in at if feeder.parent[j] not in at]
        if len(tops) != 1:
            named = ", ".join(str(feeder.buses[j]) for j in tops) or "none"
            raise ConsensusError(
                f"an area hangs on one branch; these buses hang on those of {named}"
            )
        return cls(at, tops[0])


@dataclass(frozen=True, eq=False)
class Cluster:
    """Devices that talk to each other.

    at (n_d,) positions of their buses; Z (n_d, n_d) weights; lower, upper (..., n_d) room for a
    change of the injection [p.u.], lower <= 0 <= upper.
    """

    at: np.ndarray
    Z: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @classmethod
    def of(cls, feeder, buses, links, lower, upper):
        """From labels and a link matrix. ConsensusError for a device that no message reaches."""
        at, Z = np.array([feeder.index(b) for b in buses]), metropolis(links)
        if len(Z) != len(at) or len(at) < 2:
            raise ConsensusError(
                f"{len(at)} devices and {len(Z)} ends of links; two or more of each"
            )
        alone = ~reached(links, 0)
        if alone.any():
            raise ConsensusError(
                f"no chain of links joins bus {buses[0]} and bus {buses[int(np.argmax(alone))]}"
            )
        lower, upper = (np.asarray(a, float) for a in (lower, upper))
        if (lower > 0).any() or (upper < 0).any() or not (upper - lower > 0).all():
            raise ConsensusError("room for a change: lower <= 0 <= upper, and not both 0")
        return cls(at, Z, lower, upper)


@dataclass(frozen=True, eq=False)
class Correction:
    """What `correct` did with n_s scenarios; rows without a violation hold zeros.

    active (n_s,) a bus of the area was outside the band      bus (n_s,) position of the worst one
    converged (n_s,) corrected within the tolerances, True where not active
    saturated (n_s,) a device ended at its limit              steps (n_s,) messages sent
    dp, dq   (n_s, n_d) changes of the two clusters [p.u.]
    leader_p, leader_q (n_s,) position of the leader in its cluster
    before, after   Flow of all scenarios      boundary (n_s, 2) P, Q beside the plan [p.u.]
    trace    None, or {"y", "z", "change": two arrays (n_k, n_active, n_d), active power first;
             "U" (n_k, n_active); "boundary" (n_k, n_active, 2)}
    """

    active: np.ndarray
    bus: np.ndarray
    converged: np.ndarray
    saturated: np.ndarray
    steps: np.ndarray
    dp: np.ndarray
    dq: np.ndarray
    leader_p: np.ndarray
    leader_q: np.ndarray
    before: powerflow.Flow
    after: powerflow.Flow
    boundary: np.ndarray
    trace: dict | None


def correct(feeder, plan, p, q, area, ess, pv, eta, kappa=0.05, mode="feedback", band=(0.95, 1.05),
            margin=5e-4, tol=(1e-4, 1e-3, 1e-3), most=400, drop=0.0, delay=0, rng=None,
            leaders=None, bus=None, trace=False):  # fmt: skip
    """Bring the area's voltages back into the band and its boundary flow back to the plan.

    plan       Flow of the plan, batch () or (n_s,): boundary flow, source, taps, sensitivities
    p, q       (n_s, n) net injections that came [p.u.]       area  Area
    ess, pv    Cluster of active, of reactive power           eta   (eta_P, eta_Q), droop of the
               leaders [p.u. power per p.u. voltage]          kappa share of the boundary's
               deviation that a step of the feedback takes away
    mode       algebra   C from the linear model, fixed before the correction (as printed)
               sum       changes add up to minus the deviation measured at the start
               feedback  sum, and the measured boundary flow trims it
    band, margin   limits [p.u.]; the goal lies `margin` inside the violated one
    tol        (voltage [p.u.], spread of the devices [of their range], boundary flow [p.u.];
               the last counts with feedback only)
    most       steps after which a scenario is given up       drop, delay, rng   see Mailbox
    leaders    (position in ess, in pv) instead of the election by sensitivity
    bus        position of the bus to correct, instead of the worst of the area
    Returns a Correction. ConsensusError for a mode or a gain that makes no sense.
    """
    if mode not in MODES:
        raise ConsensusError(f"mode {mode!r} is none of {', '.join(MODES)}")
    if mode == "feedback" and not kappa > 0:
        raise ConsensusError(f"feedback needs a gain: kappa is {kappa:g}, take one above 0")
    p, q = (np.atleast_2d(np.asarray(a, float)) for a in (p, q))
    n_s, clusters = len(p), (ess, pv)
    fixed = {k: getattr(plan, k) for k in ("V_root", "ratio", "b_shunt")}
    before = powerflow.solve(feeder, p, q, **fixed)
    worst, active = _violations(before.V, area, band, bus)
    rows = np.flatnonzero(active)
    mine = _rows(plan, rows)

    def of(on):
        return {k: getattr(_rows(mine, on), k) for k in fixed}

    run = _start(feeder, mine, _rows(before, rows), worst[rows], area, clusters, eta, band, margin,
                 leaders, mode, kappa if mode == "feedback" else 0.0, rows)  # fmt: skip
    done = run.go(feeder, p[rows], q[rows], of, tol, most, (drop, delay, rng), trace)

    def spread(values, fill=0):
        out = np.full((n_s, *values.shape[1:]), fill, dtype=values.dtype)
        out[rows] = values
        return out

    dp, dq = map(spread, done["change"])
    after = powerflow.solve(feeder, *moved(p, q, clusters, (dp, dq)), **fixed)
    left = at_boundary(after, area.top) - at_boundary(plan, area.top)
    return Correction(active, worst, spread(done["converged"], True), spread(done["saturated"]),
                      spread(done["steps"]), dp, dq, *map(spread, done["leader"]), before, after,
                      left, done["trace"])  # fmt: skip


def closed_loop(clusters, leaders, pairs, S, eta, kappa=0.0, delay=0):
    """Matrix of one step of both clusters on the linear model: its spectral radius is the rate.

    clusters, leaders   two Cluster, two positions     pairs   two (A, g), each (n_d,)
    S    two (n_d,) sensitivities of the corrected bus  eta     (eta_P, eta_Q)
    kappa   feedback of the boundary; 0 leaves z out    delay   of the messages [steps]
    Both leaders sum up the same error E, y_l = eta E / m_l: the state is E, y of the followers of
    both clusters, then, with kappa, z of both. No limit and no loss is in it.
    """
    both, sizes = 2 if kappa else 1, [len(c.at) for c in clusters]
    start = np.cumsum([0, *sizes * both])
    part = [slice(a, b) for a, b in pairwise(start)]
    lead = [start[k] + leaders[k % 2] for k in range(2 * both)]
    change = [pair[k] for k in range(both) for pair in pairs]  # [p.u.] per unit of state
    volts = np.concatenate([w * s for w, s in zip(change, [*S] * both)])
    now, later = np.zeros((2, start[-1], start[-1]))
    for k in range(2 * both):
        Z, c = clusters[k % 2].Z, k % 2
        now[part[k], part[k]] = np.diag(np.diag(Z))
        later[part[k], part[k]] = Z - np.diag(np.diag(Z))
        now[lead[k]], later[lead[k]] = np.eye(start[-1])[lead[k]], 0
        if k < 2:
            now[lead[k]] -= eta[c] / pairs[c][1][leaders[c]] * volts
        else:
            for j in (c, c + 2):
                now[lead[k], part[j]] -= kappa * change[j] / pairs[c][1].sum()
    share = [m / g[i] for m, (_, g), i in zip(eta, pairs, leaders)]
    first = int(eta[0] <= 0)  # a leader that moves
    out = np.eye(start[-1])
    out[lead[1 - first], lead[first]] = share[1 - first] / share[first]
    keep = np.arange(start[-1]) != lead[1 - first]
    return delayed((now @ out)[np.ix_(keep, keep)], (later @ out)[np.ix_(keep, keep)], delay)


# ---------------------------------------------------------------------------------- inside


def _violations(V, area, band, bus):
    """(worst, active): position of the bus to correct, and whether it violates, (n_s,)."""
    U = V[:, area.at]
    beyond = np.maximum(band[0] - U, U - band[1])
    worst = area.at[beyond.argmax(axis=1)] if bus is None else np.full(len(V), bus)
    U_e = V[np.arange(len(V)), worst]
    return worst, (U_e < band[0]) | (U_e > band[1])


def _start(feeder, plan, before, e, area, clusters, eta, band, margin, leaders, mode, kappa, rows):
    """The Run of the violated scenarios: leaders elected, weights set, disturbance measured."""
    row, U = np.arange(len(e)), before.V[np.arange(len(e)), e]
    sign = np.where(band[1] < U, -1.0, 1.0)
    goal = np.where(sign > 0, band[0] + margin, band[1] - margin)
    reference = np.broadcast_to(at_boundary(plan, area.top), (len(e), 2))
    D = at_boundary(before, area.top) - reference
    S = [s[e] if s.ndim == 2 else s[row, e] for s in linflow.sensitivities(feeder, plan)]
    S = [s[:, c.at] for s, c in zip(S, clusters)]
    lower, upper = ([_room(getattr(c, k), rows) for c in clusters] for k in ("lower", "upper"))
    leader = [s.argmax(axis=1) if leaders is None else np.full(len(e), leaders[c])
              for c, s in enumerate(S)]  # fmt: skip
    A, g = zip(*(weights(s, (up - lo) / 2, i) for s, lo, up, i in zip(S, lower, upper, leader)))
    X = [np.zeros((*s.shape, 2)) for s in S]
    if mode == "algebra":
        A = by_algebra(S, g, leader, eta, D, goal - U)
    else:
        for c, i in enumerate(leader):
            X[c][row, i, 1] = D[:, c] / g[c].sum(axis=1)
    return Run(area.top, e, sign, goal, reference, eta, kappa, clusters, leader, A, g, lower, upper,
               X)  # fmt: skip


def _room(limit, rows):
    """(n_a, n_d) room of the violated scenarios."""
    return np.broadcast_to(limit, (len(rows), limit.shape[-1])) if limit.ndim == 1 else limit[rows]


def _rows(flow, rows):
    """Some scenarios of a Flow; a Flow of one plan for all stays as it is."""
    if flow.V.ndim == 1:
        return flow
    return type(flow)(**{k: getattr(flow, k)[rows] for k in flow.__dataclass_fields__})
