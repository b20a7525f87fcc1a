"""Losses of sitings against cvxpy and the exact flow; searches against enumeration."""

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest

from adnlib import powerflow, profiles, read_feeder, siting, tabu

FEEDER = read_feeder("ieee33")
HOURS = np.arange(24)
LOAD = 0.7 + 0.3 * np.sin(HOURS / 24 * 2 * np.pi - 2)
PV = 0.4 * np.maximum(np.sin((HOURS - 6) / 12 * np.pi), 0)


@pytest.fixture(scope="module")
def study():
    return siting.Study.of(FEEDER, LOAD, PV, s_max=0.55, p_max=0.25, energy=1.0)


@pytest.fixture(scope="module")
def sitings(study):
    rng = np.random.default_rng(2)
    return tabu.drawn(study, 4, 3, rng, 5)


def chain():
    """Two buses behind the root: the smallest feeder with a choice."""
    import pandas as pd

    bus = pd.DataFrame(
        {"bus": [1, 2, 3], "p_mw": [0, 0.2, 0.4], "q_mvar": [0, 0.1, 0.2], "v_kv": 10}
    )
    line = pd.DataFrame({"from_bus": [1, 2], "to_bus": [2, 3], "r_ohm": [1.0, 1.0], "x_ohm": 1.0})
    return type(FEEDER).from_tables(bus, line)


# --- the day


def test_kernel_is_the_loss_of_the_day_without_devices(study):
    base = study.without
    loss = ((study.p @ study.kernel) * study.p + (study.q @ study.kernel) * study.q).sum(axis=1)
    assert loss == pytest.approx(base.p_loss, rel=0.12)  # flows without losses
    assert np.corrcoef(loss, base.p_loss)[0, 1] > 0.999


def test_an_inverter_too_small_for_its_plant_is_refused():
    with pytest.raises(ValueError, match="raise s_max"):
        siting.Study.of(FEEDER, LOAD, PV, s_max=0.3, p_max=0.1, energy=0.4)


def test_ideal_regulators_carry_no_devices():
    f = read_feeder("ieee123")
    study = siting.Study.of(f, LOAD, 0.3 * PV, s_max=0.2, p_max=0.1, energy=0.4)
    assert len(study.sites) == f.n - 4
    assert (f.ratio[study.sites] == 1).all()


# --- the dispatch


def test_dispatch_keeps_every_limit(study, sitings):
    q, b = siting.dispatch(study, *sitings)
    assert (np.abs(q) <= study.q_max[:, None] + 1e-12).all()
    assert (np.abs(b) <= study.p_max + 1e-12).all()
    stored = -np.cumsum(b, axis=1) * study.step_h
    assert (np.abs(stored) <= study.energy / 2 + 1e-9).all()
    assert np.abs(stored[:, -1]).max() < 1e-9


def test_dispatch_is_the_optimum_of_the_quadratic_loss(study, sitings):
    q, b = siting.dispatch(study, *sitings)
    for k, (pv, ess) in enumerate(zip(*sitings)):
        at_pv, at_ess = (np.eye(FEEDER.n)[a] for a in (pv, ess))
        root = np.linalg.cholesky(study.kernel + 1e-13 * np.eye(FEEDER.n))
        free_q, free_b = cp.Variable(q[k].shape), cp.Variable(b[k].shape)
        p_own = study.p + study.pv[:, None] * at_pv.sum(axis=0)

        def cost(q_now, b_now, p_own=p_own, at_pv=at_pv, at_ess=at_ess, root=root):
            flows = (p_own + b_now @ at_ess) @ root, (study.q_seen + q_now @ at_pv) @ root
            return cp.sum_squares(flows[0]) + cp.sum_squares(flows[1])

        stored = cp.cumsum(free_b, axis=0)
        limits = [cp.abs(free_q) <= study.q_max[:, None], cp.abs(free_b) <= study.p_max,
                  cp.abs(stored) <= study.energy / 2, stored[-1] == 0]  # fmt: skip
        best = cp.Problem(cp.Minimize(cost(free_q, free_b)), limits).solve(solver=cp.CLARABEL)
        assert best - 1e-8 <= cost(q[k], b[k]).value <= best * 1.001


