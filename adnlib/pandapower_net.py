"""Feeder tables from a pandapower net, and a pandapower net from a feeder.

What is read: lines with their charging (half at each end), two-winding transformers (ratio from the
rated voltages and the tap, short-circuit impedance, magnetising branch), switches, loads, static
generators, shunts and the external grid. What has no place in a balanced radial feeder with one
source is refused by table and index; results, costs, measurements and drawings are not looked at.
pandapower's own defaults hold: T model of the transformer, taps as they stand, a line that is open
at one end is charged from the other. Phase shifts move no magnitude and are left out.
"""

import json

import numpy as np
import pandas as pd

UNDERSTOOD = ("bus", "line", "trafo", "switch", "load", "sgen", "shunt", "ext_grid")
PHASES = ("asymmetric_load", "asymmetric_sgen")
NOT_A_NETWORK = ("measurement", "group", "poly_cost", "pwl_cost")
NO_LIMIT_KA = 99999.0  # what pandapower's own cases write for "no rating"
SUMS = ("p_mw", "q_mvar", "g_mw", "b_mvar", "p_gen_mw", "q_gen_mvar")
BRANCH_COLUMNS = ["from_bus", "to_bus", "r_ohm", "x_ohm", "ratio", "i_max_a", "closed"]
SWITCH_R_TO_X = 2.0  # pandapower's default split of the impedance of a bus-bus switch
PQ_UNITS = (("p", "mw"), ("q", "mvar"))
X_PAIR = 1e-3  # [p.u.] an ideal transformer is written as one of +X_PAIR and a line of -X_PAIR


def tables(net, root=None, balanced=False):
    """Bus and branch table of a pandapower net, for Feeder.from_tables.

    root: bus of the external grid to start from, needed when the net has several that are not
    connected to each other; the other islands are left out.
    balanced: sum the three phases of asymmetric loads and generators, as pandapower's balanced
    power flow does; without it they are refused.
    -> (bus, branch, root, V_root): columns in MW, Mvar, kV line to line, ohm per phase on the to
    side, A; loads consumption positive; labels are pandapower's bus indices; V_root in p.u.
    Raises ValueError naming the element table and the index, and what to do.
    """
    _refuse_unknown(net, balanced)
    on = net.bus.index[net.bus["in_service"].astype(bool)]
    if len(on) == 0:
        raise ValueError("pandapower net: no bus in service; there is nothing to read")
    sums = {label: dict.fromkeys(SUMS, 0.0) for label in on}
    opened = _opened(net)
    rows = [
        *_line_rows(net, sums, opened),
        *_trafo_rows(net, sums, opened),
        *_switch_rows(net, sums),
    ]
    branch = pd.DataFrame(rows, columns=BRANCH_COLUMNS)
    _add_powers(net, sums, balanced)
    _add_shunts(net, sums)
    bus = _bus_table(net, sums)
    root, V_root, supplied = _island(net, bus, branch, root)
    bus = bus[bus["bus"].isin(supplied)].reset_index(drop=True)
    inside = branch["from_bus"].isin(supplied) & branch["to_bus"].isin(supplied)
    return bus, branch[inside].reset_index(drop=True), root, V_root


# --- what is refused ----------------------------------------------------------------------------


def _refuse_unknown(net, balanced):
    known = UNDERSTOOD + NOT_A_NETWORK + (PHASES if balanced else ())
    for name, table in net.items():
        if name in known or name.startswith(("res_", "_")) or not _names_buses(name, table):
            continue
        at = _in_service(table).index
        if len(at):
            raise ValueError(f"pandapower net: {name} {at[0]} {_why(name)}")


def _names_buses(name, table):
    if not isinstance(table, pd.DataFrame) or table.empty:
        return False
    return name == "controller" or any(
        str(c) == "bus" or str(c).startswith("bus_") or "_bus" in str(c) for c in table.columns
    )


def _why(name):
    cures = {
        "asymmetric_load": "is not balanced; balanced=True sums its phases",
        "asymmetric_sgen": "is not balanced; balanced=True sums its phases",
        "gen": "holds a voltage, which a feeder with one source cannot; make it an sgen",
        "trafo3w": "has three windings; replace it by two-winding transformers",
        "controller": "would act in a power flow and is not run here; set its tap and take it out "
        "of service",
    }
    return cures.get(
        name,
        "is an element that a feeder does not have; replace it by lines, loads or "
        "shunts, or set in_service = False",
    )


