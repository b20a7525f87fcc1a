"""Dispatch of a day: proven, replayed, and equal to brute force where that is possible."""

import itertools

import cvxpy as cp
import numpy as np
import pytest

from adnlib import dispatch, powerflow, read_feeder, solve
from adnlib.devices import (
    CapacitorBank,
    GasTurbine,
    Moves,
    Renewable,
    StaticVar,
    Storage,
    TapChanger,
    TieLine,
    TransferableLoad,
)
from adnlib.horizon import Horizon

FEEDER = read_feeder("ieee33")
LOAD = np.array([0.4, 0.6, 1.0, 0.9])
PRICE = np.array([300.0, 500.0, 900.0, 700.0])


def some_devices():
    return [
        TieLine(PRICE, loss_price_per_mwh=500),
        TapChanger(0.96, 0.02, 4, start=2, moves=Moves(operations_per_day=2)),
        CapacitorBank(16, 0.2, 3, start=0, moves=Moves(steps_per_hour=1)),
        Storage(33, 1.0, 0.3, 0.3, s_mva=0.35, cost_per_mwh=10),
        Renewable(18, [1.0, 0.8, 0.2, 0.0], s_mva=1.1),
        StaticVar(30, -0.2, 0.2),
        TransferableLoad(24, [0.2, 0.1], usual=2),
    ]


@pytest.fixture(scope="module")
def day():
    return dispatch.day_ahead(FEEDER, some_devices(), LOAD, gap=1e-5)


def test_schedule_is_proven_and_replays(day):
    assert day.result.status == "optimal"
    assert 0 <= day.gap <= 1e-5
    assert day.bound <= day.value
    assert day.certificate.cone_gap < 1e-6
    assert day.certificate.voltage_difference < 1e-6
    again = solve.certify(FEEDER, day, 0.95, 1.05)
    assert again.voltage_difference == day.certificate.voltage_difference


def test_cost_of_the_schedule_follows_from_its_arrays(day):
    bought = day.devices["tie line"]["p_mw"]
    assert day.cost["energy"] == pytest.approx(PRICE @ bought, rel=1e-9)
    assert day.cost["loss"] == pytest.approx(500 * day.plan.p_loss.sum(), rel=1e-9)
    storage = day.devices["storage 33"]
    moved = (storage["charge_mw"] + storage["discharge_mw"]).sum()
    assert day.device_cost["storage 33"] == pytest.approx(10 * moved, abs=1e-6)
    assert day.value == pytest.approx(sum(day.cost[k] for k in ("energy", "loss", "devices")))
    assert bought.sum() == pytest.approx(day.certificate.flow.p_root.sum(), abs=1e-6)


def test_schedule_keeps_the_rules_of_its_devices(day):
    tap, bank = day.devices["tap changer"]["position"], day.devices["bank 16"]["position"]
    for position in (tap, bank):
        np.testing.assert_allclose(position, np.round(position), atol=1e-9)
    assert (np.diff([2, *tap]) != 0).sum() <= 2
    assert np.abs(np.diff([0, *bank])).max() <= 1
    energy = day.devices["storage 33"]["energy_mwh"]
    assert energy[-1] == pytest.approx(0.5, abs=1e-6)
    table = day.table()
    assert list(table.index) == [0, 1, 2, 3]
    assert "storage 33 p_mw" in table.columns
    assert "transferable load 24 load_mw" in table.columns


def test_equal_to_enumeration_through_the_exact_flow():
    """Two hours, tap and bank: every path of positions, judged by the exact power flow alone."""
    devices = [
        TieLine([400.0, 900.0], loss_price_per_mwh=500),
        TapChanger(0.98, 0.02, 3, start=1, moves=Moves(operations_per_day=1, cost_per_operation=1)),
        CapacitorBank(30, 0.3, 3, start=0, moves=Moves(steps_per_day=2)),
    ]
    weights = {"deviation": 400}
    got = dispatch.day_ahead(
        FEEDER, devices, LOAD[:2], objective=weights, V_min=0.9, V_max=1.1, gap=1e-7
    )
    best = np.inf
    at = FEEDER.index(30)
    for taps in itertools.product(range(4), repeat=2):
        moves = (np.diff([1, *taps]) != 0).sum()
        if moves > 1:
            continue
        for banks in itertools.product(range(4), repeat=2):
            if np.abs(np.diff([0, *banks])).sum() > 2:
                continue
            q = -LOAD[:2, None] * FEEDER.q_load
            q[:, at] += 0.3 * np.array(banks)
            p = -LOAD[:2, None] * FEEDER.p_load
            flow = powerflow.solve(FEEDER, p, q, V_root=0.98 + 0.02 * np.array(taps))
            cost = np.array([400, 900]) @ flow.p_root + 500 * flow.p_loss.sum() + moves
            best = min(best, cost + 400 * ((flow.V**2 - 1) ** 2).sum())
    assert got.value == pytest.approx(best, rel=1e-6)
    assert got.bound <= best * (1 + 1e-9)


def test_day_without_binaries_needs_no_search():
    got = dispatch.day_ahead(FEEDER, [Renewable(18, 0.5), TieLine(PRICE)], LOAD, V_min=0.9)
    assert got.result is None
    assert got.gap == 0
    assert got.plan.V.shape == (4, FEEDER.n)


