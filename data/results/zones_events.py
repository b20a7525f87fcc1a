"""The rule of chapter 14 beside the least correction, event by event, on two feeders.

Events of the day of data/cases/voltage_zones.toml, every sixth of them; each starts from the plan
(no correction in force), with the energy that storage has after the repeated rule. Columns `rule`:
once; `repeated`: until settled, with new sensitivities; `linear`: the linear program at the same
sensitivities; `exact`: linearised again until it meets the exact flow. left_: largest voltage
outside the optimal interval in the exact flow afterwards [p.u.]; p_, q_: moved power [p.u.];
dev_, far_: sum of the voltages outside the optimal interval and the limits.
"""

import numpy as np
import pandas as pd

from adnlib import leastmove, linflow, powerflow, profiles, realtime, zonecase, zones

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
RTOL = 1e-2  # of a least correction: corners of equal cost
KINDS = ("p_storage", "p_renewable", "q_storage", "q_renewable")


def beyond(V, band):
    return np.maximum(np.maximum(band[0] - V, V - band[1]), 0)


def measured(V, dp, dq, plants, bands):
    """{column: number} of one answer: exact voltages V after it, and what it moved."""
    out = {"left": beyond(V, bands[0]).max(), "dev": beyond(V, bands[0]).sum()}
    out["far"] = beyond(V, bands[1]).sum()
    return out | dict(zip(KINDS, leastmove.used(dp, dq, plants)))


def answers(s, case, t, energy, bands):
    """{method: measured} of the event at time t."""
    state = s.available[t], energy, case["loop.step_h"]
    p, q, room = s.plants.obey(s.available[t] * s.plants.renewable, 0 * s.energy, *state)
    bus = leastmove.moved(s.plants, -s.p_load[t], -s.q_load[t], p, q)
    flow = powerflow.solve(s.feeder, *bus, V_root=s.V_root)
    push = zones.columns(linflow.sensitivities(s.feeder, flow), s.plants.at)
    linear = leastmove.correct(flow.V, p, q, room, s.plants, *push, *bands)
    at = leastmove.moved(s.plants, *bus, linear.dp, linear.dq)
    V = powerflow.solve(s.feeder, *at, V_root=s.V_root).V
    out = {"linear": measured(V, linear.dp, linear.dq, s.plants, bands)}
    exact, after, turns = leastmove.exact(s.feeder, s.plants, *bus, p, q, room, *bands,
                                          V_root=s.V_root)  # fmt: skip
    out["exact"] = measured(after.V, exact.dp, exact.dq, s.plants, bands)
    out["exact"] |= {"solves": exact.solves, "flows": turns + 1}
    return out


def replays(s, case, bands):
    """{method: Replay} that starts from the plan in every step."""
    rule = zones.stages(*bands)
    return {
        name: realtime.replay(*s.args, rule, s.energy, case["loop.step_h"],
                              options=realtime.Options(reset=1, repeats=n), V_root=s.V_root)
        for name, n in (("rule", 1), ("repeated", case["loop.repeats"]))
    }  # fmt: skip


def event_row(s, case, t, runs, bands):
    energy = np.vstack([s.energy, runs["repeated"].energy])[t]
    out = {name: measured(r.V[t], r.new_p[t], r.new_q[t], s.plants, bands)
           for name, r in runs.items()}  # fmt: skip
    out |= answers(s, case, t, energy, bands)
    return {f"{key}_{name}": value for name, row in out.items() for key, value in row.items()}


def table(name, which, case, times=None):
    """Rows of one feeder and one optimal interval."""
    s = zonecase.day_setting(case, name)
    bands = case[f"zones.{which}"], case["zones.limits"]
    runs = replays(s, case, bands)
    events = np.flatnonzero(runs["rule"].event)[:: case["sweep.every"]]
    for t in events if times is None else events[times]:
        key = {
            "feeder": name,
            "interval": which,
            "step": int(t),
            "events": runs["rule"].event.sum(),
        }
        yield key | event_row(s, case, t, runs, bands)


def run():
    case = profiles.read_case("voltage_zones")
    return pd.DataFrame([row for name in ("ieee33", "ieee123") for which in ("optimal", "narrow")
                         for row in table(name, which, case)])  # fmt: skip


def one_point():
    case = profiles.read_case("voltage_zones")
    row = next(table("ieee33", "optimal", case, times=slice(10, 11)))
    names = ("left_rule", "q_renewable_rule", "q_renewable_repeated", "q_renewable_exact")
    return {k: row[k] for k in ("feeder", "interval", "step")}, {k: row[k] for k in names}