def _in_service(table):
    if "in_service" not in table:
        return table
    return table[table["in_service"].astype(bool)]


def _rows(net, name):
    """(index, {column: value}) of the elements of one table that are in service."""
    table = net.get(name)
    if table is None or table.empty:
        return []
    return _in_service(table).to_dict("index").items()


# --- buses --------------------------------------------------------------------------------------


def _bus_table(net, sums):
    """One row a bus in service: label, sums of its elements, base voltage, coordinates."""
    old = net.get("bus_geodata")
    bus = pd.DataFrame.from_dict(sums, orient="index").rename_axis("bus").reset_index()
    bus["v_kv"] = net.bus.loc[bus["bus"], "vn_kv"].to_numpy(float)
    geo = net.bus["geo"].to_dict() if "geo" in net.bus else {}
    bus[["x", "y"]] = [_coordinates(label, geo, old) for label in bus["bus"]]
    return bus


def _coordinates(label, geo, old):
    if isinstance(geo.get(label), str) and geo[label]:
        return tuple(json.loads(geo[label])["coordinates"][:2])
    if old is not None and label in old.index:
        return old.at[label, "x"], old.at[label, "y"]
    return np.nan, np.nan


def _add_powers(net, sums, balanced):
    for name, columns in (("load", ("p_mw", "q_mvar")), ("sgen", ("p_gen_mw", "q_gen_mvar"))):
        for at, row in _rows(net, name):
            _refuse_voltage_dependent(name, at, row)
            _add(sums, row, columns, row["p_mw"], row["q_mvar"])
        for _, row in _rows(net, f"asymmetric_{name}") if balanced else ():
            p, q = (sum(row[f"{kind}_{x}_{unit}"] for x in "abc") for kind, unit in PQ_UNITS)
            _add(sums, row, columns, p, q)


def _add(sums, row, columns, p, q):
    if row["bus"] in sums:
        for column, value in zip(columns, (p, q)):
            sums[row["bus"]][column] += row["scaling"] * value


def _refuse_voltage_dependent(name, at, row):
    for part, value in row.items():
        if str(part).startswith(("const_z", "const_i")) and np.nan_to_num(float(value)) != 0:
            raise ValueError(
                f"pandapower net: {name} {at} has {part} = {value:g}; loads of a feeder are "
                f"constant power, set it to 0"
            )


def _add_shunts(net, sums):
    for at, row in _rows(net, "shunt"):
        if _true(row.get("step_dependency_table")):
            raise ValueError(
                f"pandapower net: shunt {at} takes its steps from a table; write its p_mw and "
                f"q_mvar and set step_dependency_table = False"
            )
        v_kv = net.bus.at[row["bus"], "vn_kv"]
        rated = v_kv if pd.isna(row["vn_kv"]) else row["vn_kv"]
        y = complex(row["p_mw"], -row["q_mvar"]) * row["step"] * (v_kv / rated) ** 2
        _add_admittance(sums, row["bus"], y)


def _add_admittance(sums, label, y):
    """y: admittance in p.u. on 1 MVA, which is the power it draws at 1 p.u. in MW and -Mvar."""
    if label in sums:
        sums[label]["g_mw"] += y.real
        sums[label]["b_mvar"] += y.imag


def _true(value):
    return value is not None and not pd.isna(value) and bool(value)


# --- branches -----------------------------------------------------------------------------------


def _opened(net):
    """{(kind, element, bus)} of the open switches at lines ('l') and transformers ('t')."""
    switch = net.switch[~net.switch["closed"].astype(bool)]
    return set(zip(switch["et"], switch["element"], switch["bus"]))


def _line_rows(net, sums, opened):
    """Rows of the branch table; half of the charging goes to the shunt of each end."""
    for at, row in _rows(net, "line"):
        ends = row["from_bus"], row["to_bus"]
        v_from, v_to = (net.bus.at[end, "vn_kv"] for end in ends)
        z_km = complex(row["r_ohm_per_km"], row["x_ohm_per_km"])
        y_km = complex(row["g_us_per_km"] * 1e-6, 2 * np.pi * net.f_hz * row["c_nf_per_km"] * 1e-9)
        z = z_km * row["length_km"] / row["parallel"] / v_from**2
        y = y_km * row["length_km"] * row["parallel"] * v_from**2
        limit_a = 1000 * row["max_i_ka"] * row["df"] * row["parallel"]
        if row["max_i_ka"] >= NO_LIMIT_KA:
            limit_a = np.nan
        closed = [end in sums and ("l", at, end) not in opened for end in ends]
        yield _two_port(sums, ends, closed, z, (y / 2, y / 2), 1.0, limit_a, v_to)


