"""A solved case written to files: everything comes back, and pandapower finds our voltages."""

import numpy as np
import pytest

from adnlib import Feeder, dispatch, export, read_feeder
from adnlib.devices import CapacitorBank, Renewable, Storage, TapChanger, TieLine

PRICE = np.array([300.0, 500.0, 900.0])
LOAD = np.array([0.4, 0.7, 1.0])
TIE = TieLine(price_per_mwh=PRICE, loss_price_per_mwh=300)
WIND = Renewable(18, np.array([1.4, 0.8, 0.2]), s_mva=1.6, cost_per_mwh=10, name="wind")
STORE = Storage(33, 1.0, 0.3, 0.3, exclusive=False, cost_per_mwh=20, name="battery")


def solved(feeder, devices=(TIE, WIND, STORE), **more):
    return dispatch.day_ahead(feeder, list(devices), LOAD, V_min=0.9, V_max=1.06, **more)


@pytest.fixture(scope="module")
def ieee33():
    return read_feeder("ieee33")


def test_everything_comes_back(tmp_path, ieee33):
    plan = solved(ieee33)
    folder = export.write(tmp_path / "case", ieee33, plan, hour=1, more={"thing": (3.5, "kg")})
    found = export.read(folder)
    assert found.hour == 1 and found.summary.loc["thing", "value"] == 3.5
    np.testing.assert_allclose(found.voltages[[str(b) for b in ieee33.buses]], plan.plan.V, 1e-7)
    np.testing.assert_allclose(found.voltages[str(ieee33.root)], ieee33.V_root)
    np.testing.assert_allclose(
        found.setpoints["wind p_mw"], plan.devices["wind"]["p_mw"], atol=1e-7
    )
    total = sum(plan.cost[k] for k in ("energy", "loss", "devices"))
    rows = [f"cost of {k}" for k in ("energy", "loss", "devices")]
    assert found.summary.loc[rows, "value"].sum() == pytest.approx(total, rel=1e-6)
    drawn = plan.devices["tie line"]["p_mw"].sum()
    assert found.summary.loc["energy drawn", "value"] == pytest.approx(drawn, rel=1e-6)


@pytest.mark.parametrize("hour", [0, 1, 2])
@pytest.mark.parametrize("load", [None, "of the hour"])
def test_pandapower_finds_our_voltages(tmp_path, ieee33, hour, load):
    factors = LOAD[:, None]
    load = None if load is None else (factors * ieee33.p_load, factors * ieee33.q_load)
    folder = export.write(tmp_path, ieee33, solved(ieee33), hour=hour, load=load)
    assert export.check(export.read(folder)) < 1e-7


def test_taps_and_banks_of_the_hour(tmp_path, ieee33):
    """A tap at the root, a bank that follows the voltage, both held where the test puts them."""
    tap = TapChanger(0.95, 0.01, 10, name="tap")
    bank = CapacitorBank(30, 0.2, 3, admittance=True, name="bank")
    ladder = {
        "tap ladder": np.tile(np.arange(10) < 7, (3, 1)),
        "bank ladder": np.tile(np.arange(3) < 2, (3, 1)),
    }
    plan = solved(ieee33, (TIE, tap, bank), binaries=ladder)
    found = export.read(export.write(tmp_path, ieee33, plan))
    assert found.voltages[str(ieee33.root)].tolist() == pytest.approx([1.02] * 3)
    assert found.net.shunt["q_mvar"].sum() == pytest.approx(-0.4)
    assert export.check(found) < 1e-7


def test_regulator_within_the_feeder(tmp_path, ieee33):
    tap = TapChanger(0.95, 0.01, 10, bus=6, name="regulator")
    held = {"regulator ladder": np.tile(np.arange(10) < 8, (3, 1))}
    plan = solved(ieee33, (TIE, tap), binaries=held)
    found = export.read(export.write(tmp_path, ieee33, plan))
    assert len(found.net.trafo) == 1 and export.check(found) < 1e-7


def test_one_scenario_of_several(tmp_path, ieee33):
    wind = Renewable(18, np.array([[1.4, 0.8, 0.2], [0.1, 0.2, 0.3]]), name="wind")
    plan = solved(ieee33, (TIE, wind), scenarios=[0.5, 0.5])
    for k in (0, 1):
        found = export.read(export.write(tmp_path / str(k), ieee33, plan, scenario=k, hour=0))
        assert found.setpoints["wind p_mw"].iloc[0] == pytest.approx(
            plan.devices["wind"]["p_mw"][k, 0], abs=1e-6
        )
        assert export.check(found) < 1e-7


def test_labels_that_are_words(tmp_path, ieee33):
    bus, branch = ieee33.to_tables()
    for table, columns in ((bus, ["bus"]), (branch, ["from_bus", "to_bus"])):
        table[columns] = table[columns].map(lambda b: f"bus {b}")
    feeder = Feeder.from_tables(bus, branch, root="bus 1")
    plan = solved(feeder, (TIE, Renewable("bus 18", 0.5, name="wind")))
    assert export.check(export.read(export.write(tmp_path, feeder, plan))) < 1e-7


def test_the_check_can_fail(tmp_path, ieee33):
    found = export.read(export.write(tmp_path, ieee33, solved(ieee33), hour=2))
    found.net.load.loc[0, "p_mw"] += 0.1
    assert export.check(found) > 1e-5


def test_an_hour_that_is_not_there_and_a_file_that_is_missing(tmp_path, ieee33):
    plan = solved(ieee33)
    with pytest.raises(ValueError, match=r"hour 7 is not in the schedule, which has 0\.0 to 2\.0"):
        export.write(tmp_path, ieee33, plan, hour=7)
    export.write(tmp_path, ieee33, plan)
    (tmp_path / "net.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no net\.json: write the case again"):
        export.read(tmp_path)
