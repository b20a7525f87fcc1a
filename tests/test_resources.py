"""Sharing a pool: fractions by hand, closed forms against search, the bound of an index."""

import numpy as np
import pytest

from adnlib import resources
from adnlib.resources import Load, Pool, PoolError


def pools(rng, n):
    """Random loads with something to send, and pools with and without delay."""
    for _ in range(n):
        A = int(rng.integers(1, 6))
        load = Load(rng.uniform(0.1, 5), rng.uniform(0.1, 5, A), rng.uniform(0, 50, A))
        yield load, Pool(rng.uniform(0.5, 8), rng.uniform(5, 500), rng.choice([0.0, 0.3]))


def in_all(shares):
    return shares.cloud + shares.edges.sum(), shares.lines.sum()


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_computing_alone_is_four_fractions():
    load, pool = Load(2.0, [1.0, 3.0], [0.0, 0.0]), Pool(3.0, 1.0)
    spent = {
        rule: resources.round_time(resources.times(load, shares, pool))
        for rule, shares in {
            "polling": resources.polling(2, pool),
            "balanced": resources.balanced(load, pool),
            "fastest": resources.fastest(load, pool),
        }.items()
    }
    assert spent["polling"] == pytest.approx(3 * (2 + 3) / 3)
    assert spent["balanced"] == pytest.approx(2 * (2 + 4) / 3)
    assert spent["fastest"] == pytest.approx((2**0.5 + 4**0.5) ** 2 / 3)
    assert resources.round_time(resources.handed_on(load, pool)) == pytest.approx((2 + 4) / 3)


def test_edges_share_so_that_all_answer_at_once_and_nothing_is_left(rng):
    for load, pool in pools(rng, 50):
        cpu, lines = resources.of_edges(load, 0.7 * pool.cpu, pool)
        T = load.edges / cpu + load.sent / lines
        assert np.ptp(T) < 1e-9 * T.max()
        assert cpu.sum() == pytest.approx(0.7 * pool.cpu) and lines.sum() == pytest.approx(
            pool.line
        )
        W, B, R = load.edges.sum(), load.sent.sum(), np.sqrt(load.edges * load.sent).sum()
        assert (0.7 * pool.cpu * T[0] - W) * (pool.line * T[0] - B) == pytest.approx(R**2)


def test_no_random_shares_are_faster_or_less_late(rng):
    for load, pool in pools(rng, 20):
        best = {
            "fastest": resources.round_time(
                resources.times(load, resources.fastest(load, pool), pool)
            ),
            "balanced": resources.times(load, resources.balanced(load, pool), pool).max(),
        }
        bound = resources.round_time(resources.handed_on(load, pool))
        assert bound <= best["fastest"] * (1 + 1e-9)
        for _ in range(200):
            f = rng.dirichlet(np.ones(1 + len(load.edges))) * pool.cpu
            u = rng.dirichlet(np.ones(len(load.edges))) * pool.line
            T = resources.times(load, resources.Shares(f[0], f[1:], u), pool)
            assert resources.round_time(T) >= best["fastest"] * (1 - 1e-9)
            assert T.max() >= best["balanced"] * (1 - 1e-9)


def test_convex_program_agrees(rng):
    cp = pytest.importorskip("cvxpy")
    for load, pool in pools(rng, 5):
        f, u = cp.Variable(1 + len(load.edges)), cp.Variable(len(load.edges))
        cloud = load.cloud / pool.cpu * cp.inv_pos(f[0])
        edge = cp.multiply(load.edges / pool.cpu, cp.inv_pos(f[1:]))
        edge += cp.multiply(load.sent / pool.line, cp.inv_pos(u)) + pool.delay
        limits = [cp.sum(f) <= 1, cp.sum(u) <= 1]
        for rule, cost in (
            (resources.fastest, cloud + cp.max(edge)),
            (resources.balanced, cp.maximum(cloud, cp.max(edge))),
        ):
            value = cp.Problem(cp.Minimize(cost), limits).solve(solver=cp.CLARABEL)
            T = resources.times(load, rule(load, pool), pool)
            ours = resources.round_time(T) if rule is resources.fastest else T.max()
            assert ours == pytest.approx(value, rel=1e-6)


