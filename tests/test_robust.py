"""Robust rows against enumeration and sampling; two-stage plans against their extensive form."""

from itertools import chain, pairwise

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adnlib import robust, solve
from adnlib.adjustable import column_and_constraint, worst_recourse
from adnlib.robust import Box, Budget, Ellipsoid


def drawn(kind, d, seed, whole=True):
    rng = np.random.default_rng(seed)
    centre, up, down = rng.normal(size=d), rng.uniform(0, 1, d), rng.uniform(0, 1, d)
    if kind == "box":
        return Box(centre, up, down), rng
    if kind == "budget":
        gamma = rng.integers(0, d + 1) if whole else rng.uniform(0, d)
        return Budget(centre, up, down, gamma=float(gamma)), rng
    return Ellipsoid(centre, rng.normal(size=(d, d))), rng


KINDS = st.sampled_from(["box", "budget", "ellipsoid"])


# --- the inner maximum


@settings(derandomize=True, deadline=None, max_examples=40)
@given(kind=st.sampled_from(["box", "budget"]), d=st.integers(1, 6), seed=st.integers(0, 999))
def test_worst_case_is_the_best_vertex(kind, d, seed):
    uncertainty, rng = drawn(kind, d, seed)
    a = rng.normal(size=d)
    value, xi = robust.worst_case(uncertainty, a)
    assert value == pytest.approx((robust.vertices(uncertainty) @ a).max(), abs=1e-12)
    assert value == pytest.approx(a @ xi, abs=1e-12)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(kind=KINDS, d=st.integers(1, 80), seed=st.integers(0, 999))
def test_no_sample_of_the_set_is_worse(kind, d, seed):
    uncertainty, rng = drawn(kind, d, seed, whole=False)
    a = rng.normal(size=d)
    value, xi = robust.worst_case(uncertainty, a)
    assert (robust.sample(uncertainty, 500, rng) @ a).max() <= value + 1e-9
    assert a @ xi == pytest.approx(value, abs=1e-9)


def test_ellipsoid_by_hand():
    value, xi = robust.worst_case(Ellipsoid([1.0, 1.0], np.diag([3.0, 4.0])), [1.0, 1.0])
    assert value == pytest.approx(2 + 5) and xi == pytest.approx([1 + 9 / 5, 1 + 16 / 5])


def test_a_budget_of_all_is_the_box_and_of_none_the_centre():
    box, rng = drawn("box", 7, 3)
    a = rng.normal(size=(5, 7))
    budget = [Budget(box.centre, box.up, box.down, gamma=g) for g in (0, 7)]
    np.testing.assert_allclose(robust.worst_case(budget[0], a)[0], a @ box.centre)
    np.testing.assert_allclose(robust.worst_case(budget[1], a)[0], robust.worst_case(box, a)[0])


@settings(derandomize=True, deadline=None, max_examples=20)
@given(kind=KINDS, seed=st.integers(0, 999))
def test_a_batch_is_its_rows(kind, seed):
    sets, rng = zip(*(drawn(kind, 4, seed + k, whole=False) for k in range(3)))
    a = rng[0].normal(size=(3, 4))
    batch = type(sets[0])(**{k: np.stack([vars(s)[k] for s in sets]) for k in vars(sets[0])})
    value, xi = robust.worst_case(batch, a)
    for s, row, v, x in zip(sets, a, value, xi):
        one, at = robust.worst_case(s, row)
        assert v == pytest.approx(one) and x == pytest.approx(at)
    assert robust.repeated(batch, 2).centre.shape == (6, 4)


def test_samples_lie_in_the_budget():
    budget, rng = drawn("budget", 9, 5, whole=False)
    moved = robust.sample(budget, 400, rng) - budget.centre
    share = np.where(moved > 0, moved / budget.up, -moved / budget.down)
    assert share.max() <= 1 and share.sum(axis=1).max() <= budget.gamma + 1e-9


# --- dual = primal


@settings(derandomize=True, deadline=None, max_examples=25)
@given(kind=KINDS, d=st.integers(1, 9), seed=st.integers(0, 999))
def test_the_dual_is_the_primal(kind, d, seed):
    uncertainty, rng = drawn(kind, d, seed, whole=False)
    a = rng.normal(size=(3, d))
    x = cp.Variable((3, d))
    value, rows = robust.protection(uncertainty, x)
    least = solve.solve(cp.Problem(cp.Minimize(cp.sum(value)), [*rows, x == a]))
    assert least == pytest.approx(robust.worst_case(uncertainty, a)[0].sum(), abs=1e-5)


