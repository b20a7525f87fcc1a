"""Receding horizon against what it must equal: hand calculations, CVXPY, the exact flow, itself."""

import itertools
import tracemalloc
from dataclasses import replace

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from adnlib import (
    branchflow,
    forecast,
    layers,
    linflow,
    mpc,
    powerflow,
    read_feeder,
    rolling,
    solve,
)
from adnlib.devices import Renewable, Storage
from adnlib.feeder import Feeder
from adnlib.kept import Kept, KeptError, Slot

N_K = 12  # rolls of a short day


@pytest.fixture(scope="module")
def chain():
    """Root 1 - 2 - 3 - 4, PV at 4, wind at 3, a battery at 3."""
    bus = pd.DataFrame(
        {
            "bus": [1, 2, 3, 4],
            "p_mw": [0, 0.4, 0.5, 0.3],
            "q_mvar": [0, 0.2, 0.2, 0.1],
            "v_kv": 10.0,
        }
    )
    line = pd.DataFrame(
        {"from_bus": [1, 2, 3], "to_bus": [2, 3, 4], "r_ohm": [2.0, 3.0, 2.0],
         "x_ohm": [2.0, 2.0, 1.0]}
    )  # fmt: skip
    feeder = Feeder.from_tables(bus, line)
    plants = (Renewable(4, 0.8, s_mva=0.9, name="pv"), Renewable(3, 0.5, s_mva=0.5, name="wind"))
    battery = Storage(3, 0.5, 0.2, 0.25, 0.9, 0.8, s_mva=0.3, soc_start=0.5, name="ess")
    return mpc.Fleet(feeder, plants, (battery,))


def day(fleet, n_k=N_K, seed=0, error=0.2):
    """(plant, forecast, plan): a seeded day with plants that come otherwise than foreseen."""
    rng = np.random.default_rng(seed)
    load = 0.7 + 0.3 * np.sin(np.arange(n_k) / 2)
    ahead = np.clip(0.5 + 0.5 * np.sin(np.arange(n_k)[:, None] / 3 + np.arange(2)), 0, 1)
    actual = np.clip(ahead + error * rng.standard_normal(ahead.shape), 0, 1)
    f = fleet.feeder
    one = np.ones((n_k, 1))
    outlook = forecast.Outlooks(
        f, load, forecast.Updated(one, one, np.array([0.9]), np.zeros(1), high=2.0),
        forecast.Updated(ahead, actual, np.array([0.8, 0.9]), np.zeros(2)), fleet.rated_mw,
    )  # fmt: skip
    fine = lambda a: np.repeat(a, 3, axis=0)  # noqa: E731
    plant = mpc.Plant(
        fleet, fine(np.outer(load, f.p_load)), fine(np.outer(load, f.q_load)),
        np.clip(fine(actual) + 0.05 * rng.standard_normal((3 * n_k, 2)), 0, 1) * fleet.rated_mw,
    )  # fmt: skip
    u = np.zeros((n_k, fleet.n_u))
    u[:, fleet.parts[0]] = ahead * fleet.rated_mw
    u[:, fleet.parts[2]] = 0.1 * np.sin(np.arange(n_k))[:, None]
    energy = fleet.ess["E_start"] + np.cumsum(
        0.25 * mpc.stored(fleet, u[:, fleet.parts[2]]), axis=0
    )
    return plant, outlook, rolling.Plan(u, energy)


def run(fleet, window=None, seed=0, **options):
    plant, outlook, plan = day(fleet, seed=seed)
    controller = rolling.Window(fleet, plan, **{"n_h": 4} | (window or {}))
    return mpc.receding_horizon(plant, controller, outlook, **options), plan


# --- forecasts


def test_an_ar1_series_gives_its_own_phi_back():
    e = forecast.ar1(200_000, 0.05, 0.9, np.random.default_rng(0))
    assert forecast.persistence(e[:, None])[0] == pytest.approx(0.9, abs=0.005)
    assert e.std() == pytest.approx(0.05, rel=0.02)


def test_intervals_that_are_left_out_do_not_count():
    error = np.array([[1.0], [0.5], [9.0], [0.25], [0.125]])
    without = np.array([False, False, True, False, False])
    assert forecast.persistence(error, without)[0] == pytest.approx(0.5)


def test_a_forecast_uses_nothing_that_comes_later():
    rng = np.random.default_rng(1)
    ahead, actual = rng.uniform(0, 1, (2, 20, 3))
    args = (np.array([0.5, 0.9, 0.99]), np.full(3, 0.1))
    changed = actual.copy()
    changed[7:] = 0
    for k in range(8):
        a, b = (forecast.Updated(ahead, x, *args)(k, 8) for x in (actual, changed))
        assert (a == b).all()
    assert (forecast.Updated(ahead, actual, *args)(9, 8) != b).any()


