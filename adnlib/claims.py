"""The ledger: every claim of the five papers beside ours, the verdict computed from its rule.

A chapter calls `check(id, ours)`. While chapters are recorded (environment variable
ADNLIB_RECORD_CLAIMS names a folder) each call leaves its number there; `python -m adnlib.claims
record FOLDER` then writes the columns ours and verdict, sorted by id. At any other time a chapter
whose number or verdict differs from the ledger fails.
"""

import json
import math
import os
import re
import sys
from itertools import pairwise
from pathlib import Path

import pandas as pd

from .feeder import DATA

LEDGER = DATA / "claims.csv"
COLUMNS = ("id", "paper", "where", "claim", "reported", "unit", "kind", "rule", "tolerance",
           "ours", "verdict", "reason", "chapter")  # fmt: skip
PAPERS = ("dcp", "cecd", "dcvc", "lowcarbon", "mpc")
HOLDS, DIRECTION, FAILS, UNTESTED = VERDICTS = (
    "holds",
    "holds in direction",
    "does not hold",
    "cannot be tested",
)
RULES = {
    "number": ("within", "within or sign"),
    "order": ("increasing", "decreasing"),
    "sign": ("positive", "negative"),
    "property": ("true", "at most", "at least"),
}
SAME = 1e-3  # relative change of a recorded number from which the ledger counts as stale


class ClaimError(AssertionError):
    """A chapter and the ledger disagree, or a row of the ledger is malformed; names the id."""


def read(path=None):
    """The ledger as a DataFrame of strings indexed by id. ClaimError names a malformed row."""
    table = pd.read_csv(path or LEDGER, dtype=str, keep_default_na=False)
    if tuple(table.columns) != COLUMNS:
        raise ClaimError(f"the ledger has columns {list(table.columns)}; it needs {list(COLUMNS)}")
    if table["id"].duplicated().any():
        raise ClaimError(f"claim {table['id'][table['id'].duplicated()].iloc[0]!r} stands twice")
    table = table.set_index("id", drop=False)
    for row in table.to_dict("records"):
        _check_row(row)
    return table


def _check_row(row):
    def wrong(what):
        raise ClaimError(f"claim {row['id']}: {what}")

    if row["paper"] not in PAPERS:
        wrong(f"paper {row['paper']!r} is none of {', '.join(PAPERS)}")
    if row["rule"] not in RULES.get(row["kind"], ()):
        wrong(f"rule {row['rule']!r} does not go with kind {row['kind']!r}: {RULES}")
    if row["verdict"] and row["verdict"] not in VERDICTS:
        wrong(f"verdict {row['verdict']!r} is none of {', '.join(VERDICTS)}")
    for name in ("where", "claim", "chapter"):
        if not row[name].strip():
            wrong(f"column {name} is empty")
    if row["kind"] == "number" and _number(row["reported"]) is None:
        wrong(f"reported {row['reported']!r} is not a number")
    if row["rule"] != "true" and _number(row["tolerance"]) is None:
        wrong(f"tolerance {row['tolerance']!r} is not a number")
    if row["verdict"] not in ("", HOLDS) and not row["reason"].strip():
        wrong(f"the verdict is {row['verdict']!r} and no reason is given")


def _number(text):
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def verdict(kind, rule, tolerance, ours, reported=None):
    """The verdict that a rule gives.

    number    within: |ours - reported| <= tolerance |reported|; within or sign: else the same
              sign is "holds in direction"
    order     ours is a sequence; every step must exceed tolerance; else, if the two ends differ
              in the claimed direction by more than tolerance, "holds in direction"
    sign      ours > tolerance (positive), ours < -tolerance (negative)
    property  true: ours is True; at most / at least: ours against tolerance
    ours None is "cannot be tested".

    >>> verdict("number", "within", 0.1, 1.05, reported=1)
    'holds'
    >>> verdict("order", "increasing", 0, [1, 3, 2])
    'holds in direction'
    """
    if ours is None:
        return UNTESTED
    ours = _plain(ours)
    if rule == "true":
        if not isinstance(ours, bool):
            raise ClaimError(f"ours is {ours!r}; rule true judges True or False")
        return HOLDS if ours else FAILS
    values = ours if kind == "order" else [ours]
    if not isinstance(values, list) or not all(map(_finite, values)):
        what = "a sequence of finite numbers" if kind == "order" else "a finite number"
        raise ClaimError(f"ours is {ours!r}; a claim of kind {kind} is judged on {what}")
    if kind == "order":
        up = 1 if rule == "increasing" else -1
        steps = [up * (b - a) for a, b in pairwise(ours)]
        if not steps:
            raise ClaimError("an order needs at least two values")
        if min(steps) > tolerance:
            return HOLDS
        return DIRECTION if up * (ours[-1] - ours[0]) > tolerance else FAILS
    if kind == "number":
        if abs(ours - reported) <= tolerance * abs(reported):
            return HOLDS
        return DIRECTION if rule == "within or sign" and ours * reported > 0 else FAILS
    passed = {
        "positive": ours > tolerance,
        "negative": ours < -tolerance,
        "at most": ours <= tolerance,
        "at least": ours >= tolerance,
    }
    return HOLDS if passed[rule] else FAILS


