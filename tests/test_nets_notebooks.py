"""The notebook nets catch what they are for: a small chapter is recorded, then doctored."""

import copy
import json
import os
import shutil
import subprocess
import sys

import pytest

from adnlib.receipt import HASH_DIGITS, digest, read_receipt
from tools import ROOT
from tools.notebooks import canonical, check, read, run, text_of

CELLS = [
    ("from adnlib.receipt import receipt\n\nimport matplotlib.pyplot as plt\n\nSEED = 1", {}),
    ("loss = 0.2026771\nprint(f'loss {loss:.7f} MW')\nprint('at 33 buses')\nassert loss > 0", {}),
    (
        "plt.plot([1, 2])\nplt.show()",
        {
            "mystnb": {
                "figure": {"caption": "A line.", "name": "fig-line"},
                "image": {"alt": "A straight line from one to two."},
            }
        },
    ),
    ("print(receipt(seed=SEED))", {"tags": ["nbval-ignore-output", "receipt"]}),
]
FIRST, NUMBER, FIGURE, RECEIPT = range(4)


def write(path, nb):
    path.write_text(text_of(nb), encoding="utf8")


def draft(path):
    cells = [
        {"cell_type": "code", "source": source, "metadata": metadata, "outputs": []}
        for source, metadata in CELLS
    ]
    nb = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    for cell in cells:
        cell["execution_count"] = None
    path.write_text(json.dumps(nb), encoding="utf8")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with one recorded chapter, whose receipt names one data file."""
    root = tmp_path_factory.mktemp("project")
    for name in ("adnlib", "data", "notebooks"):
        (root / name).mkdir()
    shutil.copy(ROOT / "conftest.py", root)
    shutil.copy(ROOT / "adnlib" / "version.py", root / "adnlib")
    (root / "data" / "toy.csv").write_text("bus,p_mw\n1,0.1\n")
    path = root / "notebooks" / "tiny.ipynb"
    draft(path)
    run(path)
    nb = read(path)
    line = f"data toy.csv {digest([root / 'data' / 'toy.csv'])[:HASH_DIGITS]}\n"
    nb.cells[RECEIPT].outputs[0].text += line
    write(path, nb)
    # its lock has what runs here: the nets hold with newer versions as well (make newest)
    versions, _, _ = read_receipt(nb.cells[RECEIPT].outputs[0].text)
    lock = "".join(f"{package}=={version}\n" for package, version in versions.items())
    (root / "requirements.lock").write_text(lock)
    return root


@pytest.fixture
def chapter(project, tmp_path):
    """(path, notebook): a copy to doctor, and a folder to put it in."""
    return tmp_path / "tiny.ipynb", read(project / "notebooks" / "tiny.ipynb")


def nbval(path):
    """Exit status and text of nbval on one notebook, with the project's comparison."""
    shutil.copy(ROOT / "conftest.py", path.parent)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*words, "--nbval", "--nbval-current-env", "--rootdir", path.parent, path.name],
        cwd=path.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout


def test_recorded_chapter_passes_both_nets(project):
    path = project / "notebooks" / "tiny.ipynb"
    assert check(path, project) == []
    status, said = nbval(path)
    assert status == 0, said


def test_nbval_catches_another_picture(chapter, tmp_path):
    """The stored picture of another cell run: a falling line where the code draws a rising one."""
    path, nb = chapter
    other = copy.deepcopy(nb)
    other.cells[FIGURE].source = "plt.plot([2, 1])\nplt.show()"
    (tmp_path / "other").mkdir()
    write(tmp_path / "other" / "tiny.ipynb", other)
    run(tmp_path / "other" / "tiny.ipynb")
    nb.cells[FIGURE].outputs = read(tmp_path / "other" / "tiny.ipynb").cells[FIGURE].outputs
    write(path, nb)
    status, said = nbval(path)
    assert status == 1 and "image/png" in said, said


def test_recording_twice_gives_the_same_bytes(project, tmp_path):
    texts = []
    for name in ("a.ipynb", "b.ipynb"):
        draft(tmp_path / name)
        run(tmp_path / name)
        run(tmp_path / name)
        texts.append((tmp_path / name).read_bytes())
    assert texts[0] == texts[1] and b"image/png" in texts[0]