def test_the_first_forecast_starts_from_the_error_of_the_day_before():
    found = forecast.Updated(
        np.full((4, 1), 0.5), np.full((4, 1), 0.5), np.array([0.5]), np.array([0.2])
    )
    assert found(0, 3)[:, 0] == pytest.approx([0.6, 0.55, 0.525])
    assert found(1, 2)[:, 0] == pytest.approx([0.5, 0.5])


def test_a_forecast_without_error_is_what_comes_and_nights_stay_dark():
    ahead = np.array([[0.0], [0.5], [0.5]])
    actual = np.array([[0.1], [0.2], [0.3]])
    perfect = forecast.Updated(ahead, actual, np.array([0.9]), np.array([0.3]), scale=0.0)
    assert perfect(0, 5)[:, 0] == pytest.approx([0.1, 0.2, 0.3, 0.3, 0.3])
    pv = forecast.Updated(ahead, actual, np.array([0.9]), np.array([0.3]), dark=np.array([True]))
    assert pv(0, 1)[0, 0] == 0 and pv(0, 2)[1, 0] > 0.5
    with pytest.raises(ValueError, match="there is no interval 3"):
        pv(3, 1)


def test_the_real_pair_has_errors_that_grow_with_the_lead():
    pair = forecast.rts_pair(("wind_122", "pv_215"))
    assert pair.ahead.shape == pair.actual.shape == (8784 * 4, 2) and pair.kinds == ("wind", "pv")
    phi = forecast.persistence(pair.error)
    rms = forecast.by_lead(pair, phi, [1, 2, 4, 8, 16])
    assert (np.diff(rms, axis=0) > 0).all()
    assert (rms < np.sqrt((pair.error**2).mean(axis=0))).all()
    one, before = pair.day("2020-08-12")
    assert one.actual.shape == (96, 2) and one.fine.reshape(96, 3, 2).mean(1) == pytest.approx(
        one.actual
    )
    assert before == pytest.approx(pair.error[pair.time.get_loc("2020-08-12 00:00") - 1])
    with pytest.raises(ValueError, match="not a whole day"):
        pair.day("2021-01-01")
    with pytest.raises(ValueError, match="no wind or PV unit 'load_1'"):
        forecast.rts_pair(("load_1",))


def test_a_real_day_is_what_its_pieces_say():
    f = read_feeder("ieee33")
    pair = forecast.rts_pair(("wind_122", "pv_215"))
    fleet = mpc.Fleet(f, (Renewable(18, 1.0, name="w"), Renewable(22, 2.0, name="s")))
    load, e = np.linspace(0.5, 1, 288), forecast.ar1(288, 0.05, 0.9, np.random.default_rng(3))
    phi = np.array([0.9, 0.8])
    ahead, outlooks, plant = forecast.real_day(fleet, pair, "2020-05-20", phi, load, e, 0.7)
    day, before = pair.day("2020-05-20")
    assert ahead.available_mw == pytest.approx(day.ahead * [1, 2])
    assert plant.available_mw == pytest.approx(day.fine * [1, 2])
    assert plant.p_load.sum() == pytest.approx(f.p_load.sum() * (load * (1 + e)).sum())
    first = outlooks(0, 2)
    assert first.available_mw[:, 0] == pytest.approx(
        np.clip(day.ahead[:2, 0] + phi[0] ** np.array([1, 2]) * before[0], 0, 1)
    )
    later = outlooks(10, 1)
    known = load.reshape(-1, 3).mean(1)[10]
    wrong = (load * (1 + e)).reshape(-1, 3).mean(1)[9] / load.reshape(-1, 3).mean(1)[9] - 1
    assert later.p_load[0] == pytest.approx(known * (1 + 0.7 * wrong) * f.p_load)
    perfect = forecast.real_day(fleet, pair, "2020-05-20", phi, load, e, 0.7, scale=0.0)[1](0, 96)
    assert perfect.available_mw == pytest.approx(plant.available_mw.reshape(96, 3, 2).mean(1))
    assert perfect.p_load == pytest.approx(plant.p_load.reshape(96, 3, -1).mean(1))
    with pytest.raises(ValueError, match="1 plants, the pair 2"):
        forecast.real_day(replace(fleet, plants=fleet.plants[:1]), pair, "2020-05-20", *[None] * 4)


# --- kept problems


def test_a_kept_problem_follows_its_parameters():
    rng = np.random.default_rng(2)
    x, b, A = cp.Variable(4), cp.Parameter(3), cp.Parameter((3, 4))
    problem = cp.Problem(
        cp.Minimize(cp.sum_squares(A @ x - b) + cp.norm(x)), [cp.norm(x[:2]) <= 1, x[3] >= 0.1]
    )
    A.value, b.value = rng.normal(size=(3, 4)), rng.normal(size=3)
    kept = Kept(problem, [x])
    for k in range(6):
        A.value = rng.normal(size=(3, 4)) * (k != 3)  # zeros must not change the pattern
        b.value = 3 * rng.normal(size=3)
        value, (found,) = kept.solve()
        assert value == pytest.approx(solve.solve(problem), abs=1e-6)
        assert found == pytest.approx(x.value, abs=1e-4)
        assert np.linalg.norm(found[:2]) <= 1 + 1e-7


