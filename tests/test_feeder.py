"""From tables to a feeder: what is refused and by which name, and what must not matter."""

import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adnlib import Feeder, read_feeder
from adnlib.feeder import PER_BUS
from adnlib.powerflow import CollapseError, solve
from adnlib.tables import FeederError

RANDOM = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow],
}


def buses(*labels, **columns):
    table = pd.DataFrame({"bus": pd.Series(labels, dtype=object), "p_mw": 0.1, "q_mvar": 0.05})
    return table.assign(v_kv=10.0).assign(**columns)


def branches(*ends, **columns):
    table = pd.DataFrame(ends, columns=["from_bus", "to_bus"], dtype=object)
    return table.assign(r_ohm=1.0, x_ohm=2.0).assign(**columns)


def feeder(bus=None, branch=None, **options):
    """Buses 1-2-3 in a row unless told otherwise."""
    bus = buses(1, 2, 3) if bus is None else bus
    branch = branches((1, 2), (2, 3)) if branch is None else branch
    return Feeder.from_tables(bus, branch, **options)


def refused(*says, bus=None, branch=None, **options):
    with pytest.raises(FeederError) as error:
        feeder(bus, branch, **options)
    for word in says:
        assert word in str(error.value), str(error.value)


# --- what is refused: cells ---------------------------------------------------------------------


@pytest.mark.parametrize("column", ["bus", "p_mw", "q_mvar", "v_kv"])
def test_missing_bus_column(column):
    refused("bus table", f"'{column}'", "p_mw", bus=buses(1, 2, 3).drop(columns=column))


@pytest.mark.parametrize("column", ["from_bus", "to_bus", "r_ohm", "x_ohm"])
def test_missing_branch_column(column):
    branch = branches((1, 2), (2, 3)).drop(columns=column)
    refused("branch table", f"'{column}'", "i_max_a", branch=branch)


def test_unknown_column():
    refused("bus table", "'p_kw'", "p_mw", bus=buses(1, 2, 3, p_kw=1.0))
    refused("branch table", "'c_nf'", "r_ohm", branch=branches((1, 2), (2, 3), c_nf=1.0))


def test_column_twice():
    table = buses(1, 2, 3)
    refused("bus table", "column twice", "p_mw", bus=pd.concat([table, table[["p_mw"]]], axis=1))


def test_no_table_and_no_row():
    refused("bus table", "dict", "DataFrame", bus={"bus": [1]})
    refused("bus table", "no row", bus=buses())


BAD_CELLS = {
    "abc": "not a number",
    "": "empty",
    "  ": "empty",
    None: "empty",
    np.nan: "empty",
    "nan": "empty",
    np.inf: "infinite",
    -np.inf: "infinite",
    "inf": "infinite",
    (1, 2): "not a number",
    10**400: "not a number",
}


@pytest.mark.parametrize("cell", BAD_CELLS, ids=lambda c: repr(c)[:9])
@pytest.mark.parametrize("column", ["p_mw", "q_mvar", "v_kv"])
def test_bad_cell_of_a_bus(column, cell):
    bus = buses("a", "b", "c").astype({column: object})
    bus.at[1, column] = cell
    refused("bus table, row 2 (b)", column, BAD_CELLS[cell], bus=bus)


@pytest.mark.parametrize("cell", BAD_CELLS, ids=lambda c: repr(c)[:9])
@pytest.mark.parametrize("column", ["r_ohm", "x_ohm"])
def test_bad_cell_of_a_branch(column, cell):
    branch = branches((1, 2), (2, 3)).astype({column: object})
    branch.at[1, column] = cell
    refused("branch table, row 2 (2-3)", column, BAD_CELLS[cell], branch=branch)


@pytest.mark.parametrize(
    "column, empty", [("g_mw", 0), ("b_mvar", 0), ("p_gen_mw", 0), ("q_gen_mvar", 0)]
)
def test_optional_bus_columns_may_be_empty_but_not_wrong(column, empty):
    field = {"g_mw": "g_shunt", "b_mvar": "b_shunt", "p_gen_mw": "p_gen", "q_gen_mvar": "q_gen"}
    f = feeder(buses(1, 2, 3, **{column: [0, None, 0.2]}))
    assert list(getattr(f, field[column])) == [empty, 0.2]
    refused("row 3 (3)", column, "not a number", bus=buses(1, 2, 3, **{column: [0, 0, "x"]}))
    refused("row 3 (3)", column, "infinite", bus=buses(1, 2, 3, **{column: [0, 0, np.inf]}))


