"""transformer and edgeplan: linear flow of areas, margins, one problem against many that agree."""

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest

from adnlib import admm, areas, edgeplan, linflow, powerflow, read_feeder, robust, transformer
from adnlib.feeder import Feeder

N_T, BAND = 6, (0.95, 1.05)
PRICE = np.array([40.0, 60, 60, 100, 100, 40])
BUS = [14, 18, 25, 30]
GROUPS = [[0, 1], [2], [3]]
CUTS = [9, 23, 26]


@pytest.fixture(scope="module")
def feeder():
    return replace(read_feeder("ieee33"), V_root=1.02)


def day(feeder, share=0.2, gamma=None, local=False, scale=1.0):
    shape = np.array([0.4, 0.5, 0.5, 0.9, 0.9, 0.5])
    load = np.outer(shape, feeder.p_load), np.outer(shape, feeder.q_load)
    f = scale * np.outer([0, 1.0, 1.0, 0.3, 0, 0], [0.6, 0.6, 0.9, 0.9])
    sets = []
    for c in GROUPS if share else ():
        args = 0 * f[:, c], share * f[:, c], share * f[:, c]
        sets.append((c, robust.Box(*args) if gamma is None else robust.Budget(*args, gamma=gamma)))
    turbines = [{"bus": b, "p_max": 0.3, "ramp": 0.15, "cost": 70.0} for b in (14, 25, 30)]
    stores = [
        {"bus": b, "p_max": 0.4, "e_min": 0.1, "e_max": 1.5, "e_0": 0.8, "efficiency": 0.95,
         "tan_phi": 0.48, "cost": 5.0}
        for b in (16, 24, 32)
    ]  # fmt: skip
    edges, utility = edgeplan.system(
        feeder, CUTS, load, f, BUS, sets, turbines, stores, PRICE, 5.0, local
    )
    return edges, utility, f, sets


def plan_of(feeder, edges, utility, **kw):
    return edgeplan.centralised(feeder, CUTS, edges, utility, 60.0, BAND, **kw)


def real(flow):
    return flow.V * np.cos(flow.theta)


def test_response_is_the_slope_of_the_rectangular_flow():
    for name in ("ieee33", "ieee123"):
        f = read_feeder(name)
        f = replace(f, b_shunt=0 * f.b_shunt)
        at = [3, f.n - 1]
        M = transformer.response(f, at)
        for column, j in zip(M.T, at):
            V = [real(linflow.rectangular(f, s * np.eye(f.n)[j], np.zeros(f.n))) for s in (0, 1)]
            assert np.allclose(V[1] - V[0], column)


def test_pieces_together_are_the_linear_flow_of_the_whole(feeder):
    edges, utility, *_ = day(feeder, 0)
    plan = plan_of(feeder, edges, utility)
    whole = transformer.lines(feeder)
    V = 1.02 + (plan.p @ whole.R.T + plan.q @ whole.X.T) / 1.02
    assert np.allclose(V, real(linflow.rectangular(feeder, plan.p, plan.q)))
    for piece, name in zip(areas.cut(feeder, CUTS)[1:], plan.exchange):
        P, _, W = plan.exchange[name]
        assert np.allclose(P, -plan.p[:, piece.place].sum(axis=1), atol=1e-6)
        assert np.allclose(W, V[:, feeder.parent[piece.place[0]]], atol=1e-6)
    assert np.allclose(plan.bought, -plan.p.sum(axis=1), atol=1e-6)
    assert V.max() <= 1.05 + 1e-6 and V.min() >= 0.95 - 1e-6
    flow = powerflow.solve(feeder, plan.p, plan.q)
    assert abs(flow.p_loss.sum() - plan.loss.sum()) < 0.1 * plan.loss.sum()


@pytest.mark.parametrize("gamma", [None, 1])
def test_margins_are_the_worst_over_vertices(feeder, gamma):
    *_, sets = day(feeder, 0.2, gamma)
    M = transformer.response(feeder, [feeder.index(b) for b in BUS])
    rise, fall = transformer.margins(M, sets)
    t = 2
    moves = []
    for c, s in sets:
        g = {} if gamma is None else {"gamma": gamma}
        corner = type(s)(s.centre[t], s.up[t], s.down[t], **g)
        moves.append(robust.vertices(corner) @ M[:, c].T)
    assert np.allclose(rise[t], sum(m.max(axis=0) for m in moves))
    assert np.allclose(fall[t], -sum(m.min(axis=0) for m in moves))
    assert np.allclose(rise[0], 0)


def test_robust_plan_keeps_the_band_of_the_linear_flow_for_every_vertex(feeder):
    edges, utility, f, _ = day(feeder, 0.2)
    plan, line = plan_of(feeder, edges, utility), transformer.lines(feeder)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1).T
    for sign in signs:
        p = plan.p.copy()
        for k, b in enumerate(BUS):
            p[:, feeder.index(b)] += 0.2 * sign[k] * f[:, k]
        V = 1.02 + (p @ line.R.T + plan.q @ line.X.T) / 1.02
        assert V.max() <= 1.05 + 1e-6 and V.min() >= 0.95 - 1e-6


