"""What each subproblem of dcvc's cloud-edge rounds takes to solve, round by round (chapter 10).

One hour with scenarios ([noon] of data/cases/cloud_edge.toml): the cloud has the whole feeder, its
loss, tap and banks, an edge its area, voltage deviation, PV inverters and batteries. A row is a
subproblem in a round. iterations of Clarabel; factor: entries of the triangular factor that each
iteration makes anew; copies that cross; cpu_s: processor seconds of the step, on the machine of
this sweep; primal, dual: residuals after the round. The cloud's row holds the solve that made the
message. Round 0 is the centralised problem, the whole feeder in one piece.
"""

import time

import cvxpy as cp
import numpy as np
import pandas as pd

from adnlib import admm, areas, profiles, read_feeder, subproblem

DEPENDS = [
    "adnlib/admm.py",
    "adnlib/anderson.py",
    "adnlib/areas.py",
    "adnlib/branchflow.py",
    "adnlib/feeder.py",
    "adnlib/powerflow.py",
    "adnlib/profiles.py",
    "adnlib/solve.py",
    "adnlib/subproblem.py",
    "adnlib/tables.py",
    "adnlib/tree.py",
    "adnlib/wiring.py",
    "data/cases/cloud_edge.toml",
    "data/cases/first_day.toml",
    "data/feeders",
    "data/profiles/rts_load_5min.csv.gz",
    "data/profiles/rts_pv_5min.csv.gz",
    "data/profiles/rts_units.csv",
    "data/profiles/rts_wind_5min.csv.gz",
]
RTOL = 0.1  # of iterations: a step more or less on another processor
FEEDERS = ("ieee33", "ieee123")


def noon(n_s, case):
    """(n_s,) load factor and PV output over rated power of chapter 1's day at noon."""
    first, rng = profiles.read_case("first_day"), np.random.default_rng(case["noon.seed"])
    day = profiles.resampled(
        profiles.rts_day(
            first["day.date"], region=first["day.region"], pv=first["generation.pv_unit"]
        ),
        1.0,
    )
    hour, beta = case["noon.hour"], case["noon.pv_beta"]
    load = day.load[hour] * (1 + case["noon.load_std"] * rng.standard_normal(n_s))
    return load, np.minimum(2 * rng.beta(beta, beta, n_s) * day.pv[hour].mean(), 1.0)


def devices(own, case, name, load, pv):
    """(p, q of every scenario, cost of batteries, limits, {label: set-point}) in a piece."""
    given = {
        k: case[f"{name}.{k}"]
        for k in ("pv_bus", "ess_bus", "bank_bus", "pv_mw", "s_inverter", "ess_mw", "bank_mvar")
    }
    at = {k: [b for b in given[f"{k}_bus"] if b in own.buses] for k in ("pv", "ess", "bank")}
    A, B, C = (np.array([[float(c == b) for c in own.buses] for b in here]).reshape(-1, own.n)
               for here in at.values())  # fmt: skip
    h, b, c = cp.Variable(len(A)), cp.Variable(len(B)), cp.Variable(len(C))
    rated, every = given["pv_mw"], np.ones((len(load), 1))
    same = lambda x: every @ cp.reshape(x, (1, own.n), order="C")  # noqa: E731
    p = np.outer(pv, rated * A.sum(axis=0)) - np.outer(load, own.p_load) + same(b @ B)
    q = -np.outer(load, own.q_load) + same(h @ A + c @ C)
    reach = np.sqrt(given["s_inverter"] ** 2 - (rated * pv.max()) ** 2)
    limits = [cp.abs(h) <= reach, cp.abs(b) <= given["ess_mw"], c >= 0, c <= given["bank_mvar"]]
    cost = case["cost.battery_loss"] * len(load) * cp.sum(cp.abs(b))
    points = {f"{word} {bus}": x[k] for word, x, here in (("q", h, "pv"), ("p", b, "ess"),
              ("bank", c, "bank")) for k, bus in enumerate(at[here])}  # fmt: skip
    return p, q, cost, limits, points


