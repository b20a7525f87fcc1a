"""Rewrite the sha256 column of data/README.md from the files; name what the table misses.

Every other column is written by hand. Exit status 1 when a data file has no row, a row has no
file, or a file is over the size limit.

    python data/extract/checksums.py
"""

import hashlib
import re
import sys
from pathlib import Path

DATA = Path(__file__).resolve().parents[1]
LISTED_FOLDERS = ("profiles", "feeders", "reference")
MAX_BYTES = 2_000_000
HEADER = ["file", "what", "unit", "step, span", "source", "licence", "sha256", "command"]
SHA_CELL = HEADER.index("sha256")
ROW = re.compile(r"\|\s*`(?:" + "|".join(LISTED_FOLDERS) + r")/")


def cells(line):
    """The cells of a table row."""
    found = [cell.strip() for cell in line.strip().strip("|").split("|")]
    if len(found) != len(HEADER):
        raise ValueError(f"row has {len(found)} cells instead of {len(HEADER)}: {line.strip()}")
    return found


def listed(readme_text):
    """File (relative to data/) -> sha256 as the table has it."""
    rows = [cells(line) for line in readme_text.splitlines() if ROW.match(line)]
    names = [row[0].strip("`") for row in rows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"data/README.md lists a file twice: {', '.join(twice)}")
    return {name: row[SHA_CELL].strip("`") for name, row in zip(names, rows)}


def sha256(path):
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def data_files(data=DATA):
    """All data files that need a row: everything in the folders but licences and hidden files."""
    files = [path for name in LISTED_FOLDERS for path in (data / name).rglob("*") if path.is_file()]
    wanted = [p for p in files if not p.name.startswith(("LICENSE", "."))]
    return sorted(path.relative_to(data).as_posix() for path in wanted)


def faults(data=DATA):
    """What is wrong with the table, one line for each fault; empty when all is well."""
    table, files = listed((data / "README.md").read_text()), data_files(data)
    found = [f"{name}: no row in data/README.md; add one" for name in files if name not in table]
    for name, digest in table.items():
        if name not in files:
            found.append(f"{name}: listed in data/README.md, but there is no such file")
        elif sha256(data / name) != digest:
            found.append(f"{name}: sha256 differs; if meant, run data/extract/checksums.py")
    sizes = {name: (data / name).stat().st_size for name in files}
    found += [
        f"{n}: {size} bytes, over {MAX_BYTES}" for n, size in sizes.items() if size > MAX_BYTES
    ]
    return found


def rewritten(readme_text, data=DATA):
    """The README text with the sha256 of every listed file that exists."""
    lines = []
    for line in readme_text.splitlines():
        if ROW.match(line):
            row = cells(line)
            path = data / row[0].strip("`")
            if path.is_file():
                row[SHA_CELL] = f"`{sha256(path)}`"
            line = "| " + " | ".join(row) + " |"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main():
    readme = DATA / "README.md"
    readme.write_text(rewritten(readme.read_text()))
    found = faults()
    print("\n".join(found) or f"{len(data_files())} files, all listed")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
