"""Chapter 22 on edge nodes: what travels and how long it takes, and what more nodes do.

Rows of part "methods": the chapter's day by cloud and edges on worker processes (bytes counted as
sent), by edges alone, and as one problem. Rows of part "nodes": a larger feeder with more and more
areas. Seconds are those inside the solvers, the least of several runs: `chain` is what has to be
waited for (the slowest edge and the cloud of every round), `all` what all of them work.
"""

from dataclasses import replace
from pathlib import Path

import cvxpy as cp
import numpy as np
import pandas as pd

from adnlib import admm, areas, cloudedge, edgeplan, profiles, read_feeder, robust, transformer
from tools.sweeps import load

days = load(Path(__file__).with_name("cecd_days.py"))
DEPENDS = [
    *days.DEPENDS, "adnlib/cloudedge.py", "data/results/cecd_days.py", "data/feeders/ieee119",
]  # fmt: skip
RTOL = 0.2  # of rounds: a residual may cross its limit some rounds sooner or later
CASE = days.CASE
BAND = CASE["feeder.V_min"], CASE["feeder.V_max"]
LOSS = CASE["price.loss"]
UNIT = float(days.prices().mean())


def weights(peers=False):
    P, V = CASE["rounds.penalty_P"], CASE["rounds.penalty_V"]
    return {"P": P**0.5, "Q": P**0.5} | ({} if peers else {"V": V**0.5})


def options(peers=False):
    start = {} if peers else {"start": {"V": CASE["feeder.V_source"]}}
    return {"scale": weights(peers), "memory": CASE["rounds.memory"], "tol": CASE["rounds.tol"],
            "max_iter": CASE["rounds.most"]} | start  # fmt: skip


def of_chapter():
    """(feeder, edges, utility) of the chapter's day, robust."""
    dates, forecast, *_ = days.data()
    i = list(dates).index(pd.Timestamp(CASE["day.date"]))
    feeder, f = days.feeder_of(), forecast[i] * np.array(CASE["pv.mw"])
    shape = profiles.rts_day(CASE["day.date"], True, CASE["day.region"], [], []).load
    edges, utility = edgeplan.system(
        feeder, CASE["areas.cuts"], profiles.loads(feeder, shape, CASE["feeder.peak"]), f,
        CASE["pv.bus"], days.around(f, CASE["pv.deviation"]), *days.devices(), days.prices(),
        CASE["feeder.pcc_mw"],
    )  # fmt: skip
    return feeder, edges, utility


def equipped(feeder, n_areas):
    """(edges, utility) of n areas sized by their load: the chapter's ratios."""
    cuts = edgeplan.hanging(feeder, n_areas)
    pieces = areas.cut(feeder, cuts)[1:]
    dates, forecast, *_ = days.data()
    i = list(dates).index(pd.Timestamp(CASE["day.date"]))
    pv, bus, sets, turbines, stores = [], [], [], [], []
    share = CASE["pv.deviation"]
    of = days.devices()
    for k, piece in enumerate(pieces):
        own, size = piece.feeder, piece.feeder.p_load.sum()
        middle, end = halfway_and_end(own)
        rated = 0.6 * size * np.ones(2)
        f = forecast[i][:, [2 * k % 6, (2 * k + 1) % 6]] * rated
        columns = [2 * k, 2 * k + 1]
        pv.append(f)
        bus += [middle, end]
        sets.append((columns, robust.Box(0 * f, np.minimum(share * f, rated - f), share * f)))
        turbines.append(of[0][k % 3] | {"bus": middle, "p_max": 0.35 * size, "ramp": 0.175 * size})
        e = 1.6 * size
        least, most, start = CASE["storage.soc"]
        stores.append(of[1][k % 3] | {"bus": end, "p_max": 0.4 * size, "e_min": least * e,
                                      "e_max": most * e, "e_0": start * e})  # fmt: skip
    shape = profiles.rts_day(CASE["day.date"], True, CASE["day.region"], [], []).load
    edges, utility = edgeplan.system(
        feeder, cuts, profiles.loads(feeder, shape, CASE["feeder.peak"]), np.hstack(pv), bus, sets,
        turbines, stores, days.prices(), 2 * feeder.p_load.sum(),
    )  # fmt: skip
    return edges, utility


