"""The 33-bus feeder of Baran and Wu (1989) from pandapower's case33bw.

Labels 1 to 33 and the 37 branches in the order of the paper: 33 to 37 are the open ties.
case33bw has no thermal limits and its coordinates cross lines, so the layout is drawn here.

    python data/extract/ieee33.py
"""

from importlib.metadata import distribution

import numpy as np
import pandapower.networks
import pandas as pd
from feeder_folder import write_feeder

TITLE = "33-bus feeder of Baran and Wu, 12.66 kV"
SOURCE = (
    "pandapower {version}, case33bw; M. E. Baran and F. F. Wu, Network reconfiguration in "
    "distribution systems for loss reduction and load balancing, IEEE Transactions on Power "
    "Delivery 4(2), 1989, doi:10.1109/61.25627"
)
NOTE = (
    "Branch 7-8 is 0.7114 + j0.2351 ohm and 17-18 is 0.732 + j0.574 ohm, as in the paper; copies "
    "with other values circulate. No ratings are given."
)


def layout():
    """Drawing coordinates by label: main line 1-18, the laterals in rows above and below it."""
    rows = ((range(1, 19), 0, 0), (range(19, 23), 1, -1), (range(23, 26), 2, 1))
    rows += ((range(26, 34), 5, -2),)
    return {label: (x + k, y) for labels, x, y in rows for k, label in enumerate(labels)}


def feeder_tables(net):
    """Bus and branch table with the labels of the paper; ties are the lines out of service."""
    labels = net.bus.index + 1
    load = net.load.groupby("bus")[["p_mw", "q_mvar"]].sum().reindex(net.bus.index, fill_value=0.0)
    xy = np.array([layout()[label] for label in labels])
    bus = pd.DataFrame({"bus": labels, "p_mw": load["p_mw"], "q_mvar": load["q_mvar"]})
    bus = bus.assign(g_mw=0.0, b_mvar=0.0, v_kv=net.bus["vn_kv"], x=xy[:, 0], y=xy[:, 1])
    line = net.line
    branch = pd.DataFrame({"from_bus": line["from_bus"] + 1, "to_bus": line["to_bus"] + 1})
    branch["r_ohm"] = line["r_ohm_per_km"] * line["length_km"]
    branch["x_ohm"] = line["x_ohm_per_km"] * line["length_km"]
    return bus, branch.assign(ratio=1.0, i_max_a=np.nan, closed=line["in_service"].astype(int))


def main():
    package = distribution("pandapower")
    bus, branch = feeder_tables(pandapower.networks.case33bw())
    facts = {"title": TITLE, "root": 1, "V_root": 1.0}
    facts["source"] = SOURCE.format(version=package.version)
    facts |= {"licence": "BSD-3-Clause (pandapower)", "note": NOTE}
    licence = next(f for f in package.files if f.name == "LICENSE")
    write_feeder("ieee33", bus, branch, facts, licence.read_text())


if __name__ == "__main__":
    main()
