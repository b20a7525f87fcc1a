"""Sweeps on worker processes, and what the units of a large study cost.

Monte Carlo  5000 days of ieee123, each hour of a day with its own loads: the exact flow of 120 000
             hours, in 100 items with a stream of random numbers each.
days         the relaxed dispatch day of ieee33 (devices of benchmarks/instances.py) with the load,
             wind and sun that RTS-GMLC forecasts for the 15th of six months.
year         the exact flow of 8760 h, on feeders of 33, 123 and 1000 buses, a month at a time, of
             which the lowest and highest voltage and the loss of every hour are kept.

"one process" is adnlib.sweep.run in this process, "two workers" the same call with the address of a
cluster that runs already; their results are compared to the last bit first. Starting the workers
is a row of its own: from nothing to the first answer of each. ratio is wall time over that of two
workers, so that it is the speed-up in the row of one process. "dask's memory" is the Monte Carlo
sweep on workers that give freed memory back at once, as dask starts them (see sweep.workers).

cpu_s is the CPU time of this process or of the workers: waiting for a busy machine is not in it. Of
a year, and of the days of 123 buses, median_s and the others are CPU seconds too. process_mib is
the most that a process has held, all that it has imported included.
"""

import functools
import sys
import time

import numpy as np

from adnlib import cloudedge, dispatch, powerflow, profiles, read_feeder, solve, sweep
from benchmarks import instances, timing, trees

N, ITEMS, HOURS, YEAR, MONTH = 5000, 100, 24, 8760, 730
SEED = 17
DATES = tuple(f"2020-{month:02d}-15" for month in range(1, 13, 2))
ROUNDS = 3  # after one for warming up
ONE, TWO, START = "one process", "two workers", "starting two workers"
AS_IS = f"Monte Carlo, dask's memory, {TWO}"
LARGE_DAYS = 4  # dates of ieee123, in one process


def steps(small):
    out = [("Monte Carlo and dispatch days", 100, lambda: spread(small))]
    for size in (33,) if small else (33, 123, 1000):
        out.append((f"8760 h of {size} buses", 1 + size / 100, lambda n=size: year(n, small)))
    if not small:
        out.append(("relaxed days of 123 buses", 20, large_days))
    return out


# ---------------------------------------------------------------------------------- jobs


def draws(feeder, n, seed):
    """Lowest voltage [p.u.] and lost energy [MWh] of n random days, each (n,)."""
    rng = np.random.default_rng(seed)
    level = instances.LOAD * np.exp(0.1 * rng.standard_normal((n, 1)))
    factor = np.minimum(level * np.exp(0.05 * rng.standard_normal((n, HOURS))), 1.1)[..., None]
    flow = powerflow.solve(feeder, factor * feeder.p, factor * feeder.q)
    return flow.V.min(axis=(1, 2)), feeder.s_base_mva * flow.p_loss.sum(axis=1)


def relaxed_day(name, date):
    """Cost of the relaxed dispatch day: a lower bound of every plan's."""
    feeder, case = read_feeder(name), instances.Case(date, 0, feeder=name)
    day = profiles.rts_day(date, forecast=True)
    price = instances.shapes(case)[3]
    fleet = instances.fleet(case, feeder, day.wind.mean(axis=1), day.pv.mean(axis=1), price)
    m = dispatch.model(
        feeder, fleet, day, peak=case.load, V_min=case.V_min, V_max=case.V_max,
        objective={"carbon": 1}, binaries="relaxed",
    )  # fmt: skip
    return solve.solve(m.problem, feeder, solve.FLAT) * m.scale


def whole_year(feeder, load):
    """(3, 8760): lowest and highest voltage [p.u.], loss [MW] of every hour."""
    out = []
    for month in np.split(load, range(MONTH, len(load), MONTH)):
        flow = powerflow.solve(feeder, month[:, None] * feeder.p, month[:, None] * feeder.q)
        out.append([flow.V.min(axis=1), flow.V.max(axis=1), feeder.s_base_mva * flow.p_loss])
    return np.concatenate(out, axis=1)


# ---------------------------------------------------------------------------------- measured


