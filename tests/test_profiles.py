"""Days of the series and parameters of the cases: values, means, and what is refused."""

import numpy as np
import pytest

from adnlib import profiles, read_feeder
from adnlib.profiles import CaseError, read_case, read_series, read_units, resampled, rts_day

DATE = "2020-07-10"


# --- days ---------------------------------------------------------------------------------------


def test_real_day():
    day = rts_day(DATE)
    assert day.step_h == pytest.approx(1 / 12) and len(day.time) == 288
    assert day.load.shape == (288,) and day.wind.shape == (288, 4) and day.pv.shape == (288, 10)
    assert len(day.units) == 14 and day.units[0].startswith("wind")
    assert day.units[-1].startswith("pv")
    assert str(day.time[0]) == f"{DATE} 00:00:00" and day.time[-1].date() == day.time[0].date()
    np.testing.assert_allclose(day.hours, np.arange(288) / 12)


def test_forecast_day():
    day = rts_day(DATE, forecast=True)
    assert day.step_h == 1 and len(day.time) == 24 and list(day.hours) == list(range(24))
    assert day.wind.shape == (24, 4) and day.pv.shape == (24, 10)


@pytest.mark.parametrize("forecast", [False, True])
def test_per_unit_of_rating_and_peak(forecast):
    """Against the raw table: MW divided by the unit's own rating, in the order asked for."""
    day = rts_day(DATE, forecast, region=2, wind=["wind_309", "wind_122"], pv=["pv_319"])
    assert day.units == ("wind_309", "wind_122", "pv_319")
    rated = read_units()["p_max_mw"]
    raw = {kind: read_series("rts_day_ahead" if forecast else f"rts_{kind}_5min").loc[DATE]
           for kind in ("wind", "pv", "load")}  # fmt: skip
    np.testing.assert_allclose(day.wind[:, 0] * rated["wind_309"], raw["wind"]["wind_309_mw"])
    np.testing.assert_allclose(day.wind[:, 1] * rated["wind_122"], raw["wind"]["wind_122_mw"])
    np.testing.assert_allclose(day.pv[:, 0] * rated["pv_319"], raw["pv"]["pv_319_mw"])
    np.testing.assert_allclose(day.load * rated["load_2"], raw["load"]["load_2_mw"])
    for series in (day.load, day.wind, day.pv):
        assert np.isfinite(series).all() and series.min() >= 0 and series.max() <= 1.02
    assert day.pv[day.hours < 4].max() == 0 and day.pv.max() > 0.5


def test_a_year_of_load_peaks_at_one():
    rated = read_units()["p_max_mw"]
    load = read_series("rts_load_5min")
    for region in (1, 2, 3):
        peak = load[f"load_{region}_mw"].max() / rated[f"load_{region}"]
        assert peak == pytest.approx(1, abs=0.02)


def test_real_and_forecast_are_one_day():
    real, ahead = resampled(rts_day(DATE), 1.0), rts_day(DATE, forecast=True)
    assert list(real.time) == list(ahead.time) and real.units == ahead.units
    assert (real.load / ahead.load).std() < 0.01, "the load has no forecast error, only a factor"
    assert np.corrcoef(real.pv.sum(axis=1), ahead.pv.sum(axis=1))[0, 1] > 0.95
    assert np.abs(real.wind - ahead.wind).max() > 0.1, "the forecast of wind is a forecast"


def test_no_units_asked_for():
    day = rts_day(DATE, wind=[], pv=[])
    assert day.wind.shape == day.pv.shape == (288, 0) and day.units == ()


@pytest.mark.parametrize(
    "options, says",
    [
        ({"date": "2019-07-10"}, r"'2019-07-10' is not a day.* 2020-01-01 to 2020-12-31"),
        ({"date": "2020-13-40"}, "'2020-13-40' is not a day"),
        ({"date": "soon"}, "'soon' is not a day"),
        ({"wind": ["wind_999"]}, "no wind unit 'wind_999'.*wind_122"),
        ({"wind": ["pv_215"]}, "no wind unit 'pv_215'"),
        ({"pv": ["wind_122"]}, "no pv unit 'wind_122'.*pv_215"),
        ({"region": 4}, "no region 4.*1, 2, 3"),
    ],
)
@pytest.mark.parametrize("forecast", [False, True])
def test_what_is_not_in_the_series(options, says, forecast):
    with pytest.raises(ValueError, match=says):
        rts_day(**({"date": DATE, "forecast": forecast} | options))


def test_unknown_series():
    with pytest.raises(FileNotFoundError, match=r"'rts_hail'.*rts_wind_5min"):
        read_series("rts_hail")