def subproblem_of(piece, cuts, case, name, load, pv, share):
    """(problem, shared): the cloud's where the piece is the whole feeder and cuts are given.

    share: part of the loss that the cloud prices, the edges price the rest.
    """
    own, n_s = piece.feeder, len(load)
    p, q, lost, limits, shared = devices(own, case, name, load, pv)
    tap, given = cp.Variable(), {}
    if piece.top is None:
        low, high = np.square(case["noon.v_root"])
        limits, given = [*limits, tap >= low, tap <= high], {"v_root": tap * np.ones(n_s)}
        shared["v root"] = tap
    model, borders, (P, Q, ell, v) = areas.model(piece, p, q, n_s, **given)
    for bus in cuts:
        j = own.index(bus)
        borders |= {f"v {bus}": v[:, own.parent[j]], f"P {bus}": P[:, j], f"Q {bus}": Q[:, j]}
    loss = cp.sum(ell @ own.r)
    edge = (1 - share) * loss + case["cost.w_deviation"] * cp.sum_squares(v - 1) + lost
    return cp.Problem(cp.Minimize(share * loss if cuts else edge), model + limits), borders | shared


def stated(name, n_s, case):
    """(edges, cloud, centralised Area, options of admm.coordinate)."""
    feeder, cuts = read_feeder(name), case[f"{name}.cuts"]
    load, pv = noon(n_s, case)

    def one(piece, cuts, called, share=case["cost.cloud_share"]):
        problem, shared = subproblem_of(piece, cuts, case, name, load, pv, share)
        return admm.area(problem, shared if share else {}, name=called)

    edges = [one(piece, (), piece.name) for piece in areas.cut(feeder, cuts)]
    (whole,) = areas.cut(feeder, [])
    cloud, central = one(whole, cuts, "cloud"), one(whole, (), "whole", share=0)
    return edges, cloud, central, options(feeder, cuts, case, n_s)


def options(feeder, cuts, case, n_s):
    """Chapter 9's weights; a set-point is one copy for all scenarios and weighs as all of them."""
    rule = areas.stiffness(feeder, cuts)
    points = dict.fromkeys(("q", "p", "bank"), rule["P"] * n_s**0.5)
    flat = dict.fromkeys(("P", "Q", *points), 0.0) | dict.fromkeys(("v", "v root"), 1.0)
    scale = rule | points | {"v root": rule["v"] * n_s**0.5}
    return {"scale": scale, "start": flat, "memory": case["runs.memory"], "tol": case["runs.tol"]}


def counted(area, since):
    """Of the last solve of an area in this process, which began at `since`."""
    told = subproblem._solvers[area.key][1].get_info()
    return {"iterations": told.iterations, "factor": told.linsolver.nnzL,
            "copies": len(area.labels), "cpu_s": time.process_time() - since}  # fmt: skip


def measured(name, n_s, case, most):
    edges, cloud, central, given = stated(name, n_s, case)
    since = time.process_time()
    admm.step(central, *np.zeros((3, 0)))
    rows, begun = [{"whole": counted(central, since)}], [time.process_time()]

    def run(areas, messages):
        row, replies = {"cloud": counted(cloud, begun.pop())}, []
        for area, message in zip(areas, messages):
            since = time.process_time()
            replies.append(admm.step(area, *message))
            row[area.name] = counted(area, since)
        rows.append(row)
        begun.append(time.process_time())
        return replies

    found = admm.coordinate(edges, cloud, run=run, max_iter=most, **given)
    left = {k: np.r_[np.nan, found.history[k]] for k in ("primal", "dual")}
    return pd.DataFrame([
        {"feeder": name, "round": k, "task": task, **values, **{n: a[k] for n, a in left.items()}}
        for k, row in enumerate(rows) for task, values in row.items()
    ])  # fmt: skip


def run():
    case = profiles.read_case("cloud_edge")
    return pd.concat([measured(n, case[f"{n}.n_s"], case, case["runs.most"]) for n in FEEDERS])


def one_point():
    case = profiles.read_case("cloud_edge")
    row = measured("ieee33", case["ieee33.n_s"], case, 1).iloc[1]
    key = {k: row[k] for k in ("feeder", "round", "task")} | {"round": int(row["round"])}
    return key, {k: float(row[k]) for k in ("iterations", "factor", "copies")}
