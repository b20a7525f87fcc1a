"""The feeder: a radial network in per unit, read from CSV tables, pandapower or OpenDSS text.

Chapter 01 walks through it. Everything else in adnlib takes a `Feeder` and trusts it.
"""

import tomllib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from . import tables
from .tables import FeederError

DATA = Path(__file__).resolve().parent.parent / "data"
PER_BUS = (
    "r",
    "x",
    "ratio",
    "g_shunt",
    "b_shunt",
    "p_load",
    "q_load",
    "p_gen",
    "q_gen",
    "i_max",
    "v_base_kv",
)


@dataclass(frozen=True)
class RootBus:
    """What stands at the root bus itself [p.u.]; it loads the grid but not the feeder."""

    v_base_kv: float
    p_load: float = 0.0
    q_load: float = 0.0
    p_gen: float = 0.0
    q_gen: float = 0.0
    g_shunt: float = 0.0
    b_shunt: float = 0.0
    xy: tuple | None = None


@dataclass(frozen=True, eq=False)
class Feeder:
    """A radial feeder in per unit. Arrays run over the n non-root buses, parents before children.

    root        label of the source bus
    buses       labels of the other n buses
    parent      (n,) position of the bus above, -1 = root; parent[i] < i
    r, x        (n,) impedance of the branch above the bus [p.u.]
    ratio       (n,) ideal transformer at the upper end of that branch: V_side = V_parent * ratio,
                then r + jx; 1 = none. r = x = 0 with a ratio is an ideal regulator.
    g_shunt, b_shunt  (n,) shunt at the bus, power at 1 p.u. voltage [p.u.]: g consumes, b generates
    p_load, q_load    (n,) consumption positive [p.u.]
    p_gen, q_gen      (n,) static generators, generation positive [p.u.]
    i_max       (n,) current limit of the branch above [p.u.], inf = none
    V_root      voltage magnitude of the source [p.u.]
    v_base_kv   (n,) line-to-line base voltage [kV]
    s_base_mva  base power [MVA]
    xy          (n, 2) drawing coordinates or None
    root_bus    what stands at the root itself
    fused       {label: surviving label} of buses joined by closed zero-impedance branches

    >>> f = Feeder.from_tables(
    ...     pd.DataFrame({"bus": [1, 2], "p_mw": [0, 2.0], "q_mvar": [0, 1.0], "v_kv": [10, 10]}),
    ...     pd.DataFrame({"from_bus": [1], "to_bus": [2], "r_ohm": [1.0], "x_ohm": [2.0]}))
    >>> f.n, f.buses, float(f.r[0]), float(f.p_load[0])     # z_base = 10^2 / 1 = 100 ohm
    (1, (2,), 0.01, 2.0)
    """

    root: object
    buses: tuple
    parent: np.ndarray
    r: np.ndarray
    x: np.ndarray
    ratio: np.ndarray
    g_shunt: np.ndarray
    b_shunt: np.ndarray
    p_load: np.ndarray
    q_load: np.ndarray
    p_gen: np.ndarray
    q_gen: np.ndarray
    i_max: np.ndarray
    V_root: float
    v_base_kv: np.ndarray
    s_base_mva: float
    root_bus: RootBus
    xy: np.ndarray | None = None
    fused: dict = field(default_factory=dict)
    name: str = ""

    def __post_init__(self):
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        put("buses", tuple(self.buses))
        put("V_root", tables.positive("V_root", self.V_root))
        put("s_base_mva", tables.positive("s_base_mva", self.s_base_mva))
        self._put_array("parent", int, (self.n,))
        for name in PER_BUS:
            self._put_array(name, float, (self.n,))
            no_number = np.isnan if name == "i_max" else lambda a: ~np.isfinite(a)
            self._refuse(name, no_number(getattr(self, name)))
        for name, wrong in (("r", self.r < 0), ("ratio", self.ratio <= 0)):
            self._refuse(name, wrong)
        if self.xy is not None:
            self._put_array("xy", float, (self.n, 2))
        wrong = np.flatnonzero((self.parent < -1) | (self.parent >= np.arange(self.n)))
        if len(wrong):
            raise FeederError(
                f"bus {self.buses[wrong[0]]!r} stands before its parent; use Feeder.from_tables, "
                "which puts the buses in order"
            )

    def _put_array(self, name, dtype, shape):
        object.__setattr__(self, name, _frozen(getattr(self, name), dtype))
        if getattr(self, name).shape != shape:
            raise FeederError(
                f"{name} has shape {getattr(self, name).shape}, not {shape}; "
                f"the feeder has {self.n} non-root buses"
            )

    def _refuse(self, name, wrong):
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            raise FeederError(f"{name} of bus {self.buses[at]!r} is {getattr(self, name)[at]:g}")

    @property
    def n(self):
        """Number of non-root buses (= branches)."""
        return len(self.buses)

    @cached_property
    def _position(self):
        where = {label: i for i, label in enumerate(self.buses)}
        where.update({a: where[b] for a, b in self.fused.items() if b in where})
        return where

    def index(self, bus):
        """Array position of a bus label (of its survivor if it was fused); KeyError-free:
        an unknown label or the root raises FeederError."""
        bus = tables.plain_label(bus)
        if bus == self.root or self.fused.get(bus) == self.root:
            raise FeederError(f"bus {bus!r} is the root; arrays run over the other buses")
        if bus not in self._position:
            raise FeederError(f"there is no bus {bus!r}; the labels are {tables.few(self.buses)}")
        return self._position[bus]

    @cached_property
    def depth(self):
        """(n,) number of branches between the root and the bus."""
        depth = np.zeros(self.n, int)
        for i, p in enumerate(self.parent):
            depth[i] = 1 if p < 0 else depth[p] + 1
        return _frozen(depth, int)

    @cached_property
    def length(self):
        """(n,) electrical distance from the root: sum of |z| along the path [p.u.]."""
        z, length = np.hypot(self.r, self.x), np.zeros(self.n)
        for i, p in enumerate(self.parent):
            length[i] = z[i] + (0 if p < 0 else length[p])
        return _frozen(length, float)

    @property
    def p(self):
        """(n,) own net injection, generation minus load [p.u.]."""
        return self.p_gen - self.p_load

    @property
    def q(self):
        """(n,) own net reactive injection [p.u.]."""
        return self.q_gen - self.q_load

    def __repr__(self):
        mw, mvar = self.p_load.sum() * self.s_base_mva, self.q_load.sum() * self.s_base_mva
        return (
            f"Feeder({self.name or 'unnamed'}: root {self.root}, {self.n} other buses, "
            f"load {mw:.4g} MW + {mvar:.4g} Mvar, base {self.s_base_mva:g} MVA)"
        )

    # ------------------------------------------------------------------ from and to

    @classmethod
    def from_tables(cls, bus, branch, root=None, V_root=1.0, s_base_mva=1.0, name=""):
        """Feeder from a bus and a branch table in physical units (columns: see read_feeder).

        Any row order, any labels, branches in either direction; parallels are merged, open branches
        dropped, buses across closed zero-impedance branches fused. `root` defaults to the first row
        of `bus`. Raises FeederError (a ValueError) that names the bus, row or loop and the cure.
        """
        root, bus, branch, fused = tables.rooted(bus, branch, root, s_base_mva)
        top, rest = bus.iloc[0], bus.iloc[1:]
        drawn = not bus[["x", "y"]].isna().any().any()
        return cls(
            root=root,
            buses=tuple(rest.index),
            parent=branch["parent"].to_numpy(int) - 1,
            r=branch["r"],
            x=branch["x"],
            ratio=branch["ratio"],
            i_max=branch["i_max"],
            g_shunt=rest["g_mw"],
            b_shunt=rest["b_mvar"],
            p_load=rest["p_mw"],
            q_load=rest["q_mvar"],
            p_gen=rest["p_gen_mw"],
            q_gen=rest["q_gen_mvar"],
            v_base_kv=rest["v_kv"],
            V_root=V_root,
            s_base_mva=s_base_mva,
            fused=fused,
            name=name,
            xy=rest[["x", "y"]] if drawn else None,
            root_bus=RootBus(
                top["v_kv"],
                top["p_mw"],
                top["q_mvar"],
                top["p_gen_mw"],
                top["q_gen_mvar"],
                top["g_mw"],
                top["b_mvar"],
                (top["x"], top["y"]) if drawn else None,
            ),
        )

    def to_tables(self):
        """(bus, branch) in physical units; Feeder.from_tables(*f.to_tables(), root=f.root,
        V_root=f.V_root) is the same feeder."""
        top, s = self.root_bus, self.s_base_mva
        xy = np.full((self.n, 2), np.nan) if self.xy is None else self.xy
        bus = pd.DataFrame(
            {
                "bus": pd.Series([self.root, *self.buses], dtype=object).infer_objects(),
                "p_mw": s * np.r_[top.p_load, self.p_load],
                "q_mvar": s * np.r_[top.q_load, self.q_load],
                "g_mw": s * np.r_[top.g_shunt, self.g_shunt],
                "b_mvar": s * np.r_[top.b_shunt, self.b_shunt],
                "v_kv": np.r_[top.v_base_kv, self.v_base_kv],
                "x": np.r_[top.xy[0] if top.xy else np.nan, xy[:, 0]],
                "y": np.r_[top.xy[1] if top.xy else np.nan, xy[:, 1]],
                "p_gen_mw": s * np.r_[top.p_gen, self.p_gen],
                "q_gen_mvar": s * np.r_[top.q_gen, self.q_gen],
            }
        )
        z_base = self.v_base_kv**2 / s
        i_base_a = 1000 * s / (np.sqrt(3) * self.v_base_kv)
        labels = np.array([*self.buses, self.root], dtype=object)
        branch = pd.DataFrame(
            {
                "from_bus": pd.Series(labels[self.parent], dtype=object).infer_objects(),
                "to_bus": pd.Series(labels[:-1], dtype=object).infer_objects(),
                "r_ohm": self.r * z_base,
                "x_ohm": self.x * z_base,
                "ratio": self.ratio,
                "i_max_a": np.where(np.isinf(self.i_max), np.nan, self.i_max * i_base_a),
                "closed": np.ones(self.n, int),
            }
        )
        return bus, branch

    @classmethod
    def from_pandapower(cls, net, root=None, balanced=False, s_base_mva=1.0):
        """Feeder from a pandapower net; see adnlib.pandapower_net for what is understood.

        root: label of the external grid's bus when the net has several unconnected sources.
        balanced: sum the phases of asymmetric loads (otherwise they are refused).
        """
        from . import pandapower_net

        bus, branch, root, V_root = pandapower_net.tables(net, root=root, balanced=balanced)
        name = str(getattr(net, "name", "") or "")
        return cls.from_tables(bus, branch, root, V_root, s_base_mva, name)

    def to_pandapower(self):
        """pandapower net with the same power flow."""
        from . import pandapower_net

        return pandapower_net.network(self)

    @classmethod
    def from_opendss(cls, folder, regulators="taps", s_base_mva=1.0):
        """Balanced single-phase equivalent of the OpenDSS text in a folder (adnlib.opendss).

        regulators: "taps" keeps each bank at its mean tap, "fused" replaces it by a closed switch.
        """
        from . import opendss

        bus, branch, root, V_root = opendss.tables(folder, regulators=regulators)
        return cls.from_tables(bus, branch, root, V_root, s_base_mva, Path(folder).name)