# --- resampling and loads -----------------------------------------------------------------------


@pytest.mark.parametrize("step_h", [1 / 12, 0.25, 0.5, 1, 2, 24])
def test_means_conserve_energy(step_h):
    day = rts_day(DATE)
    coarse = resampled(day, step_h)
    assert coarse.step_h == step_h and len(coarse.time) == round(24 / step_h)
    for name in ("load", "wind", "pv"):
        energy = getattr(day, name).sum(axis=0) * day.step_h
        np.testing.assert_allclose(getattr(coarse, name).sum(axis=0) * step_h, energy, rtol=1e-12)
    np.testing.assert_allclose(coarse.hours, np.arange(len(coarse.time)) * step_h, atol=1e-9)
    k = round(step_h * 12)
    np.testing.assert_allclose(coarse.wind[-1], day.wind[-k:].mean(axis=0))


@pytest.mark.parametrize("step_h", [0, -1, 1 / 24, 1 / 13, 0.3, 5, 48, np.nan, np.inf])
def test_steps_that_do_not_fit(step_h):
    with pytest.raises(ValueError, match="step_h"):
        resampled(rts_day(DATE), step_h)


def test_loads_scale_the_nominal_ones():
    f = read_feeder("ieee33")
    p, q = profiles.loads(f, [0.5, 1.0, 0.25], peak=2.0)
    assert p.shape == q.shape == (3, f.n)
    np.testing.assert_allclose(p, np.outer([1, 2, 0.5], f.p_load))
    np.testing.assert_allclose(q, np.outer([1, 2, 0.5], f.q_load))
    assert (p >= 0).all(), "consumption is positive"


# --- cases --------------------------------------------------------------------------------------

GOOD = """
step = { value = 0.25, tag = "chosen", reason = "as the market", unit = "h" }
[price]
peak = { value = 0.88, tag = "stated", reason = "table 2" }
[price.valley]
night = { value = [0.3, 0.4], tag = "derived", reason = "from its figure" }
"""


@pytest.fixture
def case_file(tmp_path):
    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_case(case_file):
    case = read_case(case_file(GOOD))
    assert case.name == "mine"
    assert (case["step"], case["price.peak"]) == (0.25, 0.88)
    assert case["price.valley.night"] == [0.3, 0.4]
    table = case.table()
    assert list(table.index) == ["step", "price.peak", "price.valley.night"]
    assert list(table.loc["step"]) == [0.25, "h", "chosen", "as the market"]
    assert table.loc["price.peak", "unit"] == ""


def test_unknown_key_gets_a_hint(case_file):
    case = read_case(str(case_file(GOOD)))
    with pytest.raises(KeyError, match=r"case mine has no 'price\.peek'; did .* 'price\.peak'\?"):
        case["price.peek"]
    with pytest.raises(KeyError, match=r"no 'zzz'.*it has step, price\.peak"):
        case["zzz"]


@pytest.mark.parametrize(
    "text, says",
    [
        ("a = 1", r"a = 1 has no tag; write \{ value = 1"),
        ("[s]\na = [1, 2]", r"s\.a = \[1, 2\] has no tag"),
        ("[s]\na = 'x'", r"s\.a = 'x' has no tag"),
        ("a = { value = 1, reason = 'r' }", "a has tag None"),
        ("a = { value = 1, tag = 'guessed', reason = 'r' }", "a has tag 'guessed'.*chosen"),
        ("a = { value = 1, tag = 'chosen' }", "a gives no reason"),
        ("a = { value = 1, tag = 'chosen', reason = ' ' }", "a gives no reason"),
        ("[s]\na = { value = 1, tag = 'chosen', reason = 'r', units = 'h' }", r"s\.a .*'units'"),
        ("a = { tag = 'chosen', reason = 'r' }", r"mine\.toml: a.*"),
        ("", "holds no parameter"),
        ("[s]", "holds no parameter"),
        ("a = ", "mine.toml: "),
    ],
)
def test_bad_case(case_file, text, says):
    with pytest.raises(CaseError, match=says) as error:
        read_case(case_file(text))
    assert "mine.toml" in str(error.value)


def test_unknown_case():
    with pytest.raises(FileNotFoundError, match=r"no case 'first_dya'.*first_day"):
        read_case("first_dya")


@pytest.mark.parametrize("name", sorted(p.stem for p in (profiles.DATA / "cases").glob("*.toml")))
def test_every_case_of_the_project_reads(name):
    table = read_case(name).table()
    assert set(table["tag"]) <= set(profiles.TAGS) and (table["reason"].str.len() > 5).all()
