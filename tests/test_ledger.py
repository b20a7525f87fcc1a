"""The ledger as a page: every claim leads to what computed it, and the table says what it holds."""

import json

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from adnlib import claims, ledger
from adnlib.claims import ClaimError

CELLS = [
    ("markdown", "# A chapter\n\n## Set-up"),
    ("code", "from adnlib import claims\nN = 3\ndef twice(x):\n    return 2 * x"),
    ("markdown", "## Results: one"),
    ("code", "%matplotlib inline\nfirst = N + 1\nboth = {'a': 1}"),
    ("markdown", "## Results: two"),
    ("code", "second = first * 2\nfor row in range(3):\n    second += row"),
    ("code", "def judged():\n    yield 1, first\n    yield 2, second"),
    ("markdown", "## Claims"),
    (
        "code",
        "ours = dict(judged())\npart = {'x': first, 'y': second}\n"
        "claims.check('dcp-01', N * first)\nclaims.check('dcp-02', twice(second))\n"
        "claims.check('dcp-03', part['x'])\nclaims.check('dcp-04', part['y'])\n"
        "claims.check('dcp-05', ours[1])\nclaims.check('dcp-06', ours[2])\n"
        "claims.check('dcp-07', None)\nclaims.check('dcp-08', N)\n"
        "claims.check('dcp-09', max(second for first in range(3)))",
    ),
    ("code", 'CHECKLIST = [("Fig. 1", "Results: one", "fig-1")]'),
]


@pytest.fixture
def folder(tmp_path):
    cells = [{"cell_type": kind, "source": text} for kind, text in CELLS]
    (tmp_path / "21_dcp.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return tmp_path


def rows(*ids, **more):
    row = dict.fromkeys(claims.COLUMNS, "") | {"chapter": "21_dcp", "verdict": "holds"} | more
    table = pd.DataFrame([row | {"id": id, "paper": id.split("-")[0]} for id in ids])
    return table.set_index("id", drop=False)


@pytest.mark.parametrize(
    "id, section",
    [
        ("dcp-01", "Results: one"),  # not the constant of the set-up that stands before it
        ("dcp-02", "Results: two"),  # not where the function that is called was defined
        ("dcp-03", "Results: one"),  # through a dict of the closing section
        ("dcp-04", "Results: two"),
        ("dcp-05", "Results: one"),  # through a generator of pairs
        ("dcp-06", "Results: two"),
        ("dcp-07", "Claims"),  # nothing to find
        ("dcp-08", "Set-up"),
        ("dcp-09", "Results: two"),  # the variable of a comprehension is its own
    ],
)
def test_section_in_which_a_number_was_made(folder, id, section):
    assert ledger.places(rows(id), folder).loc[id, "section"] == section


def test_places_gives_title_and_anchor(folder):
    found = ledger.places(rows("dcp-01"), folder).loc["dcp-01"]
    assert found.tolist() == ["21_dcp", "A chapter", "Results: one", "results-one"]


def test_claim_without_chapter_and_claim_that_no_cell_checks(folder):
    with pytest.raises(ClaimError, match=r"claim dcp-01: there is no chapter 99_none\.ipynb"):
        ledger.places(rows("dcp-01", chapter="99_none"), folder)
    with pytest.raises(ClaimError, match=r"claim dcp-77: 21_dcp\.ipynb never checks it"):
        ledger.places(rows("dcp-01", "dcp-77"), folder)


def test_every_claim_of_the_project_is_checked_by_its_chapter():
    table = claims.read()
    found = ledger.places(table)
    assert list(found.index) == list(table.index) and len(found) > 100
    assert (found[["title", "section", "anchor"]] != "").all(axis=None)
    named = (found["section"] != ledger.CLOSING).mean()
    assert named > 0.9  # the others have no number, or one made in the closing section itself


def test_checklist(folder):
    assert ledger.checklist("21_dcp", folder) == [("Fig. 1", "Results: one", "fig-1")]
    (folder / "22_x.ipynb").write_text('{"cells": []}', encoding="utf-8")
    assert ledger.checklist("22_x", folder) is None


def test_table_shows_every_row_and_escapes(folder):
    table = rows("dcp-01", "dcp-03", claim="a < b & c", reported="3", unit="%", ours="4",
                 verdict="does not hold", reason="<script>", where="Fig. 1")  # fmt: skip
    page = BeautifulSoup(ledger.html(table, ledger.places(table, folder)), "html.parser")
    assert len(page.select("tbody tr")) == 2 and not page.select("script")
    cells = [cell.get_text() for cell in page.select("tbody tr")[0].select("td")]
    assert cells == ["dcp-01 a < b & cFig. 1", "3 %", "4 %", "does not hold", "<script>"]
    assert page.select_one("a")["href"] == "21_dcp.html#results-one"
    assert page.select_one("tr[data-paper=dcp][data-verdict=no]")