def test_more_protection_never_costs_less(feeder):
    values = {}
    for share, gamma, local in ((0, None, False), (0.2, None, True), (0.2, 1, False),
                                (0.2, None, False)):  # fmt: skip
        edges, utility, *_ = day(feeder, share, gamma, local)
        utility = replace(utility, short=0 * utility.short)
        values[share, gamma, local] = plan_of(feeder, edges, utility).value
    free, own, budget, box = values.values()
    assert free <= own + 1e-6 and own <= box + 1e-6 and free <= budget + 1e-6 <= box + 2e-6


def test_areas_and_cloud_find_the_centralised_plan(feeder):
    edges, utility, *_ = day(feeder)
    value = plan_of(feeder, edges, utility).value
    unit, scale = PRICE.mean(), {"P": 0.7, "Q": 0.7, "V": 14.0}
    pairs, (master, top) = edgeplan.by_admm(edges, utility, 60.0, BAND, unit)
    found = admm.coordinate([a for a, _ in pairs], master, scale=scale, memory=10, tol=1e-4,
                            start={"V": 1.02}, max_iter=300)  # fmt: skip
    assert found.status == "converged" and abs(found.priced * unit / value - 1) < 1e-4
    for (area, _), x in zip(pairs, found.x):
        area.restore(x)
    master.restore(found.x_master)
    again = edgeplan.plan_of(feeder, CUTS, edges, found.cost * unit, [s for _, s in pairs], top)
    assert abs(again.value / value - 1) < 1e-3
    peers = [p for p, *_ in edgeplan.by_peers(edges, utility, 60.0, BAND, unit)]
    alone = admm.coordinate(peers, scale={"P": 0.7, "Q": 0.7}, memory=10, tol=1e-4, max_iter=300)
    assert alone.status == "converged" and abs(alone.priced * unit / value - 1) < 1e-4


def test_settlement_by_hand():
    bus = {"bus": [1, 2], "p_mw": [0, 1.0], "q_mvar": [0, 0], "v_kv": 10.0}
    line = {"from_bus": [1], "to_bus": [2], "r_ohm": [1e-6], "x_ohm": [1e-6]}
    two = Feeder.from_tables(*(pd.DataFrame(a) for a in (bus, line)))
    p = np.array([[-0.6], [-0.6]])
    plan = edgeplan.Plan(0, p, 0 * p, np.full(2, 0.7), np.zeros(2), {}, {}, 3.0, 0.0)
    off = np.array([[0.1], [-0.3]])  # draws 0.5 and 0.9 of 0.7 bought
    found = edgeplan.settle(two, plan, off, [2], np.array([10.0, 20.0]), 1.5, 0.5)
    assert found.day_ahead == pytest.approx(21.0)
    assert found.balance == pytest.approx(-0.5 * 10 * 0.2 + 1.5 * 20 * 0.2, abs=1e-5)
    assert found.total == pytest.approx(21 + 5 + 3, abs=1e-5)


def test_idle_areas_and_elastic_band(feeder):
    edges, utility, *_ = day(feeder, 0.2, scale=1.6)
    idle = edgeplan.undispatched(edges)
    plan = edgeplan.centralised(feeder, CUTS, idle, utility, 60.0, BAND, elastic=True)
    assert plan.over > 0.01 and plan.devices == pytest.approx(0, abs=1e-4)
    assert np.allclose(plan.shown["9"]["turbine"], 0, atol=1e-6)


def test_areas_side_by_side_only(feeder):
    args = [], [], PRICE, 5.0
    load = np.zeros((N_T, 32)), np.zeros((N_T, 32))
    with pytest.raises(ValueError, match="area 9 has another area below"):
        edgeplan.system(feeder, [9, 12], load, np.zeros((N_T, 0)), [], [], *args)
    with pytest.raises(ValueError, match="plant at bus 5 is in no area"):
        edgeplan.system(feeder, [9], load, np.zeros((N_T, 1)), [5], [], *args)
    with pytest.raises(ValueError, match="no 40 areas apart"):
        edgeplan.hanging(feeder, 40)


def test_hanging_areas_are_apart():
    big = read_feeder("ieee119")
    for n in (2, 5, 9):
        cuts = edgeplan.hanging(big, n)
        assert len(set(cuts)) == n and all(not p.below for p in areas.cut(big, cuts)[1:])


def test_problems_are_convex_and_labelled(feeder):
    edges, utility, *_ = day(feeder)
    cost, rows, shared, _ = transformer.area_problem(edges[0], 60.0, BAND)
    assert list(shared) == ["P 9", "Q 9", "V 9"] and cp.Problem(cp.Minimize(cost), rows).is_qp()
    cost, rows, shared, _ = transformer.master_problem(utility, 60.0, None)
    assert len(shared) == 9 and cp.Problem(cp.Minimize(cost), rows).is_qp()
