"""La Haute Borne: measured active power and wind speed of four 2.05 MW turbines, 2014-2015.

The source's stamps carry the offsets of French legal time (+01:00, +02:00), but its clock never
jumps: in spring the hour after the change appears twice with different readings, in autumn one
hour is missing. So the offsets were attached to a clock that runs evenly. That clock is UTC: the
air is coldest 10 to 45 minutes after sunrise in every month from March to September (read an hour
earlier, it would be coldest before sunrise), and the wind of the two reanalyses in the same archive
fits best with it. We drop the offsets and add one hour: naive Central European standard time
(UTC+1), no daylight saving.

    python data/extract/la_haute_borne.py [folder of the installed packages]
"""

from zipfile import ZipFile

import pandas as pd
from packages import DATA, find_file, folder_argument, write_csv_gz

PACKAGE = "openoa"
ARCHIVE = "examples/data/la_haute_borne.zip"
MEMBER = "la-haute-borne-data-2014-2015.csv"
STEP = pd.Timedelta("10min")
UTC_TO_CET = pd.Timedelta("1h")


def read(folder):
    """Source records: turbine, clock (the stamp without its offset), p_kw, wind_ms, t_c."""
    columns = ["Wind_turbine_name", "Date_time", "P_avg", "Ws_avg", "Ot_avg"]
    with ZipFile(find_file(folder, PACKAGE, ARCHIVE)) as archive, archive.open(MEMBER) as member:
        records = pd.read_csv(member, usecols=columns)[columns]
    records.columns = ["turbine", "clock", "p_kw", "wind_ms", "t_c"]
    records["clock"] = pd.to_datetime(records["clock"].str[:19])  # drop the wrong offset
    return records


def on_even_clock(records, value):
    """(time, turbine) table on the full 10-min grid; empty where nothing certain is known.

    Records that share turbine and stamp (the two spring hours) are left out: which of the two
    hours each belongs to is not in the source.
    """
    known = records[~records.duplicated(["turbine", "clock"], keep=False)]
    wide = known.pivot(index="clock", columns="turbine", values=value)
    grid = pd.date_range(wide.index[0], wide.index[-1], freq=STEP)
    outside = wide.index.difference(grid)
    if len(outside):
        raise ValueError(f"{MEMBER}: stamp {outside[0]} is not on the 10-min grid")
    wide = wide.reindex(grid)
    wide.index = wide.index + UTC_TO_CET
    return wide


def hourly_means(table):
    """Mean of the six values of each whole hour; empty when one of the six is missing."""
    whole = table.resample("h")
    return whole.mean().where(whole.count() == 6)


def tables(folder):
    """All tables of this source: file name -> table."""
    records = read(folder)
    # the source keeps 0.01 kW and 0.01 m/s, blurred by single-precision storage: undo the blur
    p = (on_even_clock(records, "p_kw") / 1000).round(5)
    wind = on_even_clock(records, "wind_ms").round(2)
    p.columns = [f"turbine_{name.lower()}_mw" for name in p]
    wind.columns = [f"wind_speed_{name.lower()}_ms" for name in wind]
    hourly = pd.concat([hourly_means(p).round(6), hourly_means(wind).round(3)], axis=1)
    return {
        "la_haute_borne_10min.csv.gz": p,
        "la_haute_borne_wind_speed_10min.csv.gz": wind,
        "la_haute_borne_hourly.csv.gz": hourly,
    }


def main():
    for name, table in tables(folder_argument()).items():
        write_csv_gz(table, DATA / "profiles" / name)


if __name__ == "__main__":
    main()