def test_scenarios_share_what_is_decided_before_them():
    available = np.array([[1.0, 0.8, 0.2, 0.0], [0.2, 0.2, 0.1, 0.0], [1.4, 1.2, 0.6, 0.2]])
    devices = [d for d in some_devices() if not isinstance(d, Renewable)]
    devices += [Renewable(18, available, s_mva=1.5)]
    prob = np.array([0.5, 0.3, 0.2])
    got = dispatch.day_ahead(FEEDER, devices, LOAD, scenarios=prob, gap=1e-4)
    assert got.plan.V.shape == (3, 4, FEEDER.n)
    assert got.devices["storage 33"]["p_mw"].shape == (4,)
    assert got.devices["plant 18"]["p_mw"].shape == (3, 4)
    assert got.certificate.voltage_difference < 1e-6
    bought = got.devices["tie line"]["p_mw"]
    assert got.cost["energy"] == pytest.approx(prob @ (bought @ PRICE), rel=1e-9)
    # expected value of perfect information: deciding scenario by scenario cannot be dearer
    alone = 0.0
    for s, p in enumerate(prob):
        only = [d for d in devices if not isinstance(d, Renewable)]
        only += [Renewable(18, available[s], s_mva=1.5)]
        alone += p * dispatch.day_ahead(FEEDER, only, LOAD, gap=1e-4).bound
    assert alone <= got.value * (1 + 1e-9)


def test_infeasible_day_names_limit_bus_and_hour():
    devices = [CapacitorBank(16, 0.1, 1), TieLine(PRICE)]
    with pytest.raises(solve.SolveError, match=r"lower voltage limit at bus 18, time 2"):
        dispatch.day_ahead(FEEDER, devices, LOAD, V_min=0.97)


CASES = {  # what is asked too much, and how it is named
    "purchase": ([TieLine(PRICE, p_max_mw=3.0)], "upper limit of p of tie line at time 2"),
    "circle": ([TieLine(PRICE, s_mva=4.0)], "capacity of tie line at time 2"),
    "ramp": (
        [TieLine(PRICE), GasTurbine(18, 1.0, 0.0, ramp_mw_per_h=0.5, start_mw=2.0)],
        "first ramp down of turbine 18 at time 0",
    ),
    "moves": (
        [TapChanger(0.96, 0.02, 4, start=0, moves=Moves(steps_per_day=0)), TieLine(PRICE)],
        "steps per day of tap changer at time 0",
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_the_limit_of_a_device_is_named_by_its_hour(what):
    devices, named = CASES[what]
    limit, time = named.split(" at time ")
    blames = solve.explain(dispatch.model(FEEDER, devices, LOAD, V_min=0.9).held("relaxed").problem,
                           FEEDER)  # fmt: skip
    assert (blames[0].limit, blames[0].time, blames[0].bus) == (limit, int(time), None)
    with pytest.raises(solve.SolveError, match=f"infeasible: {named} would have to give"):
        dispatch.day_ahead(FEEDER, devices, LOAD, V_min=0.9)


def test_a_limit_is_named_by_its_scenario():
    """At noon the second scenario has no sun: more must be bought than the tie line carries; its
    voltages are named by bus, interval and scenario."""
    sun = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
    devices = [Renewable(18, sun, s_mva=1.5), TieLine(PRICE, p_max_mw=3.4)]
    with pytest.raises(solve.SolveError, match="p of tie line at time 2, scenario 1 would"):
        dispatch.day_ahead(FEEDER, devices, LOAD, scenarios=[0.5, 0.5], V_min=0.9)
    devices = [Renewable(18, sun, s_mva=1.5), TieLine(PRICE)]
    with pytest.raises(solve.SolveError, match=r"at bus \d+, time 2, scenario 1 would"):
        dispatch.day_ahead(FEEDER, devices, LOAD, scenarios=[0.5, 0.5], V_min=0.93)


def test_a_ramp_is_named_by_the_hour_that_it_leads_to():
    h = Horizon(FEEDER, 4, 1.0, np.full(2, 0.5))
    drawn = np.array([1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 5.0, 5.0])  # two scenarios, four hours each
    limits = TieLine(ramp_mw_per_h=1.0).limits(h, cp.Constant(drawn), cp.Constant(0 * drawn))
    worst = solve.explain(cp.Problem(cp.Minimize(0), limits), FEEDER, n_t=4)[0]
    assert (worst.limit, worst.time, worst.scenario) == ("ramp up of tie line", 2, 1)
    assert worst.amount == pytest.approx(2.0, abs=1e-4)


def test_limits_that_only_fractions_can_keep_are_said_to_be():
    """A block of 2 MW that fits a tie line of 2.2 MW only where half of it runs at a time."""
    devices = [
        TieLine([1.0, 1.0], p_max_mw=2.2),
        TransferableLoad(19, [2.0], name="block"),
    ]
    with pytest.raises(solve.SolveError, match="feasible where binaries may be fractions"):
        dispatch.day_ahead(FEEDER, devices, [0.3, 0.3], V_min=0.9, V_max=1.1)


def test_plan_that_is_not_exact_fails_its_certificate():
    """Paid export against the upper limit: the relaxation burns power (chapter 03)."""
    devices = [Renewable(18, 3.0, curtailable=False), TieLine([100.0], sale_per_mwh=[100.0])]
    with pytest.raises(solve.CertificateError, match="cone gap"):
        dispatch.day_ahead(FEEDER, devices, [0.2], V_max=1.02)
    loose = dispatch.day_ahead(FEEDER, devices, [0.2], V_max=1.02, strict=False)
    assert loose.certificate.cone_gap > 1e-3
