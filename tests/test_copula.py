"""Margins, correlations and copulas: by hand, against other packages, and as properties."""

import doctest
import warnings

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import dblquad
from scipy.special import ndtr, ndtri

from adnlib import copula, correlation, margins, tcopula

RANDOM = {"deadline": None, "derandomize": True, "database": None}
ABC = np.array([[1.0, 0.6, 0.3], [0.6, 1.0, -0.2], [0.3, -0.2, 1.0]])


def normal(n, R=ABC, seed=1):
    return np.random.default_rng(seed).multivariate_normal(np.zeros(len(R)), R, size=n)


def plants(n, seed=1):
    """Three plants with atoms: output clipped to [0, 1]."""
    return np.clip(0.4 + 0.4 * normal(n, seed=seed), 0, 1)


# --- margins ------------------------------------------------------------------------------------


def test_doctests():
    for module in (margins, correlation, copula, tcopula):
        failed, tried = doctest.testmod(module)
        assert failed == 0 and tried


def test_ranks_by_hand():
    """Values 0 0 3: l, e = 0, 2 and 2, 1; u = (l + e / 2 + 1/2) / 4. Unseen: no tie."""
    m = margins.fit(np.array([[0.0], [0.0], [3.0]]))
    u = m.uniform(np.array([[-1.0], [0.0], [1.0], [3.0], [9.0]]))
    np.testing.assert_allclose(u.ravel(), [0.125, 0.375, 0.625, 0.75, 0.875])


def test_random_spread_fills_the_step_of_an_atom():
    """40 % at zero: u of the zeros is uniform on that step, and all u are uniform."""
    x = np.maximum(normal(4000, np.eye(1)) - ndtri(0.4), 0)
    m = margins.fit(x)
    u = m.uniform(x, np.random.default_rng(2))
    assert stats.kstest(u[:, 0], "uniform").pvalue > 0.01
    assert stats.kstest(m.uniform(x)[:, 0], "uniform").statistic > 0.15  # the middle does not
    place = [np.searchsorted(np.unique(x), v) for v in (m.quantile(u), x)]
    assert np.abs(place[0] - place[1]).max() == 1  # spread over half a rank to either side


@given(st.lists(st.integers(0, 6), min_size=2, max_size=30).filter(lambda v: len(set(v)) > 1))
@settings(max_examples=60, **RANDOM)
def test_empirical_margins_are_reproduced(values):
    """quantile(uniform(x)) = x; evenly spread u give back every value as often as it came."""
    x = np.array(values, float)[:, None]
    m = margins.fit(x)
    np.testing.assert_array_equal(m.quantile(m.uniform(x)), x)
    even = (np.arange(len(x) * 4)[:, None] + 0.5) / (len(x) * 4)
    np.testing.assert_array_equal(m.quantile(even).ravel(), np.repeat(np.sort(x.ravel()), 4))


def test_kernel_margin_is_the_sum_of_its_kernels():
    x = normal(80, np.eye(1))
    m = margins.fit(x, "kernel")
    spread = min(x.std(ddof=1), np.subtract(*np.quantile(x, [0.75, 0.25])) / 1.34)
    h = 0.9 * spread * 80**-0.2
    at = np.linspace(-3, 3, 41)[:, None]
    exact = ndtr((at - x.T) / h).mean(axis=1)
    np.testing.assert_allclose(m.uniform(at)[:, 0], exact, atol=2e-4)
    level = np.array([[0.001], [0.2], [0.5], [0.99]])
    np.testing.assert_allclose(m.uniform(m.quantile(level)), level, rtol=1e-9)


def test_beta_margin_matches_scipy_and_its_moments():
    x = np.random.default_rng(3).beta(2, 5, (500, 1))
    m = margins.fit(x, "beta")
    low, width = x.min(), np.ptp(x)
    unit = (x - low) / width
    s = unit.mean() * (1 - unit.mean()) / unit.var() - 1
    exact = stats.beta(unit.mean() * s, (1 - unit.mean()) * s, low, width)
    level = np.linspace(0.002, 0.998, 97)[:, None]
    np.testing.assert_allclose(m.quantile(level), exact.ppf(level), atol=2e-5)
    assert exact.mean() == pytest.approx(x.mean()) and exact.var() == pytest.approx(x.var())


