"""Feeder.from_pandapower and .to_pandapower against pandapower's own power flow."""

import subprocess
import sys
import warnings

import numpy as np
import pandapower as pp
import pandapower.networks as nets
import pandas as pd
import pytest

from adnlib import Feeder, pandapower_net, powerflow

AGREE = 1e-8  # p.u.; both sides solve the same equations, the contract asks for 1e-6

pytestmark = pytest.mark.filterwarnings("ignore")

NETS = {
    "case33bw": (nets.case33bw, {}),
    "cigre_mv": (nets.create_cigre_network_mv, {}),
    "cigre_mv_der": (lambda: nets.create_cigre_network_mv(with_der="pv_wind"), {}),
    "oberrhein_58": (nets.mv_oberrhein, {"root": 58}),
    "oberrhein_318": (nets.mv_oberrhein, {"root": 318}),
    "kerber_village": (nets.create_kerber_dorfnetz, {}),
    "kerber_suburb": (nets.create_kerber_vorstadtnetz_kabel_1, {}),
    "kerber_overhead": (nets.create_kerber_landnetz_freileitung_1, {}),
    "eu_lv": (nets.ieee_european_lv_asymmetric, {"balanced": True}),
}


def run(net):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pp.runpp(net, tolerance_mva=1e-10, max_iteration=50, numba=False)
    return net


def compare(net, **options):
    """Feeder of `net`, after its voltages and its supply were found equal to pandapower's."""
    feeder = Feeder.from_pandapower(net, **options)
    flow = powerflow.solve(feeder, feeder.p, feeder.q)
    run(net)
    V = net.res_bus["vm_pu"].loc[list(feeder.buses)].to_numpy()
    np.testing.assert_allclose(flow.V, V, rtol=0, atol=AGREE)
    return feeder


@pytest.mark.parametrize("name", NETS)
def test_same_flow_as_pandapower_and_back(name):
    make, options = NETS[name]
    feeder = compare(make(), **options)
    flow = powerflow.solve(feeder, feeder.p, feeder.q)
    back = run(feeder.to_pandapower())
    V = back.res_bus["vm_pu"].loc[list(feeder.buses)].to_numpy()
    np.testing.assert_allclose(V, flow.V, rtol=0, atol=AGREE)
    supplied = back.res_ext_grid["p_mw"].sum() / feeder.s_base_mva
    assert supplied == pytest.approx(flow.p_root, abs=1e-7)


def test_sizes_and_totals():
    assert Feeder.from_pandapower(nets.create_cigre_network_mv()).V_root == 1.03
    eu = Feeder.from_pandapower(nets.ieee_european_lv_asymmetric(), balanced=True)
    assert eu.n + 1 == 907 and np.count_nonzero(eu.p_load) == 55
    assert 1000 * eu.p_load.sum() == pytest.approx(57.358, abs=0.001)
    islands = [Feeder.from_pandapower(nets.mv_oberrhein(), root=root) for root in (58, 318)]
    assert sum(f.n + 1 for f in islands) == 179
    assert np.isinf(Feeder.from_pandapower(nets.case33bw()).i_max).all()


def test_eu_lv_equals_its_balanced_copy():
    net = nets.ieee_european_lv_asymmetric()
    ours = Feeder.from_pandapower(net, balanced=True)
    for row in net.asymmetric_load.itertuples():
        p, q = row.p_a_mw + row.p_b_mw + row.p_c_mw, row.q_a_mvar + row.q_b_mvar + row.q_c_mvar
        pp.create_load(net, row.bus, p * row.scaling, q * row.scaling)
    net.asymmetric_load = net.asymmetric_load.drop(net.asymmetric_load.index)
    copy = compare(net)
    np.testing.assert_allclose(copy.p_load, ours.p_load, rtol=1e-12)
    np.testing.assert_allclose(copy.q_load, ours.q_load, rtol=1e-12)


# --- one feature at a time, against runpp -------------------------------------------------------


def small(lines=4, length_km=2.0, c_nf_per_km=300.0):
    """20 kV line of `lines` sections with a load at every bus, source at bus 0."""
    net = pp.create_empty_network()
    pp.create_buses(net, lines + 1, vn_kv=20.0)
    pp.create_ext_grid(net, 0, vm_pu=1.01)
    for k in range(lines):
        pp.create_line_from_parameters(
            net, k, k + 1, length_km, 0.3, 0.35, c_nf_per_km, 0.25, g_us_per_km=2.0
        )
        pp.create_load(net, k + 1, 1.0, 0.3)
    return net


