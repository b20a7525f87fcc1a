"""The robust area plan of chapter 08 written a second time with RSOME: its referee.

The static plan without the loss term, for three kinds of sets. Network, sets and prices are worked
out here from the files of data/, not by adnlib; RSOME makes its own robust counterparts. Needs an
environment of its own: rsome 1.3.1, ecos 2.0.14, pandas, scipy.

    python data/extract/reference_rsome.py
"""

import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import rsome
from rsome import eco_solver, lpg_solver, ro

DATA = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
LP, CONE = "rsome 1.3.1,HiGHS in scipy 1.17.1", "rsome 1.3.1,ECOS 2.0.14"
ROWS = [("budget", 0), ("budget", 1), ("budget", 2.5), ("budget", 4), ("box", 0), ("ellipsoid", 2)]


def read_case():
    tables = tomllib.loads((DATA / "cases" / "robust_area.toml").read_text(encoding="utf-8"))
    return {s: {k: v["value"] for k, v in t.items()} for s, t in tables.items()}


def network(case):
    """Buses below the PCC in line, their nominal load, R and X in 1/V0 [p.u. on 1 MVA]."""
    bus = pd.read_csv(DATA / "feeders" / "ieee33" / "bus.csv").set_index("bus")
    branch = pd.read_csv(DATA / "feeders" / "ieee33" / "branch.csv")
    line = list(range(case["area"]["top_bus"] + 1, case["area"]["last_bus"] + 1))
    branch = branch[branch["closed"] == 1].set_index("to_bus").loc[line]
    z = branch[["r_ohm", "x_ohm"]].to_numpy() / bus["v_kv"].iloc[0] ** 2
    shared = np.minimum.outer(np.arange(len(line)), np.arange(len(line)))  # last common branch
    R, X = (np.cumsum(z[:, k])[shared] / case["area"]["V_pcc"] for k in (0, 1))
    return line, bus.loc[line, ["p_mw", "q_mvar"]].to_numpy(), R, X


def series(name, columns):
    file = DATA / "profiles" / f"{name}.csv.gz"
    table = pd.read_csv(file, parse_dates=["time"], index_col="time")
    return table[[f"{c}_mw" for c in columns]]


def sets(case):
    """Forecast, deviations up and down and axes of an hour's covariance, (24, 4) and (24, 4, 4)."""
    pv, low, high = case["pv"], case["deviation"]["low"], case["deviation"]["high"]
    rating = pd.read_csv(DATA / "profiles" / "rts_units.csv", index_col="unit")["p_max_mw"]
    scale = pv["rated"] / rating[pv["unit"]].to_numpy()
    real = series("rts_pv_5min", pv["unit"]).resample("1h").mean() * scale
    ahead = series("rts_day_ahead", pv["unit"]) * scale
    dates = ahead.index[::24]
    copied = (dates >= case["deviation"]["twice_from"]) & (dates <= case["deviation"]["twice_to"])
    odd = ~copied & (dates != pv["date"]) & (np.arange(len(dates)) % 2 == 0)
    error = (real - ahead).to_numpy().reshape(-1, 24, 4)[odd]
    f = ahead.loc[pv["date"]].to_numpy()
    below, above = np.quantile(error, [low, high], axis=0)
    down = np.minimum(np.maximum(-below, 0), f)
    up = np.where(f > 0, np.minimum(np.maximum(above, 0), pv["rated"] - f), 0)
    axes = np.zeros((24, 4, 4))
    for t in np.flatnonzero(f.sum(axis=1) > 0):
        axes[t] = np.linalg.cholesky(np.cov(error[:, t].T, bias=True) + 1e-12 * np.eye(4))
    return f, up, down, axes


