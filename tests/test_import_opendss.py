"""The reader of OpenDSS text and the balanced equivalent, on hand-sized feeders and 123 buses."""

import numpy as np
import pandas as pd
import pytest

from adnlib import Feeder, opendss, read_feeder
from adnlib.feeder import DATA

TEXT_123 = DATA / "feeders" / "ieee123" / "opendss"

LINES = """
New linecode.three nphases=3 units=km
~ rmatrix=[0.5 | 0.2 0.6 | 0.1 0.3 0.7] xmatrix=(1.0 | 0.4 1.1 | 0.4 0.4 1.2)
~ cmatrix=[3 | -1 3 | -1 -1 3]
New linecode.one nphases=1 rmatrix={0.4} xmatrix={0.9} units=km
"""
MASTER = (
    """! a comment
Clear
New object=circuit.small basekv=12.47 Bus1=Source pu=1.02 R1=0 X1=0.0001
"""
    + LINES
    + """
New Line.L1 bus1=source.1.2.3 bus2=a linecode=three length=2 units=km  // three phases
New Line.L2 a.2 b.2 one 0.5 1 units=km
New Line.S1 bus1=a bus2=C switch=yes
New Load.a1 phases=1 bus1=a.1 kv=7.2 kw=30 kvar=10 model=1
New	Load.a2 like=a1 bus1=a.2	kw=20
New Load.b  bus1=b.2 phases=1 kv=7.2 kW = 50 pf=0.8 model=5
New Load.c  bus1=c conn=delta kv=12.47 kw=90 kvar=-30 model=2
New Capacitor.k bus1=b.2 phases=1 kvar=40 kv=7.2
Set voltagebases=[12.47]
calcvoltagebases
Solve mode=snap
"""
)


def write(folder, text=MASTER, **files):
    (folder / "master.dss").write_text(text)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


def refused(folder, extra, message, kind=ValueError, **files):
    write(folder, MASTER + extra, **files)
    with pytest.raises(kind, match=message):
        opendss.tables(folder)


def row(branch, a, b):
    found = branch[(branch["from_bus"] == a) & (branch["to_bus"] == b)]
    assert len(found) == 1
    return found.iloc[0]


# --- the equivalent, by hand --------------------------------------------------------------------


def test_three_phase_line(tmp_path):
    _, branch, root, V_root = opendss.tables(write(tmp_path))
    line = row(branch, "source", "a")
    assert (root, V_root) == ("source", 1.02)
    # mean diagonal - mean off-diagonal: 0.6 - 0.2 and 1.1 - 0.4 ohm/km, times 2 km
    assert (line["r_ohm"], line["x_ohm"]) == pytest.approx((0.8, 1.4))


def test_single_phase_lateral_is_scaled_by_three(tmp_path):
    _, branch, *_ = opendss.tables(write(tmp_path))
    lateral = row(branch, "a", "b")
    assert (lateral["r_ohm"], lateral["x_ohm"]) == pytest.approx((3 * 0.2, 3 * 0.45))


def test_loads_are_summed_and_switches_fuse(tmp_path):
    bus, *_ = opendss.tables(write(tmp_path))
    bus = bus.set_index("bus")
    assert list(bus.index) == ["source", "a", "b"] and (bus["v_kv"] == 12.47).all()
    assert tuple(bus.loc["a", ["p_mw", "q_mvar"]]) == pytest.approx((0.140, -0.010))
    assert tuple(bus.loc["b", ["p_mw", "q_mvar"]]) == pytest.approx((0.050, 0.0375))


def test_capacitor_rated_at_the_rounded_base_voltage(tmp_path):
    bus, *_ = opendss.tables(write(tmp_path))
    assert bus["b_mvar"].sum() == pytest.approx(0.040)  # 7.2 kV is 12.47 / sqrt(3) = 7.1996
    text = MASTER.replace("kvar=40 kv=7.2", "kvar=40 kv=8.0")
    bus, *_ = opendss.tables(write(tmp_path, text))
    assert bus["b_mvar"].sum() == pytest.approx(0.040 * 12.47**2 / 3 / 8.0**2)


