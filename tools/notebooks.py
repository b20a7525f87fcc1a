"""Execute notebooks in place, put them into canonical form, check what they store.

    python -m tools.notebooks run|fmt|check [notebook ...]

`run` executes from top to bottom in a fresh kernel and stores the outputs, `fmt` only rewrites the
file, `check` lists what is wrong with the stored outputs. The canonical form holds nothing that
changes from run to run, so that a second `run` gives a byte-identical file.
"""

import ast
import hashlib
import json
import os
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from adnlib.receipt import DATA, HASH_DIGITS, digest, read_receipt
from tools import CELL_TIMEOUT_S, ROOT, chapters, steady
from tools.compare import cell_rtol

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}
KEPT = ("tags", "mystnb")
WIDEST_RTOL = 1e-2
LEAKS = {
    "a web address": r"(?:https?|ftp)://",
    "an absolute path": r"(?<![\w.])/(?:home|root|tmp|usr|opt|Users|private|mnt)/|\b[A-Z]:\\\w",
    "the project's folder": re.escape(str(ROOT)),
    "a memory address": r"\bat 0x[0-9a-f]{6,}",
}
CLOCKS = r"perf_counter|process_time|monotonic\(|time\.time\(|%%?time(?:it)?\b|datetime\.now"
SKIPS = ("nbval-skip", "nbval-ignore-output", "pytest-validate-ignore-output", "raises-exception")


# --- canonical form -----------------------------------------------------------------------------


def read(path):
    """Notebook as stored; cells without an id get one that depends on place and content."""
    nb = json.loads(Path(path).read_text(encoding="utf8"))
    if nb.get("nbformat") != 4:
        raise ValueError(f"{path}: notebook format {nb.get('nbformat')}, save it as format 4")
    nb["nbformat_minor"], seen = 5, set()
    for place, cell in enumerate(nb["cells"]):
        if not cell.get("id") or cell["id"] in seen:
            text = f"{place}\0{''.join(cell['source'])}"
            cell["id"] = hashlib.sha256(text.encode()).hexdigest()[:8]
        seen.add(cell["id"])
    return nbformat.reads(json.dumps(nb), as_version=4)


def merge_streams(outputs):
    merged = []
    for out in outputs:
        last = merged[-1] if merged else None
        if last and out.output_type == last.output_type == "stream" and out.name == last.name:
            last.text += out.text
        else:
            merged.append(out)
    return merged


def canonical(nb):
    """The notebook without anything that differs between two runs on the same machine."""
    nb.metadata = nbformat.from_dict(METADATA)
    for cell in nb.cells:
        kept = {key: cell.metadata[key] for key in KEPT if cell.metadata.get(key)}
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            cell.outputs = merge_streams(cell.outputs)
    return nb


def text_of(nb):
    return nbformat.writes(canonical(nb), version=4).rstrip("\n") + "\n"


def number(nb):
    """Execution counts 1..n over the code cells, also inside their results."""
    for count, cell in enumerate((c for c in nb.cells if c.cell_type == "code"), start=1):
        cell.execution_count = count
        for out in cell.outputs:
            if out.output_type == "execute_result":
                out.execution_count = count


def fmt(path):
    text = text_of(read(path))
    if text != path.read_text(encoding="utf8"):
        path.write_text(text, encoding="utf8", newline="\n")
        print(f"{path.name}: rewritten in canonical form")


def execute(nb, folder):
    """Run all cells of a notebook in a fresh kernel in `folder`, and number them."""
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(
        nb, timeout=CELL_TIMEOUT_S, kernel_name="python3", resources=where, record_timing=False
    ).execute()
    number(nb)


def run(path):
    """Execute in place; on an error the file stays as it was and the error is raised."""
    steady()
    nb = read(path)
    execute(nb, path.parent)
    path.write_text(text_of(nb), encoding="utf8", newline="\n")
    print(f"{path.name}: executed", flush=True)


# --- what the stored outputs must be ------------------------------------------------------------


def tags(cell):
    return cell.metadata.get("tags", [])


def output_texts(cell):
    """Every text that the cell's outputs show, tracebacks and errors included."""
    for out in cell.outputs:
        yield out.get("text", "")
        yield from (v for v in out.get("data", {}).values() if isinstance(v, str) and len(v) < 1e6)


def is_receipt(cell):
    return "receipt" in tags(cell)


def check_run(code):
    """One clean run in order: counts 1..n, no stderr, no error."""
    counts = [cell.execution_count for cell in code]
    if counts != list(range(1, len(code) + 1)):
        yield f"execution counts {counts} are not 1..{len(code)}: execute it (make record)"
    for cell in code:
        kinds = [out.get("name", out.output_type) for out in cell.outputs]
        if "stderr" in kinds or "error" in kinds:
            yield f"cell {cell.execution_count}: stderr or an error is stored"