def _trafo_rows(net, sums, opened):
    """High-voltage side first: ideal ratio at its bus, then the impedance; T turned into pi."""
    for at, row in _rows(net, "trafo"):
        if _true(row.get("tap_dependency_table")):
            raise ValueError(
                f"pandapower net: trafo {at} takes its taps from a table; write its rated values "
                f"for this tap and set tap_dependency_table = False"
            )
        ends = row["hv_bus"], row["lv_bus"]
        v_hv, v_lv = (net.bus.at[end, "vn_kv"] for end in ends)
        rated_hv, rated_lv = _tapped(row, "hv"), _tapped(row, "lv")
        ratio = (v_hv / v_lv) / (rated_hv / rated_lv)
        z, y_hv, y_lv = _pi(*_trafo_t(row, rated_lv / v_lv), row)
        limit_a = 1000 * row["sn_mva"] * row["df"] * row["parallel"] / np.sqrt(3) / row["vn_lv_kv"]
        closed = [("t", at, end) not in opened for end in ends]
        if all(end in sums for end in ends):  # pandapower takes it out with either bus
            yield _two_port(sums, ends, closed, z, (y_hv, y_lv), ratio, limit_a, v_lv)


def _tapped(row, side):
    """Rated voltage of one side with its tap changers; a tap angle counts by its magnitude."""
    rated = row[f"vn_{side}_kv"]
    for tap in ("tap", "tap2"):
        kind = row.get(f"{tap}_changer_type")
        if f"{tap}_changer_type" not in row and f"{tap}_phase_shifter" in row:
            kind = "Ideal" if _true(row[f"{tap}_phase_shifter"]) else "Ratio"
        if kind in ("Ratio", "Symmetrical") and row[f"{tap}_side"] == side:
            steps = row[f"{tap}_pos"] - row[f"{tap}_neutral"]
            angle = np.deg2rad(np.nan_to_num(float(row.get(f"{tap}_step_degree", 0.0))))
            move = np.nan_to_num(float(row[f"{tap}_step_percent"] * steps)) / 100
            rated = rated * abs(1 + move * np.exp(1j * angle))
    return rated


def _trafo_t(row, v):
    """Series impedance and magnetising admittance [p.u. on 1 MVA] at rated low voltage v [p.u.]."""
    z_abs = row["vk_percent"] / 100 / row["sn_mva"] * v**2
    r = row["vkr_percent"] / 100 / row["sn_mva"] * v**2
    x = np.sign(z_abs) * np.sqrt(z_abs**2 - r**2)
    p_iron = row["pfe_kw"] / 1000
    q_iron = np.sqrt(max((row["i0_percent"] / 100 * row["sn_mva"]) ** 2 - p_iron**2, 0.0))
    return complex(r, x) / row["parallel"], complex(p_iron, -q_iron) * row["parallel"] / v**2


def _pi(z, y, row):
    """Star of the T model (z split over both sides, y in the middle) as the equal triangle."""
    if y == 0:
        return z, 0j, 0j
    split_r, split_x = (
        np.nan_to_num(float(row.get(f"leakage_{part}_ratio_hv", 0.5)), nan=0.5)
        for part in ("resistance", "reactance")
    )
    z_hv = complex(z.real * split_r, z.imag * split_x)
    z_lv = z - z_hv
    around = z_hv * z_lv + (z_hv + z_lv) / y
    return around * y, z_lv / around, z_hv / around


def _two_port(sums, ends, closed, z, y, ratio, limit_a, v_to):
    """Put the shunts of a pi element into `sums` and give its row; z in p.u. on 1 MVA."""
    if closed[0] and closed[1]:
        _add_admittance(sums, ends[0], y[0] * ratio**2)
        _add_admittance(sums, ends[1], y[1])
    elif closed[0]:
        _add_admittance(sums, ends[0], _open_ended(y[0], z, y[1]) * ratio**2)
    elif closed[1]:
        _add_admittance(sums, ends[1], _open_ended(y[1], z, y[0]))
    ohm = z * v_to**2
    return (*ends, ohm.real, ohm.imag, ratio, limit_a, int(all(closed)))


