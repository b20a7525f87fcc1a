"""ADMM between areas: what a round costs beside its solvers, on workers, growth with the feeder.

round   ieee33 in three areas, 24 h, loss and deviation, PV with reactive power. Solvers alone is
        Clarabel.solve() on the set-up problems of the areas with the same messages, nothing else.
        Set-up anew builds each solver from the same matrices in every round; CVXPY re-solves
        problems with parameters. All do the same rounds.
to 1e-3 the same day to 1e-3 p.u.: variants, flat start, 500 rounds at most; the whole feeder in
        one problem beside it. gap: cost over the whole feeder's, less 1.
workers two equal areas of a generated feeder, on one worker process and on two, the same rounds;
        the same in this process beside them. With two idle cores two workers would take half the
        time of one, but for what the cloud does, what travels, and the areas themselves, which a
        worker is sent and sets up anew in each run.
grow    one hour on a generated feeder (benchmarks/trees.py), 6 % voltage drop, in areas of about
        AREA buses, weighted with Anderson acceleration, to 1e-3 p.u.; rounds in the note.
"""

import cvxpy as cp
import numpy as np

from adnlib import admm, areas, cloudedge, read_feeder, solve, subproblem
from benchmarks import timing, trees

CUTS, HOURS, AREA = (9, 26), 24, 33
SIZES = (100, 200, 400, 800, 1600)
SECONDS = {100: 2, 200: 4, 400: 8, 800: 20, 1600: 60}
WANTED_ROUND, WANTED_ROUNDS = 1.2, 0.5
PLAIN, MOST = (1.0, 3.0), 500
BUSES, ROUNDS = 400, 10  # of `workers`


def steps(small):
    out = [("a round", 15, lambda: a_round(small)), ("to 1e-3", 40, lambda: to_milli(small))]
    out.append(("workers", 60, lambda: on_workers(small)))
    for n in SIZES[: 1 if small else None]:
        out.append((f"{n} buses", SECONDS[n], lambda n=n: grow(n, small)))
    return out


# ---------------------------------------------------------------------------------- problems


def load_factors(rows):
    return np.random.default_rng([7, rows]).uniform(0.4, 1.0, rows)


def problem(piece, load):
    """(problem, shared) of an area: every fifth bus may give or draw half the mean load."""
    own, rows = piece.feeder, len(load)
    here = (np.arange(own.n) % 5 == 0).astype(float)
    h = cp.Variable((rows, own.n))
    reach = 0.5 * np.maximum(own.p_load, 0).mean() * here
    p, q = -np.outer(load, own.p_load), h - np.outer(load, own.q_load)
    model, shared, (_, _, ell, v) = areas.model(piece, p, q, rows)
    cost = cp.sum(ell @ own.r) + cp.sum_squares(v - 1)
    return cp.Problem(cp.Minimize(cost), [*model, cp.abs(h) <= np.tile(reach, (rows, 1))]), shared


def cut_up(feeder, cuts, load):
    stated = [problem(piece, load) for piece in areas.cut(feeder, cuts)]
    return stated, [admm.area(*s, name=f"area {k}") for k, s in enumerate(stated)]


def options(feeder, cuts):
    return {"scale": areas.stiffness(feeder, cuts), "start": areas.flat(feeder)}


# ---------------------------------------------------------------------------------- measured


def a_round(small):
    feeder, load = read_feeder("ieee33"), load_factors(HOURS)
    stated, parts = cut_up(feeder, CUTS, load)
    rounds, given, messages = 2 if small else 12, options(feeder, CUTS), []

    def noted(areas, sent):
        messages.append(sent)
        return [admm.step(a, *m) for a, m in zip(areas, sent)]

    run = lambda who=None: admm.coordinate(parts, tol=0, max_iter=rounds, run=who, **given)  # noqa: E731
    found = run(noted)
    jobs = {
        "coordinate": run,
        "solvers alone": solvers_alone(parts, messages),
        "set-up anew": lambda: run(set_up_anew),
        "CVXPY with parameters": with_parameters(stated, messages),
    }
    seconds = timing.alternate(jobs, 1 if small else 11)
    seconds = {name: t / rounds for name, t in seconds.items()}
    rows = timing.rows("admm_speed", 33, 1, seconds, None, note=dict.fromkeys(jobs, "a round"))
    for row in rows:
        row["ratio"] = float(np.median(seconds[row["method"]] / seconds["solvers alone"]))
    return [row | {"rounds": found.iterations, "gap": np.nan} for row in rows]


def solvers_alone(parts, messages):
    """A function that runs the areas' solvers on given messages; updates of q included."""
    work = []
    for sent in messages:
        for part, (z, lam, rho) in zip(parts, sent):
            q = part.q.copy()
            q[part.copies] += lam - rho * z
            work.append((subproblem._solver(part, rho), q))

    def job():
        for solver, q in work:
            solver.update(q=q)
            solver.solve()

    return job


def set_up_anew(areas, messages):
    subproblem._solvers.clear()
    return [admm.step(a, *m) for a, m in zip(areas, messages)]


def with_parameters(stated, messages):
    """The same steps as CVXPY problems with parameters, stated once."""
    made = []
    for (whole, shared), (_, _, rho) in zip(stated, messages[0]):
        y = cp.hstack(list(shared.values()))
        target = cp.Parameter(len(rho))
        more = 0.5 * cp.sum_squares(cp.multiply(np.sqrt(rho), y - target))
        made.append(
            (cp.Problem(cp.Minimize(whole.objective.args[0] + more), whole.constraints), target)
        )

    def job():
        for sent in messages:
            for (one, target), (z, lam, rho) in zip(made, sent):
                target.value = z - lam / rho
                solve.solve(one)

    return job


