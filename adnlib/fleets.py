"""Plants and batteries of a reader's own feeder: read from a table, or placed by a stated rule.

Chapter 33 uses it, through `study`.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from . import inputs, mpc, series
from .devices import Renewable, Storage
from .inputs import InputError
from .tables import FeederError, few, plain_label

NEEDED = {"pv": ("p_mw",), "battery": ("p_mw", "energy_mwh")}


def chosen(case, network, sun, path):
    """(table of plants, table of batteries, {kind: words}): the reader's, else the rule's.

    case       of data/cases/own_feeder.toml        network    inputs.Network
    sun        series.Series of the PV, or None     path       of a CSV table of devices, or None
    InputError where plants are given in two places, or none can be sized.
    """
    feeder, own = network.feeder, network.devices
    if path:
        table, words = read_devices(path, feeder), f"of {Path(path).name}"
        own = {kind: table[table["kind"] == kind] for kind in NEEDED}
        said = dict.fromkeys(NEEDED, words)
    else:
        own = {kind: own[own["kind"] == kind] for kind in NEEDED}
        said = dict.fromkeys(NEEDED, "of the network")
        for kind, place in (("pv", placed_plants), ("battery", placed_batteries)):
            if own[kind].empty:
                own[kind], said[kind] = place(case, feeder), "placed by the case file"
    columns = sun and series.of_plants(sun, feeder)
    if columns:
        if path and len(own["pv"]):
            raise InputError(
                f"{sun.name} names its plants and {Path(path).name} has some too; give "
                "them in one place (a PV series `factor` serves any plants)"
            )
        over = case["plants.pv_over"]
        own["pv"] = inputs.device_table(
            {"kind": "pv", "bus": bus, "p_mw": p, "s_mva": over * p, "name": f"pv {bus}"}
            for bus, p in zip(*columns)
        )
        said["pv"] = f"the columns of {sun.name}"
    words = {
        "plants": f"{len(own['pv'])}, {said['pv']}",
        "batteries": f"{len(own['battery'])}, {said['battery']}",
    }
    return own["pv"], own["battery"], words


def read_devices(path, feeder):
    """Table of devices of a CSV file, checked; InputError names the row."""
    path = Path(path)
    header, rows = series.cells(path, "kind")
    unknown = [c for c in header if c not in inputs.DEVICE_COLUMNS]
    if unknown or not {"bus", "p_mw"} <= set(header):
        raise InputError(
            f"{path.name}: the columns are {few(header)}; they are kind, bus, p_mw and, "
            "if there is need, s_mva, energy_mwh, name"
        )
    found = [
        _device(path.name, line, dict(zip(header, row)), feeder) for line, row in enumerate(rows, 2)
    ]
    table = inputs.device_table(found)
    twice = table["name"][table["name"].duplicated()]
    if len(twice):
        raise InputError(f"{path.name}: two devices are called {twice.iloc[0]!r}; name them apart")
    return table


def _device(file, line, row, feeder):
    place = f"{file}, row {line}"
    if row["kind"] not in NEEDED:
        raise InputError(f"{place}: kind is {row['kind']!r}; it is {' or '.join(NEEDED)}")
    try:
        row["bus"] = feeder.buses[feeder.index(plain_label(row["bus"]))]
    except FeederError as error:
        raise InputError(f"{place}: {error}") from None
    for name in ("p_mw", "s_mva", "energy_mwh"):
        text = row.get(name, "")
        try:
            row[name] = float(text) if text else np.nan
        except ValueError:
            raise InputError(f"{place}: {name} is {text!r}, not a number") from None
        if (text or name in NEEDED[row["kind"]]) and not 0 < row[name] < np.inf:
            raise InputError(f"{place}: {name} is {text or 'empty'}; it must be above 0")
    if row["s_mva"] < row["p_mw"]:
        raise InputError(f"{place}: s_mva {row['s_mva']:g} is below p_mw {row['p_mw']:g}")
    return row | {"name": row.get("name") or f"{row['kind']} {row['bus']}"}


def spread(feeder, count):
    """Labels of `count` loaded buses, or fewer, spread over the electrical distance, farthest
    first.

    >>> from adnlib import read_feeder
    >>> spread(read_feeder("ieee33"), 3)
    [18, 10, 21]
    """
    far = np.argsort(feeder.length, kind="stable")
    loaded = far[feeder.p_load[far] > 0]
    far = loaded if len(loaded) else far
    at = np.linspace(len(far) - 1, len(far) // 3, min(count, len(far))).astype(int)
    return [feeder.buses[far[i]] for i in dict.fromkeys(at)]


def _shares(case, feeder):
    """(buses of the plants, buses of the batteries): both kinds in turn along the distance."""
    count = [case[f"plants.{kind}_count"] for kind in ("pv", "ess")]
    at = spread(feeder, sum(count))
    every = max(len(at) // count[1], 1)
    batteries = at[1::every][: count[1]] or at[:1]
    return [b for b in at if b not in batteries] or at[:1], batteries


def placed_plants(case, feeder):
    """Table of PV plants of equal size on loaded buses; InputError where there is no load."""
    buses, total = _shares(case, feeder)[0], feeder.p_load.sum() * feeder.s_base_mva
    p = case["plants.pv_share"] * max(total, 0) / len(buses)
    if not p > 0:
        raise InputError(
            f"{feeder.name or 'the feeder'} has no load, so that no plant can be sized; "
            "give devices as a CSV table"
        )
    return inputs.device_table(
        {"kind": "pv", "bus": b, "p_mw": p, "s_mva": case["plants.pv_over"] * p, "name": f"pv {b}"}
        for b in buses
    )


def placed_batteries(case, feeder):
    """Table of batteries of equal size on loaded buses, apart from the plants."""
    buses, total = _shares(case, feeder)[1], feeder.p_load.sum() * feeder.s_base_mva
    p = case["plants.ess_share"] * max(total, 0) / len(buses)
    size = {"p_mw": p, "s_mva": case["plants.ess_over"] * p}
    size["energy_mwh"] = case["plants.ess_hours"] * p
    return inputs.device_table(
        {"kind": "battery", "bus": b, "name": f"battery {b}"} | size for b in buses if p > 0
    )


def fleet(case, feeder, plants, batteries):
    """mpc.Fleet of two tables of devices; inverters not given are sized by the case."""
    over = {kind: case[f"plants.{kind}_over"] for kind in ("pv", "ess")}
    inverter = lambda row, kind: row.p_mw * over[kind] if pd.isna(row.s_mva) else row.s_mva  # noqa: E731
    return mpc.Fleet(
        feeder,
        tuple(
            Renewable(row.bus, row.p_mw, s_mva=inverter(row, "pv"), name=row.name_)
            for row in plants.rename(columns={"name": "name_"}).itertuples()
        ),
        tuple(
            Storage(
                row.bus,
                row.energy_mwh,
                row.p_mw,
                row.p_mw,
                s_mva=inverter(row, "ess"),
                cost_per_mwh=case["price.storage"],
                name=row.name_,
            )
            for row in batteries.rename(columns={"name": "name_"}).itertuples()
        ),
    )
