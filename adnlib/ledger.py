"""The ledger as a page: where each claim was computed, and a table to search, filter and sort.

`places` reads the chapters: a claim's number was made in the section of the cell that last
assigned what `claims.check` is given. `html` writes the table that `book/_static/ledger.js` makes
searchable; without scripts it is a plain table, and whole. Chapter 31.
"""

import ast
import html as markup
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from . import claims
from .feeder import DATA

CHAPTERS = DATA.parent / "notebooks"
CLOSING = "Claims"  # the section that only collects what others computed
INPUTS = ("Set-up", "The data", "")
MARKS = {
    claims.HOLDS: "yes",
    claims.DIRECTION: "partly",
    claims.FAILS: "no",
    claims.UNTESTED: "unknown",
}


def places(table=None, folder=None):
    """Where the numbers of the claims were made: a DataFrame with index id and the columns chapter
    (stem of the file), title (of the chapter), section (heading), anchor (of that heading in the
    built page).

    table    rows of the ledger as `claims.read` gives them; None: all
    folder   of the chapters; None: the book's own
    ClaimError names the first claim whose chapter is not there or does not check it.
    """
    table = claims.read() if table is None else table
    found = {}
    for chapter, rows in table.groupby("chapter", sort=False):
        path = _file(chapter, folder)
        if not path.is_file():
            raise claims.ClaimError(f"claim {rows.index[0]}: there is no chapter {path.name}")
        title, cells = _cells(path)
        checks = _checks(cells)
        for id in rows.index:
            if id not in checks:
                raise claims.ClaimError(f"claim {id}: {path.name} never checks it")
            k, expression = checks[id]
            section = next(_made(cells, k, expression), cells[k].heading)
            found[id] = (chapter, title, section, anchor(section))
    columns = ["chapter", "title", "section", "anchor"]
    return pd.DataFrame.from_dict(found, orient="index", columns=columns).reindex(table.index)


def checklist(chapter, folder=None):
    """The rows (item, section, anchors) of a case study's CHECKLIST, or None without one.

    chapter: stem of its file, such as "21_dcp". The list is literal, and read without running it.
    """
    for cell in _cells(_file(chapter, folder))[1]:
        for node in cell.tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CHECKLIST":
                return ast.literal_eval(node.value)
    return None


def _file(chapter, folder):
    return Path(folder or CHAPTERS) / f"{chapter}.ipynb"


def anchor(heading):
    """Name under which a heading can be reached in the built page.

    >>> anchor("Cheaper than the optimum?"), anchor("3 areas, $n$ buses")
    ('cheaper-than-the-optimum', 'areas-n-buses')
    """
    plain = re.sub(r"[^a-z0-9]+", "-", heading.lower())
    return re.sub(r"^[-0-9]+|-+$", "", plain)


@dataclass(frozen=True)
class _Cell:
    """A code cell: the heading it stands under, its syntax tree, {name: what is assigned last},
    and {constant: expression} of the pairs that its generators yield."""

    heading: str
    tree: ast.Module
    assigned: dict
    pairs: dict


def _cells(path):
    """(title, [_Cell]) of a chapter, magic lines left out."""
    title, heading, cells = "", "", []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            for mark, words in re.findall(r"^(#{1,2}) +(.+)$", text, re.M):
                title, heading = (words, heading) if mark == "#" else (title, words)
        elif cell["cell_type"] == "code":
            lines = [x for x in text.splitlines() if not x.startswith(("%", "!"))]
            tree = ast.parse("\n".join(lines))
            cells.append(_Cell(heading.strip(), tree, dict(_assigned(tree)), dict(_pairs(tree))))
    return title.strip(), cells


