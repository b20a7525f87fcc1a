"""Plans of the day by the methods of the dcvc paper, 123 buses (chapter 23); as dcvc_plans."""

from pathlib import Path

from tools.sweeps import load

PLANS = load(Path(__file__).with_name("dcvc_plans.py"))
CASE = "dcvc123"
DEPENDS = [
    *(a for a in PLANS.DEPENDS if a != "data/cases/dcvc33.toml"),
    "data/cases/dcvc123.toml",
    "data/results/dcvc_plans.py",
]
RTOL = PLANS.RTOL


def run():
    return PLANS.table(CASE)


def one_point():
    return PLANS.one_point(CASE)