@pytest.mark.parametrize(
    ("problem", "what"),
    [
        (cp.Problem(cp.Maximize(cp.Variable())), "convex minimisation"),
        (cp.Problem(cp.Minimize(cp.Variable(boolean=True))), "no integer"),
        (cp.Problem(cp.Minimize(cp.exp(cp.Variable()))), "second-order cones only"),
    ],
)
def test_what_cannot_be_kept_is_refused(problem, what):
    with pytest.raises(KeptError, match=what):
        Kept(problem, [])


def test_slots_give_the_arrays_of_parameters():
    rng = np.random.default_rng(3)
    x, y, limit = cp.Variable((4, 2)), cp.Variable((4, 3)), cp.Parameter(nonneg=True)

    def stated(S, base):
        rows = [base + (x[:, :1] - x[:, 1:]) @ S.T == y, x >= -1, x <= 1]
        cones = [cp.SOC(np.full(4, 9.0), y, axis=1), cp.norm(x, "fro") <= limit]
        return cp.Problem(cp.Minimize(cp.sum_squares(y - 1)), rows + cones)

    by_parameter = [cp.Parameter((3, 1)), cp.Parameter((4, 3))]
    by_slot = [Slot((3, 1)), Slot((4, 3))]
    one = stated(*by_parameter)
    limit.value = 1.0
    for p in by_parameter:
        p.value = np.zeros(p.shape)
    known, kept = Kept(one, [x]), Kept(stated(*(s.marks for s in by_slot)), [x], slots=by_slot)
    for k in range(4):
        limit.value = 1.0 + k
        for parameter, slot in zip(by_parameter, by_slot):
            parameter.value = slot.value = rng.normal(size=slot.marks.shape) * (k != 1)
        expected, found = known._now(), kept._now()
        for a, b in zip(expected, found):
            dense = [m.toarray() if hasattr(m, "toarray") else m for m in (a, b)]
            assert np.array_equal(*dense)
        assert kept.solve()[0] == pytest.approx(solve.solve(one), abs=1e-6)


@pytest.mark.parametrize("use", [lambda s, x: 2 * s @ x <= 1, lambda s, x: cp.sum(s @ x) <= 1])
def test_a_number_that_is_not_found_again_is_refused(use):
    x, slot = cp.Variable(2), Slot((3, 2))
    with pytest.raises(KeptError, match="6 of 6 numbers of the slots"):
        Kept(cp.Problem(cp.Minimize(cp.sum_squares(x)), [use(slot.marks, x)]), [x], slots=[slot])


@pytest.mark.parametrize("value", [None, np.ones(3)])
def test_a_slot_without_its_numbers_is_refused(value):
    x, slot = cp.Variable(2), Slot((3, 2))
    kept = Kept(
        cp.Problem(cp.Minimize(cp.sum_squares(x)), [slot.marks @ x <= 1]), [x], slots=[slot]
    )
    slot.value = value
    with pytest.raises(KeptError, match=r"slot of shape \(3, 2\) has a value of shape"):
        kept.solve()


def test_windows_of_hundreds_of_buses_need_little_memory():
    """As CVXPY's parameters beside a cone the two blocks take 876 MiB here."""
    x, y, slot = cp.Variable((16, 6)), cp.Variable((16, 400)), Slot((400, 6))
    base, cone = Slot((16, 400)), cp.SOC(np.ones(16), x, axis=1)
    problem = cp.Problem(cp.Minimize(cp.sum_squares(y)), [base.marks + x @ slot.marks.T == y, cone])
    tracemalloc.start()
    kept = Kept(problem, [x], slots=(base, slot))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    base.value, slot.value = np.ones((16, 400)), np.ones((400, 6))
    assert kept.solve()[0] == pytest.approx(0, abs=1e-6) and most < 50 * 2**20


def test_an_infeasible_roll_says_so_and_the_next_one_is_solved():
    x, p = cp.Variable(), cp.Parameter(value=1.0)
    kept = Kept(cp.Problem(cp.Minimize(x), [x >= 0, x <= p]), [x])
    p.value = -1.0
    with pytest.raises(KeptError, match="PrimalInfeasible"):
        kept.solve()
    p.value = 2.0
    assert kept.solve()[0] == pytest.approx(0, abs=1e-6)


# --- fleet and plant


def test_injections_put_each_control_at_its_bus(chain):
    u = np.arange(1.0, chain.n_u + 1)  # p pv, p wind, q pv, q wind, p ess, q ess
    p, q = chain.injections(u, np.zeros(3), np.zeros(3))
    assert p.tolist() == [0, 2 + 5, 1] and q.tolist() == [0, 4 + 6, 3]
    p2, _ = chain.injections(np.stack([u, 2 * u]), np.ones((2, 3)), np.zeros((2, 3)))
    assert p2.tolist() == [[-1, 6, 0], [-1, 13, 1]]


