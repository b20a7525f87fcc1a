"""From the two tables a user writes (bus, branch) to one rooted tree in per unit.

The order of the steps: check every cell, drop open branches, fuse the buses that a closed
zero-impedance branch joins, hang the rest on the root, turn every branch away from the root,
merge parallels. Whatever cannot be a radial feeder is refused with the bus or row that is to blame.
"""

import heapq
import re
from collections import deque

import numpy as np
import pandas as pd

BUS_REQUIRED = ("bus", "p_mw", "q_mvar", "v_kv")
BUS_OPTIONAL = ("g_mw", "b_mvar", "p_gen_mw", "q_gen_mvar", "x", "y")
BRANCH_REQUIRED = ("from_bus", "to_bus", "r_ohm", "x_ohm")
BRANCH_OPTIONAL = ("ratio", "i_max_a", "closed")
POWERS = ("p_mw", "q_mvar", "g_mw", "b_mvar", "p_gen_mw", "q_gen_mvar")


class FeederError(ValueError):
    """A table, file or network that is not a radial feeder; says where and what to do."""


class FeederNotFound(FeederError, FileNotFoundError):
    """A feeder folder or one of its files that is not there; says what is."""


def rooted(bus, branch, root=None, s_base_mva=1.0):
    """Per-unit tree of a bus and a branch table: (root, bus, branch, fused).

    `bus` comes back in p.u. with the root in row 0 and every other bus behind its parent; `branch`
    row k is the branch above the bus of row k + 1, with columns parent (row of `bus`), r, x, ratio,
    i_max; `fused` maps each label that disappeared to the label it became part of.
    Raises FeederError naming the bus, row or loop.
    """
    s_base_mva = positive("s_base_mva", s_base_mva)
    bus = check_bus(bus)
    root = plain_label(bus.index[0] if root is None else root)
    if root not in bus.index:
        raise FeederError(f"root {root!r} is not in the bus table: {few(bus.index)}")
    branch = check_branch(branch, bus["v_kv"])
    branch = branch[branch["closed"]]
    bus, branch, fused = fuse(bus, branch, root)
    above = hang(bus.index, branch, root)
    order = root_first(bus.index, above, root)
    return (
        root,
        per_unit_bus(bus.loc[order], s_base_mva),
        oriented(bus, branch, above, order, s_base_mva),
        fused,
    )


# ---------------------------------------------------------------------------------- checks


def check_bus(bus):
    """The bus table indexed by label, floats everywhere, optional columns filled; errors by row."""
    bus = _columns(bus, "bus", BUS_REQUIRED, BUS_OPTIONAL)
    labels = [plain_label(b) for b in bus["bus"]]
    for row, label in enumerate(labels, 1):
        if label is None:
            raise FeederError(f"bus table, row {row}: the label is empty; give every bus one")
    index = pd.Index(labels, dtype=object)
    twice = index[index.duplicated()]
    if len(twice):
        raise FeederError(f"bus table: bus {twice[0]!r} stands in two rows; merge or rename one")
    out = pd.DataFrame(index=pd.Index(labels, name="bus", dtype=object))
    for name in ("p_mw", "q_mvar", "v_kv"):
        out[name] = _numbers(bus[name], "bus", name, labels)
    for name in BUS_OPTIONAL:
        given = bus[name] if name in bus else pd.Series(np.nan, index=bus.index)
        empty = np.nan if name in "xy" else 0.0
        out[name] = _numbers(given, "bus", name, labels, empty=empty)
    for label, v in out["v_kv"].items():
        if v <= 0:
            raise FeederError(
                f"bus table: bus {label!r} has v_kv = {v:g}; base voltages are positive"
            )
    return out


