"""Charging of vehicles against hand results, brute force, closed forms and an integral."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from adnlib import ev, profiles
from benchmarks import ev_speed

RANDOM = {"deadline": None, "derandomize": True, "database": None, "max_examples": 40}
STEPS = (1 / 12, 0.25, 0.5, 1.0, 6.0, 24.0)


@st.composite
def vehicles(draw):
    """Any vehicle whose full charge fits into the day."""
    charger = draw(st.floats(1, 50))
    efficiency = draw(st.floats(0.5, 1))
    return ev.Vehicle(
        mu=draw(st.floats(0, 4)),
        sigma=draw(st.floats(0.1, 1.5)),
        mean_h=draw(st.floats(-30, 30)),
        std_h=draw(st.floats(0.05, 12)),
        kwh_per_unit=draw(st.floats(0.05, 0.5)),
        battery_kwh=draw(st.floats(0.2, 0.99)) * 24 * charger * efficiency,
        charger_kw=charger,
        efficiency=efficiency,
    )


def brute(start, time, step_h):
    """Vehicles by step from the overlap of every vehicle with every step of two days."""
    n_t = ev.steps(step_h)
    low = np.arange(2 * n_t) * step_h
    length = np.minimum(start[:, None] + time[:, None], low + step_h) - np.maximum(
        start[:, None], low
    )
    return np.clip(length, 0, None).sum(0).reshape(2, n_t).sum(0) / step_h


def draws(n, seed, vehicle=ev.USUAL):
    u = np.random.default_rng(seed).random((n, 2))
    return ev.start_time(u[:, 1], vehicle), ev.duration(ev.mileage(u[:, 0], vehicle), vehicle)


# --- by hand ------------------------------------------------------------------------------------


def test_one_vehicle_round_midnight_by_hand():
    """36 miles at 0.3 kWh are 10.8 kWh; at 4 kW times 0.9 that takes 3 h, from 22:30 to 1:30."""
    vehicle = ev.Vehicle(kwh_per_unit=0.3)
    time = ev.duration(36.0, vehicle)
    assert time == pytest.approx(3, abs=1e-14)
    power = 4 * ev.occupancy([22.5], [time], step_h=1)[0]
    expected = np.zeros(24)
    expected[[22, 23, 0, 1]] = 2, 4, 4, 2
    np.testing.assert_allclose(power, expected, atol=1e-12)


@pytest.mark.parametrize("start, time", [(0, 0), (0, 24), (24, 24), (23.99, 24), (5, 0), (24, 0.1)])
def test_the_ends_of_the_day(start, time):
    for step_h in STEPS:
        found = ev.occupancy([start], [time], step_h)[0]
        np.testing.assert_allclose(
            found, brute(np.array([start % 24.0]), np.array([float(time)]), step_h), atol=1e-12
        )


def test_runs_are_kept_apart():
    start, time = draws(90, 5)
    run = np.repeat([0, 1, 2], 30)
    found = ev.occupancy(start, time, 0.5, run, 3)
    for r in range(3):
        np.testing.assert_allclose(
            found[r], brute(start[run == r], time[run == r], 0.5), atol=1e-12
        )


def test_mileage_median_and_mean_by_hand():
    """Without a limit worth speaking of: median e^mu, mean e^(mu + sigma^2 / 2)."""
    vehicle = ev.Vehicle(mu=1.0, sigma=0.5, battery_kwh=80, kwh_per_unit=1e-3)
    assert ev.mileage(0.5, vehicle) == pytest.approx(np.e, rel=1e-12)
    assert ev.mean_mileage(vehicle) == pytest.approx(np.exp(1.125), rel=1e-12)


# --- the pieces against scipy -------------------------------------------------------------------


def test_mileage_is_the_truncated_lognormal():
    vehicle = ev.Vehicle(battery_kwh=15)  # cut where it is felt
    u = (np.arange(20_000) + 0.5) / 20_000
    x = ev.mileage(u, vehicle)
    whole = stats.lognorm(s=vehicle.sigma, scale=np.exp(vehicle.mu))
    np.testing.assert_allclose(whole.cdf(x) / whole.cdf(vehicle.limit), u, atol=1e-12)
    assert x.max() < vehicle.limit and (np.diff(x) > 0).all()
    mean = whole.expect(lb=0, ub=vehicle.limit, conditional=True)
    assert ev.mean_mileage(vehicle) == pytest.approx(mean, rel=1e-7)
    assert x.mean() == pytest.approx(mean, rel=1e-4)


def test_start_is_the_wrapped_normal():
    t = ev.start_time(np.random.default_rng(2).random(50_000))
    assert t.min() >= 0 and t.max() < 24

    def cdf(hour):
        line = stats.norm(17.6, 3.4)
        return sum(line.cdf(hour + 24 * m) - line.cdf(24 * m) for m in range(-3, 4))

    assert stats.kstest(t, cdf).pvalue > 0.01
    assert stats.kstest(t, stats.norm(17.6, 3.4).cdf).pvalue < 1e-6  # the test can see the wrap


def test_just_below_midnight_is_midnight():
    assert ev.start_time(0.5, ev.Vehicle(mean_h=-1e-17)) == 0


# --- many vehicles ------------------------------------------------------------------------------


@settings(**RANDOM)
@given(vehicles(), st.sampled_from(STEPS), st.integers(1, 60), st.integers(0, 99))
def test_counting_is_exact_and_keeps_the_energy(vehicle, step_h, n, seed):
    start, time = draws(n, seed, vehicle)
    time = np.minimum(time, vehicle.longest_h)
    power = ev.simulate_charging(n, 1, np.random.default_rng(seed), vehicle, step_h)[0]
    wanted = vehicle.charger_kw / 1000 * brute(start, time, step_h)
    np.testing.assert_allclose(power, wanted, rtol=0, atol=1e-12 * n * vehicle.charger_kw)
    miles = time * vehicle.charger_kw * vehicle.efficiency / vehicle.kwh_per_unit
    energy = miles.sum() * vehicle.kwh_per_unit / vehicle.efficiency / 1000
    assert power.sum() * step_h == pytest.approx(energy, rel=1e-9)


@settings(**RANDOM)
@given(vehicles(), st.sampled_from(STEPS), st.integers(1, 40), st.integers(1, 5))
def test_power_is_never_negative_nor_above_all_chargers(vehicle, step_h, n_ev, n_runs):
    power = ev.simulate_charging(n_ev, n_runs, np.random.default_rng(3), vehicle, step_h)
    assert power.shape == (n_runs, round(24 / step_h))
    assert (power >= 0).all()
    assert (power <= n_ev * vehicle.charger_kw / 1000 * (1 + 1e-12)).all()


@settings(**RANDOM | {"max_examples": 20})
@given(vehicles(), st.integers(-96, 96))
def test_a_later_start_rolls_the_curve(vehicle, k):
    later = dataclasses.replace(vehicle, mean_h=vehicle.mean_h + 0.25 * k)
    scale = vehicle.charger_kw / 1000
    for curve in (
        lambda v: ev.expected_charging(10, v),
        lambda v: ev.simulate_charging(10, 3, np.random.default_rng(4), v),
    ):
        np.testing.assert_allclose(
            curve(later), np.roll(curve(vehicle), k, axis=-1), rtol=0, atol=1e-9 * scale
        )


@settings(**RANDOM | {"max_examples": 20})
@given(vehicles(), st.sampled_from(STEPS), st.integers(1, 500))
def test_the_expected_curve_has_the_energy_of_the_mean_mileage(vehicle, step_h, n_ev):
    curve = ev.expected_charging(n_ev, vehicle, step_h)
    energy = n_ev * ev.mean_mileage(vehicle) * vehicle.kwh_per_unit / vehicle.efficiency / 1000
    assert curve.sum() * step_h == pytest.approx(energy, rel=1e-9)
    assert (curve > -1e-12).all()
    twice = ev.expected_charging(2 * n_ev, vehicle, step_h)
    np.testing.assert_allclose(twice, 2 * curve, atol=1e-15)


def test_the_expected_curve_is_the_convolution_of_start_and_duration():
    """N P times the circular convolution of the start's density with the duration's survival."""
    v, h = ev.Vehicle(battery_kwh=40), 0.01
    at, ago = np.arange(0, 24, h), np.arange(0, 24, h) + h / 2
    g = sum(stats.norm(v.mean_h, v.std_h).pdf(at + 24 * m) for m in range(-4, 5))
    whole = stats.lognorm(s=v.sigma, scale=np.exp(v.mu))
    survive = 1 - whole.cdf(ago * v.charger_kw * v.efficiency / v.kwh_per_unit) / whole.cdf(v.limit)
    p = np.fft.ifft(np.fft.fft(g) * np.fft.fft(np.clip(survive, 0, None))).real * h
    wanted = 300 * v.charger_kw / 1000 * p.reshape(96, -1).mean(1)
    np.testing.assert_allclose(ev.expected_charging(300, v), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("change", [{}, {"std_h": 0.3}, {"charger_kw": 22}, {"std_h": 9}])
def test_the_mean_of_the_draws_is_the_expected_curve(change):
    vehicle = dataclasses.replace(ev.USUAL, **change)
    runs = ev.simulate_charging(300, 2000, np.random.default_rng(6), vehicle, step_h=1)
    expected = ev.expected_charging(300, vehicle, step_h=1)
    error = runs.std(0, ddof=1) / np.sqrt(len(runs))
    busy = expected > 1e-3 * expected.max()
    assert (np.abs(runs.mean(0) - expected)[busy] < 4.5 * error[busy]).all()
    assert busy.any() and error[busy].max() < 0.01 * expected.max()


def test_twice_the_vehicles_twice_the_mean_and_twice_the_variance():
    small, large = (
        ev.simulate_charging(n, 3000, np.random.default_rng(n), step_h=1) for n in (100, 200)
    )
    error = np.sqrt((4 * small.var(0) + large.var(0)) / 3000)
    assert (np.abs(large.mean(0) - 2 * small.mean(0)) < 4.5 * error).all()
    assert large.var(0).sum() / small.var(0).sum() == pytest.approx(2, rel=0.06)


def test_same_seed_same_people_whatever_the_charger():
    def energies(**change):
        v = dataclasses.replace(ev.USUAL, **change)
        return ev.simulate_charging(50, 20, np.random.default_rng(8), v).sum(1) * 0.25

    np.testing.assert_allclose(energies(), energies(charger_kw=11, mean_h=3), rtol=1e-9)


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_do_not_change_the_draws(monkeypatch, block):
    whole = ev.simulate_charging(20, 9, np.random.default_rng(9))
    monkeypatch.setattr(ev, "VEHICLES", block)
    np.testing.assert_allclose(
        ev.simulate_charging(20, 9, np.random.default_rng(9)), whole, atol=1e-15
    )
    monkeypatch.setattr(ev, "BINS", 1)
    np.testing.assert_allclose(
        ev.simulate_charging(20, 9, np.random.default_rng(9)), whole, atol=1e-15
    )


def test_a_million_vehicle_days_in_little_memory():
    tracemalloc.start()
    power = ev.simulate_charging(1000, 1000, np.random.default_rng(10))
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    assert power.shape == (1000, 96) and peak < 40
    energy = 1000 * ev.mean_mileage() * ev.USUAL.kwh_per_unit / 0.9 / 1000
    assert power.sum(1).mean() * 0.25 == pytest.approx(energy, rel=0.005)


# --- flexibility --------------------------------------------------------------------------------


@settings(**RANDOM)
@given(st.integers(0, 96), st.integers(0, 96), st.integers(0, 96), st.integers(0, 9))
def test_a_transfer_keeps_energy_and_shape(begin, last, to, seed):
    power = np.random.default_rng(seed).random((2, 96))
    before = power.copy()
    moved = ev.transferred(power, begin / 4, last / 4, to / 4)
    np.testing.assert_array_equal(power, before)
    np.testing.assert_allclose(moved.sum(-1), power.sum(-1), rtol=1e-12)
    back = ev.transferred(moved, begin / 4, last / 4, begin / 4)
    np.testing.assert_allclose(back, moved)
    if begin == to:
        np.testing.assert_allclose(moved, power)


def test_a_transfer_by_hand_round_midnight():
    """The block of 18 h and 0 h, (4, 1), is drawn at 0 h and 6 h instead."""
    moved = ev.transferred([1.0, 2, 3, 4], 18, 12, 0, step_h=6)
    assert moved.tolist() == [4, 1 + 2, 3, 0]


def test_split_and_reduction():
    curve = ev.expected_charging(300)
    parts = ev.split(curve, 0.3, 0.2)
    np.testing.assert_allclose(sum(parts), curve, rtol=1e-12)
    when = np.arange(96) >= 64
    cut = ev.reduced(parts[1], 0.4, when)
    np.testing.assert_array_equal(cut[~when], parts[1][~when])
    np.testing.assert_allclose(cut[when], 0.6 * parts[1][when])


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, said",
    [
        ({"sigma": 0}, "sigma = 0"),
        ({"std_h": np.nan}, "std_h = nan"),
        ({"battery_kwh": -1}, "battery_kwh = -1"),
        ({"mu": np.inf}, "mu = inf"),
        ({"efficiency": 1.1}, "efficiency = 1.1 is above 1"),
        ({"charger_kw": 2}, "a full charge takes 38.9 h, more than a day; raise charger_kw"),
    ],
)
def test_a_vehicle_that_makes_no_sense_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        ev.Vehicle(**change)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda r: ev.simulate_charging(0, 1, r), "n_ev = 0 must be a whole number"),
        (lambda r: ev.simulate_charging(3, 1.5, r), "n_runs = 1.5 must be"),
        (lambda r: ev.simulate_charging(3, 1, r, step_h=0.7), "step_h = 0.7 does not divide"),
        (lambda r: ev.expected_charging(3, step_h=-1), "step_h = -1 does not divide"),
        (lambda r: ev.expected_charging(-3), "n_ev = -3"),
        (
            lambda r: ev.expected_charging(3, ev.Vehicle(mu=30, sigma=0.5)),
            "battery_kwh = 70.0 is too small",
        ),
        (lambda r: ev.occupancy([25.0], [1.0]), "start_h has a time outside 0 to 24 h"),
        (lambda r: ev.occupancy([5.0], [np.nan]), "duration_h has a time outside"),
        (lambda r: ev.mileage(1.0), r"outside \(0, 1\)"),
        (lambda r: ev.start_time([0.5, np.nan]), r"outside \(0, 1\)"),
        (lambda r: ev.split(1.0, 0.7, 0.4), "sum to <= 1"),
        (lambda r: ev.split(1.0, np.nan, 0.4), "sum to <= 1"),
        (lambda r: ev.reduced([1.0], 1.2, [True]), "factor = 1.2"),
        (lambda r: ev.transferred(np.ones(96), 19.1, 2, 5), "begin_h = 19.1 h is no step"),
        (lambda r: ev.transferred(np.ones(24), 19, 2, 5), "power has 24 steps"),
    ],
)
def test_bad_input_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(np.random.default_rng(0))


# --- the case file and the benchmark ------------------------------------------------------------


def test_the_usual_vehicle_is_that_of_the_case_file():
    case = profiles.read_case("ev_fleet")
    keys = ("mu", "sigma", "mean_h", "std_h", "battery_kwh", "charger_kw", "efficiency")
    for key in keys:
        assert getattr(ev.USUAL, key) == case[f"vehicle.{key}"]
    per_unit = case["vehicle.kwh_per_km"] * case["vehicle.km_per_unit"]
    assert ev.USUAL.kwh_per_unit == pytest.approx(per_unit, rel=1e-12)


def test_the_smallest_benchmark_runs():
    ((label, _, job),) = ev_speed.steps(small=True)
    rows = job()
    assert label == "10000 vehicle-days"
    assert {row["method"] for row in rows} == {ev_speed.OURS, ev_speed.MATRIX, ev_speed.LOOP}
    assert all(row["median_s"] > 0 for row in rows) and len(ev_speed.checks(rows)) == 2


def test_the_benchmark_tells_a_miss_from_a_hit(monkeypatch):
    def row(method, ratio, seconds):
        return {"method": method, "ratio": ratio, "scenarios": 1000, "median_s": seconds} | {
            "peak_mib": 50.0
        }

    rows = [row(ev_speed.OURS, 1, 2.5), row(ev_speed.LOOP, 11, 30)]
    assert [holds for *_, holds in ev_speed.checks(rows)] == [True, False, True]
    assert ev_speed.checks([]) == []
    monkeypatch.setattr(ev_speed, "matrix", lambda *_: np.ones((3, 96)))
    with pytest.raises(AssertionError, match="matrix and adnlib differ"):
        ev_speed.agree(1)