def test_balanced_has_no_imbalance_and_uses_everything(rng):
    for load, pool in pools(rng, 20):
        shares = resources.balanced(load, pool)
        assert resources.imbalance(resources.times(load, shares, pool)) < 1e-9
        assert in_all(shares) == pytest.approx((pool.cpu, pool.line))
        assert in_all(resources.fastest(load, pool)) == pytest.approx((pool.cpu, pool.line))
        assert in_all(resources.polling(len(load.edges), pool)) == pytest.approx(
            (pool.cpu, pool.line)
        )


def test_balance_can_be_slower_than_polling():
    load, pool = Load(0.01, [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]), Pool(4.0, 1.0)
    polled = resources.times(load, resources.polling(3, pool), pool)
    even = resources.times(load, resources.balanced(load, pool), pool)
    assert resources.imbalance(even) < 1e-9 < 0.5 < resources.imbalance(polled)
    assert resources.round_time(even) > 1.4 * resources.round_time(polled)


def test_the_index_of_equal_times_is_zero_and_has_no_unit(rng):
    T = rng.uniform(1, 2, (4, 5))
    assert resources.imbalance(np.full(3, 2.0)) == 0
    np.testing.assert_allclose(resources.imbalance(7 * T), resources.imbalance(T))
    assert resources.imbalance(T).shape == (4,)


def test_a_run_knows_what_it_is_told(rng):
    loads = [Load(1.0 + k % 2, [1.0, 2.0 + k], [3.0, 4.0]) for k in range(4)]
    pool = Pool(2.0, 9.0, 0.1)
    last = resources.follow(loads, pool, resources.balanced)
    seen = resources.follow(loads, pool, resources.balanced, "all")
    sized = resources.follow(loads, pool, resources.balanced, "size", loads[0])
    np.testing.assert_allclose(last[0], resources.times(loads[0], resources.polling(2, pool), pool))
    shares = resources.balanced(loads[1], pool)
    np.testing.assert_allclose(last[2], resources.times(loads[2], shares, pool))
    assert resources.imbalance(seen).max() < 1e-9 < resources.imbalance(last)[1:].min()
    assert resources.imbalance(sized)[0] < 1e-9 < resources.imbalance(sized)[1:].min()
    same = resources.follow([loads[0]] * 3, pool, resources.fastest, first=loads[0])
    assert np.ptp(same, axis=0).max() == 0


@pytest.mark.parametrize("A", [1, 2, 3, 4, 9])
def test_what_an_index_allows(A, rng):
    T = rng.dirichlet(np.full(A + 1, 0.5), 20_000)
    ratio = (T[:, 0] + T[:, 1:].max(axis=1)) / T.mean(axis=1)
    allowed = np.array([resources.most_gain(h, A) for h in resources.imbalance(T)])
    assert (ratio <= allowed + 1e-9).all()
    if A > 1:  # two that are equally high, the rest equally low, reach it
        T = np.r_[1.3, 1.3, np.full(A - 1, 1.0)]
        reached = 2 * 1.3 / T.mean()
        assert reached == pytest.approx(resources.most_gain(resources.imbalance(T), A))
    assert resources.most_gain(100.0, A) == A + 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Pool(0.0, 1.0), "cpu of the pool is 0"),
        (lambda: Pool(1.0, np.inf), "line of the pool is inf"),
        (lambda: Pool(1.0, 1.0, -1.0), "delay of the pool is -1"),
        (lambda: Load(0.0, [1.0], [1.0]), "work is above 0"),
        (lambda: Load(1.0, [1.0, -1.0], [1.0, 1.0]), "work is above 0"),
        (lambda: Load(1.0, [1.0, 1.0], [1.0]), "one each an edge"),
        (lambda: Load(1.0, [], []), "one each an edge"),
        (lambda: resources.most_gain(-0.1, 3), "index -0.1"),
        (lambda: resources.follow([], Pool(1, 1), resources.fastest, "never"), "known is 'never'"),
        (lambda: resources.follow([], Pool(1, 1), resources.fastest, "size"), "what the sizes are"),
    ],
)
def test_what_is_none_is_named(make, said):
    with pytest.raises(PoolError, match=said):
        make()
