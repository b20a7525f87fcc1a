"""The cone relaxation: what modelling costs beside the solver, and how it grows.

day     ieee33, 24 h, loss minimised. Raw is Clarabel alone on the matrices of the same problem,
        set-up included. A re-solve puts new loads into a CVXPY problem with parameters and solves
        it; a first solve builds the problem and solves it. The loops state every branch and hour
        as constraints of their own.
grow    one period on a generated feeder (benchmarks/trees.py), 6 % voltage drop, by buses;
        ieee33, 24 h, by scenarios. Built, solved and read. The cone gap is that of
        branchflow.cone_gap, in p.u. of the feeder's own load.
Every objective is the loss over the loss without cones, about 1. Peak memory of a growth step is
that of a process of its own, less what it holds before; it counts C++ and Rust too.
"""

import subprocess
import sys
from pathlib import Path

import cvxpy as cp
import numpy as np
import scipy.sparse as sp

from adnlib import branchflow, linflow, read_feeder, solve
from benchmarks import timing, trees

SIZES = (33, 100, 333, 1000, 3333, 10_000)
SCENARIOS = (1, 3, 10, 30, 100)
HOURS = 24
SECONDS = {33: 1, 100: 1, 333: 2, 1000: 3, 3333: 4, 10_000: 8}
WANTED_RESOLVE, WANTED_OVERHEAD, WANTED_EXPONENT, WANTED_GAP = 1.3, 1.0, 1.25, 1e-6


def steps(small):
    out = [("ieee33, 24 h", 12, lambda: day(small))]
    for n in SIZES[: 1 if small else None]:
        out.append((f"{n} buses", SECONDS[n], lambda n=n: grow("buses", n, 1, small)))
    for n_s in SCENARIOS[: 1 if small else None]:
        job = lambda n_s=n_s: grow("scenarios", 33, n_s, small)  # noqa: E731
        out.append((f"{n_s} scenarios", 1 + 0.6 * n_s, job))
    return out


# ---------------------------------------------------------------------------------- problems


def load_factors(rows, seed=0):
    return np.random.default_rng([seed, rows]).uniform(0.3, 1.0, (rows, 1))


def problem(feeder, factor, parameters=False):
    """(problem, expressions): loss minimised at loads factor (rows, 1) times nominal."""
    P, Q, ell, v = branchflow.variables(feeder, len(factor))
    p, q = -factor * feeder.p_load, -factor * feeder.q_load
    about = linflow.lindistflow(feeder, p, q)
    loss = ((about.P**2 + about.Q**2) @ feeder.r).sum()
    if parameters:
        p, q = cp.Parameter(p.shape, value=p), cp.Parameter(q.shape, value=q)
    model = branchflow.constraints(feeder, P, Q, ell, v, p, q)
    return cp.Problem(cp.Minimize(cp.sum(ell @ feeder.r) / loss), model), (P, Q, ell, v, p, q)


def clarabel_alone(stated):
    """A function that runs Clarabel on the matrices of a stated problem; returns its solution."""
    import clarabel
    from cvxpy.reductions.solvers.conic_solvers.clarabel_conif import dims_to_solver_cones

    data, *_ = stated.get_problem_data(cp.CLARABEL)
    A, b, c = sp.csc_matrix(data["A"]), data["b"], data["c"]
    P, cones = sp.csc_matrix((len(c), len(c))), dims_to_solver_cones(data["dims"])
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs, settings.tol_gap_rel = (
        solve.TIGHT["tol_gap_abs"],
        solve.TIGHT["tol_gap_rel"],
    )
    return lambda: clarabel.DefaultSolver(P, c, A, b, cones, settings).solve()


def looped(feeder, factor):
    """The same problem stated branch by branch and hour by hour."""
    P, Q, ell, v = branchflow.variables(feeder, len(factor))
    base, out = branchflow.total_load(feeder), []
    below = [np.flatnonzero(feeder.parent == j) for j in range(feeder.n)]
    for t in range(len(factor)):
        for j, i in enumerate(feeder.parent):
            r, x, up = feeder.r[j], feeder.x[j], v[t, i] if i >= 0 else feeder.V_root**2
            drawn = factor[t, 0] * feeder.p_load[j], factor[t, 0] * feeder.q_load[j]
            out += [
                P[t, j] == sum(P[t, k] for k in below[j]) + drawn[0] + r * ell[t, j],
                Q[t, j] == sum(Q[t, k] for k in below[j]) + drawn[1] + x * ell[t, j],
                v[t, j] == up - 2 * (r * P[t, j] + x * Q[t, j]) + (r**2 + x**2) * ell[t, j],
            ]
            I2, S = ell[t, j] / base**2, cp.hstack([P[t, j], Q[t, j]]) / base
            out.append(cp.norm(cp.hstack([2 * S, I2 - up])) <= I2 + up)
    return cp.Problem(cp.Minimize(cp.sum(ell @ feeder.r)), out)


# ---------------------------------------------------------------------------------- measured