def day(case, line_load):
    """Load p, q (24, n) and price (24,)."""
    area, date = case["area"], case["pv"]["date"]
    name = f"load_{area['load_region']}"
    rating = pd.read_csv(DATA / "profiles" / "rts_units.csv", index_col="unit")["p_max_mw"]
    shape = series("rts_day_ahead", [name]).loc[date].to_numpy() / rating[name]
    price = np.zeros(24)
    for start, value in zip(case["price"]["hours"], case["price"]["energy"]):
        price[start:] = value
    return *(area["load"] * shape * line_load[:, k] for k in (0, 1)), price


def first_stage(m, case):
    """Variables e, g, take, give and what limits them."""
    gas, store, most = case["gas_turbine"], case["storage"], case["price"]["exchange_max"]
    e, g, take, give = (m.dvar(24) for _ in range(4))
    held, eta = m.dvar(25), store["efficiency"]
    m.st(g >= 0, g <= gas["p_max"], g[1:] - g[:-1] <= gas["ramp"], g[:-1] - g[1:] <= gas["ramp"])
    m.st(
        take >= 0, take <= store["p_max"], give >= 0, give <= store["p_max"], e <= most, e >= -most
    )
    m.st(held[0] == store["e_0"], held[24] == store["e_0"])
    m.st(held[1:] >= store["e_min"], held[1:] <= store["e_max"])
    m.st(held[1:] == held[:-1] + eta * take - give * (1 / eta))
    return e, g, take, give


def unknown(m, kind, size, sets_of_day):
    """The set of one hour's z, and PV (4,) of an hour as a function of it."""
    f, up, down, axes = sets_of_day
    if kind == "ellipsoid":
        z = m.rvar(4)
        return [rsome.norm(z, 2) <= 1], lambda t: f[t] + size * (axes[t] @ z)
    z_up, z_down = m.rvar(4), m.rvar(4)
    rows = [z_up >= 0, z_up <= 1, z_down >= 0, z_down <= 1]
    rows += [z_up.sum() + z_down.sum() <= size] if kind == "budget" else []
    return rows, lambda t: f[t] + up[t] * z_up - down[t] * z_down


def cost(case, kind, size):
    """Optimal cost of the static plan, all rows robust."""
    line, nominal, R, X = network(case)
    p, q, price = day(case, nominal)
    area, money, store = case["area"], case["price"], case["storage"]
    gas_at, store_at = (line.index(case[k]["bus"]) for k in ("gas_turbine", "storage"))
    pv_at = [line.index(b) for b in case["pv"]["bus"]]
    m = ro.Model()
    e, g, take, give = first_stage(m, case)
    u, b = m.dvar((24, 4)), m.dvar(24)
    rows, pv_of = unknown(m, kind, size, sets(case))
    wear = store["cost"] * (take.sum() + give.sum())
    m.minmax(price @ e + case["gas_turbine"]["cost"] * g.sum() + wear + b.sum(), *rows)
    m.st(u >= 0, u <= 1)
    for t in range(24):
        pv, out = pv_of(t), give[t] - take[t]
        short = p[t].sum() - g[t] - out - (u[t] * pv).sum() - e[t]
        m.st(b[t] >= money["short"] * price[t] * short, b[t] >= money["surplus"] * price[t] * short)
        for j in range(len(line)):
            volt = area["V_pcc"] - R[j] @ p[t] - X[j] @ q[t] + R[j, gas_at] * g[t]
            volt = volt + R[j, store_at] * out + ((R[j, pv_at] * u[t]) * pv).sum()
            m.st(volt <= area["V_max"], volt >= area["V_min"])
    m.solve(eco_solver if kind == "ellipsoid" else lpg_solver, display=False)
    return m.get()


if __name__ == "__main__":
    case = read_case()
    lines = ["uncertainty,size,cost,package,solver"]
    for kind, size in ROWS:
        by = CONE if kind == "ellipsoid" else LP
        lines.append(f"{kind},{size},{cost(case, kind, float(size)):.6f},{by}")
    out = DATA / "reference" / "robust_second_opinion.csv"
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
