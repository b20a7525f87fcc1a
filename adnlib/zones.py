"""Event-triggered voltage zones: the real-time rule of the mpc paper, on any feeder.

Chapter 14 walks through it. Each stage of the rule owns one resource (reactive or active power,
of renewables or of storage) and a band of voltage; beyond the band lies its zone. Stage by stage
the bus that is farthest outside is brought back to the band, by the plants of the stage in
descending order of their sensitivity; what a full plant cannot do goes to the next plant, what a
full stage cannot do to the next stage. Source: Processes 12(10), 2024, 2254, section 3.4,
10.3390/pr12102254; that several buses are treated one after the other on predicted voltages is
ours (see the chapter for what happens if they are not).
"""

from dataclasses import dataclass

import numpy as np

from .capability import Room

QUANTITIES, SOURCES = ("q", "p"), ("renewable", "storage")
SETTLED = 1e-9  # [p.u.] a bus this near to its band is inside


@dataclass(frozen=True)
class Stage:
    """One zone's strategy: `quantity` (q or p) of `source` keeps V in [V_low, V_high] [p.u.]."""

    quantity: str
    source: str
    V_low: float
    V_high: float

    def __post_init__(self):
        if self.quantity not in QUANTITIES or self.source not in SOURCES:
            raise ValueError(
                f"a stage moves q or p of renewable or storage, not {self.quantity!r} of "
                f"{self.source!r}"
            )
        if not 0 < self.V_low < self.V_high:
            raise ValueError(f"V_low = {self.V_low:g} is not below V_high = {self.V_high:g}")


def stages(optimal, limits=None):
    """The paper's order: reactive before active power, renewables before storage.

    optimal (V_low, V_high): where reactive power keeps the voltages; limits (V_min, V_max): where
    active power steps in (None: also at the optimal interval).
    """
    limits = optimal if limits is None else limits
    bands = {"q": optimal, "p": limits}
    return tuple(Stage(quantity, source, *bands[quantity])
                 for quantity in QUANTITIES for source in SOURCES)  # fmt: skip


def amount(V, stage):
    """Voltage to be regulated, (V_low - V)+ - (V - V_high)+, positive to raise. Shape of V [p.u.].

    >>> amount(np.array([0.95, 1.0, 1.05]), Stage("q", "renewable", 0.97, 1.03)).round(3)
    array([ 0.02,  0.  , -0.02])
    """
    V = np.asarray(V)
    return np.maximum(stage.V_low - V, 0) - np.maximum(V - stage.V_high, 0)


def event(V, rule):
    """(...) bool: some bus lies outside the first stage's band. V (..., n)."""
    return (np.abs(amount(V, rule[0])) > SETTLED).any(axis=-1)


