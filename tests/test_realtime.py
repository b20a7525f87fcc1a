"""The closed loop, the least correction, and the layer below a receding horizon."""

from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from adnlib import (
    devices,
    fastlayer,
    leastmove,
    linflow,
    powerflow,
    profiles,
    read_feeder,
    realtime,
    zones,
)
from adnlib.capability import Plants, Room, circle
from adnlib.realtime import Options

OPTIMAL, LIMITS = (0.97, 1.03), (0.95, 1.05)
RULE = zones.stages(OPTIMAL, LIMITS)
STEP = 1 / 12


@dataclass
class Case:
    """Half an afternoon of ieee33 with much PV."""

    feeder: object
    plants: Plants
    p_load: np.ndarray
    q_load: np.ndarray
    available: np.ndarray
    energy: np.ndarray

    def replay(self, rule=RULE, **options):
        return realtime.replay(self.feeder, self.plants, self.p_load, self.q_load, self.available,
                               rule, self.energy, STEP, options=Options(**options))  # fmt: skip


@pytest.fixture(scope="module")
def case():
    f = read_feeder("ieee33")
    bus, kind = [13, 18, 25, 33, 16, 30], np.array(["pv"] * 3 + ["wind"] + ["storage"] * 2)
    rated = np.array([2.0, 1.6, 1.8, 0.5, 0.5, 0.5])
    energy = np.where(kind == "storage", 1.0, 0)
    plants = Plants([f.index(b) for b in bus], kind, np.where(kind == "pv", 0.8, 1) * rated, rated,
                    0.1 * energy, 0.9 * energy)  # fmt: skip
    day = profiles.rts_day("2020-08-12", region=2, wind=["wind_122"], pv=["pv_215"])
    few = slice(120, 150)
    p_load, q_load = profiles.loads(f, day.load[few])
    out = np.minimum(rated * day.pv[few], plants.s) * (kind == "pv")
    out[:, 3] = rated[3] * day.wind[few, 0]
    return Case(f, plants, p_load, q_load, out, 0.5 * energy)


def outside(V, band):
    return np.maximum(np.maximum(band[0] - V, V - band[1]), 0).max(axis=-1)


# --- closed loop --------------------------------------------------------------------------------


def test_before_is_the_exact_flow_of_the_plan_and_after_that_of_the_set_points(case):
    found = case.replay(reset=1)
    p, q = leastmove.moved(case.plants, -case.p_load, -case.q_load, case.available, 0 * found.q)
    assert found.V_before == pytest.approx(powerflow.solve(case.feeder, p, q).V)
    p, q = leastmove.moved(case.plants, -case.p_load, -case.q_load, found.p, found.q)
    assert pytest.approx(powerflow.solve(case.feeder, p, q).V) == found.V
    assert found.event.sum() > 10 and (found.event == zones.event(found.V_before, RULE)).all()


def test_limits_hold_in_every_step(case):
    found = case.replay(rule=zones.stages((0.99, 1.01)), reset=None)
    plants, ren = case.plants, case.plants.renewable
    low, high = plants.reactive(found.p)
    assert (found.q >= low - 1e-9).all() and (found.q <= high + 1e-9).all()
    assert (found.p[:, ren] >= 0).all() and (found.p <= case.available + 1e-12)[:, ren].all()
    assert (found.energy[:, ~ren] >= plants.e_min[~ren] - 1e-12).all()
    assert (found.energy[:, ~ren] <= plants.e_max[~ren] + 1e-12).all()
    steps = np.diff(np.vstack([case.energy, found.energy]), axis=0)[:, ~ren]
    p = found.p[:, ~ren]
    assert steps == pytest.approx(STEP * (0.95 * np.maximum(-p, 0) - np.maximum(p, 0) / 0.95))


def test_repeats_end_inside_and_one_round_nearly(case):
    once, often = case.replay(reset=1), case.replay(reset=1, repeats=4)
    assert outside(often.V, OPTIMAL).max() < 1e-6
    assert 1e-5 < outside(once.V, OPTIMAL).max() < 0.005
    assert outside(once.V, LIMITS).max() < 1e-6 < outside(once.V_before, LIMITS).max()


def test_kept_corrections_leave_fewer_events_than_reset_ones(case):
    events = [case.replay(reset=k).event.sum() for k in (1, 3, None)]
    assert events[0] > events[1] > events[2] > 0


