"""A network as a reader has it: a pandapower net or its JSON, OpenDSS text, CSV tables.

Chapter 33 uses it. The readers are those of `Feeder`; here stand the choice between them, the
checks that their files need first, and one kind of error, InputError, that names file and cure.
"""

import inspect
import json
import random
import re
import traceback
import warnings
from ast import literal_eval
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from . import netcheck, powerflow
from .feeder import DATA, Feeder, read_feeder
from .tables import FeederError

FORMS = (
    "a pandapower JSON file, a folder with bus.csv and branch.csv, an OpenDSS folder or script, "
    "'pandapower create_...', or a feeder of data/feeders"
)
LIBRARY = Path(__file__).resolve().parent
TRUSTED = ("pandapower", "pandas", "numpy", "networkx", "geopandas", "shapely", "builtins")
MOST_MB = 200
DEVICE_COLUMNS = ["kind", "bus", "p_mw", "s_mva", "energy_mwh", "name"]
OVER = 1.1  # inverter over rated power of a static generator


class InputError(FeederError):
    """A file, series or setting of a reader's own that cannot be used; names it and the cure."""


@dataclass(frozen=True, eq=False)
class Network:
    """What a path held.

    feeder    base power near its total load; without the generators that stand in `devices`
    form      of what was given: "net", "pandapower", "json", "opendss", "csv"
    devices   DataFrame kind ("pv" or "battery"), bus, p_mw, s_mva, energy_mwh, name: static
              generators and storage that the network holds; empty where it has none
    """

    feeder: Feeder
    form: str
    devices: pd.DataFrame


def network(where, root=None, balanced=False):
    """Network of a path, of a pandapower net, or of "pandapower <function> [name=value ...]".

    root      label of the source's bus, where a pandapower net has several islands
    balanced  sum the phases of unbalanced loads of a pandapower net
    Static generators become PV plants of their rated power, storage elements batteries. The base
    power is the nominal load to two digits, so that a tolerance in p.u. means the same on
    50 kW and on 50 MW. InputError names the file, what is wrong with it, and what to do.
    """
    name, form, own, batteries = _read(where, root, balanced)
    feeder = _near_one(own)
    plants = _plants(feeder)
    left = np.minimum(feeder.p_gen, 0)
    feeder = replace(feeder, p_gen=left, q_gen=np.where(feeder.p_gen > 0, 0, feeder.q_gen))
    return Network(feeder, form, device_table([*plants, *_placed(name, feeder, batteries)]))


def feeder(where):
    """Feeder of a path, of a pandapower net, or of "pandapower <function> [name=value ...]", as it
    stands: with its own base power and its generators, without devices.

    For studies that place devices of their own. InputError names the file, what is wrong with it,
    and what to do; so it does for a network with storage elements, which a Feeder cannot hold.

    >>> feeder("pandapower create_cigre_network_mv").root
    0
    """
    name, _, own, batteries = _read(where)
    if batteries:
        first = batteries[0]["name"]
        raise InputError(
            f"{name}: holds storage ({first}), for which a feeder alone has no place; set it out "
            "of service, or read the file by inputs.network, as chapter 33 does"
        )
    return own


def _read(where, root=None, balanced=False):
    """(name, form, Feeder that carries its own loads, rows of batteries)."""
    if hasattr(where, "ext_grid"):
        form, read, name = "net", _from_net, "net"
    else:
        where = str(where).strip()
        (form, read), name = _form(where), Path(where).name or where
    found, batteries = told(name, read, where, root, balanced)
    _plausible(name, found)
    return name, form, found, batteries


def device_table(rows):
    """DataFrame kind, bus, p_mw, s_mva, energy_mwh, name of dicts."""
    return pd.DataFrame(rows, columns=DEVICE_COLUMNS)


def told(name, call, *given):
    """call(*given), where every error is an InputError that begins with the file's name.

    Errors that adnlib raises on purpose keep their words. Anything else is chained to an
    InputError that says so: that is a gap in the checks, not a message.
    """
    try:
        return call(*given)
    except InputError:
        raise
    except Exception as error:
        if _on_purpose(error):
            text = str(error)
            text = text if text.startswith(name) else f"{name}: {text}"
            raise InputError(text) from None
        raise InputError(
            f"{name}: cannot be read ({type(error).__name__}: {error}); check that it is one of: "
            f"{FORMS}"
        ) from error


def _on_purpose(error):
    """Whether a function of adnlib raised it, and not a number or a file that one tripped over."""
    *_, last = traceback.walk_tb(error.__traceback__)
    by_us = Path(last[0].f_code.co_filename).resolve().parent == LIBRARY
    words = re.search(r"could not convert|invalid literal|codec can't|unpack", str(error))
    return by_us and isinstance(error, ValueError | FileNotFoundError) and not words


# ---------------------------------------------------------------------------------- forms


def _form(where):
    """(form, reader) of a path; a reader gives (feeder, rows of batteries)."""
    path = Path(where)
    if re.match(r"pandapower\s", where):
        return "pandapower", _from_function
    if path.is_file():
        _readable(path)
        by_end = {".json": ("json", _from_json), ".dss": ("opendss", _from_opendss)}
        if path.suffix.lower() in by_end:
            return by_end[path.suffix.lower()]
        raise InputError(f"{path.name}: a file that ends in {path.suffix!r}; give {FORMS}")
    if path.is_dir():
        files = {f.name.lower() for f in path.iterdir()}
        if {"bus.csv", "branch.csv"} & files:
            return "csv", _from_csv
        if any(f.endswith(".dss") for f in files):
            return "opendss", _from_opendss
        raise InputError(f"{path.name}: a folder without bus.csv and without .dss; give {FORMS}")
    if (DATA / "feeders" / where).is_dir() and where not in ("", ".", ".."):
        return "csv", _from_csv
    raise InputError(f"{where!r}: there is no such file or folder; give {FORMS}")


