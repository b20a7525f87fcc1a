"""A real Swedish medium-voltage system of 533 buses, from MATPOWER's case533mt_hi.

The case file is per unit on one phase; the tables are three-phase totals and ohms. Its default
loads are the net loads of the hour of greatest load in 2022, so some of them are negative.

    python data/extract/sw533.py [folder of the installed packages]
"""

import re

import numpy as np
import pandas as pd
from feeder_folder import write_feeder
from packages import find_file, folder_argument

PACKAGE = "matpower"
CASE = "matpower/data/case533mt_hi.m"
SOURCE = (
    "MATPOWER 8.1 case533mt_hi (Python package matpower 8.1.0.2.3.0), by G. Malmer and L. Thorin: "
    "Network reconfiguration for renewable generation maximization, Master's thesis, Lund "
    "University, 2023; data of the distribution company Kraftringen"
)
NOTICE = """case533mt_hi, power flow data of a 533-bus distribution system
Copyright (c) 2023 by Gabriel Malmer and Lovisa Thorin
Licensed under the Creative Commons Attribution 4.0 International licence (CC BY 4.0),
https://creativecommons.org/licenses/by/4.0/

{source}

Changes: units (MW, Mvar, kV line to line, ohm, A instead of per unit on one phase) and layout
(comma-separated tables). No value of the network was altered.
"""
NOTE = (
    "Loads are net of generation at the hour of greatest net load in 2022, some are negative; "
    "reactive power is 1 % of active power by the authors' assumption. Open branches are ties."
)
BUS, P_MW, Q_MVAR, GS_MW, BS_MVAR, BASE_KV = 0, 2, 3, 4, 5, 9
FROM, TO, R_PU, X_PU, B_PU, RATIO, ANGLE, CLOSED, RATED_PU = 0, 1, 2, 3, 4, 8, 9, 10, 13
PHASES = 3


def number(text):
    """A number of the case file; '135/sqrt(3)' and '50/3' are the only sums in it."""
    value, _, divisor = text.partition("/")
    root = re.fullmatch(r"sqrt\((\d+)\)", divisor)
    return float(value) / (np.sqrt(float(root[1])) if root else float(divisor or 1))


def matrix(text, name):
    """mpc.<name> = [...]; as an array; comments and ';' end a row."""
    found = re.search(rf"^mpc\.{name} = \[(.*?)^\];", text, re.M | re.S)
    if not found:
        raise ValueError(f"{CASE} has no mpc.{name} = [ ... ];")
    rows = (re.split("[%;]", line)[0].split() for line in found[1].splitlines())
    return np.array([[number(entry) for entry in row] for row in rows if row])


def scalar(text, name):
    """mpc.<name> = value;"""
    return number(re.search(rf"^mpc\.{name} = ([^;]+);", text, re.M)[1].replace(" ", ""))


def feeder_tables(text):
    """-> (bus, branch, root, V_root) in three-phase units."""
    bus, branch, source = (matrix(text, name) for name in ("bus", "branch", "gen"))
    s_mva = PHASES * scalar(text, "baseMVA")
    for what, values in (("charging", branch[:, B_PU]), ("phase shift", branch[:, ANGLE])):
        if values.any():
            raise ValueError(f"{CASE}: {what} in branch row {1 + np.flatnonzero(values)[0]}")
    buses = pd.DataFrame({"bus": bus[:, BUS].astype(int)})
    for column, at in (("p_mw", P_MW), ("q_mvar", Q_MVAR), ("g_mw", GS_MW), ("b_mvar", BS_MVAR)):
        buses[column] = PHASES * bus[:, at]
    buses["v_kv"] = np.sqrt(3) * bus[:, BASE_KV]
    v_to = buses.set_index("bus")["v_kv"].loc[branch[:, TO].astype(int)].to_numpy()
    # MATPOWER's tap divides the voltage of the from bus, and 0 means there is no transformer
    taps = np.where(branch[:, RATIO] == 0, 1.0, branch[:, RATIO])
    table = {
        "from_bus": branch[:, FROM].astype(int),
        "to_bus": branch[:, TO].astype(int),
        "r_ohm": branch[:, R_PU] * v_to**2 / s_mva,
        "x_ohm": branch[:, X_PU] * v_to**2 / s_mva,
        "ratio": 1 / taps,
        "i_max_a": branch[:, RATED_PU] * 1000 * s_mva / (np.sqrt(3) * v_to),
        "closed": branch[:, CLOSED].astype(int),
    }
    return buses.assign(x=np.nan, y=np.nan), pd.DataFrame(table), int(source[0, 0]), source[0, 5]


def main():
    text = find_file(folder_argument(), PACKAGE, CASE).read_text(encoding="utf-8")
    bus, branch, root, V_root = feeder_tables(text)
    facts = {
        "title": "533 buses of a real Swedish medium-voltage system, 12 kV",
        "root": root,
        "V_root": float(V_root),
        "source": SOURCE,
        "licence": "CC BY 4.0",
        "note": NOTE,
    }
    write_feeder("sw533", bus, branch, facts, NOTICE.format(source=SOURCE))


if __name__ == "__main__":
    main()
