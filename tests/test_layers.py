"""The three layers of chapter 25 against what they must equal: other modules, hand cases."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from adnlib import fastlayer, layers, mpc, mpccase, profiles, rolling, zones
from adnlib.devices import Renewable, Storage
from adnlib.feeder import Feeder
from adnlib.solve import SolveError

CASE = profiles.read_case("mpc")
RULE = zones.stages((0.97, 1.03), (0.95, 1.05))


@pytest.fixture(scope="module")
def day():
    """Root 1 - 2 - 3 - 4, wind and a battery at 3, PV at 4; loads and plants that move."""
    load = {"p_mw": [0, 0.4, 0.5, 0.3], "q_mvar": [0, 0.2, 0.2, 0.1]}
    bus = pd.DataFrame({"bus": [1, 2, 3, 4], "v_kv": 10.0} | load)
    line = pd.DataFrame({"from_bus": [1, 2, 3], "to_bus": [2, 3, 4], "r_ohm": [2.0, 3.0, 2.0],
                         "x_ohm": [2.0, 2.0, 1.0]})  # fmt: skip
    feeder = Feeder.from_tables(bus, line)
    plants = (Renewable(3, 0.5, s_mva=0.5, name="wind"), Renewable(4, 0.8, s_mva=0.9, name="pv"))
    fleet = mpc.Fleet(feeder, plants, (Storage(3, 0.5, 0.2, 0.2, s_mva=0.3, name="ess"),))
    rng = np.random.default_rng(0)
    load = 0.7 + 0.3 * np.sin(np.arange(96) / 9)
    foreseen = np.clip(0.5 + 0.4 * np.sin(np.arange(96)[:, None] / 15 + np.arange(2)), 0, 1)
    came = np.clip(np.repeat(foreseen, 3, axis=0) + 0.1 * rng.standard_normal((288, 2)), 0, 1)
    loads = [np.outer(load, a) for a in (feeder.p_load, feeder.q_load)]
    ahead = mpc.Outlook(*loads, foreseen * fleet.rated_mw)

    def forecast(k, n):
        at = np.minimum(np.arange(k, k + n), 95)
        return mpc.Outlook(loads[0][at], loads[1][at], ahead.available_mw[at])

    fine = [np.repeat(a, 3, axis=0) for a in loads]
    return layers.Day(fleet, ahead, forecast, mpc.Plant(fleet, *fine, came * fleet.rated_mw))


@pytest.fixture(scope="module")
def plan(day):
    return layers.day_ahead(day.fleet, day.ahead, V_min=0.9, V_max=1.1)[0]


# --- the plan


def test_plan_of_inverters_is_that_of_rolling(day, plan):
    other = rolling.day_ahead(day.fleet, day.ahead, V_min=0.9, V_max=1.1)
    assert plan.schedule.value == pytest.approx(other.schedule.value, rel=1e-4)
    assert plan.schedule.certificate.cone_gap < 1e-6
    assert np.abs(plan.schedule.plan.V - other.schedule.plan.V).max() < 1e-3


def test_plan_keeps_the_limits_of_any_machine(day):
    only_up = replace(day.fleet, capability={"wind": lambda p: (0 * p, 0.05 + 0 * p)})
    plan, loosened = layers.day_ahead(only_up, day.ahead, V_min=0.9, V_max=1.1)
    q = plan.u[:, only_up.parts[1]][:, 0]
    assert loosened == 0 and q.min() > -1e-6 and q.max() < 0.05 + 1e-6
    assert np.ptp(plan.u.reshape(24, 4, -1), axis=1).max() == 0


def test_stored_energy_follows_the_powers_and_returns(day, plan):
    e = plan.energy
    rate = mpc.stored(day.fleet, plan.u[:, day.fleet.parts[2]])
    assert np.diff(e, axis=0) == pytest.approx(0.25 * rate[1:], abs=1e-12)
    assert e[-1] == pytest.approx(day.fleet.ess["E_start"], abs=1e-4)


def test_limits_give_way_in_order_and_no_further(day):
    tight = {"V_min": 1.0 - 1e-4, "V_max": 1.0 + 1e-4}
    _, s = layers.day_ahead(day.fleet, day.ahead, loosen=(0.0, 0.15, 0.3), **tight)
    assert s == 0.15
    with pytest.raises(SolveError):
        layers.day_ahead(day.fleet, day.ahead, **tight)
    with pytest.raises(ValueError, match="loosen is empty"):
        layers.day_ahead(day.fleet, day.ahead, loosen=())


def test_machine_refuses_crossed_limits():
    with pytest.raises(ValueError, match="q_low of machine 3 exceeds"):
        layers.Machine(3, 0.1, 0.2, 0.1)


# --- a day with fewer devices


def test_plants_that_do_not_regulate_are_negative_load(day):
    less = layers.only(day, ["pv"])
    assert [p.name for p in less.fleet.plants] == ["pv"] and not less.fleet.batteries
    none, all_ = (mpc.receding_horizon(d.plant, mpc.idle(d.fleet), d.forecast) for d in (less, day))
    assert pytest.approx(all_.V, abs=1e-12) == none.V
    seen = less.forecast(7, 4)
    assert seen.available_mw.shape == (4, 1)
    at = day.fleet.at[0]
    assert seen.p_load[:, at] == pytest.approx(
        day.forecast(7, 4).p_load[:, at] - day.ahead.available_mw[7:11, 0]
    )


@pytest.mark.parametrize("kept", [["wind"], ["ess"], ["wind", "ess"]])
def test_every_set_of_devices_runs(day, kept):
    some = layers.only(day, kept)
    plan = layers.day_ahead(some.fleet, some.ahead, V_min=0.85, V_max=1.15)[0]
    window = rolling.Window(some.fleet, plan, n_h=4)
    zone = layers.Logged(fastlayer.fast(some.fleet, RULE))
    trace = mpc.receding_horizon(some.plant, window, some.forecast, rolls=4, fast=zone)
    assert np.isfinite(trace.V).all() and len(zone.V) == 12


def test_only_names_an_unknown_device(day):
    with pytest.raises(
        ValueError, match="'sun' is no device of the fleet, which has wind, pv, ess"
    ):
        layers.only(day, ["sun"])


# --- a window followed


def test_a_window_followed_one_roll_is_the_receding_horizon(day, plan):
    run = lambda c: mpc.receding_horizon(day.plant, c, day.forecast, rolls=6)  # noqa: E731
    window = rolling.Window(day.fleet, plan, n_h=4)
    assert pytest.approx(run(window).V, abs=1e-7) == run(layers.replanned(window)).V


def test_a_window_followed_whole_is_solved_at_its_start_only(day, plan):
    calls = []

    def counted(k, n):
        calls.append(k)
        return day.forecast(k, n)

    window = rolling.Window(day.fleet, plan, n_h=4)
    trace = mpc.receding_horizon(day.plant, layers.replanned(window, 4), counted, rolls=8)
    assert calls == [0, 4] and np.isfinite(trace.V_foreseen).all()
    with pytest.raises(ValueError, match="cannot be followed for 5"):
        layers.replanned(window, 5)


# --- numbers of a run


def test_logged_zones_see_what_was_before_them(day):
    zone = layers.Logged(fastlayer.fast(day.fleet, RULE))
    idle = mpc.idle(day.fleet)
    trace = mpc.receding_horizon(day.plant, idle, day.forecast, fast=zone, keep=False)
    found = layers.score(trace, None, zone)
    assert found["events"] == sum(zone.acted) > 0
    assert found["unsettled_h"] <= found["before_unsettled_h"]
    assert found["moved_q"] > 0
    calm = mpc.receding_horizon(day.plant, idle, day.forecast)
    untouched = layers.score(calm)
    assert untouched["moved_q"] == untouched["moved_p"] == untouched["reversals"] == 0
    assert np.isnan(untouched["off"]) and "events" not in untouched


def test_score_counts_bus_hours_by_hand(day):
    trace = mpc.receding_horizon(day.plant, mpc.idle(day.fleet), day.forecast)
    found = layers.score(trace, V_min=0.98, V_max=1.02, optimal=(0.99, 1.01))
    by_hand = sum(1 / 12 for V in trace.V.ravel() if V < 0.98 - 1e-6 or V > 1.02 + 1e-6)
    assert found["outside_h"] == pytest.approx(by_hand)
    assert found["steps_out"] == sum(
        (V < 0.98 - 1e-6).any() or (V > 1.02 + 1e-6).any() for V in trace.V
    )
    assert found["unsettled_h"] >= found["outside_h"]
    assert found["overload_h"] == 0 and found["loading"] == 0  # a feeder without ratings


def test_reversals_do_not_look_across_rolls():
    fast = np.array([[0.1], [0.2], [0.3], [0.0], [-0.1], [0.1]])
    assert layers.reversals(fast, 3) == pytest.approx(1 / 3)
    assert layers.reversals(0 * fast, 3) == 0


# --- the case


def test_ratings_of_the_case_follow_from_what_hangs_below():
    feeder = mpccase.feeder(CASE, "ieee33")
    end, head = feeder.index(18), 0
    assert feeder.i_max[end] == pytest.approx(1.2 * 1.5)
    plants = 2 * 1.5 + 4 * 0.75 + 2 * 0.5
    load = np.hypot(feeder.p_load.sum(), feeder.q_load.sum())
    assert feeder.i_max[head] == pytest.approx(1.2 * max(plants, load))


def test_devices_of_an_unknown_feeder_stand_at_different_loaded_buses():
    name = "pandapower create_cigre_network_mv"
    feeder = mpccase.feeder(CASE, name)
    at = mpccase.places(CASE, feeder, name)
    flat = [bus for kind in mpccase.KINDS for bus in at[kind]]
    assert len(set(flat)) == 8 and [len(at[k]) for k in mpccase.KINDS] == [2, 4, 2]
    assert all(feeder.p_load[feeder.index(bus)] > 0 for bus in flat)


def test_fleet_of_the_case():
    feeder = mpccase.feeder(CASE, "ieee33")
    fleet = mpccase.fleet(CASE, feeder, "ieee33")
    assert fleet.rated_mw.sum() == pytest.approx(1.61 * 3.715, rel=0.01)
    low, high = fleet.q_limits(fleet.rated_mw)
    assert (low < 0).all() and (high > 0).all() and -low[0] > high[0]  # a wind machine absorbs more
    assert mpccase.names(CASE, fleet, ("ess", "wind")) == [
        "battery 14",
        "battery 31",
        "wind_122",
        "wind_309",
    ]


def test_the_load_error_belongs_to_the_date():
    feeder = mpccase.feeder(CASE, "ieee33")
    fleet = mpccase.fleet(CASE, feeder, "ieee33")
    a, b, calm = (mpccase.day(CASE, fleet, "2020-08-19", s) for s in (1.0, 1.0, 0.0))
    assert np.array_equal(a.plant.p_load, b.plant.p_load)
    assert np.array_equal(a.plant.p_load, calm.plant.p_load)
    right = calm.plant.available_mw.reshape(96, 3, -1).mean(axis=1)
    assert calm.forecast(0, 96).available_mw == pytest.approx(right, abs=1e-12)
