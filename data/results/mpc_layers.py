"""Real days of chapter 25 under its three layers, one after the other, on two feeders.

method: no control; real time: zones alone; day ahead: the plan, followed; day ahead, real time;
rolling: plan and windows; three: all layers, corrections reset at the next roll; kept: corrections
kept; 1 h, 4 h: rolling, but each window followed so long; foresight: three, forecasts of the day
without error. Columns of layers.score; value: rolling.realised; loosened: how far the plan's limits
gave way; cone_gap, gap of the plan; cpu_plan, cpu_roll, cpu_fast: CPU seconds of the layers, of the
run that made the table. Where no zone is entered under the windows, three and kept are that run.
"""

from time import process_time

import pandas as pd

from adnlib import layers, mpc, mpccase, profiles, rolling, zones

DEPENDS = [
    "adnlib/blocks.py",
    "adnlib/branchflow.py",
    "adnlib/capability.py",
    "adnlib/certified.py",
    "adnlib/conic.py",
    "adnlib/currents.py",
    "adnlib/devices.py",
    "adnlib/dispatch.py",
    "adnlib/fastlayer.py",
    "adnlib/feeder.py",
    "adnlib/flexible.py",
    "adnlib/forecast.py",
    "adnlib/horizon.py",
    "adnlib/inputs.py",
    "adnlib/kept.py",
    "adnlib/layers.py",
    "adnlib/linflow.py",
    "adnlib/model.py",
    "adnlib/mpc.py",
    "adnlib/mpccase.py",
    "adnlib/netcheck.py",
    "adnlib/outer.py",
    "adnlib/patterns.py",
    "adnlib/plant.py",
    "adnlib/powerflow.py",
    "adnlib/profiles.py",
    "adnlib/rolling.py",
    "adnlib/search.py",
    "adnlib/solve.py",
    "adnlib/switched.py",
    "adnlib/tables.py",
    "adnlib/tieline.py",
    "adnlib/tree.py",
    "adnlib/zones.py",
    "data/cases/mpc.toml",
    "data/feeders",
    "data/profiles",
]
RTOL = 2e-2  # the day-ahead plan is one of many within its gap
CASE = profiles.read_case("mpc")


class Clocked:
    """A layer and the CPU seconds it has taken."""

    def __init__(self, layer):
        self.layer, self.cpu = layer, 0.0

    def __call__(self, *args):
        start = process_time()
        out = self.layer(*args)
        self.cpu += process_time() - start
        return out

    def __getattr__(self, name):
        return getattr(self.layer, name)


class Study:
    """A day on a feeder with its plan, and rows of what layers make of it."""

    def __init__(self, name, date):
        own = mpccase.feeder(CASE, name)
        fleet = mpccase.fleet(CASE, own, name)
        self.key = {"feeder": name, "date": date}
        self.day = mpccase.day(CASE, fleet, date)
        self.calm = mpccase.day(CASE, fleet, date, scale=0.0)
        start = process_time()
        self.plan, self.loosened = mpccase.plan(CASE, self.day)
        self.cpu = process_time() - start

    def row(self, method, controller, fast=False, keep=False, day=None):
        """A run as a row; `self.trace` is its Trace."""
        controller = Clocked(controller)
        real_time = Clocked(mpccase.fast(CASE, self.day)) if fast else None
        trace, found = mpccase.run(CASE, day or self.day, controller, self.plan, real_time, keep)
        self.trace = trace
        value = rolling.realised(trace, self.plan, mpccase.weights(CASE), **mpccase.limits(CASE))
        cpu = {"cpu_plan": self.cpu, "cpu_roll": controller.cpu,
               "cpu_fast": real_time.cpu if fast else 0.0}  # fmt: skip
        certificate = self.plan.schedule.certificate
        proof = {"cone_gap": certificate.cone_gap, "gap": self.plan.schedule.gap}
        return (
            self.key
            | {"method": method, "value": value, "loosened": self.loosened}
            | (proof | found | cpu)
        )

    def window(self, every=1):
        return layers.replanned(mpccase.window(CASE, self.day, self.plan), every)


def of_day(study, thorough):
    fleet, plan = study.day.fleet, study.plan
    yield study.row("no control", mpc.idle(fleet))
    yield study.row("real time", mpc.idle(fleet), fast=True)
    yield study.row("day ahead", mpc.open_loop(fleet, plan))
    yield study.row("day ahead, real time", mpc.open_loop(fleet, plan), fast=True)
    rolled = study.row("rolling", study.window())
    yield rolled
    quiet = not zones.event(study.trace.V, mpccase.rule(CASE)).any()
    nothing = {"events": 0.0, "before_h": 0.0, "before_unsettled_h": 0.0}
    for method in ("three", "kept") if thorough else ("three",):
        if quiet:
            yield rolled | nothing | {"method": method}
        else:
            yield study.row(method, study.window(), fast=True, keep=method == "kept")
    if thorough:
        for every in CASE["study.every"]:
            yield study.row(f"{every // 4} h", study.window(every))
        yield study.row("foresight", study.window(), fast=True, day=study.calm)


def run():
    rows = []
    for name, dates in (("ieee33", CASE["day.judged"]), ("ieee123", CASE["day.quarterly"])):
        for date in dates:
            rows += of_day(Study(name, date), thorough=name == "ieee33")
            print(name, date, flush=True)
    return pd.DataFrame(rows)


def one_point():
    study = Study("ieee33", CASE["day.quarterly"][2])
    row = study.row("day ahead, real time", mpc.open_loop(study.day.fleet, study.plan), fast=True)
    key = {k: row[k] for k in ("feeder", "date", "method")}
    return key, {k: row[k] for k in ("loss_mwh", "deviation", "V_low", "V_high")}
