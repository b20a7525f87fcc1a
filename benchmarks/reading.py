"""Reading a feeder against its size: from two tables in memory, and from a folder of CSV files."""

import tempfile
from pathlib import Path

from adnlib import Feeder, read_feeder
from benchmarks import timing, trees

SIZES = (33, 100, 333, 1000, 3333, 10_000)


def steps(small):
    sizes = SIZES[:2] if small else SIZES
    return [
        (f"reading, {size} buses", 1 + size / 1000, lambda size=size: compare(size, small))
        for size in sizes
    ]


def compare(size, small):
    bus, branch = trees.feeder(size).to_tables()
    with tempfile.TemporaryDirectory() as folder:
        bus.to_csv(Path(folder) / "bus.csv", index=False)
        branch.to_csv(Path(folder) / "branch.csv", index=False)
        methods = {
            "Feeder.from_tables": lambda: Feeder.from_tables(bus, branch),
            "read_feeder": lambda: read_feeder(folder),
        }
        seconds = timing.alternate(methods, rounds=3 if small else 7)
        peak = {name: timing.peak_mib(job) for name, job in methods.items()}
    return timing.rows("reading", size, 1, seconds, "Feeder.from_tables", peak=peak)


def checks(rows):
    """Growth of both, with no requirement on it."""
    out = []
    for name in ("Feeder.from_tables", "read_feeder"):
        mine = {row["size"]: row["min_s"] for row in rows if row["method"] == name}
        if len(mine) > 1:
            found = timing.exponents([*mine], [*mine.values()])
            out += [(f"{name}, {span} buses: exponent", e, "", True) for span, e in found.items()]
    return out