def test_wrong_fleets_are_refused(chain):
    with pytest.raises(ValueError, match="stands at bus 1, which is no bus"):
        replace(chain, plants=(Renewable(1, 1.0, name="at the root"),))
    with pytest.raises(ValueError, match="must be its rated power"):
        replace(chain, plants=(Renewable(2, np.ones(3), name="pv"),))
    with pytest.raises(ValueError, match="capability names 'sun'"):
        replace(chain, capability={"sun": None})
    with pytest.raises(ValueError, match="p_load has shape"):
        mpc.Plant(chain, np.zeros((2, 2)), np.zeros((2, 3)), np.zeros((2, 2)))


def test_limits_of_reactive_power(chain):
    low, high = chain.q_limits(np.array([0.8, 0.5]))
    assert high == pytest.approx([np.sqrt(0.81 - 0.64), 0]) and low == pytest.approx(-high)
    narrow = replace(chain, capability={"pv": lambda p: (-0.1 * p, 0.2 * p)})
    low, high = narrow.q_limits(np.array([[0.5, 0.3], [0.0, 0.3]]))
    assert low[:, 0] == pytest.approx([-0.05, 0]) and high[:, 0] == pytest.approx([0.1, 0])
    bare = replace(chain, plants=(Renewable(4, 0.8, name="pv"),))
    assert (bare.q_limits(np.array([0.3]))[1] == 0).all()


def test_devices_do_what_they_can(chain):
    plant = mpc.Plant(
        chain, np.zeros((1, 3)), np.zeros((1, 3)), np.array([[0.8, 0.5]]), step_h=0.25
    )
    wish = mpc.SetPoint(
        np.array([0.4, np.inf]), np.array([2.0, 0.3]), np.array([0.2]), np.array([-9.0])
    )
    done = plant.step(0, wish, np.array([0.06]))  # 0.01 MWh above the lowest energy
    p, q, p_ess, q_ess = (done.u[part] for part in chain.parts)
    assert p == pytest.approx([0.4, 0.5])
    assert q == pytest.approx([np.sqrt(0.81 - 0.16), 0]), "active power comes first"
    assert p_ess == pytest.approx(0.01 * 0.8 / 0.25) and done.energy == pytest.approx(0.05)
    assert q_ess == pytest.approx(-np.sqrt(0.09 - p_ess**2))
    full = plant.step(0, replace(wish, p_ess_mw=np.array([-0.2])), np.array([0.449]))
    assert full.u[4] == pytest.approx(-0.001 / 0.9 / 0.25) and full.energy == pytest.approx(0.45)
    more = mpc.Correction(np.array([9.0, -0.2]), np.zeros(2), np.zeros(1), np.zeros(1))
    p = plant.step(0, wish, np.array([0.2]), more).u[:2]
    assert p == pytest.approx([0.8, 0.3]), "a correction acts on what the set-point leaves"


def test_idle_is_the_exact_flow_of_the_bare_day(chain):
    plant, outlook, _ = day(chain)
    trace = mpc.receding_horizon(plant, mpc.idle(chain), outlook)
    p, q = -plant.p_load.copy(), -plant.q_load.copy()
    p[:, 2] += plant.available_mw[:, 0]
    p[:, 1] += plant.available_mw[:, 1]
    flow = powerflow.solve(chain.feeder, p, q, tol=1e-12)
    assert pytest.approx(flow.V, abs=1e-11) == trace.V
    assert trace.p_root == pytest.approx(flow.p_root, abs=1e-10)
    assert (trace.energy == 0.25).all()


# --- the seams


@pytest.mark.parametrize("predictor", rolling.PREDICTORS)
def test_nothing_is_created_at_the_seams(chain, predictor):
    trace, _ = run(chain, {"predictor": predictor})
    assert trace.balance() < 1e-9 and trace.energy_created() < 1e-12
    ess = chain.ess
    assert (trace.energy >= ess["E_min"] - 1e-12).all() and (
        trace.energy <= ess["E_max"] + 1e-12
    ).all()
    assert max(note["both"] for note in trace.notes) < 1e-4
    low, high = chain.q_limits(trace.u[:, chain.parts[0]])
    q = trace.u[:, chain.parts[1]]
    assert (q >= low - 1e-9).all() and (q <= high + 1e-9).all()


def test_every_roll_starts_from_what_the_plant_has_stored(chain):
    plant, outlook, plan = day(chain)
    inner, seen = rolling.Window(chain, plan, n_h=4), []

    def controller(state, forecast):
        seen.append(state)
        return inner(state, forecast)

    trace = mpc.receding_horizon(plant, controller, outlook)
    assert [s.k for s in seen] == list(range(N_K)) and seen[0].last is None
    for state in seen[1:]:
        assert (state.energy == trace.energy[3 * state.k]).all()
        assert (trace.V[3 * state.k - 1] == state.last.flow.V).all()
        assert state.last.t == 3 * state.k - 1


