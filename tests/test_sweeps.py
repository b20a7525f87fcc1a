"""Stored heavy results belong to today's sources, and one point of each comes out again."""

import os
import subprocess
import sys

import pandas as pd
import pytest

from tools import sweeps

SCRIPT = """
import pandas as pd

DEPENDS = ["adnlib/thing.py", "data/toy.csv"]
RTOL = 1e-6


def value(n):
    return 1 / n


def run():
    return pd.DataFrame({"n": [1, 2, 3], "value": [value(n) for n in (1, 2, 3)]})


def one_point():
    return {"n": 2}, {"value": value(2)}
"""


@pytest.mark.parametrize("script", sweeps.scripts(), ids=lambda script: script.stem)
def test_result_is_not_stale(script):
    assert sweeps.is_stale(script) is None


@pytest.mark.parametrize("script", sweeps.scripts(), ids=lambda script: script.stem)
def test_one_point_again(script):
    assert sweeps.check_point(script) == []


@pytest.fixture
def sweep(tmp_path):
    """(script, root) of a computed sweep in a project of its own."""
    script = tmp_path / "data" / "results" / "toy.py"
    script.parent.mkdir(parents=True)
    (tmp_path / "adnlib").mkdir()
    script.write_text(SCRIPT)
    (tmp_path / "adnlib" / "thing.py").write_text("x = 1\n")
    (tmp_path / "data" / "toy.csv").write_text("a\n1\n")
    (tmp_path / "requirements.lock").write_text("numpy==2.0.0\n")
    assert "no result yet" in sweeps.is_stale(script, tmp_path)
    sweeps.compute(script, tmp_path)
    return script, tmp_path


def test_fresh_result_passes(sweep):
    script, root = sweep
    assert sweeps.is_stale(script, root) is None and sweeps.check_point(script) == []


@pytest.mark.parametrize(
    "name", ["data/results/toy.py", "adnlib/thing.py", "data/toy.csv", "requirements.lock"]
)
def test_stale_result_is_caught(sweep, name):
    script, root = sweep
    with (root / name).open("a") as file:
        file.write("\n# changed\n")
    assert "make sweeps" in sweeps.is_stale(script, root)


def test_result_edited_by_hand_is_caught(sweep):
    script, root = sweep
    table = pd.read_csv(script.with_suffix(".csv"))
    table.loc[1, "value"] *= 1.001
    table.to_csv(script.with_suffix(".csv"), index=False)
    assert "by hand" in sweeps.is_stale(script, root)
    assert "stored 0.5005, now 0.5" in sweeps.check_point(script)[0]


def test_undeclared_module_is_refused(sweep, monkeypatch):
    script, root = sweep
    module = type(sys)("adnlib.hidden")
    module.__file__ = str(root / "adnlib" / "hidden.py")
    monkeypatch.setitem(sys.modules, "adnlib.hidden", module)
    with pytest.raises(ValueError, match=r"add to DEPENDS \['adnlib/hidden.py'\]"):
        sweeps.compute(script, root)


def test_point_that_names_no_row_is_refused(sweep):
    script, _ = sweep
    script.write_text(SCRIPT.replace('{"n": 2}', '{"n": 7}'))
    with pytest.raises(ValueError, match="0 rows"):
        sweeps.check_point(script)


def test_edit_of_the_same_size_in_the_same_second_is_seen(sweep):
    script, _ = sweep
    before = script.stat()
    assert sweeps.load(script).one_point()[0] == {"n": 2}
    script.write_text(SCRIPT.replace('{"n": 2}', '{"n": 7}'))
    os.utime(script, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert sweeps.load(script).one_point()[0] == {"n": 7}


def test_alone_runs_a_function_of_a_sweep_in_a_process_of_its_own(tmp_path):
    script = tmp_path / "tiny.py"
    script.write_text("import os\n\n\ndef twice(x):\n    return {'x': 2 * x, 'id': os.getpid()}\n")
    found = sweeps.alone(script, "twice", 3)
    assert found["x"] == 6 and found["id"] != os.getpid()
    with pytest.raises(subprocess.CalledProcessError):
        sweeps.alone(script, "thrice", 3)