def halfway_and_end(piece):
    """Labels of the loaded buses half way to the far end, and at it."""
    far = [j for j in np.argsort(piece.length, kind="stable") if piece.p_load[j] > 0]
    return piece.buses[far[len(far) // 2]], piece.buses[far[-1]]


class Timed:
    """run=... of admm.coordinate that notes the seconds of every step."""

    def __init__(self):
        self.seconds = []

    def __call__(self, parts, messages):
        replies = [admm.step(part, *message) for part, message in zip(parts, messages)]
        self.seconds.append([r.solver_s for r in replies])
        return replies


def timed(parts, master=None, **kw):
    """(Result, {"chain_s", "all_s"}) of admm.coordinate, the least seconds of several runs."""
    found = []
    for _ in range(CASE["scale.repeats"]):
        clock = Timed()
        result = admm.coordinate(parts, master, run=clock, **kw)
        steps = np.array(clock.seconds)
        cloud = result.history["solver_s"] - steps.sum(axis=1)
        found.append((steps.max(axis=1).sum() + cloud.sum(), result.history["solver_s"].sum()))
    return result, dict(zip(("chain_s", "all_s"), np.min(found, axis=0)))


def one_problem(edges, utility):
    """(value, seconds, rows, variables) of all as one problem."""
    parts = [transformer.area_problem(e, LOSS, BAND, True) for e in edges]
    top = transformer.master_problem(utility, LOSS, BAND, True)
    rows = [*top[1], *(r for part in parts for r in part[1])]
    rows += [a == top[2][k] for part in parts for k, a in part[2].items()]
    problem = cp.Problem(cp.Minimize((top[0] + sum(part[0] for part in parts)) / UNIT), rows)
    key = next(iter(top[2]))
    whole = admm.area(problem, {key: top[2][key]}, name="all")
    zero, rho = np.zeros(len(whole.labels)), np.full(len(whole.labels), 1e-9)
    steps = [admm.step(whole, zero, zero, rho) for _ in range(CASE["scale.repeats"])]
    return steps[-1].cost * UNIT, min(s.solver_s for s in steps), *whole.A.shape


def known(edges):
    """Numbers that edges would have to hand over: load, PV and its deviation, devices."""
    n_t = edges[0].p_load.shape[0]
    return sum(n_t * (2 * e.p_load.shape[1] + 3 * 2) + len(e.turbine) + len(e.store) for e in edges)


def methods():
    """Rows of the chapter's day."""
    feeder, edges, utility = of_chapter()
    value, seconds, rows, variables = one_problem(edges, utility)
    n_t, k = len(utility.price), len(edges)
    base = {"feeder": feeder.name, "areas": k}
    out = [base | {"method": "centralised", "rounds": 1, "solves": 1, "chain_s": seconds,
                   "all_s": seconds, "largest_rows": rows, "largest_variables": variables,
                   "bytes": 8 * (known(edges) + 4 * n_t * k), "cost_off": 0.0}]  # fmt: skip
    pairs, (master, _) = edgeplan.by_admm(edges, utility, LOSS, BAND, UNIT, elastic=True)
    parts = [a for a, _ in pairs]
    result, took = timed(parts, master, **options())
    with cloudedge.workers(k) as client:
        sent, ledger = cloudedge.coordinate(client, parts, master, **options())
    travelled = int(ledger.bytes_out.sum() + ledger.bytes_in.sum())
    out.append(base | {"method": "cloud and edges", "rounds": sent.iterations,
                       "solves": sent.iterations * (k + 1), **took, **size(parts),
                       "bytes": travelled, "bytes_setup": ledger.setup_bytes,
                       "cost_off": result.cost * UNIT / value - 1})  # fmt: skip
    peers = [p for p, *_ in edgeplan.by_peers(edges, utility, LOSS, BAND, UNIT)]
    result, took = timed(peers, **options(peers=True))
    each = len(peers[0].labels)
    out.append(base | {"method": "edges alone", "rounds": result.iterations,
                       "solves": result.iterations * k, **took, **size(peers),
                       "bytes": 8 * result.iterations * k * (k - 1) * each,
                       "cost_off": result.cost * UNIT / value - 1})  # fmt: skip
    return out


def size(parts):
    shape = np.array([part.A.shape for part in parts]).max(axis=0)
    return {"largest_rows": int(shape[0]), "largest_variables": int(shape[1])}


def nodes(n_areas):
    """Rows of the large feeder with n areas."""
    feeder = replace(read_feeder(CASE["scale.feeder"]), V_root=CASE["feeder.V_source"])
    edges, utility = equipped(feeder, n_areas)
    value, seconds, rows, variables = one_problem(edges, utility)
    base = {"feeder": feeder.name, "areas": n_areas}
    out = [base | {"method": "centralised", "rounds": 1, "solves": 1, "chain_s": seconds,
                   "all_s": seconds, "largest_rows": rows, "largest_variables": variables,
                   "bytes": 8 * (known(edges) + 4 * len(utility.price) * n_areas)}]  # fmt: skip
    pairs, (master, _) = edgeplan.by_admm(edges, utility, LOSS, BAND, UNIT, elastic=True)
    parts = [a for a, _ in pairs]
    result, took = timed(parts, master, **options())
    copies = len(result.s)
    out.append(base | {"method": "cloud and edges", "rounds": result.iterations,
                       "solves": result.iterations * (n_areas + 1), **took, **size(parts),
                       "bytes": 8 * result.iterations * (4 * copies + n_areas),
                       "cost_off": result.cost * UNIT / value - 1})  # fmt: skip
    return out


def run():
    found = [{"part": "methods"} | r for r in methods()]
    for n in CASE["scale.areas"]:
        found += [{"part": "nodes"} | r for r in nodes(n)]
    return pd.DataFrame(found)


def one_point():
    _, edges, utility = of_chapter()
    pairs, (master, _) = edgeplan.by_admm(edges, utility, LOSS, BAND, UNIT, elastic=True)
    found = admm.coordinate([a for a, _ in pairs], master, **options())
    return {"part": "methods", "method": "cloud and edges"}, {"rounds": found.iterations}