def test_beta_margins_stay_off_zero_and_one():
    """Values 0 0 1 2 4: u of 0 is (2/2 + 1/2) / 6, of 4 is 1 - 1/6; ends are no outliers."""
    x = np.array([[0.0], [0], [1], [2], [4]])
    u = margins.fit(x, "beta").uniform(np.array([[-1.0], [0], [1e-9], [4], [7]])).ravel()
    np.testing.assert_allclose(u, [0.25, 0.25, 2.5 / 6, 5 / 6, 5 / 6])
    R = np.array([[1, 0.8], [0.8, 1]])
    for zeros in (0.0, 0.2):
        clipped = ndtr(np.maximum(normal(4000, R), -np.inf if zeros == 0 else ndtri(zeros)))
        found = copula.fit(clipped - clipped.min(), margins="beta").correlation[0, 1]
        assert found == pytest.approx(0.8, abs=0.1)


def test_margins_that_do_not_exist_or_do_not_fit():
    with pytest.raises(ValueError, match="no margins 'gamma'; there are empirical"):
        margins.fit(plants(9), "gamma")
    with pytest.raises(ValueError, match="live column 1 takes two values only"):
        margins.fit(np.array([[0.1, 0], [0.5, 1], [0.9, 0]]), "beta")


# --- correlations -------------------------------------------------------------------------------


def test_four_days_by_hand():
    """One pair of six in the wrong order: tau = 4/6, rho = 0.8; scores from two quantiles."""
    x = np.array([[1.0, 5], [2, 6], [3, 8], [4, 7]])
    a, b = ndtri(0.8), ndtri(0.6)
    wanted = {
        "scores": (a + b) ** 2 / (2 * (a**2 + b**2)),
        "kendall": np.sin(np.pi / 3),
        "spearman": 2 * np.sin(np.pi * 0.8 / 6),
    }
    for estimator, value in wanted.items():
        found = copula.fit(x, estimator=estimator).correlation[0, 1]
        assert found == pytest.approx(value, abs=1e-12)


def test_rank_correlations_equal_scipy_with_and_without_ties():
    for x in (normal(200), np.round(normal(200))):
        tau, rho = correlation.kendall(x), correlation.spearman(x)
        for i, j in ((0, 1), (0, 2), (1, 2)):
            assert tau[i, j] == pytest.approx(stats.kendalltau(x[:, i], x[:, j]).statistic)
            assert rho[i, j] == pytest.approx(stats.spearmanr(x[:, i], x[:, j]).statistic)


@pytest.mark.parametrize("estimator", correlation.ESTIMATORS)
def test_the_three_estimates_find_the_truth(estimator):
    """20 000 normal vectors behind margins bent out of shape: within 4 standard errors."""
    x = normal(20000)
    bent = np.c_[np.exp(x[:, 0]), x[:, 1] ** 3, ndtr(x[:, 2])]
    found = copula.fit(bent, estimator=estimator).correlation
    np.testing.assert_allclose(found, ABC, atol=4 / np.sqrt(20000))


@given(st.integers(0, 10**6), st.integers(2, 12))
@settings(max_examples=30, **RANDOM)
def test_repair_gives_a_correlation_matrix_and_says_how_far(seed, d):
    rng = np.random.default_rng(seed)
    wrong = np.clip(0.5 * (a := rng.uniform(-1, 1, (d, d))) + 0.5 * a.T, -1, 1)
    np.fill_diagonal(wrong, 1)
    R, moved = correlation.repair(wrong)
    assert np.linalg.eigvalsh(R)[0] >= 0.5 * correlation.FLOOR
    np.testing.assert_allclose(np.diag(R), 1, atol=1e-14)
    assert moved == pytest.approx(np.linalg.norm(R - wrong), abs=1e-12)
    again, none = correlation.repair(correlation.repair(R, floor=1e-9)[0], floor=1e-9)
    assert none == 0 and again is not None


def test_repair_is_the_nearest_and_leaves_what_is_good():
    """Nearer than eigenvalues lifted and rescaled, and as near as a semidefinite program finds."""
    x = normal(30, np.eye(8), seed=5)
    wrong = np.sin(np.pi / 2 * correlation.kendall(x[:6]))
    R, moved = correlation.repair(wrong)
    simple = correlation.raised(wrong, 1e-6)
    scale = np.sqrt(np.diag(simple))
    assert 0 < moved < np.linalg.norm(simple / np.outer(scale, scale) - wrong)
    X = cp.Variable((8, 8), PSD=True)
    best = cp.Problem(cp.Minimize(cp.norm(X - wrong, "fro")), [cp.diag(X) == 1])
    assert moved == pytest.approx(best.solve(solver=cp.CLARABEL), abs=1e-4)
    np.testing.assert_allclose(R, X.value, atol=1e-3)
    assert correlation.repair(ABC)[0] is ABC and correlation.repair(ABC)[1] == 0


