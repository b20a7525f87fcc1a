"""The committed feeders: published totals, losses, lowest voltages; what the equivalent misses."""

import pandapower as pp
import pandas as pd
import pytest

from adnlib import Feeder, powerflow, read_feeder
from adnlib.feeder import DATA

FEEDERS = DATA / "feeders"
REFERENCE = DATA / "reference"
# MW, Mvar of load; loss kW; lowest voltage p.u. and its bus
FACTS = {
    "ieee33": (32, 3.715, 2.300, 202.677, 0.913090, 18),
    "ieee119": (118, 3.490, 1.920, 99.257, 0.944593, 114),
    "ieee123": (122, 3.490, 1.920, 88.800, 1.001511, 66),
}


def flow_of(feeder):
    return powerflow.solve(feeder, feeder.p, feeder.q)


def tables(name):
    bus, branch = (pd.read_csv(FEEDERS / name / file) for file in ("bus.csv", "branch.csv"))
    return bus, branch


@pytest.mark.parametrize("name", FACTS)
def test_totals_loss_and_lowest_voltage(name):
    n, p_mw, q_mvar, p_loss_kw, V_min, at = FACTS[name]
    feeder = read_feeder(name)
    flow = flow_of(feeder)
    assert feeder.n == n
    assert feeder.p_load.sum() == pytest.approx(p_mw, abs=1e-9)
    assert feeder.q_load.sum() == pytest.approx(q_mvar, abs=1e-9)
    assert 1000 * flow.p_loss == pytest.approx(p_loss_kw, abs=0.0005)
    assert flow.V.min() == pytest.approx(V_min, abs=5e-7)
    assert feeder.buses[flow.V.argmin()] == at


@pytest.mark.parametrize("name", [*FACTS, "sw533"])
def test_folder_is_complete(name):
    facts = (FEEDERS / name / "feeder.toml").read_text(encoding="utf-8")
    bus, _ = tables(name)
    assert f"\nbuses = {len(bus)}\n" in facts
    for key in ("title", "root", "V_root", "source", "licence", "note"):
        assert f"{key} = " in facts
    assert (FEEDERS / name / "LICENSE.txt").stat().st_size > 500


def test_every_feeder_folder_can_be_read():
    folders = sorted(p.name for p in FEEDERS.iterdir() if p.is_dir())
    assert set(folders) >= {*FACTS, "sw533"}
    for name in folders:
        assert flow_of(read_feeder(name)).converged.all()


# --- 33 buses -----------------------------------------------------------------------------------


def test_ieee33_branches_are_numbered_as_in_the_paper():
    bus, branch = tables("ieee33")
    assert list(bus["bus"]) == list(range(1, 34)) and (bus["v_kv"] == 12.66).all()
    assert len(branch) == 37 and (branch["closed"][:32] == 1).all()
    ties = branch[32:]
    assert (ties["closed"] == 0).all()
    ends = list(zip(ties["from_bus"], ties["to_bus"]))
    assert ends == [(21, 8), (9, 15), (12, 22), (18, 33), (25, 29)]
    # the two branches of which copies with other values circulate
    assert branch.loc[6, ["r_ohm", "x_ohm"]].tolist() == [0.7114, 0.2351]
    assert branch.loc[16, ["r_ohm", "x_ohm"]].tolist() == [0.7320, 0.5740]


def test_ieee33_reactive_loss():
    assert 1000 * flow_of(read_feeder("ieee33")).q_loss == pytest.approx(135.141, abs=0.0005)


def test_ieee33_reconfigured_as_in_the_literature():
    bus, branch = tables("ieee33")
    branch["closed"] = 1
    branch.loc[[k - 1 for k in (7, 9, 14, 32, 37)], "closed"] = 0
    feeder = Feeder.from_tables(bus, branch, root=1)
    flow = flow_of(feeder)
    assert 1000 * flow.p_loss == pytest.approx(139.551, abs=0.0005)
    assert flow.V.min() == pytest.approx(0.937819, abs=5e-7)
    assert feeder.buses[flow.V.argmin()] == 32


def test_ieee33_layout_crosses_nothing():
    bus, branch = tables("ieee33")
    assert not bus[["x", "y"]].duplicated().any()
    xy = bus.set_index("bus")[["x", "y"]]
    for row in branch[branch["closed"] == 1].itertuples():
        step = (xy.loc[row.from_bus] - xy.loc[row.to_bus]).abs()
        assert (step == 0).any()  # every branch runs straight across or straight down
        between = xy[(xy >= xy.loc[[row.from_bus, row.to_bus]].min()).all(axis=1)
                     & (xy <= xy.loc[[row.from_bus, row.to_bus]].max()).all(axis=1)]  # fmt: skip
        assert len(between) == 2


