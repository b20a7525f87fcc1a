"""A chapter can be executed with other parameters, without a change to the chapter itself."""

import ast

import nbformat
import pytest

from adnlib import claims
from tools import ROOT
from tools.notebooks import read
from tools.rerun import ParameterError, main, parameters, replaced, with_parameters

STUDIES = sorted((ROOT / "notebooks").glob("2[0-9]_*.ipynb"))
SETTING = """FEEDER = "ä33"  # also "b"
DAY, MORE = None, {
    "a": 1,
}
SIZE, _ = len(FEEDER), 3
DAY = DAY or "today"
"""
USE = """from pathlib import Path
print(FEEDER, DAY, MORE, Path.cwd().name)
assert not MORE.get("stop")
"""


@pytest.fixture
def chapter(tmp_path):
    cells = [nbformat.v4.new_code_cell(s) for s in ("import math", SETTING, USE)]
    path = tmp_path / "tiny.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def shown(path):
    return [out.text for c in read(path).cells for out in c.outputs if "text" in out]


def test_parameters_are_literals_in_capitals():
    found = {k: ast.literal_eval(v) for k, v in parameters(SETTING).items()}
    assert found == {"FEEDER": "ä33", "DAY": None, "MORE": {"a": 1}}


def test_only_the_values_are_replaced():
    text = replaced(SETTING, {"FEEDER": "é", "DAY": "x", "MORE": {"b": [2]}})
    head, rest = SETTING.replace('"ä33"', "'é'").split("DAY, MORE = None")
    assert text == head + "DAY, MORE = 'x', {'b': [2]}" + rest.partition("}")[2]
    assert replaced(SETTING, {}) == SETTING


def test_a_chapter_runs_with_other_parameters_and_stays_as_it_was(chapter, tmp_path, capsys):
    before, out = chapter.read_bytes(), tmp_path / "made" / "out.ipynb"
    assert main(str(chapter), 'FEEDER="b"', "MORE={'c': 0.1}", "--out", str(out)) == 0
    assert shown(out) == [f"b today {{'c': 0.1}} {tmp_path.name}\n"]
    assert chapter.read_bytes() == before
    assert "executed" in capsys.readouterr().out


def test_a_failing_cell_is_reported_and_stored(chapter, tmp_path, capsys):
    out = tmp_path / "out.ipynb"
    assert main(str(chapter), "MORE={'stop': 1}", "--out", str(out)) == 1
    assert "AssertionError" in capsys.readouterr().err
    assert [o.ename for o in read(out).cells[2].outputs if "ename" in o] == ["AssertionError"]


def test_nothing_is_recorded_in_the_ledger(chapter, tmp_path, monkeypatch):
    monkeypatch.setenv("ADNLIB_RECORD_CLAIMS", str(tmp_path / "claims"))
    nb = read(chapter)
    id = claims.read()["id"].iloc[0]
    nb.cells[2].source = f"from adnlib import claims\nclaims.check({id!r}, 1e30)"
    nbformat.write(nb, chapter)
    assert main(str(chapter), "--out", str(tmp_path / "out.ipynb")) == 1
    assert not (tmp_path / "claims").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["FEDER=1"], "no parameter FEDER; the chapter has FEEDER = 'ä33', DAY = None, MORE = "),
        (["SIZE=1"], "no parameter SIZE"),
        (["FEEDER=b"], """a text needs its quotes: FEEDER='"b"'"""),
        (["FEEDER"], "NAME=VALUE"),
        (["--out"], "--out needs"),
    ],
)
def test_bad_words_are_refused(chapter, words, says, capsys):
    assert main(str(chapter), *words) == 2
    assert says in capsys.readouterr().err


def test_the_chapter_is_not_overwritten_and_must_exist(chapter, capsys):
    assert main(str(chapter), "--out", str(chapter)) == 2
    assert "overwrite" in capsys.readouterr().err
    assert main(str(chapter.with_name("none.ipynb"))) == 2
    assert "no notebook" in capsys.readouterr().err


def test_a_chapter_without_parameters_says_so():
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import math")])
    with pytest.raises(ParameterError, match="the chapter has none"):
        with_parameters(nb, {"FEEDER": 1})


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_case_study_has_a_feeder_to_change(path):
    nb = with_parameters(read(path), {"FEEDER": "another"})
    assert any("FEEDER" in c.source and "'another'" in c.source for c in nb.cells)
