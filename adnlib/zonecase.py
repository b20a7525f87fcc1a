"""The feeders of chapter 14 with their plants, from data/cases/voltage_zones.toml."""

from dataclasses import dataclass

import numpy as np

from . import profiles
from .capability import Dfig, Plants
from .feeder import Feeder, read_feeder


@dataclass(frozen=True, eq=False)
class Setting:
    """A feeder, its plants and a day. (..., n_t, n or k) [p.u.], energy (k,) at the start [p.u. h].

    `args` are the arguments of realtime.replay from `feeder` to `available`.
    """

    feeder: Feeder
    plants: Plants
    p_load: np.ndarray
    q_load: np.ndarray
    available: np.ndarray
    energy: np.ndarray
    V_root: float

    @property
    def args(self):
        """(feeder, plants, p_load, q_load, available)."""
        return self.feeder, self.plants, self.p_load, self.q_load, self.available


def setting(case, name, load, pv, wind, scale=1.0):
    """Setting of the feeder `name` of a case file.

    load (..., n_t) of the yearly peak; pv (..., n_t), wind (..., n_t, 2) of the rated power; the
    wind plants take the two series in turn. scale: on the PV plants. Where PV exceeds its inverter
    the inverter cuts it.
    """
    feeder = read_feeder(name)
    buses = [case[f"{name}.{short}_bus"] for short in ("pv", "wind", "ess")]
    kind = np.repeat(["pv", "wind", "storage"], [len(b) for b in buses])
    size = {"pv": scale * case[f"{name}.pv_mw"], "wind": case[f"{name}.wind_mw"],
            "storage": case[f"{name}.ess_mw"]}  # fmt: skip
    rated = np.array([size[k] for k in kind])
    s = np.where(kind == "pv", case["plants.inverter"], 1) * rated
    full = np.where(kind == "storage", case["plants.ess_hours"] * rated, 0)
    low, high = case["plants.ess_soc"]
    machine = Dfig(**{k: case[f"machine.{k}"] for k in Dfig.__dataclass_fields__})
    at = np.array([feeder.index(b) for bus in buses for b in bus])
    plants = Plants(at, kind, s, rated, low * full, high * full, case["plants.efficiency"], machine)
    available = np.zeros((*np.shape(load), len(kind)))
    available[..., kind == "pv"] = np.minimum(rated * np.asarray(pv)[..., None], s)[
        ..., kind == "pv"
    ]
    turn = np.arange(np.count_nonzero(kind == "wind")) % 2
    available[..., kind == "wind"] = size["wind"] * np.asarray(wind)[..., turn]
    flat = np.reshape(load, -1)
    p_load, q_load = (a.reshape(*np.shape(load), feeder.n) for a in profiles.loads(feeder, flat))
    energy = case["plants.ess_start"] * full
    return Setting(feeder, plants, p_load, q_load, available, energy, case[f"{name}.V_root"])


def day_setting(case, name, scale=1.0, first=None):
    """Setting on the day of data/cases/first_day.toml: its load, the mean of its PV plants, its
    wind plants, every 5 minutes."""
    first = profiles.read_case("first_day") if first is None else first
    day = profiles.rts_day(
        first["day.date"], region=first["day.region"], wind=first["generation.wind_unit"],
        pv=first["generation.pv_unit"],
    )  # fmt: skip
    return setting(case, name, day.load, day.pv.mean(axis=1), day.wind, scale)
