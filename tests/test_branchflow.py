"""The relaxed branch flow against the exact AC flow, in every feature of a feeder; its cures."""

import dataclasses
import warnings

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adnlib import branchflow, linflow, powerflow, read_feeder, solve
from benchmarks import trees


@pytest.fixture(scope="module")
def ieee33():
    return read_feeder("ieee33")


def least_loss(feeder, p, q, n_t=None, **options):
    """Plan of the flow with the least loss, injections given; the cost is near 1."""
    P, Q, ell, v = branchflow.variables(feeder, n_t)
    model = branchflow.constraints(feeder, P, Q, ell, v, p, q, **options)
    about = linflow.lindistflow(feeder, p, q)
    loss = ((about.P**2 + about.Q**2) @ feeder.r).sum()
    solve.solve(cp.Problem(cp.Minimize(cp.sum(ell @ feeder.r) / loss), model))
    kept = {k: a for k, a in options.items() if k in ("V_root", "ratio", "b_shunt", "v_root")}
    return branchflow.plan(feeder, P, Q, ell, v, p, q, **kept)


def agree(feeder, plan, tol=2e-6):
    exact = powerflow.solve(
        feeder, plan.p, plan.q, plan.V_root, plan.ratio, plan.b_shunt, tol=1e-12
    )
    assert branchflow.cone_gap(plan) < 1e-6
    for name in ("V", "theta", "P", "Q", "p_loss", "q_loss", "p_root", "q_root"):
        np.testing.assert_allclose(
            getattr(plan, name), getattr(exact, name), atol=tol, err_msg=name
        )


# --- exact where it should be


@pytest.mark.parametrize("name", ["ieee33", "ieee119", "ieee123"])
def test_a_load_gives_the_exact_flow(name):
    feeder = read_feeder(name)
    agree(feeder, least_loss(feeder, feeder.p, feeder.q), 1e-5)


def test_one_bus_by_hand():
    """1 p.u. over r = 0.01: V = (1 + sqrt(1 - 0.04)) / 2, the example of powerflow.solve."""
    feeder = trees.feeder(2)
    feeder = dataclasses.replace(feeder, r=[0.01], x=[0.0], p_load=[1.0], q_load=[0.0])
    plan = least_loss(feeder, feeder.p, feeder.q)
    assert plan.V[0] == pytest.approx((1 + 0.96**0.5) / 2, abs=1e-7)


@settings(derandomize=True, deadline=None, max_examples=12)
@given(
    size=st.integers(2, 25),
    seed=st.integers(0, 999),
    root=st.floats(0.95, 1.05),
    tap=st.floats(0.9, 1.1),
    bank=st.floats(0, 0.4),
)
def test_ratios_shunts_and_root_voltage_of_any_tree(size, seed, root, tap, bank):
    feeder = trees.feeder(size, seed=seed)
    n, rng = feeder.n, np.random.default_rng(seed)
    load = branchflow.total_load(feeder)
    at = rng.integers(n)
    feeder = dataclasses.replace(
        feeder,
        V_root=root,
        ratio=np.where(np.arange(n) == at, tap, 1.0),
        g_shunt=np.full(n, 0.01 * load / n),
        b_shunt=np.where(np.arange(n) == n - 1, bank * load, 0.0),
    )
    factor = rng.uniform(0.2, 1, (2, 1))
    plan = least_loss(feeder, factor * feeder.p, factor * feeder.q, 2)
    agree(feeder, plan, 1e-5 * max(1, load))


def test_an_ideal_regulator_has_no_cone_but_keeps_its_current_limit():
    ieee33 = read_feeder("ieee33")
    at = ieee33.index(6)
    zero = np.arange(ieee33.n) == at
    feeder = dataclasses.replace(
        ieee33,
        r=np.where(zero, 0, ieee33.r),
        x=np.where(zero, 0, ieee33.x),
        ratio=np.where(zero, 1.05, 1.0),
    )
    plan = least_loss(feeder, feeder.p, feeder.q)
    agree(feeder, plan)
    exact = powerflow.solve(feeder)
    current = np.sqrt(exact.ell[at])
    i_max = np.where(zero, current, np.inf)
    least_loss(feeder, feeder.p, feeder.q, i_max=1.001 * i_max)
    with pytest.raises(solve.SolveError, match="infeasible"):
        least_loss(feeder, feeder.p, feeder.q, i_max=0.98 * i_max)