def to_milli(small):
    feeder, load = read_feeder("ieee33"), load_factors(HOURS)
    whole, _ = problem(areas.cut(feeder, [])[0], load)
    central = solve.solve(whole)
    _, parts = cut_up(feeder, CUTS, load)
    rule, start = options(feeder, CUTS), {"start": areas.flat(feeder)}
    kinds = {f"plain, rho {rho:g}": start | {"rho": rho} for rho in PLAIN}
    fast = rule | {"memory": 10}
    kinds |= {"weighted": rule, "weighted, Anderson": fast}
    kinds |= {"weighted, Anderson, to 1e-4": fast | {"tol": 1e-4}}
    kinds = {k: {"tol": 1e-3, "max_iter": MOST} | kw for k, kw in kinds.items()}
    if small:
        kinds = {"weighted, Anderson": kinds["weighted, Anderson"]}
    found = {k: admm.coordinate(parts, central=central, **kw) for k, kw in kinds.items()}
    jobs = {k: lambda kw=kw: admm.coordinate(parts, **kw) for k, kw in kinds.items()}
    jobs["whole feeder"] = lambda: solve.solve(problem(areas.cut(feeder, [])[0], load)[0])
    seconds = timing.alternate(jobs, 1)
    rows = timing.rows(
        "admm_speed", 33, 1, seconds, "whole feeder", note=dict.fromkeys(jobs, "to 1e-3")
    )
    out = []
    for row in rows:
        run = found.get(row["method"])
        more = (
            {"rounds": run.iterations, "gap": run.gap_to_central}
            if run
            else {"rounds": 1, "gap": 0.0}
        )
        out.append(row | more)
    return out


def on_workers(small):
    """One worker, two, and this process, in turns; both clusters stay up meanwhile."""
    n_buses, hours, rounds = (33, 2, 2) if small else (BUSES, HOURS, ROUNDS)
    feeder, load = trees.feeder(n_buses), load_factors(hours)
    cuts = areas.split(feeder, 2)
    _, parts = cut_up(feeder, cuts, load)
    given = options(feeder, cuts) | {"tol": 0, "max_iter": rounds}
    here = admm.coordinate(parts, **given)
    with cloudedge.workers(1) as one, cloudedge.workers(2) as two:
        jobs = {
            "two workers": lambda: cloudedge.coordinate(two, parts, **given),
            "one worker": lambda: cloudedge.coordinate(one, parts, **given),
            "this process": lambda: admm.coordinate(parts, **given),
        }
        for name in ("two workers", "one worker"):
            found, _ = jobs[name]()
            if np.abs(found.s - here.s).max() > 1e-8:
                raise AssertionError(f"{name} and this process differ")
        seconds = timing.alternate(jobs, 1 if small else 5)
    rows = timing.rows(
        "admm_speed", n_buses, 1, seconds, "two workers", note=dict.fromkeys(jobs, "workers")
    )
    return [row | {"rounds": rounds, "gap": np.nan} for row in rows]


def grow(n_buses, small):
    feeder, load = trees.feeder(n_buses), np.ones(1)
    cuts = areas.split(feeder, max(2, round(n_buses / AREA)))
    central = solve.solve(problem(areas.cut(feeder, [])[0], load)[0])
    _, parts = cut_up(feeder, cuts, load)
    kw = options(feeder, cuts) | {"memory": 20, "tol": 1e-3, "max_iter": 2000, "central": central}
    found = admm.coordinate(parts, **kw)
    if found.status != "converged":
        raise AssertionError(
            f"{n_buses} buses in {len(parts)} areas: {found.residuals} after {found.iterations}"
        )
    seconds = timing.alternate(
        {"by buses": lambda: admm.coordinate(parts, **kw)}, 1 if small else 3
    )
    rows = timing.rows(
        "admm_speed", n_buses, 1, seconds, None, note={"by buses": f"{len(parts)} areas"}
    )
    return [row | {"rounds": found.iterations, "gap": found.gap_to_central} for row in rows]


# ---------------------------------------------------------------------------------- judged


def checks(rows):
    out = []
    for row in rows:
        if row["note"] == "a round" and row["method"] != "solvers alone":
            wanted = f"<= {WANTED_ROUND}" if row["method"] == "coordinate" else ""
            out.append((f"a round, {row['method']} over solvers alone", row["ratio"], wanted,
                        not wanted or row["ratio"] <= WANTED_ROUND))  # fmt: skip
    rounds = {r["method"]: r["rounds"] for r in rows if r["note"] == "to 1e-3"}
    plain = [k for name, k in rounds.items() if name.startswith("plain")]
    if plain:
        share = rounds["weighted, Anderson"] / min(plain)
        out.append(("rounds of weighted, Anderson over plain's best", share,
                    f"<= {WANTED_ROUNDS}", share <= WANTED_ROUNDS))  # fmt: skip
    for row in rows:
        if row["note"] == "workers" and row["method"] != "two workers":
            out.append((f"{row['method']} over two workers", row["ratio"], "", True))
    mine = {r["size"]: r for r in rows if r["method"] == "by buses"}
    if len(mine) > 1:
        for what, key in (("seconds", "min_s"), ("rounds", "rounds")):
            found = timing.exponents(list(mine), [r[key] for r in mine.values()])
            for span, e in found.items():
                out.append((f"by buses: exponent {span} of {what}", e, "", True))
    return out
