"""Own series and devices, and the three methods on a reader's feeder."""

import re
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adnlib import fleets, inputs, powerflow, profiles, read_feeder, runs, series, solve, study
from adnlib.inputs import InputError

FEEDER = inputs.network("ieee33").feeder
NO_MESSAGE = re.compile(r"Traceback|KeyError|could not convert|invalid literal|ufunc|NaT")


def table(days=2, step="15min", start="2024-06-01", **columns):
    per_day = pd.Timedelta("1D") // pd.Timedelta(step)
    time = pd.date_range(start, periods=days * per_day, freq=step)
    columns = columns or {"factor": 0.5 + 0.1 * np.sin(np.arange(len(time)))}
    return pd.DataFrame({"time": time.strftime("%Y-%m-%d %H:%M")} | columns)


def write(tmp_path, frame, name="load.csv"):
    text = frame if isinstance(frame, str) else frame.to_csv(index=False)
    (tmp_path / name).write_text(text)
    return tmp_path / name


# --- series -------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["1min", "5min", "10min", "15min", "30min", "60min"])
def test_any_step_becomes_5_minutes_with_the_same_energy(tmp_path, step):
    frame = table(1, step)
    found = series.read(write(tmp_path, frame)).day("2024-06-01")
    assert found.shape == (288, 1)
    assert found.mean() == pytest.approx(frame["factor"].mean(), rel=1e-12)


def test_offsets_are_brought_to_that_of_the_first_row(tmp_path):
    zone = table(3, "60min", "2024-03-30")
    time = pd.date_range("2024-03-30", periods=71, freq="h", tz="Europe/Berlin")
    zone = pd.DataFrame({"time": [t.isoformat() for t in time], "factor": 0.5})
    found = series.read(write(tmp_path, zone))
    assert found.days == ["2024-03-30", "2024-03-31"] and found.step_h == 1


def test_zipped_and_commented_files_are_read(tmp_path):
    frame = table(1)
    text = "# from a meter\n" + frame.to_csv(index=False)
    assert len(series.read(write(tmp_path, text)).table) == 96
    frame.to_csv(tmp_path / "load.csv.gz", index=False)
    assert len(series.read(tmp_path / "load.csv.gz").table) == 96


GAP = table().drop(index=5)
SUMMER = table(2, "60min", "2024-03-31").drop(index=2)
TEXT = table().astype({"factor": object})
TEXT.loc[7, "factor"] = "n/a"
MIXED = table()
MIXED.loc[3, "time"] += "+00:00"


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ("", "the file is empty"),
        ("time,factor\n", "no rows"),
        ("time\n2024-06-01\n", "no column beside time"),
        (table().rename(columns={"time": "Zeit"}), "no column 'time' in the header Zeit"),
        (table().to_csv(index=False, sep=";"), "parted by ';'"),
        (TEXT, r"row 9: factor is 'n/a', not a number \(1 such"),
        (table(factor=[np.nan] * 192), "factor is empty"),
        (GAP, "row 7: 30 min from 2024-06-01 01:00:00 .* others are 15"),
        (SUMMER, "row 4: .*change of the clocks"),
        (table().iloc[[*range(5), *range(4, 190)]], "stands twice"),
        (table().iloc[::-1], "earliest row first"),
        (table().iloc[[*range(100, 192), *range(50)]], "sort by time"),
        (MIXED, "row 5: some times have an offset"),
        (table(2, "7min"), "a step of 7 min"),
        (table(1, "15min", "2024-06-01 00:07"), "off the grid"),
        (table(1).iloc[:50], "hold no whole day"),
        (table().assign(time="1.6.2024 00:00"), r"row 2: time '1.6.2024 00:00' is not like"),
        (table().to_csv(index=False).replace("00:30,", "00:30,1,"), "row 4: 3 cells where"),
        (table().to_csv(index=False).replace("time,factor", "time,time"), "stands twice"),
    ],
)
def test_bad_series(tmp_path, frame, says):
    with pytest.raises(InputError, match=says):
        series.read(write(tmp_path, frame))


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_changed_series_is_told(tmp_path, data):
    lines = table(1, "60min").to_csv(index=False).splitlines()
    for _ in range(data.draw(st.integers(1, 2))):
        k = data.draw(st.integers(0, len(lines) - 1))
        cut = data.draw(st.integers(0, len(lines[k])))
        new = data.draw(st.one_of(st.text(max_size=3), st.sampled_from(["", "nan", "9e999", "-"])))
        lines[k] = lines[k][:cut] + new + lines[k][data.draw(st.integers(cut, len(lines[k]))) :]
    path = tmp_path / "x.csv"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    try:
        found = series.read(path)
        series.of_loads(found, FEEDER)
        series.of_plants(found, FEEDER)
    except InputError as error:
        assert len(str(error)) > 20 and not NO_MESSAGE.search(str(error)), str(error)


