"""Devices against hand calculations and against every pattern of their binaries."""

import dataclasses
import itertools

import cvxpy as cp
import numpy as np
import pytest

from adnlib import model as models
from adnlib import read_feeder, solve
from adnlib.devices import (
    CapacitorBank,
    DemandResponse,
    GasTurbine,
    Moves,
    ReducibleLoad,
    Renewable,
    SoftOpenPoint,
    StaticVar,
    Storage,
    TapChanger,
    TieLine,
    TransferableLoad,
)
from adnlib.horizon import Horizon

FEEDER = read_feeder("ieee33")


def horizon(n_t=4, n_s=1, step_h=1.0, **more):
    return Horizon(FEEDER, n_t, step_h, np.full(n_s, 1 / n_s), **more)


def best(part, objective, more=(), solver=None):
    problem = cp.Problem(objective, [*part.constraints, *more])
    problem.solve(solver=solver or (cp.HIGHS if problem.is_mixed_integer() else cp.CLARABEL))
    assert problem.status in ("optimal", "optimal_inaccurate")
    return problem.value


def feasible(part, fixed):
    problem = cp.Problem(cp.Minimize(0), [*part.constraints, *fixed])
    problem.solve(solver=cp.HIGHS)
    return problem.status == "optimal"


# ---------------------------------------------------------------------------------- generation


def test_renewable_keeps_its_forecast_and_its_circle():
    part = Renewable(5, [1.0, 0.5, 0.0, 1.2], s_mva=1.1, cost_per_mwh=3).part(horizon())
    ((bus, p, q),) = part.at
    assert bus == 5
    assert best(part, cp.Maximize(cp.sum(p))) == pytest.approx(1 + 0.5 + 0 + 1.1, abs=1e-6)
    most_q = best(part, cp.Maximize(cp.sum(q)), [p == [1.0, 0.5, 0, 0.6]])
    wanted = np.sqrt(1.1**2 - np.array([1, 0.5, 0, 0.6]) ** 2).sum()
    assert most_q == pytest.approx(wanted, abs=1e-6)
    assert part.cost.value == pytest.approx(3 * 2.1, abs=1e-5)


def test_renewable_curtailment_costs_what_is_lost():
    plant = Renewable(5, 1.0, curtailment_cost_per_mwh=10)
    part = plant.part(horizon(2, 2, 0.5))
    ((_, p, _),) = part.at
    best(part, cp.Minimize(part.cost), [p[:3] <= 0.4])
    assert part.cost.value == pytest.approx(10 * 0.5 * 0.5 * 3 * 0.6, abs=1e-6)


def test_renewable_power_factor():
    part = Renewable(5, 1.0, s_mva=2.0, q_over_p=0.33).part(horizon(1))
    ((_, p, q),) = part.at
    assert best(part, cp.Maximize(q[0] - 10 * p[0])) == pytest.approx(0, abs=1e-6)
    assert best(part, cp.Maximize(q[0])) == pytest.approx(0.33, abs=1e-6)


def test_must_run_renewable_larger_than_its_inverter_is_refused():
    with pytest.raises(ValueError, match=r"plant 5 gives up to 2 MW .* enlarge s_mva"):
        Renewable(5, 2.0, s_mva=1.0, curtailable=False).part(horizon())


def test_gas_turbine_ramps_within_each_scenario_and_from_its_start():
    turbine = GasTurbine(5, 2.0, p_min_mw=0.2, ramp_mw_per_h=0.5, start_mw=0.4, s_mva=2.2)
    part = turbine.part(horizon(4, 2, 0.5))
    ((_, p, q),) = part.at
    best(part, cp.Maximize(cp.sum(p[:4]) - cp.sum(p[4:])))
    np.testing.assert_allclose(p.value[:4], [0.65, 0.9, 1.15, 1.4], atol=1e-6)
    np.testing.assert_allclose(p.value[4:], [0.2] * 4, atol=1e-6)
    assert best(part, cp.Maximize(q[0]), [p[0] == 0.5]) == pytest.approx(
        np.sqrt(2.2**2 - 0.25), abs=1e-6
    )