def test_a_day_in_two_halves_is_the_same_day(chain):
    """State handed over exactly: stop after five rolls, go on with a new controller."""
    plant, outlook, plan = day(chain)
    make = lambda: rolling.Window(chain, plan, n_h=4, ramp_mw=0.1)  # noqa: E731
    whole = mpc.receding_horizon(plant, make(), outlook)
    first = mpc.receding_horizon(plant, make(), outlook, rolls=5)
    fresh, states = make(), []

    def late(state, forecast):
        at = replace(state, k=state.k + 5)
        if state.last is None:  # what the first half hands over
            last = plant.step(14, first.setpoints[-1], first.energy[-2])
            at = replace(at, last=last)
        states.append(at)
        return fresh(at, forecast)

    rest = replace(
        plant,
        p_load=plant.p_load[15:],
        q_load=plant.q_load[15:],
        available_mw=plant.available_mw[15:],
    )
    second = mpc.receding_horizon(rest, late, outlook, energy=first.energy[-1])
    assert np.concatenate([first.u, second.u]) == pytest.approx(whole.u, abs=1e-6)
    assert second.energy[0] == first.energy[-1]


def test_the_summary_of_a_part_of_a_day_is_that_of_its_rolls(chain):
    whole, plan = run(chain)
    part, _ = run(chain, rolls=5)
    found = part.summary(plan)
    off = part.u - np.repeat(plan.u[:5], 3, axis=0)
    by_hand = (off[:, chain.parts[1].start :] ** 2).sum() / 12
    assert found["correction"] == pytest.approx(by_hand) and by_hand > 0
    assert found["correction"] < whole.summary(plan)["correction"]
    assert layers.score(part, plan)["correction"] == found["correction"]
    assert rolling.realised(part, plan) < rolling.realised(whole, plan)


def test_a_roll_depends_on_nothing_but_its_arguments(chain):
    plant, outlook, plan = day(chain)
    state = mpc.State(3, np.array([0.3]), None)
    used, fresh = (rolling.Window(chain, plan, n_h=4) for _ in range(2))
    mpc.receding_horizon(plant, used, outlook)
    a, b = used(state, outlook), fresh(state, outlook)
    for name in ("q_gen_mvar", "p_ess_mw", "q_ess_mvar"):
        assert getattr(a.setpoint, name) == pytest.approx(getattr(b.setpoint, name), abs=1e-5)


def test_ramps_hold_across_seams(chain):
    free, _ = run(chain)
    held, _ = run(chain, {"ramp_mw": 0.02})
    step = lambda trace: np.abs(np.diff(trace.by_roll(trace.u)[:, chain.parts[2]], axis=0)).max()  # noqa: E731
    assert step(free) > 0.03 and step(held) <= 0.02 + 1e-6


def test_foreseen_is_what_happens_where_nothing_is_unknown(chain):
    """No forecast error: after a few passes the voltages foreseen are those of the plant."""
    plant, outlook, plan = day(chain)
    outlook = replace(outlook, plants=replace(outlook.plants, scale=0.0))
    plant = replace(
        plant, available_mw=np.repeat(outlook.plants.actual * chain.rated_mw, 3, axis=0)
    )
    for passes, off in ((1, 2e-3), (6, 2e-5)):
        window = rolling.Window(chain, plan, n_h=4, passes=passes)
        trace = mpc.receding_horizon(plant, window, outlook)
        assert np.abs(trace.V_foreseen - trace.by_roll(trace.V)).max() < off
        assert np.abs(trace.energy_foreseen - trace.energy[3::3]).max() < 1e-4


# --- the fast layer


def test_a_correction_holds_to_the_end_of_its_roll_or_is_kept(chain):
    plant, outlook, _ = day(chain)
    seen = []

    def fast(step):
        seen.append(step)
        if step.t == 4:  # second step of the second roll
            return mpc.Correction(np.zeros(2), np.array([0.0, -0.05]), np.zeros(1), np.array([0.1]))
        return None

    bare = mpc.receding_horizon(plant, mpc.idle(chain), outlook)
    for keep, until in ((False, 6), (True, 36)):
        trace = mpc.receding_horizon(plant, mpc.idle(chain), outlook, fast=fast, keep=keep)
        on = np.arange(36)
        on = (on >= 4) & (on < until)
        assert trace.u[:, 5] == pytest.approx(0.1 * on)
        assert trace.V[~on] == pytest.approx(bare.V[~on], abs=0)
        assert (np.abs(trace.V[on] - bare.V[on]).max(axis=1) > 1e-4).all()
        assert [c.q_ess_mvar[0] for c in trace.corrections] == pytest.approx(0.1 * on)
    assert [s.t for s in seen] == 2 * list(range(36))
    assert pytest.approx(bare.V[4], abs=0) == seen[4].flow.V, "it sees the step before correcting"


