"""Checks of a pandapower net before it is read as a feeder: what is missing, empty or impossible.

Chapter 33 uses it, through `inputs`. pandapower itself says nothing until its power flow fails.
"""

import copy

import numpy as np
import pandas as pd

from .tables import FeederError

ENDS = {  # columns that name a bus
    "line": ("from_bus", "to_bus"),
    "trafo": ("hv_bus", "lv_bus"),
    "load": ("bus",),
    "sgen": ("bus",),
    "shunt": ("bus",),
    "ext_grid": ("bus",),
    "storage": ("bus",),
    "switch": ("bus",),
    "asymmetric_load": ("bus",),
}
FINITE = {  # columns that must hold a number
    "line": ("length_km", "r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km", "g_us_per_km"),
    "load": ("p_mw", "q_mvar", "scaling"),
    "sgen": ("p_mw", "q_mvar", "scaling"),
    "shunt": ("p_mw", "q_mvar", "step"),
    "trafo": ("pfe_kw", "i0_percent", "vkr_percent"),
    "asymmetric_load": (
        "p_a_mw",
        "p_b_mw",
        "p_c_mw",
        "q_a_mvar",
        "q_b_mvar",
        "q_c_mvar",
        "scaling",
    ),
}
POSITIVE = {  # and one above zero
    "bus": ("vn_kv",),
    "line": ("parallel", "df"),
    "trafo": ("sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "parallel", "df"),
    "ext_grid": ("vm_pu",),
}
NOT_NEGATIVE = {
    "line": ("length_km", "r_ohm_per_km"),
    "trafo": ("vkr_percent", "pfe_kw", "i0_percent"),
}
MAYBE = {  # columns that may lack, or hold nothing; else a number
    "line": ("max_i_ka",),
    "switch": ("z_ohm",),
    "shunt": ("vn_kv",),
    "trafo": tuple(
        f"{tap}_{k}"
        for tap in ("tap", "tap2")
        for k in ("pos", "neutral", "step_percent", "step_degree")
    )
    + ("leakage_resistance_ratio_hv", "leakage_reactance_ratio_hv"),
    "load": tuple(
        f"const_{k}"
        for k in (
            "z_percent",
            "i_percent",
            "z_p_percent",
            "z_q_percent",
            "i_p_percent",
            "i_q_percent",
        )
    ),
    "storage": ("p_mw", "max_p_mw", "min_p_mw", "sn_mva", "max_e_mwh"),
}
FILLED = {  # those of them that the reader asks for
    "line": ("max_i_ka",),
    "trafo": tuple(
        f"{tap}_{k}" for tap in ("tap", "tap2") for k in ("side", "pos", "neutral", "step_percent")
    ),
}
MOST = 1e12  # no number of a network is beyond
FLAGS = dict.fromkeys(("bus", *ENDS), "in_service") | {"switch": "closed"}
MUST = ("bus", "ext_grid", "line", "switch")
DEFAULTS = {"step": 1.0, "scaling": 1.0, "parallel": 1.0, "df": 1.0, "g_us_per_km": 0.0}
HOURS = 4.0  # of a storage element that states its power and not its energy


class NetError(FeederError):
    """A table of a pandapower net with a value that cannot be; names table, index and column."""


def check(net):
    """The net with numbers as floats in the columns that are read; NetError for the first that is
    missing, no number, or out of range. The net that is given is not changed."""
    net = copy.deepcopy(net)
    for name in MUST:
        if not isinstance(net.get(name), pd.DataFrame):
            raise NetError(f"the net has no table {name!r}; write it again with pandapower.to_json")
    if net.bus.empty:
        raise NetError("the net has no bus; is it the right file?")
    if not net.bus.index.is_unique:
        twice = net.bus.index[net.bus.index.duplicated()][0]
        raise NetError(f"bus {twice} stands twice in the table bus; number the buses once")
    _check_f_hz(net)
    for name in FLAGS:
        table = net.get(name)
        if isinstance(table, pd.DataFrame) and len(table):
            _check_flag(name, table)
            _check_ends(net, name, table)
            _check_numbers(name, table)
            _check_maybe(name, table)
    _check_switches(net)
    _check_impedance(net)
    return net


def _check_f_hz(net):
    f = net.get("f_hz", 50.0)
    if not isinstance(f, int | float | np.number) or not 0 < f < 1000:
        raise NetError(f"f_hz is {f!r}; it is 50 or 60")
    net["f_hz"] = float(f)


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value


def _column(name, table, column):
    if column not in table:
        raise NetError(
            f"{name} has no column {column!r}; write the net again with this version of pandapower"
        )
    return table[column]


def _check_flag(name, table):
    flag = FLAGS[name]
    if flag == "in_service" and flag not in table:
        raise NetError(f"{name} has no column 'in_service'; add it, True for what is in use")
    values = _column(name, table, flag)
    for at, value in values.items():
        if not isinstance(value, bool | np.bool_) and value not in (0, 1):
            raise NetError(f"{name} {at}: {flag} is {_plain(value)!r}; write True or False")
    table[flag] = values.astype(bool)


def _check_ends(net, name, table):
    known = set(net.bus.index)
    for column in ENDS.get(name, ()):
        for at, bus in _column(name, table, column).items():
            if not isinstance(bus, int | float | np.number) or bus not in known:
                raise NetError(
                    f"{name} {at}: {column} is {_plain(bus)!r}, which is no bus of the net; "
                    f"correct it or take the element out"
                )
        table[column] = table[column].astype(int)


def _check_numbers(name, table):
    on = table[table["in_service"]] if "in_service" in table else table
    for kinds, low, words in (
        (FINITE, None, "write a number, 0 if that is meant"),
        (POSITIVE, 0.0, "it must be above 0"),
        (NOT_NEGATIVE, -1e-300, "it must not be negative"),
    ):
        for column in kinds.get(name, ()):
            if column not in table and column in DEFAULTS:
                table[column] = DEFAULTS[column]
                on = table.loc[on.index]
            values = pd.to_numeric(_column(name, on, column), errors="coerce")
            bad = ~(values.astype(float).abs() <= MOST) | (False if low is None else values <= low)
            if bad.any():
                at = bad.index[bad][0]
                raise NetError(f"{name} {at}: {column} is {_plain(on[column][at])!r}; {words}")
            table[column] = pd.to_numeric(table[column], errors="coerce").astype(float)


def _check_maybe(name, table):
    for column in FILLED.get(name, ()):
        if column not in table:
            table[column] = None if column.endswith("side") else np.nan
    for column in MAYBE.get(name, ()):
        if column in table:
            values = pd.to_numeric(table[column], errors="coerce").astype(float)
            bad = (values.isna() & ~_nothing(table[column])) | (values.abs() > MOST)
            if bad.any():
                at = bad.index[bad][0]
                raise NetError(
                    f"{name} {at}: {column} is {_plain(table[column][at])!r}; write a number, or "
                    "leave it empty"
                )
            table[column] = values


def _nothing(column):
    """Where a column holds nothing: None or NaN."""
    return column.map(lambda v: v is None or (np.isscalar(v) and pd.isna(v))).astype(bool)


def _check_switches(net):
    known = {"b": set(net.bus.index), "l": set(net.line.index)}
    known["t"] = set(net.trafo.index) if isinstance(net.get("trafo"), pd.DataFrame) else set()
    for column in ("et", "element") if len(net.switch) else ():
        _column("switch", net.switch, column)
    for at, row in net.switch.iterrows():
        kind, element = row["et"], _plain(row["element"])
        if not isinstance(kind, str) or kind not in (*known, "t3"):
            raise NetError(f"switch {at}: et is {kind!r}; it is 'b', 'l' or 't'")
        number = isinstance(element, int | float)
        if kind in known and not (number and element in known[kind]):
            raise NetError(
                f"switch {at}: element {element!r} of kind {kind!r} is not in the net; "
                "take the switch out"
            )


def _check_impedance(net):
    trafo = net.get("trafo")
    for at, row in trafo.iterrows() if isinstance(trafo, pd.DataFrame) else ():
        if row["in_service"] and row["vkr_percent"] > row["vk_percent"]:
            raise NetError(
                f"trafo {at}: vkr_percent {row['vkr_percent']:g} exceeds vk_percent "
                f"{row['vk_percent']:g}; the resistance is a part of the impedance"
            )


# ---------------------------------------------------------------------------------- storage


def without_storage(net):
    """(the net without its storage elements, a dict of kind, bus, p_mw, s_mva, energy_mwh, name for
    each in service). NetError names one that states no power."""
    storage = net.get("storage")
    if not isinstance(storage, pd.DataFrame) or storage.empty:
        return net, []
    rows = [_battery(at, row) for at, row in storage[storage["in_service"]].iterrows()]
    net["storage"] = storage.iloc[:0]
    return net, rows


def _battery(at, row):
    """Power: the larger limit, else p_mw. Energy: max_e_mwh, else four hours of it."""
    get = lambda key: _number(row.get(key))  # noqa: E731
    p = max(abs(get("max_p_mw")), abs(get("min_p_mw"))) or abs(get("p_mw"))
    if not p > 0:
        raise NetError(f"storage {at} states no power; write max_p_mw or p_mw, or take it out")
    return {
        "kind": "battery",
        "bus": int(row["bus"]),
        "p_mw": p,
        "s_mva": max(get("sn_mva"), p),
        "energy_mwh": get("max_e_mwh") or HOURS * p,
        "name": f"battery {at}",
    }


def _number(value):
    value = pd.to_numeric(value, errors="coerce")
    return float(value) if np.isfinite(value) else 0.0
