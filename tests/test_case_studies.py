"""Case studies (notebooks/2N_*.ipynb): nothing of the paper is left out, and others can check us.

A case study assigns a literal list CHECKLIST of (item, section, where): a thing that the paper
shows, the heading of the chapter under which it stands, and one or more anchors (a figure's name,
a label "(x)=" or an equation's label) parted by commas.
"""

import re

import pandas as pd
import pytest

from adnlib import export, ledger, read_feeder
from tools import ROOT
from tools.notebooks import read

STUDIES = sorted((ROOT / "notebooks").glob("2[0-9]_*.ipynb"))
EXPORTS = sorted({p.parent for p in (ROOT / "data" / "results").rglob("net.json")})


def cells(path, kind):
    return [cell for cell in read(path).cells if cell.cell_type == kind]


def tables(path):
    """Rows of every table that the chapter shows, head included."""
    for cell in cells(path, "code"):
        for out in cell.outputs:
            yield str(out.get("data", {}).get("text/html", "")).count("<tr")


def headings(path):
    prose = "\n".join(cell.source for cell in cells(path, "markdown"))
    return {line.lstrip("#").strip() for line in re.findall(r"^#+ .*$", prose, re.M)}


def anchors(path):
    """Names of figures, labels before a paragraph, labels of equations."""
    prose = "\n".join(cell.source for cell in cells(path, "markdown"))
    found = set(re.findall(r"^\(([\w-]+)\)=$", prose, re.M))
    found |= set(re.findall(r"\$\$ \(([\w-]+)\)", prose))
    for cell in cells(path, "code"):
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        found |= {name} if name else set()
    return found


def faults(rows, sections, names):
    """What is wrong with a checklist: rows that are short, empty, twice there, or lead nowhere."""
    for row in rows:
        if len(row) != 3 or not all(isinstance(a, str) and a.strip() for a in row):
            yield f"{row}: needs item, section, where, none of them empty"
            continue
        item, section, where = row
        if section not in sections:
            yield f"{item}: no heading {section!r}"
        yield from (f"{item}: no anchor {a!r}" for a in where.split(", ") if a not in names)
    items = [row[0] for row in rows]
    yield from (f"{item}: twice" for item in sorted({i for i in items if items.count(i) > 1}))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_checklist_is_complete_and_leads_somewhere(path):
    rows = ledger.checklist(path.stem)
    assert rows, "the chapter has no CHECKLIST of (item, section, where)"
    assert list(faults(rows, headings(path), anchors(path))) == []
    assert len(rows) + 1 in tables(path), "the table of the checklist is not shown whole"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_figure_of_a_study_is_on_its_checklist(path):
    rows = ledger.checklist(path.stem)
    named = {a for row in rows for a in row[2].split(", ")}
    figures = {name for name in anchors(path) if name.startswith("fig-")}
    assert figures - named == set()


@pytest.mark.parametrize("folder", EXPORTS, ids=lambda p: "/".join(p.parts[-2:]))
def test_exported_case_is_whole_and_pandapower_agrees(folder):
    found = export.read(folder)
    assert len(found.setpoints) == len(found.voltages) == 24
    assert not found.setpoints.isna().any().any() and found.voltages.min().min() > 0.8
    assert {"objective", "proven bound", "energy drawn"} <= set(found.summary.index)
    gap = found.summary.loc["objective", "value"] - found.summary.loc["proven bound", "value"]
    assert gap >= -1e-6 * abs(found.summary.loc["objective", "value"])
    assert export.check(found) < 1e-6


def test_there_are_exports():
    assert len(EXPORTS) >= 1


def test_lowcarbon_tables_agree_with_each_other():
    """Set-points add up to what the summary and the sweep say of the same plan."""
    swept = pd.read_csv(ROOT / "data" / "results" / "lowcarbon_choices.csv").iloc[0]
    found = export.read(ROOT / "data" / "results" / "lowcarbon" / "S3")
    drawn = found.setpoints["tie line p_mw"].sum()
    assert found.summary.loc["energy drawn", "value"] == pytest.approx(drawn, rel=1e-6)
    assert 0.581 * drawn == pytest.approx(swept["S3_co2_t"], rel=1e-5)
    assert found.summary.loc["lowest voltage", "value"] == pytest.approx(swept["S3_V_low"])
    moved = found.setpoints["OLTC position"].diff().abs().gt(0.5).sum()
    assert moved <= swept["S3_moves"] <= 5
    root = found.voltages[str(read_feeder("ieee33").root)]
    assert root.to_numpy() == pytest.approx(found.setpoints["OLTC ratio"].to_numpy())


def test_faults_are_found():
    rows = [("a", "Day", "fig-1"), ("a", "Night", "fig-2, eq-1"), ("b", "Day", ""), ("c", "Day")]
    assert list(faults(rows, {"Day"}, {"fig-1", "eq-1"})) == [
        "a: no heading 'Night'",
        "a: no anchor 'fig-2'",
        "('b', 'Day', ''): needs item, section, where, none of them empty",
        "('c', 'Day'): needs item, section, where, none of them empty",
        "a: twice",
    ]
