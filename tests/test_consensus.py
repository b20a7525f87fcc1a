"""Consensus against closed forms, simulated steps, root finding and the exact flow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import root

from adnlib import linflow, powerflow, read_feeder
from adnlib.consensus import (
    Area,
    Cluster,
    ConsensusError,
    Mailbox,
    closed_loop,
    correct,
    delayed,
    graph,
    grounded,
    metropolis,
    rate,
    reached,
    steps,
    weights,
)

CALM = settings(derandomize=True, deadline=None, max_examples=25)
SEEDS = st.integers(0, 10_000)
BUSES = [9, 10, 11, 13, 16]
FEEDER = read_feeder("ieee33")
AREA = Area.of(FEEDER, range(9, 19))
AT = np.array([FEEDER.index(b) for b in BUSES])
ETA = (4.0, 5.0)


def random_links(seed):
    """A connected graph of 2 to 7 devices: a random tree and a few links more."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 8))
    links = rng.random((n, n)) < 0.3
    for i in range(1, n):
        links[i, rng.integers(i)] = True
    return np.tril(links, -1) | np.tril(links, -1).T, rng


def clusters(kind="ring", p_max=0.15, q_max=0.25):
    return [
        Cluster.of(FEEDER, BUSES, graph(kind, 5), np.full(5, -m), np.full(5, m))
        for m in (p_max, q_max)
    ]


def events(n_s=4, seed=1, load=0.93, pv=0.1):
    """(plan, p, q): a plan just inside the band, and draws with less PV than planned."""
    rng = np.random.default_rng(seed)
    p = -load * FEEDER.p_load
    q = -load * FEEDER.q_load
    up = [FEEDER.index(b) for b in (22, 25, 30, 33)]
    p[AT], p[up] = p[AT] + pv, p[up] + 3 * pv
    plan = powerflow.solve(FEEDER, p, q)
    drawn = np.tile(p, (n_s, 1))
    drawn[:, AT] -= pv * rng.uniform(0.3, 0.8, (n_s, 1))
    drawn[:, up] -= 3 * pv * rng.uniform(0.1, 0.3, (n_s, 1))
    return plan, drawn, np.tile(q, (n_s, 1))


# --- weights and rates


@CALM
@given(SEEDS)
def test_metropolis_weights_are_doubly_stochastic_and_follow_the_rule(seed):
    links, _ = random_links(seed)
    Z = metropolis(links)
    assert (Z >= 0).all() and np.allclose(Z, Z.T) and np.allclose(Z.sum(axis=0), 1)
    assert ((Z > 0) & ~np.eye(len(Z), dtype=bool) == links).all()
    i, j = np.argwhere(links)[0]
    assert Z[i, j] == pytest.approx(1 / (1 + max(links[i].sum(), links[j].sum())))


@pytest.mark.parametrize("n", range(3, 9))
def test_rates_have_their_closed_forms(n):
    third = lambda angle: 1 - 2 / 3 * (1 - np.cos(angle))  # noqa: E731
    known = {
        "path": third(np.pi / (2 * n - 1)),
        "ring": third(np.pi / n),
        "star": 1 - 1 / n,
        "complete": 1 - 1 / n,
    }
    for kind, value in known.items():
        Z = metropolis(graph(kind, n))
        assert rate(grounded(Z, 0)) == pytest.approx(value, abs=1e-12), kind


@CALM
@given(SEEDS, st.integers(0, 6))
def test_followers_come_to_the_leader_if_its_messages_reach_them(seed, cut):
    links, rng = random_links(seed)
    n = len(links)
    leader = int(rng.integers(n))
    if cut < n:
        links[cut] = links[:, cut] = False
    whole = reached(links, leader).all()
    assert (rate(grounded(metropolis(links), leader)) < 1 - 1e-9) == whole


def test_reached_is_the_component_of_the_leader():
    links = graph("path", 5)
    links[2, 3] = links[3, 2] = False
    assert reached(links, 0).tolist() == [True, True, True, False, False]
    assert reached(links, 4).tolist() == [False, False, False, True, True]


