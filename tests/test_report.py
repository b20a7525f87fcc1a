"""make report: parameters of chapter 33 from the command line, a page that needs nothing else."""

import re

import nbformat
import pytest

from tools import htmlcheck, report
from tools.notebooks import output_texts, read

SMALL = "pandapower create_kerber_landnetz_freileitung_2"


def test_the_parameters_are_those_of_the_tagged_cell():
    found = report.known()
    assert list(found)[:4] == ["FEEDER", "LOAD", "PV", "DEVICES"]
    assert all(said for _, said in found.values())


def test_values_are_taken_as_what_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.json").write_text("{}")
    words = ["FEEDER=net.json", "DATE=2024-06-01", "ROOT=12", "V_MIN=0.95", "BALANCED=True"]
    found = report.values(words, report.known())
    assert found.pop("FEEDER") == str(tmp_path / "net.json")
    assert found == {"DATE": "2024-06-01", "ROOT": 12, "V_MIN": 0.95, "BALANCED": True}
    assert report.values([f"FEEDER={SMALL}"], report.known()) == {"FEEDER": SMALL}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["FEEDER=x", "LAOD=y.csv"], r"no parameter 'LAOD=y\.csv'; the chapter has\s+FEEDER = "),
        (["FEEDER=x", "LOAD"], "no parameter 'LOAD'"),
        (["LOAD=y.csv"], "FEEDER is missing"),
        (["FEEDER=x", "V_MIN=low"], "V_MIN is 'low'; write a number"),
    ],
)
def test_other_words_are_refused(words, says, capsys):
    with pytest.raises(report.ReportError, match=says):
        report.values(words, report.known())
    assert report.main(*words) == 2 and capsys.readouterr().err


def test_a_page_holds_nothing_from_elsewhere():
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A title\n\ntext")])
    html = report.page(nb, "title")
    assert "A title" in html and not re.search(r"(?:src|href)=\"(?:https?:)?//", html)
    assert not re.search(r"import .* from ['\"]https?:", html)
    assert not htmlcheck.NETWORKS.search(html)


def test_figures_keep_what_their_captions_say_of_any_network():
    nb = report.for_report()
    figures = [c.metadata.mystnb.figure.caption for c in nb.cells if "mystnb" in c.metadata]
    html = report.page(nb, "title")
    assert len(figures) >= 3 and all(text.split(". ")[0] in html for text in figures)
    assert "Batteries are full" in figures[1] and "Batteries are full" not in html


def test_cells_for_the_book_are_left_out():
    nb = report.for_report()
    text = "\n".join(cell.source for cell in nb.cells)
    assert "{bibliography}" not in text and "own_feeders.csv" not in text.split("receipt(")[0]
    assert "runs.day_ahead" in text and len(nb.cells) < len(read(report.CHAPTER).cells)


def test_a_report_of_a_small_network(tmp_path):
    given = {"FEEDER": SMALL, "ROLLS": 2, "AREAS": 2}
    notebook, html, failed = report.report(given, tmp_path)
    assert failed is None and html.stat().st_size > 1e5
    name = notebook.stem
    assert {f.name for f in (tmp_path / name).iterdir()} >= {"setpoints.csv", "net.json"}
    said = "\n".join(
        t for c in read(notebook).cells if c.cell_type == "code" for t in output_texts(c)
    )
    assert "proven gap below 0.1 %: True" in said and "to 1e-6 p.u.: True" in said


def test_messages_name_the_parameters_of_a_report():
    said = "several sources (14); choose one with root=<bus>"
    assert report.in_words_of_a_report(said).endswith("choose one with ROOT=<bus>")
    assert report.in_words_of_a_report("balanced=True sums") == "BALANCED=True sums"


def test_a_bad_file_ends_in_its_message(tmp_path):
    (tmp_path / "net.json").write_text("{")
    notebook, html, failed = report.report({"FEEDER": str(tmp_path / "net.json")}, tmp_path)
    assert html is None and failed.startswith("InputError: net.json: not JSON")
    assert notebook.is_file()