def test_corrections_add_up_and_energy_is_counted_once(chain):
    plant, outlook, _ = day(chain)
    push = mpc.Correction(np.zeros(2), np.zeros(2), np.array([0.01]), np.zeros(1))
    trace = mpc.receding_horizon(plant, mpc.idle(chain), outlook, fast=lambda s: push)
    assert trace.u[:6, 4] == pytest.approx([0.01, 0.02, 0.03, 0.01, 0.02, 0.03])
    assert trace.energy_created() < 1e-12 and trace.balance() < 1e-9
    bad = replace(push, p_ess_mw=np.zeros(3))
    with pytest.raises(ValueError, match="p_ess_mw of a correction has shape"):
        mpc.receding_horizon(plant, mpc.idle(chain), outlook, fast=lambda s: bad)
    with pytest.raises(ValueError, match="do not fit"):
        mpc.receding_horizon(plant, mpc.idle(chain), outlook, rolls=13)


# --- the window


def restated(window, state, outlook, u_0):
    """The window's problem written anew, bus by bus and step by step, from its definition."""
    f, w, n_h = window.fleet, window.weights, window.n_h
    ess, plan = f.ess, window.plan
    p, q = f.injections(u_0, outlook.p_load, outlook.q_load)
    flow = powerflow.solve(f.feeder, p, q)
    dp, dq = linflow.sensitivities(f.feeder, powerflow.solve(f.feeder, p[0], q[0]))
    cost, rules, E, u = 0, [], state.energy[0], []
    for h in range(n_h):
        k = min(state.k + h, N_K - 1)
        g, b, c, d, r = cp.Variable(2), cp.Variable(2), cp.Variable(), cp.Variable(), cp.Variable()
        low, high, miss = cp.Variable(), cp.Variable(), cp.Variable()
        x = [g[0], g[1], b[0], b[1], d - c, r]
        pq = ((0, 1, 4), (2, 3, 5))
        for i in range(3):
            V = flow.V[h, i] + sum(
                s[i, f.at[j]] * (x[j] - u_0[h, j]) for s, group in zip((dp, dq), pq) for j in group
            )
            cost += w.deviation * (V - window.V_ref) ** 2
            rules += [window.V_min - low <= V, window.V_max + high >= V]
        reach = np.sqrt(np.array([0.9, 0.5]) ** 2 - outlook.available_mw[h] ** 2)
        rules += [g >= 0, g <= outlook.available_mw[h], cp.abs(b) <= reach, c >= 0, d >= 0,
                  c <= 0.2, d <= 0.25, low >= 0, high >= 0,
                  cp.norm(cp.hstack([d - c, r])) <= 0.3]  # fmt: skip
        E = E + 0.25 * (0.9 * c - d / 0.8)
        rules += [ess["E_min"][0] <= E, ess["E_max"][0] >= E, miss >= cp.abs(E - plan.energy[k, 0])]
        ref = np.r_[outlook.available_mw[h], plan.u[k, 2:]]
        for j, weight in enumerate((w.p_gen, w.p_gen, w.q_gen, w.q_gen, w.p_ess, w.q_ess)):
            cost += weight * (x[j] - ref[j]) ** 2
        cost += w.limit * (low + high) + w.loss * (0.1 * c + 0.25 * d)
        if h == min(n_h, N_K - state.k) - 1:
            cost += w.terminal * miss
        u.append(cp.hstack(x))
    value = solve.solve(cp.Problem(cp.Minimize(100 * cost), rules)) / 100
    return value, np.array([a.value for a in u])


@pytest.mark.parametrize("k", [0, 5, N_K - 2])
def test_the_window_is_the_problem_it_says(chain, k):
    _, outlook, plan = day(chain)
    window = rolling.Window(chain, plan, n_h=4)
    state, foreseen = mpc.State(k, np.array([0.31]), None), outlook(k, 4)
    found = window.solve(state, foreseen)
    at = np.minimum(np.arange(k, k + 4), N_K - 1)
    u_0 = plan.u[at].copy()
    u_0[:, :2] = foreseen.available_mw
    value, u = restated(window, state, foreseen, u_0)
    assert found["bound"] == pytest.approx(value, rel=1e-5, abs=1e-8)
    assert found["bound"] <= found["value"] + 1e-9
    if found["value"] == found["bound"]:
        assert found["u"] == pytest.approx(u, abs=2e-4)


def test_passes_settle_on_a_local_optimum_of_the_exact_problem(chain):
    """SLSQP on the exact flow, from the window's answer and from elsewhere, gains nothing."""
    _, outlook, plan = day(chain)
    weights = rolling.Weights(terminal=0.0, loss=0.0)
    window = rolling.Window(chain, plan, weights, n_h=1, V_min=0.8, V_max=1.2, passes=6)
    state, foreseen = mpc.State(2, np.array([0.25]), None), outlook(2, 1)
    found = window.solve(state, foreseen)
    ref, w = np.r_[foreseen.available_mw[0], plan.u[2, 2:]], weights.of(chain)
    low, high = chain.q_limits(foreseen.available_mw[0])

    def exact(u):
        flow = powerflow.solve(
            chain.feeder, *chain.injections(u, foreseen.p_load[0], foreseen.q_load[0])
        )
        return 100 * (((flow.V - 1) ** 2).sum() + w @ (u - ref) ** 2)

    box = [*((0, a) for a in foreseen.available_mw[0]), *zip(low, high), (-0.2, 0.25), (-0.3, 0.3)]
    inside = {"type": "ineq", "fun": lambda u: 0.09 - u[4] ** 2 - u[5] ** 2}
    best = min(
        minimize(exact, start, bounds=box, constraints=[inside], method="SLSQP",
                 options={"ftol": 1e-13, "maxiter": 300}).fun
        for start in (found["u"][0], np.array([0.1, 0.1, 0.0, 0.0, 0.0, 0.0]))
    )  # fmt: skip
    assert exact(found["u"][0]) == pytest.approx(best, rel=1e-5)