# ---------------------------------------------------------------------------------- storage


def test_storage_energy_by_hand():
    unit = Storage(5, 1.0, 0.5, 0.4, 0.9, 0.8, 0.2, 0.9, 0.5, cyclic=False)
    part = unit.part(horizon(2))
    charge, out = part.shown["charge_mw"], part.shown["discharge_mw"]
    best(part, cp.Maximize(charge[0] + out[1]), solver=cp.HIGHS)
    # in: (0.9 - 0.5) / 0.9 = 0.444; out: the limit of 0.4 (0.7 * 0.8 would be there)
    np.testing.assert_allclose(charge.value, [0.4 / 0.9, 0], atol=1e-7)
    np.testing.assert_allclose(out.value, [0, 0.4], atol=1e-7)
    np.testing.assert_allclose(part.shown["energy_mwh"].value, [0.9, 0.9 - 0.5], atol=1e-7)


def test_storage_cannot_charge_and_discharge_at_once():
    burning = cp.Minimize(0)
    for exclusive in (True, False):
        part = Storage(5, 1.0, 0.5, 0.5, exclusive=exclusive).part(horizon(3))
        charge, out = part.shown["charge_mw"], part.shown["discharge_mw"]
        problem = cp.Problem(burning, [*part.constraints, charge[1] >= 0.1, out[1] >= 0.1])
        problem.solve(solver=cp.HIGHS)
        assert (problem.status == "optimal") is not exclusive


def test_cyclic_storage_loses_its_round_trip():
    unit = Storage(5, 2.0, 0.5, 0.5, 0.9, 0.9, cost_per_mwh=4)
    part = unit.part(horizon(4))
    charge, out = part.shown["charge_mw"], part.shown["discharge_mw"]
    best(part, cp.Maximize(cp.sum(out)))
    assert cp.sum(out).value == pytest.approx(0.81 * cp.sum(charge).value, abs=1e-6)
    assert part.cost.value == pytest.approx(4 * (cp.sum(out) + cp.sum(charge)).value, abs=1e-6)


def test_storage_of_scenarios_is_shared_but_its_reactive_power_is_not():
    part = Storage(5, 1.0, 0.5, 0.5, s_mva=0.6).part(horizon(3, 2))
    ((_, p, q),) = part.at
    assert part.shown["p_mw"].shape == (3,)
    assert p.shape == q.shape == (6,)
    best(part, cp.Maximize(cp.sum(q[:3]) - cp.sum(q[3:])), solver=cp.SCIP)
    np.testing.assert_allclose(q.value, [0.6] * 3 + [-0.6] * 3, atol=1e-5)


def test_bad_storage_is_refused_with_its_name():
    with pytest.raises(ValueError, match="storage 5 needs 0 <= soc_min"):
        Storage(5, 1.0, 0.5, 0.5, soc_start=0.95)
    with pytest.raises(ValueError, match="efficiency_charge of B"):
        Storage(5, 1.0, 0.5, 0.5, efficiency_charge=0, name="B")


# ---------------------------------------------------------------------------------- ladders


def test_tap_ladder_gives_the_square_of_the_ratio():
    tap = TapChanger(k_min=0.94, k_step=0.01, n_steps=11, V_source=1.02)
    for position in (0, 5, 11):
        held = np.broadcast_to(np.arange(11) < position, (4, 11)).astype(float)
        part = tap.part(horizon(binaries={"tap changer ladder": held}))
        square = (1.02 * (0.94 + 0.01 * position)) ** 2
        np.testing.assert_allclose(part.v_root.value, square, rtol=1e-14)
        np.testing.assert_allclose(part.shown["ratio"].value, 0.94 + 0.01 * position, rtol=1e-14)


