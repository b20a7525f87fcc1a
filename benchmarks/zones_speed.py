"""One event of the voltage zones: the rule beside the optimisation that does the same job.

The worst event of the day of chapter 14, measured voltages and sensitivities given. The rule is
`zones.correct`; beside it the lexicographic linear program at the same sensitivities, the same
linearised again until it meets the exact flow, and the rule for a batch of equal events. Exact
sensitivities and a flow are timed as well: every method needs them before it can start.
"""

import numpy as np

from adnlib import leastmove, linflow, powerflow, profiles, zonecase, zones
from adnlib.capability import Room
from benchmarks import timing

RULE, LEAST, EXACT = "zones.correct", "leastmove.correct", "leastmove.exact"
BATCH, SENSE = "zones.correct, each of a batch", "powerflow.solve and linflow.sensitivities"
FEEDERS = ("ieee33", "ieee123")
EVENTS = 100  # in a batch


def steps(small):
    names = FEEDERS[:1] if small else FEEDERS
    return [
        (
            f"an event on {name}",
            2 if name == "ieee33" else 6,
            lambda name=name: compare(name, small),
        )
        for name in names
    ]


def compare(name, small):
    """Rows of one feeder. AssertionError if the rule claims less than the least correction."""
    case = profiles.read_case("voltage_zones")
    s = zonecase.day_setting(case, name)
    bands = case["zones.optimal"], case["zones.limits"]
    p, q, room, bus = worst(s, case)
    flow = powerflow.solve(s.feeder, *bus, V_root=s.V_root)
    push = zones.columns(linflow.sensitivities(s.feeder, flow), s.plants.at)
    one = flow.V, p, q, room
    rule = zones.stages(*bands)
    many = [np.broadcast_to(a, (EVENTS, *a.shape)) for a in (flow.V, p, q, *push)]
    rooms = Room(*(np.broadcast_to(a, (EVENTS, *a.shape)) for a in vars(room).values()))
    methods = {
        RULE: lambda: zones.correct(*one, s.plants.renewable, *push, rule),
        BATCH: lambda: zones.correct(*many[:3], rooms, s.plants.renewable, *many[3:], rule),
        LEAST: lambda: leastmove.correct(*one, s.plants, *push, *bands),
        EXACT: lambda: leastmove.exact(s.feeder, s.plants, *bus, *one[1:], *bands, V_root=s.V_root),
        SENSE: lambda: linflow.sensitivities(
            s.feeder, powerflow.solve(s.feeder, *bus, V_root=s.V_root)
        ),
    }
    least, quick = methods[LEAST]().levels, methods[RULE]()
    used = leastmove.used(quick.dp, quick.dq, s.plants)
    if least[0] < 1e-6 and (used[:2] < least[1:3] - 1e-5).any():
        raise AssertionError("the rule moves less active power than the least correction")
    seconds = timing.alternate(methods, 3 if small else 9)
    return timing.rows("zones_speed", s.feeder.n + 1, 1, seconds, RULE, scale={BATCH: 1 / EVENTS})


def worst(s, case):
    """(p, q, Room, net injections) at the step of the day with the highest voltage."""
    free = leastmove.moved(s.plants, -s.p_load, -s.q_load, s.available, 0 * s.available)
    t = int(powerflow.solve(s.feeder, *free, V_root=s.V_root).V.max(axis=1).argmax())
    now = s.available[t]
    p, q, room = s.plants.obey(now, 0 * now, now, s.energy, case["loop.step_h"])
    return p, q, room, leastmove.moved(s.plants, -s.p_load[t], -s.q_load[t], p, q)


def checks(rows):
    """The rule at least 50 times faster than the linear program, 100 times than the exact one."""
    out = []
    for row in rows:
        for method, wanted in ((LEAST, 50), (EXACT, 100)):
            if row["method"] == method:
                label = f"{method} over the rule, {row['size']} buses"
                out.append((label, row["ratio"], f">= {wanted}", row["ratio"] >= wanted))
    return out
