"""Flexible loads: demand response, a block that may be moved, a load that may be cut.

Chapter 04 walks through them; records as in `devices`.
"""

from dataclasses import dataclass

import cvxpy as cp
import numpy as np

from .horizon import Part, at_times, labelled, named, not_negative, placed


@dataclass(frozen=True, eq=False)
class DemandResponse:
    """Load that moves in the day: -down <= change <= up, and the day's energy is kept.

    down_mw, up_mw  how far the load may fall below and rise above its forecast, number or (n_t,)
    q_over_p        reactive power that moves with it;  keep_energy False: it may also be shed
    cost_per_mwh    of energy taken away [money]
    The forecast itself stays in the feeder's load. Shared by all scenarios.
    """

    bus: object
    down_mw: object
    up_mw: object
    q_over_p: float = 0.0
    keep_energy: bool = True
    cost_per_mwh: float = 0.0
    name: str = ""

    def __post_init__(self):
        named(self, f"demand response {self.bus}")
        not_negative(self, "down_mw", "up_mw", "cost_per_mwh")

    def part(self, h):
        """Part of the model."""
        low, high = (h.per_time(self.name, k, getattr(self, k)) for k in ("down_mw", "up_mw"))
        size = float(max(low.max(), high.max())) or 1.0
        on = np.flatnonzero(low + high)
        u = h.shared(self.name, len(on))
        change = placed(size * u, on, h.n_t)
        limits = {
            "decrease": at_times(-u <= low[on] / size, on),
            "increase": at_times(u <= high[on] / size, on),
        }
        if self.keep_energy:
            limits["energy kept"] = cp.sum(u) == 0
        p = -h.repeat(change)
        cost = self.cost_per_mwh * h.integral(cp.neg(change)) if self.cost_per_mwh else 0.0
        at = ((self.bus, p, self.q_over_p * p if self.q_over_p else None),)
        return Part(at, labelled(self.name, limits), cost, {"change_mw": change})


@dataclass(frozen=True, eq=False)
class TransferableLoad:
    """A block of load that runs once, without a break, from a start that the plan chooses.

    block_mw   (d,) power of the block, interval by interval [MW]
    earliest, latest   intervals in which it may start; wrap: past midnight it goes on at 0 h
    usual      start without control;  payment_per_mwh for another start [money]
    Shared by all scenarios. Source: lowcarbon (20)-(22).
    """

    bus: object
    block_mw: object
    earliest: int = 0
    latest: int | None = None
    wrap: bool = False
    usual: int | None = None
    payment_per_mwh: float = 0.0
    q_over_p: float = 0.0
    name: str = ""

    def __post_init__(self):
        named(self, f"transferable load {self.bus}")
        if np.ndim(self.block_mw) != 1 or len(self.block_mw) == 0:
            raise ValueError(f"block_mw of {self.name} must be (d,) values, one an interval")
        not_negative(self, "block_mw")
        if self.payment_per_mwh and self.usual is None:
            raise ValueError(f"{self.name} has a payment_per_mwh; it needs its usual start too")

    def starts(self, n_t):
        """Intervals in which the block may start, of n_t."""
        last = n_t - (1 if self.wrap else len(self.block_mw))
        latest = last if self.latest is None else self.latest
        if not 0 <= self.earliest <= latest <= last:
            raise ValueError(
                f"{self.name} may start in {self.earliest} to {latest}; in {n_t} intervals a block "
                f"of {len(self.block_mw)} can start in 0 to {last}"
            )
        return np.arange(self.earliest, latest + 1)

    def profile(self, n_t, start):
        """(n_t,) load [MW] of the block begun at `start`."""
        load = np.zeros(n_t)
        load[(start + np.arange(len(self.block_mw))) % n_t] = self.block_mw
        return load

    def part(self, h):
        """Part of the model."""
        starts = self.starts(h.n_t)
        begin = h.binary((len(starts),), f"{self.name} start")
        load = np.array([self.profile(h.n_t, s) for s in starts]).T @ begin
        p = -h.repeat(load)
        energy = h.step_h * float(np.sum(self.block_mw))
        cost = self.payment_per_mwh * energy * ((starts != self.usual).astype(float) @ begin)
        at = ((self.bus, p, self.q_over_p * p if self.q_over_p else None),)
        shown = {"load_mw": load, "start": starts.astype(float) @ begin}
        return Part(at, [cp.sum(begin) == 1], cost, shown)


@dataclass(frozen=True, eq=False)
class ReducibleLoad:
    """A load of which a share may be cut for some hours: p = -load (1 - share beta), beta binary.

    load_mw (n_t,) its forecast [MW], which is NOT in the feeder's load;  share in 0 .. 1
    first, last   intervals in which it may be cut (None: all)
    most          largest number of intervals cut;  times: of separate cuts
    shortest, longest   duration of a cut, in intervals
    payment_per_mwh     for what is cut [money]
    Shared by all scenarios. Source: lowcarbon (23)-(26).
    """

    bus: object
    load_mw: object
    share: float
    first: int = 0
    last: int | None = None
    most: int | None = None
    times: int | None = None
    shortest: int = 1
    longest: int | None = None
    payment_per_mwh: float = 0.0
    q_over_p: float = 0.0
    name: str = ""

    def __post_init__(self):
        named(self, f"reducible load {self.bus}")
        not_negative(self, "load_mw")
        if not 0 <= self.share <= 1:
            raise ValueError(f"share of {self.name} is {self.share}, not in 0 to 1")
        if self.shortest < 1 or (self.longest is not None and self.longest < self.shortest):
            raise ValueError(f"{self.name} needs 1 <= shortest <= longest")

    def part(self, h):
        """Part of the model. begin_t >= cut_t - cut_(t-1) may be continuous: cut is binary."""
        forecast = h.per_time(self.name, "load_mw", self.load_mw)
        time = np.arange(h.n_t)
        last = h.n_t - 1 if self.last is None else self.last
        allowed = np.flatnonzero((time >= self.first) & (time <= last))
        room = np.flatnonzero((time >= self.first) & (time + self.shortest - 1 <= last))
        if len(room) == 0:
            raise ValueError(f"{self.name}: no cut of {self.shortest} intervals fits in its hours")
        cut = placed(h.binary((len(allowed),), f"{self.name} cut"), allowed, h.n_t)
        begin = placed(cp.Variable(len(room), nonneg=True, name=f"{self.name} begin"), room, h.n_t)
        recent = (time[:, None] >= time) & (time[:, None] < time + self.shortest)
        inside = allowed[allowed > 0]
        out = [(recent.astype(float) @ begin)[allowed] <= cut[allowed]]
        out.append(begin[inside] >= cut[inside] - cut[inside - 1])
        if 0 in allowed:
            out.append(begin[0] >= cut[0])
        limits = {}
        if self.longest is not None and self.longest < h.n_t:
            window = h.windows((self.longest + 1) * h.step_h)
            limits["longest cut"] = at_times(window @ cut <= self.longest, window.argmax(axis=1))
        if self.most is not None:
            limits["number of cut intervals"] = cp.sum(cut) <= self.most
        if self.times is not None:
            limits["number of cuts"] = cp.sum(begin) <= self.times
        less = cp.multiply(self.share * forecast, cut)
        load = forecast - less
        p = -h.repeat(load)
        cost = self.payment_per_mwh * h.integral(less)
        at = ((self.bus, p, self.q_over_p * p if self.q_over_p else None),)
        return Part(at, out + labelled(self.name, limits), cost, {"load_mw": load, "cut_mw": less})