LIMITS = {
    "operations a day": (Moves(operations_per_day=2), lambda d, w: (d > 0).sum() <= 2),
    "steps a day": (Moves(steps_per_day=3), lambda d, w: d.sum() <= 3),
    "steps at once": (Moves(steps_at_once=1), lambda d, w: d.max() <= 1),
    "operations an hour": (
        Moves(operations_per_hour=1),
        lambda d, w: all((d[i : i + 2] > 0).sum() <= 1 for i in range(w)),
    ),
    "steps an hour": (
        Moves(steps_per_hour=2),
        lambda d, w: all(d[i : i + 2].sum() <= 2 for i in range(w)),
    ),
}


@pytest.mark.parametrize("start", [None, 1])
@pytest.mark.parametrize("limit", LIMITS)
def test_every_path_of_positions_is_allowed_exactly_when_its_moves_are(limit, start):
    moves, allowed = LIMITS[limit]
    bank = CapacitorBank(5, 0.1, 2, start=start, moves=moves)
    part = bank.part(horizon(4, step_h=0.5))  # two intervals an hour
    position = part.shown["position"]
    for path in itertools.product(range(3), repeat=4):
        before = path[:1] if start is None else (start,)
        moved = np.abs(np.diff([*before, *path]))  # the first is 0 where the start is free
        windows = len(moved) - 1 if start is not None else 3
        if start is None:
            moved = moved[1:]
            windows = len(moved)
        assert feasible(part, [position == list(path)]) == allowed(moved, windows), path


def test_moves_cost_operations_and_steps():
    moves = Moves(cost_per_operation=200, cost_per_step=7)
    part = TapChanger(n_steps=5, start=2, moves=moves).part(horizon())
    best(part, cp.Minimize(part.cost), [part.shown["position"] == [2, 5, 5, 4]])
    assert part.cost.value == pytest.approx(2 * 200 + 4 * 7)


def test_interval_longer_than_an_hour_may_use_what_its_hours_may():
    moves = Moves(steps_per_hour=1)
    part = CapacitorBank(5, 0.1, 5, start=0, moves=moves).part(horizon(2, step_h=3.0))
    assert best(part, cp.Maximize(part.shown["position"][0])) == pytest.approx(3)


def test_bank_cost_and_bad_start():
    part = CapacitorBank(5, 0.2, 3, cost_per_mvarh=50).part(horizon(2))
    best(part, cp.Minimize(part.cost), [part.shown["position"] == [1, 3]])
    assert part.cost.value == pytest.approx(50 * 0.8)
    with pytest.raises(ValueError, match="bank 5 starts at position 4; it has 0 to 3"):
        CapacitorBank(5, 0.2, 3, start=4)


# ---------------------------------------------------------------------------------- loads


def test_demand_response_keeps_energy():
    device = DemandResponse(5, 0.3, [0.2, 0.2, 0.0, 0.5], q_over_p=0.5, cost_per_mwh=2)
    part = device.part(horizon())
    ((_, p, q),) = part.at
    change = part.shown["change_mw"]
    best(part, cp.Maximize(2 * change[0] - change[1] + change[3]))
    assert change.value[0] == pytest.approx(0.2, abs=1e-6)
    assert change.value.sum() == pytest.approx(0, abs=1e-7)
    np.testing.assert_allclose(q.value, -0.5 * change.value, atol=1e-9)
    np.testing.assert_allclose(p.value, -change.value, atol=1e-9)


def test_transferable_block_is_contiguous_and_keeps_its_energy():
    device = TransferableLoad(5, [0.2, 0.3], earliest=1, usual=4, payment_per_mwh=10)
    h = horizon(6)
    part = device.part(h)
    load, seen = part.shown["load_mw"], []
    for start in range(6):
        wanted = device.profile(6, start)
        seen.append(feasible(part, [load == wanted]))
    assert seen == [False, True, True, True, True, False]
    assert best(part, cp.Minimize(part.cost)) == pytest.approx(0)
    assert best(part, cp.Minimize(part.cost), [load[1] >= 0.1]) == pytest.approx(5)