def test_steps_are_the_first_at_which_the_error_is_small_enough():
    assert steps(0.9, 0.01) == 44 and 0.9**44 <= 0.01 < 0.9**43
    assert steps(1.0, 0.1) == np.inf and steps(0.0, 0.1) == 0
    with pytest.raises(ConsensusError, match="between 0 and 1"):
        steps(0.5, 2)


@CALM
@given(SEEDS, st.integers(1, 4))
def test_a_delay_slows_but_never_breaks_the_followers(seed, delay):
    links, _ = random_links(seed)
    Z = metropolis(links)
    own = grounded(np.diag(np.diag(Z)), 0)
    rest = grounded(Z, 0) - own
    late = rate(delayed(own, rest, delay))
    assert rate(own + rest) - 1e-9 <= late < 1


def test_delayed_is_the_recursion_it_stands_for():
    rng = np.random.default_rng(0)
    now, later = rng.normal(size=(2, 3, 3)) / 4
    past = list(rng.normal(size=(3, 3)))
    x = np.concatenate(past[::-1])
    M = delayed(now, later, 2)
    for _ in range(4):
        past.append(now @ past[-1] + later @ past[-3])
        x = M @ x
        np.testing.assert_allclose(x[:3], past[-1], atol=1e-12)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: graph("tree", 4), "none of path"),
        (lambda: graph("ring", 1), "takes two"),
        (lambda: metropolis(np.triu(np.ones((3, 3)), 1)), "one way"),
        (lambda: metropolis(np.eye(3)), "with itself"),
        (lambda: metropolis(np.zeros((2, 3))), "square"),
        (lambda: delayed(np.eye(2), np.eye(2), -1), "whole steps"),
        (lambda: Mailbox(np.eye(2), np.zeros((1, 2, 1)), drop=1.0), "below 1"),
        (lambda: Mailbox(np.eye(2), np.zeros((1, 2, 1)), drop=0.1), "rng"),
        (lambda: Area.of(FEEDER, [9, 10, 30]), "30"),
        (lambda: Cluster.of(FEEDER, [9], [[False]], [-1], [1]), "two or more"),
        (lambda: Cluster.of(FEEDER, [9, 10], np.zeros((2, 2)), [-1, -1], [1, 1]), "bus 10"),
        (lambda: Cluster.of(FEEDER, [9, 10], graph("path", 2), [1, -1], [2, 1]), "lower <= 0"),
    ],
)
def test_errors_name_the_culprit(make, what):
    with pytest.raises(ConsensusError, match=what):
        make()


# --- messages


def test_a_mailbox_without_faults_is_a_product():
    rng = np.random.default_rng(0)
    X, Z = rng.normal(size=(3, 5, 2)), metropolis(graph("ring", 5))
    np.testing.assert_allclose(Mailbox(Z, X).exchange(X), np.einsum("ij,sjk->sik", Z, X))


def test_a_late_mailbox_knows_itself_now_and_others_then():
    Z, x = metropolis(graph("path", 2)), np.array([[[1.0], [0.0]]])
    box = Mailbox(Z, 0 * x, delay=1)
    assert box.exchange(x)[0, :, 0].tolist() == [0.5, 0.0]
    assert box.exchange(0 * x)[0, :, 0].tolist() == [0.0, 0.5]


def test_a_lossy_mailbox_keeps_the_last_message_and_still_agrees():
    Z, rng = metropolis(graph("path", 4)), np.random.default_rng(3)
    x = np.zeros((200, 4, 1))
    x[:, 0] = 1.0
    box = Mailbox(Z, x.copy(), drop=0.4, rng=rng)
    for _ in range(400):
        new = box.exchange(x)
        new[:, 0] = 1.0
        assert (new >= x - 1e-12).all() and (new <= 1 + 1e-12).all()
        x = new
    assert np.allclose(x, 1, atol=1e-6)
    box.keep(np.arange(5))
    assert box.exchange(x[:5]).shape == (5, 4, 1)


# --- correction