@pytest.mark.parametrize("kind", ["box", "budget"])
def test_counterpart_is_all_vertices_at_once(kind):
    uncertainty, rng = drawn(kind, 5, 11)
    c, cap = rng.uniform(0.5, 1, 5), rng.uniform(1, 2, (2, 1))

    def best(rows, x):
        return solve.solve(cp.Problem(cp.Maximize(c @ x), [*rows, cp.abs(x) <= 3]))

    x = cp.Variable(5)
    coefficients = cp.vstack([x, -2 * x + 0.1])
    ours = best(robust.counterpart(uncertainty, coefficients, x[0], cap[:, 0]), x)
    every = coefficients @ robust.vertices(uncertainty).T + x[0]
    assert ours == pytest.approx(best([every <= cap], x), rel=1e-6)


def test_constant_coefficients_need_no_dual():
    uncertainty, _ = drawn("budget", 4, 2)
    value, rows = robust.protection(uncertainty, np.ones((2, 4)))
    assert rows == [] and value.is_constant()
    np.testing.assert_allclose(value.value, robust.worst_case(uncertainty, np.ones((2, 4)))[0])


def test_a_row_that_cannot_be_kept_is_named():
    x = cp.Variable()
    rows = robust.counterpart(Box([1.0], 0.5), cp.reshape(x, (1, 1), order="C"), bound=1.0,
                              label="upper voltage limit")  # fmt: skip
    blame = solve.explain(cp.Problem(cp.Minimize(0), [*rows, x == 1]))[0]
    assert blame.limit == "upper voltage limit" and blame.amount == pytest.approx(0.5, abs=1e-5)


# --- the probability bound


def test_probability_bound_by_hand_and_against_signs():
    assert robust.probability_bound(2, 2) == pytest.approx(1 / 4)  # both at +1 reach, not exceed
    assert robust.probability_bound(3000, 200) < 2e-4  # no overflow
    for n, gamma in ((3, 1.5), (6, 2.0), (11, 4.0)):
        signs = np.array(np.meshgrid(*[[-1, 1]] * n)).reshape(n, -1).sum(axis=0)
        assert (signs > gamma).mean() <= robust.probability_bound(n, gamma) + 1e-12
        if (n + gamma) % 2 == 0:  # then the signs +-1 attain it
            assert (signs >= gamma).mean() == pytest.approx(robust.probability_bound(n, gamma))


def test_independent_samples_keep_the_bound_and_equal_ones_break_it():
    rng, n, gamma = np.random.default_rng(1), 30, 8
    bound = robust.probability_bound(n, gamma)
    free = rng.uniform(-1, 1, (20000, n)).sum(axis=1)
    tied = n * rng.uniform(-1, 1, 20000)
    assert (free > gamma).mean() <= bound < (tied > gamma).mean()


# --- two stages


def problem(seed, d=5, m=6):
    """min c'x + max over xi of min d'y, W y >= T x + h + H xi: recourse always exists."""
    rng = np.random.default_rng(seed)
    W = np.c_[np.eye(m), rng.uniform(0, 1, (m, 3))]
    cost = np.r_[rng.uniform(4, 6, m), rng.uniform(1, 3, 3)]
    H, T, h = rng.normal(size=(m, d)), -rng.uniform(0, 1, (m, 2)), rng.uniform(0, 2, m)
    c = np.array([1.5, 2.0])
    gains = np.maximum(H, 0).T @ cost[:m], np.minimum(H, 0).T @ cost[:m]
    uncertainty = Budget(rng.normal(size=d), rng.uniform(0, 1, d), rng.uniform(0, 1, d), gamma=2.0)
    return c, cost, W, T, h, H, uncertainty, (gains[1], gains[0])


def recourse_of(cost, W, rest, xi):
    y = cp.Variable(len(cost), nonneg=True)
    return cost @ y, [W @ y >= rest + xi]


@pytest.mark.parametrize("seed", range(4))
def test_worst_recourse_is_the_worst_vertex(seed):
    _, cost, W, T, h, H, uncertainty, marginal = problem(seed)
    r = T @ np.array([0.3, 0.2]) + h
    value, xi = worst_recourse(cost, W, r, H, uncertainty, marginal)

    def least(at):
        value, rows = recourse_of(cost, W, r, H @ at)
        return solve.solve(cp.Problem(cp.Minimize(value), rows))

    by_vertex = max(least(at) for at in robust.vertices(uncertainty))
    assert value == pytest.approx(by_vertex, abs=1e-5)
    assert least(xi) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_column_and_constraint_ends_at_the_extensive_form(seed):
    c, cost, W, T, h, H, uncertainty, marginal = problem(seed)

    def build():
        x = cp.Variable(2, nonneg=True)
        return x, c @ x, lambda xi: recourse_of(cost, W, T @ x + h, H @ xi)

    x, first, recourse = build()

    def worst():
        return worst_recourse(cost, W, T @ x.value + h, H, uncertainty, marginal)

    found = column_and_constraint(first, [x <= 3], recourse, worst, uncertainty.centre)
    z, again, copies = build()
    value, rows = zip(*(copies(xi) for xi in robust.vertices(uncertainty)))
    full = cp.Minimize(again + cp.max(cp.hstack(value)))
    extensive = solve.solve(cp.Problem(full, [z <= 3, *chain(*rows)]))
    assert found.value == pytest.approx(extensive, rel=1e-5)
    assert found.bound <= found.value + 1e-6
    bounds = [b for b, _ in found.history]
    assert all(b >= a - 1e-6 for a, b in pairwise(bounds))
    assert found.value == pytest.approx(float(first.value) + worst()[0], rel=1e-6)