def test_optional_branch_columns_may_be_empty():
    f = feeder(branch=branches((1, 2), (2, 3), ratio=["", 1.1], i_max_a=[None, 50], closed=[1, ""]))
    assert list(f.ratio) == [1, 1.1] and np.isinf(f.i_max[0])
    assert f.i_max[1] == pytest.approx(50 * np.sqrt(3) * 10 / 1000)


@pytest.mark.parametrize(
    "column, value, says",
    [
        ("r_ohm", -0.1, "negative r_ohm"),
        ("ratio", 0, "ratio of zero or less"),
        ("ratio", -1.05, "ratio of zero or less"),
        ("ratio", np.inf, "ratio is infinite"),
        ("ratio", "up", "not a number"),
        ("i_max_a", 0, "i_max_a of zero or less"),
        ("i_max_a", -10, "i_max_a of zero or less"),
        ("closed", 2, "closed other than 0 and 1"),
        ("closed", 0.5, "closed other than 0 and 1"),
        ("closed", "yes", "not a number"),
    ],
)
def test_bad_branch_values(column, value, says):
    branch = branches((1, 2), (2, 3)).assign(**{column: 1}).astype({column: object})
    branch.at[1, column] = value
    refused("branch table, row 2", "2-3", says, branch=branch)


@pytest.mark.parametrize("v_kv", [0, -10.0])
def test_bad_base_voltage(v_kv):
    refused("bus 2", f"v_kv = {v_kv:g}", bus=buses(1, 2, 3, v_kv=[10, v_kv, 10]))


# --- what is refused: labels --------------------------------------------------------------------


@pytest.mark.parametrize("label", [None, np.nan, "", "  ", pd.NA, pd.NaT])
def test_empty_label(label):
    refused("bus table, row 2", "label is empty", bus=buses(1, label, 3))


@pytest.mark.parametrize("label", [(1, 2), [1], {"a": 1}, pd.Timestamp("2020-01-01")], ids=repr)
def test_strange_label(label):
    refused(repr(label), "no bus label", bus=buses(1, label, 3))
    refused(repr(label), "no bus label", root=label)


@pytest.mark.parametrize("pair", [(2, 2), (2, 2.0), ("2", 2), ("b", " b "), (np.int64(2), 2)])
def test_duplicate_bus(pair):
    refused(repr(feeder(buses(1, pair[0]), branches((1, pair[0]))).buses[0]), "two rows",
            bus=buses(1, *pair), branch=branches((1, pair[0])))  # fmt: skip


def test_unknown_bus_in_a_branch():
    refused("row 2", "bus 7", "1, 2, 3", branch=branches((1, 2), (2, 7)))
    refused("row 1", "bus 'x'", branch=branches(("x", 2), (2, 3)))


def test_self_loop():
    refused("row 2", "both ends are bus 3", branch=branches((1, 2), (3, 3)))


def test_root_unknown():
    refused("root 9", "1, 2, 3", root=9)
    refused("root 'a'", root="a")


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, None, "one", [1.0]])
def test_source_and_base_must_be_positive_numbers(value):
    refused("V_root", "positive", V_root=value)
    refused("s_base_mva", "positive", s_base_mva=value)


# --- what is refused: topology ------------------------------------------------------------------


def test_disconnected():
    refused("bus 3", "root 1", "not connected", branch=branches((1, 2)))
    open_branch = branches((1, 2), (2, 3), closed=[1, 0])
    refused("bus 3", "close a branch", branch=open_branch)
    refused("bus 'c'", "in all 2: c, d", bus=buses("a", "b", "c", "d"),
            branch=branches(("a", "b"), ("c", "d")))  # fmt: skip