def with_transformer(**values):
    """`small` behind a 110/20 kV transformer at buses 5 (high) and 0."""
    net = small()
    net.ext_grid = net.ext_grid.drop(0)
    pp.create_bus(net, vn_kv=110.0)
    pp.create_ext_grid(net, 5, vm_pu=1.02)
    rated = {"sn_mva": 10.0, "vn_hv_kv": 112.0, "vn_lv_kv": 20.5, "vk_percent": 11.0}
    rated |= {"vkr_percent": 0.6, "pfe_kw": 20.0, "i0_percent": 0.5, "shift_degree": 150.0}
    pp.create_transformer_from_parameters(net, 5, 0, **(rated | values))
    return net


TAPS = {"tap_neutral": 0, "tap_pos": -3, "tap_step_percent": 1.5, "tap_changer_type": "Ratio"}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"parallel": 2},
        {"tap_side": "hv", **TAPS},
        {"tap_side": "lv", **TAPS},
        {"tap_side": "hv", **TAPS, "tap_step_degree": 60.0},
        {"tap_side": "hv", **TAPS, "tap_changer_type": "Symmetrical", "tap_step_degree": 90.0},
        {"tap_side": "hv", **TAPS, "tap_changer_type": "Ideal", "tap_step_percent": np.nan,
         "tap_step_degree": 5.0},
        {"tap_side": "hv", **TAPS, "tap_changer_type": None},
        {"i0_percent": 0.0},
        {"pfe_kw": 60.0, "i0_percent": 0.5},
    ],
)  # fmt: skip
def test_transformer(values):
    compare(with_transformer(**values))


def test_transformer_with_uneven_leakage():
    net = with_transformer(i0_percent=5.0)
    net.trafo["leakage_resistance_ratio_hv"] = 0.3
    net.trafo["leakage_reactance_ratio_hv"] = 0.7
    compare(net)


def test_source_on_the_low_side():
    net = with_transformer(tap_side="hv", **TAPS)
    net.ext_grid["bus"] = 0
    pp.create_load(net, 5, 2.0, 1.0)
    compare(net)


def test_iron_losses_of_a_transformer_open_on_the_other_side():
    net = small()
    pp.create_bus(net, vn_kv=0.4)
    rated = {"sn_mva": 0.63, "vn_hv_kv": 21.0, "vn_lv_kv": 0.4, "vk_percent": 6.0}
    pp.create_transformer_from_parameters(
        net, 3, 5, **rated, vkr_percent=1.0, pfe_kw=90.0, i0_percent=30.0
    )
    pp.create_switch(net, 5, 0, et="t", closed=False)
    assert 5 not in compare(net).buses
    net.switch = net.switch.drop(0)
    net.bus.loc[5, "in_service"] = False
    compare(net)


@pytest.mark.parametrize("side", ["from_bus", "to_bus"])
def test_line_open_at_one_end_is_still_charged(side):
    net = small()
    spur = pp.create_line_from_parameters(net, 1, 4, 40.0, 0.3, 0.35, 300.0, 0.25)
    pp.create_switch(net, int(net.line.at[spur, side]), spur, et="l", closed=False)
    compare(net)


def test_line_open_at_both_ends_is_nothing():
    net = small()
    before = compare(net)
    spur = pp.create_line_from_parameters(net, 1, 4, 40.0, 0.3, 0.35, 300.0, 0.25)
    for bus in (1, 4):
        pp.create_switch(net, bus, spur, et="l", closed=False)
    np.testing.assert_array_equal(compare(net).b_shunt, before.b_shunt)


def test_bus_bus_switches():
    net = small()
    for closed in (True, False):
        extra = pp.create_bus(net, vn_kv=20.0)
        pp.create_switch(net, 2, extra, et="b", closed=closed)
        if closed:
            pp.create_load(net, extra, 0.7, 0.1)
    pp.create_switch(net, 1, 4, et="b", closed=False)
    feeder = compare(net)
    assert feeder.n == 4 and feeder.p_load.sum() == pytest.approx(4.7)
    assert feeder.fused == {5: 2}