def test_the_realised_objective_is_that_of_the_window_where_all_is_known(chain):
    """One roll of one step, three equal steps of the plant, no error: the two numbers agree."""
    _, outlook, plan = day(chain)
    seen = outlook(0, 1)
    plant = mpc.Plant(chain, *(np.repeat(a, 3, 0) for a in vars(seen).values()))
    cheap, band = rolling.Weights(limit=0.01), {"V_min": 0.9, "V_max": 0.92}
    window = rolling.Window(chain, plan, cheap, n_h=1, passes=12, **band)
    trace = mpc.receding_horizon(plant, window, lambda k, n: seen, rolls=1)
    assert trace.notes[0]["value"] == pytest.approx(
        rolling.realised(trace, plan, cheap, **band), rel=1e-4
    )
    assert trace.summary(**band)["violation"] > 0


def test_a_storage_target_holds_where_there_is_a_rule(chain):
    """A reference above every voltage: each window would rather discharge."""
    for rule, near in ((10.0, True), (0.0, False)):
        free = rolling.Weights(p_ess=0.0, terminal=rule)
        trace, plan = run(chain, {"weights": free, "V_ref": 1.1})
        assert (abs(trace.energy[-1, 0] - plan.energy[-1, 0]) < 1e-3) == near
    assert trace.energy[-1, 0] < chain.ess["E_min"][0] + 0.05 < plan.energy[-1, 0] - 0.1


def test_the_plan_read_literally_curtails_what_comes_on_top(chain):
    dear = rolling.Weights(p_gen=10.0)
    kept, _ = run(chain, {"weights": dear})
    literal, _ = run(chain, {"weights": dear, "follow": "plan"})
    assert literal.summary()["curtailed_mwh"] > 10 * kept.summary()["curtailed_mwh"]


def test_the_directions_of_batteries_are_exclusive_and_nearly_the_best(chain):
    """A day that pays for burning energy: enumeration of the directions is the referee."""
    _, outlook, plan = day(chain)
    full = rolling.Plan(plan.u, np.full_like(plan.energy, 0.45))  # ends as full as it can be
    window = rolling.Window(
        chain, full, rolling.Weights(deviation=50.0, p_ess=0.0), n_h=3, V_ref=0.97
    )
    state, foreseen = mpc.State(4, np.array([0.45]), None), outlook(4, 3)
    found = window.solve(state, foreseen)
    assert found["both"] < 1e-4 and found["value"] > found["bound"] + 1e-4
    values = []
    for ways in itertools.product((0.0, 1.0), repeat=3):
        gives = np.array(ways)[:, None]
        window.p["c_max"].value, window.p["d_max"].value = 0.2 * (1 - gives), 0.25 * gives
        values.append(window._solved()[0])
    assert found["bound"] <= min(values) + 1e-8
    assert found["value"] <= min(values) * 1.02


def test_cone_and_tangent_agree_where_the_cone_is_exact(chain):
    _, outlook, plan = day(chain)
    state, foreseen = mpc.State(1, np.array([0.25]), None), outlook(1, 4)
    weights = rolling.Weights(loss=0.5)
    cone = rolling.Window(chain, plan, weights, n_h=4, predictor="cone").solve(state, foreseen)
    assert cone["gap"] < 1e-6
    flow = powerflow.solve(
        chain.feeder, *chain.injections(cone["u"], foreseen.p_load, foreseen.q_load)
    )
    assert np.abs(flow.V - cone["V"]).max() < 1e-6
    assert cone["loss"] == pytest.approx(0.25 * flow.p_loss.sum(), abs=1e-6)
    slack = rolling.Window(chain, plan, n_h=4, predictor="cone", V_ref=0.9).solve(state, foreseen)
    assert slack["gap"] > 1e-3, "deviation alone leaves the cone slack"


def test_a_bias_cancels_a_constant_error_of_the_linear_flow(chain):
    rms = {}
    for bias in (False, True):
        trace, _ = run(chain, {"predictor": "lindistflow", "bias": bias})
        off = trace.V_foreseen - trace.by_roll(trace.V)
        rms[bias] = np.sqrt((off[1:] ** 2).mean())
    exact, _ = run(chain)
    off = exact.V_foreseen - exact.by_roll(exact.V)
    assert np.sqrt((off[1:] ** 2).mean()) < rms[False]
    assert rms[True] != rms[False]


