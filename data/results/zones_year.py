"""Days of a whole year in 5-minute steps on ieee33, under the rule of chapter 14 and its readings.

Every fifth day of RTS-GMLC, all at once, each from half-full storage. Readings: `paper` (active
power only beyond the limits), `literal` (all zones at the optimal interval), `storage first` and
`storage last` (literal, with active power of storage before its reactive power and before the
active power of renewables, or all of storage after all of renewables), `no storage`, `kept`
(corrections never start anew), `repeated` (measured and corrected four times a step).
Columns: steps with a voltage outside, measured and after; curtailed and lost energy [MWh].
"""

import numpy as np
import pandas as pd

from adnlib import leastmove, profiles, realtime, zonecase, zones

DEPENDS = [
    "adnlib/capability.py",
    "adnlib/feeder.py",
    "adnlib/leastmove.py",
    "adnlib/linflow.py",
    "adnlib/powerflow.py",
    "adnlib/profiles.py",
    "adnlib/realtime.py",
    "adnlib/tables.py",
    "adnlib/tree.py",
    "adnlib/zonecase.py",
    "adnlib/zones.py",
    "data/cases/first_day.toml",
    "data/cases/voltage_zones.toml",
    "data/feeders",
    "data/profiles/rts_load_5min.csv.gz",
    "data/profiles/rts_pv_5min.csv.gz",
    "data/profiles/rts_wind_5min.csv.gz",
    "data/profiles/rts_units.csv",
]
RTOL = 1e-4
SLACK = 1e-4  # [p.u.] a voltage this near to a limit is inside
STEPS = 288


def series(first):
    """(load (365, 288), pv (365, 288), wind (365, 288, 2)) in p.u., the first day's units."""
    rated = profiles.read_units()["p_max_mw"]

    def read(kind, units):
        table = profiles.read_series(f"rts_{kind}_5min")[[f"{u}_mw" for u in units]]
        table = table.loc[~((table.index.month == 2) & (table.index.day == 29))]
        return (table.to_numpy() / rated[list(units)].to_numpy()).reshape(-1, STEPS, len(units))

    load = read("load", [f"load_{first['day.region']}"])[..., 0]
    pv = read("pv", first["generation.pv_unit"]).mean(axis=2)
    return load, pv, read("wind", first["generation.wind_unit"])


def readings(case):
    """{reading: (rule, options)}."""
    optimal, limits = case["zones.optimal"], case["zones.limits"]
    paper, literal = zones.stages(optimal, limits), zones.stages(optimal)
    reset = case["loop.reset"]
    renewable = tuple(stage for stage in paper if stage.source == "renewable")
    return {
        "paper": (paper, realtime.Options(reset)),
        "literal": (literal, realtime.Options(reset)),
        "storage first": (tuple(literal[k] for k in (0, 3, 1, 2)), realtime.Options(reset)),
        "storage last": (tuple(literal[k] for k in (0, 2, 1, 3)), realtime.Options(reset)),
        "no storage": (renewable, realtime.Options(reset)),
        "kept": (paper, realtime.Options(None)),
        "repeated": (paper, realtime.Options(reset, repeats=case["loop.repeats"])),
    }


def row(s, case, reading, rule, options):
    found = realtime.replay(*s.args, rule, s.energy, case["loop.step_h"], options=options)
    out = {"reading": reading, "steps": found.event.size, "events": int(found.event.sum())}
    for name, V in (("before", found.V_before), ("after", found.V)):
        for which in ("optimal", "limits"):
            low, high = case[f"zones.{which}"]
            wrong = (low - SLACK > V) | (high + SLACK < V)
            out[f"{which}_{name}"] = int(wrong.any(axis=-1).sum())
    ren, h = s.plants.renewable, case["loop.step_h"]
    out["curtailed_mwh"] = h * (s.available - found.p)[..., ren].sum()
    out["loss_mwh"] = h * found.loss.sum()
    out["through_storage_mwh"] = h * np.abs(found.p[..., ~ren]).sum()
    used = leastmove.used(found.new_p, found.new_q, s.plants).sum(axis=(0, 1))
    return out | dict(zip(("p_storage", "p_renewable", "q_storage", "q_renewable"), used))


def days(case):
    load, pv, wind = (a[:: case["sweep.days"]] for a in series(profiles.read_case("first_day")))
    return zonecase.setting(case, "ieee33", load, pv, wind)


def run():
    case = profiles.read_case("voltage_zones")
    s = days(case)
    rows = [row(s, case, *(name, *how)) for name, how in readings(case).items()]
    idle = zones.stages((0.01, 9.0))
    return pd.DataFrame([row(s, case, "no control", idle, realtime.Options(1)), *rows])


def one_point():
    case = profiles.read_case("voltage_zones")
    s = days(case)
    found = row(s, case, "no control", zones.stages((0.01, 9.0)), realtime.Options(1))
    return {"reading": "no control"}, {k: found[k] for k in ("limits_after", "loss_mwh")}