def test_length_units_are_converted(tmp_path):
    text = MASTER.replace("length=2 units=km", "length=2 units=mi")
    _, branch, *_ = opendss.tables(write(tmp_path, text))
    assert row(branch, "source", "a")["r_ohm"] == pytest.approx(0.8 * 1.609344)


def test_rating_of_a_lateral_is_that_of_its_phase(tmp_path):
    text = MASTER.replace("one 0.5 1 units", "one 0.5 1 normamps=150 units")
    _, branch, *_ = opendss.tables(write(tmp_path, text))
    # the phase carries p / v, the equivalent p / (3 v)
    assert row(branch, "a", "b")["i_max_a"] == pytest.approx(50)
    assert np.isnan(row(branch, "source", "a")["i_max_a"])


def test_sequence_impedance_of_a_line(tmp_path):
    text = MASTER + "New Line.L3 bus1=b.2 bus2=d.2 phases=2 r1=0.1 x1=0.2 length=3 r0=1 x0=1\n"
    _, branch, *_ = opendss.tables(write(tmp_path, text))
    line = row(branch, "b", "d")
    assert (line["r_ohm"], line["x_ohm"]) == pytest.approx((0.45, 0.9))


def test_feeder_from_the_text(tmp_path):
    feeder = Feeder.from_opendss(write(tmp_path), s_base_mva=0.5)
    assert feeder.n == 2 and feeder.V_root == 1.02
    assert feeder.p_load.sum() == pytest.approx(0.190 / 0.5)


# --- the language -------------------------------------------------------------------------------


def test_edit_open_enable_and_redirect(tmp_path):
    text = MASTER.replace(LINES, "redirect (CODES.dss)\n") + (
        "New Line.tie bus1=b.2 bus2=source.2 linecode=one length=1 units=km\n"
        "open line.tie 1\n"
        "/* a comment\nNew Load.none bus1=a kw=1000 kvar=0 */\n"
        'Edit "Load.b" kw=60 kvar=1\n'
        "Load.a1.kw=35 kvar=12\n"
        "New Load.off bus1=a kw=1000 kvar=0\n"
        "disable load.off\n"
        "New Line.no bus1=a bus2=b enabled=no\n"
    )
    folder = write(tmp_path, text, codes__dss=LINES)
    bus, branch, *_ = opendss.tables(folder / "master.dss")
    assert row(branch, "b", "source")["closed"] == 0 and len(branch) == 3
    assert bus["p_mw"].sum() == pytest.approx(0.205)
    assert bus["q_mvar"].sum() == pytest.approx(-0.007)


def test_coordinates(tmp_path):
    text = MASTER + "Buscoords xy.csv\n"
    bus, *_ = opendss.tables(write(tmp_path, text, xy__csv="source, 1, 2\nA 3 4\n b,5,6\n"))
    assert bus[["x", "y"]].to_numpy().tolist() == [[1, 2], [3, 4], [5, 6]]
    refused(tmp_path, "Buscoords xy.csv\n", "xy.csv:1: .*is not 'bus, x, y'", xy__csv="a, b\n")


def test_whole_number_labels(tmp_path):
    text = MASTER.lower().replace("=source", "=1").replace("bus2=a ", "bus2=20r ")
    bus, branch, root, _ = opendss.tables(write(tmp_path, text.replace("=a.", "=20r.")
                                                .replace("l2 a.2", "l2 20r.2")
                                                .replace("bus1=a ", "bus1=20r ")))  # fmt: skip
    assert root == 1 and list(bus["bus"]) == [1, "20r", "b"]
    assert list(branch["from_bus"]) == [1, "20r"]


