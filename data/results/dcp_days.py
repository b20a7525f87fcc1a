"""Day-ahead plans of chapter 21 over the held-out days, each judged on what then came.

One row a day and way of planning. A plan fixes the exchange, storage and demand response, under
taps and banks that all ways share; the day as it came is then dispatched with that held, and
replayed through the exact power flow. Columns are explained where chapter 21 reads them.
"""

import multiprocessing
from functools import cache

import cvxpy as cp
import numpy as np
import pandas as pd
from scipy.special import ndtr

from adnlib import branchflow, copula, powerflow, profiles, read_feeder, scenarios, solve
from adnlib.correlation import cholesky
from adnlib.devices import (
    CapacitorBank,
    DemandResponse,
    GasTurbine,
    Moves,
    Renewable,
    StaticVar,
    Storage,
    TapChanger,
    TieLine,
)
from adnlib.model import model, root_voltage

DEPENDS = [
    "adnlib/branchflow.py",
    "adnlib/copula.py",
    "adnlib/correlation.py",
    "adnlib/devices.py",
    "adnlib/feeder.py",
    "adnlib/flexible.py",
    "adnlib/horizon.py",
    "adnlib/margins.py",
    "adnlib/model.py",
    "adnlib/powerflow.py",
    "adnlib/profiles.py",
    "adnlib/scenarios.py",
    "adnlib/solve.py",
    "adnlib/switched.py",
    "adnlib/tables.py",
    "adnlib/tieline.py",
    "adnlib/tree.py",
    "data/cases/dcp.toml",
    "data/feeders/ieee33",
    "data/profiles/rts_day_ahead.csv.gz",
    "data/profiles/rts_pv_5min.csv.gz",
    "data/profiles/rts_units.csv",
    "data/profiles/rts_wind_5min.csv.gz",
]
RTOL = 1e-4
CASE = profiles.read_case("dcp")
UNITS, MW = CASE["plants.unit"], np.array(CASE["plants.mw"])
N_T, N = 24, len(UNITS)
TARIFF = np.repeat([CASE[f"price.{k}"] for k in ("valley", "flat", "peak", "flat", "peak")],
                   [7, 2, 2, 8, 5]).astype(float)  # fmt: skip


# ---------------------------------------------------------------------------------- uncertainty


@cache
def data():
    """(dates, forecast, actual, fitted, held): hourly means (n_d, 24, N) [p.u.], masks (n_d,)."""
    rated = profiles.read_units()["p_max_mw"][UNITS].to_numpy()
    columns = [f"{u}_mw" for u in UNITS]
    real = [profiles.read_series(f"rts_{kind}_5min") for kind in ("wind", "pv")]
    actual = pd.concat(real, axis=1)[columns].resample("1h").mean()
    dates = actual.index.normalize().unique()
    shape = (len(dates), N_T, N)
    ahead = profiles.read_series("rts_day_ahead")[columns]
    forecast, actual = ((a / rated).to_numpy().clip(0, 1).reshape(shape) for a in (ahead, actual))
    held = np.isin(dates.month, CASE["model.held_out"])
    first, last = CASE["model.repeated"]
    return dates, forecast, actual, ~held & ~((dates >= first) & (dates <= last)), held


@cache
def pool(k, h):
    """Forecasts, sorted, and what came, of the past hours that tell about unit k in hour h."""
    _, forecast, actual, fitted, _ = data()
    near = slice(0, N_T) if UNITS[k].startswith("wind") else slice(max(h - 1, 0), h + 2)
    f, a = (x[fitted][:, near, k].ravel() for x in (forecast, actual))
    order = np.argsort(f, kind="stable")
    return f[order], a[order]