def _open_ended(y_near, z, y_far):
    return y_near + (1 / (z + 1 / y_far) if y_far else 0j)


def _switch_rows(net, sums):
    """Bus-bus switches: no impedance, or pandapower's split of z_ohm when they have one."""
    for row in net.switch[net.switch["et"] == "b"].to_dict("records"):
        z = np.nan_to_num(float(row.get("z_ohm", 0.0)))
        x = z / np.sqrt(1 + SWITCH_R_TO_X**2)
        closed = row["closed"] and row["bus"] in sums and row["element"] in sums
        yield row["bus"], row["element"], x * SWITCH_R_TO_X, x, 1.0, np.nan, int(closed)


# --- the island of the source -------------------------------------------------------------------


def _island(net, bus, branch, root):
    """-> (root, V_root, labels of the buses that the source feeds)."""
    sources = _in_service(net.ext_grid)
    sources = sources[sources["bus"].isin(bus["bus"])]
    if sources.empty:
        raise ValueError("pandapower net: no ext_grid in service; a feeder needs one source")
    listed = ", ".join(f"ext_grid {at} at bus {row.bus}" for at, row in sources.iterrows())
    first = int(sources["bus"].iloc[0]) if root is None else root
    mine = sources[sources["bus"] == first]
    if mine.empty:
        raise ValueError(f"pandapower net: root {root!r} is no source; there is {listed}")
    island = _connected(bus["bus"], branch, first)
    twins = sources[sources["bus"].isin(island)]
    if root is None and len(sources) > max(len(twins), 1):
        raise ValueError(f"pandapower net: several sources ({listed}); choose one with root=<bus>")
    root = first
    if len(twins) > 1:
        names = ", ".join(f"ext_grid {at}" for at in twins.index)
        raise ValueError(
            f"pandapower net: {names} are connected to each other; take all but one out of service "
            f"or open a switch between them"
        )
    fed = set().union(*(_connected(bus["bus"], branch, int(b)) for b in sources["bus"]))
    _refuse_unsupplied(bus, fed)
    return int(root), float(mine["vm_pu"].iloc[0]), island


def _connected(labels, branch, root):
    near = {label: [] for label in labels}
    closed = branch[branch["closed"] == 1]
    for a, b in zip(closed["from_bus"], closed["to_bus"]):
        near[a].append(b)
        near[b].append(a)
    seen, queue = {root}, [root]
    for here in queue:
        new = [there for there in near[here] if there not in seen]
        seen.update(new)
        queue.extend(new)
    return seen


def _refuse_unsupplied(bus, fed):
    powers = ["p_mw", "q_mvar", "p_gen_mw", "q_gen_mvar"]
    dark = bus[~bus["bus"].isin(fed)]
    dark = dark[(dark[powers] != 0).any(axis=1)]
    if len(dark):
        raise ValueError(
            f"pandapower net: bus {dark['bus'].iloc[0]} has load or generation and no source (as "
            f"have {len(dark) - 1} more); close a switch or set the bus in_service = False"
        )


# --- and back -----------------------------------------------------------------------------------


def network(feeder):
    """A pandapower net with the power flow of `feeder`.

    Whole-number labels become the bus indices, other labels the bus names. A branch with a ratio
    becomes a transformer without iron losses. pandapower cannot solve a branch without impedance,
    and its iteration fails on a tiny one, so an ideal regulator becomes a transformer with the
    reactance X_PAIR and a line with -X_PAIR behind it: exact, at the price of one more bus each,
    named "inside <bus>". Raises ValueError for a ratio with a negative reactance, which a
    pandapower transformer cannot have.
    """
    import pandapower as pp

    net = pp.create_empty_network(name=feeder.name, sn_mva=feeder.s_base_mva)
    labels = [feeder.root, *feeder.buses]
    whole = all(isinstance(label, int | np.integer) and label >= 0 for label in labels)
    at = np.array(labels) if whole else np.arange(len(labels))
    top = feeder.root_bus
    v_kv = np.r_[top.v_base_kv, feeder.v_base_kv]
    pp.create_buses(net, len(at), vn_kv=v_kv, index=at, name=[str(b) for b in labels])
    if feeder.xy is not None:
        points = np.vstack([top.xy, feeder.xy])
        net.bus["geo"] = [json.dumps({"coordinates": list(p), "type": "Point"}) for p in points]
    pp.create_ext_grid(net, int(at[0]), vm_pu=feeder.V_root)
    _create_powers(pp, net, feeder, at, v_kv)
    _create_branches(pp, net, feeder, at, v_kv)
    return net


