"""A reader's own network: every form is read, and every bad file is refused in words."""

import copy
import json
import re
import warnings

import numpy as np
import pandapower as pp
import pandapower.networks as networks
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adnlib import Feeder, inputs, powerflow, read_feeder
from adnlib.inputs import InputError

pytestmark = pytest.mark.filterwarnings("ignore")
FUZZ = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
NO_MESSAGE = re.compile(
    r"Traceback|KeyError|IndexError|could not convert|invalid literal|object has no attribute|"
    r"unsupported operand|not subscriptable|ufunc|broadcast|cannot be read \("
)


def small_net():
    """20 kV, a transformer, three low-voltage lines, loads, a static generator, storage."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = pp.create_empty_network(name="small")
        buses = [pp.create_bus(net, v) for v in (20.0, 0.4, 0.4, 0.4, 0.4)]
        pp.create_ext_grid(net, buses[0])
        pp.create_transformer(net, buses[0], buses[1], "0.25 MVA 20/0.4 kV")
        for a, b in ((1, 2), (2, 3), (1, 4)):
            pp.create_line(net, buses[a], buses[b], 0.1, "NAYY 4x150 SE")
        pp.create_load(net, buses[2], 0.02, 0.005)
        pp.create_load(net, buses[3], 0.03, 0.01)
        pp.create_sgen(net, buses[4], 0.01)
        pp.create_storage(net, buses[3], 0.005, 0.02)
        pp.create_switch(net, buses[1], buses[4], "b", closed=False)
    return net


NET = small_net()
BUS = "bus,p_mw,q_mvar,v_kv\n0,0,0,10\n1,0.5,0.1,10\n2,0.3,0.1,10\n3,0.2,0.1,10\n"
BRANCH = "from_bus,to_bus,r_ohm,x_ohm\n0,1,1,1\n1,2,1,1\n1,3,1,1\n"
DSS = """Clear
New circuit.small basekv=12.47 bus1=source pu=1.0
New linecode.three nphases=3 units=km
~ rmatrix=[0.5 | 0.2 0.6 | 0.1 0.3 0.7] xmatrix=(1.0 | 0.4 1.1 | 0.4 0.4 1.2)
New Line.L1 bus1=source bus2=a linecode=three length=2 units=km
New Line.L2 bus1=a.2 bus2=b.2 phases=1 r1=0.4 x1=0.9 length=0.5
New Load.a bus1=a kv=12.47 kw=90 kvar=30
New Load.b bus1=b.2 phases=1 kv=7.2 kw=50 pf=0.8
New Capacitor.k bus1=b.2 phases=1 kvar=40 kv=7.2
"""


def folder(tmp_path, bus=BUS, branch=BRANCH):
    for name, text in (("bus.csv", bus), ("branch.csv", branch)):
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / name).write_bytes(data)
    return tmp_path


def told(call, *args, **options):
    """The network, or None after an InputError that is a message."""
    try:
        return call(*args, **options)
    except InputError as error:
        text = str(error)
        assert len(text) > 20 and not NO_MESSAGE.search(text), text
        assert error.__cause__ is None or "pandapower" in text, repr(error.__cause__)
        return None


# --- what is read -------------------------------------------------------------------------------


def test_a_net_and_its_json_are_the_same_feeder(tmp_path):
    pp.to_json(NET, str(tmp_path / "small.json"))
    a, b = inputs.network(NET), inputs.network(tmp_path / "small.json")
    assert (a.form, b.form) == ("net", "json")
    assert a.feeder.buses == b.feeder.buses == (1, 2, 3, 4)
    np.testing.assert_array_equal(a.feeder.r, b.feeder.r)
    assert a.devices.equals(b.devices)


def test_the_base_is_the_load_and_the_flow_is_that_of_pandapower():
    found = inputs.network(NET)
    assert found.feeder.s_base_mva == 0.05
    net = copy.deepcopy(NET)
    net.storage["in_service"], net.sgen["in_service"] = False, False
    pp.runpp(net, tolerance_mva=1e-10, numba=False)
    V = net.res_bus["vm_pu"].loc[list(found.feeder.buses)]
    np.testing.assert_allclose(powerflow.solve(found.feeder).V, V, rtol=0, atol=1e-8)


def test_generators_and_storage_become_devices():
    table = inputs.network(NET).devices.set_index("kind")
    assert tuple(table.loc["pv", ["bus", "p_mw"]]) == (4, 0.01)
    assert tuple(table.loc["battery", ["bus", "p_mw", "energy_mwh"]]) == (3, 0.005, 0.02)
    assert len(NET.storage) == 1, "the net that is given stays as it is"


def test_a_feeder_alone_is_the_network_as_it_stands():
    own = inputs.feeder("pandapower create_cigre_network_mv")
    same = Feeder.from_pandapower(networks.create_cigre_network_mv())
    assert own.buses == same.buses and own.s_base_mva == same.s_base_mva
    np.testing.assert_array_equal(own.p_load, same.p_load)
    np.testing.assert_array_equal(inputs.feeder("ieee33").r, read_feeder("ieee33").r)
    with pytest.raises(inputs.InputError, match=r"storage.*out of service"):
        inputs.feeder(NET)
    with pytest.raises(inputs.InputError, match=r"ieee34.*no such file"):
        inputs.feeder("ieee34")


def test_csv_opendss_and_functions(tmp_path):
    own = inputs.network(folder(tmp_path))
    assert own.form == "csv" and own.feeder.n == 3 and own.feeder.s_base_mva == 1.0
    text = tmp_path / "text"
    text.mkdir()
    (text / "master.dss").write_text(DSS)
    for where in (text, text / "master.dss"):
        found = inputs.network(where)
        assert found.form == "opendss" and found.feeder.buses == ("a", "b")
    named = inputs.network("pandapower create_cigre_network_mv with_der=all")
    assert named.form == "pandapower" and set(named.devices["kind"]) == {"pv", "battery"}
    assert inputs.network("ieee33").feeder.n == read_feeder("ieee33").n


def test_a_function_that_draws_at_random_gives_one_network():
    a, b = (inputs.network("pandapower create_kerber_landnetz_kabel_2").feeder for _ in range(2))
    np.testing.assert_array_equal(a.r, b.r)


def test_tables_written_by_a_feeder_come_back(tmp_path):
    feeder = Feeder.from_pandapower(small_net_without_storage())
    for name, table in zip(("bus", "branch"), feeder.to_tables()):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    again = inputs.network(tmp_path)
    assert again.feeder.buses == feeder.buses and len(again.devices) == 1
    np.testing.assert_allclose(again.feeder.r / again.feeder.s_base_mva, feeder.r, rtol=1e-12)


def small_net_without_storage():
    net = copy.deepcopy(NET)
    net["storage"] = net.storage.iloc[:0]
    return net


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bus", "branch", "says"),
    [
        ("", BRANCH, "bus.csv is not a comma-separated table"),
        (BUS.replace("p_mw", "p_kw"), BRANCH, "lacks the column 'p_mw'"),
        (BUS.replace("0.5", "half"), BRANCH, "p_mw is 'half', not a number"),
        (BUS.replace("0.5", "NaN"), BRANCH, "p_mw is empty"),
        (BUS.replace("0.5", "500"), BRANCH, "no power flow at its own loads.*are they in MW"),
        (BUS, BRANCH.replace("0,1,1,1", "0,1,-1,1"), "negative r_ohm"),
        (BUS, BRANCH + "2,3,1,1\n", "meshed: branch .* closes a loop"),
        (BUS, BRANCH.replace("1,3,1,1\n", ""), "bus 3 is not connected"),
        (BUS, BRANCH.replace("1,3,1,1", "1,9,1,1"), "bus 9 is not in the bus table"),
        (BUS.replace("3,0.2", "2,0.2"), BRANCH, "bus 2 stands in two rows"),
        (BUS.replace("\n1,0.5,0.1,10", "\n1,0.5,0.1,0"), BRANCH, "v_kv = 0"),
        (BUS.replace(",", ";"), BRANCH, "lacks the column 'bus'"),
        (b"\xff\xfe\x00b", BRANCH, "bus.csv"),
        (BUS.split("1,")[0], "from_bus,to_bus,r_ohm,x_ohm\n", "no bus but the root"),
    ],
)
def test_bad_tables(tmp_path, bus, branch, says):
    with pytest.raises(InputError, match=says):
        inputs.network(folder(tmp_path, bus, branch))


def broken(change):
    net = copy.deepcopy(NET)
    change(net)
    return net


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda n: n.load.__setitem__("p_mw", np.nan), "load 0: p_mw is nan; write a number"),
        (lambda n: n.load.__setitem__("q_mvar", "x"), "load 0: q_mvar is 'x'"),
        (lambda n: n.line.__setitem__("r_ohm_per_km", -0.1), "line 0: r_ohm_per_km is -0.1"),
        (lambda n: n.line.__setitem__("to_bus", 77), "line 0: to_bus is 77, which is no bus"),
        (lambda n: n.bus.__setitem__("vn_kv", 0.0), "bus 0: vn_kv is 0.0; it must be above 0"),
        (lambda n: n.bus.pop("vn_kv"), "bus has no column 'vn_kv'"),
        (lambda n: n.pop("line"), "no table 'line'"),
        (lambda n: n.trafo.__setitem__("sn_mva", 0.0), "trafo 0: sn_mva is 0.0"),
        (lambda n: n.trafo.__setitem__("vkr_percent", 9.0), "vkr_percent 9 exceeds"),
        (lambda n: pp.create_line(n, 3, 4, 0.1, "NAYY 4x150 SE"), "meshed: branch 3-4"),
        (lambda n: n.switch.__setitem__("et", "q"), "switch 0: et is 'q'"),
        (lambda n: n.switch.__setitem__("element", 99), "switch 0: element 99"),
        (lambda n: n.ext_grid.__setitem__("in_service", False), "needs one source"),
        (lambda n: pp.create_ext_grid(n, 3), "ext_grid 0, ext_grid 1 are connected"),
        (lambda n: pp.create_gen(n, 3, 0.01), "gen 0 holds a voltage"),
        (lambda n: n.storage.__setitem__("p_mw", 0.0), "storage 0 states no power"),
        (lambda n: n.line.__setitem__("in_service", False), "has load or generation and no source"),
        (lambda n: n.load.__setitem__("p_mw", 20.0), "no power flow at its own loads"),
    ],
)
def test_bad_nets(change, says):
    with pytest.raises(InputError, match=says):
        inputs.network(broken(change))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("{", "not JSON"),
        ("[1, 2]", "not of a pandapower net"),
        ('{"bus": 1}', "not of a pandapower net"),
        ('{"_class": "pandapowerNet", "_module": "os"}', "module 'os'"),
        ('{"_class": "pandapowerNet", "_module": "pandapower.auxiliary"}', "the net has no bus"),
    ],
)
def test_bad_json(tmp_path, text, says):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=says):
        inputs.network(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("nowhere", "there is no such file or folder; give a pandapower JSON"),
        ("pandapower create_kerber_netz", "has no 'create_kerber_netz'; near it"),
        ("pandapower create_cigre_network_mv der", "write name=value"),
        ("pandapower create_cigre_network_mv der=1", "gives no network"),
        ("pandapower case14", "gen 0 holds a voltage"),
        ("pandapower lv_schutterwald", "choose one with root="),
    ],
)
def test_bad_names(where, says):
    with pytest.raises(InputError, match=says):
        inputs.network(where)


def test_other_files_and_empty_folders(tmp_path):
    (tmp_path / "net.txt").write_text("x")
    with pytest.raises(InputError, match=r"a file that ends in '\.txt'"):
        inputs.network(tmp_path / "net.txt")
    with pytest.raises(InputError, match=r"without bus\.csv and without \.dss"):
        inputs.network(tmp_path)


# --- fuzzed -------------------------------------------------------------------------------------

BAD = [None, "x", "", np.nan, np.inf, -1, 0, 1e300, -1e-9, 10**6, True, [], "0,5"]
COLUMNS = [
    (name, column)
    for name in ("bus", "line", "trafo", "load", "sgen", "storage", "switch", "ext_grid")
    for column in NET[name].columns
    if column not in ("name", "std_type", "geo", "type", "zone")
]


@FUZZ
@given(st.sampled_from(COLUMNS), st.sampled_from(BAD), st.booleans())
def test_any_wrong_cell_of_a_net_is_told(where, value, drop):
    name, column = where
    net = copy.deepcopy(NET)
    if drop and value is None:
        net[name] = net[name].drop(columns=column)
    else:
        values = pd.Series([value] * len(net[name]), index=net[name].index, dtype=object)
        values.iloc[1:] = net[name][column].iloc[1:]
        net[name][column] = values
    told(inputs.network, net)


@pytest.fixture(scope="module")
def net_text():
    return pp.to_json(NET)


@settings(FUZZ, max_examples=12)
@given(data=st.data())
def test_any_cut_or_changed_json_is_told(net_text, tmp_path_factory, data):
    text = net_text
    if data.draw(st.booleans()):
        text = text[: data.draw(st.integers(0, len(text)))]
    else:
        content = json.loads(text)
        key = data.draw(st.sampled_from(sorted(content["_object"])))
        content["_object"][key] = data.draw(st.sampled_from([None, 1, "x", [], {}]))
        text = json.dumps(content)
    path = tmp_path_factory.mktemp("fuzz") / "net.json"
    path.write_text(text)
    told(inputs.network, path)


def changed(text, data, pieces):
    """The text with some of its words replaced, lines dropped or doubled, or cut off."""
    lines = text.splitlines(keepends=True)
    for _ in range(data.draw(st.integers(1, 3))):
        k = data.draw(st.integers(0, len(lines) - 1))
        how = data.draw(st.sampled_from(["drop", "double", "word", "cut"]))
        if how == "drop" and len(lines) > 1:
            del lines[k]
        elif how == "double":
            lines.insert(k, lines[k])
        elif how == "word":
            words = re.findall(r"[\w.]+|\W", lines[k])
            words[data.draw(st.integers(0, len(words) - 1))] = data.draw(pieces)
            lines[k] = "".join(words)
        else:
            lines[k] = lines[k][: data.draw(st.integers(0, len(lines[k])))]
    return "".join(lines)


CELLS = st.one_of(
    st.sampled_from(["", "nan", "inf", "-1", "0", "1e400", "x", ",", '"', ";", "0,5", "é", "\x00"]),
    st.text(max_size=4),
)


@settings(FUZZ, max_examples=60)
@given(data=st.data())
def test_any_changed_table_is_told(tmp_path_factory, data):
    own = {"bus": BUS, "branch": BRANCH}
    which = data.draw(st.sampled_from(sorted(own)))
    own[which] = changed(own[which], data, CELLS).encode("utf-8", "surrogatepass")
    told(inputs.network, folder(tmp_path_factory.mktemp("fuzz"), **own))


@settings(FUZZ, max_examples=80)
@given(data=st.data())
def test_any_changed_opendss_text_is_told(tmp_path_factory, data):
    text = changed(DSS, data, st.one_of(CELLS, st.sampled_from(["bus1", "~", "New", "line.l1"])))
    path = tmp_path_factory.mktemp("fuzz") / "master.dss"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    told(inputs.network, path.parent)