def test_block_past_midnight():
    device = TransferableLoad(5, [0.2, 0.3], earliest=5, wrap=True)
    part = device.part(horizon(6))
    best(part, cp.Minimize(0))
    np.testing.assert_allclose(part.shown["load_mw"].value, [0.3, 0, 0, 0, 0, 0.2])
    with pytest.raises(ValueError, match="a block of 2 can start in 0 to 4"):
        TransferableLoad(5, [0.2, 0.3], earliest=5).part(horizon(6))


def test_every_pattern_of_cuts_is_allowed_exactly_when_the_definition_says_so():
    first, last, most, times, shortest, longest = 1, 7, 4, 2, 2, 3
    device = ReducibleLoad(5, 1.0, 0.3, first, last, most, times, shortest, longest)
    part = device.part(horizon(8))
    cut = part.shown["cut_mw"]
    for pattern in itertools.product((0, 1), repeat=8):
        runs = [len(list(g)) for on, g in itertools.groupby(pattern) if on]
        inside = not any(on and not first <= t <= last for t, on in enumerate(pattern))
        good = inside and sum(runs) <= most and len(runs) <= times
        good = good and all(shortest <= k <= longest for k in runs)
        assert feasible(part, [cut == 0.3 * np.array(pattern)]) == good, pattern


# ---------------------------------------------------------------------------------- the others


def test_static_var_pays_for_both_signs():
    part = StaticVar(5, -0.1, 0.3, cost_per_mvarh=10).part(horizon(2))
    ((_, p, q),) = part.at
    assert p is None
    best(part, cp.Minimize(part.cost - 100 * q[0] + 100 * q[1]))
    np.testing.assert_allclose(q.value, [0.3, -0.1], atol=1e-6)
    assert part.cost.value == pytest.approx(4, abs=1e-4)


def test_soft_open_point_loses_what_it_says():
    part = SoftOpenPoint(18, 33, 1.0, loss=0.02).part(horizon(1))
    (a, p_a, _), (b, p_b, _) = part.at
    assert (a, b) == (18, 33)
    best(part, cp.Maximize(p_b[0]), [p_a[0] >= -0.5])
    # 0.5 in, x out: 0.5 = x + 0.02 (0.5 + x)
    assert p_b.value[0] == pytest.approx(0.49 / 1.02, abs=1e-6)


def test_tie_line_refuses_to_pay_more_than_it_takes():
    p = cp.Variable(3)
    with pytest.raises(ValueError, match="in interval 2: buying to sell"):
        TieLine([5, 5, 5], sale_per_mwh=[4, 5, 6]).energy_cost(horizon(3), p)
    cost = TieLine([5, 5, 5], sale_per_mwh=2).energy_cost(horizon(3, step_h=0.5), p)
    p.value = np.array([1.0, -2.0, 0.0])
    assert cost.value == pytest.approx(0.5 * (5 - 4))


def test_tie_line_limits_and_carbon():
    line = TieLine(p_max_mw=3, s_mva=3.2, ramp_mw_per_h=1, ramp_mvar_per_h=0.5,
                   carbon_kg_per_mwh=581, carbon_price_per_kg=0.048)  # fmt: skip
    h, p, q = horizon(3), cp.Variable(3), cp.Variable(3)
    limits = line.limits(h, p, q)
    problem = cp.Problem(cp.Maximize(p[0] + 0.1 * q[0] - p[2] - 0.1 * q[2]), limits)
    problem.solve(solver=cp.CLARABEL)
    assert p.value[0] - p.value[2] == pytest.approx(2, abs=1e-6)
    assert q.value[0] - q.value[2] == pytest.approx(1, abs=1e-6)
    p.value = np.array([1.0, -1.0, 2.0])
    assert line.carbon_cost(h, p).value == pytest.approx(3 * 581 * 0.048)


