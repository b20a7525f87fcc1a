"""Branch currents of a window against differences of the exact flow, and the limits by hand."""

from dataclasses import replace

import numpy as np
import pytest

from adnlib import currents, layers, mpc, mpccase, powerflow, profiles, read_feeder, rolling
from adnlib.devices import Renewable, Storage

CASE = profiles.read_case("mpc")


@pytest.fixture(scope="module")
def fleet():
    """ieee33 with a transformer in the middle, shunts, wind, PV and a battery, few ratings."""
    own = read_feeder("ieee33")
    ratio, b, g = np.ones(own.n), np.zeros(own.n), np.zeros(own.n)
    ratio[own.index(8)], b[own.index(12)], g[own.index(30)] = 0.97, 0.3, 0.1
    i_max = np.full(own.n, np.inf)
    i_max[[own.index(18), own.index(8), own.index(24), own.index(22)]] = 1.0, 2.0, 1.0, 1.0
    own = replace(own, ratio=ratio, b_shunt=b, g_shunt=g, i_max=i_max)
    plants = (Renewable(18, 1.5, s_mva=1.6, name="wind"), Renewable(22, 0.5, s_mva=0.6, name="pv"))
    return mpc.Fleet(own, plants, (Storage(14, 1.0, 0.3, 0.3, s_mva=0.4, name="ess"),))


def flow(fleet, u):
    f, one = fleet.feeder, np.full((*u.shape[:-1], 1), 0.5)
    return powerflow.solve(f, *fleet.injections(u, one * f.p_load, one * f.q_load), tol=1e-13)


def test_phasors_have_the_magnitude_of_the_flow(fleet):
    found = flow(fleet, np.full((3, fleet.n_u), 0.2) * np.arange(3)[:, None])
    assert np.abs(currents.phasors(fleet.feeder, found)) ** 2 == pytest.approx(found.ell, abs=1e-12)


def test_sensitivities_are_differences_of_the_exact_flow(fleet):
    u, step = np.full(fleet.n_u, 0.3), 1e-5
    by = currents.sensitivities(fleet.feeder, flow(fleet, u), fleet.at)
    for k, part in enumerate(fleet.parts):
        for j in range(part.start, part.stop):
            e = step * np.eye(fleet.n_u)[j]
            up, down = (currents.phasors(fleet.feeder, flow(fleet, u + s * e)) for s in (1, -1))
            got = by[k % 2][:, j] / fleet.feeder.s_base_mva
            assert np.abs(got - (up - down) / (2 * step)).max() < 1e-8
    with pytest.raises(ValueError, match="take one of its rows"):
        currents.sensitivities(fleet.feeder, flow(fleet, np.tile(u, (2, 1))), fleet.at)


def test_watched_have_a_rating_and_a_device_below(fleet):
    f = fleet.feeder  # 24 has a rating and no device below; 8 leads to 14 and 18
    assert [f.buses[j] for j in currents.watched(fleet)] == [8, 18, 22]


def test_loading_is_that_of_the_flow_it_was_made_at(fleet):
    u = np.linspace(0, 0.4, 2 * fleet.n_u).reshape(2, -1)
    limits, seen = currents.Limits(fleet, 2), flow(fleet, u)
    limits.take(seen, flow(fleet, u[0]), u)
    exact = np.sqrt(seen.ell[:, limits.at]) / fleet.feeder.i_max[limits.at]
    assert limits.loading(u) == pytest.approx(exact, abs=1e-9)


# --- the window


@pytest.fixture(scope="module")
def windy():
    """The windy day of chapter 25 with plants a quarter larger than the ratings are made for."""
    own = mpccase.feeder(CASE, "ieee33")
    day = mpccase.day(CASE, mpccase.fleet(CASE, own, "ieee33", 1.25), CASE["day.date"])
    return day, mpccase.plan(CASE, day)[0]


def solved(windy, k=68, passes=3, **options):
    """(answer, exact loading (n_h, n), window) with the foreseen weather of roll k."""
    day, plan = windy
    window = mpccase.window(CASE, day, plan, n_h=4, passes=passes, **options)
    seen, f = day.forecast(k, 4), day.fleet.feeder
    found = window.solve(mpc.State(k, day.fleet.ess["E_start"], None), seen)
    exact = powerflow.solve(f, *day.fleet.injections(found["u"], seen.p_load, seen.q_load))
    return found, np.sqrt(exact.ell) / f.i_max, window


def test_window_keeps_the_ratings_on_the_exact_flow(windy):
    blind, over, _ = solved(windy, currents=False)
    held, loading, window = solved(windy)
    assert over.max() > 1.05 and loading.max() < 1 + 1e-3
    assert held["value"] > blind["value"]
    assert window.ratings.loading(held["u"]).max() < 1 + 2e-4
    assert loading.max() > 1 - 1e-3  # it binds


def test_ratings_of_few_branches_are_those_of_all(windy, monkeypatch):
    few, _, window = solved(windy, passes=1)
    assert set(window.kept) == {0, rolling.FEW}
    monkeypatch.setattr(rolling, "FEW", 1)
    more, _, window = solved(windy, passes=1)
    assert set(window.kept) == {0, 1, 32}
    monkeypatch.setattr(rolling, "FEW", 99)
    every, _, window = solved(windy, passes=1)
    assert set(window.kept) == {0, 32}
    for other in (few, more):
        assert other["value"] == pytest.approx(every["value"], rel=1e-5)
        assert other["V"] == pytest.approx(every["V"], abs=1e-4)


def test_ratings_that_do_not_bind_change_nothing(windy):
    day, plan = windy
    wide = replace(day.fleet.feeder, i_max=10 * day.fleet.feeder.i_max)
    day = layers.Day(replace(day.fleet, feeder=wide), day.ahead, day.forecast, day.plant)
    seeing, _, window = solved((day, plan))
    blind, _, _ = solved((day, plan), currents=False)
    assert np.array_equal(seeing["u"], blind["u"]) and set(window.kept) == {0}


def test_a_rating_that_cannot_be_kept_gives_way(windy):
    day, plan = windy
    f = day.fleet.feeder
    load = np.arange(f.n) == f.index(24)  # a load and PV, at night
    tight = replace(f, i_max=np.where(load, 0.05, f.i_max))
    day = layers.Day(replace(day.fleet, feeder=tight), day.ahead, day.forecast, day.plant)
    found, loading, _ = solved((day, plan), k=8)
    assert np.isfinite(found["value"]) and loading[:, load].min() > 1


def test_cone_without_currents_has_no_ratings(windy):
    dear = {"predictor": "cone", "weights": replace(mpccase.weights(CASE), loss=1.0)}
    _, held, _ = solved(windy, passes=1, **dear)
    _, free, _ = solved(windy, passes=1, currents=False, **dear)
    assert held.max() < 1 + 1e-4 < free.max()
