"""Execute, seed and build the book.

    python -m tools.book build|site

A stored result is only good for the library, data and package versions that made it, but the
notebook cache knows nothing of those: it compares a notebook's own cells. `guard` throws the cache
away when anything else has changed. It runs here and, through tools/bookext.py, in every plain
`jupyter-book build .` too.
"""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path

from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor

from adnlib.receipt import digest
from tools import BUILD, CELL_TIMEOUT_S, ROOT, chapters, steady

MADE_FROM = ".made-from"
DERIVED = (".jupyter_cache", ".doctrees", "jupyter_execute")


def source_hash(root=ROOT):
    """Hash over library, data, committed times, lock and the versions that are really installed."""
    installed = sorted({f"{d.name.lower()} {d.version}" for d in distributions()})
    versions = "\n".join([sys.version, *installed])
    timed = [p for p in [root / "benchmarks" / "results"] if p.exists()]
    files = digest([root / "adnlib", root / "data", *timed, root / "requirements.lock"])
    return hashlib.sha256((versions + files).encode()).hexdigest()


def guard(root=ROOT, build=BUILD):
    """Throw away results and pages made from other sources; True if it did."""
    stamp, now = build / MADE_FROM, source_hash(root)
    if stamp.exists() and stamp.read_text() == now:
        return False
    for name in DERIVED:
        shutil.rmtree(build / name, ignore_errors=True)
    build.mkdir(parents=True, exist_ok=True)
    stamp.write_text(now)
    return True


def open_cache(build=BUILD):
    return get_cache(build / ".jupyter_cache")


def execute(root=ROOT, build=BUILD):
    """Run the chapters that changed, side by side, into the cache; exits on a failing one."""
    steady()
    if guard(root, build):
        print("library, data or versions changed: no older result is used")
    before, cache = source_hash(root), open_cache(build)
    for path in chapters(root):
        cache.add_nb_to_project(str(path))
    paths = [str(path) for path in chapters(root)]
    todo = cache.list_unexecuted(filter_uris=paths)
    print(f"{len(todo)} of {len(paths)} chapters to execute", flush=True)
    if todo:
        runner = load_executor("local-parallel", cache)
        done = runner.run_and_cache(filter_uris=paths, timeout=CELL_TIMEOUT_S)
        for uri in done.excepted:
            print(cache.get_project_record(uri).traceback, file=sys.stderr)
        if done.excepted or done.errored:
            sys.exit(f"failed: {[Path(uri).name for uri in done.excepted + done.errored]}")
        print(slowest(cache, paths))
    if source_hash(root) != before:
        guard(root, build)
        sys.exit("library, data or versions changed during execution: run make book again")


def slowest(cache, paths, count=10):
    """Such as "slowest chapters: 23_dcvc 88 s, ...": how long their last execution took."""
    seconds = {}
    for path in paths:
        record = cache.get_cached_project_nb(path)
        spent = record.data.get("execution_seconds") if record and record.data else None
        seconds |= {Path(path).stem: spent} if spent is not None else {}
    order = sorted(seconds, key=seconds.get, reverse=True)[:count]
    return "slowest chapters: " + ", ".join(f"{name} {seconds[name]:.0f} s" for name in order)


def seed(root=ROOT, build=BUILD):
    """Put the stored outputs into the cache; only right after nbval has proved them."""
    guard(root, build)
    for path in chapters(root):
        open_cache(build).cache_notebook_file(path, overwrite=True)


def pages(root=ROOT):
    """Strict build of the HTML pages into _build/html; any warning is an error."""
    shutil.rmtree(root / "_build" / "html", ignore_errors=True)
    tool = Path(sys.executable).with_name("jupyter-book")
    strict = ["-W", "-n", "--keep-going", "--all", "-q"]
    done = subprocess.run([tool, "build", ".", *strict], cwd=root)
    if done.returncode:
        sys.exit("the book does not build without warnings: see above")
    print("read _build/html/index.html")


def site(build=BUILD):
    """Copy the pages to _build/site and zip them; both work on any host and from a disk."""
    target, archive = build / "site", build / "adn-notebooks.zip"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(build / "html", target, ignore=shutil.ignore_patterns(".buildinfo"))
    (target / ".nojekyll").touch()  # else some hosts hide the folders that start with _
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for file in sorted(target.rglob("*")):
            if file.is_file():
                name = Path("adn-notebooks") / file.relative_to(target)
                entry = zipfile.ZipInfo(name.as_posix())  # fixed date: same pages, same zip
                entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
                out.writestr(entry, file.read_bytes())
    print(f"site in {target.relative_to(build.parent)}, zip {archive.relative_to(build.parent)}")


if __name__ == "__main__":
    command = sys.argv[1:]
    if command == ["build"]:
        execute()
        pages()
    elif command == ["site"]:
        site()
    else:
        sys.exit(__doc__)
