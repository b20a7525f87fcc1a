"""Run every extraction and renew the checksums: python data/extract/all.py [packages folder].

The reference voltages need OpenDSS and are left out: see requirements-reference.txt.
"""

import subprocess
import sys
from pathlib import Path

from packages import folder_argument

HERE = Path(__file__).resolve().parent
SCRIPTS = ("rts_gmlc", "la_haute_borne", "simbench_loads", "ieee33", "ieee123", "sw533")

if __name__ == "__main__":
    packages = str(folder_argument())
    for name in SCRIPTS:
        print(f"{name}:", flush=True)
        subprocess.run([sys.executable, HERE / f"{name}.py", packages], check=True)
    subprocess.run([sys.executable, HERE / "checksums.py"], check=True)
