"""What a choice of ours does to the differences of chapter 21: each varied alone, on a few days.

One row a choice, end (lower, higher), day and case, planned and judged as in dcp_days.py. The
higher price of shortage is also put to the two cases of the platform on every studied day.
"""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from adnlib import profiles, read_feeder
from tools.sweeps import load

days = load(Path(__file__).with_name("dcp_days.py"))
DEPENDS = [*days.DEPENDS, "data/results/dcp_days.py"]
RTOL = 1e-4
CASE = days.CASE
EVERY_DAY = "price of shortage, every day"
WAYS = {"traditional": None, "alone": days.alone, "joint": lambda R: R}


def choices():
    """{choice: ({key: value} of its lower end, of its higher end)}; the base has none."""
    c = CASE
    storage = [
        {"storage.mwh": mwh, "storage.charge_mw": mwh * c["storage.charge_mw"],
         "storage.discharge_mw": mwh * c["storage.discharge_mw"]}
        for mwh in c["choices.storage_mwh"]
    ]  # fmt: skip
    wind = [{"plants.mw": [mw] * 4 + c["plants.mw"][4:]} for mw in c["choices.wind_mw"]]
    out = {
        "price of shortage": [{"price.short": x} for x in c["choices.short"]],
        "scenarios": [{"model.scenarios": x} for x in c["choices.scenarios"]],
        "size of the wind plants": wind,
        "size of the batteries": storage,
        "other draws": [{"study.seed": x} for x in c["choices.seed"]],
    }
    return {"as chosen": [{}]} | out


@contextmanager
def changed(values):
    """The case with other values, in dcp_days."""
    kept = {key: CASE.entries[key] for key in values}
    CASE.entries.update({key: old | {"value": values[key]} for key, old in kept.items()})
    days.MW = np.array(CASE["plants.mw"])
    try:
        yield
    finally:
        CASE.entries.update(kept)
        days.MW = np.array(CASE["plants.mw"])


def chosen(n):
    """n of the studied days, evenly spread."""
    of = days.studied()
    return of[np.linspace(0, len(of) - 1, n).round().astype(int)]


def day_of(i):
    """(feeder, load, forecast, actual) of one day."""
    dates, forecast, actual, _, _ = days.data()
    shape = profiles.rts_day(dates[i], True, CASE["day.region"]).load
    return read_feeder("ieee33"), shape, forecast[i], actual[i]


def costs_of(i, ways=tuple(WAYS)):
    """{way: (planned, cost)} of one day."""
    feeder, shape, forecast, actual = day_of(i)
    found, seed = {}, [CASE["study.seed"], int(i)]
    held = {way != "traditional": None for way in ways}
    held = {c: days.settled(feeder, shape, forecast * days.MW, c)[0] for c in held}
    for way in ways:
        if way == "traditional":
            plan = days.planned(feeder, shape, forecast * days.MW, None, False, held[False])
        else:
            drawn = days.drawn(WAYS[way](days.joint()), forecast, CASE["model.draws"], seed)
            some, prob = days.few(drawn, CASE["model.scenarios"])
            plan = days.planned(feeder, shape, some * days.MW, prob, held=held[True])
        came = days.realised(feeder, shape, actual * days.MW, plan, held[way != "traditional"])
        found[way] = plan["value"], came["cost"]
    return found


def rows_of(job):
    """Rows of one choice, end and day."""
    choice, end, values, i = job
    date = str(days.data()[0][i].date())
    with changed(values):
        found = costs_of(i, ("alone", "joint") if choice == EVERY_DAY else tuple(WAYS))
    return [{"choice": choice, "end": end, "date": date, "way": way, "planned": a, "cost": b}
            for way, (a, b) in found.items()]  # fmt: skip


def jobs():
    ends = [(name, ("lower", "higher")[k], values)
            for name, pair in choices().items() for k, values in enumerate(pair)]  # fmt: skip
    some = [(*end, int(i)) for end in ends for i in chosen(CASE["choices.days"])]
    dear = {"price.short": CASE["choices.short"][1]}
    return some + [(EVERY_DAY, "higher", dear, int(i)) for i in days.studied()]


def run():
    days.joint()
    return pd.DataFrame(r for rows in days.side_by_side(rows_of, jobs()) for r in rows)


def one_point():
    i = int(chosen(CASE["choices.days"])[2])
    with changed({"price.short": CASE["choices.short"][1]}):
        planned, cost = costs_of(i, ("joint",))["joint"]
    key = {"choice": "price of shortage", "end": "higher", "way": "joint"}
    return key | {"date": str(days.data()[0][i].date())}, {"planned": planned, "cost": cost}