def test_scenarios_are_independent(case):
    two = [np.stack([a, 0.8 * a]) for a in (case.p_load, case.q_load, case.available)]
    both = realtime.replay(case.feeder, case.plants, *two, RULE, case.energy, STEP)
    for i in range(2):
        one = realtime.replay(
            case.feeder, case.plants, *(a[i] for a in two), RULE, case.energy, STEP
        )
        for name in vars(one):
            assert getattr(both, name)[i] == pytest.approx(getattr(one, name), abs=1e-9), name


def test_frozen_sensitivities_are_the_ones_used(case):
    at = zones.columns(linflow.sensitivities(case.feeder, powerflow.solve(case.feeder, 0, 0)),
                       case.plants.at)  # fmt: skip
    blind = case.replay(reset=1, frozen=tuple(0 * a for a in at))
    assert (blind.V_before == blind.V).all() and blind.moves.sum() == 0
    assert case.replay(reset=1, frozen=at).moves.sum() > 0


# --- least correction ---------------------------------------------------------------------------


def one_bus(q_max, p_max, s=np.inf, V=1.10, S=0.1):
    room = Room(-np.array([q_max]), np.array([q_max]), np.array([0.0]), np.array([p_max]),
                np.array([s]))  # fmt: skip
    plants = SimpleNamespace(renewable=np.array([True]))
    S = np.array([[S]])
    return leastmove.correct(np.array([V]), np.array([p_max]), np.zeros(1), room, plants, S, S,
                             OPTIMAL, LIMITS)  # fmt: skip


def test_least_correction_by_hand():
    found = one_bus(q_max=0.2, p_max=1.0)  # 0.02 by q, then 0.03 by p to the limit
    assert found.dq == pytest.approx([-0.2], abs=1e-5) and found.dp == pytest.approx(
        [-0.3], abs=1e-5
    )
    assert found.levels == pytest.approx([0, 0, 0.3, 0.02, 0, 0.2], abs=1e-5)
    found = one_bus(q_max=1.0, p_max=1.0)
    assert found.dq == pytest.approx([-0.7], abs=1e-5) and found.dp == pytest.approx([0], abs=1e-5)
    found = one_bus(q_max=0.1, p_max=0.1, V=1.2)
    assert found.levels[0] == pytest.approx(0.13, abs=1e-5) and pytest.approx([1.18]) == found.V


def test_polygon_holds_the_circle():
    rows, most = leastmove._polygon(np.array([0.3]), np.array([-0.2]), np.array([0.5]))
    angle = np.linspace(0, 2 * np.pi, 99)
    dp, dq = 0.5 * np.cos(angle) - 0.3, 0.5 * np.sin(angle) + 0.2
    x = np.stack([np.maximum(dp, 0), np.maximum(-dp, 0), np.maximum(dq, 0), np.maximum(-dq, 0)])
    assert (rows @ x <= most[:, None] + 1e-12).all()
    assert not (rows @ (1.01 * x + 0.02 * np.sign(x)) <= most[:, None]).all()
    assert pytest.approx(1.0048, abs=1e-4) == leastmove.OUTSIDE


def events(case, every=6):
    found = case.replay(reset=1)
    for t in np.flatnonzero(found.event)[::every]:
        state = case.available[t], found.energy[t - 1], STEP
        p, q, room = case.plants.obey(case.available[t], np.zeros(6), *state)
        p_bus, q_bus = leastmove.moved(case.plants, -case.p_load[t], -case.q_load[t], p, q)
        yield p, q, room, p_bus, q_bus


def test_no_rule_needs_less_than_the_least(case):
    for p, q, room, p_bus, q_bus in events(case):
        flow = powerflow.solve(case.feeder, p_bus, q_bus)
        push = zones.columns(linflow.sensitivities(case.feeder, flow), case.plants.at)
        least = leastmove.correct(flow.V, p, q, room, case.plants, *push, OPTIMAL, LIMITS)
        rule = zones.correct(flow.V, p, q, room, case.plants.renewable, *push, RULE)
        far, near = (np.sum([np.maximum(np.maximum(b[0] - rule.V, rule.V - b[1]), 0)])
                     for b in (LIMITS, OPTIMAL))  # fmt: skip
        used = leastmove.used(rule.dp, rule.dq, case.plants)
        theirs = np.r_[far, used[:2], near, used[2:]]
        first = np.flatnonzero(np.abs(theirs - least.levels) > 1e-6)
        assert not len(first) or theirs[first[0]] > least.levels[first[0]]