@pytest.mark.parametrize(
    "old, new, status",
    [
        ("0.2026771", "0.2026772", 0),  # the last digit, another machine
        ("0.2026771", "0.2028771", 1),  # 0.1 %
        ("33 buses", "34 buses", 1),
        ("loss", "gain", 1),
    ],
)
def test_nbval_catches_a_changed_number(chapter, old, new, status):
    path, nb = chapter
    output = nb.cells[NUMBER].outputs[0]
    assert old in output.text
    output.text = output.text.replace(old, new)
    write(path, nb)
    found, said = nbval(path)
    assert found == status, said
    assert status == 0 or "Cell outputs differ" in said


def strip(nb):
    for cell in nb.cells:
        cell.outputs, cell.execution_count = [], None


def swap_counts(nb):
    nb.cells[0].execution_count, nb.cells[1].execution_count = 2, 1


def store_stderr(nb):
    nb.cells[NUMBER].outputs[0].name = "stderr"


def store_address(nb):
    nb.cells[NUMBER].outputs[0].text += "see https://example.org\n"


def store_path(nb):
    nb.cells[NUMBER].outputs[0].text += "read /home/me/bus.csv\n"


def store_object(nb):
    nb.cells[NUMBER].outputs[0].text += "<Feeder at 0x7f3c2a10>\n"


def drop_assert(nb):
    nb.cells[NUMBER].source = nb.cells[NUMBER].source.replace("assert loss > 0", "")


def print_no_number(nb):
    nb.cells[NUMBER].outputs[0].text = "done\n"


def drop_receipt(nb):
    nb.cells = nb.cells[:RECEIPT]


def drop_alt(nb):
    del nb.cells[FIGURE].metadata["mystnb"]["image"]


def drop_caption(nb):
    del nb.cells[FIGURE].metadata["mystnb"]["figure"]["caption"]


def ignore_output(nb):
    nb.cells[NUMBER].metadata["tags"] = ["nbval-ignore-output"]


def widen_too_far(nb):
    nb.cells[NUMBER].metadata["tags"] = ["nbval-rtol-5e-1"]


def measure_time(nb):
    nb.cells[NUMBER].source += "\nimport time; time.perf_counter()"


def older_package(nb):
    text = nb.cells[RECEIPT].outputs[0].text.splitlines()
    text = ["numpy 1.0.0" if line.startswith("numpy") else line for line in text]
    nb.cells[RECEIPT].outputs[0].text = "\n".join(text)


@pytest.mark.parametrize(
    "doctor, complaint",
    [
        (strip, "are not 1..4"),
        (swap_counts, "are not 1..4"),
        (store_stderr, "stderr"),
        (store_address, "a web address"),
        (store_path, "an absolute path"),
        (store_object, "a memory address"),
        (drop_assert, "no assert"),
        (print_no_number, "no printed number"),
        (drop_receipt, "must be the receipt"),
        (drop_alt, "alt text"),
        (drop_caption, "caption"),
        (ignore_output, "escapes comparison"),
        (widen_too_far, "tolerance wider"),
        (measure_time, "measures time"),
        (older_package, "numpy 1.0.0"),
    ],
)
def test_stored_output_net_catches(project, chapter, doctor, complaint):
    path, nb = chapter
    write(path, nb)
    assert check(path, project) == []
    doctor(nb)
    write(path, nb)
    assert any(complaint in line for line in check(path, project)), check(path, project)


def test_stale_data_in_a_receipt_is_caught(project, chapter, tmp_path):
    path, nb = chapter
    write(path, nb)
    other = tmp_path / "other"
    shutil.copytree(project, other)
    assert check(path, other) == []
    (other / "data" / "toy.csv").write_text("bus,p_mw\n1,0.2\n")
    assert any("toy.csv" in line and "make record" in line for line in check(path, other))
    (other / "data" / "toy.csv").unlink()
    assert any("missing now" in line for line in check(path, other))


def test_foreign_metadata_is_not_canonical(project, chapter):
    path, nb = chapter
    clean = copy.deepcopy(nb)
    nb.cells[NUMBER].metadata["collapsed"] = True
    nb.metadata["widgets"] = {}
    path.write_text(json.dumps(nb), encoding="utf8")
    assert any("canonical" in line for line in check(path, project))
    write(path, nb)
    assert canonical(read(path)) == canonical(clean)


def test_failing_notebook_is_not_overwritten(tmp_path):
    path = tmp_path / "bad.ipynb"
    draft(path)
    path.write_text(path.read_text().replace("assert loss > 0", "assert loss < 0"))
    before = path.read_bytes()
    with pytest.raises(Exception, match="AssertionError"):
        run(path)
    assert path.read_bytes() == before