def test_mesh_names_the_loop():
    """Buses 3, 4, 5 and 6 make the loop; 1, 2 and the lateral 7 do not belong to it."""
    ends = [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (3, 6), (4, 7)]
    with pytest.raises(FeederError, match="meshed") as error:
        feeder(buses(*range(1, 8)), branches(*ends))
    branch, loop = str(error.value).split(" closes a loop through buses ")
    assert sorted(loop.split(";")[0].split(", ")) == ["3", "4", "5", "6"]
    a, b = sorted(branch.split()[-1].split("-"))
    assert (int(a), int(b)) in [tuple(sorted(pair)) for pair in ends]
    assert "open one branch" in loop
    assert feeder(buses(*range(1, 8)), branches(*ends, closed=[1, 1, 1, 1, 0, 1, 1])).n == 6


def test_mesh_at_the_root_and_behind_a_switch():
    refused("meshed", "loop through buses", branch=branches((1, 2), (2, 3), (3, 1)))
    loop = branches((1, 2), (2, 3), (3, 4), (4, 1), r_ohm=[1, 1, 1, 0.0], x_ohm=[2, 2, 2, 0.0])
    refused("meshed", bus=buses(1, 2, 3, 4), branch=loop)


def test_parallel_transformers_of_unequal_ratio():
    pair = branches((1, 2), (2, 3), (2, 3), ratio=[1, 1.0, 1.05])
    refused("rows 2 and 3", "2-3", "1 and 1.05", branch=pair)
    turned = branches((1, 2), (2, 3), (3, 2), ratio=[1, 1.05, 1.05])
    refused("rows 2 and 3", "circulating", branch=turned)
    agree = branches((1, 2), (2, 3), (3, 2), ratio=[1, 1.25, 0.8])
    assert feeder(branch=agree).ratio[1] == 1.25


def test_parallel_impedances_that_cancel():
    pair = branches((1, 2), (2, 3), (2, 3), r_ohm=[1, 0, 0], x_ohm=[1, 2, -2])
    refused("rows 2 and 3", "cancel", branch=pair)


def test_no_impedance_between_two_base_voltages():
    link = branches((1, 2), (2, 3), r_ohm=[1, 0], x_ohm=[1, 0], ratio=1)
    refused("row 2 (2-3)", "10 kV", "0.4 kV", bus=buses(1, 2, 3, v_kv=[10, 10, 0.4]), branch=link)


def test_no_ratio_between_two_base_voltages():
    """A slip in one base voltage must not pass for a transformer."""
    bus = buses(1, 2, 3, v_kv=[10, 10, 100])
    refused("row 2 (2-3)", "no ratio", "v_kv", bus=bus, branch=branches((1, 2), (2, 3)))


def test_transformer_bypassed_by_a_switch():
    pair = branches((1, 2), (2, 3), (2, 3), r_ohm=[1, 1, 0], x_ohm=[1, 1, 0], ratio=[1, 1.05, 1])
    refused("row 2 (2-3)", "1.05", "bypassed", branch=pair)
    line = branches((1, 2), (2, 3), (2, 3), r_ohm=[1, 1, 0], x_ohm=[1, 1, 0])
    assert feeder(branch=line).fused == {3: 2}, "a line beside a closed switch carries nothing"


# --- what is refused: files ---------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    here = tmp_path / "tiny"
    here.mkdir()
    (here / "bus.csv").write_text("bus,p_mw,q_mvar,v_kv\n1,0,0,10\n2,0.1,0.05,10\n")
    (here / "branch.csv").write_text("from_bus,to_bus,r_ohm,x_ohm\n1,2,1,2\n")
    return here


def test_read_a_folder(folder):
    (folder / "feeder.toml").write_text("root = 2\nV_root = 1.02\n")
    f = read_feeder(folder)
    assert (f.root, f.buses, f.V_root, f.name) == (2, (1,), 1.02, "tiny")
    assert read_feeder(str(folder), s_base_mva=10).r[0] == pytest.approx(10 * f.r[0])


def test_unknown_folder():
    with pytest.raises(FileNotFoundError, match=r"'ieee34'.*ieee123, ieee33"):
        read_feeder("ieee34")


@pytest.mark.parametrize("file", ["bus.csv", "branch.csv"])
def test_folder_without_a_csv(folder, file):
    (folder / file).unlink()
    with pytest.raises(FileNotFoundError, match=f"tiny has no {file}"):
        read_feeder(folder)