def _checks(cells):
    """{id: (place of the cell, expression)} of the calls of claims.check."""
    found = {}
    for k, cell in enumerate(cells):
        for node in ast.walk(cell.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "claims.check":
                id, expression = node.args
                if isinstance(id, ast.Constant):
                    found.setdefault(id.value, (k, expression))
    return found


def _pairs(tree):
    """(constant, expression) of every `yield constant, expression`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
            key, value = node.value.elts
            if isinstance(key, ast.Constant):
                yield key.value, value


def _made(cells, k, expression, depth=6):
    """Headings under which the names of an expression were last assigned, the most telling first:
    names from the left, those of inputs and of the closing section itself behind."""
    found = [h for n, key in _names(expression) for h in _of_name(cells, k, n, key, depth)]
    yield from sorted(found, key=lambda heading: heading in INPUTS)


def _names(expression):
    """(name, constant key it is subscripted with or None) of what is read, from the left, what is
    called behind what is given to it."""
    own = {t.id for c in ast.walk(expression) if isinstance(c, ast.comprehension)
           for t in ast.walk(c.target) if isinstance(t, ast.Name)}  # fmt: skip
    called = {c.func for c in ast.walk(expression) if isinstance(c, ast.Call)}
    keys, names = {}, {}
    for node in ast.walk(expression):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            keys[ast.unparse(node.value)] = node.slice.value
        if isinstance(node, ast.Name) and node.id not in own:
            at = (node in called, node.lineno, node.col_offset)
            names[node.id] = min(at, names.get(node.id, at))
    return [(name, keys.get(name)) for name in sorted(names, key=names.get)]


def _of_name(cells, k, name, key, depth):
    """The heading of the cell that last assigned a name; through the closing section's own."""
    for at in range(k, -1, -1):
        cell = cells[at]
        if name not in cell.assigned:
            continue
        if cell.heading != CLOSING:
            yield cell.heading
        elif depth:
            yield from _made(cells, at, _keyed(cell.assigned[name], key, cells), depth - 1)
        return


def _keyed(value, key, cells):
    """The part of a collecting expression that belongs to a key, where it can be told."""
    if isinstance(value, ast.Dict):
        parts = {
            q.value: v for q, v in zip(value.keys, value.values) if isinstance(q, ast.Constant)
        }
    else:
        parts = {q: v for cell in cells for q, v in cell.pairs.items()}
    return parts.get(key, value)


def _assigned(tree):
    """(name, expression) of what a cell assigns or defines, loops included; no imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets, value = [node.target], node.value
        elif isinstance(node, ast.For):
            targets, value = [node.target], node.iter
        elif isinstance(node, ast.FunctionDef):
            yield node.name, node
            continue
        else:
            continue
        for target in targets:
            for part in ast.walk(target):
                if isinstance(part, ast.Name):
                    yield part.id, value


# ---------------------------------------------------------------------------------- the page


def html(table, where):
    """The ledger as an HTML table, of rows of `claims.read` and the `places` of the same rows."""
    head = ("claim", "paper says", "ours", "verdict", "why")
    records = table[list(claims.COLUMNS)].to_dict("records")
    rows = [_row(r, where.loc[r["id"]]) for r in records]
    cells = "".join(f'<th scope="col">{name}</th>' for name in head)
    return (
        f'<table class="ledger" id="ledger"><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _row(row, place):
    text = {k: markup.escape(v) for k, v in row.items()}
    link = f"{place['chapter']}.html#{place['anchor']}"
    unit = f" {text['unit']}" if text["unit"] else ""
    ours = (claims.shown(text["ours"]) or "none") + (unit if text["ours"] else "")
    reported = text["reported"] + (unit if re.search(r"\d", text["reported"]) else "")
    return (
        f'<tr data-paper="{text["paper"]}" data-verdict="{MARKS[row["verdict"]]}">'
        f'<td><a href="{link}">{text["id"]}</a> {text["claim"]}'
        f'<br><span class="where">{text["where"]}</span></td>'
        f"<td>{reported}</td><td>{ours}</td>"
        f'<td class="{MARKS[row["verdict"]]}">{text["verdict"]}</td>'
        f"<td>{text['reason']}</td></tr>"
    )
