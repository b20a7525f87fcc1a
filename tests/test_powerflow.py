"""The exact power flow against hand results, two other programs, Kirchhoff and itself."""

import warnings

import numpy as np
import pandapower as pp
import pandas as pd
import pytest

from adnlib import Feeder, powerflow, read_feeder, referee
from adnlib import tree as sums
from adnlib.powerflow import CollapseError, solve
from adnlib.tree import Tree

FEEDERS = ("ieee33", "ieee119", "ieee123", "sw533")


def small(branches, loads, v_kv=1.0, **more):
    """Feeder on a 1 MVA, 1 kV base: branches {(from, to): z or (z, ratio)}, loads {bus: s}."""
    rows = [(a, b, *(z if isinstance(z, tuple) else (z, 1.0))) for (a, b), z in branches.items()]
    labels = list(dict.fromkeys([0, *(b for pair in branches for b in pair)]))
    s = np.array([loads.get(b, 0) for b in labels], complex)
    bus = pd.DataFrame({"bus": labels, "p_mw": s.real, "q_mvar": s.imag, "v_kv": v_kv, **more})
    branch = pd.DataFrame(rows, columns=["from_bus", "to_bus", "z", "ratio"])
    z = branch.pop("z").to_numpy(complex)
    return Feeder.from_tables(bus, branch.assign(r_ohm=z.real, x_ohm=z.imag))


def two_bus(z, s):
    return small({(0, 1): z}, {1: s})


def closed_form(z, s, V_root=1.0):
    """Higher root of |V|^4 - (V_root^2 - 2 Re(z conj s)) |V|^2 + |z s|^2 = 0; NaN beyond it."""
    b = V_root**2 - 2 * (z * np.conj(s)).real
    inside = b**2 - 4 * abs(z * s) ** 2
    return np.sqrt((b + np.sqrt(inside)) / 2) if inside >= 0 and b > 0 else np.nan


def complex_voltages(flow):
    return flow.V * np.exp(1j * flow.theta)


def branchy():
    """Six buses with two transformers, a regulator, shunts and a generator: every feature."""
    return small(
        {
            (0, 1): 0.02 + 0.03j,
            (1, 2): (0.01 + 0.04j, 1.05),
            (2, 3): 0.03 + 0.02j,
            (2, 4): (0.0, 0.97),
            (4, 5): 0.02 + 0.02j,
        },
        {0: 0.3 + 0.1j, 1: 0.2 + 0.1j, 2: 0.1j, 3: 0.4 + 0.2j, 5: 0.5 + 0.3j},
        g_mw=[0.02, 0, 0.01, 0, 0, 0],
        b_mvar=[0.05, 0, 0, 0.2, 0, 0.1],
        p_gen_mw=[0.04, 0, 0, 0.1, 0, 0.6],
        q_gen_mvar=[0.01, 0, 0, 0, 0.05, 0.0],
    )


# --- by hand ------------------------------------------------------------------------------------


@pytest.mark.parametrize("V_root", [0.95, 1.0, 1.05])
@pytest.mark.parametrize("z", [0.05, 0.1j, 0.03 + 0.08j])
@pytest.mark.parametrize("s", [0.0, 1.0, 0.5 + 0.5j, 1 - 0.6j, -2.0, -1 - 1j])
def test_two_buses_closed_form(z, s, V_root):
    flow = solve(two_bus(z, s), V_root=V_root, tol=1e-13)
    V = closed_form(z, s, V_root)
    assert flow.V[0] == pytest.approx(V, abs=1e-12)
    ell = abs(s) ** 2 / V**2
    assert flow.ell[0] == pytest.approx(ell, abs=1e-12)
    assert flow.P[0] + 1j * flow.Q[0] == pytest.approx(s + z * ell, abs=1e-12)
    assert flow.p_loss + 1j * flow.q_loss == pytest.approx(z * ell, abs=1e-12)
    angle = -np.angle(V**2 + z * np.conj(s))
    assert flow.theta[0] == pytest.approx(angle, abs=1e-12)