def check_branch(branch, v_kv):
    """The branch table with known ends, floats and `closed` as bool; errors by row and ends.

    v_kv: base voltage by bus label. Between two of them a ratio must be written, 1 included: a
    slip in one base voltage would pass for a transformer.
    """
    branch = _columns(branch, "branch", BRANCH_REQUIRED, BRANCH_OPTIONAL)
    ends = [
        tuple(plain_label(b) for b in pair) for pair in zip(branch["from_bus"], branch["to_bus"])
    ]
    labels = v_kv.index
    known = set(labels)
    for row, pair in enumerate(ends, 1):
        for label in pair:
            if label not in known:
                raise FeederError(
                    f"branch table, row {row}: bus {label!r} is not in the bus table, "
                    f"whose labels are {few(labels)}"
                )
        if pair[0] == pair[1]:
            raise FeederError(
                f"branch table, row {row}: both ends are bus {pair[0]!r}; a branch joins two buses"
            )
    names = [f"{a}-{b}" for a, b in ends]
    out = pd.DataFrame({"row": range(1, len(ends) + 1), "name": names})
    out["from_bus"] = pd.Series([a for a, _ in ends], dtype=object)
    out["to_bus"] = pd.Series([b for _, b in ends], dtype=object)
    for name in ("r_ohm", "x_ohm"):
        out[name] = _numbers(branch[name], "branch", name, names)
    for name, empty in (("ratio", np.nan), ("i_max_a", np.inf), ("closed", 1.0)):
        given = branch[name] if name in branch else pd.Series(np.nan, index=branch.index)
        out[name] = _numbers(given, "branch", name, names, empty=empty, infinite=name == "i_max_a")
    steps = [v_kv[a] != v_kv[b] for a, b in ends]
    out["ratio"] = out["ratio"].where(out["ratio"].notna() | np.array(steps, bool), 1.0)
    for wrong, what in (
        (out["r_ohm"] < 0, "a negative r_ohm; a resistance is zero or positive"),
        (out["ratio"].isna(), "no ratio between buses of different v_kv; write it (1 = nominal)"),
        (out["ratio"] <= 0, "a ratio of zero or less; 1 means no transformer"),
        (out["i_max_a"] <= 0, "an i_max_a of zero or less; leave it empty for no limit"),
        (~out["closed"].isin([0, 1]), "a value of closed other than 0 and 1"),
    ):
        if wrong.any():
            bad = out[wrong].iloc[0]
            raise FeederError(f"branch table, row {bad['row']} ({bad['name']}): {what}")
    out["closed"] = out["closed"] == 1
    return out


def _columns(table, kind, required, optional):
    if not isinstance(table, pd.DataFrame):
        raise FeederError(f"the {kind} table is a {type(table).__name__}; give a pandas DataFrame")
    if len(table) == 0 and kind == "bus":
        raise FeederError("the bus table has no row; a feeder has at least its root")
    if len(set(table.columns)) < len(table.columns):
        raise FeederError(f"the {kind} table has a column twice: {list(table.columns)}")
    missing = [c for c in required if c not in table]
    if missing:
        raise FeederError(
            f"the {kind} table lacks the column {missing[0]!r}; it needs "
            f"{', '.join(required)} and may have {', '.join(optional)}"
        )
    unknown = [c for c in table if c not in required + optional]
    if unknown:
        raise FeederError(
            f"the {kind} table has a column {unknown[0]!r} that nobody reads; drop it "
            f"or rename it to one of {', '.join(required + optional)}"
        )
    return table.reset_index(drop=True)


def _numbers(column, kind, name, labels, empty=None, infinite=False):
    values = np.empty(len(column))
    for i, cell in enumerate(column):
        if cell is None or cell is pd.NA or (isinstance(cell, str) and not cell.strip()):
            cell = np.nan
        try:
            values[i] = float(cell)
        except (TypeError, ValueError, OverflowError):
            raise FeederError(
                f"{kind} table, row {i + 1} ({labels[i]}): {name} is {cell!r}, not a number"
            ) from None
        if np.isnan(values[i]):
            if empty is None:
                raise FeederError(
                    f"{kind} table, row {i + 1} ({labels[i]}): {name} is empty; "
                    "write 0 if that is meant"
                )
            values[i] = empty
        elif np.isinf(values[i]) and not infinite:
            raise FeederError(f"{kind} table, row {i + 1} ({labels[i]}): {name} is infinite")
    return values