@pytest.mark.parametrize("content", [b"", b"bus\n1,2\n1,2,3\n", b"\xff\xfe\x00", b'"a\n'])
@pytest.mark.parametrize("file", ["bus.csv", "branch.csv"])
def test_broken_csv(folder, file, content):
    (folder / file).write_bytes(content)
    with pytest.raises(FeederError, match="tiny") as error:
        read_feeder(folder)
    assert file in str(error.value) or file[:-4] + " table" in str(error.value)


def test_a_row_with_a_cell_too_many_does_not_shift_the_columns(folder):
    (folder / "branch.csv").write_text("from_bus,to_bus,r_ohm,x_ohm\n9,1,2,1,2\n")
    with pytest.raises(FeederError, match=r"tiny/branch\.csv: .* more cells"):
        read_feeder(folder)


@pytest.mark.parametrize("content", ["root = ", "V_root = 1.0.0", "[[["])
def test_broken_toml(folder, content):
    (folder / "feeder.toml").write_text(content)
    with pytest.raises(FeederError, match=r"tiny/feeder\.toml"):
        read_feeder(folder)


@pytest.mark.parametrize("content", ['V_root = "high"', "root = 5", "V_root = -1"])
def test_wrong_facts_in_toml(folder, content):
    (folder / "feeder.toml").write_text(content)
    with pytest.raises(FeederError, match=r"tiny: (V_root|root)"):
        read_feeder(folder)


def test_errors_of_a_folder_name_it(folder):
    (folder / "branch.csv").write_text("from_bus,to_bus,r_ohm,x_ohm\n1,3,1,2\n")
    with pytest.raises(FeederError, match=r"tiny: branch table, row 1: bus 3"):
        read_feeder(folder)


# --- the constructor ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*PER_BUS, "parent"])
def test_wrong_shape(name):
    f = feeder()
    for shape in [(3,), (1,), (), (2, 1)]:
        with pytest.raises(FeederError, match=rf"{name} has shape .*2 non-root buses"):
            dataclasses.replace(f, **{name: np.full(shape, -1 if name == "parent" else 1.0)})


def test_wrong_shape_of_the_drawing():
    with pytest.raises(FeederError, match="xy has shape"):
        dataclasses.replace(feeder(), xy=np.zeros((3, 2)))


@pytest.mark.parametrize("name", PER_BUS)
def test_no_number_in_the_constructor(name):
    with pytest.raises(FeederError, match=f"{name} of bus 3 is nan"):
        dataclasses.replace(feeder(), **{name: [1.0, np.nan]})


def test_nonsense_in_the_constructor():
    with pytest.raises(FeederError, match="r of bus 2 is -1"):
        dataclasses.replace(feeder(), r=[-1, 0])
    with pytest.raises(FeederError, match="ratio of bus 3 is 0"):
        dataclasses.replace(feeder(), ratio=[1, 0])
    with pytest.raises(FeederError, match="bus 2 stands before its parent"):
        dataclasses.replace(feeder(), parent=[1, -1])


