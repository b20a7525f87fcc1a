"""Charging of many vehicle-days: adnlib.ev beside the two programs one would write first.

The loop goes over vehicles and steps in Python, as the usual flow chart says; the matrix holds
every vehicle with every step of two days at once. All of them get the same draws, and their curves
are compared before any time is believed.
"""

import numpy as np

from adnlib import ev
from benchmarks import timing

N_EV = 1000
STEP_H = 0.25
AGREE = 1e-9  # [MW]
LIMIT_S, LIMIT_MIB = 2.0, 100.0  # for a million vehicle-days
RATIO = 10
MATRIX_DAYS = 10  # runs of N_EV that the matrix takes at once; all would not fit
LOOP_VEHICLES = 200  # in a round, scaled up
OURS = "adnlib"
MATRIX = "vehicles x steps matrix"
LOOP = "Python loop"


def steps(small):
    """[(label, expected seconds, function -> rows)]"""
    sizes = (10,) if small else (10, 100, 1000)
    return [
        (f"{runs * N_EV} vehicle-days", 1 + runs / 40, lambda runs=runs: compare(runs, small))
        for runs in sizes
    ]


def compare(runs, small):
    """Rows of one size: runs days of N_EV vehicles."""
    agree(1)
    methods = {
        OURS: lambda: ev.simulate_charging(N_EV, runs, np.random.default_rng(1), step_h=STEP_H),
        MATRIX: lambda: matrix(N_EV, runs, np.random.default_rng(1)),
    }
    loops = {LOOP: lambda: loop(LOOP_VEHICLES, 1, np.random.default_rng(1))}
    seconds = timing.alternate(methods | loops, rounds=3 if small else 7)
    return timing.rows(
        "ev_speed",
        N_EV,
        runs,
        seconds,
        OURS,
        scale={LOOP: runs * N_EV / LOOP_VEHICLES},
        peak={name: timing.peak_mib(job) for name, job in methods.items()},
        note={LOOP: f"{LOOP_VEHICLES} vehicles a round, scaled up"},
    )


def agree(seed):
    """The three programs on the same draws. AssertionError names the one that differs."""
    ours = ev.simulate_charging(100, 3, np.random.default_rng(seed), step_h=STEP_H)
    for name, other in ((MATRIX, matrix), (LOOP, loop)):
        gap = np.abs(other(100, 3, np.random.default_rng(seed)) - ours).max()
        if not gap <= AGREE:
            raise AssertionError(f"{name} and adnlib differ by {gap:.1e} MW; {AGREE:g} is allowed")


def draw(n, rng):
    """Start and duration [h] of n vehicles."""
    u = rng.random((n, 2))
    return ev.start_time(u[:, 1]), ev.duration(ev.mileage(u[:, 0]))


def matrix(n_ev, runs, rng):
    """(runs, n_t) MW by the overlap of every vehicle with every step of two days."""
    n_t = ev.steps(STEP_H)
    low = np.arange(2 * n_t) * STEP_H
    out = np.empty((runs, n_t))
    for first in range(0, runs, MATRIX_DAYS):
        some = min(MATRIX_DAYS, runs - first)
        start, time = (a[:, None] for a in draw(n_ev * some, rng))
        length = np.minimum(start + time, low + STEP_H) - np.maximum(start, low)
        length = np.clip(length, 0, None).reshape(some, n_ev, 2, n_t).sum(axis=(1, 2))
        out[first : first + some] = length
    return out / STEP_H * ev.USUAL.charger_kw / 1000


def loop(n_ev, runs, rng):
    """(runs, n_t) MW, vehicle by vehicle and step by step."""
    n_t = ev.steps(STEP_H)
    out = np.zeros((runs, n_t))
    for run in range(runs):
        for start, time in zip(*(a.tolist() for a in draw(n_ev, rng))):
            end, k = start + time, int(start / STEP_H)
            while k * STEP_H < end:
                part = min(end, (k + 1) * STEP_H) - max(start, k * STEP_H)
                out[run, k % n_t] += part / STEP_H
                k += 1
    return out * ev.USUAL.charger_kw / 1000


def checks(rows):
    """[(what, value, wanted, holds)] of the largest size."""
    days = max((row["scenarios"] for row in rows), default=0)
    found = {row["method"]: row for row in rows if row["scenarios"] == days}
    if OURS not in found:
        return []
    size, ours = days * N_EV, found[OURS]
    out = [(f"{name}: times slower than adnlib", found[name]["ratio"], f">= {RATIO}",
            found[name]["ratio"] >= RATIO) for name in (MATRIX, LOOP) if name in found]  # fmt: skip
    if size >= 1_000_000:
        out += [
            (f"{size} vehicle-days [s]", ours["median_s"], f"<= {LIMIT_S:g}",
             ours["median_s"] <= LIMIT_S),
            (f"{size} vehicle-days: peak memory [MiB]", ours["peak_mib"], f"<= {LIMIT_MIB:g}",
             ours["peak_mib"] <= LIMIT_MIB),
        ]  # fmt: skip
    return out
