"""The plant under the real-time rule: a day in 5-minute steps, the exact flow after each of them.

Chapter 14 walks through it. In each step the weather moves first, with the corrections of the step
before still in force; the voltages are measured; `zones.correct` moves the set-points; the flow is
solved again. Arrays have time first, scenarios before time.
"""

from dataclasses import dataclass

import numpy as np

from . import linflow, powerflow, zones
from .leastmove import moved


@dataclass(frozen=True, eq=False)
class Replay:
    """A day under the rule. Shapes (..., n_t, n or k), as the inputs [p.u.].

    V_before, V   voltages as measured, and after the corrections of the step
    p, q          output of the plants after them      energy   stored at the end of the step
    dp, dq        corrections in force, against the plan      new_p, new_q   of this step alone
    event         (..., n_t) bool      moves   (..., n_t) buses treated      loss  (..., n_t)
    """

    V_before: np.ndarray
    V: np.ndarray
    p: np.ndarray
    q: np.ndarray
    energy: np.ndarray
    dp: np.ndarray
    dq: np.ndarray
    new_p: np.ndarray
    new_q: np.ndarray
    event: np.ndarray
    moves: np.ndarray
    loss: np.ndarray


@dataclass(frozen=True)
class Options:
    """How the loop is closed.

    reset     steps after which corrections start from the plan again; None: they are kept
    repeats   times that a step measures and corrects, with new sensitivities each time
    damping   part of each correction that is applied
    frozen    sensitivities (dV_dp, dV_dq), (n, k), used instead of those of the present flow
    """

    reset: int | None = 3
    repeats: int = 1
    damping: float = 1.0
    frozen: tuple | None = None


def replay(feeder, plants, p_load, q_load, available, rule, energy, step_h, p_plan=None,
           q_plan=None, options=None, **source):  # fmt: skip
    """Replay of the day: Options() if None.

    p_load, q_load (..., n_t, n) consumption positive; available (..., n_t, k) output that PV and
    wind could give (storage: not read); energy (..., k) at the start; p_plan, q_plan (..., n_t, k):
    None plans all that is available, storage idle, and no reactive power. source: V_root, ratio,
    b_shunt of powerflow.solve, the same at all times.
    """
    options = Options() if options is None else options
    p_plan = np.where(plants.renewable, available, 0.0) if p_plan is None else p_plan
    q_plan = np.zeros_like(available) if q_plan is None else q_plan
    energy = np.broadcast_to(energy, available[..., 0, :].shape).astype(float)
    dp, dq, out = np.zeros_like(energy), np.zeros_like(energy), []
    for t in range(available.shape[-2]):
        if options.reset and t % options.reset == 0:
            dp, dq = np.zeros_like(energy), np.zeros_like(energy)
        now = (a[..., t, :] for a in (p_load, q_load, available, p_plan, q_plan))
        row = _step(feeder, plants, *now, dp, dq, energy, rule, step_h, options, source)
        dp, dq, energy = row["dp"], row["dq"], row["energy"]
        out.append(row)
    many = ("event", "moves", "loss")
    return Replay(**{
        key: np.stack([row[key] for row in out], axis=-1 if key in many else -2) for key in out[0]
    })  # fmt: skip


def _step(feeder, plants, p_load, q_load, available, p_plan, q_plan, dp, dq, energy, rule, step_h,
          options, source):  # fmt: skip
    state = available, energy, step_h
    p, q, room = plants.obey(p_plan + dp, q_plan + dq, *state)
    first = p, q

    def flow_at(p, q):
        return powerflow.solve(feeder, *moved(plants, -p_load, -q_load, p, q), **source)

    flow = before = flow_at(p, q)
    moves = np.zeros(p.shape[:-1], int)
    for _ in range(options.repeats):
        if not zones.event(flow.V, rule).any():
            break
        push = options.frozen or zones.columns(linflow.sensitivities(feeder, flow), plants.at)
        found = zones.correct(flow.V, p, q, room, plants.renewable, *push, rule, options.damping)
        p, q, room = plants.obey(p + found.dp, q + found.dq, *state)
        flow, moves = flow_at(p, q), moves + found.moves
    out = {"V_before": before.V, "V": flow.V, "p": p, "q": q, "dp": p - p_plan, "dq": q - q_plan}
    out |= {"new_p": p - first[0], "new_q": q - first[1], "energy": plants.after(p, energy, step_h)}
    return out | {"event": zones.event(before.V, rule), "moves": moves, "loss": flow.p_loss}
