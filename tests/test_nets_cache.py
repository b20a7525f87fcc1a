"""A number of an older library, data file or version is never shown."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import ROOT, book

DERIVED = [".jupyter_cache", ".doctrees", "jupyter_execute"]


@pytest.fixture
def project(tmp_path):
    for name, text in {
        "adnlib/flow.py": "loss = 1\n",
        "data/feeder/bus.csv": "bus,p_mw\n1,0.111111\n",
        "requirements.lock": "numpy==2.0.0\n",
        "benchmarks/results/speed.csv": "method,median_s\nours,1.0\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def fill(build):
    for name in DERIVED:
        (build / name).mkdir(parents=True, exist_ok=True)
        (build / name / "old").touch()


def kept(build):
    return [name for name in DERIVED if (build / name / "old").exists()]


def test_unchanged_sources_keep_the_cache(project):
    build = project / "_build"
    fill(build)
    assert book.guard(project, build) and kept(build) == []
    fill(build)
    assert not book.guard(project, build) and kept(build) == DERIVED


@pytest.mark.parametrize(
    "name",
    [
        "adnlib/flow.py",
        "data/feeder/bus.csv",
        "requirements.lock",
        "data/feeder/new.csv",
        "benchmarks/results/speed.csv",
    ],
)
def test_one_changed_byte_throws_the_cache_away(project, name):
    build = project / "_build"
    book.guard(project, build)
    fill(build)
    with (project / name).open("a") as file:
        file.write("#")
    assert book.guard(project, build) and kept(build) == []


def test_another_installed_version_throws_the_cache_away(project, monkeypatch):
    build = project / "_build"
    book.guard(project, build)
    fill(build)
    monkeypatch.setattr(book, "distributions", lambda: [])
    assert book.guard(project, build) and kept(build) == []


NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    },
    "cells": [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Chapter"},
        {
            "cell_type": "code",
            "id": "b",
            "metadata": {},
            "source": "print(open('../data/feeder/bus.csv').read())",
            "outputs": [],
            "execution_count": None,
        },
    ],
}


def build_plainly(project):
    """`jupyter-book build .` as a reader without make types it; the text of the page."""
    tool = Path(sys.executable).with_name("jupyter-book")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [tool, "build", ".", "-W", "-n", "--keep-going"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return (project / "_build" / "html" / "notebooks" / "one.html").read_text(encoding="utf8")


def test_plain_build_shows_the_number_of_todays_data(project):
    for name in ("book", "notebooks"):
        (project / name).mkdir()
    shutil.copytree(ROOT / "book" / "_static", project / "book" / "_static")
    shutil.copy(ROOT / "_config.yml", project)
    (project / "book" / "references.bib").touch()
    (project / "_toc.yml").write_text("format: jb-book\nroot: notebooks/one\n")
    (project / "notebooks" / "one.ipynb").write_text(json.dumps(NOTEBOOK))
    assert "0.111111" in build_plainly(project)
    (project / "data" / "feeder" / "bus.csv").write_text("bus,p_mw\n1,0.222222\n")
    page = build_plainly(project)
    assert "0.222222" in page and "0.111111" not in page


def test_slowest_chapters_are_told(tmp_path):
    cache, paths = book.open_cache(tmp_path), []
    for name, spent in (("quick", 3.0), ("slow", 20.4), ("never", None)):
        content = json.loads(json.dumps(NOTEBOOK))
        content["cells"][1]["source"] = f"print({name!r})"
        paths.append(tmp_path / f"{name}.ipynb")
        paths[-1].write_text(json.dumps(content))
        cache.add_nb_to_project(str(paths[-1]))
        if spent:
            data = {"execution_seconds": spent}
            cache.cache_notebook_file(str(paths[-1]), data=data, check_validity=False)
    told = book.slowest(cache, [str(p) for p in paths])
    assert told == "slowest chapters: slow 20 s, quick 3 s"
    assert book.slowest(cache, [str(p) for p in paths], 1) == "slowest chapters: slow 20 s"
