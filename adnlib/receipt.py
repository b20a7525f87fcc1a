"""Receipt at the foot of a chapter: what its numbers were computed with.

A receipt names the Python and package versions, a short hash of every data file that the chapter
reads, and the seed of its random numbers. Only package metadata is read here, nothing is imported.
"""

import hashlib
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data"
PACKAGES = (
    "adnlib",
    "numpy",
    "scipy",
    "pandas",
    "cvxpy",
    "clarabel",
    "highspy",
    "statsmodels",
    "matplotlib",
    "pandapower",
    "power-grid-model",
)
HASH_DIGITS = 12


def _is_content(path):
    return not any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def _files(path):
    """Pairs (name, file) below a path, sorted by name; hidden and compiled files left out."""
    path = Path(path)
    if path.is_file():
        return [(path.name, path)]
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such file or folder; correct the name in the receipt")
    inside = ((f.relative_to(path), f) for f in path.rglob("*") if f.is_file())
    return sorted((f"{path.name}/{name.as_posix()}", f) for name, f in inside if _is_content(name))


def digest(paths):
    """sha256 (64 hex digits) over the names and bytes of files and folders.

    paths: files or folders; folders count with everything below them except hidden files and
    ``__pycache__``. The machine's folder names above each path do not enter. Raises
    FileNotFoundError naming the path that is missing.
    """
    total = hashlib.sha256()
    for path in paths:
        for name, file in _files(path):
            total.update(f"{name}\0".encode())
            total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _installed(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def receipt(seed=None, data=()):
    """Text with versions, data hashes and seed, one fact a line.

    seed: the chapter's seed, or None if it draws nothing at random. data: names of files or
    folders below ``data/``, for example ``["feeders/ieee33", "cases/day.toml"]``; each gets the
    first 12 hex digits of its `digest`. Raises FileNotFoundError for a name that does not exist.

    >>> print(receipt(seed=7).splitlines()[-1])
    seed 7
    """
    lines = [f"python {sys.version_info.major}.{sys.version_info.minor}"]
    lines += [f"{package} {_installed(package)}" for package in PACKAGES]
    lines += [f"data {name} {digest([DATA / name])[:HASH_DIGITS]}" for name in data]
    lines += [f"seed {'none' if seed is None else seed}"]
    return "\n".join(lines)


def read_receipt(text):
    """Take a receipt's text apart: (versions by package, hashes by data name, seed text).

    >>> versions, hashes, seed = read_receipt(receipt(seed=7))
    >>> sorted(versions)[:2], hashes, seed
    (['adnlib', 'clarabel'], {}, '7')
    """
    data = dict(re.findall(r"^data (\S+) (\S+)$", text, re.M))
    seed = re.search(r"^seed (\S+)$", text, re.M)
    pairs = re.findall(r"^(?!data |seed )(\S+) (.+)$", text, re.M)
    return dict(pairs), data, seed.group(1) if seed else None
