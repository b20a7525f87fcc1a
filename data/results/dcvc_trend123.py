"""dcvc_trend on 123 buses, to as many scenarios as the paper's memory holds (chapter 23)."""

from pathlib import Path

from tools.sweeps import load

TREND = load(Path(__file__).with_name("dcvc_trend.py"))
DEPENDS = [
    *(a for a in TREND.DEPENDS if a != "data/cases/dcvc33.toml"),
    "data/cases/dcvc123.toml",
    "data/results/dcvc_trend.py",
]
RTOL = TREND.RTOL
CASE = "dcvc123"


def run():
    return TREND.table(CASE, TREND.OWN["trend.few_123"])


def one_point():
    return TREND.one_point(CASE)