def test_switch_with_impedance_and_parallel_lines():
    net = small()
    extra = pp.create_bus(net, vn_kv=20.0)
    pp.create_switch(net, 4, extra, et="b", closed=True, z_ohm=0.8)
    pp.create_load(net, extra, 0.7, 0.1)
    pp.create_line_from_parameters(net, 2, 1, 3.0, 0.2, 0.3, 300.0, 0.25, parallel=2)
    compare(net)


def test_line_between_two_base_voltages_counts_on_the_one_of_its_from_bus():
    net = small()
    net.bus.loc[[3, 4], "vn_kv"] = 21.0
    compare(net)


def test_scaling_service_shunts_and_generators():
    net = small()
    net.load.loc[1, "scaling"] = 0.6
    net.load.loc[2, "in_service"] = False
    pp.create_sgen(net, 3, p_mw=2.0, q_mvar=-0.4, scaling=0.5)
    pp.create_shunt(net, 4, q_mvar=-0.3, p_mw=0.02, step=3, vn_kv=21.0)
    pp.create_bus(net, vn_kv=20.0, in_service=False)
    pp.create_line_from_parameters(net, 4, 5, 2.0, 0.3, 0.35, 300.0, 0.25)
    pp.create_load(net, 5, 9.0)
    feeder = compare(net)
    assert feeder.p_gen.sum() == pytest.approx(1.0) and feeder.p_load.sum() == pytest.approx(2.6)


def test_current_limits_in_ampere():
    _, branch, *_ = pandapower_net.tables(with_transformer(parallel=2))
    assert branch["i_max_a"].iloc[0] == pytest.approx(250.0)
    assert branch["i_max_a"].iloc[-1] == pytest.approx(2 * 10_000 / (np.sqrt(3) * 20.5))


def test_coordinates_come_along():
    assert Feeder.from_pandapower(nets.case33bw()).xy.shape == (32, 2)
    assert Feeder.from_pandapower(small()).xy is None


# --- refused --------------------------------------------------------------------------------------


def refused(net, message, **options):
    with pytest.raises(ValueError, match=message):
        Feeder.from_pandapower(net, **options)


ELEMENTS = {
    "gen": lambda net: pp.create_gen(net, 2, p_mw=1.0, vm_pu=1.0),
    "ward": lambda net: pp.create_ward(net, 2, 1.0, 0.1, 0.1, 0.1),
    "xward": lambda net: pp.create_xward(net, 2, 1.0, 0.1, 0.1, 0.1, 0.1, 0.1, 1.0),
    "dcline": lambda net: pp.create_dcline(net, 1, 3, 1.0, 1.0, 1.0, 1.0, 1.0),
    "impedance": lambda net: pp.create_impedance(net, 1, 3, 0.1, 0.1, 10.0),
    "storage": lambda net: pp.create_storage(net, 2, 0.5, 2.0),
    "motor": lambda net: pp.create_motor(net, 2, 1.0, 0.9),
    "svc": lambda net: pp.create_svc(net, 2, 1.0, -10.0, 1.0, 120.0),
    "tcsc": lambda net: pp.create_tcsc(net, 1, 3, 1.0, -1.0, 1.0, 120.0),
    "asymmetric_load": lambda net: pp.create_asymmetric_load(net, 2, 0.1),
    "asymmetric_sgen": lambda net: pp.create_asymmetric_sgen(net, 2, 0.1),
}


@pytest.mark.parametrize("table", ELEMENTS)
def test_unknown_element_is_refused_by_table_and_index(table):
    net = small()
    index = ELEMENTS[table](net)
    refused(net, f"{table} {index} ")
    net[table].loc[index, "in_service"] = False
    compare(net)


def test_three_winding_transformer_is_refused():
    net = small()
    for kv in (110.0, 10.0):
        pp.create_bus(net, vn_kv=kv)
    index = pp.create_transformer3w(net, 5, 0, 6, std_type="63/25/38 MVA 110/20/10 kV")
    refused(net, f"trafo3w {index} has three windings")


def test_a_table_that_pandapower_may_add_later_is_refused():
    net = small()
    net["electrolyser"] = net.load.rename(columns={"p_mw": "p_dc_mw"})
    refused(net, "electrolyser 0 is an element that a feeder does not have")


def test_controller_is_refused():
    net = with_transformer(tap_side="hv", **TAPS, tap_min=-9, tap_max=9)
    from pandapower.control import DiscreteTapControl

    DiscreteTapControl(net, 0, 0.99, 1.01)
    refused(net, "controller 0 would act")
    net.controller["in_service"] = False
    compare(net)