@pytest.mark.parametrize("m", [None, 1, 3, sums.WIDE + 1])
def test_transformer_steps_up_before_its_impedance(m):
    """Ratio a in front of z: V solves the two-bus equation with a V_root as the source."""
    z, s, a = 0.03 + 0.08j, 0.8 + 0.3j, 1.06
    f = small({(0, 1): (z, a)}, {1: s})
    flow = solve(f, f.p if m is None else np.tile(f.p, (m, 1)), tol=1e-13)
    flow = flow if m is None else picked(flow, m - 1)
    V = closed_form(z, s, a)
    assert flow.V[0] == pytest.approx(V, abs=1e-12)
    assert flow.ell[0] == pytest.approx(abs(s) ** 2 / V**2, abs=1e-12)
    assert flow.P[0] == pytest.approx(flow.p_root, abs=1e-12)


def test_ideal_regulator_scales_the_voltage_and_nothing_else():
    flow = solve(small({(0, 1): 0.1j, (1, 2): (0.0, 1.1)}, {2: 1.0}), tol=1e-13)
    assert flow.V[1] == pytest.approx(1.1 * flow.V[0], abs=1e-12)
    assert flow.V[0] == pytest.approx(closed_form(0.1j, 1.0), abs=1e-12)


def test_shunt_alone_is_a_voltage_divider():
    f = small({(0, 1): 0.1j}, {}, b_mvar=[0, 0.5], g_mw=[0, 0.2])
    V = 1 / (1 + 0.1j * (0.2 + 0.5j))
    flow = solve(f, tol=1e-13)
    assert complex_voltages(flow)[0] == pytest.approx(V, abs=1e-12)
    assert flow.p_root == pytest.approx(0.2 * abs(V) ** 2, abs=1e-12)


