"""Chapter 23's joint day on 33 buses with more scenarios, to the whole set: dcvc_trend goes on.

Columns as there, up to planned_*. The last row is the whole set, not reduced; the first is one
scenario again, a check.
"""

import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd

from adnlib import interval, planning, profiles
from tools import ROOT
from tools.sweeps import load

TREND = load(Path(__file__).with_name("dcvc_trend.py"))
DEPENDS = [*TREND.DEPENDS, "data/cases/dcvc_joint.toml", "data/results/dcvc_trend.py"]
RTOL = 1e-3
OWN = profiles.read_case("dcvc_joint")


def one(name, few, central=planning.central):
    """A row: the joint day of few scenarios, all of them where there are no more."""
    whole = interval.study_of(profiles.read_case(name))
    joint = whole if few == whole.n_s else interval.fewer(whole, few)
    relaxed, promised, _ = central(joint)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    tap, bank = planning.rounded(joint, relaxed)
    plan = replace(relaxed, tap=tap, bank=bank)
    row = {"feeder": whole.feeder.name, "scenarios": few, "promised": promised, "memory": memory}
    return row | TREND.named("planned", TREND.judged(whole, plan))


def alone(script, name, few):
    """`one` of a script in a process of its own, so that memory is its own."""
    command = TREND.ALONE.format(Path(script).relative_to(ROOT).as_posix(), name, few)
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, check=True,
                          capture_output=True, text=True)  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def table(script, name, sizes):
    out = []
    for few in sizes:
        out.append(alone(script, name, few))
        print(out[-1], flush=True)
    return pd.DataFrame(out)


def run():
    return table(__file__, "dcvc33", OWN["joint.few"])


def one_point():
    return TREND.one_point()