def test_repair_of_larger_matrices_is_the_nearest():
    """Least eigenvalue at the floor, and the conditions of the nearest one: what was added beyond
    the diagonal is positive semidefinite and meets the result only at its floor."""
    for seed in range(4):
        a = np.random.default_rng(seed).uniform(-1, 1, (20, 20))
        wrong = 0.5 * (a + a.T)
        np.fill_diagonal(wrong, 1)
        R, moved = correlation.repair(wrong)
        assert np.linalg.eigvalsh(wrong)[0] < -1 and moved > 1
        assert 0.9 * correlation.FLOOR < np.linalg.eigvalsh(R)[0] < 2 * correlation.FLOOR
        early = correlation.repair(wrong, max_steps=2)  # stopped early: good, but farther
        assert np.linalg.eigvalsh(early[0])[0] > 0.5 * correlation.FLOOR and early[1] > moved
        added = R - wrong
        values, vectors = np.linalg.eigh(R)
        null = vectors[:, values < 1e-4]
        X = cp.Variable((20, 20), PSD=True)
        best = cp.Problem(cp.Minimize(cp.norm(X - wrong, "fro")), [cp.diag(X) == 1])
        assert moved == pytest.approx(best.solve(solver=cp.CLARABEL), abs=1e-3)
        assert null.shape[1] > 3 and np.linalg.eigvalsh(null.T @ added @ null)[-1] > 0


def test_repair_goes_before_shrinkage():
    """Few samples: Kendall's matrix is indefinite; repaired and shrunk by w, the least eigenvalue
    is w and more, and the density elsewhere is finite and moderate."""
    R = 0.8 ** np.abs(np.subtract.outer(range(12), range(12)))
    x, other = normal(30, R), normal(200, R, seed=2)
    wrong = np.sin(np.pi / 2 * correlation.kendall(x))
    assert np.linalg.eigvalsh(wrong)[0] < 0
    bare, shrunk = (copula.fit(x, estimator="kendall", shrinkage=w) for w in (None, 0.1))
    assert bare.moved == pytest.approx(shrunk.moved, rel=1e-3)
    np.testing.assert_allclose(shrunk.core, 0.9 * bare.core + 0.1 * np.eye(12), atol=1e-5)
    assert np.linalg.eigvalsh(shrunk.core)[0] > 0.1
    held = [model.log_density(model.uniform(other)).mean() for model in (bare, shrunk)]
    assert held[0] < -1000 and held[1] > 0


def test_kronecker_target_with_a_column_that_never_varies():
    """A night column in the middle: the target covers the live columns, in their places."""
    R = np.kron([[1, 0.7], [0.7, 1]], ABC)
    x = normal(4000, R)
    x[:, 1] = 0.0
    model = copula.fit(x, structure="kronecker", shape=(2, 3))
    live = [0, 2, 3, 4, 5]
    assert model.degenerate == (1,)
    np.testing.assert_allclose(model.core, R[np.ix_(live, live)], atol=4 / np.sqrt(4000))


def test_kronecker_finds_its_own_factors_with_holes():
    time = 0.8 ** np.abs(np.subtract.outer(range(5), range(5)))
    whole = np.kron(time, ABC)
    live = np.delete(np.arange(15), [2, 5, 14])
    for covered in (np.arange(15), live):
        found = correlation.kronecker(whole[np.ix_(covered, covered)], (5, 3), covered)
        np.testing.assert_allclose(found[0], time, atol=1e-9)
        np.testing.assert_allclose(found[1], ABC, atol=1e-9)


def test_shrinkage_weight_by_its_definition():
    z = normal(40)
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    R, variance, far = np.corrcoef(z.T), 0.0, 0.0
    for i in range(3):
        for j in range(3):
            if i != j:
                w = z[:, i] * z[:, j]
                variance += 40 / 39**3 * ((w - w.mean()) ** 2).sum()
                far += R[i, j] ** 2
    assert correlation.shrinkage_weight(z, R, np.eye(3)) == pytest.approx(variance / far)
    assert correlation.shrinkage_weight(z, R, R) == 1