def test_arrays_are_frozen_and_apart_from_the_tables():
    bus = buses(1, 2, 3, x=1.0, y=2.0)
    f = feeder(bus)
    for name in (*PER_BUS, "parent", "xy", "depth", "length"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(f, name)[0] = 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        f.V_root = 2.0
    bus.loc[:, "p_mw"] = 9.0
    assert list(f.p_load) == [0.1, 0.1]


# --- labels and units ---------------------------------------------------------------------------


def test_labels_are_the_users_own():
    f = feeder(buses(1.0, np.int64(2), "3"), branches(("1", 2.0), (2, 3)))
    assert (f.root, f.buses) == (1, (2, 3)) and all(type(b) is int for b in (f.root, *f.buses))
    f = feeder(buses("a", "05", "1.5", " d "), branches(("a", "05"), ("05", "1.5"), ("05", "d")))
    assert f.buses == ("05", "1.5", "d")
    assert feeder(buses("sub", 7, 2.5), branches(("sub", 7), (7, 2.5))).buses == (7, 2.5)


def test_index_by_any_spelling_and_errors():
    f = feeder()
    assert [f.index(b) for b in (2, 3.0, "3", np.int32(2))] == [0, 1, 1, 0]
    with pytest.raises(FeederError, match=r"bus 9.*2, 3"):
        f.index(9)
    with pytest.raises(FeederError, match="bus 1 is the root"):
        f.index(1)


def test_per_unit_by_hand():
    """z_base = 10^2 / 2 = 50 ohm; i_base = 2 MVA / (sqrt 3 * 10 kV) = 115.47 A."""
    f = feeder(
        buses(1, 2, 3, p_mw=[1, 2, 4], b_mvar=[0, 0.5, 0], g_mw=[0, 0.2, 0], q_gen_mvar=0.4),
        branches((1, 2), (2, 3), i_max_a=[115.470053838, 230.940107676]),
        s_base_mva=2,
    )
    assert (f.r[0], f.x[0], f.p_load[0], f.p_load[1]) == (0.02, 0.04, 1, 2)
    assert (f.b_shunt[0], f.g_shunt[0], f.q_gen[0], f.root_bus.p_load) == (0.25, 0.1, 0.2, 0.5)
    np.testing.assert_allclose(f.i_max, [1, 2], rtol=1e-9)
    assert f.q[0] == pytest.approx(0.2 - 0.025)
    assert "3 other" not in repr(f) and "2 other buses" in repr(f)
    assert list(f.depth) == [1, 2]
    np.testing.assert_allclose(f.length, np.hypot(0.02, 0.04) * np.array([1, 2]))


def test_ohms_belong_to_the_to_side():
    """A 10/0.4 kV transformer: 0.01 ohm on 0.4 kV are 6.25 ohm on 10 kV, whichever way written."""
    bus = buses(1, 2, v_kv=[10, 0.4])
    down = feeder(bus, branches((1, 2), r_ohm=0.01, x_ohm=0.02, i_max_a=600, ratio=1))
    up = feeder(bus, branches((2, 1), r_ohm=6.25, x_ohm=12.5, i_max_a=24, ratio=1))
    assert down.r[0] == pytest.approx(0.01 / 0.16, rel=1e-14)
    for name in ("r", "x", "ratio", "i_max"):
        np.testing.assert_allclose(getattr(up, name), getattr(down, name), rtol=1e-12)


# --- fusing and parallels -----------------------------------------------------------------------


def test_fusing_adds_up_and_keeps_the_label_next_to_the_root():
    """Buses 3, 4 and 5 hang together by switches; 3 is nearest the root and survives."""
    f = feeder(
        buses(1, 5, 4, 3, 2, p_mw=[0, 1, 2, 3, 0], q_mvar=[0, 4, 5, 6, 0], b_mvar=[0, 1, 0, 1, 0],
              g_mw=[0, 0, 0.1, 0.2, 0], p_gen_mw=[0, 7, 0, 1, 0], q_gen_mvar=[0, 0, 2, 2, 0]),
        branches((1, 2), (2, 3), (4, 3), (4, 5), r_ohm=[1, 1, 0, 0], x_ohm=[1, 1, 0, 0]),
    )  # fmt: skip
    assert set(f.buses) == {2, 3} and f.fused == {5: 3, 4: 3}
    at = f.index(3)
    assert f.index(4) == f.index(5) == at
    names = ("p_load", "q_load", "b_shunt", "g_shunt", "p_gen", "q_gen")
    got = [float(getattr(f, name)[at]) for name in names]
    assert got == pytest.approx([6, 15, 2, 0.3, 8, 4])


def test_fusing_into_the_root():
    link = branches((2, 1), (2, 3), r_ohm=[0, 1], x_ohm=[0, 1])
    f = feeder(buses(1, 2, 3, p_gen_mw=[0.5, 0.25, 0]), link)
    assert (f.root, f.buses, f.fused) == (1, (3,), {2: 1}) and f.parent[0] == -1
    assert (f.root_bus.p_load, f.root_bus.p_gen) == (0.2, 0.75)
    with pytest.raises(FeederError, match="bus 2 is the root"):
        f.index(2)


def test_a_regulator_is_not_fused():
    link = branches((1, 2), (2, 3), r_ohm=[1, 0], x_ohm=[1, 0], ratio=[1, 1.05])
    f = feeder(branch=link)
    assert f.n == 2 and f.r[1] == f.x[1] == 0 and f.ratio[1] == 1.05 and not f.fused


def test_parallels_merge():
    """1 + 2j ohm beside 3 + 6j: three quarters of the current in the first, 0.75 + 1.5j in all."""
    pair = branches((1, 2), (2, 3), (3, 2), r_ohm=[1, 1, 3], x_ohm=[2, 2, 6], i_max_a=[90, 60, 30])
    f, alone = feeder(branch=pair), feeder(branch=branches((1, 2), (2, 3), i_max_a=[90, 80]))
    np.testing.assert_allclose([f.r[1], f.x[1]], [0.75 / 100, 1.5 / 100], rtol=1e-14)
    np.testing.assert_allclose(f.i_max, alone.i_max, rtol=1e-14)
    full = branches((1, 2), (2, 3), (2, 3), (2, 3), r_ohm=1, x_ohm=2, i_max_a=[90, 10, 20, ""])
    f = feeder(branch=full)
    assert f.r[1] == pytest.approx(1 / 300) and f.n == 2
    assert f.i_max[1] == pytest.approx(3 * alone.i_max[1] / 8), "the weakest fills up at 3 x 10 A"


# --- what must not matter -----------------------------------------------------------------------


def physical(f, **options):
    """Flow by bus label in MW, Mvar, kV and A: {label: row}, with the supply at the root."""
    flow = solve(f, tol=1e-13, **options)
    s, i_base = f.s_base_mva, 1000 * f.s_base_mva / (np.sqrt(3) * f.v_base_kv)
    rows = np.c_[flow.V * f.v_base_kv, flow.theta, flow.P * s, flow.Q * s,
                 np.sqrt(flow.ell) * i_base, i_base * f.i_max]  # fmt: skip
    rows = dict(zip(f.buses, rows))
    rows["supply"] = np.array([flow.p_root, flow.q_root, flow.p_loss, flow.q_loss]) * s
    return rows


def assert_same_flow(a, b, names=None, atol=1e-9):
    names = names or {}
    assert {names.get(k, k) for k in a} == set(b)
    for label, row in a.items():
        np.testing.assert_allclose(row, b[names.get(label, label)], rtol=1e-9, atol=atol)


def turned(branch, bus, rows):
    """The same branches written from the other end: ohms on the new to side, ratio inverted."""
    branch = branch.copy()
    v_kv = bus.set_index("bus")["v_kv"]
    for i in rows:
        a, b, k = branch.at[i, "from_bus"], branch.at[i, "to_bus"], branch.at[i, "ratio"]
        other = v_kv[a] / v_kv[b] / k
        branch.at[i, "from_bus"], branch.at[i, "to_bus"] = b, a
        branch.loc[i, ["r_ohm", "x_ohm"]] *= other**2
        branch.loc[i, ["ratio", "i_max_a"]] = [1 / k, branch.at[i, "i_max_a"] / other]
    return branch


def test_a_turned_transformer_by_hand():
    """3-2 with ratio 0.8 is 2-3 with 1.25; z moves to the other side by 1.25^2 = 1.5625."""
    f = feeder(branch=branches((1, 2), (2, 3), ratio=[1, 1.25], i_max_a=[100, 80]))
    g = feeder(branch=branches((1, 2), (3, 2), ratio=[1, 0.8], r_ohm=[1, 0.64], x_ohm=[2, 1.28],
                               i_max_a=[100, 100]))  # fmt: skip
    assert_same_flow(physical(f), physical(g))
    V = solve(f, 0 * f.p, 0 * f.q).V
    np.testing.assert_allclose(V, [1, 1.25], rtol=1e-12)


NAMED = ["ieee33", "ieee119", "ieee123", "sw533"]


@pytest.mark.parametrize("name", NAMED)
def test_there_and_back(name):
    """to_tables and from_tables give the feeder again, at any base, to rounding."""
    f = read_feeder(name, s_base_mva=3.0)
    g = Feeder.from_tables(*f.to_tables(), root=f.root, V_root=f.V_root, s_base_mva=3.0)
    assert (g.root, g.buses, g.V_root, g.s_base_mva) == (f.root, f.buses, f.V_root, 3.0)
    np.testing.assert_array_equal(g.parent, f.parent)
    for name in PER_BUS:
        np.testing.assert_allclose(getattr(g, name), getattr(f, name), rtol=1e-12, atol=1e-12)
    assert (g.xy is None) == (f.xy is None) and (f.xy is None or (g.xy == f.xy).all())
    top, again = (dataclasses.asdict(one.root_bus) for one in (f, g))
    assert top.pop("xy") == again.pop("xy") and top == pytest.approx(again, rel=1e-12)


@pytest.mark.parametrize("name", NAMED)
def test_the_base_does_not_matter(name):
    assert_same_flow(physical(read_feeder(name, 1.0)), physical(read_feeder(name, 10.0)), atol=1e-8)


@pytest.mark.parametrize("name", NAMED)
def test_order_and_direction_do_not_matter(name):
    f, rng = read_feeder(name), np.random.default_rng(3)
    bus, branch = f.to_tables()
    branch = turned(branch, bus, np.flatnonzero(rng.random(f.n) < 0.5))
    bus, branch = bus.sample(frac=1, random_state=1), branch.sample(frac=1, random_state=2)
    g = Feeder.from_tables(bus, branch, root=f.root, V_root=f.V_root)
    assert g.buses != f.buses
    assert_same_flow(physical(f), physical(g), atol=1e-8)


@st.composite
def random_tables(draw):
    """Tables of a valid feeder: a tree with two voltage levels, transformers, regulators, shunts,
    generators, parallels, closed switches and open ties; bus 0 is the root."""
    n = draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    parent = [-1] + [int(rng.integers(max(0, i - 4), i)) for i in range(1, n + 1)]
    kind = ["line"] * (n + 1)
    v_kv = np.full(n + 1, 10.0)
    for i in range(1, n + 1):
        kind[i] = str(rng.choice(["line", "line", "line", "trafo", "regulator", "switch", "pair"]))
        steps_down = kind[i] == "trafo" and v_kv[parent[i]] == 10
        v_kv[i] = 0.4 if steps_down else v_kv[parent[i]]
    amount = rng.uniform(-0.5, 1, (n + 1, 2)) * 2 / (n + 1)
    bus = pd.DataFrame({
        "bus": range(n + 1), "p_mw": amount[:, 0], "q_mvar": amount[:, 1], "v_kv": v_kv,
        "g_mw": rng.choice([0, 0.01], n + 1), "b_mvar": rng.choice([0, 0.0, 0.1], n + 1),
        "p_gen_mw": rng.choice([0, 0.1], n + 1), "q_gen_mvar": rng.choice([0, 0.05], n + 1),
    })  # fmt: skip
    rows = []
    for i in range(1, n + 1):
        z = rng.uniform(0.002, 0.01, 2) * v_kv[i] ** 2 * (kind[i] not in ("regulator", "switch"))
        ratio = rng.uniform(0.95, 1.05) if kind[i] in ("trafo", "regulator") else 1.0
        row = (parent[i], i, *z, ratio, float(rng.uniform(50, 500)), 1)
        rows += [row] * (2 if kind[i] == "pair" else 1)
        if kind[i] == "pair":
            rows[-1] = (parent[i], i, *(z * rng.uniform(0.5, 2)), ratio, 100.0, 1)
    for _ in range(rng.integers(0, 3)):
        a, b = rng.choice(n + 1, 2, replace=False)
        rows.append((int(a), int(b), 1.0, 1.0, 1.0, 50.0, 0))
    columns = ["from_bus", "to_bus", "r_ohm", "x_ohm", "ratio", "i_max_a", "closed"]
    return bus, pd.DataFrame(rows, columns=columns), rng


@settings(max_examples=60, **RANDOM)
@given(random_tables(), st.sampled_from([1.0, 7.3, 100.0]))
def test_order_labels_direction_and_base_do_not_matter(tables, s_base_mva):
    bus, branch, rng = tables
    f = Feeder.from_tables(bus, branch, V_root=1.02)
    new = rng.permutation(900)[: len(bus)]
    names = {i: f"bus {new[i]}" if new[i] % 3 else int(new[i]) for i in range(len(bus))}
    branch = turned(branch, bus, np.flatnonzero(rng.random(len(branch)) < 0.5))
    bus, branch = bus.astype({"bus": object}), branch.astype({"from_bus": object, "to_bus": object})
    bus["bus"] = bus["bus"].map(names)
    for end in ("from_bus", "to_bus"):
        branch[end] = branch[end].map(names)
    bus = bus.iloc[rng.permutation(len(bus))]
    branch = branch.iloc[rng.permutation(len(branch))]
    g = Feeder.from_tables(bus, branch, names[0], 1.02, s_base_mva)
    assert {names[a]: names[b] for a, b in f.fused.items()}.keys() == g.fused.keys()
    assert_same_flow(physical(f), physical(g), names)


@settings(max_examples=40, **RANDOM)
@given(random_tables())
def test_random_feeders_come_back_from_their_tables(tables):
    f = Feeder.from_tables(*tables[:2])
    g = Feeder.from_tables(*f.to_tables(), root=f.root)
    assert g.buses == f.buses
    for name in PER_BUS:
        np.testing.assert_allclose(getattr(g, name), getattr(f, name), rtol=1e-12, atol=1e-12)


# --- fuzz ---------------------------------------------------------------------------------------

JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 9), st.integers(), st.floats(), st.text(max_size=4),
    st.sampled_from(["1", " 2", "3.0", "nan", "inf", "", pd.NA, pd.NaT, (1, 2), [3], 1j, b"1",
                     np.float32(2), np.array([1, 2]), pd.Timestamp("2020-01-01")]),
)  # fmt: skip
BUS_COLUMNS = ["bus", "p_mw", "q_mvar", "v_kv", "b_mvar", "x", "?"]
BRANCH_COLUMNS = ["from_bus", "to_bus", "r_ohm", "x_ohm", "ratio", "i_max_a", "closed", "?"]


