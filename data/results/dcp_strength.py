"""Value of knowing the correlation in chapter 21, against its strength: a synthetic truth.

The truth has the fitted correlation between units, weakened or strengthened. A plan that knows it
and one that takes the units for alone are judged on the same days drawn from it.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from tools.sweeps import load

choices = load(Path(__file__).with_name("dcp_choices.py"))
days = choices.days
DEPENDS = [*choices.DEPENDS, "data/results/dcp_choices.py"]
RTOL = 1e-4
CASE = days.CASE


def strengthened(R, s):
    """R between units times s up to 1; beyond, on the way to units of a kind that are alike."""
    if s <= 1:
        return s * R + (1 - s) * days.alone(R)
    return (2 - s) * R + (s - 1) * alike(R)


def alike(R):
    """All wind plants the same, and all PV plants: the mean correlation in time of their kind."""
    n_t, n = days.N_T, days.N
    blocks, out = R.reshape(n_t, n, n_t, n), np.zeros((n_t, n, n_t, n))
    for g in days.groups():
        time = np.mean([blocks[:, k, :, k] for k in g], axis=0)
        out[:, g[:, None], :, g[None, :]] = time
    jitter = 1e-6  # of independence, so that the matrix stays positive definite
    return (1 - jitter) * out.reshape(R.shape) + jitter * np.eye(len(R))


def held_plans(i, R, short):
    """Plans of one day that know R, and that take the units for alone; their positions."""
    feeder, shape, forecast, _ = choices.day_of(i)
    held, _ = days.settled(feeder, shape, forecast * days.MW)
    plans = {}
    for name, model in (("knows", R), ("alone", days.alone(R))):
        drawn = days.drawn(model, forecast, CASE["model.draws"], [CASE["study.seed"], int(i)])
        some, prob = days.few(drawn, CASE["model.scenarios"])
        plans[name] = days.planned(feeder, shape, some * days.MW, prob, held=held, short=short)
    return plans, held


def rows_of(job):
    """Rows of one day, price and strength, one a drawn day."""
    i, short, s = job
    feeder, shape, forecast, _ = choices.day_of(i)
    R = strengthened(days.joint(), s)
    plans, held = held_plans(i, R, short)
    truth = days.drawn(R, forecast, CASE["strength.truths"], [CASE["study.seed"], int(i), 1])
    rows = []
    for k, actual in enumerate(truth):
        paid = {name: days.realised(feeder, shape, actual * days.MW, plan, held, short)["cost"]
                for name, plan in plans.items()}  # fmt: skip
        rows.append({"day": i, "short": short, "strength": s, "draw": k} | paid)
    return rows


def jobs():
    return [(int(i), short, s) for i in choices.chosen(CASE["strength.days"])
            for short in CASE["strength.short"] for s in CASE["strength.values"]]  # fmt: skip


def run():
    days.joint()
    return pd.DataFrame(r for rows in days.side_by_side(rows_of, jobs()) for r in rows)


def one_point():
    i, short, s = jobs()[1]
    feeder, shape, forecast, _ = choices.day_of(i)
    R = strengthened(days.joint(), s)
    plans, held = held_plans(i, R, short)
    truth = days.drawn(R, forecast, CASE["strength.truths"], [CASE["study.seed"], i, 1])[0]
    paid = {name: days.realised(feeder, shape, truth * days.MW, plan, held, short)["cost"]
            for name, plan in plans.items()}  # fmt: skip
    return {"day": i, "short": short, "strength": s, "draw": 0}, paid