def test_run_script_of_the_circuit_is_the_start(tmp_path):
    run = "Compile (master.dss)\nopen line.S1\nNew Load.d bus1=a kw=7 kvar=0\n"
    folder = write(tmp_path, Run_Small_day__dss=run, Run_year__dss="Compile (nothing.dss)\n")
    assert opendss.start_script(folder).name == "Run_Small_day.dss"
    bus, branch, *_ = opendss.tables(folder)
    assert row(branch, "a", "c")["closed"] == 0
    assert bus["p_mw"].sum() == pytest.approx(0.197)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("New Generator.g bus1=a kw=100\n", "master.dss:21: object class 'generator'"),
        (
            "New Load.z bus1=a kw=1 kvar=1 zipv=[1 2 3]\n",
            "master.dss:21: property 'zipv' of load.z",
        ),
        ("New Line.z bus1=a bus2=b geometry=g1\n", "property 'geometry' of line.z"),
        ("Edit Load.nobody kw=1\n", "master.dss:21: there is no load.nobody"),
        ("New Load.b kw=1\n", "load.b is defined a second time"),
        ("BatchEdit Load..* kw=1\n", "command 'batchedit' is not understood"),
        ("Set loadmult=1.2\n", "option 'loadmult' = 1.2"),
        ("Set mode=daily\n", "option 'mode' = daily"),
        ("New Load.z bus1=a kw=1 kvar=1 model=3\n", r"load.z \(master.dss:21\): load model 3"),
        ("New Load.z bus1=a kw=1\n", "load.z .* pf = None is not a number"),
        ("New Load.z bus1=a kw=(1 2 +) kvar=1\n", r"kw = '\(1 2 \+\)' is not a number"),
        ("New Load.z kw=1 kvar=1\n", "load.z .* property bus1 is missing"),
        ("New Line.z bus1=a bus2=b linecode=none_such\n", "line.z .* no linecode 'none_such'"),
        ("New Line.z bus1=a bus2=b\n", "line.z .* no rmatrix and xmatrix and no r1 and x1"),
        ("New Line.z bus1=a bus2=b phases=2 linecode=three\n", "2 phases, but linecode.three"),
        ("New Line.z bus1=a bus2=b linecode=one phases=1 units=yd\n", "length unit 'yd'"),
        ("New Line.z bus1=a bus2=b phases=1 rmatrix=[x] xmatrix=[1]\n", "is not a matrix"),
        ("New Line.z bus1=a bus2=b switch=maybe\n", "'maybe' is neither yes nor no"),
        ("New Capacitor.z bus1=a bus2=b kvar=1 kv=1\n", "capacitor.z .* series capacitor"),
        ("New Capacitor.z bus1=a kvar=1\n", "capacitor.z .* property kv is missing"),
        ("New circuit.second bus1=x\n", "one script with 'New circuit'|second time"),
        ("New Load.z bus1=a kw=1 kvar=1 pf=1 daily=x 3 4 5 6 7 8 9\n", "no property to go to"),
    ],
)
def test_what_is_not_understood_is_refused_with_file_and_line(tmp_path, extra, message):
    refused(tmp_path, extra, message)


def test_continuation_without_an_object(tmp_path):
    with pytest.raises(ValueError, match=r"master\.dss:1: a continuation without an object"):
        opendss.tables(write(tmp_path, "~ kw=1\nNew circuit.c\n"))


def test_files_that_are_not_there(tmp_path):
    refused(tmp_path, "Redirect gone.dss\n", "master.dss:21: there is no file 'gone.dss'",
            FileNotFoundError)  # fmt: skip
    (tmp_path / "second.dss").write_text("New circuit.other\n")
    with pytest.raises(ValueError, match=r"found master\.dss, second\.dss"):
        opendss.tables(tmp_path)


# --- regulators and transformers ----------------------------------------------------------------