def test_the_base_does_not_matter():
    plans = []
    for s_base in (0.1, 1.0, 100.0):
        feeder = read_feeder("ieee33", s_base_mva=s_base)
        plans.append(least_loss(feeder, feeder.p, feeder.q))
    for plan in plans:
        np.testing.assert_allclose(plan.V, plans[0].V, atol=1e-6)
        assert branchflow.cone_gap(plan) < 1e-6
        assert plan.p_loss * plan.feeder.s_base_mva == pytest.approx(0.20268, abs=1e-5)


def test_scenarios_are_further_rows(ieee33):
    factor = np.linspace(0.2, 1, 6)[:, None]
    p, q = factor * ieee33.p, factor * ieee33.q
    together = least_loss(ieee33, p, q, 6)
    for row in (0, 5):
        alone = least_loss(ieee33, p[row], q[row])
        np.testing.assert_allclose(together.V[row], alone.V, atol=1e-6)


def test_the_root_voltage_may_be_a_decision(ieee33):
    """A tap that may raise the root raises it: the loss falls with the voltage."""
    P, Q, ell, v = branchflow.variables(ieee33, 2)
    v_root = cp.Variable(2)
    p, q = np.tile(ieee33.p, (2, 1)), np.tile(ieee33.q, (2, 1))
    model = branchflow.constraints(ieee33, P, Q, ell, v, p, q, v_root=v_root)
    limits = [v_root >= 0.9, v_root <= [1.0, 1.05**2]]
    solve.solve(cp.Problem(cp.Minimize(cp.sum(ell @ ieee33.r)), model + limits))
    plan = branchflow.plan(ieee33, P, Q, ell, v, p, q, v_root=v_root)
    np.testing.assert_allclose(plan.V_root, [1, 1.05], atol=1e-6)
    agree(ieee33, plan)
    assert plan.p_loss[1] * 1000 == pytest.approx(181.2, abs=0.1)


def test_limits_hold_and_bind(ieee33):
    P, Q, ell, v = branchflow.variables(ieee33)
    h = cp.Variable(ieee33.n, nonneg=True)
    options = {"V_min": 0.94, "V_max": 1.0, "i_max": 5.0}
    model = branchflow.constraints(ieee33, P, Q, ell, v, ieee33.p, ieee33.q + h, **options)
    solve.solve(cp.Problem(cp.Minimize(cp.sum(h)), model + [ell @ ieee33.r <= 0.2]))
    assert np.sqrt(v.value.min()) == pytest.approx(0.94, abs=1e-6)
    assert v.value.max() <= 1 + 1e-7 and ell.value.max() <= 25 + 1e-6


