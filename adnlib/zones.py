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
    need, towards = np.asarray(need)[..., None], np.sign(need)[..., None] * np.sign(sensitivity)
    room = np.where(towards > 0, high - x, np.where(towards < 0, x - low, 0.0))
    can = np.abs(sensitivity) * np.maximum(room, 0)
    order = np.argsort(-np.abs(sensitivity), axis=-1, kind="stable")
    can = np.take_along_axis(np.broadcast_to(can, order.shape), order, axis=-1)
    used = np.clip(np.abs(need) - (np.cumsum(can, axis=-1) - can), 0, can)
    back = np.empty_like(used)
    np.put_along_axis(back, order, used, axis=-1)
    size = np.abs(sensitivity)
    return towards * np.divide(back, size, out=np.zeros_like(back), where=size > 0)


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
    V = np.asarray(V, float)
    now = {"p": np.array(p, float), "q": np.array(q, float)}
    push = {"p": dV_dp, "q": dV_dq}
    ahead, moves = V.copy(), np.zeros(V.shape[:-1], int)
    for stage in rule:
        low, high = _limits(stage, room, renewable, now)
        stuck = np.zeros(V.shape, bool)
        for _ in range(passes):
            wrong = np.where(stuck, 0.0, amount(ahead, stage))
            if not (np.abs(wrong) > SETTLED).any():
                break
            bus, need = _worst(wrong)
            row = np.take_along_axis(push[stage.quantity], bus[..., None, None], axis=-2)
            dx = fill(need, row[..., 0, :], now[stage.quantity], low, high)
            change = (push[stage.quantity] @ dx[..., None])[..., 0]
            moved = np.abs(dx).max(axis=-1) > 0
            np.put_along_axis(stuck, bus[..., None], ~moved[..., None], axis=-1)
            now[stage.quantity] += dx
            ahead += change
            moves += moved
    dp, dq = damping * (now["p"] - p), damping * (now["q"] - q)
    return Correction(dp, dq, V + damping * (ahead - V), event(V, rule), moves)


def columns(sensitivities, at):
    """(dV_dp, dV_dq) of linflow.sensitivities, (..., n, n), at the plants: (..., n, k) each."""
    return tuple(a[..., at] for a in sensitivities)


def _worst(wrong):
    """(bus, need): position of the largest amount in each case, and the amount."""
    bus = np.argmax(np.abs(wrong), axis=-1)
    need = np.take_along_axis(wrong, bus[..., None], axis=-1)[..., 0]
    return bus, np.where(np.abs(need) > SETTLED, need, 0.0)


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
