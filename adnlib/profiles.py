"""Time series and case parameters: load, wind, PV and prices as arrays, data/cases as tables.

Chapter 01 uses it first. Series are tables indexed by the start of each interval in local standard
time; a `Day` holds what one day of them means for a feeder, in p.u. of rated or peak power.
"""

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .feeder import DATA

TAGS = ("stated", "derived", "chosen")


class CaseError(ValueError):
    """A case file with a value that is untagged, unexplained or unknown; names the key."""


# ---------------------------------------------------------------------------------- series


def read_series(name):
    """One file of data/profiles as a DataFrame indexed by time; units are in the column names.

    name without ending, such as "rts_wind_5min". Missing values stay NaN.
    FileNotFoundError lists what there is.
    """
    path = DATA / "profiles" / f"{name}.csv.gz"
    if not path.is_file():
        known = sorted(p.name[:-7] for p in path.parent.glob("*.csv.gz"))
        raise FileNotFoundError(f"there is no series {name!r}; there are {', '.join(known)}")
    return pd.read_csv(path, parse_dates=["time"], index_col="time")


def read_units():
    """The units of the RTS-GMLC series: index unit, columns kind, region, p_max_mw (rating)."""
    return pd.read_csv(DATA / "profiles" / "rts_units.csv", index_col="unit")


@dataclass(frozen=True, eq=False)
class Day:
    """One day of a region, in p.u.: load of its yearly peak, wind and PV of the unit's rating.

    time (n_t,) start of each interval    step_h length of an interval [h]
    load (n_t,)    wind (n_t, n_wind)    pv (n_t, n_pv)    units: column labels of wind and pv

    In real time the load of a region is its day-ahead forecast times a constant (0.920, 0.998,
    0.994 for regions 1, 2, 3): the pair holds no load error, only a difference of scale.
    """

    time: pd.DatetimeIndex
    step_h: float
    load: np.ndarray
    wind: np.ndarray
    pv: np.ndarray
    units: tuple

    @property
    def hours(self):
        """(n_t,) hour of the day at which each interval starts."""
        return (self.time - self.time[0].normalize()) / pd.Timedelta(hours=1)


def rts_day(date, forecast=False, region=1, wind=None, pv=None):
    """One day of RTS-GMLC: real time at 5 min, or the hourly day-ahead forecast.

    date e.g. "2020-07-15"; region 1-3 gives the load shape; wind, pv: unit labels of
    read_units (None: all of that kind). ValueError for a date or unit that is not there.
    """
    units = read_units()
    chosen = {}
    for kind, asked in (("wind", wind), ("pv", pv)):
        there = units.index[units["kind"] == kind]
        chosen[kind] = list(there if asked is None else asked)
        for unit in chosen[kind]:
            if unit not in there:
                raise ValueError(f"there is no {kind} unit {unit!r}; there are {', '.join(there)}")
    load = f"load_{region}"
    if load not in units.index:
        raise ValueError(f"there is no region {region!r}; the load shapes are of regions 1, 2, 3")
    files = {"load": "rts_load_5min", "wind": "rts_wind_5min", "pv": "rts_pv_5min"}
    if forecast:
        files = dict.fromkeys(files, "rts_day_ahead")

    def rows(kind, labels):
        series = read_series(files[kind])
        try:
            day = series.loc[str(pd.Timestamp(date).date())]
        except (KeyError, ValueError):
            raise ValueError(
                f"{date!r} is not a day of the series, which run from "
                f"{series.index[0].date()} to {series.index[-1].date()}"
            ) from None
        rated = units["p_max_mw"].loc[labels].to_numpy()
        return day.index, day[[f"{u}_mw" for u in labels]].to_numpy(float) / rated

    time, load = rows("load", [load])
    (_, wind), (_, pv) = (rows(kind, chosen[kind]) for kind in ("wind", "pv"))
    step_h = (time[1] - time[0]) / pd.Timedelta(hours=1)
    return Day(time, step_h, load[:, 0], wind, pv, tuple(chosen["wind"] + chosen["pv"]))


def resampled(day, step_h):
    """The day at a longer step: means over whole intervals. ValueError if step_h does not fit."""
    k = step_h / day.step_h
    if not 1 <= k <= len(day.time) or abs(k - round(k)) > 1e-9 or len(day.time) % round(k):
        raise ValueError(f"step_h = {step_h} is no multiple of {day.step_h:g} h that fits the day")
    k = round(k)

    def mean(a):
        return a.reshape(-1, k, *a.shape[1:]).mean(axis=1)

    return Day(day.time[::k], step_h, mean(day.load), mean(day.wind), mean(day.pv), day.units)


def loads(feeder, shape, peak=1.0):
    """(p_load, q_load), each (n_t, n) [p.u.], consumption positive: the feeder's nominal loads
    times peak * shape (n_t,), one factor for all buses and a constant power factor."""
    factor = peak * np.asarray(shape, float)[:, None]
    return factor * feeder.p_load, factor * feeder.q_load


# ---------------------------------------------------------------------------------- cases


@dataclass(frozen=True)
class Case:
    """Parameters of a case study; case["section.key"] is a value, case.table() explains all."""

    name: str
    entries: dict

    def __getitem__(self, key):
        if key not in self.entries:
            near = difflib.get_close_matches(key, self.entries, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(self.entries)}"
            raise KeyError(f"case {self.name} has no {key!r}{hint}")
        return self.entries[key]["value"]

    def table(self):
        """DataFrame value, unit, tag, reason, one row a parameter."""
        rows = pd.DataFrame.from_dict(self.entries, orient="index")
        return rows.reindex(columns=["value", "unit", "tag", "reason"]).fillna("")


def read_case(name_or_file):
    """A file of data/cases: every value is a table {value, tag, reason, unit (optional)}.

    tag is stated (the paper says it), derived (follows from what it says) or chosen (ours).
    CaseError names the first key without a tag or reason, or with a field nobody reads.

    >>> read_case("first_day")["voltage.V_max"]
    1.05
    """
    path = Path(name_or_file)
    if path.suffix != ".toml":
        path = DATA / "cases" / f"{name_or_file}.toml"
    if not path.is_file():
        known = sorted(p.stem for p in (DATA / "cases").glob("*.toml"))
        raise FileNotFoundError(f"there is no case {path.stem!r}; there are {', '.join(known)}")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise CaseError(f"{path.name}: {error}") from None
    entries = dict(_entries(content, "", path.name))
    if not entries:
        raise CaseError(f"{path.name} holds no parameter")
    return Case(path.stem, entries)


def _entries(content, above, file):
    for key, item in content.items():
        key = f"{above}{key}"
        if not isinstance(item, dict):
            raise CaseError(
                f"{file}: {key} = {item!r} has no tag; write {{ value = {item!r}, "
                f"tag = one of {', '.join(TAGS)}, reason = why }}"
            )
        if "value" not in item:
            yield from _entries(item, f"{key}.", file)
            continue
        if item.get("tag") not in TAGS:
            raise CaseError(f"{file}: {key} has tag {item.get('tag')!r}; it is {' | '.join(TAGS)}")
        if not str(item.get("reason", "")).strip():
            raise CaseError(f"{file}: {key} gives no reason")
        unknown = set(item) - {"value", "tag", "reason", "unit"}
        if unknown:
            raise CaseError(f"{file}: {key} has a field {min(unknown)!r} that nobody reads")
        yield key, item
