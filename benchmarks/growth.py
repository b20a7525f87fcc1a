"""One power flow and a day of 24 against the size of the feeder, on the trees of benchmarks.trees.

"first" includes what is done once for a topology: our order of the tree, their model. Below some
hundred buses the fixed cost of a call rules, and the exponent there is far below 1.
"""

import numpy as np

from adnlib import powerflow, tree
from benchmarks import peers, timing, trees
from benchmarks.batch import TOL, agree

SIZES = (33, 100, 333, 1000, 3333, 10_000)
DECADES = (33, 100, 1000, 10_000)
HOURS = 24
LIMIT = 1.15
OURS = {1: "adnlib", HOURS: "adnlib"}
NEWTON = "power-grid-model Newton"


def steps(small):
    sizes = SIZES[:2] if small else SIZES
    return [
        (f"power flow, {size} buses", 4 + size / 1500, lambda size=size: compare(size, small))
        for size in sizes
    ]


def day(feeder):
    """(p, q) of shape (24, n): one load curve for all buses, 40 to 100 % of the own load."""
    level = 0.7 - 0.3 * np.cos(2 * np.pi * (np.arange(HOURS) - 5) / HOURS)
    return level[:, None] * feeder.p, level[:, None] * feeder.q


def compare(size, small):
    feeder = trees.feeder(size)
    rounds = 3 if small else 11
    once = single(feeder)
    many = batch(feeder)
    rows = []
    for cases, methods in ((1, once), (HOURS, many)):
        seconds = timing.alternate(
            {name: timing.repeated(job, 0.002 if small else 0.02) for name, job in methods.items()},
            rounds,
        )
        peak = {"adnlib": timing.peak_mib(methods["adnlib"])}
        rows += timing.rows("growth", size, cases, seconds, "adnlib", peak=peak)
    return rows


def single(feeder):
    def first():
        tree.cached.cache_clear()
        return powerflow.solve(feeder, tol=TOL)

    methods = {"adnlib": lambda: powerflow.solve(feeder, tol=TOL), "adnlib first": first}
    if peers.installed("power_grid_model"):
        model = peers.grid_model(feeder)
        agree(NEWTON, peers.grid_flow(model, tol=TOL), powerflow.solve(feeder, tol=TOL).V)
        methods[NEWTON] = lambda: peers.grid_flow(model, tol=TOL)
        methods[f"{NEWTON} first"] = lambda: peers.grid_flow(peers.grid_model(feeder), tol=TOL)
    return methods


def batch(feeder):
    p, q = day(feeder)
    methods = {"adnlib": lambda: powerflow.solve(feeder, p, q, tol=TOL)}
    if peers.installed("power_grid_model"):
        model, update = peers.grid_model(feeder), peers.grid_update(feeder, p, q)
        agree(NEWTON, peers.grid_flow(model, update, tol=TOL), methods["adnlib"]().V)
        methods[NEWTON] = lambda: peers.grid_flow(model, update, tol=TOL)
    return methods


def checks(rows):
    """Exponents of our single flow and of our day, by decade and over all, from the least seconds:
    the sizes are timed one after another, not in turns."""
    out = []
    for cases in (1, HOURS):
        mine = {
            row["size"]: row["min_s"]
            for row in rows
            if row["method"] == "adnlib" and row["scenarios"] == cases
        }
        sizes = [size for size in DECADES if size in mine]
        if len(sizes) < 2:
            continue
        found = timing.exponents(sizes, [mine[size] for size in sizes])
        what = "one flow" if cases == 1 else f"{cases} flows"
        out += [
            (f"{what}, {span} buses: exponent", e, f"<= {LIMIT}", e <= LIMIT)
            for span, e in found.items()
        ]
    return out
