"""Figures that can be read: nothing overlaps, colours tell apart, every function draws."""

import warnings
from itertools import combinations

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from adnlib import Feeder, plots, powerflow, read_feeder

matplotlib.use("Agg")

FEEDERS = ("ieee33", "ieee119", "ieee123", "sw533")
SMALLEST = 8  # pt


@pytest.fixture(autouse=True)
def clean_style():
    with plt.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.style()
        yield
    plt.close("all")


def drawn(ax):
    """Draws the figure for good; returns every text of it that is seen."""
    ax.figure.canvas.draw()
    return [t for t in ax.figure.findobj(matplotlib.text.Text) if t.get_visible() and t.get_text()]


def assert_legible(ax):
    texts = drawn(ax)
    assert min((t.get_fontsize() for t in texts), default=SMALLEST) >= SMALLEST


def labelled(ax):
    return bool(ax.get_xlabel()) and bool(ax.get_ylabel())


def random_tree(rng, n):
    ends = [(int(rng.integers(max(0, i - 6), i)), i) for i in range(1, n + 1)]
    bus = pd.DataFrame({"bus": range(n + 1), "p_mw": 0.1, "q_mvar": 0.0, "v_kv": 1.0})
    branch = pd.DataFrame(ends, columns=["from_bus", "to_bus"]).assign(r_ohm=0.01, x_ohm=0.01)
    return Feeder.from_tables(bus, branch)


def without_coordinates(f):
    bus, branch = f.to_tables()
    return Feeder.from_tables(bus.drop(columns=["x", "y"]), branch, root=f.root)


# --- the tidy tree ------------------------------------------------------------------------------


def segments(f):
    """Level and upright pieces of a tidy tree's branches: (bus, x0, x1, y) and (bus, x, y0, y1)."""
    xy, top = plots.tidy_tree(f)
    points = np.vstack([xy, top])
    level, upright = [], []
    for i, up in enumerate(f.parent):
        (ax, ay), (bx, by) = points[up], points[i]
        level.append((i, min(ax, bx), max(ax, bx), by))
        if ay != by:
            upright.append((i, ax, min(ay, by), max(ay, by)))
    return points, level, upright


def assert_tidy(f):
    points, level, upright = segments(f)
    assert len({tuple(p) for p in points}) == f.n + 1, "two buses at one place"
    np.testing.assert_array_equal(points[:-1, 0], f.depth)
    for (i, a0, a1, y), (j, b0, b1, z) in combinations(level, 2):
        assert y != z or min(a1, b1) <= max(a0, b0), f"branches above {i} and {j} lie on each other"
    for i, x, y0, y1 in upright:
        for j, a0, a1, y in level:
            crosses = a0 < x < a1 and y0 <= y <= y1
            assert not crosses, f"the lateral to {f.buses[i]} crosses the branch to {f.buses[j]}"
        own = {f.parent[i], i, *np.flatnonzero(f.parent == f.parent[i])}
        for k, (px, py) in enumerate(points):
            on_it = px == x and y0 < py < y1
            assert not on_it or k in own, f"the lateral to {f.buses[i]} runs through a bus"


@pytest.mark.parametrize("name", FEEDERS)
def test_tidy_tree_of_the_feeders(name):
    assert_tidy(read_feeder(name))


@pytest.mark.parametrize("seed", range(40))
def test_tidy_tree_of_random_trees(seed):
    rng = np.random.default_rng(seed)
    assert_tidy(random_tree(rng, int(rng.integers(1, 60))))


def test_tidy_tree_keeps_the_main_line_straight():
    """ieee33: the longest line of buses runs straight in the first row, laterals below it."""
    f = read_feeder("ieee33")
    xy, top = plots.tidy_tree(f)
    row = {bus: xy[f.index(bus), 1] for bus in f.buses}
    assert [row[b] for b in range(2, 19)] == [top[1]] * 17
    for lateral in (range(19, 23), range(23, 26), range(26, 34)):
        assert len({row[b] for b in lateral}) == 1 and row[lateral[0]] < top[1]


# --- colours ------------------------------------------------------------------------------------

# Severe red-green blindness in linear RGB: Machado, Oliveira and Fernandes,
# IEEE Trans. Vis. Comput. Graph. 15(6), 2009, doi:10.1109/TVCG.2009.113
SEEN_BY = {
    "all cones": np.eye(3),
    "no green cones": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]),
    "no red cones": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]),
}  # fmt: skip