def test_exact_least_correction_meets_the_exact_flow(case):
    for p, q, room, p_bus, q_bus in events(case, every=12):
        found, flow, rounds = leastmove.exact(case.feeder, case.plants, p_bus, q_bus, p, q, room,
                                              OPTIMAL, LIMITS)  # fmt: skip
        assert 2 <= rounds < 10 and np.abs(flow.V - found.V).max() <= 1e-6
        assert outside(flow.V, OPTIMAL) < 2e-6
        s = np.hypot(p + found.dp, q + found.dq)
        assert (s <= leastmove.OUTSIDE * case.plants.s + 1e-9)[case.plants.kind != "wind"].all()


# --- below a receding horizon -------------------------------------------------------------------


def as_fleet(case):
    """The same plants in the form of a receding horizon: plants, batteries, slices of u, limits."""
    ren = case.plants.renewable
    n_g, n_e = int(ren.sum()), int((~ren).sum())
    ends = np.cumsum([0, n_g, n_g, n_e, n_e])
    ess = {
        "s_mva": case.plants.s[~ren], "no_q": np.zeros(n_e), "eta_in": 0.95, "eta_out": 0.95,
        "E_min": case.plants.e_min[~ren], "E_max": case.plants.e_max[~ren],
        "charge_mw": case.plants.p_max[~ren], "discharge_mw": case.plants.p_max[~ren],
    }  # fmt: skip
    plants = [SimpleNamespace(name=str(j), s_mva=s) for j, s in enumerate(case.plants.s[ren])]

    def q_limits(p):
        low, high = case.plants.reactive(np.r_[p, np.zeros(n_e)])
        return low[:n_g], high[:n_g]

    at = case.plants.at
    return SimpleNamespace(
        feeder=case.feeder, plants=plants, batteries=[None] * n_e, ess=ess, q_limits=q_limits,
        parts=[slice(a, b) for a, b in pairwise(ends)], capability={"3": None},
        at=np.r_[at[ren], at[ren], at[~ren], at[~ren]],
    )  # fmt: skip


def seen(case, t):
    zero = np.zeros(6)
    p, q, _ = case.plants.obey(case.available[t], zero, case.available[t], case.energy, STEP)
    bus = leastmove.moved(case.plants, -case.p_load[t], -case.q_load[t], p, q)
    return SimpleNamespace(
        u=np.r_[p[:4], q[:4], p[4:], q[4:]], available_mw=case.available[t, :4],
        energy_before=case.energy[4:], flow=powerflow.solve(case.feeder, *bus),
    )  # fmt: skip


def test_fast_layer_returns_the_correction_of_the_replay(case):
    found = case.replay(reset=1)
    respond = fastlayer.fast(as_fleet(case), RULE)
    change = respond(seen(case, 0))
    assert found.event[0]
    assert np.r_[change.p_gen_mw, change.p_ess_mw] == pytest.approx(found.new_p[0], abs=1e-9)
    assert np.r_[change.q_gen_mvar, change.q_ess_mvar] == pytest.approx(found.new_q[0], abs=1e-9)
    assert fastlayer.fast(as_fleet(case), zones.stages((0.5, 1.5)))(seen(case, 0)) is None


def test_fast_layer_knows_batteries_without_reactive_power(case):
    fleet = as_fleet(case)
    fleet.ess["no_q"] = np.ones(2)
    _, _, room = fastlayer.limits(fleet, seen(case, 0))
    assert (room.q_max[4:] == 0).all() and (room.q_min[:3] == -circle(
        case.plants.s[:3], seen(case, 0).u[:3])[1]).all()  # fmt: skip
    assert room.s.tolist() == [*case.plants.s[:3], np.inf, 0.5, 0.5]


def test_it_runs_below_the_receding_horizon_of_mpc(case):
    mpc = pytest.importorskip("adnlib.mpc")
    ren, s = case.plants.renewable, case.plants.s
    plants = [devices.Renewable(bus, float(p), s_mva=float(q)) for bus, p, q in zip(
        (13, 18, 25, 33), case.plants.p_max[ren], s[ren])]  # fmt: skip
    batteries = [devices.Storage(bus, 1.0, 0.5, 0.5, s_mva=0.5) for bus in (16, 30)]
    fleet = mpc.Fleet(case.feeder, tuple(plants), tuple(batteries))
    plant = mpc.Plant(fleet, case.p_load, case.q_load, case.available[:, ren])
    alone, below = (
        mpc.receding_horizon(plant, mpc.idle(fleet), None, fast=fast)
        for fast in (None, fastlayer.fast(fleet, RULE))
    )
    assert outside(below.V, LIMITS).max() < 1e-6 < outside(alone.V, LIMITS).max()
    assert outside(below.V, OPTIMAL).sum() < 0.05 * outside(alone.V, OPTIMAL).sum()
