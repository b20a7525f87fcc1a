"""Figures in one style: white ground, colours that survive colour-blindness, units on the axes.

Colours are those of Okabe and Ito (Color Universal Design, 2008). Every function draws into `ax`
(a new one if None) and returns it; titles and captions belong to the chapter.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.patches import FancyBboxPatch
from matplotlib.patheffects import withStroke

from .tree import Tree

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = COLOURS = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
CYCLE = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK)
HALO = (withStroke(linewidth=2.5, foreground="white"),)  # of labels that lie on lines
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-")

STYLE = {
    "figure.figsize": (5.6, 3.3),
    "figure.dpi": 130,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
    "axes.facecolor": "white",
    "axes.prop_cycle": plt.cycler(color=CYCLE, linestyle=DASHES),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "font.size": 11,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.8,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "image.cmap": "cividis",
}


def style():
    """Set the book's style for all figures that follow."""
    plt.rcParams.update(STYLE)


def _axes(ax):
    return plt.gca() if ax is None else ax


def tidy_tree(feeder):
    """(xy (n, 2), root (2,)): x = branches from the root, one row for each run of buses.

    The child with the most buses below goes on straight, the others start a row below.
    """
    tree = Tree.of(feeder)
    size = tree.size[tree.place]
    children = {i: [] for i in range(-1, feeder.n)}
    for i in np.argsort(size, kind="stable"):
        children[int(feeder.parent[i])].append(int(i))
    row, rows, stack = np.zeros(feeder.n), 0, [(-1, 0)]
    while stack:
        bus, here = stack.pop()
        if here is None:  # a new lateral: those that leave the main line last stand highest
            rows += 1
            here = rows
        if bus >= 0:
            row[bus] = here
        *others, straight = children[bus] or [None]
        stack += [(other, None) for other in others]
        if straight is not None:
            stack.append((straight, here))
    return np.c_[feeder.depth, -row], np.array([0.0, 0.0])


def feeder_map(feeder, values=None, label="", ax=None, labels=None, marks=None, cmap=None):
    """The feeder drawn from its coordinates, or as a tidy tree if it has none.

    values (n,) colours the buses, with a colour bar called `label` (unit included).
    marks {text: bus labels} rings buses. labels: True writes all bus labels, a list some of them,
    None all on feeders of up to 40 buses and none on larger ones.
    """
    ax = _axes(ax)
    if feeder.xy is None:
        xy, top = tidy_tree(feeder)
    else:
        xy, top = feeder.xy, np.array(feeder.root_bus.xy)
    points = np.vstack([xy, top])  # row -1 is the root
    lines = [_elbow(points[up], points[i], feeder.xy is None) for i, up in enumerate(feeder.parent)]
    ax.add_collection(LineCollection(lines, colors="#777777", linewidths=1.1, zorder=1))
    size = float(np.clip(2500 / (feeder.n + 30), 6, 42))
    ax.scatter(*top, marker="s", s=2 * size, color=BLACK, zorder=3)
    if values is None:
        ax.scatter(*xy.T, s=size, color=BLUE, zorder=2)
    else:
        dots = ax.scatter(*xy.T, s=size, c=values, cmap=cmap, zorder=2, edgecolors="#444444",
                          linewidths=0.4)  # fmt: skip
        ax.figure.colorbar(dots, ax=ax, label=label, shrink=0.85)
    rings = ((RED, "o"), (GREEN, "D"), (ORANGE, "^"), (PURPLE, "s"), (SKY, "v"))
    if len(marks or ()) > len(rings):
        raise ValueError(f"{len(marks)} kinds of marks; a map shows at most {len(rings)}")
    for (text, buses), (colour, marker) in zip((marks or {}).items(), rings):
        at = points[[feeder.n if b == feeder.root else feeder.index(b) for b in buses]]
        ax.scatter(*at.T, s=4.5 * size, facecolors="none", edgecolors=colour, marker=marker,
                   linewidths=1.8, zorder=4, label=text)  # fmt: skip
    if marks:
        ax.legend(loc="best", labelspacing=0.9)
    ringed = {bus for buses in (marks or {}).values() for bus in buses}
    labels = feeder.n < 40 if labels is None else labels
    shown = [feeder.root, *feeder.buses] if labels is True else list(labels or ())
    for bus in shown:
        at = points[-1] if bus == feeder.root else points[feeder.index(bus)]
        lift = 9 if bus in ringed else 5
        ax.annotate(str(bus), at, xytext=(0, lift), textcoords="offset points", ha="center",
                    va="bottom", fontsize=8, path_effects=HALO)  # fmt: skip
    ax.margins(0.05, 0.1)
    ax.set_axis_off()
    return ax


def _elbow(a, b, right_angle):
    """Line from bus a to bus b; in a tidy tree first down, then along."""
    return [a, (a[0], b[1]), b] if right_angle else [a, b]