def test_too_few_rounds_say_so():
    c, cost, W, T, h, H, uncertainty, marginal = problem(0)
    x = cp.Variable(2, nonneg=True)
    with pytest.raises(RuntimeError, match="1 rounds left a gap"):
        column_and_constraint(
            c @ x, [x <= 3], lambda xi: recourse_of(cost, W, T @ x + h, H @ xi),
            lambda: worst_recourse(cost, W, T @ x.value + h, H, uncertainty, marginal),
            uncertainty.centre, max_rounds=1,
        )  # fmt: skip


def test_a_worst_case_that_the_master_knows_ends_the_loop():
    """worst() says 0.5 more than the recourse costs: no round can ever close that gap."""
    x, rounds = cp.Variable(nonneg=True), []

    def worst():
        rounds.append(1)
        return 2 * (1 - 0.4 - float(x.value)) + 0.5, np.array([0.4])

    def recourse(xi):
        y = cp.Variable(nonneg=True)
        return 2 * y, [x + y >= 1 - xi[0]]

    with pytest.raises(RuntimeError, match="the master knows"):
        column_and_constraint(3 * x, [], recourse, worst, np.array([0.6]))
    assert len(rounds) == 2


def test_upward_worst_case_with_negative_marginals_only():
    """All marginals below zero: the worst xi is the low corner, up costs nothing."""
    W, H = np.eye(2), -np.eye(2)
    value, xi = worst_recourse([2.0, 3.0], W, [1.0, 1.0], H, Box([0.6, 0.5], 0.2, 0.1), (-3, -0.0))
    assert value == pytest.approx(2 * 0.5 + 3 * 0.6) and xi == pytest.approx([0.5, 0.4])
    budget = Budget([0.6, 0.5], 0.2, 0.1, gamma=1)
    assert worst_recourse([2.0, 3.0], W, [1.0, 1.0], H, budget, (-3, 0))[1][1] == pytest.approx(0.4)


# --- refusals


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Box([0.5], -0.1), "not negative"),
        (lambda: Box([0.5], [0.1, 0.2]), "does not fit"),
        (lambda: Budget([0.5], 0.1, gamma=-1), "cannot be negative"),
        (lambda: Budget([[0.5], [0.6]], 0.1, gamma=[1, 2, 3]), "one for each row"),
        (lambda: Ellipsoid([0.5, 0.5], np.eye(3)), "give"),
        (lambda: robust.vertices(Budget([0.5, 0.5], 0.1, gamma=0.5)), "not whole"),
        (lambda: robust.vertices(Box(np.zeros(30), 1)), "enumerate smaller"),
        (lambda: robust.vertices(Ellipsoid([0.0], np.eye(1))), "one box or budget"),
        (lambda: robust.probability_bound(3, 4), "not between"),
        (lambda: robust.repeated(Box([0.5], 0.1), 2), "a set a row"),
        (lambda: robust.protection(Box([0.5], 0.1), cp.Variable((2, 3))), "3 coefficients"),
        (lambda: robust.worst_case(Box(np.zeros((3, 2)), 0.1), np.ones(2)), "one for each"),
        (lambda: robust.worst_case(Box(np.zeros(3), 0.1), np.ones((2, 2))), "one row for all"),
        (
            lambda: worst_recourse(
                [1.0], [[1.0]], [1.0], [[1.0]], Budget([0.0], 1, gamma=0.5), (0, 1)
            ),
            "whole gamma",
        ),
        (
            lambda: worst_recourse([1.0], [[0.0]], [1.0], [[1.0]], Box([0.0], 1), (0, 1)),
            "no recourse exists",
        ),
        (
            lambda: worst_recourse([2.0], [[1.0]], [1.0], [[-1.0]], Box([0.6], 0.2), (-1, 0)),
            "too narrow",
        ),
    ],
)
def test_refusals_name_the_culprit(wrong, words):
    with pytest.raises(ValueError, match=words):
        wrong()