def test_weights_cancel_and_correct_for_sensitivity():
    S, room = np.array([[0.04, 0.02, 0.01]]), np.array([[1.0, 2.0, 1.0]])
    A, g = weights(S, room, np.array([0]))
    assert A.sum() == pytest.approx(0) and A[0, 0] == 1
    np.testing.assert_allclose(g, [[1.0, 1.0, 0.25]])
    np.testing.assert_allclose(weights(S, room, np.array([0]), zero_sum=False)[0], g)


@pytest.mark.parametrize("kind", ["path", "ring", "star", "complete"])
def test_violations_are_cured_and_the_boundary_kept(kind):
    plan, p, q = events()
    ess, pv = clusters(kind)
    r = correct(FEEDER, plan, p, q, AREA, ess, pv, ETA, kappa=0.03, most=900)
    assert r.active.all() and r.converged.all() and not r.saturated.any()
    assert (r.before.V[:, AREA.at].min(axis=1) < 0.95).all()
    assert (r.after.V[:, AREA.at] > 0.95).all()
    assert np.abs(r.boundary).max() <= 1e-3
    off = r.before.P[:, AREA.top] - plan.P[AREA.top]
    assert (off > 0.1).all()
    # what the devices give is what is missing at the boundary, up to the area's losses
    np.testing.assert_allclose(r.dp.sum(axis=1), off, rtol=0.1)


def test_sum_keeps_the_sum_and_losses_move_the_boundary():
    plan, p, q = events()
    r = correct(FEEDER, plan, p, q, AREA, *clusters(), ETA, mode="sum", tol=(1e-6, 1e-6, 1))
    off = r.before.P[:, AREA.top] - plan.P[AREA.top]
    np.testing.assert_allclose(r.dp.sum(axis=1), off, atol=1e-5)
    inside = np.isin(np.arange(FEEDER.n), AREA.at)
    lost = [(FEEDER.r * f.ell)[:, inside].sum(axis=1) for f in (r.before, r.after)]
    np.testing.assert_allclose(r.boundary[:, 0], lost[1] - lost[0], atol=1e-5)
    assert np.abs(r.boundary[:, 0]).max() > 1e-3


def test_the_end_is_the_root_of_its_equations():
    """Voltage at the goal, boundary as planned, pushes in the ratio of the droops."""
    plan, p, q = events(2)
    ess, pv = clusters(p_max=1.0, q_max=1.0)  # so wide that no limit is met on the way
    tight = (1e-8, 1e-8, 1e-8)
    r = correct(FEEDER, plan, p, q, AREA, ess, pv, ETA, kappa=0.05, tol=tight, most=2000)
    assert r.converged.all()
    pushed = []
    S = [s[r.bus[0], AT] for s in linflow.sensitivities(FEEDER, plan)]
    lead = [int(s.argmax()) for s in S]
    pairs = [
        [w[0] for w in weights(s[None], c.upper[None], np.array([i]))]
        for s, c, i in zip(S, (ess, pv), lead)
    ]
    for s in range(2):

        def changes(x):
            push = [x[0] * eta / c.upper[i] for eta, c, i in zip(ETA, (ess, pv), lead)]
            return [y * A + z * g for y, z, (A, g) in zip(push, x[1:], pairs)]

        def unknown(x, s=s):
            dp, dq = changes(x)
            p1, q1 = p[s].copy(), q[s].copy()
            p1[AT] += dp
            q1[AT] += dq
            flow = powerflow.solve(FEEDER, p1, q1)
            top = AREA.top
            return [
                flow.V[r.bus[s]] - 0.9505,
                flow.P[top] - plan.P[top],
                flow.Q[top] - plan.Q[top],
            ]

        found = root(unknown, [0.01, 0.1, 0.0], tol=1e-12)
        assert found.success
        pushed.append(found.x[0] > 0)
        if pushed[-1]:
            for ours, theirs in zip((r.dp, r.dq), changes(found.x)):
                np.testing.assert_allclose(ours[s], theirs, atol=1e-5)
        else:  # the restored boundary is enough: no push, voltage inside
            assert r.after.V[s, r.bus[s]] > 0.9505
    assert pushed == [False, True]


