"""The linear flows against hand results, the exact flow, their bound, difference quotients."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adnlib import Feeder, linflow, powerflow, read_feeder

RANDOM = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow],
}
MODELS = (linflow.lindistflow, linflow.rectangular)
FEEDERS = ("ieee33", "ieee119", "ieee123", "sw533")
EXACT = 1e-13


def exact(f, *args, **options):
    return powerflow.solve(f, *args, tol=EXACT, **options)


def complex_voltages(flow):
    return flow.V * np.exp(1j * flow.theta)


def two_bus(z, s=0, ratio=1.0, y=0):
    bus = {"bus": [0, 1], "p_mw": [0, s.real], "q_mvar": [0, s.imag], "v_kv": 1.0}
    bus |= {"g_mw": [0, y.real], "b_mvar": [0, y.imag]}
    branch = {"from_bus": [0], "to_bus": [1], "r_ohm": z.real, "x_ohm": z.imag, "ratio": ratio}
    return Feeder.from_tables(pd.DataFrame(bus), pd.DataFrame(branch))


def random_feeder(rng, n, features=True):
    """Random tree of n branches; with features also transformers, shunts and generators."""
    parent = [int(rng.integers(max(0, i - 4), i)) for i in range(1, n + 1)]
    s = rng.uniform(-0.5, 1, (n + 1, 2)) / n
    bus = pd.DataFrame({"bus": range(n + 1), "p_mw": s[:, 0], "q_mvar": s[:, 1], "v_kv": 1.0})
    z = rng.uniform(0.002, 0.05, (n, 2))
    branch = pd.DataFrame({"from_bus": parent, "to_bus": range(1, n + 1)})
    branch = branch.assign(r_ohm=z[:, 0], x_ohm=z[:, 1])
    if features:
        bus["g_mw"], bus["b_mvar"] = rng.uniform(0, 0.05, n + 1), rng.uniform(-0.1, 0.3, n + 1) / n
        branch["ratio"] = np.where(rng.random(n) < 0.3, rng.uniform(0.95, 1.05, n), 1)
    return Feeder.from_tables(bus, branch, V_root=float(rng.uniform(0.95, 1.05)))


# --- by hand ------------------------------------------------------------------------------------


def test_two_buses_by_hand():
    """1 + 0.5j over 0.03 + 0.08j from 1 p.u.: v = 1 - 2 (0.03 + 0.04) = 0.86; V = 1 - z conj s."""
    f = two_bus(0.03 + 0.08j, 1 + 0.5j)
    flow = linflow.lindistflow(f)
    assert flow.V[0] ** 2 == pytest.approx(0.86, abs=1e-14)
    assert flow.theta[0] == pytest.approx(-(0.08 * 1 - 0.03 * 0.5), abs=1e-14)
    assert (flow.P[0], flow.Q[0], flow.p_loss, flow.ell[0]) == (1, 0.5, 0, 0)
    flow = linflow.rectangular(f, V_root=1.1)
    V = 1.1 - (0.03 + 0.08j) * (1 - 0.5j) / 1.1
    assert complex_voltages(flow)[0] == pytest.approx(V, abs=1e-14)
    assert flow.p_root + 1j * flow.q_root == pytest.approx(1 + 0.5j)


def test_two_buses_with_ratio_and_shunt_by_hand():
    """No load: V = a / (1 + z y). A load adds -z' conj(s / V), z' = z / (1 + z y)."""
    z, y, a, s = 0.03 + 0.08j, 0.1 + 0.4j, 1.05, 0.6 + 0.2j
    f = two_bus(z, s, a, y)
    w = a / (1 + z * y)
    assert complex_voltages(linflow.rectangular(f, 0, 0))[0] == pytest.approx(w, abs=1e-13)
    V = w - z / (1 + z * y) * np.conj(s / w)
    assert complex_voltages(linflow.rectangular(f))[0] == pytest.approx(V, abs=1e-13)


@pytest.mark.parametrize("V_root", [1.0, 1.1])
def test_lindistflow_with_ratio_and_shunt_by_hand(V_root):
    """v = v_side - 2 (r (P + g v) + x (Q - b v)), v_side = (a V_root)^2, solved for v."""
    f, v_side = two_bus(0.03 + 0.08j, 0.6 + 0.2j, 1.05, 0.1 + 0.4j), (1.05 * V_root) ** 2
    v = (v_side - 2 * (0.03 * 0.6 + 0.08 * 0.2)) / (1 + 2 * (0.03 * 0.1 - 0.08 * 0.4))
    P, Q = 0.6 + 0.1 * v, 0.2 - 0.4 * v
    flow = linflow.lindistflow(f, V_root=V_root)
    assert (flow.P[0], flow.Q[0]) == (pytest.approx(P), pytest.approx(Q))
    assert flow.V[0] ** 2 == pytest.approx(v, abs=1e-13)
    assert flow.theta[0] == pytest.approx(-(0.08 * P - 0.03 * Q) / v_side, abs=1e-13)


# --- what the literature and the facts say of ieee33 --------------------------------------------


def test_existence_on_ieee33():
    f = read_feeder("ieee33")
    found = linflow.existence(f)
    assert found.norm_m == pytest.approx(0.2009, abs=5e-5)
    assert found.norm_s == pytest.approx(1.1027 * f.p_load.sum() / 3.715, abs=5e-5)
    assert found.value == pytest.approx(0.886, abs=5e-4)


@pytest.mark.parametrize("level, bound, truth", [(1.0, 0.196, 0.0064), (0.6, 0.0707, 0.0022)])
def test_bound_and_truth_on_ieee33(level, bound, truth):
    f = read_feeder("ieee33")
    p, q = level * f.p, level * f.q
    found, linear = linflow.existence(f, p, q), linflow.rectangular(f, p, q)
    assert found.bound.max() == pytest.approx(bound, abs=5e-4)
    flow = exact(f, p, q)
    assert np.abs(flow.V - linear.V).max() == pytest.approx(truth, abs=5e-5)
    assert (np.abs(complex_voltages(flow) - complex_voltages(linear)) <= found.bound).all()


@pytest.mark.parametrize("name", FEEDERS)
def test_lindistflow_is_above_the_exact_voltage_of_pure_loads(name):
    """Without its losses a feeder looks better than it is (some buses of sw533 feed in)."""
    f = read_feeder(name)
    p, q = np.minimum(f.p, 0), np.minimum(f.q, 0)
    above = linflow.lindistflow(f, p, q).V - exact(f, p, q).V
    assert above.min() >= -1e-12 and above.max() > 1e-4


# --- convergence to the exact flow --------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["ieee33", "sw533"])
def test_error_is_of_second_order(model, name):
    """Half the injections, a quarter of the error: in V, in theta and in the root power."""
    f = read_feeder(name)
    levels = np.array([0.2, 0.1, 0.05])[:, None]
    flow, linear = exact(f, levels * f.p, levels * f.q), model(f, levels * f.p, levels * f.q)
    for attribute in ("V", "theta"):
        error = np.abs(getattr(flow, attribute) - getattr(linear, attribute)).max(axis=1)
        np.testing.assert_allclose(error[:-1] / error[1:], 4, rtol=0.12)
    root = np.abs(flow.p_root - linear.p_root)
    np.testing.assert_allclose(root[:-1] / root[1:], 4, rtol=0.12)


@pytest.mark.parametrize("level", [0.5, 1.0, -1.0])
def test_rectangular_is_second_order_with_taps_and_shunts(level):
    """ieee123, where no load is not 1 p.u.: the linear model starts from the true no-load state."""
    f = read_feeder("ieee123")
    levels = level * np.array([0.2, 0.1, 0.05])[:, None]
    flow = exact(f, levels * f.p, levels * f.q)
    linear = linflow.rectangular(f, levels * f.p, levels * f.q)
    error = np.abs(complex_voltages(flow) - complex_voltages(linear)).max(axis=1)
    np.testing.assert_allclose(error[:-1] / error[1:], 4, rtol=0.12)


@pytest.mark.parametrize("name", FEEDERS)
def test_rectangular_has_the_exact_no_load_profile(name):
    f = read_feeder(name)
    flow, linear = exact(f, 0, 0, V_root=1.02), linflow.rectangular(f, 0, 0, V_root=1.02)
    assert flow.V.std() > 1e-4 or not (f.b_shunt.any() or (f.ratio != 1).any())
    np.testing.assert_allclose(linear.V, flow.V, rtol=0, atol=1e-11)
    np.testing.assert_allclose(linear.theta, flow.theta, rtol=0, atol=1e-11)


@pytest.mark.parametrize("model", MODELS)
def test_taps_without_shunts_are_exact_at_no_load(model):
    f = read_feeder("ieee123")
    flow, linear = exact(f, 0, 0, b_shunt=0), model(f, 0, 0, b_shunt=0)
    assert flow.V.max() > 1.04
    np.testing.assert_allclose(linear.V, flow.V, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", FEEDERS)
def test_both_models_are_near_the_exact_flow(name):
    f = read_feeder(name)
    flow = exact(f)
    for model in MODELS:
        linear = model(f)
        assert np.abs(linear.V - flow.V).max() < 0.008
        assert np.abs(linear.theta - flow.theta).max() < 0.01
        assert linear.p_root == pytest.approx(flow.p_root - flow.p_loss, rel=0.01)
        assert linear.p_loss == 0 and not linear.ell.any() and linear.converged


def test_what_stands_at_the_root_is_drawn_from_the_grid():
    bus = pd.DataFrame({"bus": [0, 1], "p_mw": [0.3, 0.5], "q_mvar": [0.1, 0.2], "v_kv": 1.0,
                        "b_mvar": [0.4, 0], "p_gen_mw": [0.05, 0]})  # fmt: skip
    branch = pd.DataFrame({"from_bus": [0], "to_bus": [1], "r_ohm": 0.01, "x_ohm": 0.01})
    f = Feeder.from_tables(bus, branch)
    for model in MODELS:
        flow = model(f, V_root=1.1)
        assert flow.p_root == pytest.approx(0.5 + 0.25, abs=1e-12)
        assert flow.q_root == pytest.approx(0.2 + 0.1 - 0.4 * 1.21, abs=1e-12)


# --- batches ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("m", [3, 150])
def test_a_batch_is_its_cases_one_by_one(model, m):
    """Injections, source, taps and banks vary; few and many columns (the two ways of summing)."""
    f, rng = read_feeder("ieee123"), np.random.default_rng(4)
    p, V_root = f.p * rng.uniform(0, 1.2, (2, m, 1)), rng.uniform(0.98, 1.02, (2, m))
    ratio, b = f.ratio * rng.uniform(0.99, 1.01, (m, f.n)), f.b_shunt * rng.uniform(0, 2, (m, 1))
    batch = model(f, p, f.q, V_root, ratio, b)
    assert batch.V.shape == (2, m, f.n) and batch.p_root.shape == batch.converged.shape == (2, m)
    for s, t in ((0, 0), (1, m - 1)):
        one = model(f, p[s, t], f.q, V_root[s, t], ratio[t], b[t])
        for name in ("V", "theta", "P", "Q", "p_root", "q_root"):
            np.testing.assert_allclose(
                getattr(batch, name)[s, t], getattr(one, name), rtol=0, atol=1e-12
            )


@pytest.mark.parametrize("model", MODELS)
def test_bad_shapes_and_numbers(model):
    f = read_feeder("ieee33")
    with pytest.raises(ValueError, match=r"p has shape \(33,\).*32 non-root"):
        model(f, np.ones(33))
    with pytest.raises(ValueError, match="q is not finite"):
        model(f, f.p, np.full(32, np.nan))


def test_lindistflow_refuses_a_negative_square():
    f = read_feeder("ieee33")
    with pytest.raises(ValueError, match=r"negative squared voltage, time 1, lowest at bus 18;"):
        linflow.lindistflow(f, np.array([[1], [20]]) * f.p, f.q)


# --- the guarantee ------------------------------------------------------------------------------


@settings(max_examples=80, **RANDOM)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.booleans(), st.floats(0.05, 0.999))
def test_the_bound_is_never_violated(seed, n, features, value):
    """Injections of any sign scaled to a given condition value: a solution exists within bound."""
    rng = np.random.default_rng(seed)
    f = random_feeder(rng, n, features)
    p, q = rng.normal(size=(2, n))
    scale = value / linflow.existence(f, p, q).value
    p, q = scale * p, scale * q
    found = linflow.existence(f, p, q)
    assert found.value == pytest.approx(value) and np.isfinite(found.bound).all()
    flow = powerflow.solve(f, p, q, tol=1e-11)
    error = np.abs(complex_voltages(flow) - complex_voltages(linflow.rectangular(f, p, q)))
    assert (error <= found.bound + 1e-9).all()


@pytest.mark.parametrize("a", [1.0, 0.9, 1.1])
@pytest.mark.parametrize("value", [0.2, 0.6, 0.95])
def test_bound_and_truth_at_two_buses(value, a):
    """Load along z behind a ratio a: u = V / a = (1 + sqrt(1 - value)) / 2, linear 1 - value / 4.

    The bound is a value^2 / 4, the truth (its first term a value^2 / 16) is below.
    """
    f = two_bus(0.1 + 0j, value * a**2 / 0.4 + 0j, a)
    found = linflow.existence(f)
    assert found.value == pytest.approx(value)
    assert found.bound[0] == pytest.approx(a * value**2 / 4)
    error = linflow.rectangular(f).V[0] - exact(f).V[0]
    assert error == pytest.approx(a * ((1 - np.sqrt(1 - value)) / 2 - value / 4), abs=1e-11)
    assert a * value**2 / 16 <= error <= found.bound[0]


def test_existence_where_it_says_nothing_and_in_a_batch():
    f = read_feeder("ieee33")
    level = np.array([0.5, 1.0, 1.2])[:, None]
    found = linflow.existence(f, level * f.p, level * f.q)
    assert found.value.shape == (3,) and found.bound.shape == (3, 32)
    np.testing.assert_allclose(found.value, level[:, 0] * linflow.existence(f).value)
    assert np.isfinite(found.bound[:2]).all() and np.isinf(found.bound[2]).all()
    weak = linflow.existence(f, V_root=0.9)
    assert weak.value == pytest.approx(found.value[1] / 0.81)
    with pytest.raises(ValueError, match="one V_root"):
        linflow.existence(f, V_root=[1.0, 1.1])


# --- sensitivities ------------------------------------------------------------------------------


def central(f, p, q, step=1e-4, **options):
    """(dV_dp, dV_dq) by central differences of the exact flow."""
    kicks = step * np.r_[np.eye(f.n), -np.eye(f.n)]
    out = []
    for dp, dq in ((kicks, 0 * kicks), (0 * kicks, kicks)):
        V = exact(f, p + dp, q + dq, **options).V
        out.append(((V[: f.n] - V[f.n :]) / (2 * step)).T)
    return out


@pytest.mark.parametrize("level", [0.5, 1.0, -1.0])
@pytest.mark.parametrize("name", ["ieee33", "ieee123"])
def test_sensitivities_are_difference_quotients(name, level):
    f = read_feeder(name)
    p, q = level * f.p, level * f.q
    found = linflow.sensitivities(f, exact(f, p, q))
    for ours, theirs in zip(found, central(f, p, q)):
        assert ours.shape == (f.n, f.n)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-7)
        assert np.abs(ours).max() > 0.05


def test_sensitivities_by_hand():
    """dV/dp of V = (1 + sqrt(1 - 4 r P)) / 2 is r / sqrt(1 - 4 r P): injection is minus load."""
    f = two_bus(0.1 + 0j, 1.0 + 0j)
    dV_dp, dV_dq = linflow.sensitivities(f, exact(f))
    assert dV_dp[0, 0] == pytest.approx(0.1 / np.sqrt(0.6), abs=1e-10)
    assert dV_dq[0, 0] == pytest.approx(0, abs=1e-10)


def test_row_is_the_observed_bus():
    """In ieee123 regulators make the matrix unsymmetric: compare one column with one kick."""
    f = read_feeder("ieee123")
    dV_dp, _ = linflow.sensitivities(f, exact(f))
    at, kick = f.index(66), np.zeros(f.n)
    kick[at] = 1e-5
    moved = (exact(f, f.p + kick).V - exact(f, f.p - kick).V) / 2e-5
    np.testing.assert_allclose(dV_dp[:, at], moved, rtol=0, atol=1e-7)
    assert np.abs(dV_dp[at] - moved).max() > 3e-4


def test_sensitivities_of_a_batch():
    """Taps, banks and source as they were in the flow, case by case."""
    f, rng = read_feeder("ieee123"), np.random.default_rng(5)
    p, V_root = f.p * rng.uniform(0.3, 1.2, (2, 3, 1)), rng.uniform(0.98, 1.02, 3)
    ratio, b = f.ratio * rng.uniform(0.99, 1.01, (3, f.n)), f.b_shunt * np.array([[0.5], [1], [2]])
    batch = linflow.sensitivities(f, exact(f, p, f.q, V_root, ratio, b))
    assert batch[0].shape == batch[1].shape == (2, 3, f.n, f.n)
    own = {"V_root": V_root[2], "ratio": ratio[2], "b_shunt": b[2]}
    one = linflow.sensitivities(f, exact(f, p[1, 2], f.q, **own))
    for a, b in zip(batch, one):
        np.testing.assert_allclose(a[1, 2], b, rtol=0, atol=1e-11)
    for ours, theirs in zip(one, central(f, p[1, 2], f.q, **own)):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-7)


def test_sensitivities_refuse_a_collapsed_flow():
    f = read_feeder("ieee33")
    flow = powerflow.solve(f, np.array([[1], [9]]) * f.p, on_collapse="mask")
    with pytest.raises(ValueError, match="converged"):
        linflow.sensitivities(f, flow)


def test_a_root_alone():
    bus = pd.DataFrame({"bus": [0], "p_mw": [0.3], "q_mvar": [0.1], "v_kv": [1.0]})
    branch = pd.DataFrame(columns=["from_bus", "to_bus", "r_ohm", "x_ohm"])
    f = Feeder.from_tables(bus, branch)
    for model in MODELS:
        assert model(f).p_root == pytest.approx(0.3)
    assert linflow.existence(f).value == 0
    assert linflow.sensitivities(f, exact(f))[0].shape == (0, 0)