# --- what columns mean --------------------------------------------------------------------------


def test_loads_by_factor_and_by_bus(tmp_path):
    frame = table(factor=0.5, **{"18_mw": 0.3})
    p, q = series.of_loads(series.read(write(tmp_path, frame)), FEEDER)
    at = FEEDER.index(18)
    load = np.array([0.5, 0.3]) @ p
    assert load[at] * FEEDER.s_base_mva == pytest.approx(0.3)
    rest = np.arange(FEEDER.n) != at
    np.testing.assert_allclose(load[rest], 0.5 * FEEDER.p_load[rest])
    ratio = (np.array([0.5, 0.3]) @ q)[at] / load[at]
    assert ratio == pytest.approx(FEEDER.q_load[at] / FEEDER.p_load[at])


@pytest.mark.parametrize(
    ("columns", "kind", "says"),
    [
        ({"18_mw": 0.3}, "load", "no column for 31 buses with load; add 2_mw"),
        ({"factor": 1.0, "99_mw": 0.3}, "load", "'99_mw': there is no bus 99"),
        ({"factor": 1.0, "1_mw": 0.3}, "load", "bus 1 is the root"),
        ({"kwh": 1.0}, "load", "'kwh' is read by nobody"),
        ({"factor": -1.0}, "load", "loads are consumption"),
        ({"factor": 50.0}, "pv", "factor goes up to 50; .* Divide percent"),
        ({"factor": -0.1}, "pv", "clip its own use"),
        ({"18_mw": 0.0}, "pv", "0 throughout"),
    ],
)
def test_bad_columns(tmp_path, columns, kind, says):
    found = series.read(write(tmp_path, table(**columns)))
    with pytest.raises(InputError, match=says):
        (series.of_loads if kind == "load" else series.of_plants)(found, FEEDER)


# --- studies ------------------------------------------------------------------------------------

DEVICES = "kind,bus,p_mw,s_mva,energy_mwh,name\npv,18,0.5,0.6,,roof\nbattery,33,0.2,,0.8,\n"


def test_own_devices_and_series(tmp_path):
    load, pv = (write(tmp_path, table(3), f"{k}.csv") for k in ("load", "pv"))
    devices = write(tmp_path, DEVICES, "devices.csv")
    own = study.study("ieee33", load, pv, devices)
    assert own.date == "2024-06-03" and "foreseen as the day before" in own.told["load"]
    assert [p.name for p in own.fleet.plants] == ["roof"]
    battery = own.fleet.batteries[0]
    assert (battery.bus, battery.energy_mwh, battery.s_mva) == (33, 0.8, pytest.approx(0.24))
    factor = np.repeat(table(3)["factor"].to_numpy()[192:], 3)
    np.testing.assert_allclose(own.day.plant.p_load, np.outer(factor, own.feeder.p_load))
    seen = own.day.forecast(0, 96)
    np.testing.assert_allclose(seen.available_mw[:, 0] / 0.5, table(3)["factor"][96:192])