# --- the model ----------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.sampled_from(correlation.ESTIMATORS), st.integers(3, 25))
@settings(max_examples=30, **RANDOM)
def test_every_fit_has_a_correlation_matrix(seed, estimator, n):
    x = np.round(np.random.default_rng(seed).normal(size=(n, 4)), 1)
    x[:, 3] += x[:, 0]
    model = copula.fit(x, estimator=estimator, shrinkage=0.02)
    assert model.correlation.shape == (4, 4) and np.linalg.eigvalsh(model.correlation)[0] > 0
    np.testing.assert_allclose(np.diag(model.correlation), 1)
    u = model.uniform(x)
    assert ((u > 0) & (u < 1)).all() and np.isfinite(model.log_density(u)).all()


def test_samples_keep_margins_atoms_and_rank_correlations():
    x = plants(500)
    model = copula.fit(x)
    drawn = model.sample(40000, np.random.default_rng(7))
    assert drawn.shape == (40000, 3) and np.isin(drawn, x).all()
    for k in range(3):
        assert stats.ks_2samp(drawn[:, k], x[:, k]).statistic < 0.02
        assert (drawn[:, k] == 0).mean() == pytest.approx((x[:, k] == 0).mean(), abs=0.01)
    gap = correlation.spearman(drawn) - correlation.spearman(x)
    assert np.abs(gap).max() < 0.03