def test_results_costs_and_measurements_are_not_looked_at():
    net = small()
    pp.create_poly_cost(net, 0, "ext_grid", 1.0)
    pp.create_measurement(net, "v", "bus", 1.0, 0.01, 1)
    compare(net)
    compare(net)  # with results of the first run in it


@pytest.mark.parametrize("part", ["const_z_p_percent", "const_i_q_percent"])
def test_voltage_dependent_load_is_refused(part):
    net = small()
    net.load.loc[2, part] = 30.0
    refused(net, f"load 2 has {part} = 30")


def test_asymmetric_load_needs_to_be_asked_for():
    refused(nets.ieee_european_lv_asymmetric(), r"asymmetric_load 0 .* balanced=True")


def test_empty_net_is_refused():
    refused(pp.create_empty_network(), "no bus in service")


def test_sources():
    refused(nets.mv_oberrhein(), r"several sources \(ext_grid 0 at bus 58, ext_grid 1 at bus 318\)")
    refused(nets.mv_oberrhein(), "root 5 is no source; there is ext_grid 0", root=5)
    net = small()
    pp.create_ext_grid(net, 4)
    refused(net, "ext_grid 0, ext_grid 1 are connected", root=0)
    net.ext_grid["in_service"] = False
    refused(net, "no ext_grid in service")


def test_mesh_is_refused_with_its_loop():
    net = small()
    pp.create_line_from_parameters(net, 4, 1, 1.0, 0.3, 0.3, 0.0, 1.0)
    refused(net, "meshed")


def test_load_without_a_source_is_refused_and_an_empty_bus_is_not():
    net = small()
    pp.create_bus(net, vn_kv=20.0)
    assert compare(net).n == 4
    pp.create_load(net, 5, 1.0)
    refused(net, "bus 5 has load or generation and no source")


def test_tables_of_characteristics_are_refused():
    net = with_transformer()
    net.trafo["tap_dependency_table"] = True
    refused(net, "trafo 0 takes its taps from a table")
    net = small()
    pp.create_shunt(net, 4, q_mvar=-0.3)
    net.shunt["step_dependency_table"] = True
    refused(net, "shunt 0 takes its steps from a table")


# --- and back -------------------------------------------------------------------------------------


def test_ideal_regulator_is_written_exactly():

    bus = pd.DataFrame({"bus": ["a", "b", "c"], "p_mw": [0, 1.0, 2.0], "q_mvar": 0.5, "v_kv": 4.16})
    branch = pd.DataFrame({"from_bus": ["a", "b"], "to_bus": ["b", "c"], "r_ohm": [0, 0.2]})
    branch = branch.assign(x_ohm=[0, 0.4], ratio=[1.04, 1.0])
    feeder = Feeder.from_tables(bus, branch, "a")
    flow = powerflow.solve(feeder, feeder.p, feeder.q)
    net = run(feeder.to_pandapower())
    V = net.res_bus["vm_pu"].set_axis(net.bus["name"])[list(feeder.buses)].to_numpy()
    np.testing.assert_allclose(V, flow.V, rtol=0, atol=AGREE)
    assert list(net.bus["name"]) == ["a", "b", "c", "inside b"]


def test_limits_survive_the_way_back():
    for net in (small(), with_transformer(tap_side="lv", **TAPS)):
        first = Feeder.from_pandapower(net)
        again = Feeder.from_pandapower(first.to_pandapower())
        assert again.buses == first.buses
        for name in ("r", "x", "ratio", "i_max", "g_shunt", "b_shunt", "p_load", "v_base_kv"):
            np.testing.assert_allclose(getattr(again, name), getattr(first, name), rtol=1e-9)


def test_negative_reactance_with_a_ratio_is_refused():

    bus = pd.DataFrame({"bus": [1, 2], "p_mw": [0, 1.0], "q_mvar": 0.5, "v_kv": 10.0})
    branch = pd.DataFrame({"from_bus": [1], "to_bus": [2], "r_ohm": [0.1], "x_ohm": [-0.1]})
    with pytest.raises(ValueError, match="above bus 2 has a ratio and a negative reactance"):
        Feeder.from_tables(bus, branch.assign(ratio=1.05), 1).to_pandapower()


def test_adnlib_does_not_import_pandapower():
    code = "import sys, adnlib, adnlib.pandapower_net; sys.exit('pandapower' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
