"""Execute a chapter with other parameters, as a reader would; the chapter itself stays as it is.

    python -m tools.rerun notebooks/22_cecd.ipynb FEEDER='"ieee123"' [NAME=VALUE ...] [--out FILE]

The parameters are the names in capitals that the first code cell with any of them sets to literals.
The notebook with its outputs goes to FILE, or to _build/rerun; after an error too, with the
traceback in the cell that failed.
"""

import ast
import os
import re
import sys
import time
from pathlib import Path

from nbclient.exceptions import CellExecutionError

from tools import BUILD, steady
from tools.notebooks import execute, read, text_of


class ParameterError(ValueError):
    """A parameter that the chapter does not have, or a value that is no literal."""


def literal(text):
    """Value that `text` writes; ValueError unless it is a literal."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        raise ValueError(text) from None


def is_literal(node):
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return True


def pairs(statement):
    """(name, node of its value) of an assignment; a, b = 1, 2 gives two of them."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return
    target, value = statement.targets[0], statement.value
    both = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
    for name, node in zip(target.elts, value.elts) if both else ((target, value),):
        if isinstance(name, ast.Name):
            yield name.id, node


def parameters(source):
    """{name: node of its value} of the names in capitals that a cell sets to literals."""
    found = {}
    for statement in ast.parse(source).body:
        for name, node in pairs(statement):
            if name.isupper() and is_literal(node):
                found.setdefault(name, node)
    return found


def replaced(source, values):
    """The cell with the first literal of each name in `values` ({name: value}) exchanged."""
    lines = [line.encode() for line in source.splitlines(keepends=True)]  # ast counts bytes
    nodes = parameters(source)
    for name in sorted(values, key=lambda k: (nodes[k].lineno, nodes[k].col_offset), reverse=True):
        at, end = nodes[name], nodes[name].end_lineno
        head = lines[at.lineno - 1][: at.col_offset]
        tail = lines[end - 1][at.end_col_offset :]
        lines[at.lineno - 1 : end] = [head + repr(values[name]).encode() + tail]
    return b"".join(lines).decode()


def with_parameters(nb, values):
    """Exchange parameters in the notebook; ParameterError names an unknown one and the known."""
    cells = (c for c in nb.cells if c.cell_type == "code" and parameters(c.source))
    cell = next(cells, None)
    known = parameters(cell.source) if cell else {}
    for name in values:
        if name not in known:
            has = ", ".join(f"{k} = {ast.unparse(v)}" for k, v in known.items())
            raise ParameterError(f"no parameter {name}; the chapter has {has or 'none'}")
    if cell:
        cell.source = replaced(cell.source, values)
    return nb


def traceback(nb):
    """Which cell failed and how, without the colours of a terminal."""
    for place, cell in enumerate(nb.cells):
        for out in cell.get("outputs", ()):
            if out.output_type == "error":
                lines = "\n".join(out.traceback)
                return f"cell {place} of the notebook:\n" + re.sub(r"\x1b\[[\d;]*m", "", lines)
    return "no cell shows an error"


def rerun(path, values, out):
    """Execute the notebook `path` with `values`, write it to `out`; the error's text, or None."""
    steady()
    os.environ.pop("ADNLIB_RECORD_CLAIMS", None)  # numbers of other parameters are no claims
    nb = with_parameters(read(path), values)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    failed = None
    try:
        execute(nb, path.parent)
    except CellExecutionError:
        failed = traceback(nb)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text_of(nb), encoding="utf8", newline="\n")
    return failed


def split(words):
    """(path, {name: value}, out or None) of the command line."""
    words, out = list(words), None
    if "--out" in words:
        place = words.index("--out")
        if place + 1 == len(words):
            raise ParameterError("--out needs the name of a file")
        out = Path(words.pop(place + 1)).resolve()
        words.pop(place)
    path, values = Path(words[0]).resolve(), {}
    for word in words[1:]:
        name, equals, text = word.partition("=")
        try:
            values[name] = literal(text)
        except ValueError:
            hint = f"""a text needs its quotes: {name}='"{text}"'""" if equals else "NAME=VALUE"
            raise ParameterError(f"{word!r}: the value must be a literal; {hint}") from None
    if not path.is_file():
        raise ParameterError(f"there is no notebook {words[0]}")
    if out == path:
        raise ParameterError("--out would overwrite the chapter itself; name another file")
    return path, values, out


def main(*words):
    begin = time.monotonic()
    try:
        path, values, out = split(words)
        out = out or BUILD / "rerun" / path.name
        failed = rerun(path, values, out)
    except ParameterError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{path.name} with {values}: {'failed' if failed else 'executed'} in "
          f"{time.monotonic() - begin:.0f} s, stored in {out}")  # fmt: skip
    if failed:
        print(failed, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