def voltage_profile(feeder, V, ax=None, label=None, band=None, colour=BLUE, V_root=None, **line):
    """Voltage magnitude [p.u.] against electrical distance from the root, branch by branch.

    V (n,); V_root the source's (None: the feeder's own); band (V_min, V_max) is drawn as limits.
    """
    ax = _axes(ax)
    far = np.r_[feeder.length, 0.0]
    height = np.r_[V, feeder.V_root if V_root is None else V_root]
    lines = [[(far[i], height[i]), (far[up], height[up])] for i, up in enumerate(feeder.parent)]
    ax.add_collection(LineCollection(lines, colors=colour, linewidths=1.3, alpha=0.75, **line))
    ax.plot(far, height, ".", color=colour, ms=4, label=label, linestyle="none")
    limits(ax, band)
    ax.set_xlabel("electrical distance from the root, Σ|z| [p.u.]")
    ax.set_ylabel("voltage [p.u.]")
    return ax


def limits(ax, band, across="x"):
    """Two thin dashed lines at the ends of `band`, not in the legend."""
    for value in band or ():
        (ax.axhline if across == "x" else ax.axvline)(
            value, color=RED, linewidth=1, linestyle="--", zorder=1
        )


def time_fan(hours, samples, ax=None, label="", colour=BLUE, levels=(0.05, 0.25)):
    """Median and central bands of samples (n_s, n_t) over the hours of a day."""
    ax = _axes(ax)
    for level, strength in zip(levels, (0.18, 0.32)):
        low, high = np.nanquantile(samples, [level, 1 - level], axis=0)
        ax.fill_between(hours, low, high, color=colour, alpha=strength, linewidth=0,
                        label=f"{label} {100 * (1 - 2 * level):.0f} %".strip())  # fmt: skip
    ax.plot(hours, np.nanmedian(samples, axis=0), color=colour, label=f"{label} median".strip())
    hour_axis(ax)
    return ax


def hour_axis(ax):
    """0 to 24 h with a tick every 4 h."""
    ax.set_xlim(0, 24)
    ax.set_xticks(range(0, 25, 4))
    ax.set_xlabel("hour of the day")


def heat(x, y, values, label, ax=None, **mesh):
    """values (len(y), len(x)) over two axes, with a colour bar called `label`."""
    ax = _axes(ax)
    drawn = ax.pcolormesh(x, y, values, shading="nearest", rasterized=True, **mesh)
    ax.figure.colorbar(drawn, ax=ax, label=label)
    ax.grid(False)
    return ax


def tornado(rows, base, label, ax=None, ends=("lower", "higher")):
    """What each choice alone does to a result: two bars from `base`, the widest choice on top.

    rows {choice: (result at its lower value, result at its higher value)}, NaN for one that is
    not there; base the result as chosen; label of the axis, unit included; ends name the two
    values in the legend. A bar says nothing of two choices at once.
    """
    ax = _axes(ax)
    width = {name: np.nanmax(np.abs(np.subtract(pair, base))) for name, pair in rows.items()}
    names = sorted(rows, key=width.get)
    y = np.arange(len(names))
    for k, (colour, hatch) in enumerate(((BLUE, None), (ORANGE, "//"))):
        reach = np.array([rows[name][k] - base for name in names], float)
        ax.barh(y + 0.17 - 0.34 * k, np.nan_to_num(reach), left=base, height=0.32, color=colour,
                hatch=hatch, edgecolor="white", linewidth=0, label=ends[k])  # fmt: skip
    ax.axvline(base, color=BLACK, linewidth=1)
    ax.set_yticks(y, names)
    ax.grid(False, axis="y")
    ax.set_xlabel(label)
    ax.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def box(ax, x, y, w, h, text, own="", colour=SKY, size=8):
    """A rounded box of a diagram with a text, and in italics below what plays that part.

    (x, y) lower left, w and h [data units]; size of the text [points].
    """
    gap = 0.03
    ax.add_patch(FancyBboxPatch((x + gap, y + gap), w - 2 * gap, h - 2 * gap, facecolor=colour,
                                edgecolor="#444444", alpha=0.35, linewidth=0.8,
                                boxstyle="round,pad=0,rounding_size=0.06"))  # fmt: skip
    middle = {"ha": "center", "va": "center"}
    ax.text(x + w / 2, y + h * (0.64 if own else 0.5), text, fontsize=size, **middle)
    ax.text(x + w / 2, y + 0.22 * h, own, fontsize=size - 1, style="italic", **middle)
    return ax


def arrow(ax, start, end, colour=BLACK, **style):
    """An arrow of a diagram from start to end, (x, y) each; style: of matplotlib's arrows."""
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour} | style)
    return ax