def test_a_batch_is_its_scenarios_one_by_one_and_leaves_the_calm_ones_alone():
    plan, p, q = events()
    p[1] = plan.p
    ess, pv = clusters()
    every = correct(FEEDER, plan, p, q, AREA, ess, pv, ETA, kappa=0.05)
    assert every.active.tolist() == [True, False, True, True]
    assert not every.dp[1].any() and every.steps[1] == 0 and every.converged[1]
    for s in range(4):
        one = correct(FEEDER, plan, p[s], q[s], AREA, ess, pv, ETA, kappa=0.05)
        np.testing.assert_allclose(one.dp[0], every.dp[s], atol=1e-9)
        assert one.steps[0] == every.steps[s]


def test_plans_and_rooms_may_differ_by_scenario():
    plan, p, q = events()
    ess, pv = clusters()
    plans = powerflow.solve(FEEDER, np.tile(plan.p, (4, 1)), np.tile(plan.q, (4, 1)))
    wide = [Cluster(c.at, c.Z, np.tile(c.lower, (4, 1)), np.tile(c.upper, (4, 1)))
            for c in (ess, pv)]  # fmt: skip
    a = correct(FEEDER, plan, p, q, AREA, ess, pv, ETA, kappa=0.05)
    b = correct(FEEDER, plans, p, q, AREA, *wide, ETA, kappa=0.05)
    np.testing.assert_allclose(a.dq, b.dq, atol=1e-9)


def test_too_high_is_too_low_in_the_mirror():
    p = 0.5 * FEEDER.p_load
    plan = powerflow.solve(FEEDER, p, 0 * p)
    more = p.copy()
    more[AT] += 0.1
    r = correct(FEEDER, plan, more, 0 * p, AREA, *clusters(), ETA, kappa=0.05, band=(0.9, 1.035))
    assert r.active.all() and r.converged.all()
    assert r.before.V[0, AREA.at].max() > 1.035 >= r.after.V[0, AREA.at].max()
    assert r.dp.sum() < 0 and np.abs(r.boundary).max() <= 1e-3


def test_when_the_restored_boundary_is_enough_nothing_is_pushed():
    """Complementary slackness: voltage inside the band, push zero."""
    plan, p, q = events(1)
    p[0] = plan.p
    p[0, AT] -= 0.1
    r = correct(
        FEEDER, plan, p, q, AREA, *clusters(), ETA, kappa=0.05, tol=(1e-6, 1e-7, 1e-5), most=2000
    )
    assert r.converged.all() and r.after.V[0, r.bus[0]] > 0.951
    g = weights(
        linflow.sensitivities(FEEDER, plan)[0][r.bus[0], AT][None],
        np.full((1, 5), 0.15),
        r.leader_p,
    )[1][0]
    np.testing.assert_allclose(r.dp[0] / g, r.dp[0, 4] / g[4], rtol=1e-3)


def linear_case(kind, eta, kappa, delay=0):
    plan, p, q = events(1)
    ess, pv = clusters(kind, 5.0, 5.0)
    S = [s[FEEDER.index(18), AT] for s in linflow.sensitivities(FEEDER, plan)]
    pairs = [[w[0] for w in weights(s[None], np.full((1, 5), 5.0), np.array([4]))] for s in S]
    M = closed_loop((ess, pv), (4, 4), pairs, S, eta, kappa, delay)
    return M, (FEEDER, plan, p, q, AREA, ess, pv, eta)


@pytest.mark.parametrize(
    ("kind", "delay"), [("ring", 0), ("complete", 0), ("path", 0), ("ring", 2)]
)
def test_the_closed_loop_predicts_the_rate_on_the_exact_flow(kind, delay):
    M, given_ = linear_case(kind, (4.0, 5.0), 0.03, delay)
    r = correct(*given_, kappa=0.03, tol=(0, 0, 0), most=700, delay=delay, trace=True)
    y = np.concatenate([r.trace[k][c][:, 0] for k in "yz" for c in (0, 1)], axis=1)
    left = np.abs(y - y[-1]).max(axis=1)
    a, b = left[80:120].max(), left[230:270].max()  # largest of a swing
    assert (b / a) ** (1 / 150) == pytest.approx(rate(M), abs=0.006)