def test_a_pv_series_by_bus_places_the_plants(tmp_path):
    frame = table(1, **{"18_mw": np.linspace(0, 0.4, 96), "25_mw": 0.1})
    own = study.study("ieee33", pv=write(tmp_path, frame))
    assert [(p.bus, p.available_mw) for p in own.fleet.plants] == [(18, 0.4), (25, 0.1)]
    np.testing.assert_allclose(own.day.plant.available_mw[-1], [0.4, 0.1])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (DEVICES.replace("pv,18", "wind,18"), "row 2: kind is 'wind'"),
        (DEVICES.replace("pv,18", "pv,99"), "row 2: there is no bus 99"),
        (DEVICES.replace("0.5", "half"), "row 2: p_mw is 'half'"),
        (DEVICES.replace("0.5,0.6", "0.5,0.3"), "s_mva 0.3 is below"),
        (DEVICES.replace("0.8", ""), "row 3: energy_mwh is empty"),
        (DEVICES.replace("s_mva", "s_kva"), "the columns are kind, bus, p_mw, s_kva"),
        (DEVICES + "pv,18,1,,,roof\n", "two devices are called 'roof'"),
    ],
)
def test_bad_devices(tmp_path, text, says):
    with pytest.raises(InputError, match=says):
        fleets.read_devices(write(tmp_path, text), FEEDER)


def test_bad_dates(tmp_path):
    load = write(tmp_path, table(2))
    with pytest.raises(InputError, match="not a whole day of it"):
        study.study("ieee33", load, date="2024-07-01")
    with pytest.raises(InputError, match="write it as"):
        study.study("ieee33", date="someday")
    pv = write(tmp_path, table(1, "15min", "2023-01-01"), "pv.csv")
    with pytest.raises(InputError, match="no whole day in common"):
        study.study("ieee33", load, pv)


@cache
def small():
    own = study.study("pandapower create_kerber_landnetz_kabel_1")
    return own, runs.day_ahead(own)


def test_the_plan_is_proven_and_true():
    own, ahead = small()
    seen = ahead.schedule.certificate
    assert ahead.gap < 1e-3 and ahead.loosened == (0.0, 1.0) and ahead.why == ""
    assert max(seen.voltage_difference, seen.voltage_violation, seen.loss_difference) < 1e-5
    assert ahead.schedule.value < float(own.price @ hourly(own))


def hourly(own):
    """(24,) MWh drawn on the foreseen day with the devices at rest, by the exact flow."""
    p_load, q_load, available = own.hourly
    p = -p_load
    for j, plant in enumerate(own.fleet.plants):
        p[:, own.feeder.index(plant.bus)] += available[:, j] / own.feeder.s_base_mva
    return powerflow.solve(own.feeder, p, -q_load).p_root * own.feeder.s_base_mva


def test_areas_find_the_central_plan():
    own, ahead = small()
    found = runs.by_areas(own, ahead, 3)
    assert found.result.status == "converged" and len(found.cuts) == 2
    assert abs(found.result.gap_to_central) < 5e-3
    assert found.certificate.voltage_difference < 5e-3
    with pytest.raises(ValueError, match="AREAS is 1"):
        runs.by_areas(own, ahead, 1)


def test_the_day_balances():
    own, ahead = small()
    for method in ("nothing", "plan", "rolling"):
        day = runs.roll(own, ahead, method, 6)
        assert max(day.balance.values()) < 1e-9 and set(day.summary) == set(runs.QUANTITIES)
    with pytest.raises(ValueError, match="1 to 96"):
        runs.roll(own, ahead, "plan", 97)


def test_limits_give_way_and_say_why():
    own = study.study("pandapower kb_extrem_landnetz_freileitung_trafo")
    ahead = runs.day_ahead(own)
    assert ahead.loosened[1] > 1 and ("current" in ahead.why or "voltage" in ahead.why)
    with pytest.raises(ValueError, match=r"V_MIN is 1\.1"):
        runs.day_ahead(own, 1.1, 0.9)


def test_devices_are_spread_over_loaded_buses():
    feeder = read_feeder("ieee123")
    at = fleets.spread(feeder, 6)
    assert len(set(at)) == 6 and all(feeder.p_load[feeder.index(b)] > 0 for b in at)
    case = profiles.read_case(study.CASE)
    plants, batteries = (f(case, feeder) for f in (fleets.placed_plants, fleets.placed_batteries))
    assert not set(plants["bus"]) & set(batteries["bus"])
    total = feeder.p_load.sum() * feeder.s_base_mva
    assert plants["p_mw"].sum() == pytest.approx(case["plants.pv_share"] * total)


def test_no_plan_at_all_is_explained():
    own, _ = small()
    with pytest.raises(solve.SolveError, match="infeasible"):
        runs.day_ahead(own, 1.2, 1.21)