def test_the_same_seed_gives_the_same_draws():
    model = copula.fit(plants(50))
    a, b = (model.sample(20, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_increasing_changes_of_a_margin_leave_the_copula_alone():
    x = normal(60)
    other = np.c_[5 * x[:, 0] - 2, np.exp(x[:, 1]), x[:, 2] ** 3]
    for estimator in correlation.ESTIMATORS:
        a, b = (copula.fit(v, estimator=estimator).correlation for v in (x, other))
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_columns_that_never_vary_stay_outside():
    x = np.insert(normal(50), 1, 0.25, axis=1)
    x = pd.DataFrame(x, columns=["a", "night", "b", "c"])
    model = copula.fit(x)
    assert model.degenerate == (1,) and model.correlation.shape == (4, 4)
    np.testing.assert_array_equal(model.correlation[1], [0, 1, 0, 0])
    np.testing.assert_allclose(model.core, copula.fit(x.drop(columns="night")).correlation)
    assert (model.sample(30, np.random.default_rng(1))[:, 1] == 0.25).all()
    u = model.uniform(x)
    np.testing.assert_allclose(
        model.log_density(u), copula.log_density(u[:, [0, 2, 3]], model.core)
    )
    with pytest.raises(ValueError, match=r"'night' was always 0\.25 when the model was fitted"):
        model.conditional({"night": 1.0})
    assert model.conditional({"night": 0.25}).mean == pytest.approx(0, abs=1e-15)


def test_log_density_integrates_to_one_and_equals_statsmodels():
    from statsmodels.distributions.copula.api import GaussianCopula, StudentTCopula

    u = np.random.default_rng(3).uniform(0.001, 0.999, (200, 3))
    ours, theirs = copula.log_density(u, ABC), GaussianCopula(ABC, k_dim=3).logpdf(u)
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
    theirs = StudentTCopula(ABC, df=3.5, k_dim=3).logpdf(u)
    np.testing.assert_allclose(tcopula.log_density(u, ABC, 3.5), theirs, atol=1e-9)
    np.testing.assert_allclose(tcopula.log_density(u, ABC, 1e7), ours, atol=1e-4)
    R = ABC[:2, :2]
    for log_c in (copula.log_density, lambda u, R: tcopula.log_density(u, R, 4)):
        inside = dblquad(
            lambda a, b, f=log_c: np.exp(f(np.array([[a, b]]), R)[0]), 0, 1, 0, 1, epsabs=1e-4
        )
        assert inside[0] == pytest.approx(1, abs=2e-3)


def test_conditioning_by_hand_and_by_rejection():
    """z_b | z_a: mean rho z_a, variance 1 - rho^2; draws agree with those near the condition."""
    x = normal(2000)
    model = copula.fit(pd.DataFrame(x, columns=list("abc")))
    rho = model.correlation[0, 1]
    value = float(np.quantile(x[:, 0], 0.9))
    z_a = ndtri(model.margins.uniform(np.array([[value, 0, 0]]))[0, 0])
    given_a = model.conditional({"a": value})
    assert given_a.mean[0] == pytest.approx(rho * z_a)
    assert given_a.covariance[0, 0] == pytest.approx(1 - rho**2)
    drawn = given_a.sample(4000, np.random.default_rng(8))
    assert (drawn[:, 0] == value).all()
    near = model.sample(200000, np.random.default_rng(9))
    near = near[np.abs(near[:, 0] - value) < 0.05]
    assert stats.ks_2samp(drawn[:, 1], near[:, 1]).statistic < 0.05
    np.testing.assert_allclose(
        given_a.quantile([0.1, 0.5, 0.9])[:, 1],
        np.quantile(drawn[:, 1], [0.1, 0.5, 0.9]),
        atol=0.12,
    )


def test_conditioning_on_nothing_on_everything_and_by_vector():
    x = plants(60)
    model = copula.fit(x)
    rng = np.random.default_rng
    free, whole = model.conditional({}).sample(9, rng(1)), model.sample(9, rng(1))
    np.testing.assert_array_equal(free, whole)
    everything = model.conditional(x[3]).sample(2, rng(1))
    np.testing.assert_array_equal(everything, x[[3, 3]])
    a, b = model.conditional([0.3, np.nan, np.nan]), model.conditional({0: 0.3})
    np.testing.assert_array_equal(a.mean, b.mean)


def test_structure_and_shrinkage_do_what_they_say():
    time = 0.7 ** np.abs(np.subtract.outer(range(4), range(4)))
    x = normal(8, np.kron(time, ABC))
    with pytest.raises(ValueError, match="8 samples are too few for 12 columns that vary"):
        copula.fit(x)
    with pytest.raises(ValueError, match="8 samples are too few for 8 columns that vary"):
        copula.fit(x[:, :8])  # centred scores have rank 7
    assert np.linalg.eigvalsh(copula.fit(x[:, :7]).correlation)[0] > 0
    shaped = copula.fit(x, structure="kronecker", shape=(4, 3))
    R = copula.fit(x, shrinkage=0.0).correlation  # repaired
    assert shaped.weight == 1 and np.linalg.eigvalsh(shaped.correlation)[0] > 0
    sizes = shaped.correlation.reshape(4, 3, 4, 3)
    space = sizes[0, :, 0, :]
    np.testing.assert_allclose(
        sizes, np.einsum("st,ij->sitj", sizes[:, 0, :, 0], space), atol=1e-12
    )
    assert copula.fit(x, shrinkage=0.0).moved > 0 and np.linalg.eigvalsh(R)[0] > 0
    np.testing.assert_allclose(copula.fit(x, shrinkage=1.0).correlation, np.eye(12), atol=1e-12)
    auto = copula.fit(x, shrinkage="auto")
    assert 0 < auto.weight < 1 and auto.moved == 0
    # many samples of a Kronecker matrix: shrinking towards it goes all or most of the way
    long = copula.fit(normal(3000, np.kron(time, ABC)), shrinkage="auto", structure="kronecker",
                      shape=(4, 3))  # fmt: skip
    assert long.weight > 0.5
    np.testing.assert_allclose(long.correlation, np.kron(time, ABC), atol=0.06)


def test_a_t_sample_gives_back_its_degrees_of_freedom():
    x = stats.multivariate_t(shape=ABC, df=4, seed=11).rvs(8000)
    u = copula.fit(x).uniform(x)
    R = correlation.correlation_of(u, "kendall")
    nu = tcopula.fit_nu(u, R)
    assert 3.4 < nu < 4.8
    assert tcopula.log_density(u, R, nu).mean() > copula.log_density(u, R).mean() + 0.05
    z = normal(8000)
    assert tcopula.fit_nu(copula.fit(z).uniform(z), ABC) > 30


# --- second opinion and errors ------------------------------------------------------------------


def test_the_package_copulas_finds_the_same_correlation():
    from copulas.multivariate import GaussianMultivariate
    from copulas.univariate import BetaUnivariate, GaussianUnivariate

    x = ndtr(normal(300))
    ours = copula.fit(x)
    same = GaussianMultivariate(distribution=GaussianUnivariate)
    same.fit(pd.DataFrame(ndtri(ours.uniform(x))))
    np.testing.assert_allclose(same.correlation.to_numpy(), ours.correlation, atol=1e-12)
    beta = GaussianMultivariate(distribution=BetaUnivariate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # its optimiser leaves the domain
        beta.fit(pd.DataFrame(x))
    gap = beta.correlation.to_numpy() - copula.fit(x, margins="beta").correlation
    assert np.abs(gap).max() < 0.05


def test_bad_input_is_refused_and_named():
    x = pd.DataFrame(plants(20), columns=["w1", "w2", "pv"])
    hole = x.copy()
    hole.loc[4, "w2"] = np.nan
    for wrong, options, message in (
        (hole, {}, "column 'w2' is nan in row 4"),
        (x.replace(x.iloc[2, 2], np.inf), {}, "column 'pv' is inf"),
        (x * 0, {}, "all 3 columns are constant over 20 samples"),
        (x.to_numpy()[0], {}, "a copula needs"),
        (x, {"estimator": "pearson"}, "no estimator 'pearson'"),
        (x, {"structure": "toeplitz"}, "no structure 'toeplitz'"),
        (x, {"structure": "kronecker"}, r"needs shape=\(n_time, n_space\)"),
        (x, {"structure": "kronecker", "shape": (2, 2)}, r"n_time n_space = 3 columns"),
        (x, {"shrinkage": 1.5}, r"a weight lies in \[0, 1\]"),
        (x, {"shrinkage": "lots"}, "give 'auto' or a number"),
    ):
        with pytest.raises(ValueError, match=message):
            copula.fit(wrong, **options)
    model = copula.fit(x)
    with pytest.raises(ValueError, match="no column 'w9' in the model; there are w1, w2, pv"):
        model.conditional({"w9": 0.1})
    with pytest.raises(ValueError, match=r"observed has shape \(2,\)"):
        model.conditional([0.1, 0.2])
    with pytest.raises(ValueError, match="u of column 'pv' is not inside"):
        model.log_density([[0.5, 0.5, 1.0]])
    with pytest.raises(ValueError, match=r"it needs \(n, 3\)"):
        model.log_density([0.5, 0.5])
    with pytest.raises(ValueError, match="samples have 2 columns, the model 3"):
        model.uniform(x.to_numpy()[:, :2])


def test_columns_are_found_by_name():
    x = pd.DataFrame(plants(30), columns=["w1", "w2", "pv"])
    model, nameless = copula.fit(x), copula.fit(x.to_numpy())
    np.testing.assert_array_equal(model.uniform(x[["pv", "w1", "w2"]]), model.uniform(x))
    np.testing.assert_array_equal(nameless.uniform(x), model.uniform(x.to_numpy()))
    with pytest.raises(ValueError, match="samples have no column 'pv'"):
        model.uniform(x.rename(columns={"pv": "sun"}))
    with pytest.raises(ValueError, match="column 'w1' comes twice"):
        copula.fit(x.set_axis(["w1", "w2", "w1"], axis=1))


def test_values_that_are_no_observation_are_refused():
    model = copula.fit(pd.DataFrame(plants(30), columns=["w1", "w2", "pv"]))
    for value in (np.inf, -np.inf, np.nan):
        with pytest.raises(ValueError, match=r"column 'w2' is observed at -?(inf|nan); leave it"):
            model.conditional({"w2": value})
    with pytest.raises(ValueError, match="column 'pv' is observed at infinity"):
        model.conditional([0.1, np.nan, np.inf])


def test_matrices_that_have_no_answer_are_refused():
    constant, hole = plants(9), plants(9)
    constant[:, 1], hole[3, 2] = 0.5, np.nan
    for rank in (correlation.kendall, correlation.spearman):
        with pytest.raises(ValueError, match="column 1 is constant or not finite"):
            rank(constant)
        with pytest.raises(ValueError, match="column 2 is constant or not finite"):
            rank(hole)
    with pytest.raises(ValueError, match="the matrix is not finite"):
        correlation.repair(np.array([[1, np.nan], [np.nan, 1]]))
    wrong = np.array([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]])
    for log_c in (copula.log_density, lambda u, R: tcopula.log_density(u, R, 4)):
        with pytest.raises(ValueError, match=r"the matrix has the eigenvalue -0\.8"):
            log_c(np.full((2, 3), 0.3), wrong)


def test_the_benchmark_runs_at_its_smallest_size():
    from benchmarks import copula_speed

    rows = [row for _, _, job in copula_speed.steps(small=True) for row in job()]
    names = {row["method"] for row in rows}
    assert copula_speed.OURS in names and copula_speed.BETA in names
    assert all(row["median_s"] > 0 for row in rows)
    assert copula_speed.KERNEL not in names and len(copula_speed.checks(rows)) == 2
    slow = [{"method": copula_speed.BETA, "ratio": 19.0, "size": 144}]
    assert [holds for *_, holds in copula_speed.checks(slow)] == [False]