REGULATOR = """
New transformer.r1 phases=1 windings=2 buses=[b.2 br.2] conns=[wye wye] kvs=[7.2 7.2] xhl=0.01
New regcontrol.c1 transformer=r1 winding=2 vreg=120 band=2 ptratio=60
New transformer.r2 like=r1 buses=[b.1 br.1]
New regcontrol.c2 like=c1 transformer=r2
New line.l9 bus1=br.2 bus2=e.2 linecode=one length=1 units=km
"""
TAPS = """Name Tap Min Max Step Position

r1  1.05000 0.9 1.1 0.00625 8
R2  0.97500 0.9 1.1 0.00625 -4
"""


def test_regulator_has_the_mean_ratio_of_its_phases(tmp_path):
    folder = write(tmp_path, MASTER + REGULATOR, small_RegTaps__txt=TAPS)
    bus, branch, *_ = opendss.tables(folder)
    bank = row(branch, "b", "br")
    assert (bank["r_ohm"], bank["x_ohm"]) == (0, 0)
    assert bank["ratio"] == pytest.approx(1.0125)
    fused, branch, *_ = opendss.tables(folder, regulators="fused")
    assert set(bus["bus"]) - set(fused["bus"]) == {"br"} and (branch["ratio"] == 1).all()


def test_taps_in_the_text(tmp_path):
    taps = "Transformer.r1.Taps=[1.0 1.025]\nEdit transformer.r2 wdg=2 tap=0.99\n"
    _, branch, *_ = opendss.tables(write(tmp_path, MASTER + REGULATOR + taps))
    assert row(branch, "b", "br")["ratio"] == pytest.approx((1.025 + 0.99) / 2)


def test_regulator_without_a_tap_is_refused(tmp_path):
    refused(tmp_path, REGULATOR, r"transformer.r1 .* no tap is stated .* regulators='fused'")
    with pytest.raises(ValueError, match="it is 'taps' or 'fused'"):
        opendss.tables(tmp_path, regulators="mean")


def test_regulator_with_two_voltages_is_refused(tmp_path):
    refused(tmp_path, REGULATOR.replace("[7.2 7.2]", "[7.2 2.4]"), "two rated voltages")


def test_transformer_to_an_unloaded_bus_is_dropped_and_to_a_loaded_one_refused(tmp_path):
    text = "New Transformer.t phases=3 windings=2 xhl=2\n~ wdg=1 bus=a kv=12.47 kva=100 %r=0.6\n"
    text += "~ wdg=2 bus=low kv=0.48 kva=100\n"
    bus, *_ = opendss.tables(write(tmp_path, MASTER + text))
    assert "low" not in set(bus["bus"])
    refused(tmp_path, text + "New Load.z bus1=low kw=1 kvar=0\n", "transformer.t .* feeds bus low")


# --- the 123-bus feeder -------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "regulators"), [("ieee119", "fused"), ("ieee123", "taps")])
def test_committed_tables_follow_from_the_committed_text(name, regulators):
    again = Feeder.from_opendss(TEXT_123, regulators=regulators)
    feeder = read_feeder(name)
    assert again.root == feeder.root and again.buses == feeder.buses
    for field in ("parent", "r", "x", "ratio", "b_shunt", "p_load", "q_load", "v_base_kv", "xy"):
        np.testing.assert_allclose(getattr(again, field), getattr(feeder, field), rtol=1e-10)


def test_taps_are_those_of_the_exported_table():
    text = (TEXT_123 / "ieee123_RegTaps.Txt").read_text()
    rows = [line.split() for line in text.splitlines() if line.startswith("reg")]
    taps = pd.Series({name: float(tap) for name, tap, *_ in rows})
    banks = taps.groupby(taps.index.str[:4]).mean()
    _, branch, *_ = opendss.tables(TEXT_123)
    ratios = branch.loc[branch["ratio"] != 1].set_index("to_bus")["ratio"]
    assert ratios[["150r", "9r", "25r", "160r"]].tolist() == pytest.approx(banks.tolist())