# --- 123 buses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ieee119", "ieee123"])
def test_ieee123_labels_capacitors_and_open_switches(name):
    bus, branch = tables(name)
    feeder_buses = [*range(1, 115), 150, 151, 250, 300, 450]
    plain = [int(b) for b in bus["bus"].astype(str) if b.isdigit()]
    assert sorted(plain) == feeder_buses
    caps = bus[bus["b_mvar"] != 0].set_index("bus")["b_mvar"]
    assert {int(b): float(c) for b, c in caps.items()} == {83: 0.6, 88: 0.05, 90: 0.05, 92: 0.05}
    ties = branch[branch["closed"] == 0]
    assert [{int(a), int(b)} for a, b in zip(ties["from_bus"], ties["to_bus"])] == [
        {151, 300},
        {54, 94},
    ]
    assert not bus[["x", "y"]].isna().any().any()


def test_ieee123_regulators_are_ideal_at_the_mean_taps():
    _, branch = tables("ieee123")
    regulators = branch[branch["ratio"] != 1]
    assert (regulators[["r_ohm", "x_ohm"]] == 0).all().all()
    assert dict(zip(regulators["to_bus"], regulators["ratio"])) == pytest.approx(
        {"150r": 1.04375, "9r": 0.99375, "25r": 0.996875, "160r": (1.05 + 1.00625 + 1.03125) / 3}
    )
    assert (tables("ieee119")[1]["ratio"] == 1).all()


# the largest distance from the phase average that chapter 01 may state
EQUIVALENT = {"ieee119": ("V_fused", 0.0005), "ieee123": ("V_taps", 0.0006)}


@pytest.mark.parametrize("name", EQUIVALENT)
def test_equivalent_keeps_the_phase_average_of_three_phase_buses(name):
    column, limit = EQUIVALENT[name]
    ours, phases = against_opendss(name, column)
    three = phases[phases["count"] == 3]
    distance = (ours[three.index] - three["mean"]).abs()
    assert len(three) > 55
    assert 0.5 * limit < distance.max() < limit


def test_equivalent_does_not_see_the_worst_phase():
    ours, phases = against_opendss("ieee119", "V_fused")
    assert phases["min"].idxmin() == "114"
    assert phases["min"].min() == pytest.approx(0.9192, abs=5e-5)
    assert ours.min() == pytest.approx(0.9446, abs=5e-5)


def against_opendss(name, column):
    """Voltages of the equivalent by label, and mean, min and count over the phases in OpenDSS."""
    feeder = read_feeder(name)
    ours = pd.Series(flow_of(feeder).V, index=[str(label) for label in feeder.buses])
    table = pd.read_csv(REFERENCE / "ieee123_opendss.csv", comment="#", dtype={"bus": str})
    phases = table.groupby("bus")[column].agg(["mean", "min", "count"])
    return ours, phases.loc[ours.index]


def test_loss_of_the_equivalent_is_below_the_loss_of_the_phases():
    totals = pd.read_csv(REFERENCE / "ieee123_opendss_totals.csv", comment="#", index_col="case")
    for name, case in (("ieee119", "fused"), ("ieee123", "taps")):
        ours = 1000 * flow_of(read_feeder(name)).p_loss
        assert 0.93 < ours / totals.at[case, "p_loss_kw"] < 0.94


# --- 533 buses ----------------------------------------------------------------------------------


def test_sw533_totals_ties_and_ratings():
    bus, branch = tables("sw533")
    assert len(bus) == 533 and bus["p_mw"].sum() == pytest.approx(44.6, abs=0.05)
    assert (branch["closed"] == 0).sum() == 45 and branch["i_max_a"].notna().all()
    assert set(bus["v_kv"]) == {12.0, 135.0}
    feeder = read_feeder("sw533")
    assert feeder.n == 532 and (feeder.i_max < 1e3).all()


def test_sw533_tables_are_the_per_unit_values_of_the_case_file():
    # row 4 of the case file: 5-2, r = 0.247364266, x = 0.139251062 p.u. of 12 kV and 50 MVA
    _, branch = tables("sw533")
    row = branch.iloc[3]
    assert (row["from_bus"], row["to_bus"]) == (5, 2)
    assert row["r_ohm"] == pytest.approx(0.247364266 * 12**2 / 50, rel=1e-9)
    assert row["x_ohm"] == pytest.approx(0.139251062 * 12**2 / 50, rel=1e-9)
    assert row["i_max_a"] == pytest.approx(0.324239911 * 50e3 / (3**0.5 * 12), rel=1e-9)


def test_sw533_flow_in_pandapower():
    feeder = read_feeder("sw533")
    flow, net = flow_of(feeder), feeder.to_pandapower()
    pp.runpp(net, tolerance_mva=1e-9, numba=False)
    assert net.res_bus["vm_pu"].loc[list(feeder.buses)].to_numpy() == pytest.approx(
        flow.V, abs=1e-8
    )
    assert flow.V.min() > 0.95 and (flow.ell**0.5 <= feeder.i_max).all()
