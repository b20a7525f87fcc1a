"""Run the benchmarks: python benchmarks/run.py [subject ...], all subjects without a name.

One thread everywhere. Prints a bar with what is done and an estimate of the time left, a table, the
requirements with PASS or BELOW TARGET (never a failure: a busy machine is no bug), and writes
results/<subject>.csv and results/machine.json. With --small the smallest sizes only, and nothing is
written. With --case the named cases of a subject that has them (misocp) are measured anew, in place
of the stored ones.
"""

import argparse
import importlib
import json
import os
import platform
import shutil
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUBJECTS = (
    "batch",
    "growth",
    "reading",
    "linear",
    "copula_speed",
    "reduction",
    "ev_speed",
    "cones",
    "misocp",
    "admm_speed",
    "zones_speed",
    "mpc_speed",
    "dcvc_speed",
    "siting_speed",
    "distopf_speed",
    "sweep_speed",
)
PACKAGES = (
    "adnlib",
    "numpy",
    "scipy",
    "pandas",
    "power-grid-model",
    "pandapower",
    "numba",
    "copulas",
    "cvxpy",
    "clarabel",
    "highspy",
    "pyscipopt",
    "distopf",
    "distributed",
)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def main(arguments=None):
    parser = argparse.ArgumentParser(description="time adnlib beside established packages")
    parser.add_argument("subject", nargs="*", help=f"one of {', '.join(SUBJECTS)}; none: all")
    parser.add_argument("--small", action="store_true", help="smallest sizes, nothing written")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the results")
    parser.add_argument("--case", action="append", default=[], help="measure this case only")
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.subject) - set(SUBJECTS))
    if unknown:
        parser.error(f"there is no subject {unknown[0]!r}; there are {', '.join(SUBJECTS)}")
    one_thread()
    say_missing()
    chosen = [s for s in SUBJECTS if s in asked.subject or not asked.subject]
    before = machine()
    rest = {s: stored_rest(s, asked.case, asked.out) for s in chosen if asked.case}
    tables = measure(chosen, asked.small, asked.case)
    tables = {s: rest.get(s, []) + rows for s, rows in tables.items()}
    for subject, rows in tables.items():
        report(subject, rows)
    if not asked.small:
        write(tables, before, asked.out)
    return tables


def one_thread():
    """Before NumPy is imported: the modules of the subjects are imported afterwards."""
    for name in THREADS:
        os.environ[name] = "1"


def say_missing():
    for package in ("power-grid-model", "pandapower", "numba", "copulas", "distopf"):
        if installed_version(package) is None:
            what = "pandapower runs without it" if package == "numba" else "skipped"
            print(f"{package} is not installed: {what}")


def stored_rest(subject, cases, folder):
    """Stored rows of a subject but those of these cases; SystemExit where it has none by name."""
    import pandas as pd

    path = folder / f"{subject}.csv"
    table = pd.read_csv(path, keep_default_na=False) if path.is_file() else pd.DataFrame()
    if "case" not in table:
        raise SystemExit(f"{subject} has no stored cases to replace: measure it without --case")
    rest = table[~table["case"].isin(cases)]
    numbers = [c for c in table if c not in ("subject", "method", "note", "case")]
    return rest.assign(**rest[numbers].apply(pd.to_numeric)).to_dict("records")


def measure(subjects, small, cases=()):
    """{subject: rows}, with a bar and the time that is left before each step."""
    modules = {s: importlib.import_module(f"benchmarks.{s}") for s in subjects}
    plan = [(s, *step) for s in subjects for step in modules[s].steps(small)]
    if unknown := sorted(set(cases) - {label for _, label, _, _ in plan}):
        raise SystemExit(f"there is no case {unknown[0]!r}; there are {[p[1] for p in plan]}")
    plan = [p for p in plan if not cases or p[1] in cases]
    tables, start, done = {s: [] for s in subjects}, time.perf_counter(), 0.0
    total = sum(weight for _, _, weight, _ in plan)
    for k, (subject, label, weight, job) in enumerate(plan, 1):
        left = remaining(done, total, time.perf_counter() - start)
        show(done / total, f"[{k}/{len(plan)}] {subject}: {label} (about {left} left)")
        tables[subject] += job()
        done += weight
    spent = time.perf_counter() - start
    show(1.0, f"[{len(plan)}/{len(plan)}] done in {spent:.0f} s", last=True)
    return tables


def remaining(done, total, spent):
    """Such as 40 s or 12 min: the weights are seconds, corrected by what the steps so far took."""
    left = (total - done) * (spent / done if done else 1.0)
    return f"{left:.0f} s" if left < 600 else f"{left / 60:.0f} min"


def show(share, text, last=False):
    """The bar: drawn over itself on a terminal, line after line elsewhere."""
    line = f"{bar(share)} {100 * share:3.0f} % {text}"
    if not sys.stdout.isatty():
        print(line, flush=True)
        return
    width = shutil.get_terminal_size().columns - 1
    print(f"\r{line[:width]:<{width}}", end="\n" if last else "", flush=True)


def bar(share, width=24):
    """A bar such as ######.................. for a quarter."""
    full = int(share * width)
    return "#" * full + "." * (width - full)


def report(subject, rows):
    print(f"\n{subject:<43} {'size':>6} {'cases':>6} {'median':>11} {'ratio':>9}")
    for row in rows:
        print(
            f"  {row['method']:<41} {row['size']:>6} {row['scenarios']:>6} "
            f"{1000 * row['median_s']:>8.3f} ms {row['ratio']:>9.3g}  {row['note']}"
        )
    for what, value, wanted, holds in checks(subject, rows):
        verdict = ("PASS" if holds else "BELOW TARGET") if wanted else ""
        print(f"  {what:<58} {value:>8.3g} {wanted:>8} {verdict}")


def checks(subject, rows):
    return importlib.import_module(f"benchmarks.{subject}").checks(rows)


def write(tables, before, folder):
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "machine.json"
    about = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    for subject, rows in tables.items():
        table = pd.DataFrame(rows)
        table.to_csv(folder / f"{subject}.csv", index=False, float_format="%.6g")
        found = [
            {"what": what, "value": float(f"{value:.4g}"), "wanted": wanted, "holds": bool(holds)}
            for what, value, wanted, holds in checks(subject, rows)
        ]
        about[subject] = before | {"load_after": load(), "checks": found}
    record.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def machine():
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {package: installed_version(package) for package in PACKAGES},
        "load_before": load(),
    }


def load():
    """Mean number of running processes over the last minute, where the system tells."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def processor():
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        lines = facts.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def installed_version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.path[0] = str(HERE.parent)  # the folder above, so that `benchmarks` is a package
    main()
