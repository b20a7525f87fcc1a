"""Does a partition with more control ability coordinate faster? Partitions of ieee33 (chapter 11).

Best siting of data/results/siting.csv; one hour, loss + deviation as in chapter 9, plants with
reactive power and batteries within their power. rounds: ADMM, weighted with Anderson, to the
tolerance; 0: not within the most.  ability, inside, outside: chapter 11;  kept: bounds kept.
"""

import cvxpy as cp
import numpy as np
import pandas as pd

from adnlib import admm, areas, linflow, partition, powerflow, profiles, read_feeder, siting
from adnlib.feeder import DATA

DEPENDS = [
    "adnlib/admm.py",
    "adnlib/anderson.py",
    "adnlib/areas.py",
    "adnlib/branchflow.py",
    "adnlib/feeder.py",
    "adnlib/linflow.py",
    "adnlib/partition.py",
    "adnlib/powerflow.py",
    "adnlib/profiles.py",
    "adnlib/siting.py",
    "adnlib/solve.py",
    "adnlib/subproblem.py",
    "adnlib/tables.py",
    "adnlib/tree.py",
    "adnlib/wiring.py",
    "data/cases/first_day.toml",
    "data/cases/siting.toml",
    "data/feeders/ieee33",
    "data/profiles",
    "data/results/siting.csv",
]
RTOL = 0.1  # of rounds: a residual may cross its limit a round sooner or later


def prepared(case):
    """(study, all cuts, coupling, table of all of them, pv, ess) of ieee33."""
    first = profiles.read_case("first_day")
    given = {"region": first["day.region"], "pv": first["generation.pv_unit"]}
    day = profiles.resampled(profiles.rts_day(first["day.date"], **given), 1.0)
    feeder = read_feeder("ieee33")
    study = siting.Study.of_case(feeder, case, day.load, day.pv.mean(axis=1))
    at = partition.all_cuts(feeder, case["inner.n_areas"])
    table = partition.for_study(study, at, bound=(0, 1), least=0)
    runs = pd.read_csv(DATA / "results" / "siting.csv")
    runs = runs[(runs["feeder"] == "ieee33") & runs["inner"] & (runs["floor"] == 0)]
    best = runs.loc[runs["loss_mwh"].idxmin()]
    pv, ess = ([feeder.index(int(b)) for b in best[k].split()] for k in ("pv", "ess"))
    mean = powerflow.solve(feeder, study.p.mean(axis=0), study.q.mean(axis=0))
    return study, partition.coupling(*linflow.sensitivities(feeder, mean)), table, pv, ess


def problem(study, piece, pv, ess, case):
    """(problem, shared) of one area at the hour."""
    t, own = case["areas.hour"], piece.feeder
    plants, batteries = (np.isin(piece.place, a).astype(float)[None] for a in (pv, ess))
    h, b = cp.Variable((1, own.n)), cp.Variable((1, own.n))
    p = study.p[[t]][:, piece.place] + study.pv[t] * plants + b
    q = study.q[[t]][:, piece.place] + h
    model, shared, (_, _, ell, v) = areas.model(piece, p, q)
    limits = [cp.abs(h) <= study.q_max[t] * plants, cp.abs(b) <= study.p_max * batteries]
    cost = cp.sum(ell @ own.r) + case["areas.w_deviation"] * cp.sum_squares(v - 1)
    return cp.Problem(cp.Minimize(cost), model + limits), shared


def rounds(study, labels, pv, ess, case):
    """Rounds of ADMM to the tolerance with cuts above the buses `labels`."""
    feeder = study.feeder
    parts = [
        admm.area(*problem(study, piece, pv, ess, case), name=piece.name)
        for piece in areas.cut(feeder, labels)
    ]
    found = admm.coordinate(
        parts, scale=areas.stiffness(feeder, labels), start=areas.flat(feeder),
        tol=case["areas.tol"], memory=case["areas.memory"], max_iter=case["areas.most"],
    )  # fmt: skip
    return found.iterations if found.status == "converged" else 0


def row(prep, which, case):
    study, coupled, table, pv, ess = prep
    labels = [study.feeder.buses[j] for j in table.at[which]]
    inside, outside = partition.strengths(coupled, table.owner[[which]], table.n_areas)
    level = partition.mean_coupling(coupled)
    return {
        "which": which, "cuts": " ".join(map(str, labels)),
        "rounds": rounds(study, labels, pv, ess, case),
        "ability": table.abilities(pv, ess)[0, which],
        "inside": inside.min(), "outside": outside.max(),
        "kept": bool(inside.min() >= level >= outside.max()),
        "smallest": np.bincount(table.owner[which]).min(),
    }  # fmt: skip


def run():
    case = profiles.read_case("siting")
    prep = prepared(case)
    chosen = range(0, len(prep[2].at), case["areas.every"])
    return pd.DataFrame([row(prep, which, case) for which in chosen])


def one_point():
    case = profiles.read_case("siting")
    found = row(prepared(case), 9, case)
    return {"which": 9}, {"rounds": found["rounds"], "ability": found["ability"]}