def plain_label(label):
    """Labels as plain int or str, so that 5, 5.0, "5" and numpy's 5 are one bus ("05" is not)."""
    if isinstance(label, str):
        label = label.strip()
        return int(label) if re.fullmatch(r"0|-?[1-9]\d{0,17}", label) else label or None
    if label is None or label is pd.NA or label is pd.NaT:
        return None
    if not isinstance(label, int | float | np.integer | np.floating):
        raise FeederError(f"{label!r} is no bus label; write a whole number or a name")
    if label != label:
        return None
    if isinstance(label, float | np.floating) and float(label).is_integer():
        return int(label)
    return label.item() if isinstance(label, np.generic) else label


def positive(name, value):
    number = isinstance(value, int | float | np.integer | np.floating)
    if not (number and np.isfinite(value) and value > 0):
        raise FeederError(f"{name} is {value!r}; it must be a positive number")
    return float(value)


def few(labels, most=8):
    labels = list(labels)
    return ", ".join(map(str, labels[:most])) + (", ..." if len(labels) > most else "")


# ---------------------------------------------------------------------------------- topology


def distances(labels, branch, root):
    """Number of branches between the root and each bus it reaches: {label: hops}."""
    near = {label: [] for label in labels}
    for a, b in zip(branch["from_bus"], branch["to_bus"]):
        near[a].append(b)
        near[b].append(a)
    hops, queue = {root: 0}, deque([root])
    while queue:
        here = queue.popleft()
        for there in near[here]:
            if there not in hops:
                hops[there] = hops[here] + 1
                queue.append(there)
    return hops


def fuse(bus, branch, root):
    """Join buses across closed zero-impedance branches of ratio 1; the one nearest the root stays.

    Loads, shunts and generators add up. Returns (bus, branch, fused).
    """
    hops = distances(bus.index, branch, root)
    lost = [label for label in bus.index if label not in hops]
    if lost:
        raise FeederError(
            f"bus {lost[0]!r} is not connected to the root {root!r} by closed "
            f"branches (in all {len(lost)}: {few(lost)}); close a branch or drop these buses"
        )
    ideal = (branch["r_ohm"] == 0) & (branch["x_ohm"] == 0) & (branch["ratio"] == 1)
    rank = {label: (hops[label], i) for i, label in enumerate(bus.index)}
    into = {label: label for label in bus.index}

    def find(label):
        while into[label] != label:
            into[label] = into[into[label]]
            label = into[label]
        return label

    for link in branch[ideal].itertuples():
        a, b = sorted((find(link.from_bus), find(link.to_bus)), key=rank.get)
        if bus.at[a, "v_kv"] != bus.at[b, "v_kv"]:
            raise FeederError(
                f"branch table, row {link.row} ({link.name}): no impedance "
                f"between {bus.at[a, 'v_kv']:g} kV and {bus.at[b, 'v_kv']:g} kV; "
                "a transformer needs its impedance"
            )
        into[b] = a
    stays = pd.Index([find(label) for label in bus.index])
    fused = {label: s for label, s in zip(bus.index, stays) if label != s}
    kept = bus[~bus.index.isin(list(fused))].copy()
    kept[list(POWERS)] = bus[list(POWERS)].groupby(stays, sort=False).sum().loc[kept.index]
    branch = branch[~ideal].copy()
    for end in ("from_bus", "to_bus"):
        branch[end] = pd.Series([find(b) for b in branch[end]], index=branch.index, dtype=object)
    inside = branch["from_bus"] == branch["to_bus"]
    for link in branch[inside & (branch["ratio"] != 1)].itertuples():
        raise FeederError(
            f"branch table, row {link.row} ({link.name}): a transformer of ratio "
            f"{link.ratio:g} is bypassed by a closed switch; open one of the two"
        )
    return kept, branch[~inside], fused


