"""Rounds of ADMM against the number of areas on two feeders (chapter 09).

One hour, loss + deviation, PV with reactive power at every sixth bus ([growth] of
data/cases/admm.toml). Plain: one penalty for all quantities, the best of four for 1e-3, where
it stops; where none reaches 1e-3, the best of them for 1e-2. rho: the penalty, or the factor on
the rule's. cost_off, priced_off: relative to the whole feeder's optimum, at 1e-3.
"""

import cvxpy as cp
import numpy as np
import pandas as pd

from adnlib import admm, areas, profiles, read_feeder, solve

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
    "data/cases/admm.toml",
    "data/feeders",
]
RTOL = 0.05  # of rounds: a residual may cross its limit a round sooner or later


def problem(feeder, piece, case):
    """(problem, shared) of one area."""
    own, total = piece.feeder, feeder.p_load.sum()
    buses = feeder.buses[3 :: case["growth.pv_every"]]
    here = np.array([b in buses for b in own.buses], float)
    g, s_max = (case[f"growth.{k}"] * total / len(buses) for k in ("pv_share", "s_share"))
    h = cp.Variable((1, own.n))
    p = (g * here - case["growth.load"] * own.p_load)[None]
    q = h - case["growth.load"] * own.q_load[None]
    constraints, shared, (_, _, ell, v) = areas.model(piece, p, q)
    limit = [cp.abs(h) <= np.sqrt(s_max**2 - g**2) * here[None]]
    cost = cp.sum(ell @ own.r) + case["areas.w_deviation"] * cp.sum_squares(v - 1)
    return cp.Problem(cp.Minimize(cost), constraints + limit), shared


def methods(feeder, cuts, case):
    """{method: options of admm.coordinate}."""
    by_rule = {"scale": areas.stiffness(feeder, cuts)}
    plain = {f"plain {rho:g}": {"rho": rho, "tol": 1e-3} for rho in case["growth.rho"]}
    fast = {f"weighted, Anderson {m}": by_rule | {"memory": m} for m in (10, 20)}
    return plain | {"weighted": by_rule} | fast


def row(name, n_areas, method, options, case):
    """One run: rounds to each tolerance and the gap to the whole feeder's optimum at 1e-3."""
    feeder = read_feeder(name)
    cuts = areas.split(feeder, n_areas)
    central = solve.solve(problem(feeder, areas.cut(feeder, [])[0], case)[0])
    parts = [admm.area(*problem(feeder, p, case), name=p.name) for p in areas.cut(feeder, cuts)]
    options = {"tol": 1e-4} | options
    found = admm.coordinate(parts, max_iter=case["growth.most"],
                            start=areas.flat(feeder), **options)  # fmt: skip
    rounds = {f"rounds_{tol:g}": found.first(tol) for tol in case["runs.tolerances"]}
    at = rounds["rounds_0.001"]
    off = {
        f"{what}_off": found.history[what][at - 1] / central - 1 if at else np.nan
        for what in ("cost", "priced")
    }
    size = {"largest": max(p.feeder.n for p in areas.cut(feeder, cuts))}
    key = {"feeder": name, "areas": n_areas, "method": method}
    return key, {"copies": len(found.s), **size, **rounds, **off}


def run():
    case, rows = profiles.read_case("admm"), []
    for name in case["growth.feeders"]:
        for n_areas in case["growth.n_areas"]:
            feeder = read_feeder(name)
            runs = methods(feeder, areas.split(feeder, n_areas), case)
            found = [row(name, n_areas, m, o, case) for m, o in runs.items()]
            found = [key | values for key, values in found]
            plain = [r for r in found if r["method"].startswith("plain")]
            best = min(plain, key=quickest)
            rows += [best | {"method": "plain", "rho": float(best["method"].split()[1])}]
            rows += [r | {"rho": 1.0} for r in found if r not in plain]
    return pd.DataFrame(rows)


def quickest(found):
    """Key that sorts runs by their rounds to 1e-3, then to 1e-2; never reached comes last."""
    return [found[f"rounds_{tol}"] or np.inf for tol in ("0.001", "0.01")]


def one_point():
    case = profiles.read_case("admm")
    feeder = read_feeder("ieee123")
    options = methods(feeder, areas.split(feeder, 3), case)["weighted"]
    key, values = row("ieee123", 3, "weighted", options, case)
    return key, {k: v for k, v in values.items() if not k.endswith("_off")}