def check_texts(code):
    """Nothing of the machine or the clock in the outputs."""
    for cell in code:
        for text in output_texts(cell):
            for name, pattern in LEAKS.items():
                if found := re.search(pattern, text):
                    yield f"cell {cell.execution_count}: {name} in the output ({found.group()})"
        if found := re.search(CLOCKS, cell.source):
            yield (
                f"cell {cell.execution_count}: measures time ({found.group()}): "
                "times come from committed benchmark results"
            )


def check_figures(code):
    """A picture has a caption and a description, unless it draws nothing but the receipt."""
    for cell in code:
        if any("image/png" in out.get("data", {}) for out in cell.outputs):
            mystnb = cell.metadata.get("mystnb", {})
            if not mystnb.get("figure", {}).get("caption"):
                yield f"cell {cell.execution_count}: figure without mystnb figure caption"
            if len(mystnb.get("image", {}).get("alt", "")) < 20:
                yield f"cell {cell.execution_count}: figure without mystnb image alt text"


def check_compared(code):
    """Something is asserted, numbers are compared, and nothing but the receipt escapes."""
    lines = "\n".join(cell.source for cell in code).splitlines()
    source = "\n".join(line for line in lines if not line.startswith(("%", "!")))
    if not any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(source))):
        yield "no assert: the chapter checks nothing"
    shown = "\n".join(t for c in code if not is_receipt(c) for t in output_texts(c))
    if not re.search(r"\d\.\d", shown):
        yield "no printed number for nbval to compare"
    for cell in code:
        escapes = [t for t in tags(cell) if t in SKIPS]
        if (escapes and not is_receipt(cell)) or "NBVAL_" in cell.source:
            yield f"cell {cell.execution_count}: output escapes comparison ({escapes})"
        if cell_rtol(tags(cell)) > WIDEST_RTOL:
            yield f"cell {cell.execution_count}: tolerance wider than {WIDEST_RTOL}"


def locked_versions(lock):
    """{package: set of versions} of a lock file; platforms and Pythons may differ."""
    found = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock, re.M):
        found.setdefault(name.lower(), set()).add(version)
    return found


def check_receipt(code, root=ROOT):
    """One receipt, in the last code cell, from this data and these locked versions."""
    if [is_receipt(cell) for cell in code].count(True) != 1 or not is_receipt(code[-1]):
        yield "the last code cell, and no other, must be the receipt (tag receipt)"
        return
    if not {"nbval-ignore-output", "receipt"} <= set(tags(code[-1])):
        yield "the receipt needs the tags receipt and nbval-ignore-output"
    versions, data, seed = read_receipt("".join(output_texts(code[-1])))
    if not versions or seed is None:
        yield "the receipt prints no versions or no seed: print(receipt(seed=..., data=[...]))"
    locked = locked_versions((root / "requirements.lock").read_text(encoding="utf8"))
    locked["adnlib"] = {own_version(root)}
    for package, version in versions.items():
        if package != "python" and version not in locked.get(package, ()):
            yield f"receipt: {package} {version}, locked {sorted(locked.get(package, ()))}"
    for name, stored in data.items():
        path = root / DATA.name / name
        now = digest([path])[:HASH_DIGITS] if path.exists() else "missing"
        if now != stored:
            yield f"receipt: data {name} is {now} now, {stored} in the notebook: make record"


def own_version(root):
    text = (root / "adnlib" / "version.py").read_text(encoding="utf8")
    return re.search(r'__version__ = "(.+?)"', text).group(1)


def check(path, root=ROOT):
    """List of what is wrong with a stored notebook; empty when all is well."""
    nb = read(path)
    problems = []
    if text_of(read(path)) != Path(path).read_text(encoding="utf8"):
        problems.append("not in canonical form (python -m tools.notebooks fmt)")
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    if not code:
        return [*problems, "no code cell"]
    for rule in (check_run, check_texts, check_figures, check_compared):
        problems += rule(code)
    return problems + list(check_receipt(code, root))


def main(command, *names):
    paths = [Path(name).resolve() for name in names] or chapters()
    if command == "check":
        found = [f"{path.name}: {line}" for path in paths for line in check(path)]
        print("\n".join(found) or f"{len(paths)} notebooks in order")
        return bool(found)
    work = {"run": run, "fmt": fmt}[command]
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        list(pool.map(work, paths))
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("run", "fmt", "check"):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