def test_three_buses_in_a_row():
    """Chosen backwards: V2 = 0.95, load 1 + 0.5j there, 0.5 at bus 1, both branches 0.01 + 0.02j.

    Walking up from bus 2 gives the source voltage with which it must come out.
    """
    z, s2, s1, V2 = 0.01 + 0.02j, 1 + 0.5j, 0.5, 0.95
    I2 = np.conj(s2 / V2)
    V1 = V2 + z * I2
    I1 = I2 + np.conj(s1 / V1)
    V0 = V1 + z * I1
    flow = solve(small({(0, 1): z, (1, 2): z}, {1: s1, 2: s2}), V_root=abs(V0), tol=1e-13)
    np.testing.assert_allclose(flow.V, [abs(V1), V2], rtol=0, atol=1e-12)
    np.testing.assert_allclose(flow.theta, np.angle(np.array([V1, V2]) / V0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(flow.ell, np.abs([I1, I2]) ** 2, rtol=0, atol=1e-12)
    assert flow.p_root + 1j * flow.q_root == pytest.approx(V0 * np.conj(I1), abs=1e-12)


def test_no_load_stays_at_the_source_voltage():
    """Nothing moves from the first sweep on: that is converged, alone and in a batch."""
    f = read_feeder("ieee33")
    flow = solve(f, 0 * f.p, 0 * f.q, V_root=1.03)
    assert flow.converged and np.all(flow.V == 1.03) and flow.p_root == 0
    level = np.array([0.0, 1.0, 1e-9, 3.0])[:, None]
    flow = solve(f, level * f.p, level * f.q)
    assert flow.converged.all() and np.all(flow.V[0] == 1.0) and flow.V[3].min() < 0.7


def test_a_root_alone_and_an_empty_batch():
    f = small({}, {0: 0.3 + 0.1j}, b_mvar=[0.2])
    flow = solve(f, V_root=2.0)
    assert (flow.p_root, flow.q_root) == (pytest.approx(0.3), pytest.approx(0.1 - 0.2 * 4))
    empty = solve(two_bus(0.1, 1), np.zeros((0, 1)))
    assert empty.V.shape == (0, 1) and empty.p_root.shape == (0,)


# --- other programs -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", FEEDERS)
def test_power_grid_model(name):
    f = read_feeder(name)
    flow = solve(f, tol=1e-12)
    V, theta, s_root = referee.power_grid_model(f)
    np.testing.assert_allclose(flow.V, V, rtol=0, atol=1e-9)
    np.testing.assert_allclose(flow.theta, theta, rtol=0, atol=1e-9)
    assert flow.p_root + 1j * flow.q_root == pytest.approx(s_root, abs=1e-7)


def test_power_grid_model_on_every_feature_at_once():
    f = branchy()
    flow = solve(f, tol=1e-12)
    V, theta, s_root = referee.power_grid_model(f)
    np.testing.assert_allclose(flow.V, V, rtol=0, atol=1e-9)
    np.testing.assert_allclose(flow.theta, theta, rtol=0, atol=1e-9)
    assert flow.p_root + 1j * flow.q_root == pytest.approx(s_root, abs=1e-8)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["ieee33", "ieee119", "sw533"])
def test_pandapower(name):
    f = read_feeder(name)
    flow, net = solve(f), f.to_pandapower()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pp.runpp(net, tolerance_mva=1e-9, max_iteration=50, numba=False)
    found = net.res_bus.loc[list(f.buses)]
    np.testing.assert_allclose(flow.V, found["vm_pu"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(flow.theta, np.deg2rad(found["va_degree"]), rtol=0, atol=1e-6)
    drawn = net.res_ext_grid[["p_mw", "q_mvar"]].sum() / f.s_base_mva
    np.testing.assert_allclose([flow.p_root, flow.q_root], drawn, rtol=0, atol=1e-6)


# --- Kirchhoff ----------------------------------------------------------------------------------


def residual(f, flow, ratio=None, b_shunt=None):
    """What is missing in the power balance of every bus, from V and theta alone [p.u.]."""
    ratio = f.ratio if ratio is None else ratio
    b_shunt = f.b_shunt if b_shunt is None else b_shunt
    V = complex_voltages(flow)
    above = np.where(f.parent < 0, flow.V_root, V[f.parent])
    z = f.r + 1j * f.x
    current = np.zeros(f.n, complex)
    np.divide(above * ratio - V, z, out=current, where=z != 0)
    for i in range(f.n - 1, -1, -1):  # an ideal regulator carries what its bus needs
        if z[i] == 0:
            current[i] = _needs(f, flow, V, i, b_shunt) + sum(
                current[j] * ratio[j] for j in np.flatnonzero(f.parent == i)
            )
            assert V[i] == pytest.approx(above[i] * ratio[i], abs=1e-12)
    out = np.zeros(f.n, complex)
    np.add.at(out, f.parent[f.parent >= 0], (current * ratio)[f.parent >= 0])
    needs = np.array([_needs(f, flow, V, i, b_shunt) for i in range(f.n)])
    return V * np.conj(current - out - needs), current


def _needs(f, flow, V, i, b_shunt):
    return -np.conj((flow.p[i] + 1j * flow.q[i]) / V[i]) + (f.g_shunt[i] + 1j * b_shunt[i]) * V[i]


@pytest.mark.parametrize("level", [0.3, 1.0, 1.5])
@pytest.mark.parametrize("name", [*FEEDERS, "branchy"])
def test_power_balance_at_every_bus(name, level):
    f = branchy() if name == "branchy" else read_feeder(name)
    flow = solve(f, level * f.p, level * f.q, tol=1e-13)
    wrong, current = residual(f, flow)
    assert np.abs(wrong).max() <= 1e-8
    np.testing.assert_allclose(flow.ell, np.abs(current) ** 2, rtol=0, atol=1e-6)
    V = complex_voltages(flow)
    above = np.where(f.parent < 0, flow.V_root, V[f.parent])
    np.testing.assert_allclose(
        flow.P + 1j * flow.Q, above * np.conj(current * f.ratio), rtol=0, atol=1e-8
    )


@pytest.mark.parametrize("name", [*FEEDERS, "branchy"])
def test_the_grid_delivers_what_is_used(name):
    f = branchy() if name == "branchy" else read_feeder(name)
    flow, top = solve(f, tol=1e-13), f.root_bus
    used = f.p_load.sum() - f.p_gen.sum() + flow.p_loss + (f.g_shunt * flow.V**2).sum()
    at_root = top.p_load - top.p_gen + top.g_shunt * f.V_root**2
    assert flow.p_root == pytest.approx(used + at_root, abs=1e-9)
    used = f.q_load.sum() - f.q_gen.sum() + flow.q_loss - (f.b_shunt * flow.V**2).sum()
    at_root = top.q_load - top.q_gen - top.b_shunt * f.V_root**2
    assert flow.q_root == pytest.approx(used + at_root, abs=1e-9)
    assert flow.p_loss == pytest.approx(f.r @ flow.ell, abs=1e-12)


# --- batches ------------------------------------------------------------------------------------


def assert_same(a, b, atol=1e-12):
    for name in ("V", "theta", "P", "Q", "ell", "p_loss", "q_loss", "p_root", "q_root"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=0, atol=atol)


def picked(flow, at):
    """One case of a batch as a Flow of its own."""
    return powerflow.Flow(**{name: np.asarray(value)[at] for name, value in vars(flow).items()})


@pytest.mark.parametrize("batch", [(), (4,), (3, 4), (2, 3, 4)])
def test_shapes(batch):
    f = read_feeder("ieee33")
    flow = solve(f, np.broadcast_to(f.p, (*batch, f.n)), f.q)
    for name in ("V", "theta", "P", "Q", "ell", "p", "q", "ratio", "b_shunt"):
        assert getattr(flow, name).shape == (*batch, f.n), name
    for name in ("p_loss", "q_loss", "p_root", "q_root", "converged", "V_root"):
        assert np.shape(getattr(flow, name)) == batch, name


def test_a_varying_day_is_its_hours_one_by_one():
    """Injections, source voltage, taps and banks vary in time; each hour alone gives the same."""
    f, rng = branchy(), np.random.default_rng(1)
    n_t = 6
    p = f.p * rng.uniform(0.5, 1.5, (n_t, 1))
    V_root, ratio = rng.uniform(0.97, 1.03, n_t), f.ratio * rng.uniform(0.97, 1.03, (n_t, f.n))
    b_shunt = f.b_shunt * rng.uniform(0, 2, (n_t, 1))
    day = solve(f, p, f.q, V_root, ratio, b_shunt, tol=1e-13)
    for t in range(n_t):
        hour = solve(f, p[t], f.q, V_root[t], ratio[t], b_shunt[t], tol=1e-13)
        assert_same(picked(day, t), hour)
        assert np.abs(residual(f, hour, ratio[t], b_shunt[t])[0]).max() <= 1e-8


@pytest.mark.parametrize("varies", ["p", "q", "V_root", "ratio", "b_shunt"])
def test_each_argument_alone_spans_the_batch(varies):
    f = branchy()
    own = {"p": f.p, "q": f.q, "V_root": f.V_root, "ratio": f.ratio, "b_shunt": f.b_shunt}
    factor = np.array([[0.98, 1.0, 1.01], [1.02, 0.99, 1.03]])
    shaped = factor if varies == "V_root" else factor[..., None]
    batch = solve(f, **{varies: own[varies] * shaped}, tol=1e-13)
    assert batch.V.shape == (2, 3, f.n)
    for at in np.ndindex(2, 3):
        assert_same(picked(batch, at), solve(f, **{varies: own[varies] * factor[at]}, tol=1e-13))


def test_broadcasting_scenarios_with_hours():
    """p (n_s, 1, n), q (n_t, n) and V_root (n_t,) meet in (n_s, n_t, n)."""
    f = read_feeder("ieee33")
    p = f.p * np.array([0.5, 1.0])[:, None, None]
    q, V_root = f.q * np.array([[0.4], [0.8], [1.2]]), np.array([0.99, 1.0, 1.02])
    batch = solve(f, p, q, V_root, tol=1e-13)
    assert batch.V.shape == (2, 3, f.n)
    assert_same(picked(batch, (1, 2)), solve(f, p[1, 0], q[2], 1.02, tol=1e-13))


@pytest.mark.parametrize("extra", [-1, 0, 1, 7])
def test_chunk_borders(extra):
    f = read_feeder("ieee119")
    m = powerflow.CHUNK // f.n + extra
    level = np.linspace(0.1, 1.6, m)[:, None]
    batch = solve(f, level * f.p, level * f.q, tol=1e-13)
    for t in (0, powerflow.CHUNK // f.n - 2, m - 1):
        assert_same(picked(batch, t), solve(f, level[t] * f.p, level[t] * f.q, tol=1e-13))


@pytest.mark.parametrize("name", [*FEEDERS, "branchy"])
def test_few_and_many_columns_take_two_ways_to_one_result(name, monkeypatch):
    f = branchy() if name == "branchy" else read_feeder(name)
    level = np.linspace(0.2, 1.2, 12)[:, None]
    narrow = solve(f, level * f.p, level * f.q, tol=1e-13)
    monkeypatch.setattr(sums, "WIDE", 0)
    wide = solve(f, level * f.p, level * f.q, tol=1e-13)
    np.testing.assert_allclose(narrow.V, wide.V, rtol=0, atol=1e-12)
    np.testing.assert_allclose(narrow.theta, wide.theta, rtol=0, atol=1e-12)
    np.testing.assert_allclose(narrow.P, wide.P, rtol=0, atol=1e-10)


@pytest.mark.parametrize("columns", [3, sums.WIDE + 1])
def test_tree_sums_by_definition(columns):
    rng = np.random.default_rng(2)
    n = 40
    parent = np.array([rng.integers(-1, i) if i else -1 for i in range(n)])
    above = np.eye(n, dtype=bool)
    for i, up in enumerate(parent):
        if up >= 0:
            above[i] |= above[up]
    tree = Tree(parent)
    a = rng.normal(size=(n, columns)) + 1j * rng.normal(size=(n, columns))
    np.testing.assert_allclose(tree.below(a[tree.order])[tree.place], above.T @ a, atol=1e-12)
    np.testing.assert_allclose(tree.path(a[tree.order])[tree.place], above @ a, atol=1e-12)


# --- the stopping rule --------------------------------------------------------------------------


@pytest.mark.parametrize("tol", [1e-6, 1e-8, 1e-10, 1e-12])
def test_tolerance_is_kept(tol):
    """|V(tol) - V(1e-14)| <= tol up to 3 times the load, and close to the nose of ieee33 (3.62)."""
    f = read_feeder("ieee33")
    level = np.r_[np.arange(0.1, 3.01, 0.1), 3.3, 3.5, 3.6, 3.62][:, None]
    exact = solve(f, level * f.p, level * f.q, tol=1e-14)
    rough = solve(f, level * f.p, level * f.q, tol=tol)
    assert np.abs(rough.V - exact.V).max() <= tol
    for k in (0, 12, 29):
        alone = solve(f, level[k] * f.p, level[k] * f.q, tol=tol)
        assert np.abs(alone.V - exact.V[k]).max() <= tol


@pytest.mark.parametrize("margin", [0.5, 0.9, 0.99, 0.999, 0.9999])
@pytest.mark.parametrize("tol", [1e-6, 1e-8, 1e-10])
def test_tolerance_is_kept_up_to_the_nose(tol, margin):
    s = margin / (4 * 0.1)
    V = solve(two_bus(0.1, s), tol=tol).V[0]
    assert abs(V - closed_form(0.1, s)) <= tol


def test_tolerance_must_be_positive():
    for tol in (0, -1e-9, np.nan):
        with pytest.raises(ValueError, match="tol"):
            solve(two_bus(0.1, 1), tol=tol)


# --- collapse -----------------------------------------------------------------------------------


@pytest.mark.parametrize("z", [0.1, 0.1j, 0.06 + 0.08j])
def test_both_sides_of_the_nose(z):
    """Load along z (worst direction): the nose stands at |s| = 1 / (4 |z|)."""
    worst = z / abs(z)
    nose = worst / (4 * abs(z))
    near = np.array([0.9, 0.99, 0.999, 1 - 1e-4])
    beyond = np.array([1 + 1e-4, 1.001, 1.01, 1.1, 2, 10, 1e3, 1e6])
    s = (np.r_[near, beyond] * nose)[:, None]
    flow = solve(two_bus(z, 0), -s.real, -s.imag, on_collapse="mask")
    assert list(flow.converged) == [True] * len(near) + [False] * len(beyond)
    V = [closed_form(z, load) for load in s[: len(near), 0]]
    np.testing.assert_allclose(flow.V[: len(near), 0], V, rtol=0, atol=1e-9)
    for name in ("V", "theta", "P", "Q", "ell", "p_loss", "q_loss", "p_root", "q_root"):
        value = getattr(flow, name)
        assert np.isnan(value[len(near) :]).all(), name
        assert np.isfinite(value[: len(near)]).all(), name


def test_never_a_number_beyond_the_nose():
    s = np.geomspace(1 + 1e-7, 1e4, 300)[:, None] / 0.4
    flow = solve(two_bus(0.1, 0), -s, 0.0, on_collapse="mask", tol=1e-6)
    assert not flow.converged.any() and np.isnan(flow.V).all()


@pytest.mark.parametrize("m", [3, 150])
def test_mask_touches_only_what_collapsed(m):
    f = read_feeder("ieee33")
    level = np.linspace(0, 8, m)[:, None]
    flow = solve(f, level * f.p, level * f.q, on_collapse="mask", tol=1e-12)
    assert 0 < flow.converged.sum() < m
    np.testing.assert_array_equal(flow.converged, level[:, 0] < 3.65)
    assert np.isnan(flow.V[~flow.converged]).all() and np.isnan(flow.p_root[~flow.converged]).all()
    good = solve(f, (level * f.p)[flow.converged], (level * f.q)[flow.converged], tol=1e-12)
    np.testing.assert_allclose(flow.V[flow.converged], good.V, rtol=0, atol=1e-11)


def test_every_sweep_is_spent_without_a_stumble(monkeypatch):
    """Some cases run away in the very last sweep while others are still under way."""
    f = two_bus(0.1, 0)
    p = -np.array([0.5, 0.9, 0.99, 0.99999, 1.0001, 1.1, 3, 1e5])[:, None] / 0.4
    for sweeps in range(16, 81, 16):
        monkeypatch.setattr(powerflow, "MAX_SWEEPS", sweeps)
        flow = solve(f, p, 0.0, on_collapse="mask")
        assert flow.converged[0] and not flow.converged[3:].any()
        assert (np.isnan(flow.V[:, 0]) == ~flow.converged).all()


@pytest.mark.parametrize("least, most", [(5, 5), (5, 50), (1e3, 1e3), (1e6, 1e6)])
@pytest.mark.parametrize("m", [2, 150])
def test_a_batch_that_runs_away_as_a_whole(m, least, most):
    f = read_feeder("ieee33")
    level = np.linspace(least, most, m)[:, None]
    flow = solve(f, level * f.p, level * f.q, on_collapse="mask")
    assert not flow.converged.any() and np.isnan(flow.V).all()
    level = np.append(level, 1)[:, None]  # and one that does not, behind all of them
    flow = solve(f, level * f.p, level * f.q, on_collapse="mask")
    assert list(np.flatnonzero(flow.converged)) == [m]
    assert flow.V[m].min() == pytest.approx(0.913090, abs=1e-6)


def test_collapse_names_bus_time_and_scenario():
    f = read_feeder("ieee33")
    level = np.ones((3, 4, 1))
    level[2, 1] = 5
    with pytest.raises(CollapseError, match=r"scenario 2, time 1, lowest at bus \d+") as error:
        solve(f, level * f.p, level * f.q)
    assert isinstance(error.value, ValueError) and "mask" in str(error.value)
    with pytest.raises(CollapseError, match=r"solution found, time 3, lowest at bus"):
        solve(f, np.array([[1], [1], [1], [5]]) * f.p)
    with pytest.raises(CollapseError, match=r"solution found, lowest at bus"):
        solve(f, 5 * f.p, 5 * f.q)


def test_collapse_names_the_weak_bus():
    """The overloaded lateral is at fault, and its end is the lowest bus."""
    f = small({(0, "a"): 0.01, (0, "b"): 0.01, ("b", "c"): 0.2}, {"a": 1, "b": 1, "c": 1.25})
    with pytest.raises(CollapseError, match="bus c"):
        solve(f)


def test_collapse_behind_the_first_chunk_is_counted_from_the_start():
    f = read_feeder("ieee33")
    level = np.ones((2000, 1))
    level[1500] = 6
    with pytest.raises(CollapseError, match="time 1500"):
        solve(f, level * f.p, level * f.q)


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["p", "q", "ratio", "b_shunt"])
def test_not_finite(name, value):
    f = branchy()
    bad = np.ones((2, f.n))
    bad[1, 3] = value
    with pytest.raises(ValueError, match=rf"{name} is not finite at index \(1, 3\)"):
        solve(f, **{name: bad})


def test_source_voltage_not_finite_or_not_positive():
    f = branchy()
    with pytest.raises(ValueError, match="V_root is not finite"):
        solve(f, V_root=np.nan)
    for bad in (0.0, -1.0, [1.0, 0.0]):
        with pytest.raises(ValueError, match="V_root and ratio must be positive"):
            solve(f, V_root=bad)
    with pytest.raises(ValueError, match="V_root and ratio must be positive"):
        solve(f, ratio=0 * f.ratio)


@pytest.mark.parametrize("name", ["p", "q", "ratio", "b_shunt"])
def test_wrong_last_axis(name):
    f = branchy()
    with pytest.raises(ValueError, match=rf"{name} has shape \(3, 6\).* 5 non-root"):
        solve(f, **{name: np.ones((3, f.n + 1))})


def test_shapes_that_do_not_fit():
    f = branchy()
    with pytest.raises(ValueError, match=r"do not fit one batch.*'p': \(3, 5\).*'q': \(4, 5\)"):
        solve(f, np.ones((3, f.n)), np.ones((4, f.n)))
    with pytest.raises(ValueError, match=r"do not fit one batch.*'V_root': \(4,\)"):
        solve(f, np.ones((3, f.n)), V_root=np.ones(4))


def test_unknown_on_collapse():
    with pytest.raises(ValueError, match=r"'ignore'.*'raise' or 'mask'"):
        solve(branchy(), on_collapse="ignore")


def test_what_is_no_array_of_numbers():
    f = branchy()
    with pytest.raises(ValueError, match="p is complex"):
        solve(f, f.p + 1j * f.q)
    with pytest.raises(ValueError, match="q is not an array of numbers"):
        solve(f, f.p, ["a"] * f.n)
    with pytest.raises(ValueError, match="p is not an array of numbers"):
        solve(f, [[1, 2, 3, 4, 5], [1]])


def test_inputs_are_left_alone():
    f = read_feeder("ieee33")
    p, q = np.tile(f.p, (150, 1)), np.tile(f.q, (150, 1))
    before = p.copy(), q.copy()
    solve(f, p, q)
    assert (p == before[0]).all() and (q == before[1]).all()
