"""Scenario reduction: adnlib beside plain Python loops that pick the same, and its growth.

The loops are the algorithms as one reads them in Heitsch and Roemisch (2003): every candidate,
every scenario, every step, on the same distance matrix. They are timed where that takes seconds;
there their choice must be the same, scenario by scenario. Two scenarios that are each other's
nearest cost the same to lose when equally likely: on both sides costs within rounding count as
equal and the first wins. A scenario has 48 values: two plants, 24 hours, ARMA paths. The seconds
of both include the distance matrix.
"""

import numpy as np

from adnlib import arma, scenarios
from benchmarks import timing

DIM = 48
SIZES = (100, 300, 1000, 2000, 5000)
LOOPED = {"forward": (100, 300, 1000), "backward": (100, 300)}  # where the loops are timed
WEIGHTS = {100: 1, 300: 20, 1000: 12, 2000: 3, 5000: 15}
KEPT = {100: 5, 300: 5, 1000: 10, 2000: 20, 5000: 50}
MODEL = arma.Arma([0.8, 0.15, -0.15], [0.8, 0.2], 2.5)
METHODS = {"forward": scenarios.forward_selection, "backward": scenarios.backward_reduction}


def steps(small):
    sizes = SIZES[:1] if small else SIZES
    return [
        (f"{size} scenarios", WEIGHTS[size], lambda size=size: compare(size, small))
        for size in sizes
    ]


def paths(n, seed=1):
    """n equally likely paths of two plants over 24 hours, as one set of scenarios (n, 48)."""
    rng = np.random.default_rng(seed)
    both = [arma.simulate(MODEL, n, DIM // 2, rng) for _ in range(2)]
    return scenarios.Scenarios(np.clip(50 + np.hstack(both), 0, 100))


def compare(size, small):
    s, k = paths(size), KEPT[size]
    rows, rounds = [], 1 if size > 2000 else 3
    for name, method in METHODS.items():
        jobs = {f"adnlib {name}": lambda method=method: method(s, k)}
        if size in LOOPED[name]:
            jobs[f"loops {name}"] = lambda name=name: LOOPS[name](s, k)
            ours, theirs = jobs[f"adnlib {name}"]().index, jobs[f"loops {name}"]()
            if ours.tolist() != sorted(theirs):
                raise AssertionError(f"{name}: adnlib keeps {ours}, the loops {sorted(theirs)}")
        seconds = timing.alternate(jobs, 1 if small else rounds)
        peak = {f"adnlib {name}": timing.peak_mib(lambda method=method: method(s, k))}
        note = dict.fromkeys(jobs, f"{k} kept")
        rows += timing.rows("reduction", DIM, size, seconds, f"adnlib {name}", None, peak, note)
    return rows


def forward_loops(s, k):
    """Positions kept by forward selection, one sum at a time."""
    c, p, n = scenarios.distances(s, s).tolist(), s.prob.tolist(), s.n_s
    tie = scenarios.TIE * max(map(max, c))
    kept, near = [], [float("inf")] * n
    for _ in range(k):
        best, best_cost = None, float("inf")
        for u in range(n):
            if u in kept:
                continue
            cost = 0.0
            for i in range(n):
                cost += p[i] * min(near[i], c[i][u])
            if cost < best_cost - tie:
                best, best_cost = u, cost
        kept.append(best)
        near = [min(near[i], c[i][best]) for i in range(n)]
    return kept


def backward_loops(s, k):
    """Positions kept by simultaneous backward reduction, one sum at a time."""
    c, p, n = scenarios.distances(s, s).tolist(), s.prob.tolist(), s.n_s
    tie = scenarios.TIE * max(map(max, c))
    kept = list(range(n))
    while len(kept) > k:
        best, best_cost = None, float("inf")
        two = [sorted(kept, key=row.__getitem__)[:2] for row in c]
        for candidate in kept:
            cost = 0.0
            for i in range(n):
                first, second = two[i]
                cost += p[i] * c[i][second if first == candidate else first]
            if cost < best_cost - tie:
                best, best_cost = candidate, cost
        kept.remove(best)
    return kept


LOOPS = {"forward": forward_loops, "backward": backward_loops}


def checks(rows):
    """The requirements, and the growth of each method in the number of scenarios."""

    def seconds(method, n):
        return [r["median_s"] for r in rows if (r["method"], r["scenarios"]) == (method, n)]

    out = []
    for method, n, limit in (("adnlib forward", 1000, 1), ("adnlib forward", 5000, 60),
                             ("adnlib backward", 1000, 5)):  # fmt: skip
        out += [
            (f"{method}, {n} -> {KEPT[n]}: seconds", t, f"< {limit}", t < limit)
            for t in seconds(method, n)
        ]
    for row in rows:
        if row["scenarios"] == 5000 and row["method"] == "adnlib forward":
            out.append(("adnlib forward, 5000 -> 50: peak MiB", row["peak_mib"], "< 954",
                        row["peak_mib"] < 1e9 / 2**20))  # fmt: skip
        if row["method"].startswith("loops"):
            what = f"{row['method']}, {row['scenarios']}: times slower"
            out.append((what, row["ratio"], ">= 10", row["ratio"] >= 10))
    return out + growth(rows)


def growth(rows):
    out = []
    for name in METHODS:
        mine = {r["scenarios"]: r["min_s"] for r in rows if r["method"] == f"adnlib {name}"}
        if len(mine) > 1:
            sizes = list(mine)
            found = timing.exponents(sizes, [mine[n] for n in sizes])
            out += [(f"adnlib {name}, {span} scenarios: exponent", e, "", True)
                    for span, e in found.items()]  # fmt: skip
    return out
