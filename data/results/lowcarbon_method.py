"""What chapter 24 says of its method: work over hours, rounding, scenarios, correlation.

hours        S3 without vehicles over the first hours of the day: binaries, work and gap
rounding     S3 under ten tariffs: whether the rounded relaxation keeps all limits
two stages   binaries chosen for the mean day or with ten scenarios in view (a bound)
correlation  expected cost of S3 on joint scenarios of wind and PV, by their rank correlation
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from adnlib import arma, certified, copula, profiles, read_feeder, scenarios, solve
from adnlib import model as models
from tools.sweeps import load

CHOICES = Path(__file__).with_name("lowcarbon_choices.py")
L = load(CHOICES)
DEPENDS = [
    *L.DEPENDS,
    "adnlib/copula.py",
    "adnlib/correlation.py",
    "adnlib/margins.py",
    "data/profiles/rts_day_ahead.csv.gz",
    "data/profiles/rts_pv_5min.csv.gz",
    "data/profiles/rts_units.csv",
    "data/profiles/rts_wind_5min.csv.gz",
    "data/results/lowcarbon_choices.py",
]
RTOL = 1e-3
GAP, DRAWS = 1e-3, 40
WIND, PV = "wind_309_mw", "pv_215_mw"


def given(P, charging, output, n_t=24):
    """What model.model is given for S3; n_t < 24: the first hours, without vehicles."""
    feeder = replace(read_feeder(P["network.feeder"]), V_root=P["oltc.k_without"])
    rest = L.loads(P, feeder, L.parts(charging)[0] if P["out"] != "L" else charging)
    devices = [L.tie(P), *L.plants(P, output), *L.resources(P, charging)]
    first = lambda a: a[..., :n_t] if np.ndim(a) and np.shape(a)[-1] == 24 else a  # noqa: E731
    short = []
    for device in devices:
        fields = {k: first(v) for k, v in vars(device).items() if isinstance(v, np.ndarray)}
        short.append(replace(device, **fields))
    return {
        "feeder": feeder, "devices": short, "day": None, "objective": {"carbon": 1},
        "load": tuple(a[:n_t] for a in rest), **L.limits(P, feeder),
    }  # fmt: skip


def hours(n_t):
    """Binaries, work and gap of the first n_t hours."""
    P = L.setting({"out": "L"})
    m = models.model(**given(P, *L.day(P, np.random.default_rng(L.SEED)), n_t))
    found = certified.solve(m.problem, gap=GAP, work_limit=20 * L.WORK)
    binaries = sum(v.size for v in m.problem.variables() if v.attributes["boolean"])
    return {"binaries": binaries, "work": found.history[-1][1], "gap": found.gap}


def rounding(k):
    """Whether rounding every binary of the relaxation by itself keeps all limits."""
    rng = np.random.default_rng(k)
    P = L.setting({})
    P["tariff.hourly"] = L.price(P) * rng.uniform(0.7, 1.3, 24)
    made = given(P, *L.day(P, np.random.default_rng(L.SEED)))
    free, relaxed = models.model(**made), models.model(**made, binaries="relaxed")
    bound = solve.solve(relaxed.problem, retries=solve.FLAT)
    names = [v.name() for v in free.problem.variables() if v.attributes["boolean"]]
    values = {v.name(): v.value for v in relaxed.problem.variables()}
    held = free.held({name: np.round(values[name]) for name in names})
    try:
        feasible, value = 1, solve.solve(held.problem, retries=solve.FLAT)
    except solve.SolveError as error:
        if not str(error).startswith("infeasible"):
            raise
        feasible, value = 0, np.nan
    found = certified.solve(free.problem, gap=GAP, work_limit=L.WORK)
    return {"feasible": feasible, "gap": found.gap, "rounded_gap": value / bound - 1}


# ---------------------------------------------------------------------------------- scenarios


def measured():
    """Joint model of the daily mean errors of one wind and one PV plant (real less forecast)."""
    real = pd.concat(
        [profiles.read_series(f"rts_{k}_5min")[c] for k, c in (("wind", WIND), ("pv", PV))], axis=1
    )
    ahead = profiles.read_series("rts_day_ahead")[[WIND, PV]]
    daily = [a.groupby(a.index.normalize()).mean() for a in (real, ahead)]
    return copula.fit((daily[0] - daily[1]).dropna())


def joint(P, rho, rng):
    """(DRAWS, 24) of one wind and one PV plant; rho: correlation of their scores.

    The paths are the same for every rho; only which wind goes with which PV differs.
    """
    phi, theta, sigma = (L.PATHS[f"printed.{k}"] for k in ("phi_repaired", "theta", "sigma"))
    error, paths = arma.Arma(phi, theta, sigma / 100 * P["day.rated"]), []
    for kind in ("wind", "pv"):
        forecast = np.minimum(P[f"day.{kind}"], P["day.rated"])
        most = np.where(forecast > 0, P["day.rated"], 0.0)
        found = arma.around(forecast, arma.simulate(error, DRAWS, 24, rng), most)
        paths.append(found[np.argsort(found.sum(axis=1))])
    both = replace(measured(), correlation=np.array([[1, rho], [rho, 1]]))
    rank = np.argsort(np.argsort(both.sample(DRAWS, rng), axis=0), axis=0)
    return paths[0][rank[:, 0]], paths[1][rank[:, 1]]


def mean_day(P):
    """S3 of the mean day: what it was given, and its binaries."""
    charging, output = L.day(P, np.random.default_rng(L.SEED))
    m = models.model(**given(P, charging, output))
    certified.solve(m.problem, gap=GAP, work_limit=L.WORK)
    mine = [v for v in m.problem.variables() if v.attributes["boolean"]]
    return charging, output, {v.name(): np.round(v.value) for v in mine}


def expected(P, charging, output, prob, binaries):
    """Expected cost over scenarios, binaries as given or relaxed [RMB]."""
    made = given(P, charging, output) | {"scenarios": prob, "binaries": binaries}
    made["load"] = tuple(np.broadcast_to(a, (len(prob), *a.shape)) for a in made["load"])
    m = models.model(**made)
    return solve.solve(m.problem, retries=solve.FLAT) * m.scale


def correlation(rho):
    """Expected cost on joint scenarios, and the spread of their sum."""
    P, rng = L.setting({}), np.random.default_rng(L.SEED)
    charging, _, binaries = mean_day(P)
    wind, pv = joint(P, rho, rng)
    prob = np.full(DRAWS, 1 / DRAWS)
    cost = expected(P, charging, {"wind": wind, "pv": pv}, prob, binaries)
    spread = 2 * (wind + pv).sum(axis=1).std()
    return {"cost": cost, "spread_mwh": spread}


def two_stages():
    """Cost with the binaries of the mean day, and the bound with scenarios in view."""
    P, rng = L.setting({}), np.random.default_rng(L.SEED)
    charging, _, binaries = mean_day(P)
    wind, pv = joint(P, 0.0, rng)
    few = scenarios.forward_selection(scenarios.Scenarios(np.hstack([wind, pv])), P["day.n_after"])
    split = {"wind": few.values[:, :24], "pv": few.values[:, 24:]}
    mean = {kind: few.prob @ paths for kind, paths in split.items()}
    return {
        "cost": expected(P, charging, split, few.prob, binaries),
        "bound": expected(P, charging, split, few.prob, "relaxed"),
        "mean_cost": expected(P, charging, mean, np.ones(1), binaries),
    }


def run():
    rho = float(measured().correlation[0, 1])
    rows = [{"study": "hours", "x": n, **hours(n)} for n in (6, 12, 18, 24)]
    rows += [{"study": "rounding", "x": k, **rounding(k)} for k in range(10)]
    rows += [{"study": "two stages", "x": 10, **two_stages()}]
    rows += [{"study": "correlation", "x": r, **correlation(r)} for r in (-0.8, 0.0, 0.8)]
    rows += [{"study": "measured correlation", "x": rho, **correlation(rho)}]
    return pd.DataFrame(rows)


def one_point():
    return {"study": "hours", "x": 6.0}, {"binaries": hours(6)["binaries"]}
