"""What a choice of ours does to the saving of chapter 22: each varied alone, on a few days.

One row a choice, end (lower, higher), day and way (robust, deterministic), as in cecd_days.py.
"""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from adnlib import profiles
from tools.sweeps import load

days = load(Path(__file__).with_name("cecd_days.py"))
DEPENDS = [*days.DEPENDS, "data/results/cecd_days.py"]
RTOL = 1e-4
CASE = days.CASE


def choices():
    """{choice: [{key: value} of its lower end, of its higher end]}."""
    c = CASE
    store = [{f"storage.{k}": [x * a for a in c[f"storage.{k}"]] for k in ("mw", "mwh")}
             for x in c["choices.storage"]]  # fmt: skip
    price = [{"price.short": x, "price.surplus": 2 - x} for x in c["choices.prices"]]
    return {
        "as chosen": [{}],
        "deviation": [{"pv.deviation": x} for x in c["choices.deviation"]],
        "size of the PV plants": [{"pv.mw": [x] * len(c["pv.mw"])} for x in c["choices.pv_mw"]],
        "size of the storages": store,
        "voltage of the source": [{"feeder.V_source": x} for x in c["choices.V_source"]],
        "real-time prices": price,
    }


@contextmanager
def changed(values):
    """The case with other values."""
    kept = {key: CASE.entries[key] for key in values}
    CASE.entries.update({key: old | {"value": values[key]} for key, old in kept.items()})
    try:
        yield
    finally:
        CASE.entries.update(kept)


def chosen():
    """The days: evenly spread over the studied ones."""
    of = np.flatnonzero(days.data()[3])
    return of[np.linspace(0, len(of) - 1, CASE["choices.days"]).round().astype(int)]


def of_day(i):
    """{way: row} of one day."""
    dates, forecast, actual, *_ = days.data()
    rated = np.array(CASE["pv.mw"])
    f, came = forecast[i] * rated, actual[i] * rated
    shape = profiles.rts_day(dates[i], True, CASE["day.region"], [], []).load
    sets = {"robust": days.around(f, CASE["pv.deviation"]), "deterministic": []}
    return {way: days.row(days.planned(shape, f, s), came - f) for way, s in sets.items()}


def run():
    out = []
    for name, ends in choices().items():
        for end, values in zip(("lower", "higher"), ends):
            with changed(values):
                out += [{"choice": name, "end": end, "date": str(days.data()[0][i].date()),
                         "way": way} | found
                        for i in chosen() for way, found in of_day(i).items()]  # fmt: skip
    return pd.DataFrame(out)


def one_point():
    i = int(chosen()[4])
    with changed(choices()["deviation"][1]):
        found = of_day(i)["robust"]
    key = {"choice": "deviation", "end": "higher", "way": "robust"}
    return key | {"date": str(days.data()[0][i].date())}, {
        k: found[k] for k in ("planned", "total")
    }