def test_wrong_windows_are_refused(chain):
    plan = day(chain)[2]
    for wrong, what in (
        ({"predictor": "ac"}, "predictor is 'ac'"),
        ({"follow": "sun"}, "follow is 'sun'"),
        ({"n_h": 0}, "at least one step"),
    ):
        with pytest.raises(ValueError, match=what):
            rolling.Window(chain, plan, **wrong)
    window = rolling.Window(chain, plan, n_h=4)
    with pytest.raises(ValueError, match="one row a step"):
        window(mpc.State(0, np.array([0.25]), None), lambda k, n: day(chain)[1](k, 3))


def test_fleets_without_plants_or_without_batteries_run(chain):
    for fleet in (replace(chain, batteries=()), replace(chain, plants=())):
        f, n_k = fleet.feeder, 4
        rated = np.tile(0.5 * fleet.rated_mw, (n_k, 1))

        def outlook(k, n, load=(f.p_load, f.q_load), rated=rated):
            return mpc.Outlook(*(np.tile(a, (n, 1)) for a in load), rated[:1].repeat(n, axis=0))

        plan = rolling.Plan(np.zeros((n_k, fleet.n_u)), np.tile(fleet.ess["E_start"], (n_k, 1)))
        plant = mpc.Plant(
            fleet, *(np.tile(a, (12, 1)) for a in (f.p_load, f.q_load)), np.repeat(rated, 3, 0)
        )
        trace = mpc.receding_horizon(plant, rolling.Window(fleet, plan, n_h=2), outlook)
        assert trace.balance() < 1e-9 and np.isfinite(trace.V).all()


# --- day ahead and rolls on 33 buses


@pytest.fixture(scope="module")
def ieee33():
    f = read_feeder("ieee33")
    plants = tuple(Renewable(b, 1.0, s_mva=1.1, name=f"pv {b}") for b in (18, 33))
    fleet = mpc.Fleet(f, plants, (Storage(14, 2.0, 0.5, 0.5, s_mva=0.6, name="ess"),))
    hour = (np.arange(96) + 0.5) / 4
    load = 0.6 - 0.2 * np.cos(2 * np.pi * (hour - 4) / 24)
    pv = np.maximum(0, np.sin(np.pi * (hour - 6) / 12)) ** 2
    outlook = mpc.Outlook(
        np.outer(load, f.p_load), np.outer(load, f.q_load), np.outer(pv, [1.0, 1.0])
    )
    return fleet, outlook, rolling.day_ahead(fleet, outlook, V_min=0.9)


def test_the_day_ahead_plan_is_certified_and_its_energy_adds_up(ieee33):
    _, outlook, plan = ieee33
    assert plan.schedule.certificate.cone_gap < 1e-6 and plan.gap < 1e-3
    assert plan.u.shape == (96, 6) and (np.diff(plan.u.reshape(24, 4, 6), axis=1) == 0).all()
    stored = plan.schedule.devices["ess"]["energy_mwh"]
    assert plan.energy[3::4, 0] == pytest.approx(stored, abs=1e-6)
    assert plan.energy[-1, 0] == pytest.approx(1.0, abs=1e-6)
    hourly = outlook.available_mw.reshape(24, 4, 2).mean(1)
    assert plan.u[::4, :2] == pytest.approx(hourly)
    gap = branchflow.cone_gap(plan.schedule.plan)
    assert gap == pytest.approx(plan.schedule.certificate.cone_gap)


def test_perfect_foresight_with_the_plans_own_objective_needs_no_correction(ieee33):
    """Where corrections cost much and nothing is unknown, the rolls follow the plan."""
    fleet, outlook, plan = ieee33
    hourly = lambda a: a.reshape(24, 4, -1).mean(1).repeat(4, 0)  # noqa: E731
    flat = mpc.Outlook(*(hourly(a) for a in (outlook.p_load, outlook.q_load, outlook.available_mw)))

    def known(k, n):
        at = np.minimum(np.arange(k, k + n), 95)
        return mpc.Outlook(flat.p_load[at], flat.q_load[at], flat.available_mw[at])

    fine = lambda a: a.repeat(3, 0)  # noqa: E731
    plant = mpc.Plant(fleet, fine(flat.p_load), fine(flat.q_load), fine(flat.available_mw))
    dear = rolling.Weights(deviation=1e-6, loss=0.0, p_ess=10.0, q_ess=10.0, q_gen=10.0)
    trace = mpc.receding_horizon(
        plant, rolling.Window(fleet, plan, dear, V_min=0.9), known, rolls=24
    )
    assert trace.u == pytest.approx(np.repeat(plan.u[:24], 3, 0), abs=2e-3)
    exact = plan.schedule.plan.V[:6].repeat(12, 0)
    assert np.abs(trace.V - exact).max() < 1e-4
