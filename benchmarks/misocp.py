"""Days of mixed-integer dispatch to a proven gap: adnlib.certified beside SCIP and plain outer
approximation with HiGHS, on the same CVXPY problems (benchmarks/instances.py).

day     ieee33, 24 h, 597 binaries, gap 1e-4: thirteen different days.
large   ieee123, and ten scenarios of ieee33, gap 1e-3; SCIP gets the time that is wanted of
        certified, and its incumbent and bound stand beside.

Plain outer approximation: tangents where the relaxation's dual puts them, then HiGHS to the gap,
the cone problem with HiGHS's integers fixed, tangents of its dual and where HiGHS left a cone, and
again.

Seconds are CPU seconds of this process, one thread, so that what else the machine does counts
little. Certified stops at its work limit, the same on every machine; the others at a multiple of
its seconds (FACTOR), LEAST seconds at the least. The ratio of a run that was stopped is a lower
limit, as its note says. Every case is a step of its own, with its name in the column `case`; all
take some four hours.
"""

import multiprocessing
import time
import warnings

import cvxpy as cp
import numpy as np

from adnlib import certified, conic, outer
from benchmarks import instances, timing

GAP, GAP_LARGE, WORK = 1e-4, 1e-3, 6000
FACTOR = {"SCIP": 105, "outer approximation": 12}
LEAST = 10.0
SECONDS_LARGE = {"123 buses": 15.0, "10 scenarios": 60.0}
WANTED_SCIP, WANTED_OUTER = 100, 10
OURS = "certified"
CAPPED = "capped: seconds and ratio are lower limits"
CRASHED = "brought its process down before it answered"


def steps(small):
    if small:
        case = next(c for c in instances.cases() if c.name == "no generation")
        return [(case.name, 10, lambda: day(case, 2.0))]
    out = [(c.name, 1000, lambda c=c: day(c)) for c in instances.cases()]
    return out + [(c.name, 100, lambda c=c: large(c)) for c in instances.large()]


def day(case, most=None):
    """Rows of a day; most [s]: a cap below the usual ones."""
    found = {OURS: by_certified(instances.problem(case), GAP)}
    for name, job in (("outer approximation", by_outer), ("SCIP", apart(by_scip))):
        cap = max(LEAST, FACTOR[name] * found[OURS][0])
        found[name] = job(instances.problem(case), GAP, cap if most is None else min(cap, most))
    return rows(case, found, GAP)


def large(case):
    found = {OURS: by_certified(instances.problem(case), GAP_LARGE)}
    cap = SECONDS_LARGE[case.name]
    found["SCIP"] = apart(by_scip)(instances.problem(case), GAP_LARGE, cap)
    return rows(case, found, GAP_LARGE)


def rows(case, found, gap):
    seconds = {name: np.array([t]) for name, (t, *_) in found.items()}
    size = 33 if case.feeder == "ieee33" else 123
    closed = {name: certified.gap_of(v, b) <= gap for name, (_, v, b) in found.items()}
    note = {name: "" if closed[name] else CAPPED for name in found}
    note |= {name: CRASHED for name, (t, *_) in found.items() if np.isnan(t)}
    out = timing.rows("misocp", size, case.n_s, seconds, OURS, note=note)
    for row in out:
        _, value, bound = found[row["method"]]
        row |= {"case": case.name, "value": value, "bound": bound}
        row |= {"gap": certified.gap_of(value, bound), "aim": gap}
    return out


# ---------------------------------------------------------------------------------- methods


def by_certified(stated, gap):
    """(CPU seconds, value, bound), the compilation by CVXPY included, as in all methods."""
    start = time.process_time()
    found = certified.solve(stated, gap=gap, work_limit=WORK)
    return time.process_time() - start, found.value, found.bound


def apart(job):
    """The same job in a process of its own: some of SCIP's runs end in a corrupted heap, and in
    no numbers then."""

    def run(*given):
        ours, theirs = context.Pipe()
        child = context.Process(target=lambda: theirs.send(job(*given)))
        child.start()
        theirs.close()
        try:
            return ours.recv()
        except EOFError:
            return np.nan, np.nan, np.nan
        finally:
            child.join()

    context = multiprocessing.get_context("fork")
    return run


