"""Networks that the project does not otherwise use, brought as a reader would (chapter 33).

name, options   FEEDER and further parameters of the chapter
n, load_mw, V_low_alone, loading_alone   the feeder, and its exact flow at nominal load
stage           done, or where it stopped: read or plan
why             the message, or the limits that gave way
loosened_V, loosened_i   by which they gave way
gap, cone_gap, V_difference, over_current: the plan
rounds, settled, admm_off, admm_V: ADMM, its cost and its voltages against the central plan
cost_..., V_low_..., V_high_..., overload_..., loss_...: nothing, plan, rolling on 5-min steps
power, energy   balances of the days, the largest of the three, as the next power of ten
Everything else as data/cases/own_feeder.toml has it.
"""

import numpy as np
import pandas as pd

from adnlib import inputs, runs, solve, study

DEPENDS = [
    "adnlib/admm.py",
    "adnlib/anderson.py",
    "adnlib/areas.py",
    "adnlib/blocks.py",
    "adnlib/branchflow.py",
    "adnlib/certified.py",
    "adnlib/conic.py",
    "adnlib/currents.py",
    "adnlib/devices.py",
    "adnlib/dispatch.py",
    "adnlib/feeder.py",
    "adnlib/fleets.py",
    "adnlib/flexible.py",
    "adnlib/forecast.py",
    "adnlib/horizon.py",
    "adnlib/inputs.py",
    "adnlib/kept.py",
    "adnlib/layers.py",
    "adnlib/linflow.py",
    "adnlib/model.py",
    "adnlib/mpc.py",
    "adnlib/netcheck.py",
    "adnlib/outer.py",
    "adnlib/pandapower_net.py",
    "adnlib/patterns.py",
    "adnlib/plant.py",
    "adnlib/powerflow.py",
    "adnlib/profiles.py",
    "adnlib/rolling.py",
    "adnlib/runs.py",
    "adnlib/search.py",
    "adnlib/series.py",
    "adnlib/solve.py",
    "adnlib/study.py",
    "adnlib/subproblem.py",
    "adnlib/switched.py",
    "adnlib/tables.py",
    "adnlib/tieline.py",
    "adnlib/tree.py",
    "adnlib/wiring.py",
    "data/cases/own_feeder.toml",
    "data/profiles",
]
RTOL = 1e-3

NETWORKS = (
    ("pandapower create_cigre_network_mv with_der=all", {}),
    ("pandapower create_synthetic_voltage_control_lv_network", {}),
    ("pandapower kb_extrem_landnetz_freileitung", {}),
    ("pandapower create_kerber_landnetz_kabel_2", {}),
    ("pandapower create_cigre_network_lv", {}),
    ("pandapower lv_schutterwald", {"root": 2984}),
    ("pandapower kb_extrem_landnetz_kabel_trafo", {}),
    ("pandapower kb_extrem_dorfnetz", {}),
    ("pandapower lv_schutterwald", {"root": 2986}),
    ("pandapower ieee_european_lv_asymmetric", {"balanced": True}),
    ("pandapower lv_schutterwald", {"root": 2988}),
    ("pandapower lv_schutterwald", {}),
    ("pandapower ieee_european_lv_asymmetric", {}),
    ("pandapower case_ieee30", {}),
    ("pandapower case57", {}),
    ("pandapower example_multivoltage", {}),
)
KEPT = {
    "cost": "cost",
    "V_low": "V_low",
    "V_high": "V_high",
    "overload_h": "overload",
    "loss_mwh": "loss",
}


def row(name, options):
    """What the three methods make of one network."""
    words = " ".join(f"{k.upper()}={v}" for k, v in options.items())
    out = {"name": name.removeprefix("pandapower "), "options": words}
    try:
        own = study.study(name, **options)
    except inputs.InputError as error:
        return out | {"stage": "read", "why": str(error)}
    alone = runs.flow_table(own)["value"]
    out |= {
        "n": own.feeder.n,
        "load_mw": alone["nominal load"],
        "plants": len(own.fleet.plants),
        "batteries": len(own.fleet.batteries),
        "V_low_alone": alone["lowest voltage"],
        "loading_alone": alone["largest current over its rating"],
    }
    try:
        ahead = runs.day_ahead(own)
    except solve.SolveError as error:
        return out | {"stage": "plan", "why": str(error)}
    seen = ahead.schedule.certificate
    out |= {
        "stage": "done",
        "why": ahead.why,
        "loosened_V": ahead.loosened[0],
        "loosened_i": ahead.loosened[1],
        "gap": ahead.gap,
        "cone_gap": seen.cone_gap,
        "V_difference": seen.voltage_difference,
        "over_current": seen.current_violation,
    }
    return out | _areas(own, ahead) | _rolled(own, ahead)


def _areas(own, ahead):
    found = runs.by_areas(own, ahead)
    return {
        "rounds": found.result.iterations,
        "settled": found.result.status == "converged",
        "admm_off": found.result.gap_to_central,
        "admm_V": found.certificate.voltage_difference,
    }


def _rolled(own, ahead):
    found = {m: runs.roll(own, ahead, m) for m in ("nothing", "plan", "rolling")}
    out = {f"{short}_{m}": r.summary[k] for k, short in KEPT.items() for m, r in found.items()}
    balance = {k: max(r.balance[k] for r in found.values()) for k in ("power", "energy")}
    return out | {k: float(np.ceil(np.log10(max(v, 1e-16)))) for k, v in balance.items()}


def run():
    return pd.DataFrame([row(name, options) for name, options in NETWORKS])


def one_point():
    name, options = NETWORKS[1]
    own = study.study(name, **options)
    ahead = runs.day_ahead(own)
    key = {"name": name.removeprefix("pandapower ")}
    found = {m: runs.roll(own, ahead, m).summary for m in ("nothing", "plan")}
    values = {f"cost_{m}": s["cost"] for m, s in found.items()}
    return key, values | {"n": own.feeder.n, "V_low_alone": _alone(own)}


def _alone(own):
    return float(runs.flow_table(own)["value"]["lowest voltage"])