def test_a_plant_and_a_battery_alone_by_hand():
    f = chain()
    study = siting.Study.of(f, [1.0, 1.0], [0.0, 0.0], s_max=0.1, p_max=0.2, energy=0.4)
    q, b = siting.dispatch(study, [[1]], [[1]])
    assert q == pytest.approx(np.full((1, 2, 1), 0.1))  # all it has: 0.2 Mvar are wanted
    assert b == pytest.approx(np.zeros((1, 2, 1)), abs=1e-3)  # two equal hours: nothing to shift


def test_a_battery_evens_out_the_flow():
    f = chain()
    study = siting.Study.of(f, [0.5, 1.0], [0.0, 0.0], s_max=0.1, p_max=0.5, energy=1.0)
    b = siting.dispatch(study, [[0]], [[1]])[1][0, :, 0]
    d = f.r / study.without.V.mean() ** 2  # both branches alike; bus 3 carries 0.4, bus 2 0.2
    assert d[0] == pytest.approx(d[1])
    assert -b[0] == pytest.approx(b[1])
    assert b[1] == pytest.approx(0.125, rel=0.02)  # mean of 0.3 / 2 (upper) and 0.2 / 2 (lower)


# --- the loss


def test_losses_are_those_of_the_exact_flow(study, sitings):
    lost = siting.losses(study, *sitings)
    q, b = siting.dispatch(study, *sitings)
    for k, (pv, ess) in enumerate(zip(*sitings)):
        p_all, q_all = study.p.copy(), study.q.copy()
        p_all[:, pv] += study.pv[:, None]
        p_all[:, ess] += b[k]
        q_all[:, pv] += q[k]
        assert lost[k] == pytest.approx(
            powerflow.solve(FEEDER, p_all, q_all).p_loss.sum(), rel=1e-9
        )


def test_a_batch_is_each_of_its_sitings(study, sitings, monkeypatch):
    whole = siting.losses(study, *sitings)
    monkeypatch.setattr(siting, "BLOCK", 2)
    assert siting.losses(study, *sitings) == pytest.approx(whole, rel=1e-9)
    assert siting.losses(study, sitings[0][0], sitings[1][0]) == pytest.approx(whole[:1], rel=1e-9)


def test_longer_steps_count_their_hours(study, sitings):
    even = siting.Study.of(FEEDER, np.ones(12), np.zeros(12), 0.55, 0.25, 1.0, step_h=2.0)
    hourly = siting.Study.of(FEEDER, np.ones(24), np.zeros(24), 0.55, 0.25, 1.0)
    assert siting.losses(even, *sitings) == pytest.approx(siting.losses(hourly, *sitings), rel=1e-4)


def test_loss_is_just_above_the_cone_optimum(study, sitings):
    lost = siting.losses(study, *sitings)
    for k in range(2):
        best = siting.plan(study, sitings[0][k], sitings[1][k])
        assert best - 1e-6 <= lost[k] <= 1.003 * best


def test_no_battery_is_allowed(study):
    assert siting.losses(study, [[5]], np.zeros((1, 0), int))[0] < study.without.p_loss.sum()


def test_fractional_sites_bound_every_siting(study, sitings):
    problem, x, y = siting.cone_problem(study, 4, 3)
    relaxed = list(problem.constraints)
    for a in (x, y):
        a.attributes["boolean"] = False
        a.boolean_idx = []
        relaxed.append(a >= 0)
    bound = cp.Problem(problem.objective, relaxed).solve(solver=cp.CLARABEL)
    assert bound <= siting.losses(study, *sitings).min()


# --- the search


@pytest.fixture(scope="module")
def small(study):
    return replace(study, sites=np.array([3, 7, 12, 16, 21, 24, 28, 31]))


def test_moves_are_all_sitings_one_move_away(small):
    pv, ess = np.array([3, 16, 28]), np.array([7])
    new_pv, new_ess, tag, _ = tabu.moves(small, pv, ess)
    assert len(new_pv) == 3 * 5 + 1 * 7
    assert len({(*a, -1, *b) for a, b in zip(new_pv.tolist(), new_ess.tolist())}) == len(new_pv)
    for a, b, (kind, left, taken) in zip(new_pv, new_ess, tag):
        old, new = ((pv, a), (ess, b))[kind]
        assert set(old) - set(new) == {left} and set(new) - set(old) == {taken}
        assert (np.diff(a) > 0).all() and len(set(b)) == 1