def test_no_warning_and_a_dpp_model(ieee33):
    p, q = cp.Parameter((2, ieee33.n)), cp.Parameter((2, ieee33.n))
    p.value, q.value = np.tile(ieee33.p, (2, 1)), np.tile(ieee33.q, (2, 1))
    P, Q, ell, v = branchflow.variables(ieee33, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = branchflow.constraints(ieee33, P, Q, ell, v, p, q, V_min=0.9)
        problem = cp.Problem(cp.Minimize(cp.sum(ell @ ieee33.r)), model)
        assert problem.is_dcp(dpp=True)
        solve.solve(problem)


def test_wrong_shapes_are_named(ieee33):
    P, Q, ell, v = branchflow.variables(ieee33, 2)
    with pytest.raises(ValueError, match=r"p has shape \(33,\)"):
        branchflow.constraints(ieee33, P, Q, ell, v, np.zeros(33), ieee33.q)
    with pytest.raises(ValueError, match="not both"):
        branchflow.constraints(ieee33, P, Q, ell, v, P, Q, V_root=1, v_root=cp.Variable())
    with pytest.raises(ValueError, match="solve it first"):
        branchflow.plan(ieee33, P, Q, ell, v, ieee33.p, ieee33.q)


# --- relaxation, gap and condition


def test_the_relaxation_is_a_bound_and_the_gap_tells(ieee33):
    """Deviation alone under reverse flow: value below the exact flow's, gap far from zero."""
    p = ieee33.p / 2
    p[[ieee33.index(b) for b in (18, 22, 25, 33)]] += 1
    q = ieee33.q / 2
    P, Q, ell, v = branchflow.variables(ieee33)
    model = branchflow.constraints(ieee33, P, Q, ell, v, p, q)
    bound = solve.solve(cp.Problem(cp.Minimize(cp.sum_squares(v - 1)), model))
    exact = powerflow.solve(ieee33, p, q)
    assert bound < 0.1 * ((exact.V**2 - 1) ** 2).sum()
    plan = branchflow.plan(ieee33, P, Q, ell, v, p, q)
    assert branchflow.cone_gap(plan) > 1 and plan.p_loss > 5 * exact.p_loss
    assert branchflow.cone_gap(exact, ieee33) < 1e-9


def test_the_gap_is_in_p_u_of_the_own_load(ieee33):
    flow = powerflow.solve(ieee33)
    more = dataclasses.replace(flow, ell=flow.ell + 1e-3)
    v_side = branchflow.side(ieee33, flow.V**2, 1.0)
    expected = 1e-3 * v_side.max() / branchflow.total_load(ieee33) ** 2
    assert branchflow.cone_gap(more, ieee33) == pytest.approx(expected, rel=1e-6)
    other = read_feeder("ieee33", s_base_mva=10)
    flow = powerflow.solve(other)
    more = dataclasses.replace(flow, ell=flow.ell + 1e-5)  # the same amperes
    assert branchflow.cone_gap(more, other) == pytest.approx(expected, rel=1e-6)


def lowcarbon_devices(feeder, size):
    p, q = np.zeros(feeder.n), np.zeros(feeder.n)
    for bus in (18, 33, 10, 20):
        p[feeder.index(bus)] += 1.5 * size
    for bus in (6, 16):
        q[feeder.index(bus)] += 0.5 * size
    for bus in (6, 16, 33):
        q[feeder.index(bus)] += 0.3 * size
    return p, q


@pytest.mark.parametrize(("size", "load", "value"), [(1, 0, 0.140), (2, 0.3, 0.024)])
def test_gan_condition_of_the_lowcarbon_devices(ieee33, size, load, value):
    """Numbers computed independently beforehand, to three decimals (nodes counted from 0)."""
    p, q = lowcarbon_devices(ieee33, size)
    found = branchflow.gan_condition(
        ieee33, p - load * ieee33.p_load, q - load * ieee33.q_load, 0.94
    )
    assert found == pytest.approx(value, abs=6e-4)


def test_gan_condition_falls_with_reverse_flow_and_fails(ieee33):
    values = [
        branchflow.gan_condition(ieee33, *lowcarbon_devices(ieee33, k), 0.94) for k in range(4)
    ]
    assert np.all(np.diff(values) < 0) and values[2] > 0 > values[3]
    own = np.stack([ieee33.r, ieee33.x]) / np.hypot(ieee33.r, ieee33.x)
    assert values[0] == pytest.approx(own.min())  # nothing flows back: A = I
    big = read_feeder("ieee33", s_base_mva=10)
    p, q = lowcarbon_devices(big, 0.1)
    assert branchflow.gan_condition(big, p, q, 0.94) == pytest.approx(values[1])


@settings(derandomize=True, deadline=None, max_examples=8)
@given(seed=st.integers(0, 999), size=st.floats(0.2, 2.0))
def test_under_the_condition_the_tightened_relaxation_is_exact(seed, size):
    """The theorem of Gan et al.: curtailable PV, limit on the voltages without losses."""
    feeder = trees.feeder(20, seed=seed)
    rng = np.random.default_rng(seed)
    most = size * branchflow.total_load(feeder) * rng.dirichlet(np.ones(feeder.n))
    p_load, q_load = 0.3 * feeder.p_load, 0.3 * feeder.q_load
    if branchflow.gan_condition(feeder, most - p_load, -q_load, 0.9) <= 0:
        return
    P, Q, ell, v = branchflow.variables(feeder)
    Pl, Ql, _, vl = branchflow.variables(feeder)
    g = cp.Variable(feeder.n, nonneg=True)
    p = g - p_load
    model = branchflow.constraints(feeder, P, Q, ell, v, p, -q_load)
    no_ell = np.zeros((1, feeder.n))
    flat = branchflow.constraints(feeder, Pl, Ql, no_ell, vl, p, -q_load, V_max=1.01)
    flat = [c for c in flat if not isinstance(c, cp.SOC)]
    scale = branchflow.total_load(feeder)
    cost = branchflow.at_root(feeder, P) / scale
    solve.solve(cp.Problem(cp.Minimize(cost), model + flat + [g <= most]))
    plan = branchflow.plan(feeder, P, Q, ell, v, p, -q_load)
    assert branchflow.cone_gap(plan) < 1e-5
    lossless = linflow.lindistflow(feeder, plan.p, plan.q)
    np.testing.assert_allclose(np.sqrt(vl.value), lossless.V, atol=1e-6)


def test_angles_of_a_batch(ieee33):
    p = np.linspace(-0.5, 1.5, 5)[:, None] * ieee33.p
    flow = powerflow.solve(ieee33, p, ieee33.q, V_root=1.02)
    found = branchflow.angles(ieee33, flow.P, flow.Q, flow.V**2, flow.V_root, flow.ratio)
    np.testing.assert_allclose(found, flow.theta, atol=1e-9)


# --- successive linearisation


def deviation_case(feeder):
    at = [feeder.index(b) for b in (18, 22, 25, 33)]
    p, q = feeder.p / 2, feeder.q / 2
    p[at] += 1
    place = np.zeros((4, feeder.n))
    place[range(4), at] = 1
    merit = lambda flow: ((flow.V**2 - 1) ** 2).sum()  # noqa: E731

    def step(flow, radius):
        P, Q, ell, v = branchflow.variables(feeder)
        h = cp.Variable(4)
        injected = h @ place + q
        model = branchflow.constraints(feeder, P, Q, ell, v, p, injected, around=flow)
        near = [cp.abs(injected - flow.q) <= radius, cp.abs(h) <= 0.8]
        foreseen = solve.solve(cp.Problem(cp.Minimize(cp.sum_squares(v - 1)), model + near))
        return p, injected.value, foreseen, np.sqrt(v.value)

    return p, q, place, step, merit


def test_successive_linearisation_finds_what_a_grid_finds(ieee33):
    p, q, place, step, merit = deviation_case(ieee33)
    found = branchflow.successive(ieee33, step, merit, p, q)
    assert found.agreement < 1e-4
    assert np.all(np.diff(found.values) < 0) and len(found.values) < 12
    grid = np.stack(np.meshgrid(*[np.linspace(-0.8, 0.8, 17)] * 4), axis=-1).reshape(-1, 4)
    flow = powerflow.solve(ieee33, p, q + grid @ place)
    best = ((flow.V**2 - 1) ** 2).sum(axis=1).min()
    assert found.value <= best < 1.2 * found.value


def test_the_tangent_is_exact_where_it_touches(ieee33):
    """At the exact flow itself every constraint of the linearised model holds."""
    flow = powerflow.solve(ieee33)
    P, Q, ell, v = (cp.Variable(ieee33.n) for _ in range(4))
    model = branchflow.constraints(ieee33, P, Q, ell, v, ieee33.p, ieee33.q, around=flow)
    P.value, Q.value, ell.value, v.value = flow.P, flow.Q, flow.ell, flow.V**2
    assert max(np.max(c.violation()) for c in model) < 1e-9


def test_successive_linearisation_that_does_not_settle_says_so(ieee33):
    p, q, _, step, merit = deviation_case(ieee33)
    with pytest.raises(RuntimeError, match="1 steps of successive"):
        branchflow.successive(ieee33, step, merit, p, q, radius=0.01, max_steps=1)
