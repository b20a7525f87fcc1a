"""All nets, in order, each once: `make test`.

Each chapter is executed once, by nbval; the book is then built from the stored outputs that nbval
has just proved equal, and the browser looks at those pages.
"""

import subprocess
import sys
import time
from pathlib import Path

from adnlib.receipt import digest
from tools import ROOT, book, chapters, chromium, steady

BIN = Path(sys.executable).parent
PYTEST = [BIN / "pytest", "-q", "-n", "2", "--durations=10", "--durations-min=5"]
NBVAL = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=900", "--dist", "loadfile"]


def command(*words):
    """Run a command; on failure this net has caught something, stop here."""
    done = subprocess.run([str(word) for word in words], cwd=ROOT)
    if done.returncode:
        sys.exit(f"\nnot green: {Path(words[0]).name} {' '.join(map(str, words[1:]))}")


def sources():
    return book.source_hash(), digest(chapters())


def lint():
    command(BIN / "ruff", "check", ".")
    command(BIN / "ruff", "format", "--check", "--exclude", "*.md", ".")


def unit_tests():
    command(*PYTEST, "-m", "not book")


def notebooks():
    if not chapters():
        sys.exit("not green: no chapter in notebooks/")
    command(*PYTEST, *NBVAL, *chapters())


def strict_build():
    book.seed()
    book.pages()


def built_pages():
    chromium.install()
    command(*PYTEST, "-rs", "-m", "book", "tests")


def main():
    steady()
    times, before = {}, sources()
    for net in (lint, unit_tests, notebooks, strict_build, built_pages):
        print(f"\n== {net.__name__.replace('_', ' ')}", flush=True)
        start = time.perf_counter()
        if net is strict_build and sources() != before:
            sys.exit("not green: sources changed while the nets ran, run make test again")
        net()
        times[net.__name__.replace("_", " ")] = time.perf_counter() - start
    print("\n" + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in times.items()))
    left_out = "" if chromium.find() else f", BROWSER TEST LEFT OUT ({chromium.HINT})"
    print(f"all nets green{left_out}")


if __name__ == "__main__":
    main()
