"""What README, requirements and the ledger promise about the project as a whole."""

import contextlib
import importlib
import io
import re
import tomllib

import pytest
from packaging.requirements import Requirement

from adnlib import claims
from tools import ROOT, chapters, readme
from tools.notebooks import locked_versions, output_texts, read

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
CHECKED = re.compile(r'claims\.check\(\s*"([^"]+)"')


def requirements():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in map(str.strip, lines) if line and not line.startswith("#")]


def checked_claims():
    """(claim, chapter) for every call of claims.check in a chapter."""
    for path in chapters():
        for cell in read(path).cells:
            if cell.cell_type == "code":
                yield from ((id, path.stem) for id in CHECKED.findall(cell.source))


def test_every_claim_is_judged_by_its_chapter_and_no_other():
    ledger = claims.read()
    rows = {(row["id"], row["chapter"].split("#")[0]) for row in ledger.to_dict("records")}
    assert set(checked_claims()) == rows


def test_every_claim_has_a_verdict():
    assert set(claims.read()["verdict"]) <= set(claims.VERDICTS)


def test_the_picture_of_readme_is_the_one_the_chapter_computed():
    assert readme.PICTURE.read_bytes() == readme.figure(), "make record copies it"


def test_the_example_of_readme_gives_what_its_comment_says():
    code = re.search(r"```python\n(.+?)```", TEXT, re.S).group(1)
    said = re.search(r"# ([\d.]+) kW, ([\d.]+) p\.u\.", code).groups()
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})
    for number, text in zip(out.getvalue().split(), said):
        assert f"{float(number):.{len(text.partition('.')[2])}f}" == text


def test_readme_lists_every_chapter():
    assert set(re.findall(r"\(notebooks/(\w+)\.ipynb\)", TEXT)) == {p.stem for p in chapters()}


def test_requirements_are_enough_and_end_with_the_package():
    lines = requirements()
    assert lines[-1] == "-e ."
    names = {Requirement(line).name.lower() for line in lines[:-1]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {Requirement(d).name.lower() for d in project["dependencies"]} <= names


def test_the_lock_keeps_to_the_ranges():
    locked = locked_versions((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    for line in requirements()[:-1]:
        wanted = Requirement(line)
        versions = locked.get(wanted.name.lower(), set())
        assert versions, f"{wanted.name} is not in requirements.lock: make lock"
        for version in versions:
            assert wanted.specifier.contains(version), f"{line}, locked {version}: make lock"


def test_the_lock_has_hashes_and_names_no_host():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins, hashes = re.findall(r"^[\w.-]+==", lock, re.M), lock.count("--hash=sha256:")
    assert hashes >= len(pins) > 100 and "://" not in lock


def test_only_the_second_opinion_on_copulas_needs_copulas():
    for path in (ROOT / "adnlib").rglob("*.py"):
        assert not re.search(r"^\s*(import|from) copulas", path.read_text("utf-8"), re.M), path


@pytest.mark.parametrize("name", ["powerflow", "linflow", "profiles", "claims", "plots", "referee"])
def test_every_public_function_says_what_it_does(name):
    module = importlib.import_module(f"adnlib.{name}")
    for key, thing in vars(module).items():
        if callable(thing) and getattr(thing, "__module__", "") == module.__name__:
            assert key.startswith("_") or thing.__doc__, f"adnlib.{name}.{key} has no docstring"


def chapter_text(stem):
    """Everything a chapter says and prints."""
    nb = read(ROOT / "notebooks" / f"{stem}.ipynb")
    return "\n".join([cell.source for cell in nb.cells] + [t for c in nb.cells for t in shown(c)])


def shown(cell):
    return output_texts(cell) if cell.cell_type == "code" else []


def test_every_number_in_the_table_of_readme_stands_in_its_chapter():
    rows = re.findall(r"^\| \[.+?\]\(notebooks/(\w+)\.ipynb\) \|[^|]*\|([^|]*)\|", TEXT, re.M)
    assert len(rows) == len(chapters())
    for stem, result in rows:
        text = chapter_text(stem).replace("10^{-8}", "1e-8")
        for number in re.findall(r"(?<![\w.])\d[\d.]*(?:e-?\d+)?(?![\w-])", result):
            assert number.rstrip(".") in text, f"README, {stem}: {number}"
