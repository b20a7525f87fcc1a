"""simbench: shapes of household, commercial and agricultural loads, one leap year (2016).

All 27 types as hourly means; the eight types that most loads of the source's grid use, at 15 min.

The source's stamps are German legal time: on 27 March the hour from 02:00 is absent, on 30 October
it comes twice. The rows themselves run evenly, so they are numbered through in standard time.

    python data/extract/simbench_loads.py [folder of the installed packages]
"""

import re

import pandas as pd
from packages import DATA, find_file, folder_argument, write_csv_gz

PACKAGE = "simbench"
NETWORKS = "simbench/networks/1-complete_data-mixed-all-0-sw"
TYPES = r"(?:BL|G\d|H0|L\d|WB)-[A-Z]"
N_QUARTER_HOUR = 8
DECIMALS = 6


def standard_time(stamps, n_per_hour=4):
    """Standard time (UTC+1) of the rows, proved against the source's legal time row by row."""
    zone = "Europe/Berlin"
    legal = pd.to_datetime(stamps, format="%d.%m.%Y %H:%M")
    step = pd.Timedelta(hours=1) / n_per_hour
    even = pd.date_range(legal.iloc[0], periods=len(legal), freq=step)
    shown = even.tz_localize("Etc/GMT-1").tz_convert(zone).tz_localize(None)
    wrong = legal.to_numpy() != shown.to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"row {row + 2}: {stamps.iloc[row]} is not {shown[row]}, legal {zone} time"
        )
    return even


def our_name(column):
    """G1-A_pload -> g1_a_p_pu."""
    kind, quantity = column.rsplit("_", 1)
    return f"{kind.lower().replace('-', '_')}_{quantity[0]}_pu"


def commonest_types(folder, n):
    """The n load types that most loads of the source's grid use, in the order of their names."""
    loads = pd.read_csv(find_file(folder, PACKAGE, f"{NETWORKS}/Load.csv"), sep=";")
    users = loads["profile"][loads["profile"].str.fullmatch(TYPES)].value_counts()
    return sorted(users.index[:n])


def tables(folder):
    """All tables of this source: file name -> table."""
    source = pd.read_csv(find_file(folder, PACKAGE, f"{NETWORKS}/LoadProfile.csv"), sep=";")
    shapes = source.set_index(standard_time(source["time"])).drop(columns="time")
    kept = sorted(c for c in shapes if re.fullmatch(TYPES + "_[pq]load", c))
    common = commonest_types(folder, N_QUARTER_HOUR)
    quarter = [c for c in kept if c.rsplit("_", 1)[0] in common]
    return {
        "simbench_load_15min.csv.gz": shapes[quarter].rename(columns=our_name),
        "simbench_load_hourly.csv.gz": (
            shapes[kept].resample("h").mean().round(DECIMALS).rename(columns=our_name)
        ),
    }


def main():
    for name, table in tables(folder_argument()).items():
        write_csv_gz(table, DATA / "profiles" / name)


if __name__ == "__main__":
    main()