def test_data_of_the_wrong_shape_name_the_device():
    with pytest.raises(ValueError, match=r"available_mw of plant 5 has shape \(3,\)"):
        Renewable(5, [1.0, 2.0, 3.0]).part(horizon(4, 2))
    with pytest.raises(ValueError, match="down_mw of demand response 5 has shape"):
        DemandResponse(5, np.ones((2, 4)), 0.1).part(horizon(4, 2))


# ---------------------------------------------------------------------------------- in the network


def held(devices, binaries, **given):
    m = models.model(FEEDER, devices, [0.8, 1.0], V_min=0.85, V_max=1.1, binaries=binaries, **given)
    solve.solve(m.problem, FEEDER)
    return m


def replayed(m):
    plan = m.plan()
    return plan, solve.certify(FEEDER, plan, m.horizon.V_min, m.horizon.V_max)


def test_regulator_inside_the_feeder_replays_exactly():
    tap = TapChanger(k_min=0.95, k_step=0.01, n_steps=10, bus=7)
    ladder = np.array([np.arange(10) < 3, np.arange(10) < 9]).astype(float)
    m = held([tap], {"regulator 7 ladder": ladder})
    plan, _ = replayed(m)
    np.testing.assert_allclose(plan.ratio[:, FEEDER.index(7)], [0.98, 1.04], rtol=1e-12)


def test_bank_of_constant_admittance_replays_exactly():
    ladder = np.array([[1, 1, 0], [1, 1, 1]], float)
    bank = CapacitorBank(18, 0.3, 3, admittance=True)
    m = held([bank], {"bank 18 ladder": ladder})
    plan, certificate = replayed(m)
    at = FEEDER.index(18)
    np.testing.assert_allclose(plan.b_shunt[:, at], [0.6, 0.9])
    given = m.parts["bank 18"].shown["q_mvar"].value
    np.testing.assert_allclose(given, [0.6, 0.9] * certificate.flow.V[:, at] ** 2, rtol=1e-6)


def test_relaxed_ladder_bounds_every_held_one():
    tap = TapChanger(k_min=0.95, k_step=0.02, n_steps=4)
    relaxed = held([tap], "relaxed").problem.value
    values = []
    for position in range(5):
        ladder = np.broadcast_to(np.arange(4) < position, (2, 4)).astype(float)
        values.append(held([tap], {"tap changer ladder": ladder}).problem.value)
    assert relaxed <= min(values) + 1e-9


def test_recourse_differs_by_scenario_and_the_cost_is_expected():
    available = np.array([[1.0, 0.5], [0.2, 2.0]])
    devices = [Renewable(18, available), TieLine(price_per_mwh=10)]
    m = held(devices, "free", scenarios=np.array([0.25, 0.75]))
    for s in range(2):
        alone = held([Renewable(18, available[s]), TieLine(price_per_mwh=10)], "free")
        mine = m.p_grid.value[2 * s : 2 * s + 2]
        np.testing.assert_allclose(mine, alone.p_grid.value, atol=1e-5)
    expected = 10 * (m.p_grid.value.reshape(2, 2).sum(axis=1) @ [0.25, 0.75])
    assert m.cost["energy"].value == pytest.approx(expected, rel=1e-9)


def test_model_names_what_does_not_fit():
    line = TieLine()
    with pytest.raises(ValueError, match="two devices are called 'plant 5'"):
        models.model(FEEDER, [Renewable(5, 1), Renewable(5, 2)], [1.0])
    with pytest.raises(ValueError, match="there are 2 tie lines"):
        models.model(FEEDER, [line, dataclasses.replace(line, name="b")], [1.0])
    with pytest.raises(ValueError, match="objective has no term 'energi'"):
        models.model(FEEDER, [], [1.0], objective={"energi": 1})
    with pytest.raises(ValueError, match="both set the voltage of the root"):
        models.model(FEEDER, [TapChanger(), TapChanger(name="b")], [1.0])
    with pytest.raises(ValueError, match="there is no bus 99"):
        models.model(FEEDER, [Renewable(99, 1.0)], [1.0])