def lab(colour, seen):
    """CIELAB (D65) of a colour as seen with the given cones."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(SEEN_BY[seen] @ linear, 0, 1)
    x, y, z = [0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]
    t = np.array([x, y, z]) @ linear / [0.9505, 1.0, 1.089]
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("seen", SEEN_BY)
def test_colours_tell_apart(seen):
    """Any two lines differ by 15 in CIELAB (2.3 is just seen), and not by their colour alone."""
    for a, b in combinations(plots.CYCLE, 2):
        assert np.linalg.norm(lab(a, seen) - lab(b, seen)) > 15, f"{a} and {b} look alike"
    dashes = plots.DASHES[:-1]
    assert len(set(dashes)) == len(dashes)


def test_red_and_green_of_school_would_fail():
    """The measure itself notices two colours that red-green blindness takes for one."""
    apart = [np.linalg.norm(lab("#a05000", s) - lab("#5a7000", s)) for s in SEEN_BY]
    assert apart[0] > 40 and min(apart[1:]) < 15


def test_lines_stand_out_from_the_ground():
    for colour in plots.CYCLE:
        assert lab("white", "all cones")[0] - lab(colour, "all cones")[0] > 25, colour
    assert len(plots.CYCLE) == len(plots.DASHES) and len(set(plots.CYCLE)) == len(plots.CYCLE)


def test_style():
    assert plt.rcParams["figure.facecolor"] == plt.rcParams["savefig.facecolor"] == "white"
    for key in ("font.size", "legend.fontsize", "xtick.labelsize", "ytick.labelsize"):
        assert plt.rcParams[key] >= 10, f"{key}: a phone shrinks the figure by half"


# --- every function draws -----------------------------------------------------------------------


@pytest.mark.parametrize("tree", [False, True])
@pytest.mark.parametrize("name", FEEDERS)
def test_feeder_map(name, tree):
    f = read_feeder(name)
    f = without_coordinates(f) if tree else f
    flow = powerflow.solve(f)
    end, far = f.buses[int(np.argmin(flow.V))], f.buses[int(np.argmax(f.length))]
    ax = plots.feeder_map(f, flow.V, "voltage [p.u.]", labels=[f.root, end],
                          marks={"root": [f.root], "ends": [end, far]})  # fmt: skip
    texts = {t.get_text() for t in drawn(ax)}
    assert {str(f.root), str(end), "root", "ends", "voltage [p.u.]"} <= texts
    assert_legible(ax)
    dots = ax.collections[2]
    assert len(dots.get_offsets()) == f.n and np.allclose(dots.get_array(), flow.V)
    low, high = ax.viewLim.get_points()
    for points in (dots.get_offsets(), ax.collections[1].get_offsets()):
        assert (points >= low).all() and (points <= high).all(), "a bus outside the picture"


def test_feeder_map_marks_and_labels_stand_at_their_bus():
    f = read_feeder("ieee33")
    ax = plots.feeder_map(f, marks={"PV": [18, 1]})
    rings = ax.collections[-1].get_offsets()
    xy, top = (plots.tidy_tree(f)) if f.xy is None else (f.xy, f.root_bus.xy)
    np.testing.assert_allclose(rings, [xy[f.index(18)], top])
    at = {a.get_text(): a.xy for a in ax.texts}
    assert len(at) == 33
    np.testing.assert_allclose(at["18"], xy[f.index(18)])
    np.testing.assert_allclose(at["1"], top)
    assert_legible(ax)


def test_labels_of_ieee33_do_not_lie_on_each_other():
    ax = plots.feeder_map(read_feeder("ieee33"))
    drawn(ax)
    boxes = [t.get_window_extent() for t in ax.texts]
    over = [(a, b) for a, b in combinations(range(len(boxes)), 2) if boxes[a].overlaps(boxes[b])]
    assert not over


@pytest.mark.parametrize("name", FEEDERS)
def test_voltage_profile(name):
    f = read_feeder(name)
    flow = powerflow.solve(f)
    ax = plots.voltage_profile(f, flow.V, label="load", band=(0.95, 1.05))
    ax.legend()
    assert_legible(ax)
    assert labelled(ax) and "[p.u.]" in ax.get_ylabel()
    dots = next(line for line in ax.lines if line.get_label() == "load")
    assert sorted(dots.get_xdata()) == sorted([0, *f.length])
    assert sorted(dots.get_ydata()) == sorted([f.V_root, *flow.V])
    assert {line.get_ydata()[0] for line in ax.lines[1:]} == {0.95, 1.05}
    low, high = ax.get_ylim()
    assert low <= min(flow.V.min(), 0.95) and high >= max(flow.V.max(), 1.05)


def test_time_fan():
    rng = np.random.default_rng(0)
    hours, samples = np.arange(24), rng.normal(size=(500, 24))
    ax = plots.time_fan(hours, samples, label="wind")
    ax.set_ylabel("power [p.u.]")
    ax.legend()
    assert_legible(ax)
    assert labelled(ax) and ax.get_xlim() == (0, 24)
    names = [t.get_text() for t in ax.get_legend().get_texts()]
    assert names == ["wind 90 %", "wind 50 %", "wind median"]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.median(samples, axis=0))
    for band, level in zip(ax.collections, (0.05, 0.25)):
        ends = band.get_paths()[0].vertices[:, 1]
        low, high = np.quantile(samples, [level, 1 - level], axis=0)
        assert ends.min() == pytest.approx(low.min()) and ends.max() == pytest.approx(high.max())


def test_heat():
    values = np.arange(12.0).reshape(3, 4)
    ax = plots.heat([0, 1, 2, 3], [10, 20, 30], values, "error [p.u.]")
    ax.set_xlabel("load [%]")
    assert_legible(ax)
    np.testing.assert_array_equal(ax.collections[0].get_array().reshape(3, 4), values)
    assert "error [p.u.]" in {t.get_text() for t in drawn(ax)}


def test_limits_and_hour_axis():
    _, ax = plt.subplots()
    plots.limits(ax, (0.95, 1.05))
    plots.limits(ax, None)
    plots.hour_axis(ax)
    assert [line.get_ydata()[0] for line in ax.lines] == [0.95, 1.05]
    assert all(line.get_label().startswith("_") for line in ax.lines)
    assert list(ax.get_xticks()) == [0, 4, 8, 12, 16, 20, 24]
    assert_legible(ax)


def test_tornado():
    rows = {"price": (95.0, 104.0), "loss": (99.0, 101.0), "tap": (np.nan, 80.0)}
    ax = plots.tornado(rows, 100.0, "cost [RMB]")
    assert_legible(ax)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["loss", "price", "tap"]
    lower, higher = ([p.get_x() + p.get_width() for p in c.patches] for c in ax.containers)
    assert lower == [99, 95, 100] and higher == [101, 104, 80]
    seen = [p for c in ax.containers for p in c.patches]
    boxes = [p.get_window_extent() for p in seen if p.get_width()]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2) if a.y0 != b.y0)
    assert {t.get_text() for t in ax.get_legend().get_texts()} == {"lower", "higher"}
    assert ax.get_xlabel() == "cost [RMB]" and ax.lines[0].get_xdata()[0] == 100


def test_boxes_and_arrows_of_a_diagram():
    _, ax = plt.subplots()
    ax.set(xlim=(0, 6), ylim=(0, 2))
    plots.box(ax, 1, 0, 2, 1, "cloud", "admm.coordinate", plots.GREEN, size=9)
    plots.arrow(ax, (0.2, 0.5), (1, 0.5), plots.BLUE)
    (drawn,), (text, own, arrow) = ax.patches, ax.texts
    assert np.allclose(drawn.get_path().get_extents().bounds, (1.03, 0.03, 1.94, 0.94))
    assert (text.get_text(), text.get_fontsize(), own.get_fontsize()) == ("cloud", 9, 8)
    assert not text.get_window_extent().overlaps(own.get_window_extent())
    assert arrow.xy == (1, 0.5) and arrow.get_position() == (0.2, 0.5)


@pytest.mark.parametrize("name", ["feeder_map", "voltage_profile", "time_fan", "heat", "tornado"])
def test_draws_where_it_is_told(name):
    f = read_feeder("ieee33")
    arguments = {
        "feeder_map": (f, f.p_load, "load [p.u.]"),
        "voltage_profile": (f, np.ones(f.n)),
        "time_fan": (np.arange(3), np.ones((2, 3))),
        "heat": ([0, 1], [0, 1], np.eye(2), "error [p.u.]"),
        "tornado": ({"loss": (1.0, 3.0)}, 2.0, "cost [RMB]"),
    }
    figure, (left, right) = plt.subplots(1, 2)
    assert getattr(plots, name)(*arguments[name], ax=left) is left
    assert not right.collections and not right.lines
    figure.canvas.draw()