def day(small):
    feeder, factor = read_feeder("ieee33"), load_factors(HOURS)
    again, (*_, p, q) = problem(feeder, factor, parameters=True)
    fresh = iter(np.random.default_rng(1).uniform(0.3, 1.0, (1000, HOURS, 1)))

    def resolve():
        k = next(fresh)
        p.value, q.value = -k * feeder.p_load, -k * feeder.q_load
        solve.solve(again)

    raw = clarabel_alone(problem(feeder, factor)[0])
    jobs = {
        "Clarabel alone": raw,
        "re-solve, new data": resolve,
        "first solve": lambda: solve.solve(problem(feeder, factor)[0]),
        "first solve with parameters": lambda: solve.solve(problem(feeder, factor, True)[0]),
    }
    if not solved_alike(problem(feeder, factor)[0], raw()):
        raise AssertionError("CVXPY and Clarabel alone disagree")
    seconds = timing.alternate(jobs, 1 if small else 21)
    if not small:
        seconds |= timing.alternate({"loops": lambda: solve.solve(looped(feeder, factor))}, 1)
    note = dict.fromkeys(jobs, "24 h")
    rows = timing.rows("cones", 33, 1, seconds, None, note=note | {"loops": "24 h, compiled anew"})
    for row in rows:  # within a round where the rounds are shared
        t = seconds[row["method"]]
        alone = seconds["Clarabel alone"]
        row["ratio"] = float(
            np.median(t / alone) if len(t) == len(alone) else t[0] / np.median(alone)
        )
    return [row | {"cone_gap": np.nan, "solver_s": np.nan} for row in rows]


def solved_alike(stated, alone):
    return abs(solve.solve(stated) - alone.obj_val) < 1e-6


def grow(kind, n_buses, n_s, small):
    feeder = read_feeder("ieee33") if kind == "scenarios" else trees.feeder(n_buses)
    factor = load_factors(HOURS * n_s) if kind == "scenarios" else np.ones((1, 1))
    last = {"solver": []}

    def job():
        stated, model = problem(feeder, factor)
        solve.solve(stated)
        last["solver"].append(stated.solver_stats.solve_time)
        last["gap"] = branchflow.cone_gap(branchflow.plan(feeder, *model))

    rounds = 1 if small else 5 if n_buses * n_s < 3000 else 3
    seconds = timing.alternate({f"by {kind}": job}, rounds)
    peak = {} if small else {f"by {kind}": peak_mib(kind, n_buses, n_s)}
    rows = timing.rows("cones", n_buses, n_s, seconds, None, None, peak)
    return [row | {"cone_gap": last["gap"], "solver_s": np.median(last["solver"])} for row in rows]


def peak_mib(kind, n_buses, n_s):
    """Peak resident memory of one growth step in a process of its own, less its imports [MiB]."""
    code = (
        "from benchmarks import cones; from adnlib import read_feeder, solve;"
        "most = lambda: next(int(line.split()[1]) / 1024 for line in open('/proc/self/status')"
        " if line.startswith('VmHWM'));"
        "solve.solve(cones.problem(read_feeder('ieee33'), cones.load_factors(1))[0]);"
        f"before = most(); cones.grow({kind!r}, {n_buses}, {n_s}, True); print(most() - before)"
    )
    root = Path(__file__).resolve().parent.parent
    try:
        run = [sys.executable, "-c", code]
        done = subprocess.run(run, cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return np.nan  # no /proc on this system
    return float(done.stdout)


# ---------------------------------------------------------------------------------- judged


def checks(rows):
    out = []
    ratio = {r["method"]: r["ratio"] for r in rows if r["note"]}
    for method, factor in ratio.items():
        if method == "re-solve, new data":
            out.append(("re-solve of the day over Clarabel alone", factor,
                        f"<= {WANTED_RESOLVE}", factor <= WANTED_RESOLVE))  # fmt: skip
        elif method == "first solve":
            out.append(("first solve: modelling over Clarabel alone", factor - 1,
                        f"<= {WANTED_OVERHEAD:g}", factor - 1 <= WANTED_OVERHEAD))  # fmt: skip
        elif method != "Clarabel alone":
            out.append((f"{method} over Clarabel alone", factor, "", True))
    for kind, key in (("buses", "size"), ("scenarios", "scenarios")):
        mine = {r[key]: r for r in rows if r["method"] == f"by {kind}"}
        if not mine:
            continue
        gap = max(r["cone_gap"] for r in mine.values())
        out.append((f"by {kind}: largest cone gap", gap, f"<= {WANTED_GAP:g}", gap <= WANTED_GAP))
        if len(mine) > 1:
            found = timing.exponents(list(mine), [r["min_s"] for r in mine.values()])
            whole = list(found)[-1]
            for span, e in found.items():
                wanted = f"<= {WANTED_EXPONENT}" if span == whole else ""
                holds = not wanted or e <= WANTED_EXPONENT
                out.append((f"by {kind}: exponent {span}", e, wanted, holds))
            alone = timing.exponents(list(mine), [r["solver_s"] for r in mine.values()])
            e = alone[whole]
            out.append((f"by {kind}: exponent {whole}, solver alone", e,
                        f"<= {WANTED_EXPONENT}", e <= WANTED_EXPONENT))  # fmt: skip
            most = max(r["peak_mib"] for r in mine.values())
            out.append((f"by {kind}: peak MiB of the largest", most, "", True))
    return out
