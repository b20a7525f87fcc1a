"""A balanced single-phase equivalent of an unbalanced feeder given as OpenDSS text.

The equivalent, in full:

- a line becomes the positive-sequence impedance Z1 = mean(diagonal) - mean(off-diagonal) of its
  matrix; a lateral of one or two phases is multiplied by 3 / n_phases, which keeps the loss in it
  and the voltage drop of the loaded phases; charging is left out;
- the loads of the phases are summed and drawn as constant power, whatever their model;
- capacitors are constant susceptances; a rated voltage that is the base voltage rounded counts as
  the base voltage;
- closed switches fuse their buses, opened lines stay in the table as open;
- a transformer that only leads to unloaded buses is dropped with them;
- voltage regulators are ideal transformers with r = x = 0. Controls are not run: the ratio is the
  mean over the phases of the taps that the folder states, or 1 ("fused");
- the source is ideal.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from . import dss_text
from .tables import FeederNotFound

METRES = {"mi": 1609.344, "kft": 304.8, "km": 1000.0, "m": 1.0, "ft": 0.3048}
METRES |= {"in": 0.0254, "cm": 0.01, "mm": 0.001}
SUMMED_LOAD_MODELS = {"1": "constant power", "2": "constant impedance", "5": "constant current"}
BUS_COLUMNS = ["bus", "p_mw", "q_mvar", "g_mw", "b_mvar", "v_kv", "x", "y"]
BRANCH_COLUMNS = ["from_bus", "to_bus", "r_ohm", "x_ohm", "ratio", "i_max_a", "closed"]


def tables(folder, regulators="taps"):
    """Bus and branch table of the balanced equivalent (module text) of a feeder in OpenDSS text.

    folder: a folder with one script that makes a circuit, or a script. In a folder the reading
    starts at the run script named after the circuit (`Run_<circuit>*.dss`), where switches are
    opened, and at the script with `New circuit` when there is none.
    regulators: "taps" takes each ratio from the exported table `*RegTaps*` in the folder, or else
    from the winding taps of the text; "fused" joins the two buses of a regulator.
    -> (bus, branch, root, V_root): columns in MW, Mvar, kV line to line, ohm per phase, A;
    V_root in p.u. Labels are lower-case text, and whole numbers where they can be.
    Raises ValueError (with file and line) for anything in the text that is not understood.
    Chapter 01 sets the result against the three-phase solution.
    """
    if regulators not in ("taps", "fused"):
        raise ValueError(f"regulators = {regulators!r}; it is 'taps' or 'fused'")
    script = dss_text.read(start_script(folder))
    source = _source(script)
    taps = _tap_table(script.folder) if regulators == "taps" else None
    branches = [_line(line, script) for line in script.of("line")]
    branches += _regulators(script, taps)
    if not branches:
        raise ValueError(f"{Path(folder).name}: no line in the text; a feeder has at least one")
    root, v_kv = _bus(source.values["bus1"]), source.positive("basekv")
    ends = {label for b in branches for label in (b["from_bus"], b["to_bus"])} | {root}
    bus = _bus_table(script, ends, root, v_kv)
    _check_other_transformers(script, set(bus["bus"]))
    bus, branch = _fuse(bus, pd.DataFrame(branches), root)
    bus, branch, root = _with_numbers(bus, branch, root)
    return bus, branch, root, source.number("pu", 1.0)


def start_script(folder):
    """The script to read in `folder` (a script itself is returned as it is)."""
    folder = Path(folder)
    if folder.is_file():
        return folder
    if not folder.is_dir():
        raise FeederNotFound(f"{folder}: there is no such folder or script")
    scripts = sorted(f for f in folder.glob("*") if f.suffix.lower() == ".dss")
    circuit = re.compile(r"^\s*new\s+(?:object\s*=\s*)?circuit\.(\S+)", re.I | re.M)
    found = [(f, m[1]) for f in scripts if (m := circuit.search(f.read_text(encoding="latin-1")))]
    if len(found) != 1:
        names = ", ".join(f.name for f, _ in found) or "none"
        raise ValueError(f"{folder}: one script with 'New circuit' is needed, found {names}")
    master, name = found[0]
    runs = [f for f in scripts if f.name.lower().startswith(f"run_{name.lower()}")]
    return runs[0] if len(runs) == 1 else master


def _bus(text):
    return text.split(".")[0].lower()


def _source(script):
    sources = script.of("vsource")
    if len(sources) != 1:
        raise ValueError(f"one source is needed, found {', '.join(map(str, sources)) or 'none'}")
    source = sources[0]
    if source.whole("phases", 3) != 3:
        raise ValueError(f"{source}: only a three-phase source has a balanced equivalent")
    source.values.setdefault("bus1", "sourcebus")
    return source


# --- lines and regulators ---------------------------------------------------------------------


def positive_sequence(r_rows, x_rows):
    """Z1 = mean(diagonal) - mean(off-diagonal) of a matrix given as lower-triangle rows.

    -> (r1, x1) in the unit of the rows (ohm per unit length). A 1 x 1 matrix has no off-diagonal.
    >>> positive_sequence([[3.0], [1.0, 5.0]], [[6.0], [2.0, 6.0]])
    (3.0, 4.0)
    """
    return _spread(r_rows), _spread(x_rows)


def _spread(matrix_rows):
    size = len(matrix_rows)
    diagonal = [matrix_rows[k][k] for k in range(size)]
    below = [matrix_rows[k][j] for k in range(size) for j in range(k)]
    return float(np.mean(diagonal) - (np.mean(below) if below else 0.0))


def _line(line, script):
    code = _line_code(line, script)
    phases = line.whole("phases", code.whole("nphases", 3))
    r, x = (0.0, 0.0) if line.flag("switch") else _line_impedance(line, code, phases)
    return {
        "from_bus": _bus(line.text("bus1")),
        "to_bus": _bus(line.text("bus2")),
        "r_ohm": r * 3 / phases,
        "x_ohm": x * 3 / phases,
        "ratio": 1.0,
        "i_max_a": line.number("normamps", code.number("normamps", np.nan)) * phases / 3,
        "closed": 0 if line.flag("open") else 1,
    }


def _line_code(line, script):
    """The line code of a line; one without a word in it when the line has none."""
    name = line.values.get("linecode", "").lower()
    if name and ("linecode", name) not in script.elements:
        raise ValueError(f"{line}: there is no linecode {name!r}; define it before the line")
    return script.elements.get(("linecode", name), dss_text.Element("linecode", "", line.where))


def _line_impedance(line, code, phases):
    given = line if {"rmatrix", "r1"} & set(line.values) else code
    if "rmatrix" in given.values:
        r_rows, x_rows = given.rows("rmatrix"), given.rows("xmatrix")
        if not len(r_rows) == len(x_rows) == phases:
            raise ValueError(
                f"{line}: {phases} phases, but {given} has {len(r_rows)} rows of r and "
                f"{len(x_rows)} of x; make them one"
            )
        r, x = positive_sequence(r_rows, x_rows)
    elif "r1" in given.values:
        r, x = given.number("r1"), given.number("x1")
    else:
        raise ValueError(f"{line}: no rmatrix and xmatrix and no r1 and x1; give one pair")
    units = line.values.get("units"), code.values.get("units")
    length = line.number("length", 1.0) * _unit_factor(line, *units)
    return r * length, x * length


def _unit_factor(line, line_units, code_units):
    units = [str(u).lower() for u in (line_units, code_units) if u not in (None, "none")]
    unknown = [u for u in units if u not in METRES]
    if unknown:
        raise ValueError(f"{line}: length unit {unknown[0]!r} is not one of {', '.join(METRES)}")
    return METRES[units[0]] / METRES[units[1]] if len(units) == 2 else 1.0


def _regulators(script, taps):
    """One ideal branch a bank: the mean ratio of the transformers between the same two buses."""
    banks = {}
    for control in script.of("regcontrol"):
        transformer = _transformer_of(control, script)
        key = _bus(transformer.text("bus@1")), _bus(transformer.text("bus@2"))
        ratio = 1.0 if taps is None else _ratio(control, transformer, taps)
        banks.setdefault(key, []).append(ratio)
    return [
        {
            "from_bus": a,
            "to_bus": b,
            "r_ohm": 0.0,
            "x_ohm": 0.0,
            "ratio": float(np.mean(ratios)),
            "i_max_a": np.nan,
            "closed": 1,
        }
        for (a, b), ratios in banks.items()
    ]


def _transformer_of(control, script):
    key = ("transformer", control.text("transformer").lower())
    if key not in script.elements:
        raise ValueError(f"{control}: there is no transformer {key[1]!r}")
    transformer = script.elements[key]
    if transformer.number("kv@1") != transformer.number("kv@2"):
        raise ValueError(f"{transformer}: a regulator with two rated voltages is not understood")
    return transformer


def _ratio(control, transformer, taps):
    winding = control.whole("winding", 1)
    if transformer.name in taps:
        return taps[transformer.name] if winding == 2 else 1 / taps[transformer.name]
    if not any(key.startswith("tap@") for key in transformer.values):
        raise ValueError(
            f"{transformer}: no tap is stated and controls are not run; put the exported table "
            f"*RegTaps* in the folder, write taps=[...], or use regulators='fused'"
        )
    return transformer.positive("tap@2", 1.0) / transformer.positive("tap@1", 1.0)


def _tap_table(folder):
    """Tap by transformer from the table `*RegTaps*`: name, tap, min, max, step, position."""
    found = [f for f in folder.glob("*") if "regtaps" in f.name.lower()]
    if len(found) > 1:
        raise ValueError(f"{folder}: more than one table of taps: {', '.join(map(str, found))}")
    row = re.compile(r"^(\S+)\s+([\d.]+)\s+[\d.]+\s+[\d.]+\s+[\d.]+\s+-?\d+\s*$", re.M)
    text = found[0].read_text(encoding="latin-1") if found else ""
    return {name.lower(): float(tap) for name, tap in row.findall(text)}


def _check_other_transformers(script, used):
    """Transformers that are no regulators may only lead to buses where nothing else is."""
    regulated = {c.text("transformer").lower() for c in script.of("regcontrol")}
    for transformer in script.of("transformer"):
        ends = [_bus(text) for key, text in transformer.values.items() if key.startswith("bus@")]
        fed = [label for label in ends[1:] if label in used]
        if transformer.name not in regulated and fed:
            raise ValueError(
                f"{transformer}: it feeds bus {fed[0]}, and the equivalent has no transformers but "
                f"regulators and those to unloaded buses; move the load to the primary side"
            )


# --- buses ------------------------------------------------------------------------------------


def _bus_table(script, ends, root, v_kv):
    names = [root] + [label for label in _in_order(script) if label in ends and label != root]
    table = {name: dict.fromkeys(BUS_COLUMNS[1:5], 0.0) for name in names}
    for load in script.of("load"):
        p, q = _load_power(load)
        at = table.setdefault(_bus(load.text("bus1")), dict.fromkeys(BUS_COLUMNS[1:5], 0.0))
        at["p_mw"] += p / 1000
        at["q_mvar"] += q / 1000
    for bank in script.of("capacitor"):
        at = table.setdefault(_bus(bank.text("bus1")), dict.fromkeys(BUS_COLUMNS[1:5], 0.0))
        at["b_mvar"] += _capacitor_mvar(bank, v_kv)
    for name, row in table.items():
        x, y = script.coordinates.get(name, (np.nan, np.nan))
        row.update(bus=name, v_kv=v_kv, x=x, y=y)
    return pd.DataFrame(table.values())[BUS_COLUMNS]


def _in_order(script):
    keys = ("bus1", "bus2", "bus@1", "bus@2")
    labels = (_bus(e.values[k]) for e in script.elements.values() for k in keys if k in e.values)
    return list(dict.fromkeys(labels))


def _load_power(load):
    model = load.values.get("model", "1")
    if model not in SUMMED_LOAD_MODELS:
        raise ValueError(
            f"{load}: load model {model} is not one of {', '.join(SUMMED_LOAD_MODELS)}"
        )
    p = load.number("kw")
    if "kvar" in load.values:
        return p, load.number("kvar")
    pf = load.number("pf")
    if not 0 < abs(pf) <= 1:
        raise ValueError(f"{load}: pf = {pf:g}; a power factor is at most 1, and not 0")
    return p, float(np.copysign(p * np.sqrt(1 / pf**2 - 1), pf))


def _capacitor_mvar(bank, v_kv):
    if "bus2" in bank.values:
        raise ValueError(f"{bank}: a series capacitor is not understood")
    # one rating is line to neutral for a single phase in star, line to line for the others
    wye = bank.values.get("conn", "wye").lower() in ("wye", "y", "ln")
    base = v_kv / np.sqrt(3) if bank.whole("phases", 3) == 1 and wye else v_kv
    digits = len(bank.text("kv").partition(".")[2])
    rated = base if round(base, digits) == bank.number("kv") else bank.positive("kv")
    return bank.number("kvar") / 1000 * (base / rated) ** 2


def _fuse(bus, branch, root):
    """Join buses that a closed branch without impedance connects; the nearest to the root stays."""
    shorts = branch.eval("closed == 1 and r_ohm == 0 and x_ohm == 0 and ratio == 1")
    survivor = _survivors(branch, shorts, root)
    branch = branch[~shorts].copy()
    for end in ("from_bus", "to_bus"):
        branch[end] = branch[end].map(lambda label: survivor.get(label, label))
    bus = bus.assign(at=[survivor.get(label, label) for label in bus["bus"]])
    totals = bus.groupby("at")[["p_mw", "q_mvar", "g_mw", "b_mvar"]].sum()
    kept = bus[bus["bus"] == bus["at"]].drop(columns="at").set_index("bus")
    kept[totals.columns] = totals
    return kept.reset_index()[BUS_COLUMNS], branch[BRANCH_COLUMNS].reset_index(drop=True)


def _survivors(branch, shorts, root):
    """Breadth-first from the root: label -> label that stands for it after the fusing."""
    neighbours = {}
    for a, b, closed, short in zip(branch["from_bus"], branch["to_bus"], branch["closed"], shorts):
        if closed:
            neighbours.setdefault(a, []).append((b, short))
            neighbours.setdefault(b, []).append((a, short))
    survivor, queue = {root: root}, [root]
    for here in queue:
        for there, short in neighbours.get(here, []):
            if there not in survivor:
                survivor[there] = survivor[here] if short else there
                queue.append(there)
    return survivor


def _with_numbers(bus, branch, root):
    """Labels that are whole numbers as numbers, as they are in the CSV tables."""
    number = {name: int(name) if name.isdigit() else name for name in bus["bus"]}
    ends = {end: branch[end].map(number) for end in ("from_bus", "to_bus")}
    return bus.assign(bus=bus["bus"].map(number)), branch.assign(**ends), number[root]
