"""Receding horizon: a day of 96 rolls of 16 steps, the plant on the exact flow every 5 minutes.

warm    the window is stated once, a roll hands over new numbers (rolling.Window); the time of
        stating it is in
anew    the same window stated, compiled and solved anew at every roll, as a plain CVXPY loop
        does; a few rolls, scaled to 96
Both predictors: the tangent with exact sensitivities, and the branch-flow cone (with a price on
losses). Answers are compared before anything is timed.
"""

import numpy as np

from adnlib import mpc, read_feeder, rolling
from adnlib.devices import Renewable, Storage
from benchmarks import timing

ROLLS, STEPS = 96, 16
SIZES = {"ieee33": (4, 2), "ieee123": (8, 4)}  # plants, batteries
SECONDS = {"ieee33": 60, "ieee123": 400}
WANTED = {32: 10.0, 122: 40.0}
ANEW = {"ieee33": 4, "ieee123": 2}
TANGENT, CONE = "adnlib, warm", "adnlib, warm, cone"


def steps(small):
    names = list(SIZES)[: 1 if small else None]
    return [
        (f"{name}, 96 rolls", SECONDS[name], lambda name=name: rolls(name, small)) for name in names
    ]


def case(name):
    """(plant, forecast, plan) of a made-up day, PV a fifth less than foreseen."""
    feeder, (n_g, n_e) = read_feeder(name), SIZES[name]
    total, n = feeder.p_load.sum(), feeder.n
    at = np.linspace(n // 6, n - 1, n_g + n_e).astype(int)
    share = total / n_g
    plants = tuple(
        Renewable(feeder.buses[j], share, s_mva=1.1 * share, name=f"pv {j}") for j in at[:n_g]
    )
    size = (share, share / 4, share / 4)
    batteries = tuple(
        Storage(feeder.buses[j], *size, s_mva=0.3 * share, name=f"ess {j}") for j in at[n_g:]
    )
    fleet = mpc.Fleet(feeder, plants, batteries)
    hour = (np.arange(ROLLS) + 0.5) / 4
    load = 0.6 - 0.25 * np.cos(2 * np.pi * (hour - 4) / 24)
    pv = np.maximum(0, np.sin(np.pi * (hour - 6) / 12))
    p, q, rated = (
        np.outer(load, feeder.p_load),
        np.outer(load, feeder.q_load),
        np.outer(pv, fleet.rated_mw),
    )

    def forecast(k, n_h):
        at = np.minimum(np.arange(k, k + n_h), ROLLS - 1)
        return mpc.Outlook(p[at], q[at], rated[at])

    fine = [a.repeat(3, axis=0) for a in (p, q, 0.8 * rated)]
    u = np.zeros((ROLLS, fleet.n_u))
    u[:, fleet.parts[0]] = rated
    plan = rolling.Plan(u, np.tile(fleet.ess["E_start"], (ROLLS, 1)))
    return mpc.Plant(fleet, *fine), forecast, plan


def rolls(name, small):
    plant, forecast, plan = case(name)
    n_rolls, n_anew = (4, 1) if small else (ROLLS, ANEW[name])
    price = {"tangent": None, "cone": rolling.Weights(loss=1.0)}

    def window(predictor):
        return rolling.Window(plant.fleet, plan, price[predictor], n_h=STEPS, predictor=predictor)

    def warm(predictor, rolls=n_rolls):
        return mpc.receding_horizon(plant, window(predictor), forecast, rolls=rolls)

    def anew(predictor):
        each = lambda state, forecast: window(predictor)(state, forecast)  # noqa: E731
        return mpc.receding_horizon(plant, each, forecast, rolls=n_anew)

    for predictor in price:
        a, b = warm(predictor, n_anew), anew(predictor)
        if not np.allclose(a.u, b.u, atol=1e-3):
            raise AssertionError(f"{name}, {predictor}: warm and anew differ")
    jobs = {
        TANGENT: lambda: warm("tangent"),
        "CVXPY anew in every roll": lambda: anew("tangent"),
        CONE: lambda: warm("cone"),
        "CVXPY anew in every roll, cone": lambda: anew("cone"),
    }
    scale = {job: n_rolls / n_anew for job in jobs if "anew" in job}
    seconds = timing.alternate(jobs, rounds=1 if small else 3)
    note = dict.fromkeys(scale, f"{n_anew} rolls, scaled")
    return timing.rows(
        "mpc_speed", plant.fleet.feeder.n, n_rolls, seconds, TANGENT, scale, note=note
    )


def checks(rows):
    """Seconds of a whole day against what is wanted; the ratio to stating anew for the record."""
    out = []
    for row in rows:
        if row["scenarios"] != ROLLS:
            continue
        what = f"{row['size'] + 1} buses, {row['method']}"
        if row["method"] == TANGENT:
            most = WANTED[row["size"]]
            out.append(
                (f"{what}: 96 rolls [s]", row["min_s"], f"<= {most:g}", row["min_s"] <= most)
            )
        elif row["method"].startswith("CVXPY"):
            out.append((f"{what}: times slower", row["ratio"], "", True))
    return out