def by_scip(stated, gap, cap):
    """As CVXPY hands it over, but without the bounds that it derives for its own variables."""
    options = {"limits/gap": gap, "limits/time": cap, "timing/clocktype": 1}  # 1: CPU seconds
    options |= {"parallel/maxnthreads": 1, "lp/threads": 1}
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="invalid value encountered in matmul")
        data, chain, inverse = stated.get_problem_data(cp.SCIP)
    free_auxiliaries(stated, data)
    found = chain.solve_via_data(stated, data, solver_opts={"scip_params": options})
    seconds, model = time.process_time() - start, found["model"]
    if model.getStatus() in ("infeasible", "unbounded", "inforunbd"):
        raise RuntimeError(f"SCIP calls a day {model.getStatus()} that has a plan")
    shift = inverse[-1]["offset"]
    value = model.getObjVal() if model.getNSols() else np.nan
    bound = model.getDualbound()
    return seconds, value + shift, bound + shift if abs(bound) < model.infinity() else np.nan


def free_auxiliaries(stated, data):
    """Drop the bounds of the variables that CVXPY adds (1.9.3 takes 0 times infinity for a number,
    so that the energy bought is held at 0 and every day looks infeasible); the stated ones stay."""
    form, own = data["param_prob"], {x.id for x in stated.variables()}
    starts = sorted(form.var_id_to_col.items(), key=lambda item: item[1])
    ends = [at for _, at in starts[1:]] + [len(data["c"])]
    for (key, at), end in zip(starts, ends):
        for side, free in (("lower_bounds", -np.inf), ("upper_bounds", np.inf)):
            if key not in own and data[side] is not None:
                data[side][at:end] = free


def by_outer(stated, gap, cap):
    """HiGHS counts seconds of the clock: its limit is scaled by clock over CPU so far."""
    start, clock = time.process_time(), time.perf_counter()
    data, _, inverse = stated.get_problem_data(certified.CERTIFIED)
    m, shift = certified.matrices(data), inverse[-1]["offset"]
    r, fixed, master = conic.relax(m), conic.Fixed(m), outer.Tangents(m)
    master.add(r.z)
    value, bound = np.inf, r.bound
    spent = lambda: time.process_time() - start  # noqa: E731
    left = lambda: (cap - spent()) * (time.perf_counter() - clock) / spent()  # noqa: E731
    open_ = lambda: not np.isfinite(value) or value - bound > gap * abs(value + shift)  # noqa: E731
    while open_() and left() > 0:
        found = master.linear.solve(gap=gap / 2, seconds=left())
        bound = max(bound, found.bound)
        if found.x is None:
            break
        answer = fixed.solve(master.integers(found.x))
        value = min(value, answer.value) if answer.status == "optimal" else value
        master.add(answer.z)
        master.separate(found.x)
    return spent(), value + shift, min(bound, value) + shift


# ---------------------------------------------------------------------------------- judged


def checks(rows):
    out = []
    ours = [r for r in rows if r["method"] == OURS]
    days = [r for r in ours if r["aim"] == GAP]
    proven = sum(r["gap"] <= r["aim"] for r in days)
    out.append(
        (f"days of {len(days)} proven to {GAP:g}", proven, f">= {len(days)}", proven == len(days))
    )
    for method, wanted in (("SCIP", WANTED_SCIP), ("outer approximation", WANTED_OUTER)):
        ratio = [r["ratio"] for r in rows if r["method"] == method and r["aim"] == GAP]
        least, middle = float(np.nanmin(ratio)), float(np.nanmedian(ratio))
        out.append(
            (f"{method} over certified, median day", middle, f">= {wanted}", middle >= wanted)
        )
        out.append((f"{method} over certified, least", least, f">= {wanted}", least >= wanted))
        mine = [r for r in rows if r["method"] == method and r["aim"] == GAP]
        closed = sum(r["gap"] <= r["aim"] for r in mine)
        out.append((f"days that {method} proves within its cap", closed, "", True))
    for r in ours:
        if r["aim"] == GAP_LARGE:
            wanted = SECONDS_LARGE[r["case"]]
            out.append((f"{r['case']}: gap", r["gap"], f"<= {GAP_LARGE:g}", r["gap"] <= GAP_LARGE))
            out.append(
                (
                    f"{r['case']}: CPU seconds",
                    r["median_s"],
                    f"<= {wanted:g}",
                    r["median_s"] <= wanted,
                )
            )
    return out
