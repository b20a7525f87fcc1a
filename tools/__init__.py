"""Scripts behind the Makefile and the checks; nothing here is part of the library."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
CELL_TIMEOUT_S = 900

# One thread, because the order of parallel sums changes last digits; the kernel of this
# environment, because a kernel of the same name in the home folder would win otherwise.
STEADY = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "TQDM_DISABLE": "1",
    "JUPYTER_PLATFORM_DIRS": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "IPYTHONDIR": str(BUILD / "ipython"),
}
KERNEL_CONFIG = """c = get_config()
c.IPKernelApp.log_level = 40  # no note about plain local sockets before every chapter
c.HistoryManager.enabled = False
"""


def steady():
    """Set what makes two runs of a kernel print the same, whatever the user's own profile says."""
    os.environ.update(STEADY)
    config = BUILD / "ipython" / "profile_default" / "ipython_kernel_config.py"
    if not config.exists():
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(KERNEL_CONFIG)


def chapters(root=ROOT):
    """The notebooks of the book, sorted by name."""
    return sorted((root / "notebooks").glob("*.ipynb"))
