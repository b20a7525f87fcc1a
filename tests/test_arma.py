"""ARMA models against hand results, exact moments, statsmodels and errors that must be named."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adnlib import arma

RANDOM = {"deadline": None, "derandomize": True, "database": None, "max_examples": 30}
PRINTED = arma.Arma([0.8, 0.15, 0.15], [0.8, 0.2], 2.5)
REPAIRED = arma.Arma([0.8, 0.15, -0.15], [0.8, 0.2], 2.5)


def from_roots(roots, theta=(), sigma=1.0):
    """AR coefficients whose companion roots are the given ones."""
    return arma.Arma(-np.poly(roots)[1:].real, theta, sigma)


roots = st.lists(st.floats(-0.95, 0.95), min_size=1, max_size=3)
thetas = st.lists(st.floats(-0.9, 0.9), max_size=3)


# --- by hand ------------------------------------------------------------------------------------


def test_the_printed_model_explodes_and_the_repaired_one_settles():
    assert arma.largest_root(PRINTED) == pytest.approx(1.0709, abs=5e-5)
    assert arma.largest_root(REPAIRED) == pytest.approx(0.718, abs=5e-4)
    spread = arma.growth(PRINTED, 24)
    assert spread[[0, 5, 11, 23]] == pytest.approx([2.5, 10.1, 18.5, 46.2], abs=0.05)
    assert arma.stationary_std(REPAIRED) == pytest.approx(8.3, abs=0.05)


def test_one_coefficient_by_hand():
    """phi = 0.5: weights 1, 1/2, 1/4; variance 1, 1.25, 1.3125 -> 4/3."""
    m = arma.Arma([0.5], [], 1.0)
    assert arma.psi_weights(m, 3).tolist() == [1, 0.5, 0.25]
    assert arma.growth(m, 3) ** 2 == pytest.approx([1, 1.25, 1.3125], rel=1e-12)
    assert arma.stationary_std(m) ** 2 == pytest.approx(4 / 3, rel=1e-12)


def test_moving_average_by_hand():
    """x_t = a_t + 0.8 a_{t-1} + 0.2 a_{t-2}: variance 1 + 0.64 + 0.04, no root at all."""
    m = arma.Arma([], [0.8, 0.2], 1.0)
    assert arma.stationary_std(m) ** 2 == pytest.approx(1.68, rel=1e-12)
    assert arma.largest_root(m) == 0 and m.order == (0, 2)


def test_white_noise_is_a_model():
    m = arma.Arma([], [], 2.0, mean=3.0)
    assert arma.stationary_std(m) == 2
    assert arma.innovations(m, [3.0, 5.0]).tolist() == [0, 2]


# --- relations ----------------------------------------------------------------------------------


@settings(**RANDOM)
@given(roots, thetas)
def test_weights_and_state_form_give_the_same_variance(r, theta):
    m = from_roots(r, theta, 1.5)
    assert arma.largest_root(m) == pytest.approx(max(map(abs, r)), abs=1e-4)
    assert arma.growth(m, 3000)[-1] == pytest.approx(arma.stationary_std(m), rel=1e-6)
    assert (np.diff(arma.growth(m, 50)) >= 0).all()


@settings(**RANDOM)
@given(roots, thetas, st.integers(0, 2**31))
def test_innovations_undo_a_simulation(r, theta, seed):
    theta = np.array(theta) / max(1.0, sum(map(abs, theta)) / 0.9)  # invertible: no error grows
    m = arma.Arma(from_roots(r).phi, theta, 2.0, mean=0.7)
    path = arma.simulate(m, 1, 40, np.random.default_rng(seed), start="zero")[0]
    shocks = 2.0 * np.random.default_rng(seed).standard_normal(40)
    np.testing.assert_allclose(arma.innovations(m, path), shocks, rtol=0, atol=1e-9)


def test_simulated_moments_are_the_exact_ones():
    paths = arma.simulate(REPAIRED, 40_000, 6, np.random.default_rng(1))
    exact = arma.stationary_covariance(REPAIRED)[0, 0]
    np.testing.assert_allclose(paths.var(axis=0), exact, rtol=0.03)  # every step alike
    assert np.abs(paths.mean(axis=0)).max() < 5 * np.sqrt(exact / 40_000)
    psi = arma.psi_weights(REPAIRED, 300)
    for lag in (1, 3):
        expected = 2.5**2 * (psi[lag:] @ psi[:-lag])
        found = np.mean(paths[:, lag:] * paths[:, :-lag])
        assert found == pytest.approx(expected, rel=0.03)


def test_spread_from_zero_is_that_of_the_weights():
    for m in (PRINTED, REPAIRED):
        rng = np.random.default_rng(2)
        paths = arma.simulate(m, 20_000, 24, rng, start="zero", allow_unstable=True)
        np.testing.assert_allclose(paths.std(axis=0), arma.growth(m, 24), rtol=0.03)


def test_same_seed_same_paths_and_the_mean_is_added():
    def draw(m, seed):
        return arma.simulate(m, 3, 5, np.random.default_rng(seed))

    shifted = arma.Arma(REPAIRED.phi, REPAIRED.theta, 2.5, mean=4.0)
    np.testing.assert_array_equal(draw(REPAIRED, 3), draw(REPAIRED, 3))
    assert not np.array_equal(draw(REPAIRED, 3), draw(REPAIRED, 4))
    np.testing.assert_allclose(draw(shifted, 3) - draw(REPAIRED, 3), 4)


# --- fitting ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_series():
    true = arma.Arma([0.6, 0.2], [], 1.5, mean=2.0)
    return true, arma.simulate(true, 1, 4000, np.random.default_rng(5))[0]


def test_a_fit_finds_what_made_the_series(long_series):
    true, series = long_series
    found = arma.fit(series, order=(2, 0))
    np.testing.assert_allclose(found.phi, true.phi, atol=0.05)  # three standard errors
    assert found.sigma == pytest.approx(1.5, rel=0.04)
    assert found.mean == pytest.approx(2.0, abs=0.4)
    assert arma.diagnose(found.residuals, found.sigma)["ljung_box_p"] > 0.001


def test_bic_chooses_the_true_order_and_the_table_is_whole(long_series):
    _, series = long_series
    found = arma.fit(series, p_max=3, q_max=1)
    assert found.order == (2, 0)
    assert len(found.table) + len(found.lost) == 8
    assert found.bic == min(bic for _, bic in found.table.values())
    k = 2 + 2  # coefficients, mean and variance
    assert found.bic - found.aic == pytest.approx(k * (np.log(4000) - 2), rel=1e-9)
    worst = arma.fit(series, criterion="aic", p_max=0, q_max=0)
    assert worst.order == (0, 0) and worst.aic > found.aic


def test_aic_and_bic_are_obeyed_where_they_differ():
    """A second coefficient too weak for BIC and strong enough for AIC, at 150 values."""
    weak = arma.Arma([0.5, 0.14], [], 1.0)
    series = arma.simulate(weak, 1, 150, np.random.default_rng(0))[0]
    by = {c: arma.fit(series, criterion=c, p_max=2, q_max=0) for c in ("aic", "bic")}
    assert by["aic"].order == (2, 0) and by["bic"].order == (1, 0)
    for at, (name, found) in enumerate(by.items()):
        assert getattr(found, name) == min(both[at] for both in found.table.values())


def test_an_estimate_that_explodes_is_lost(monkeypatch):
    from types import SimpleNamespace

    from statsmodels.tsa.arima import model as estimation

    class Exploding:
        def __init__(self, series, order, trend):
            self.series = series

        def fit(self, method):
            return SimpleNamespace(params=[0.0, 1.2, 1.0], aic=0.0, bic=0.0, resid=self.series)

    monkeypatch.setattr(estimation, "ARIMA", Exploding)
    with pytest.raises(ValueError, match=r"no ARMA could be fitted.*explodes.*1\.2000"):
        arma.fit(np.arange(99.0) % 7, order=(1, 0))


def test_innovations_of_the_fit_are_its_residuals(long_series):
    _, series = long_series
    found = arma.fit(series, order=(1, 1))
    ours = arma.innovations(found, series)
    np.testing.assert_allclose(ours[100:], found.residuals[100:], atol=1e-6)


def test_diagnosis_tells_good_residuals_from_bad_ones():
    rng = np.random.default_rng(7)
    good = arma.diagnose(rng.standard_normal(3000), 1.0)
    assert good["pit_ks"] < 0.03 and abs(good["kurtosis"]) < 0.4
    assert min(good[name] for name in ("ljung_box_p", "squares_p", "ks_p")) > 0.001
    moving = arma.diagnose(arma.simulate(REPAIRED, 1, 3000, rng)[0], 8.3)
    assert moving["ljung_box_p"] < 1e-6
    daily = rng.standard_normal(3000)
    daily[12:] += 0.5 * daily[:-12]  # nothing at lags below twelve
    assert arma.diagnose(daily, 1.1, lags=24)["ljung_box_p"] < 1e-6
    assert arma.diagnose(daily, 1.1, lags=6)["ljung_box_p"] > 1e-3
    bursts = rng.standard_normal(3000) * np.repeat([0.3, 3.0], 1500)
    assert arma.diagnose(bursts, bursts.std())["squares_p"] < 1e-6
    assert arma.diagnose(bursts, bursts.std())["kurtosis"] > 1


# --- clipping -----------------------------------------------------------------------------------


def test_around_clips_by_number_and_by_hour():
    assert arma.around([0.5, 0.5], [[0.6, -0.7]], 1.0).tolist() == [[1.0, 0.0]]
    night = arma.around([0.0, 0.5], [[0.3, 0.3]], rated=[0.0, 1.0])
    assert night.tolist() == [[0.0, 0.8]]


def test_clipping_pulls_the_mean_inwards_and_lowers_the_spread():
    errors = arma.simulate(arma.Arma([0.7], [], 0.15), 5000, 4, np.random.default_rng(8))
    low, high = (arma.around(np.full(4, f), errors, 1.0) for f in (0.05, 0.95))
    assert low.mean() > 0.05 + 0.02 and high.mean() < 0.95 - 0.02
    assert max(low.std(), high.std()) < errors.std()
    assert low.min() == 0 and high.max() == 1


# --- errors -------------------------------------------------------------------------------------


def test_an_unstable_model_is_refused_by_its_root():
    rng = np.random.default_rng(0)
    for options in ({}, {"start": "zero"}, {"allow_unstable": True}):
        with pytest.raises(arma.UnstableError, match=r"explodes.*1\.0709"):
            arma.simulate(PRINTED, 2, 3, rng, **options)
    for call in (arma.stationary_std, arma.stationary_covariance, arma.require_stable):
        with pytest.raises(arma.UnstableError, match=r"1\.0709"):
            call(PRINTED)
    with pytest.raises(arma.UnstableError, match=r"1\.0000"):
        arma.stationary_std(arma.Arma([1.0], [], 1.0))  # a random walk


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ([0.0, 1.0, np.nan, 2.0] * 30, "position 2"),
        ([0.0, np.inf] * 60, "position 1"),
        (np.ones((50, 2)), r"shape \(50, 2\)"),
        (np.ones(100), "spread 0"),
        (np.arange(8.0), "8 values"),
    ],
)
def test_a_series_that_cannot_be_fitted_is_refused(series, message):
    with pytest.raises(ValueError, match=message):
        arma.fit(series)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: arma.Arma([np.nan], [], 1.0), "phi"),
        (lambda: arma.Arma([0.1], [], -1.0), "sigma"),
        (lambda: arma.Arma([0.1], [], 1.0, mean=np.nan), "mean"),
        (lambda: arma.simulate(REPAIRED, 0, 3, np.random.default_rng(0)), "n_s = 0"),
        (lambda: arma.simulate(REPAIRED, 1, 3, np.random.default_rng(0), start="x"), "start"),
        (lambda: arma.fit(np.arange(99.0) % 7, criterion="r2"), "criterion"),
        (lambda: arma.fit(np.ones(50), order=(0, 0)), "spread 0"),
        (lambda: arma.fit([], order=(0, 0)), "0 values"),
        (lambda: arma.fit(np.arange(9.0), order=(0, 0)), "9 values"),
        (lambda: arma.diagnose([0.1, np.nan] * 40, 1.0), "position 1"),
        (lambda: arma.diagnose(np.arange(99.0) % 7, 0.0), "sigma = 0"),
        (lambda: arma.diagnose(np.arange(99.0) % 7, np.nan), "sigma = nan"),
        (lambda: arma.around([np.nan], [[0.0]], 1.0), "forecast"),
        (lambda: arma.around([0.0], [[np.nan]], 1.0), "errors"),
        (lambda: arma.around([0.0], [[0.0]], -1.0), "negative"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_modules_are_light():
    heavy = "{'scipy.stats', 'scipy.optimize', 'statsmodels', 'highspy'}"
    code = f"import sys, adnlib.arma, adnlib.scenarios; print({heavy} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"
