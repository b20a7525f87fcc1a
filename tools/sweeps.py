"""Heavy results: compute the ones that are out of date, and say which are.

    python -m tools.sweeps [name ...]

A sweep is a script `data/results/<name>.py` with

    DEPENDS = ["adnlib/powerflow.py", "data/feeders/ieee33"]    paths from the project's root
    def run() -> pandas.DataFrame
    def one_point() -> (key dict, values dict)                  one row again, cheaply
    RTOL = 1e-6                                                 optional, tolerance of one_point

and its result is `<name>.csv` with `<name>.json`, which holds the hash of the script, of DEPENDS
and of requirements.lock. Every adnlib module that the script really imports must be in DEPENDS.
"""

import importlib.util
import json
import math
import subprocess
import sys

import pandas as pd

from adnlib.receipt import digest
from tools import ROOT, steady

FREE = {"adnlib/__init__.py", "adnlib/version.py", "adnlib/receipt.py"}


def scripts(root=ROOT):
    return sorted((root / "data" / "results").glob("*.py"))


def load(script):
    """The script as a module, from its text: cached bytecode is taken for current when an edit
    keeps the size and falls into the same second."""
    spec = importlib.util.spec_from_file_location(f"sweep_{script.stem}", script)
    module = importlib.util.module_from_spec(spec)
    exec(compile(script.read_text(encoding="utf8"), script, "exec"), module.__dict__)
    return module


def made_from(script, depends, root=ROOT):
    """Hash of everything that the result follows from."""
    return digest([script, *(root / path for path in depends), root / "requirements.lock"])


def undeclared(depends, root=ROOT):
    """Modules of adnlib that are loaded but not declared."""
    folder = (root / "adnlib").resolve().as_posix() + "/"
    names = [getattr(m, "__file__", None) or "" for n, m in sys.modules.items() if "adnlib" in n]
    used = {name.replace(folder, "adnlib/") for name in names if name.startswith(folder)}
    return sorted(used - FREE - set(depends))


def is_stale(script, root=ROOT):
    """Why the stored result does not belong to today's sources; None when it does."""
    table, note = script.with_suffix(".csv"), script.with_suffix(".json")
    if not (table.exists() and note.exists()):
        return f"{script.stem}: no result yet: make sweeps"
    stored = json.loads(note.read_text())
    if stored["made_from"] != made_from(script, load(script).DEPENDS, root):
        return f"{script.stem}: its script, modules, data or versions changed: make sweeps"
    if stored["table"] != digest([table]):
        return f"{script.stem}: {table.name} was edited by hand: make sweeps"
    return None


def compute(script, root=ROOT):
    """Run one sweep and store its table and hash; ValueError for an undeclared module."""
    sweep = load(script)
    table = sweep.run()
    if missing := undeclared(sweep.DEPENDS, root):
        raise ValueError(f"{script.name}: add to DEPENDS {missing}")
    table.to_csv(script.with_suffix(".csv"), index=False, float_format="%.10g", lineterminator="\n")
    note = {
        "made_from": made_from(script, sweep.DEPENDS, root),
        "table": digest([script.with_suffix(".csv")]),
    }
    script.with_suffix(".json").write_text(json.dumps(note, indent=1) + "\n")
    print(f"{script.stem}: {len(table)} rows", flush=True)


ALONE = """
import json, pathlib, sys
from tools.sweeps import load
script, name, *given = sys.argv[1:]
found = getattr(load(pathlib.Path(script)), name)(*map(json.loads, given))
print(json.dumps(found))
"""


def alone(script, name, *given):
    """What function `name` of a sweep returns, from a process of its own, so that memory is its
    own; what is given and returned is JSON."""
    command = [sys.executable, "-c", ALONE, str(script), name, *map(json.dumps, given)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def row_of(table, key):
    """The one row with these key values."""
    chosen = table
    for column, value in key.items():
        if isinstance(value, float):
            chosen = chosen[(chosen[column] - value).abs() <= 1e-9 * max(1.0, abs(value))]
        else:
            chosen = chosen[chosen[column] == value]
    if len(chosen) != 1:
        raise ValueError(f"{len(chosen)} rows with {key}, one_point must name exactly one")
    return chosen.iloc[0]


def check_point(script):
    """Differences between one stored row and the same point computed now; empty when equal."""
    sweep = load(script)
    key, values = sweep.one_point()
    if not values:
        raise ValueError(f"{script.name}: one_point returns no value to compare")
    row, rtol = row_of(pd.read_csv(script.with_suffix(".csv")), key), getattr(sweep, "RTOL", 1e-6)
    return [
        f"{script.stem} {key}: {name} stored {row[name]}, now {now} (tolerance {rtol})"
        for name, now in values.items()
        if not math.isclose(row[name], now, rel_tol=rtol, abs_tol=1e-12)
    ]


def main(*names):
    steady()
    todo = [s for s in scripts() if s.stem in names or (not names and is_stale(s))]
    if len(todo) == 1 and names:
        compute(todo[0])
        return 0
    for script in todo:  # one process each, so that each shows what it imports itself
        subprocess.run([sys.executable, "-m", "tools.sweeps", script.stem], cwd=ROOT, check=True)
    print(f"{len(todo)} of {len(scripts())} sweeps computed")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
