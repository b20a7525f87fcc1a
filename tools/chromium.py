"""Find a Chromium for the browser test, or say how to get one."""

import os
import shutil
import subprocess

NAMES = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser")
HINT = (
    "no Chromium found: apt-get install chromium, or install Chrome, "
    "or name the program: make test CHROMIUM=..."
)


def find():
    """Path of the browser, or None. The variable CHROMIUM wins over the usual names."""
    wanted = os.environ.get("CHROMIUM")
    if wanted:
        path = shutil.which(wanted)
        if path is None:
            raise FileNotFoundError(f"CHROMIUM={wanted}: no such program")
        return path
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def install():
    """Install Debian's package where that is possible without asking: as root with apt-get."""
    if find() or shutil.which("apt-get") is None or os.geteuid() != 0:
        return
    print("no Chromium found: installing the package chromium with apt-get", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    quiet = ["apt-get", "-qq", "-o=Dpkg::Use-Pty=0"]
    for step in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
        subprocess.run(quiet + step, env=environment, stdout=subprocess.DEVNULL)


def in_ci():
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")
