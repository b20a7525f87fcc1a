"""The ledger of claims: each rule, each malformed row, disagreement, and recording."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from adnlib import claims
from adnlib.claims import ClaimError, verdict

ROW = {
    "id": "dcp-01",
    "paper": "dcp",
    "where": "Sec. 3",
    "claim": "the loss falls",
    "reported": "2.0",
    "unit": "kW",
    "kind": "number",
    "rule": "within or sign",
    "tolerance": "0.1",
    "ours": "2.1",
    "verdict": "holds",
    "reason": "",
    "chapter": "21_dcp",
}
ORDER = {"kind": "order", "rule": "increasing", "tolerance": "0", "ours": "1 2 3"}


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """Writes rows (changes to ROW) into a ledger of their own, which then is the ledger."""
    path = tmp_path / "claims.csv"
    monkeypatch.setattr(claims, "LEDGER", path)
    monkeypatch.delenv("ADNLIB_RECORD_CLAIMS", raising=False)

    def write(*rows, columns=claims.COLUMNS):
        pd.DataFrame([ROW | row for row in rows], columns=list(columns)).to_csv(path, index=False)
        return path

    return write


# --- rules --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, rule, tolerance, ours, reported, expected",
    [
        ("number", "within", 0.1, 1.0999, 1.0, "holds"),
        ("number", "within", 0.1, 0.9001, 1.0, "holds"),
        ("number", "within", 0.1, 1.11, 1.0, "does not hold"),
        ("number", "within", 0.1, 0.89, 1.0, "does not hold"),
        ("number", "within", 0.1, -1.05, -1.0, "holds"),
        ("number", "within", 0.1, 1.05, -1.0, "does not hold"),
        ("number", "within", 0.1, 0.0, 0.0, "holds"),
        ("number", "within or sign", 0.1, 1.05, 1.0, "holds"),
        ("number", "within or sign", 0.1, 7.0, 1.0, "holds in direction"),
        ("number", "within or sign", 0.1, -7.0, -1.0, "holds in direction"),
        ("number", "within or sign", 0.1, -1.0, 1.0, "does not hold"),
        ("number", "within or sign", 0.1, 0.0, 1.0, "does not hold"),
        ("order", "increasing", 0, [1, 2, 3], None, "holds"),
        ("order", "increasing", 0, [1, 1, 3], None, "holds in direction"),
        ("order", "increasing", 0, [1, 3, 2], None, "holds in direction"),
        ("order", "increasing", 0, [3, 1, 2], None, "does not hold"),
        ("order", "increasing", 0.5, [1, 1.4, 3], None, "holds in direction"),
        ("order", "increasing", 0.5, [1, 0.9, 1.4], None, "does not hold"),
        ("order", "decreasing", 0, [3, 2, 1], None, "holds"),
        ("order", "decreasing", 0, (3, 4, 1), None, "holds in direction"),
        ("order", "decreasing", 0, [1, 2, 3], None, "does not hold"),
        ("order", "decreasing", 0, np.array([3, 2, 1]), None, "holds"),
        ("sign", "positive", 0.1, 0.2, None, "holds"),
        ("sign", "positive", 0.1, 0.1, None, "does not hold"),
        ("sign", "positive", 0.1, -1, None, "does not hold"),
        ("sign", "negative", 0.1, -0.2, None, "holds"),
        ("sign", "negative", 0.1, -0.1, None, "does not hold"),
        ("property", "at most", 0.1, 0.1, None, "holds"),
        ("property", "at most", 0.1, 0.11, None, "does not hold"),
        ("property", "at least", 0.1, np.float64(0.1), None, "holds"),
        ("property", "at least", 0.1, 0.09, None, "does not hold"),
        ("property", "true", None, True, None, "holds"),
        ("property", "true", None, np.True_, None, "holds"),
        ("property", "true", None, False, None, "does not hold"),
        ("property", "true", None, np.False_, None, "does not hold"),
    ],
)
def test_verdict(kind, rule, tolerance, ours, reported, expected):
    assert verdict(kind, rule, tolerance, ours, reported) == expected


@pytest.mark.parametrize("kind", claims.RULES)
def test_no_result_cannot_be_tested(kind):
    for rule in claims.RULES[kind]:
        assert verdict(kind, rule, 0.1, None, 1.0) == "cannot be tested"


@pytest.mark.parametrize(
    "kind, rule, ours",
    [
        ("number", "within", np.nan),
        ("number", "within", np.inf),
        ("number", "within", [1.0]),
        ("number", "within", "1"),
        ("number", "within", True),
        ("sign", "positive", np.inf),
        ("property", "at most", -np.inf),
        ("property", "at least", np.array([1.0, 2.0])),
        ("property", "true", 1),
        ("property", "true", 0.5),
        ("property", "true", "True"),
        ("order", "increasing", [1, np.nan, 3]),
        ("order", "decreasing", [np.inf, 2]),
        ("order", "increasing", 3.0),
        ("order", "increasing", [1.0]),
        ("order", "increasing", []),
    ],
)
def test_what_no_rule_can_judge(kind, rule, ours):
    with pytest.raises(ClaimError):
        verdict(kind, rule, 0.1, ours, 1.0)


# --- rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row, says",
    [
        ({"paper": "abc"}, "paper 'abc'"),
        ({"kind": "guess"}, "kind 'guess'"),
        ({"rule": "increasing"}, "rule 'increasing' does not go with kind 'number'"),
        ({"kind": "order"}, "rule 'within or sign' does not go with kind 'order'"),
        ({"verdict": "maybe"}, "verdict 'maybe'"),
        ({"where": " "}, "column where is empty"),
        ({"claim": ""}, "column claim is empty"),
        ({"chapter": ""}, "column chapter is empty"),
        ({"reported": "two"}, "reported 'two' is not a number"),
        ({"reported": "nan"}, "reported 'nan' is not a number"),
        ({"tolerance": ""}, "tolerance '' is not a number"),
        ({"tolerance": "5 %"}, "tolerance '5 %' is not a number"),
        ({"tolerance": "inf"}, "tolerance 'inf' is not a number"),
        ({"verdict": "does not hold"}, "no reason"),
        ({"verdict": "holds in direction"}, "no reason"),
        ({"verdict": "cannot be tested"}, "no reason"),
    ],
)
def test_malformed_row(ledger, row, says):
    with pytest.raises(ClaimError, match="claim dcp-01: ") as error:
        claims.read(ledger(row))
    assert says in str(error.value)


def test_well_formed_rows(ledger):
    ledger(
        {"id": "dcp-02", "verdict": ""},
        {"id": "dcp-03", "verdict": "does not hold", "reason": "another feeder"},
        {"id": "dcp-04", "kind": "property", "rule": "true", "tolerance": "", "reported": "yes"},
        {"id": "dcp-05", **ORDER, "reported": "rises"},
    )
    assert list(claims.read().index) == ["dcp-02", "dcp-03", "dcp-04", "dcp-05"]


def test_wrong_columns_and_a_claim_twice(ledger):
    with pytest.raises(ClaimError, match="columns"):
        claims.read(ledger({}, columns=claims.COLUMNS[:-1]))
    with pytest.raises(ClaimError, match="'dcp-01' stands twice"):
        claims.read(ledger({}, {}))


def test_the_ledger_of_the_project_is_well_formed_and_sorted():
    ids = list(claims.read()["id"])
    assert ids and ids == sorted(ids, key=claims._sort_key)
    assert all(id.startswith(f"{paper}-") for id, paper in claims.read()["paper"].items())


# --- check --------------------------------------------------------------------------------------


def test_check_agrees(ledger):
    ledger({}, {"id": "dcp-02", **ORDER}, {"id": "dcp-03", "verdict": "cannot be tested",
           "ours": "", "reason": "no data"})  # fmt: skip
    assert claims.check("dcp-01", 2.1) == "holds"
    assert claims.check("dcp-01", np.float64(2.1 * (1 + 5e-4))) == "holds"
    assert claims.check("dcp-02", np.array([1, 2, 3])) == "holds"
    assert claims.check("dcp-03", None) == "cannot be tested"


def test_check_of_an_unknown_claim(ledger):
    ledger({})
    with pytest.raises(ClaimError, match="no claim 'dcp-99'"):
        claims.check("dcp-99", 1)


@pytest.mark.parametrize("ours", [9.0, -2.1, None])
def test_check_with_another_verdict(ledger, ours):
    ledger({})
    with pytest.raises(ClaimError, match=r"claim dcp-01: computed .*ledger says 'holds'"):
        claims.check("dcp-01", ours)


def test_check_with_another_number(ledger):
    ledger({}, {"id": "dcp-02", **ORDER})
    for wrong in (2.1 * 1.002, 2.0):
        with pytest.raises(ClaimError, match=r"claim dcp-01: computed 2.*ledger says 2\.1"):
            claims.check("dcp-01", wrong)
    for wrong in ([1, 2, 3.1], [1, 2, 3, 4], [1, 3]):
        with pytest.raises(ClaimError, match=r"claim dcp-02: computed .*ledger says 1 2 3"):
            claims.check("dcp-02", wrong)


def test_check_before_the_claim_was_recorded(ledger):
    ledger({"ours": "", "verdict": ""})
    with pytest.raises(ClaimError, match="claim dcp-01: computed 'holds', the ledger says ''"):
        claims.check("dcp-01", 2.1)


def test_check_names_the_claim_whose_result_is_no_number(ledger):
    ledger({})
    with pytest.raises(ClaimError, match=r"claim dcp-01: .*finite"):
        claims.check("dcp-01", np.nan)


# --- record -------------------------------------------------------------------------------------


def test_record_round_trip(ledger, tmp_path, monkeypatch):
    """Chapters leave their numbers, record writes them sorted, and then the chapters agree."""
    path = ledger(
        {"id": "dcp-10", "ours": "", "verdict": "", "reason": "known, of another feeder"},
        {"id": "dcp-9", **ORDER, "ours": "", "verdict": ""},
        {"id": "dcp-2", "kind": "property", "rule": "true", "ours": "", "verdict": ""},
        {"id": "cecd-1", "paper": "cecd", "ours": "7", "verdict": "does not hold", "reason": "x"},
        {"id": "dcp-3", "ours": "", "verdict": "", "reason": "no data"},
    )
    results = {"dcp-10": 1 / 3, "dcp-9": np.array([0.1, 1 / 3, 1e5]), "dcp-2": np.True_,
               "dcp-3": None}  # fmt: skip
    monkeypatch.setenv("ADNLIB_RECORD_CLAIMS", str(tmp_path / "found"))
    expected = ["holds in direction", "holds", "holds", "cannot be tested"]
    assert [claims.check(*result) for result in results.items()] == expected
    claims.record(tmp_path / "found")
    monkeypatch.delenv("ADNLIB_RECORD_CLAIMS")
    table = claims.read()
    assert list(table.index) == ["cecd-1", "dcp-2", "dcp-3", "dcp-9", "dcp-10"]
    assert list(table["ours"]) == ["7", "True", "", "0.1 0.333333 100000", "0.333333"]
    assert list(table["verdict"][["dcp-10", "dcp-9", "dcp-2", "dcp-3"]]) == expected
    assert table.loc["cecd-1", "verdict"] == "does not hold", "not computed, not touched"
    assert [claims.check(*result) for result in results.items()] == expected
    before = path.read_bytes()
    claims.record(tmp_path / "found")
    assert path.read_bytes() == before and b"\r" not in before


def test_record_refuses_a_result_without_a_row(ledger, tmp_path):
    ledger({})
    (tmp_path / "dcp-77.json").write_text(json.dumps({"ours": "1", "verdict": "holds"}))
    with pytest.raises(ClaimError, match="'dcp-77', which has no row"):
        claims.record(tmp_path)


def test_table_of_a_chapter(ledger):
    ledger({}, {"id": "dcp-02", "chapter": "21_dcp#loss"}, {"id": "dcp-03", "chapter": "22_x"})
    table = claims.table_of("21_dcp")
    assert list(table.index) == ["dcp-01", "dcp-02"]
    assert list(table.columns) == ["claim", "reported", "ours", "unit", "verdict", "reason"]


def test_usage():
    done = subprocess.run(
        [sys.executable, "-m", "adnlib.claims", "recrod"], capture_output=True, text=True
    )
    assert done.returncode and "usage" in done.stderr


def test_a_chapter_shows_what_it_has_just_recorded(ledger, tmp_path, monkeypatch):
    ledger({"ours": "", "verdict": ""})
    monkeypatch.setenv("ADNLIB_RECORD_CLAIMS", str(tmp_path / "found"))
    assert list(claims.table_of("21_dcp")["verdict"]) == [""]
    claims.check("dcp-01", 2.05)
    assert list(claims.table_of("21_dcp")[["ours", "verdict"]].loc["dcp-01"]) == ["2.05", "holds"]


def test_record_says_which_verdict_still_wants_a_reason(ledger, tmp_path):
    ledger({})
    (tmp_path / "dcp-01.json").write_text(json.dumps({"ours": "9", "verdict": "does not hold"}))
    with pytest.raises(ClaimError, match=r"claim dcp-01: .*no reason"):
        claims.record(tmp_path)