def spread(small):
    n, items, dates = (40, 4, DATES[:2]) if small else (N, ITEMS, DATES)
    carlo = functools.partial(draws, read_feeder("ieee123"), n // items)
    sweeps = {
        "Monte Carlo": (123, n, carlo, sweep.seeds(SEED, items)),
        "days": (33, len(dates), functools.partial(relaxed_day, "ieee33"), dates),
    }
    rounds, since = 1 if small else ROUNDS, time.perf_counter()
    with sweep.workers(2) as client:
        ready(client)
        start = {START: np.array([time.perf_counter() - since])}
        out = [row | {"cpu_s": np.nan} for row in timing.rows("sweep_speed", 2, 1, start, None)]
        for name, (size, cases, job, given) in sweeps.items():
            out += turns(client, name, size, cases, job, list(given), rounds)
    size, cases, job, given = sweeps["Monte Carlo"]
    with cloudedge.workers(2) as client:
        ready(client)
        busy, since = cpu_of(client), time.perf_counter()
        sweep.run(job, given, scheduler=client.scheduler.address)
        wall = {AS_IS: np.array([time.perf_counter() - since])}
        (row,) = timing.rows("sweep_speed", size, cases, wall, None)
        return [*out, row | {"cpu_s": cpu_of(client) - busy}]


def cpu_of(client):
    """CPU seconds of all workers so far."""
    return sum(client.run(time.process_time).values())


def ready(client):
    """Wait for the first word of each worker, which has imported this package by then."""
    there = client.scheduler_info()["workers"]
    client.gather([client.submit(_ready, k, workers=[w], pure=False) for k, w in enumerate(there)])


def _ready(k):
    return k


def turns(client, name, size, cases, job, items, rounds):
    """Rows of one process and two workers, in turns."""
    ways = {
        TWO: (client.scheduler.address, lambda: cpu_of(client)),
        ONE: (None, time.process_time),
    }
    wall, cpu, found = ({way: [] for way in ways} for _ in range(3))
    for k in range(rounds + 1):
        for way, (address, clock) in ways.items():
            busy, since = clock(), time.perf_counter()
            found[way] = sweep.run(job, items, scheduler=address)
            if k:  # the first is for warming up
                wall[way].append(time.perf_counter() - since)
                cpu[way].append(clock() - busy)
        assert equal(found[ONE], found[TWO]), f"{name}: workers give other results, not timed"
    seconds = {f"{name}, {way}": np.array(t) for way, t in wall.items()}
    note = dict.fromkeys(seconds, f"{len(items)} items")
    rows = timing.rows("sweep_speed", size, cases, seconds, f"{name}, {TWO}", note=note)
    held = {TWO: max(client.run(most_mib).values()), ONE: most_mib()}
    return [
        row | {"cpu_s": float(np.median(cpu[way])), "process_mib": held[way]}
        for row, way in zip(rows, ways)
    ]


def most_mib():
    """Most memory that this process has held so far [MiB]; NaN where the system does not tell."""
    try:
        import resource
    except ImportError:
        return np.nan
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: bytes
    return kib / 1024 / (1024 if sys.platform == "darwin" else 1)


def equal(a, b):
    return len(a) == len(b) and all(
        np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in zip(a, b)
    )


def year(size, small):
    feeder = trees.feeder(size) if size == 1000 else read_feeder(f"ieee{size}")
    series = profiles.read_series("rts_day_ahead")["load_1_mw"].to_numpy(float)
    load = (series / series.max())[: MONTH if small else YEAR]
    job = lambda: whole_year(feeder, load)  # noqa: E731
    row = cpu_rows("year of exact flow", size, len(load), job, 1 if small else ROUNDS)
    return [row | {"peak_mib": timing.peak_mib(job)}]


def large_days():
    job = lambda: [relaxed_day("ieee123", date) for date in DATES[:LARGE_DAYS]]  # noqa: E731
    return [cpu_rows(f"days, {ONE}", 123, LARGE_DAYS, job, 1)]


def cpu_rows(method, size, cases, job, rounds):
    """The row of a job in this process, all of its seconds CPU seconds."""
    seconds = np.empty(rounds)
    for k in range(-1, rounds):
        since = time.process_time()
        job()
        if k >= 0:
            seconds[k] = time.process_time() - since
    (row,) = timing.rows("sweep_speed", size, cases, {method: seconds}, None)
    return row | {"cpu_s": row["median_s"], "note": "CPU seconds"}


def checks(rows):
    mine = {(r["method"], r["size"]): r for r in rows}
    out = []
    for name, size in (("Monte Carlo", 123), ("days", 33)):
        one, two = (mine.get((f"{name}, {way}", size)) for way in (ONE, TWO))
        if one and two:
            out.append((f"{name}: one process over two workers", one["ratio"], "", True))
            more = two["cpu_s"] / one["cpu_s"]
            out.append((f"{name}: CPU seconds of two workers over one process", more, "", True))
    as_is, one = (mine.get((m, 123)) for m in (AS_IS, f"Monte Carlo, {ONE}"))
    if as_is and one:
        more = as_is["cpu_s"] / one["cpu_s"]
        out.append(("Monte Carlo: the same with dask's memory setting", more, "", True))
    for (method, size), r in mine.items():
        if method.startswith("year"):
            out.append((f"{size} buses: CPU ms of an hour's exact flow",
                        1e3 * r["cpu_s"] / r["scenarios"], "", True))  # fmt: skip
        if method == f"days, {ONE}":
            out.append((f"{size} buses: CPU seconds of a relaxed day",
                        r["cpu_s"] / r["scenarios"], "", True))  # fmt: skip
    return out
