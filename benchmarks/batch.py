"""Many scenarios on one feeder: adnlib.powerflow beside power-grid-model and a pandapower loop.

Ours gives every output of a Flow; power-grid-model is asked for node voltages only, its best case,
with its update data made beforehand. All of them solve the same scenarios, and their voltages are
compared before any time is believed.
"""

import numpy as np

from adnlib import powerflow, read_feeder
from benchmarks import peers, timing

FEEDER = "ieee33"
TOL = 1e-10  # [p.u.] ours and, for an equal comparison, power-grid-model's
TOL_DEFAULT = 1e-8  # power-grid-model's own default
AGREE = 1e-8  # [p.u.] largest difference of a voltage between methods
OURS = "adnlib"
NEWTON = "power-grid-model Newton"
LOOP = "pandapower loop"
LOOP_RUNS = 3  # solved in a round, scaled up to all scenarios


def steps(small):
    """[(label, expected seconds, function -> rows)]"""
    cases = 200 if small else 5000
    return [(f"{cases} scenarios on {FEEDER}", 1 if small else 20, lambda: compare(cases, small))]


def scenarios(feeder, cases, seed=1):
    """(p, q) of shape (cases, n): every load between half and 1.2 times its own, independently."""
    level = np.random.default_rng(seed).uniform(0.5, 1.2, (cases, feeder.n))
    return level * feeder.p, level * feeder.q


def compare(cases, small):
    feeder = read_feeder(FEEDER)
    p, q = scenarios(feeder, cases)
    V = powerflow.solve(feeder, p, q, tol=TOL).V
    methods = {OURS: lambda: powerflow.solve(feeder, p, q, tol=TOL)}
    methods |= {
        f"{OURS} at {TOL_DEFAULT:g}": lambda: powerflow.solve(feeder, p, q, tol=TOL_DEFAULT)
    }
    methods |= grid_methods(feeder, p, q, V)
    loop, note = loop_method(feeder, p, q, V)
    seconds = timing.alternate(methods | loop, rounds=3 if small else 15)
    return timing.rows(
        "batch",
        feeder.n + 1,
        cases,
        seconds,
        OURS,
        scale={LOOP: cases},
        peak={OURS: timing.peak_mib(methods[OURS])},
        note=note,
    )


def grid_methods(feeder, p, q, V):
    if not peers.installed("power_grid_model"):
        return {}
    model, update = peers.grid_model(feeder), peers.grid_update(feeder, p, q)
    asked = {
        NEWTON: ("newton_raphson", TOL),
        f"{NEWTON} at {TOL_DEFAULT:g}": ("newton_raphson", TOL_DEFAULT),
        "power-grid-model iterative current": ("iterative_current", TOL),
    }
    methods = {
        name: lambda how=how, tol=tol: peers.grid_flow(model, update, how, tol)
        for name, (how, tol) in asked.items()
    }
    for name, method in methods.items():
        agree(name, method(), V)
    return methods


def loop_method(feeder, p, q, V):
    if not peers.installed("pandapower"):
        return {}, {}
    run, numba = peers.pandapower_loop(feeder, p, q)
    for k in range(3):
        agree(LOOP, run(k), V[k])
    at = iter(np.resize(np.arange(len(p)), 10**6))

    def some():
        for _ in range(LOOP_RUNS):
            run(next(at))

    note = f"{LOOP_RUNS} runs a round, scaled up; {'with' if numba else 'without'} numba"
    return {LOOP: (some, LOOP_RUNS)}, {LOOP: note}


def agree(name, V, ours):
    gap = np.abs(V - ours).max()
    if not gap <= AGREE:
        raise AssertionError(f"{name} and adnlib differ by {gap:.1e} p.u.; {AGREE:g} is allowed")


def checks(rows):
    """[(what, value, wanted, holds)] of the requirements; methods that did not run are left out."""
    ratio = {row["method"]: row["ratio"] for row in rows}
    wanted = {NEWTON: 5, LOOP: 1000}
    return [
        (f"{name}: times slower than adnlib", ratio[name], f">= {least}", ratio[name] >= least)
        for name, least in wanted.items()
        if name in ratio
    ]