def alike(k, h, level):
    """What came in the past hours with the forecasts nearest to `level`, sorted, (K,)."""
    f, a = pool(k, h)
    n = min(CASE["model.analogs"], len(f))
    first = np.clip(np.searchsorted(f, level) - n // 2, 0, len(f) - n)
    return np.sort(a[first : first + n])


@cache
def joint():
    """Correlation (24 N, 24 N) of the normal scores of what came, given its forecast."""
    _, forecast, actual, fitted, _ = data()
    u = np.full((fitted.sum(), N_T, N), 0.5)
    for h in range(N_T):
        for k in range(N):
            for i, (f, a) in enumerate(zip(forecast[fitted, h, k], actual[fitted, h, k])):
                margin = alike(k, h, f)
                u[i, h, k] = (rank(margin, a) + 0.5) / (len(margin) + 1)
    return copula.fit(u.reshape(len(u), -1), shrinkage="auto").correlation


def rank(margin, a):
    """Values of a sorted margin below a, and half of those equal to it."""
    return (np.searchsorted(margin, a, "left") + np.searchsorted(margin, a, "right")) / 2


def alone(R):
    """Every unit with its own hours, no unit with another one."""
    unit = np.tile(np.arange(N), N_T)
    return R * (unit[:, None] == unit)


def drawn(R, forecast, n, seed):
    """n days (n, 24, N) [p.u.] of the model with correlation R, given the forecast (24, N)."""
    z = np.random.default_rng(seed).standard_normal((n, N_T * N)) @ cholesky(R).T
    u, out = ndtr(z).reshape(n, N_T, N), np.empty((n, N_T, N))
    for h in range(N_T):
        for k in range(N):
            margin = alike(k, h, forecast[h, k])
            out[:, h, k] = margin[(u[:, h, k] * len(margin)).astype(int)]
    return out


def few(days, n):
    """(days kept, probabilities): forward selection on the region's total by hour [MW]."""
    kept = scenarios.forward_selection(scenarios.Scenarios(days @ MW), n)
    return days[kept.index], kept.prob


# ---------------------------------------------------------------------------------- the region


def devices(feeder, load, available, coordinated=True, flexible=True):
    """Records of the region; available (..., 24, N) [MW]. flexible: storage and response are in."""
    c = CASE
    by_day = Moves(operations_per_day=c["taps.operations"])
    out = [TieLine(0.0, loss_price_per_mwh=c["price.loss"], s_mva=c["tie.s_mva"],
                   ramp_mvar_per_h=c["tie.ramp_mvar"]),
           TapChanger(c["taps.k_min"], c["taps.k_step"], c["taps.n_steps"], c["taps.start"],
                      V_source=c["tie.V_source"], moves=by_day),
           GasTurbine(c["turbine.bus"], c["turbine.mw"], s_mva=c["turbine.s_mva"],
                      ramp_mw_per_h=c["turbine.ramp"], cost_per_mwh=c["price.turbine"],
                      name="turbine")]  # fmt: skip
    by_day = Moves(operations_per_day=c["banks.operations"],
                   steps_at_once=c["banks.steps_at_once"])  # fmt: skip
    out += [CapacitorBank(b, c["banks.step_mvar"], c["banks.n_steps"], c["banks.start"],
                          moves=by_day) for b in c["banks.bus"]]  # fmt: skip
    for k, (unit, bus) in enumerate(zip(UNITS, c["plants.bus"])):
        s = c["plants.s_per_mw"] * MW[k] if coordinated else None
        cost = c["price.pv"] if unit.startswith("pv") else 0.0
        out.append(Renewable(bus, available[..., k], s, cost_per_mwh=cost, name=unit))
    if coordinated:
        out += [StaticVar(b, c["svc.q_min"], c["svc.q_max"]) for b in c["svc.bus"]]
    return out + (flexibles(feeder, load, coordinated) if flexible else [])


def flexibles(feeder, load, coordinated=True):
    """Storage and demand response."""
    c = CASE
    least, most, start = c["storage.soc"]
    eta = c["storage.efficiency"]
    out = [Storage(b, c["storage.mwh"], c["storage.charge_mw"], c["storage.discharge_mw"], eta, eta,
                   least, most, start, exclusive=False, cost_per_mwh=c["price.storage"])
           for b in c["storage.bus"]]  # fmt: skip
    for b in c["response.bus"] if coordinated else ():
        at = feeder.index(b)
        room = c["response.share"] * c["feeder.peak"] * feeder.p_load[at] * load
        q_over_p = feeder.q_load[at] / feeder.p_load[at]
        out.append(DemandResponse(b, room, room, q_over_p, cost_per_mwh=c["price.response"]))
    return out


def limits(reserve):
    """Limits of the voltage, with a reserve at both ends, and what is not for the devices."""
    return {"V_min": CASE["feeder.V_min"] + reserve, "V_max": CASE["feeder.V_max"] - reserve,
            "peak": CASE["feeder.peak"], "objective": {"energy": 0}}  # fmt: skip


def planned(feeder, load, available, prob=None, coordinated=True, held="relaxed", short=None):
    """The day ahead: schedule, storage and response of least expected cost, as a dict."""
    m = model(feeder, devices(feeder, load, available, coordinated), load, scenarios=prob,
              binaries=held, **limits(CASE["feeder.V_reserve"]))  # fmt: skip
    h, c = m.horizon, cp.Variable(N_T, name="schedule")
    rows, energy = [cp.abs(c[1:] - c[:-1]) <= CASE["tie.ramp_mw"]], TARIFF @ c
    if prob is None:
        rows.append(m.p_grid == c)
    else:
        up, down = (cp.Variable(h.rows, nonneg=True) for _ in range(2))
        rows.append(m.p_grid - h.repeat(c) == up - down)
        weight = h.weight * np.tile(TARIFF, h.n_s)
        short = CASE["price.short"] if short is None else short
        energy = energy + short * weight @ up - CASE["price.surplus"] * weight @ down
    cost = energy + m.cost["loss"] + m.cost["devices"]
    scale = TARIFF.mean() * np.sum(feeder.p_load) * load.sum()
    problem = cp.Problem(cp.Minimize(cost / scale), m.problem.constraints + rows)
    value = optimum(problem) * scale
    return read(m, c, value, coordinated)


def optimum(problem, gap=1e-6):
    """Optimal value to a millionth, where the solver still moves; what is replayed says more."""
    return solve.solve(problem, tol_gap_abs=gap, tol_gap_rel=gap, tol_feas=1e-7)


def read(m, c, value, coordinated):
    """What the plan holds, and how it was found."""
    names = [f"storage {b}" for b in CASE["storage.bus"]]
    names += [f"demand response {b}" for b in CASE["response.bus"]] if coordinated else []
    shown = {name: m.parts[name].shown for name in names}
    net = {k: (s["p_mw"] if "p_mw" in s else -s["change_mw"]).value for k, s in shown.items()}
    ladders = {x.name(): x.value for x in m.problem.variables() if x.name().endswith("ladder")}
    return {"schedule": c.value, "net": net, "ladders": ladders, "value": value,
            "cost": sum(float(m.parts[k].cost.value) for k in names),
            "wind": float(sum(m.horizon.expected(m.parts[u].shown["p_mw"]).value
                              for u in UNITS if u.startswith("wind"))),
            "coordinated": coordinated, "model": m}  # fmt: skip


def settled(feeder, load, available, coordinated=True):
    """(ladders held for the day, value of the relaxed plan): constant positions near its means.

    From the rounded means each device in turn walks one position at a time while that saves.
    """
    free = planned(feeder, load, available, coordinated=coordinated)
    at = {name: round(float(s.sum(axis=1).mean())) for name, s in free["ladders"].items()}
    rungs = {name: s.shape[1] for name, s in free["ladders"].items()}

    def value(at):
        try:
            return planned(feeder, load, available, None, coordinated, ladders(at, rungs))["value"]
        except solve.SolveError:
            return np.inf

    best = value(at)
    for name, step in [(name, step) for name in at for step in (-1, 1)]:
        while 0 <= at[name] + step <= rungs[name]:
            trial = at | {name: at[name] + step}
            found = value(trial)
            if found >= best:
                break
            at, best = trial, found
    return ladders(at, rungs), free["value"]


def ladders(at, rungs):
    """Ladders of constant positions; a bank gets there by one group a step, (32)."""
    out = {}
    for name, n in at.items():
        position = np.full(N_T, n)
        if not name.startswith("tap"):
            start, hour = CASE["banks.start"], np.arange(1, N_T + 1)
            position = np.clip(position, start - hour, start + hour)
        out[name] = (np.arange(rungs[name]) < position[:, None]).astype(float)
    return out


def realised(feeder, load, actual, plan, held, short=None):
    """The day as it came, actual (24, N) [MW], under a plan: what it cost and how it ran."""
    p, q = profiles.loads(feeder, load, CASE["feeder.peak"])
    p, q = p.copy(), q.copy()
    for name, net in plan["net"].items():
        at = feeder.index(int(name.split()[-1]))
        p[:, at] -= net / feeder.s_base_mva
        if name.startswith("demand"):
            q[:, at] -= net / feeder.s_base_mva * feeder.q_load[at] / feeder.p_load[at]
    there = devices(feeder, load, actual, plan["coordinated"], flexible=False)
    m = model(feeder, there, load, load=(p, q), binaries=held, **limits(0.0))
    up, down = (cp.Variable(N_T, nonneg=True) for _ in range(2))
    short = CASE["price.short"] if short is None else short
    cost = short * TARIFF @ up - CASE["price.surplus"] * TARIFF @ down
    cost = cost + m.cost["loss"] + m.cost["devices"]
    scale = TARIFF.mean() * np.sum(feeder.p_load) * load.sum()
    rows = m.problem.constraints + [m.p_grid - plan["schedule"] == up - down]
    optimum(cp.Problem(cp.Minimize(cost / scale), rows))
    tight = branchflow.cone_gap(m.plan()) > 1e-6
    if tight:  # the limit on the voltages without losses, as chapter 3: safe, and exact
        rows = rows + [lossless(feeder, m) <= CASE["feeder.V_max"] ** 2]
        optimum(cp.Problem(cp.Minimize(cost / scale), rows))
    return judged(feeder, m, plan, short) | {"tight": tight}


def lossless(feeder, m):
    """Squared voltages of the linear flow without losses, (rows, n)."""
    path = np.linalg.inv(np.eye(feeder.n) - below(feeder).T)
    R, X = (path @ np.diag(a) @ path.T for a in (feeder.r, feeder.x))
    v_root = root_voltage(m.parts)
    return cp.reshape(v_root, (N_T, 1), order="C") @ np.ones((1, feeder.n)) + 2 * (
        m.p @ R + m.q @ X
    )


def below(feeder):
    """children[i, j] = 1 if bus j hangs from bus i."""
    out = np.zeros((feeder.n, feeder.n))
    low = np.flatnonzero(feeder.parent >= 0)
    out[feeder.parent[low], low] = 1
    return out


def judged(feeder, m, plan, short):
    """The exact flow of the dispatch, and the cost of the day by it."""
    found = m.plan()
    flow = powerflow.solve(feeder, found.p, found.q, V_root=found.V_root, b_shunt=found.b_shunt)
    bought, loss = flow.p_root * feeder.s_base_mva, flow.p_loss * feeder.s_base_mva
    off = bought - plan["schedule"]
    extra = short * np.maximum(off, 0) - CASE["price.surplus"] * np.maximum(-off, 0)
    own = sum(float(np.sum(number(part.cost))) for part in m.parts.values())
    cost = (
        TARIFF @ (plan["schedule"] + extra) + CASE["price.loss"] * loss.sum() + own + plan["cost"]
    )
    wind = sum(number(m.parts[u].shown["p_mw"]) for u in UNITS if u.startswith("wind"))
    V_max, V_min = CASE["feeder.V_max"], CASE["feeder.V_min"]
    return {"cost": cost, "bought": bought, "loss": loss, "wind": wind, "flow": flow,
            "short": np.maximum(off, 0), "surplus": np.maximum(-off, 0),
            "cone_gap": branchflow.cone_gap(found), "V_error": np.abs(flow.V - found.V).max(),
            "outside": np.maximum(flow.V - V_max, V_min - flow.V).max()}  # fmt: skip


def number(a):
    return a.value if isinstance(a, cp.Expression) else a


# ---------------------------------------------------------------------------------- caps of (17)


def groups():
    """Positions of the wind plants, and of the PV plants."""
    wind = np.array([u.startswith("wind") for u in UNITS])
    return [np.flatnonzero(wind), np.flatnonzero(~wind)]


def unit_caps(forecast, level):
    """Quantile of each unit alone, (24, N) [MW]."""
    caps = [[np.quantile(alike(k, h, forecast[h, k]), level) for k in range(N)] for h in range(N_T)]
    return np.array(caps) * MW


def total_caps(days, level):
    """Quantile of the wind and of the PV of the region, shared out by expected output, (24, N)."""
    mw, out = days * MW, np.zeros((N_T, N))
    for g in groups():
        total, mean = mw[..., g].sum(axis=2), mw[..., g].mean(axis=0)
        share = mean / np.maximum(mean.sum(axis=1, keepdims=True), 1e-9)
        out[:, g] = np.quantile(total, level, axis=0)[:, None] * share
    return np.minimum(out, MW)


def kept_all_day(days, level):
    """Level of hourly quantiles of the wind that hold in all hours of a day with 1 - level."""
    total = (days * MW)[..., groups()[0]].sum(axis=2)
    low, high = 0.0, level
    for _ in range(12):
        middle = (low + high) / 2
        held = (total >= np.quantile(total, middle, axis=0)).all(axis=1).mean()
        low, high = (middle, high) if held >= 1 - level else (low, middle)
    return low


# ---------------------------------------------------------------------------------- the study


def caps_of(forecast, days):
    """{reading: caps (24, N) [MW]} of (17), for days {model: draws (n, 24, N)}."""
    level = CASE["cases.level"]
    out = {"quantile, units": unit_caps(forecast, level)}
    for name, of in days.items():
        out[f"quantile, {name}"] = total_caps(of, level)
        out[f"chance, {name}"] = total_caps(of, kept_all_day(of, level))
    return out


def plans_of(feeder, load, forecast, actual, seed):
    """({way: (plan, held, cap or None)}, {reading: cap}) of one day; caps (24, N) [MW]."""
    n, few_n, R = CASE["model.draws"], CASE["model.scenarios"], joint()
    models = {"alone": alone(R), "joint": R, "hours": np.eye(len(R))}
    days, x = {name: drawn(Q, forecast, n, seed) for name, Q in models.items()}, forecast * MW
    held, bound = zip(*(settled(feeder, load, x, c) for c in (False, True)))
    caps = caps_of(forecast, days)
    fixed = {"point": x, "mean": days["joint"].mean(axis=0) * MW, "perfect": actual * MW,
             "derated": CASE["cases.derating"] * x}  # fmt: skip
    fixed |= {k: caps[k] for k in ("quantile, units", "quantile, joint")}
    out = {"traditional": (planned(feeder, load, x, None, False, held[0]), held[0], x)}
    out |= {way: (planned(feeder, load, cap, held=held[1]), held[1], cap)
            for way, cap in fixed.items()}  # fmt: skip
    for name, of in days.items():
        some, prob = few(of, few_n)
        out[name] = (planned(feeder, load, some * MW, prob, held=held[1]), held[1], None)
    out["traditional"][0]["bound"], out["point"][0]["bound"] = bound
    return out, {k: v for k, v in caps.items() if k not in fixed}


def of_wind(cap, actual):
    """What caps mean for the wind: energy planned, used where caps are kept, hours below them."""
    wind = groups()[0]
    less = (actual * MW)[:, wind].sum(axis=1) < cap[:, wind].sum(axis=1) - 1e-9
    used = np.minimum(actual * MW, cap)[:, wind].sum()
    return {"cap_mwh": cap[:, wind].sum(), "hours_below": less.mean(),
            "day_below": float(less.any()), "capped_mwh": used}  # fmt: skip


def row(feeder, load, actual, way, plan, held, cap):
    """One row of the result."""
    came = realised(feeder, load, actual * MW, plan, held)
    V = came["flow"].V[:, feeder.index(CASE["feeder.watched_bus"])]
    peak, dear = np.argsort(load, kind="stable")[-4:], TARIFF.max() <= TARIFF
    found = {"way": way, "planned": plan["value"], "cost": came["cost"]}
    found |= {f"{k}_mwh": came[k].sum() for k in ("bought", "loss", "wind", "short", "surplus")}
    total = (actual * MW)[:, groups()[0]].sum()
    found |= {"available_mwh": total, "planned_wind_mwh": plan["wind"],
              "peak_loss_mwh": came["loss"][peak].sum(), "dear_mwh": came["bought"][dear].sum(),
              "stated_loss_mwh": came["loss"][[11, 19]].sum(), "V_mean": V.mean(),
              "V_step": np.abs(np.diff(V)).mean()}  # fmt: skip
    found |= {"bound": plan["bound"]} if "bound" in plan else {}
    found |= of_wind(cap, actual) if cap is not None else {}
    return found | {k: float(came[k]) for k in ("cone_gap", "V_error", "outside", "tight")}


def studied():
    """Positions of the studied days among all days."""
    return np.flatnonzero(data()[-1])[:: CASE["study.step"]]


def of_day(i):
    """Rows of one day."""
    dates, forecast, actual, _, _ = data()
    feeder = read_feeder("ieee33")
    load = profiles.rts_day(dates[i], True, CASE["day.region"]).load
    plans, caps = plans_of(feeder, load, forecast[i], actual[i], [CASE["study.seed"], int(i)])
    rows = [row(feeder, load, actual[i], way, *plan) for way, plan in plans.items()]
    rows += [{"way": way} | of_wind(cap, actual[i]) for way, cap in caps.items()]
    return [{"date": str(dates[i].date())} | r for r in rows]


def side_by_side(f, items):
    """[f(i) for i in items], every other one in a second process."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe(duplex=False)
    other = fork.Process(target=lambda: there.send([f(i) for i in items[1::2]]))
    other.start()
    there.close()
    mine = [f(i) for i in items[::2]]
    found = here.recv()
    other.join()
    return [x for pair in zip(mine, [*found, None]) for x in pair][: len(items)]


def run():
    joint()  # before the fork, so that both processes have it
    return pd.DataFrame(r for rows in side_by_side(of_day, studied()) for r in rows)


def one_point():
    i = studied()[20]
    dates, forecast, actual, _, _ = data()
    feeder = read_feeder("ieee33")
    load = profiles.rts_day(dates[i], True, CASE["day.region"]).load
    held, _ = settled(feeder, load, forecast[i] * MW)
    days = drawn(joint(), forecast[i], CASE["model.draws"], [CASE["study.seed"], int(i)])
    some, prob = few(days, CASE["model.scenarios"])
    plan = planned(feeder, load, some * MW, prob, held=held)
    found = row(feeder, load, actual[i], "joint", plan, held, None)
    key = {"date": str(dates[i].date()), "way": "joint"}
    return key, {k: found[k] for k in ("planned", "cost", "bought_mwh", "loss_mwh")}