def _frozen(values, dtype):
    values = np.array(values, dtype=dtype)
    values.flags.writeable = False
    return values


def read_feeder(name_or_folder, s_base_mva=1.0):
    """Feeder from a folder with bus.csv and branch.csv, or one of data/feeders by name.

    bus.csv     bus, p_mw, q_mvar, v_kv [line-to-line], optional g_mw, b_mvar [shunt at 1 p.u.],
                p_gen_mw, q_gen_mvar, x, y
    branch.csv  from_bus, to_bus, r_ohm, x_ohm [on the to side], optional ratio (needed between
                buses of different v_kv), i_max_a, closed
    feeder.toml (optional) root and V_root [p.u.]; else the first row of bus.csv at 1 p.u.
    A folder of that name is taken before a feeder of data/feeders. Branches of zero impedance and
    ratio 1 are fused: a regulator that must stay when neutral needs a small impedance.
    Raises FeederError for what the tables say, FeederNotFound (also a FileNotFoundError) that
    lists what there is.
    """
    folder = Path(name_or_folder)
    if not folder.is_dir():
        folder = DATA / "feeders" / str(name_or_folder)
    if not folder.is_dir():
        known = sorted(p.name for p in (DATA / "feeders").iterdir() if p.is_dir())
        raise tables.FeederNotFound(
            f"there is no feeder {str(name_or_folder)!r}: give a folder with "
            f"bus.csv and branch.csv, or one of {', '.join(known)}"
        )
    bus, branch = (_read_csv(folder / file) for file in ("bus.csv", "branch.csv"))
    facts = _read_toml(folder / "feeder.toml")
    try:
        return Feeder.from_tables(
            bus, branch, facts.get("root"), facts.get("V_root", 1.0), s_base_mva, folder.name
        )
    except FeederError as error:
        raise FeederError(f"{folder.name}: {error}") from None


def _read_csv(path):
    if not path.is_file():
        raise tables.FeederNotFound(
            f"{path.parent.name} has no {path.name}; a feeder folder holds bus.csv and branch.csv"
        )
    try:
        table = pd.read_csv(
            path, dtype=str, keep_default_na=False, comment="#", skipinitialspace=True
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise FeederError(
            f"{path.parent.name}/{path.name} is not a comma-separated table: {error}"
        ) from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the first column for an index
        raise FeederError(
            f"{path.parent.name}/{path.name}: the rows have more cells than the header has names"
        )
    return table


def _read_toml(path):
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FeederError(f"{path.parent.name}/{path.name}: {error}") from None
