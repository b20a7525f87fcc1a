"""Report on a feeder of one's own: chapter 33 with other parameters, as a notebook and a page.

    python -m tools.report FEEDER=path [LOAD=load.csv PV=pv.csv DATE=2020-07-15 ...]
    make report FEEDER=path [...]

The parameters are those of the cell that is tagged `parameters`; any other name is refused. Cells
tagged `book` are left out. The results go to _build/report: <name>.ipynb, <name>.html, which needs
nothing from elsewhere, and <name>/ with the plan's set-points and voltages as tables.
"""

import ast
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat

from tools import BUILD, CELL_TIMEOUT_S, ROOT, steady
from tools.notebooks import read

CHAPTER = ROOT / "notebooks" / "33_your_feeder.ipynb"
FILES = ("FEEDER", "LOAD", "PV", "DEVICES", "OUT")
TEXTS = (*FILES, "DATE")
LOADED = re.compile(  # what the template would fetch or configure: MathJax, RequireJS, mermaid
    r"<script[^>]*\bsrc=\"[^\"]*\"[^>]*>\s*</script>|<link[^>]*https?://[^>]*>"
    r"|<script type=\"(?:module|text/x-mathjax-config)\">.*?</script>",
    re.S,
)


class ReportError(ValueError):
    """A parameter that the chapter does not have, or a value that it cannot take."""


def known(path=CHAPTER):
    """{name: (default as written, what it is)} of the chapter's parameters."""
    import papermill

    found = papermill.inspect_notebook(str(path))
    return {name: (entry["default"], entry["help"]) for name, entry in found.items()}


def values(words, parameters):
    """{name: value} of NAME=VALUE words; ReportError names what is unknown, and what is known."""
    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name not in parameters:
            listed = "".join(f"\n  {k} = {v}  {said}" for k, (v, said) in parameters.items())
            raise ReportError(f"no parameter {word!r}; the chapter has{listed}")
        found[name] = _value(name, text)
    if not found.get("FEEDER"):
        raise ReportError("FEEDER is missing: make report FEEDER=path")
    return found


def _value(name, text):
    if name in TEXTS:
        path = Path(text).expanduser()
        there = name == "OUT" or path.exists()
        return str(path.resolve()) if name in FILES and text and there else text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        if name == "ROOT":
            return text
        raise ReportError(f"{name} is {text!r}; write a number, True or False") from None


def for_report(path=CHAPTER):
    """The chapter's notebook without the cells that are for the book, and without outputs."""
    nb = read(path)
    nb.cells = [cell for cell in nb.cells if "book" not in cell.metadata.get("tags", [])]
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nb


def captioned(nb):
    """The notebook with the caption of each figure as text below it, where nbconvert shows it: its
    first sentence, which says what is drawn; the rest reads the figure of the book's network."""
    cells = []
    for cell in nb.cells:
        cells.append(cell)
        figure = cell.metadata.get("mystnb", {}).get("figure")
        if figure:
            said = figure["caption"].split(". ")[0].rstrip(".")
            cells.append(nbformat.v4.new_markdown_cell(f"*Figure: {said}.*"))
    return nbformat.v4.new_notebook(cells=cells, metadata=nb.metadata)


def page(nb, title):
    """The notebook as one HTML page without code, and without anything from elsewhere."""
    from nbconvert import HTMLExporter

    nb = captioned(nb)
    nb.metadata["title"] = title
    empty = dict.fromkeys(("mathjax_url", "require_js_url", "jquery_url", "mermaid_js_url"), "")
    exporter = HTMLExporter(exclude_input=True, exclude_output_prompt=True, **empty)
    html, _ = exporter.from_notebook_node(nb)
    return LOADED.sub("", html)


def report(given, folder=BUILD / "report"):
    """(notebook, page, error text or None) of a run with {name: value}."""
    import papermill

    steady()
    os.environ.pop("ADNLIB_RECORD_CLAIMS", None)
    name = (
        re.sub(r"\W+", "_", Path(given["FEEDER"].removeprefix("pandapower ")).stem).strip("_")
        or "feeder"
    )
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{name}.ipynb"
    given = {"OUT": str(folder / name)} | given
    with tempfile.TemporaryDirectory() as draft:
        source = Path(draft) / "chapter.ipynb"
        nbformat.write(for_report(), source)
        try:
            papermill.execute_notebook(
                str(source), str(out), given, kernel_name="python3", progress_bar=False,
                cwd=str(ROOT / "notebooks"), execution_timeout=CELL_TIMEOUT_S,
            )  # fmt: skip
        except papermill.PapermillExecutionError as error:
            return out, None, f"{error.ename}: {in_words_of_a_report(error.evalue)}"
    made = out.with_suffix(".html")
    made.write_text(page(read(out), f"Report: {name}"), encoding="utf8")
    return out, made, None


def in_words_of_a_report(message):
    """A message of the library with its arguments root and balanced as parameters of a report."""
    return re.sub(r"\b(root|balanced)=", lambda found: found[0].upper(), message)


def main(*words):
    try:
        given = values([w for w in words if not w.endswith("=")], known())
    except ReportError as error:
        print(error, file=sys.stderr)
        return 2
    notebook, html, failed = report(given)
    if failed:
        print(f"{failed}\n(the notebook up to there: {notebook})", file=sys.stderr)
        return 1
    print(f"report: {html}\n        {notebook}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