def test_the_step_size_limit_is_that_of_the_matrix():
    """Just below it the leader settles, just above it oscillates on the exact flow."""
    low, high = 1.0, 100.0
    for _ in range(50):
        mid = (low + high) / 2
        low, high = (mid, high) if rate(linear_case("ring", (0, mid), 0)[0]) < 1 else (low, mid)
    for factor, settles in ((0.9, True), (1.2, False)):
        _, given_ = linear_case("ring", (0, factor * low), 0)
        r = correct(*given_, mode="sum", most=300)
        assert r.converged[0] == settles


def test_the_wrong_leader_pushes_the_wrong_way():
    plan, p, q = events()
    r = correct(FEEDER, plan, p, q, AREA, *clusters(), ETA, kappa=0.05, leaders=(0, 0))
    assert not r.converged.any() and r.saturated.all()
    right = correct(FEEDER, plan, p, q, AREA, *clusters(), ETA, kappa=0.05)
    assert (right.leader_p == 4).all() and (right.leader_q == 4).all()


def test_a_device_at_its_limit_is_told_and_the_others_take_over():
    plan, p, q = events(1)
    ess, pv = clusters()
    small = ess.upper.copy()
    small[2] = 0.005
    tight = Cluster(ess.at, ess.Z, ess.lower, small)
    r = correct(FEEDER, plan, p, q, AREA, tight, pv, ETA, kappa=0.05)
    assert r.converged.all() and r.saturated.all()
    assert r.dp[0, 2] == pytest.approx(0.005) and np.abs(r.boundary).max() <= 1e-3
    blind = correct(FEEDER, plan, p, q, AREA, tight, pv, ETA, mode="sum")
    assert blind.boundary[0, 0] > 3e-3


def test_lost_and_late_messages_only_cost_steps():
    plan, p, q = events()
    kw = {"kappa": 0.02, "most": 1500}
    clean = correct(FEEDER, plan, p, q, AREA, *clusters(), (2, 2), **kw)
    lossy = correct(
        FEEDER, plan, p, q, AREA, *clusters(), (2, 2), **kw, drop=0.3, rng=np.random.default_rng(0)
    )
    late = correct(FEEDER, plan, p, q, AREA, *clusters(), (2, 2), **kw, delay=2)
    for r in (lossy, late):
        assert r.converged.all()
        np.testing.assert_allclose(r.after.V[:, AREA.at], clean.after.V[:, AREA.at], atol=5e-4)


def test_fixed_by_algebra_meets_both_goals_where_a_push_is_needed():
    plan, p, q = events(1)
    p[0, [FEEDER.index(b) for b in (22, 25, 30, 33)]] -= 0.2  # upstream: restoring is not enough
    r = correct(FEEDER, plan, p, q, AREA, *clusters(p_max=1.0, q_max=1.0), ETA, mode="algebra")
    before = np.abs(r.before.P[:, AREA.top] - plan.P[AREA.top])
    assert r.converged.all() and np.abs(r.boundary[:, 0]).max() < 0.3 * before.max()


def test_modes_and_gains_are_checked():
    plan, p, q = events(1)
    with pytest.raises(ConsensusError, match="none of algebra"):
        correct(FEEDER, plan, p, q, AREA, *clusters(), ETA, mode="guess")
    with pytest.raises(ConsensusError, match="kappa"):
        correct(FEEDER, plan, p, q, AREA, *clusters(), ETA, kappa=0)


def test_no_violation_no_work():
    plan, _, _ = events(1)
    r = correct(FEEDER, plan, plan.p, plan.q, AREA, *clusters(), ETA, kappa=0.1, trace=True)
    assert not r.active.any() and r.converged.all() and r.trace is None