def _readable(path):
    size = path.stat().st_size
    if size == 0:
        raise InputError(f"{path.name}: the file is empty; save the network again")
    if size > MOST_MB * 1e6:
        raise InputError(
            f"{path.name}: {size / 1e6:.0f} MB, more than the {MOST_MB} MB that are "
            "read; results of a time series do not belong in it"
        )


def _from_csv(where, root, balanced):
    _nets_only(root, balanced)
    return read_feeder(where), []


def _from_opendss(where, root, balanced):
    _nets_only(root, balanced)
    return Feeder.from_opendss(where), []


def _nets_only(root, balanced):
    if root is not None or balanced:
        raise InputError(
            "root and balanced choose within a pandapower net; tables and OpenDSS text "
            "have one source and a balanced equivalent: leave them out"
        )


def _from_json(where, root, balanced):
    return _from_net(_net_of_json(Path(where)), root, balanced)


def _net_of_json(path):
    import pandapower as pp

    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path.name}: not JSON ({error}); write it with pandapower.to_json(net, file)"
        ) from None
    if not isinstance(content, dict) or content.get("_class") != "pandapowerNet":
        raise InputError(
            f"{path.name}: JSON, but not of a pandapower net; write it with "
            "pandapower.to_json(net, file)"
        )
    for module in re.findall(r'\\*"_module\\*":\s*\\*"([\w.]*)', text):
        if module.split(".")[0] not in TRUSTED:
            raise InputError(
                f"{path.name}: holds an object of the module {module!r}, which a network does not "
                "need and which reading would load; save the net without it"
            )
    try:
        return _quiet(pp.from_json_string, text)
    except Exception as error:
        raise InputError(
            f"{path.name}: pandapower cannot read it ({type(error).__name__}: {error}); is it cut "
            "off, edited by hand or of a newer version? Write it again with pandapower.to_json"
        ) from error


def _quiet(call, *given, **options):
    import logging

    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call(*given, **options)
    finally:
        logging.disable(before)


def _from_function(where, root, balanced):
    import pandapower.networks as networks

    _, name, *words = where.split()
    makers = {
        key: make
        for key, make in vars(networks).items()
        if inspect.isfunction(make) and make.__module__.startswith("pandapower.networks")
    }
    if name not in makers:
        near = [key for key in makers if name.split("_")[-1] in key] or sorted(makers)
        raise InputError(f"pandapower.networks has no {name!r}; near it: {', '.join(near[:8])}")
    options = dict(_option(name, word) for word in words)
    try:
        net = _quiet(_seeded, makers[name], **options)
    except Exception as error:
        raise InputError(
            f"pandapower.networks.{name} gives no network ({type(error).__name__}: {error}); "
            "options are written name=value"
        ) from error
    return _from_net(net, root, balanced)


def _seeded(make, **options):
    """A net from a function that may draw line lengths at random (those after Kerber do)."""
    before = random.getstate()
    random.seed(0)
    try:
        return make(**options)
    finally:
        random.setstate(before)


def _option(name, word):
    key, equals, text = word.partition("=")
    if not equals:
        raise InputError(f"pandapower {name}: {word!r} is no option; write name=value")
    try:
        return key, literal_eval(text)
    except (ValueError, SyntaxError):
        return key, text


def _from_net(net, root, balanced):
    net = netcheck.check(net)
    net, batteries = netcheck.without_storage(net)
    return _quiet(Feeder.from_pandapower, net, root, balanced), batteries


# ---------------------------------------------------------------------------------- what it holds


def _plausible(name, feeder):
    """Refuse what is no feeder to run: no branch, or loads that the network cannot carry."""
    if feeder.n == 0:
        raise InputError(f"{name}: there is no bus but the root; is a switch open?")
    try:
        powerflow.solve(feeder)
    except powerflow.CollapseError as error:
        raise InputError(
            f"{name}: no power flow at its own loads; are they in MW, the impedances in ohm, the "
            f"voltages in kV line to line? ({error})"
        ) from None


def _near_one(feeder):
    """The same feeder on a base of its own total load."""
    total = float(np.abs(feeder.p_load).sum() * feeder.s_base_mva)
    base = float(f"{total:.1e}") if total > 0 else feeder.s_base_mva
    again = Feeder.from_tables(
        *feeder.to_tables(), feeder.root, feeder.V_root, s_base_mva=base, name=feeder.name
    )
    return replace(again, fused=feeder.fused)


def _plants(feeder):
    base = feeder.s_base_mva
    for i in np.flatnonzero(feeder.p_gen > 0):
        p, bus = float(feeder.p_gen[i] * base), feeder.buses[i]
        yield {"kind": "pv", "bus": bus, "p_mw": p, "s_mva": OVER * p, "name": f"pv {bus}"}


def _placed(name, feeder, batteries):
    for row in batteries:
        try:
            bus = feeder.buses[feeder.index(row["bus"])]
        except FeederError as error:
            raise InputError(f"{name}: {row['name']}: {error}; set it out of service") from None
        yield row | {"bus": bus}