def hang(labels, branch, root):
    """Parent label of every bus; a loop raises and lists the branches on it."""
    near = {label: {} for label in labels}
    for link in branch.itertuples():
        near[link.from_bus].setdefault(link.to_bus, link.name)
        near[link.to_bus].setdefault(link.from_bus, link.name)
    above, queue = {root: None}, deque([root])
    while queue:
        here = queue.popleft()
        for there in near[here]:
            if there == above[here]:
                continue
            if there in above:
                loop = _loop(above, here, there)
                raise FeederError(
                    f"the feeder is meshed: branch {near[here][there]} closes a loop "
                    f"through buses {few(loop, 20)}; open one branch of it"
                )
            above[there] = here
            queue.append(there)
    return above


def _loop(above, a, b):
    def up(label):
        path = [label]
        while above[path[-1]] is not None:
            path.append(above[path[-1]])
        return path

    of_a, of_b = up(a), up(b)
    while len(of_a) > 1 and len(of_b) > 1 and of_a[-2] == of_b[-2]:
        of_a.pop()
        of_b.pop()
    return of_a + of_b[-2::-1]


def root_first(labels, above, root):
    """Buses in the table's own order as far as every bus can stand behind its parent."""
    place = {label: i for i, label in enumerate(labels)}
    below = {label: [] for label in labels}
    for label, parent in above.items():
        if parent is not None:
            below[parent].append(label)
    order, ready = [], [(place[root], root)]
    while ready:
        _, here = heapq.heappop(ready)
        order.append(here)
        for label in below[here]:
            heapq.heappush(ready, (place[label], label))
    return order


# ---------------------------------------------------------------------------------- per unit


def per_unit_bus(bus, s_base_mva):
    """Powers of the bus table divided by the base [p.u.]; v_kv, x, y as they are."""
    out = bus.copy()
    out[list(POWERS)] /= s_base_mva
    return out


def oriented(bus, branch, above, order, s_base_mva):
    """One row per non-root bus in `order`: parent row, r, x, ratio, i_max [p.u. on the bus's side].

    A branch written towards the root is turned: z / ratio^2 on the other side, 1 / ratio.
    Parallels merge to z1 z2 / (z1 + z2); the rating is what the first of them to fill up allows.
    """
    row_of = {label: i for i, label in enumerate(order)}
    together = {label: [] for label in order[1:]}
    for link in branch.itertuples():
        v_kv = bus.at[link.to_bus, "v_kv"]
        z = complex(link.r_ohm, link.x_ohm) * s_base_mva / v_kv**2
        i_max = link.i_max_a * np.sqrt(3) * v_kv / (1000 * s_base_mva)
        if above[link.to_bus] == link.from_bus:
            together[link.to_bus].append((z, link.ratio, i_max, link))
        else:
            a = link.ratio
            together[link.from_bus].append((z / a**2, 1 / a, i_max * a, link))
    rows = []
    for label in order[1:]:
        z, ratio, i_max = _parallel(together[label])
        rows.append((row_of[above[label]], z.real, z.imag, ratio, i_max))
    return pd.DataFrame(rows, columns=["parent", "r", "x", "ratio", "i_max"], index=order[1:])


def _parallel(links):
    z, ratio, i_max, first = links[0]
    for z2, ratio2, i_max2, link in links[1:]:
        if abs(ratio2 - ratio) > 1e-12:
            raise FeederError(
                f"branch table, rows {first.row} and {link.row} ({link.name}): "
                f"parallel transformers of ratio {ratio:g} and {ratio2:g} would drive a "
                "circulating current; give them one ratio or open one"
            )
        both = z + z2
        if both == 0 and z != 0:
            raise FeederError(
                f"branch table, rows {first.row} and {link.row} ({link.name}): parallel "
                "impedances that cancel each other leave nothing between the buses; drop one"
            )
        if both == 0:
            i_max = i_max + i_max2
        else:
            share = z2 / both, z / both
            i_max = min(_over(i_max, abs(share[0])), _over(i_max2, abs(share[1])))
            z = z * share[0]
    return z, ratio, i_max


def _over(i_max, share):
    return i_max / share if share > 0 else np.inf