def check(id, ours):
    """Verdict of a claim, computed from `ours` by the row's rule; must equal the stored one.

    ours: a number, a bool (rule true), a sequence (kind order), or None (cannot be tested).
    ClaimError names the claim when the id is unknown, or when verdict or number differ from the
    ledger; the cure then is to find out why, and `make record`.
    """
    table = read()
    if id not in table.index:
        raise ClaimError(f"there is no claim {id!r} in data/claims.csv; add its row")
    row = table.loc[id]
    ours = None if ours is None else _plain(ours)
    try:
        found = verdict(
            row["kind"], row["rule"], _number(row["tolerance"]), ours, _number(row["reported"])
        )
    except ClaimError as error:
        raise ClaimError(f"claim {id}: {error}") from None
    folder = os.environ.get("ADNLIB_RECORD_CLAIMS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        record = {"ours": written(ours), "verdict": found}
        (Path(folder) / f"{id}.json").write_text(json.dumps(record), encoding="utf-8")
        return found
    if found != row["verdict"]:
        raise ClaimError(f"claim {id}: computed {found!r}, the ledger says {row['verdict']!r}")
    if not _same(written(ours), row["ours"]):
        raise ClaimError(f"claim {id}: computed {written(ours)}, the ledger says {row['ours']}")
    return found


def _finite(x):
    return isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)


def _plain(ours):
    if hasattr(ours, "tolist"):
        ours = ours.tolist()
    return [float(x) for x in ours] if isinstance(ours, list | tuple) else ours


def written(ours):
    """How the column `ours` writes a result: six digits, the numbers of a sequence apart by blanks.

    >>> written([0.1, 2]), written(True), written(None)
    ('0.1 2', 'True', '')
    """
    if ours is None:
        return ""
    if isinstance(ours, list):
        return " ".join(f"{x:.6g}" for x in ours)
    return str(ours) if isinstance(ours, bool | str) else f"{ours:.6g}"


def _same(a, b):
    numbers = [[_number(x) for x in text.split()] for text in (a, b)]
    if len(numbers[0]) != len(numbers[1]) or None in numbers[0] + numbers[1]:
        return a == b
    return all(math.isclose(x, y, rel_tol=SAME, abs_tol=1e-12) for x, y in zip(*numbers))


def table_of(chapter, columns=("claim", "reported", "ours", "unit", "verdict", "reason")):
    """The claims a chapter answers for, as a DataFrame for its last section."""
    rows = _overlaid(read(), os.environ.get("ADNLIB_RECORD_CLAIMS"))
    rows = rows.assign(ours=rows["ours"].map(shown))
    return rows.loc[rows["chapter"].str.split("#").str[0] == chapter, list(columns)]


def shown(ours):
    """A value of the ledger as a reader wants it: four digits, commas, yes or no.

    >>> shown("0.0560165 0.0337423"), shown("179712"), shown("True"), shown("1e-09")
    ('0.05602, 0.03374', '179712', 'yes', '1e-09')
    """
    words = [{"True": "yes", "False": "no"}.get(word, word) for word in ours.split()]
    return ", ".join(_rounded(word) if re.search(r"\.\d", word) else word for word in words)


def _rounded(number):
    whole = len(number.lstrip("-").split(".")[0])
    return f"{float(number):.{max(4, whole)}g}"


def _overlaid(table, folder):
    """The ledger with what chapters have left in a recording folder (None: nothing)."""
    for file in sorted(Path(folder).glob("*.json")) if folder else ():
        if file.stem not in table.index:
            raise ClaimError(f"{folder} holds a result of claim {file.stem!r}, which has no row")
        values = json.loads(file.read_text(encoding="utf-8"))
        table.loc[file.stem, ["ours", "verdict"]] = [values["ours"], values["verdict"]]
    return table


def record(folder, path=None):
    """Write ours and verdict of every claim recorded in `folder` into the ledger, sorted by id."""
    path = path or LEDGER
    table = _overlaid(read(path), folder)
    table = table.iloc[sorted(range(len(table)), key=lambda i: _sort_key(table["id"].iloc[i]))]
    for row in table.to_dict("records"):  # a verdict that needs a reason and has none, say
        _check_row(row)
    table.to_csv(path, index=False, lineterminator="\n")


def _sort_key(id):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", id)]


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "record":
        sys.exit("usage: python -m adnlib.claims record FOLDER")
    record(sys.argv[2])
    print("claims: recorded in data/claims.csv")
