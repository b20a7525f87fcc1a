"""The linear flows beside the exact one, and sensitivities beside what finite differences cost.

`existence` and `sensitivities` work with dense n x n matrices: about n^2 and n^3, shown up to 1000
buses. The finite differences are 2 n exact flows in one batch, one bus moved by 1e-6 p.u. in each.
"""

import numpy as np

from adnlib import linflow, powerflow
from benchmarks import timing, trees

SIZES = (33, 100, 333, 1000, 3333, 10_000)
DENSE = 1000  # buses up to which the dense methods are timed
STEP = 1e-6
AGREE = 1e-3  # relative to the largest sensitivity: differences of 1e-6 lose digits
FINITE = "finite differences of powerflow.solve"


def steps(small):
    sizes = SIZES[:2] if small else SIZES
    return [
        (f"linear flow, {size} buses", 2 + size / 900, lambda size=size: compare(size, small))
        for size in sizes
    ]


def compare(size, small):
    feeder = trees.feeder(size)
    flows = {
        "powerflow.solve": lambda: powerflow.solve(feeder),
        "linflow.lindistflow": lambda: linflow.lindistflow(feeder),
        "linflow.rectangular": lambda: linflow.rectangular(feeder),
    }
    target, rounds = (0.002, 3) if small else (0.02, 9)
    flows = {name: timing.repeated(job, target) for name, job in flows.items()}
    seconds = timing.alternate(flows, rounds)
    rows = timing.rows("linear", size, 1, seconds, "powerflow.solve")
    return rows + (dense(feeder, size) if size <= DENSE else [])


def dense(feeder, size):
    flow = powerflow.solve(feeder)
    methods = {
        "linflow.sensitivities": lambda: linflow.sensitivities(feeder, flow),
        "linflow.existence": lambda: linflow.existence(feeder),
        FINITE: lambda: differences(feeder, flow),
    }
    exact, rough = np.stack(methods["linflow.sensitivities"]()), np.stack(methods[FINITE]())
    gap = np.abs(rough - exact).max() / np.abs(exact).max()
    if not gap <= AGREE:
        raise AssertionError(f"sensitivities and finite differences differ by {gap:.1e}")
    seconds = timing.alternate(methods, rounds=3)
    peak = {name: timing.peak_mib(job) for name, job in methods.items()}
    return timing.rows("linear", size, 1, seconds, "linflow.sensitivities", peak=peak)


def differences(feeder, flow):
    """(dV_dp, dV_dq) as linflow.sensitivities, from 2 n further flows."""
    moved, n = STEP * np.eye(feeder.n), feeder.n
    p = flow.p + np.concatenate([moved, np.zeros((n, n))])
    q = flow.q + np.concatenate([np.zeros((n, n)), moved])
    dV = (powerflow.solve(feeder, p, q, tol=1e-12).V - flow.V) / STEP
    return dV[:n].T, dV[n:].T


def checks(rows):
    """Growth of each method, with no requirement on it."""
    out = []
    for name in dict.fromkeys(row["method"] for row in rows):
        mine = {row["size"]: row["min_s"] for row in rows if row["method"] == name}
        if len(mine) > 1:
            sizes, seconds = [*mine], [*mine.values()]
            span, e = [*timing.exponents(sizes, seconds).items()][-1]
            out.append((f"{name}, {span} buses: exponent", e, "", True))
    return out