def test_foreseen_is_the_quadratic_change_at_the_old_schedule(small):
    pv, ess = np.array([3, 16, 28]), np.array([7])
    _, _, tag, foreseen = tabu.moves(small, pv, ess)
    q, b = (a[0] for a in siting.dispatch(small, pv, ess))

    def cost(pv, ess, q, b):
        p_all, q_all = small.p.copy(), small.q_seen.copy()
        p_all[:, pv] += small.pv[:, None]
        p_all[:, ess] += b
        q_all[:, pv] += q
        return sum(((a @ small.kernel) * a).sum() for a in (p_all, q_all))

    before = cost(pv, ess, q, b)
    for k in range(0, len(tag), 3):
        kind, left, taken = tag[k]
        old = np.where(pv == left, taken, pv) if kind == 0 else pv
        old_ess = np.where(ess == left, taken, ess) if kind == 1 else ess
        assert foreseen[k] == pytest.approx(cost(old, old_ess, q, b) - before)


def test_tabu_finds_the_best_of_all(small):
    *_, lost = tabu.enumerated(small, 3, 1)
    assert len(lost) == 56 * 8
    for seed in range(3):
        start = tabu.drawn(small, 3, 1, np.random.default_rng(seed))
        found = tabu.tabu(small, *start, steps=25, tenure=5)
        assert found.loss == pytest.approx(lost.min(), rel=1e-9)
        assert found.evaluations < len(lost)


def test_tabu_leaves_a_local_optimum_and_descent_does_not(small):
    start = tabu.drawn(small, 3, 1, np.random.default_rng(1))
    down = tabu.tabu(small, *start, steps=50, patience=1)
    on = tabu.tabu(small, *start, steps=25, tenure=5)
    assert on.loss <= down.loss
    assert (np.diff(down.steps[:-1]) < 0).all()
    assert min(on.steps) == on.loss and (np.diff([h[1] for h in on.history]) <= 0).all()
    rises = np.flatnonzero(np.diff(on.steps) > 0)
    assert len(rises) > 0


def test_tabu_does_not_return_at_once(small, monkeypatch):
    stood = []
    inner = tabu.moves
    monkeypatch.setattr(tabu, "moves", lambda s, a, b: stood.append((*a, -1, *b)) or inner(s, a, b))
    start = tabu.drawn(small, 3, 1, np.random.default_rng(4))
    tabu.tabu(small, *start, steps=15, tenure=5)
    for k in range(len(stood) - 2):
        assert stood[k] not in stood[k + 1 : k + 3]


def test_searches_keep_to_what_is_allowed(small):
    def allowed(pv, ess):
        return (np.atleast_2d(pv) != 28).all(axis=1)

    start = tabu.drawn(small, 3, 1, np.random.default_rng(0), 1, allowed)
    assert 28 not in tabu.tabu(small, *start, steps=10, width=6, allowed=allowed).pv
    for search in (tabu.random_search, tabu.restarts):
        found = search(small, 3, 1, 40, np.random.default_rng(0), allowed=allowed)
        assert 28 not in found.pv and found.evaluations >= 40
        assert found.loss == pytest.approx(siting.losses(small, found.pv, found.ess)[0], rel=1e-9)
    assert (tabu.enumerated(small, 3, 1, allowed)[0] != 28).all()


def test_nothing_allowed_is_said(small):
    with pytest.raises(ValueError, match="loosen the inner bounds"):
        tabu.drawn(small, 3, 1, np.random.default_rng(0), 1000, lambda pv, ess: pv[:, 0] < 0)


def test_each_siting_is_evaluated_once(small, monkeypatch):
    seen = []
    inner = siting.losses

    def noted(study, pv, ess):
        seen.extend((*a, -1, *b) for a, b in zip(pv.tolist(), ess.tolist()))
        return inner(study, pv, ess)

    monkeypatch.setattr(siting, "losses", noted)
    start = tabu.drawn(small, 3, 1, np.random.default_rng(3))
    found = tabu.tabu(small, *start, steps=12)
    assert len(seen) == len(set(seen)) == found.evaluations


def test_the_case_file_is_whole():
    case = profiles.read_case("siting")
    for name in ("ieee33", "ieee123"):
        assert case[f"{name}.n_pv"] >= 3 * case["inner.least"]
        assert 3 * 2 ** case[f"{name}.hops"] > case[f"{name}.n_pv"]
    assert len(case["ieee123.pv_listed"]) == 19 and len(case["ieee123.ess_listed"]) == 13