def fill(need, sensitivity, x, low, high):
    """dx (..., k): in descending sensitivity, dx = clip(rest / sensitivity, limits).

    need (...) change of voltage [p.u.], sensitivity (..., k) dV/dx of that bus, x, low, high
    (..., k). The voltage that the plants before leave over is need minus a running sum, so that no
    loop over plants is needed. A plant outside its limits is not moved further out.

    >>> fill(0.03, np.array([0.1, 0.2]), np.zeros(2), -np.ones(2) / 10, np.ones(2) / 10).round(3)
    array([0.1, 0.1])
    """
    need, size = np.asarray(need)[..., None], np.abs(sensitivity)
    towards = np.sign(need) * np.sign(sensitivity)
    can = size * np.maximum(np.where(towards > 0, high - x, x - low), 0)
    shape = can.shape
    can, line = can.reshape(-1, shape[-1]), np.arange(can.size // shape[-1])[:, None]
    order = np.argsort(-np.broadcast_to(size, shape).reshape(can.shape), axis=1, kind="stable")
    can = can[line, order]
    before = can.cumsum(axis=1) - can
    most = np.broadcast_to(np.abs(need), shape).reshape(can.shape)
    used = np.empty_like(can)
    used[line, order] = np.minimum(np.maximum(most - before, 0), can)
    return towards * used.reshape(shape) / np.where(size > 0, size, 1)


@dataclass(frozen=True, eq=False)
class Correction:
    """What the rule asks of the plants.

    dp, dq (..., k)   changes of the set-points [p.u.]
    V (..., n)        voltages predicted by the sensitivities after them [p.u.]
    event (...)       bool, whether there was anything to do
    moves (...)       buses treated, summed over the stages
    """

    dp: np.ndarray
    dq: np.ndarray
    V: np.ndarray
    event: np.ndarray
    moves: np.ndarray


def correct(V, p, q, room, renewable, dV_dp, dV_dq, rule, damping=1.0, passes=10):
    """Correction of the set-points, a pure function of what is measured.

    V (..., n)       measured voltages [p.u.]      p, q (..., k)  present set-points [p.u.]
    room             capability.Room at them: what they may become
    renewable (k,)   bool, PV or wind; storage otherwise
    dV_dp, dV_dq     (..., n, k) change of the voltages per plant: linflow.sensitivities of the
                     present flow, its columns at the plants (`columns` picks them)
    rule             Stages in their order (`stages`)
    damping          part of the result that is applied, in (0, 1]
    passes           most buses that a stage treats
    Events, scenarios or times are leading axes; all are treated at once.
    """
    if not 0 < damping <= 1:
        raise ValueError(f"damping is {damping}; it is the part applied, in (0, 1]")
    V, batch = np.asarray(V, float), np.shape(V)[:-1]
    start = {"p": _flat(p, batch), "q": _flat(q, batch)}
    push = {"p": _flat(dV_dp, batch, 2), "q": _flat(dV_dq, batch, 2)}
    room = Room(**{name: _flat(a, batch) for name, a in vars(room).items()})
    now, ahead = {key: x.copy() for key, x in start.items()}, _flat(V, batch).copy()
    moves = np.zeros(len(ahead), int)
    for stage in rule:
        limits = _limits(stage, room, renewable, now)
        _treat(stage, ahead, now[stage.quantity], push[stage.quantity], limits, moves, passes)
    dp, dq = (damping * (now[key] - start[key]).reshape(*batch, -1) for key in ("p", "q"))
    ahead = V + damping * (ahead.reshape(V.shape) - V)
    return Correction(dp, dq, ahead, event(V, rule), moves.reshape(batch)[()])


def _treat(stage, ahead, x, push, limits, moves, passes):
    """One stage on (m, n) voltages: `ahead`, set-points x (m, k) and moves (m,) are changed."""
    low, high = limits
    case, stuck = np.arange(len(ahead)), np.zeros(ahead.shape, bool)
    for _ in range(passes):
        wrong = amount(ahead, stage)
        wrong[stuck | (np.abs(wrong) <= SETTLED)] = 0
        bus = np.abs(wrong).argmax(axis=1)
        need = wrong[case, bus]
        if not need.any():
            return
        dx = fill(need, push[case, bus], x, low, high)
        moved = dx.any(axis=1)
        stuck[case, bus] = ~moved
        spare = np.where(need[:, None] > 0, high - x, x - low).max(axis=1) > 0
        stuck |= ~(moved | spare)[:, None] & (np.sign(wrong) == np.sign(need)[:, None])
        x += dx
        ahead += (push @ dx[..., None])[..., 0]
        moves += moved


def columns(sensitivities, at):
    """(dV_dp, dV_dq) of linflow.sensitivities, (..., n, n), at the plants: (..., n, k) each."""
    return tuple(a[..., at] for a in sensitivities)


def _flat(a, batch, last=1):
    """(m, ...) of (..., *last axes), what the batch shares repeated."""
    own = np.shape(a)[-last:]
    return np.broadcast_to(np.asarray(a, float), batch + own).reshape(-1, *own)


def _limits(stage, room, renewable, now):
    """(low, high) of the stage's quantity: closed for plants of the other source.

    Active power also keeps |p + j q| <= s with the reactive power as the stages before left it.
    """
    mine = np.asarray(renewable) == (stage.source == "renewable")
    x = now[stage.quantity]
    low, high = getattr(room, f"{stage.quantity}_min"), getattr(room, f"{stage.quantity}_max")
    if stage.quantity == "p":
        left = np.sqrt(np.maximum(room.s**2 - now["q"] ** 2, 0))
        low, high = np.maximum(low, -left), np.minimum(high, left)
    return np.where(mine, low, x), np.where(mine, high, x)