def spoil(data, table, columns):
    """Up to four cells replaced by junk, perhaps a column dropped, rows doubled or left out."""
    table = table.astype(object)
    for _ in range(data.draw(st.integers(0, 4))):
        column, row = data.draw(st.sampled_from(columns)), data.draw(st.integers(0, len(table) - 1))
        if column not in table:
            table[column] = None
        cells = list(table[column])
        cells[row] = data.draw(JUNK)
        table[column] = pd.Series(cells, index=table.index, dtype=object)
    if data.draw(st.integers(0, 9)) == 0:
        table = table.drop(columns=data.draw(st.sampled_from(list(table.columns))))
    if data.draw(st.integers(0, 3)) == 0:
        table = table.iloc[data.draw(st.lists(st.integers(0, len(table) - 1), max_size=9))]
    return table


@settings(max_examples=250, **RANDOM)
@given(st.data())
def test_bad_tables_give_one_kind_of_error(data):
    """Junk in, FeederError out (or a feeder that solves); never an error of numpy or pandas."""
    bus = spoil(data, buses(1, 2, 3, 4), BUS_COLUMNS)
    branch = spoil(data, branches((1, 2), (2, 3), (3, 4), ratio=1.0), BRANCH_COLUMNS)
    root, V_root = data.draw(st.one_of(st.none(), JUNK)), data.draw(st.one_of(st.just(1.0), JUNK))
    try:
        f = Feeder.from_tables(bus, branch, root, V_root)
    except FeederError as error:
        assert len(str(error)) > 20
        return
    assert f.buses == Feeder.from_tables(*f.to_tables(), root=f.root, V_root=f.V_root).buses
    try:
        assert solve(f).converged
    except CollapseError as error:
        assert "bus" in str(error)


@settings(max_examples=100, **RANDOM)
@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=30))
def test_bad_files_give_one_kind_of_error(tmp_path_factory, bus, branch, toml):
    here = tmp_path_factory.mktemp("junk")
    (here / "bus.csv").write_bytes(b"bus,p_mw,q_mvar,v_kv\n1,0,0,10\n" + bus)
    (here / "branch.csv").write_bytes(b"from_bus,to_bus,r_ohm,x_ohm\n" + branch)
    (here / "feeder.toml").write_bytes(toml)
    try:
        read_feeder(here)
    except FeederError as error:
        assert here.name in str(error)


# --- the package --------------------------------------------------------------------------------


def test_import_is_light():
    """A script that only reads a feeder does not wait for solvers and drawing."""
    code = "import adnlib, sys; adnlib.read_feeder('ieee33'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "adnlib" in loaded
    heavy = {"pandapower", "dask", "statsmodels", "highspy", "cvxpy", "matplotlib", "pyscipopt"}
    assert not heavy & loaded