def _create_powers(pp, net, feeder, at, v_kv):
    s, top = feeder.s_base_mva, feeder.root_bus

    def values(name):
        return s * np.r_[getattr(top, name), getattr(feeder, name)]

    def put(create, p, q, **more):
        some = (p != 0) | (q != 0)
        if some.any():
            more = {key: value[some] for key, value in more.items()}
            create(net, at[some], p_mw=p[some], q_mvar=q[some], **more)

    put(pp.create_loads, values("p_load"), values("q_load"))
    put(pp.create_sgens, values("p_gen"), values("q_gen"))
    for k in np.flatnonzero((values("g_shunt") != 0) | (values("b_shunt") != 0)):
        g, b = values("g_shunt")[k], values("b_shunt")[k]
        pp.create_shunt(net, int(at[k]), q_mvar=-b, p_mw=g, vn_kv=v_kv[k])


def _create_branches(pp, net, feeder, at, v_kv):
    above, here = at[feeder.parent + 1], at[1:]
    z_base = feeder.v_base_kv**2 / feeder.s_base_mva
    limit_ka = feeder.i_max * feeder.s_base_mva / (np.sqrt(3) * feeder.v_base_kv)
    wound = (feeder.ratio != 1) | (v_kv[feeder.parent + 1] != feeder.v_base_kv)
    plain = np.flatnonzero(~wound)
    if len(plain):
        pp.create_lines_from_parameters(
            net,
            above[plain],
            here[plain],
            length_km=1.0,
            r_ohm_per_km=(feeder.r * z_base)[plain],
            x_ohm_per_km=(feeder.x * z_base)[plain],
            c_nf_per_km=0.0,
            max_i_ka=np.where(np.isinf(limit_ka), NO_LIMIT_KA, limit_ka)[plain],
        )
    for k in np.flatnonzero(wound):
        ideal = feeder.r[k] == 0 and feeder.x[k] == 0
        end = _create_cancelling_line(pp, net, feeder, k, here[k]) if ideal else int(here[k])
        _create_transformer(pp, net, feeder, k, int(above[k]), end, v_kv, X_PAIR * ideal)


def _create_cancelling_line(pp, net, feeder, k, here):
    v_kv = feeder.v_base_kv[k]
    inside = pp.create_bus(net, v_kv, name=f"inside {feeder.buses[k]}")
    if "geo" in net.bus:
        net.bus.at[inside, "geo"] = net.bus.at[here, "geo"]
    pp.create_line_from_parameters(
        net,
        inside,
        int(here),
        length_km=1.0,
        r_ohm_per_km=0.0,
        c_nf_per_km=0.0,
        x_ohm_per_km=-X_PAIR * v_kv**2 / feeder.s_base_mva,
        max_i_ka=NO_LIMIT_KA,
    )
    return int(inside)


def _create_transformer(pp, net, feeder, k, above, here, v_kv, x_extra):
    r, x = feeder.r[k], feeder.x[k] + x_extra
    if x < 0:
        raise ValueError(
            f"the branch above bus {feeder.buses[k]} has a ratio and a negative reactance; no "
            f"pandapower transformer has one, move it to a branch of its own"
        )
    # rated at its current limit, so that the limit survives; else at the base power
    rated = feeder.s_base_mva * (feeder.i_max[k] if np.isfinite(feeder.i_max[k]) else 1.0)
    percent = 100 * rated / feeder.s_base_mva
    pp.create_transformer_from_parameters(
        net,
        above,
        here,
        sn_mva=rated,
        vn_hv_kv=v_kv[feeder.parent[k] + 1] / feeder.ratio[k],
        vn_lv_kv=feeder.v_base_kv[k],
        vk_percent=percent * np.hypot(r, x),
        vkr_percent=percent * r,
        pfe_kw=0.0,
        i0_percent=0.0,
    )
