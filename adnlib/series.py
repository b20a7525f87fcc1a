"""Series of a reader's own, as CSV: a column `time`, the rest numbers with a unit in the name.

Chapter 33 uses it. Whatever step from one minute to an hour is brought to 5 minutes: finer ones by
means, coarser ones by repetition. Times are local standard time, or carry their offset from UTC.
"""

import csv
import gzip
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from .inputs import InputError
from .tables import FeederError, few, plain_label

STEP_MIN = 5
DAY_MIN = 24 * 60
STEPS_MIN = (1, 5, 10, 15, 20, 30, 60)
MOST_FACTOR = 1.5  # what is more is no part of a rated power, it is MW or percent


@dataclass(frozen=True, eq=False)
class Series:
    """A file: `table`, numbers by column, indexed by the start of each interval; step_h [h]."""

    name: str
    table: pd.DataFrame
    step_h: float

    @property
    def days(self):
        """Dates of the whole days, as text."""
        count = self.table.groupby(self.table.index.normalize()).size()
        return [str(d.date()) for d in count.index[count == round(24 / self.step_h)]]

    def day(self, date):
        """(288, columns) values of a date at 5 minutes. InputError if it is not there, whole."""
        if str(date) not in self.days:
            first, last = (str(t.date()) for t in self.table.index[[0, -1]])
            raise InputError(
                f"{self.name}: {date} is not a whole day of it; it runs from {first} to {last}, "
                f"with {len(self.days)} whole days; choose one of them as DATE"
            )
        values = self.table.loc[str(date)].to_numpy(float)
        if len(values) > DAY_MIN // STEP_MIN:
            return values.reshape(DAY_MIN // STEP_MIN, -1, values.shape[1]).mean(axis=1)
        return np.repeat(values, DAY_MIN // STEP_MIN // len(values), axis=0)


def read(path):
    """Series of a CSV file (also .csv.gz). InputError names the file, the row and the cure."""
    path = Path(path)
    header, rows = cells(path, "time")
    lines = range(2, len(rows) + 2)
    times = _times(path.name, rows, header.index("time"), lines)
    step = _step(path.name, times, lines)
    names = [name for name in header if name != "time"]
    columns = {n: _numbers(path.name, rows, header.index(n), n, lines) for n in names}
    series = Series(path.name, pd.DataFrame(columns, index=times), step / 60)
    if not series.days:
        raise InputError(
            f"{path.name}: {len(rows)} rows of {step} min hold no whole day from 00:00 on; "
            "a day is what is planned"
        )
    return series


# ---------------------------------------------------------------------------------- cells


def cells(path, key):
    """(header, rows of text) of a CSV file with a column `key`; lines that begin with # and empty
    ones are skipped. InputError for what is no table of that kind."""
    if not path.is_file():
        raise InputError(f"{path.name}: there is no such file")
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(line for line in file if line.strip() and line.lstrip()[0] != "#")
            rows = [[cell.strip() for cell in row] for row in lines]
    except (UnicodeDecodeError, OSError, EOFError, csv.Error) as error:
        raise InputError(f"{path.name}: not a CSV file in UTF-8 ({error})") from None
    if not rows:
        raise InputError(f"{path.name}: the file is empty; it needs a header and rows")
    header, *rows = rows
    if key not in header:
        hint = "it is parted by ';', save it with commas" if ";" in header[0] else "rename one"
        raise InputError(f"{path.name}: no column {key!r} in the header {few(header)}; {hint}")
    twice = [name for name in header if header.count(name) > 1]
    if twice or "" in header:
        raise InputError(
            f"{path.name}: column {twice[0] if twice else ''!r} "
            f"{'stands twice' if twice else 'has no name'}; name each once"
        )
    if len(header) < 2 or not rows:
        raise InputError(f"{path.name}: no {f'column beside {key}' if rows else 'rows'}")
    for line, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise InputError(
                f"{path.name}, row {line}: {len(row)} cells where the header has "
                f"{len(header)}; is the file cut off, or a comma in a number?"
            )
    return header, rows


def _numbers(file, rows, at, name, lines):
    try:
        values = np.array([float(row[at]) for row in rows])
    except ValueError:
        values = np.array([_number(row[at]) for row in rows])
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        cell = rows[bad[0]][at]
        what = "empty" if cell == "" else f"{cell!r}, not a number"
        raise InputError(
            f"{file}, row {lines[bad[0]]}: {name} is {what} ({len(bad)} such cells); "
            "fill gaps before, nothing is guessed here"
        )
    return values


def _number(cell):
    try:
        return float(cell)
    except ValueError:
        return np.nan


# ---------------------------------------------------------------------------------- times


def _times(file, rows, at, lines):
    """DatetimeIndex without zone: as written, or in the offset of the first row."""
    found = []
    for line, row in zip(lines, rows):
        try:
            found.append(datetime.fromisoformat(row[at]))
        except ValueError:
            raise InputError(
                f"{file}, row {line}: time {row[at]!r} is not like 2020-07-15 13:45 "
                "(or with its offset, 2020-07-15 13:45+02:00)"
            ) from None
    zoned = [t.tzinfo is not None for t in found]
    if any(zoned) != all(zoned):
        raise InputError(
            f"{file}, row {lines[zoned.index(not zoned[0])]}: some times have an offset "
            "from UTC and some have none; write all of them alike"
        )
    if all(zoned):
        try:
            found = [t.astimezone(found[0].tzinfo).replace(tzinfo=None) for t in found]
        except OverflowError:
            raise InputError(f"{file}: a time lies outside the calendar") from None
    try:
        return pd.DatetimeIndex(found)
    except (ValueError, OverflowError):
        raise InputError(f"{file}: a year that is out of range; years are 1700 to 2200") from None


def _step(file, times, lines):
    """The one step of all rows [min]."""
    if len(times) < 2:
        raise InputError(f"{file}: one row is no series")
    gaps = np.diff(times.to_numpy()) / np.timedelta64(1, "s") / 60
    step = float(np.median(gaps))
    off = np.flatnonzero(gaps != step)
    if len(off) and step > 0:
        raise InputError(_why(file, times, lines, int(off[0]), gaps[off[0]], step, len(off)))
    if step not in STEPS_MIN:
        raise InputError(
            f"{file}: a step of {step:g} min; it is one of "
            f"{', '.join(map(str, STEPS_MIN))} min, earliest row first"
        )
    if (times[0] - times[0].normalize()) % timedelta(minutes=step):
        raise InputError(f"{file}: the first row is {times[0]}, off the grid of {step:g} min")
    return int(step)


def _why(file, times, lines, k, gap, step, count):
    here, then = times[k], times[k + 1]
    place = f"{file}, row {lines[k + 1]}: "
    clock = ""
    if abs(gap - step) == 60 and here.month in (3, 4, 9, 10, 11):
        clock = " This looks like the change of the clocks: write local standard time or offsets."
    if gap == 0:
        return f"{place}{then} stands twice; keep one.{clock}"
    if gap < 0:
        return f"{place}{then} comes after {here}; sort by time.{clock}"
    more = f", and {count - 1} more places" if count > 1 else ""
    return (
        f"{place}{gap:g} min from {here} to {then} where others are {step:g}{more}; fill the gap "
        f"or cut the file.{clock}"
    )


# ---------------------------------------------------------------------------------- meaning


def of_loads(series, feeder):
    """What columns mean: (from p, from q), each (columns, n) [p.u. per unit of the column].

    `factor` multiplies the nominal loads; `<bus>_mw` is the load of a bus, at its nominal power
    factor. With bus columns alone, every loaded bus needs one. Negative loads are refused.
    """
    table, n = series.table, feeder.n
    _no_negative(series, "loads are consumption, give generation as PV")
    at = {c: _bus(series.name, c, feeder) for c in table.columns if c != "factor"}
    rest = np.ones(n, bool)
    rest[list(at.values())] = False
    missing = np.flatnonzero(rest & (feeder.p_load != 0))
    if "factor" not in table and len(missing):
        raise InputError(
            f"{series.name}: no column for {len(missing)} buses with load; add "
            f"{feeder.buses[missing[0]]}_mw, or a column factor for the rest"
        )
    p, q = np.zeros((2, len(table.columns), n))
    for k, c in enumerate(table.columns):
        if c == "factor":
            p[k, rest], q[k, rest] = feeder.p_load[rest], feeder.q_load[rest]
            continue
        i = at[c]
        p[k, i] = 1 / feeder.s_base_mva
        q[k, i] = p[k, i] * (feeder.q_load[i] / feeder.p_load[i] if feeder.p_load[i] else 0.0)
    return p, q


def of_plants(series, feeder):
    """(buses, rated power (k,) [MW]) of the columns `<bus>_mw`, or None for one column `factor`,
    which is in parts of the rated power of every plant."""
    table = series.table
    _no_negative(series, "a plant gives 0 or more, clip its own use")
    if list(table.columns) == ["factor"]:
        most = float(table["factor"].max())
        if most > MOST_FACTOR:
            raise InputError(
                f"{series.name}: factor goes up to {most:g}; it is in parts of the rated "
                "power. Divide percent by 100, kW by the rating"
            )
        return None
    at = [_bus(series.name, c, feeder) for c in table.columns]
    rated = table.max().to_numpy(float)
    if not (rated > 0).all():
        idle = table.columns[int(np.argmin(rated))]
        raise InputError(f"{series.name}: {idle} is 0 throughout; take the column out")
    return [feeder.buses[i] for i in at], rated


def _bus(file, column, feeder):
    """Position of the bus that a column `<bus>_mw` names."""
    if not column.endswith("_mw"):
        raise InputError(
            f"{file}: column {column!r} is read by nobody; it is time, factor, or a bus "
            "label with _mw behind it"
        )
    label = column.removesuffix("_mw")
    try:
        return feeder.index(plain_label(label))
    except FeederError as error:
        raise InputError(f"{file}: column {column!r}: {error}") from None


def _no_negative(series, cure):
    table = series.table
    low = np.argwhere(table.to_numpy() < 0)
    if len(low):
        row, k = low[0]
        what = f"{table.columns[k]} is {table.iat[row, k]:g} at {table.index[row]}"
        raise InputError(f"{series.name}: {what}; {cure}")
