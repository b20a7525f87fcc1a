"""Days of mixed-integer dispatch that the certified solver is timed on.

A feeder, 24 h, one or more scenarios of load, wind and sun that share every discrete device and
the batteries; the rest is recourse. Each `Case` is drawn from its seed and then changed by what its
name says: tight voltages, few moves, no export, prices that change by the hour.

    tap         12 positions 0.94-1.05 at the root, 11 ordered binaries an hour
    banks       5 groups of 100 kvar at two buses, 5 ordered binaries an hour each
    batteries   1 MWh, 0.3 MW, 90 % each way, one binary an hour against doing both at once
    EV block    4 h of charging in one piece, one binary for each start
    reducible   30 % of the load of one bus cut for 2 to 4 h at a time, at most 6 h a day
    var compensators, wind, sun (to be curtailed)   without binaries

Prices in currency units per MWh, powers in MW.
"""

from dataclasses import dataclass, replace

import numpy as np

from adnlib import devices as d
from adnlib import dispatch, read_feeder

HOURS = 24
LOAD = np.array([45, 34, 30, 29, 28, 34, 36, 38, 41, 48, 50, 53, 59, 64, 56, 54, 58, 65, 84, 96,
                 100, 90, 81, 68]) / 100  # fmt: skip
WIND = np.array([90, 100, 95, 90, 80, 79, 76, 75, 55, 35, 45, 43, 35, 32, 30, 33, 35, 43, 55, 72,
                 75, 79, 82, 95]) / 100  # fmt: skip
SUN = np.array([0, 0, 0, 0, 0, 22, 23, 36, 58, 76, 84, 92, 100, 92, 84, 76, 58, 36, 0, 0, 0, 0, 0,
                0]) / 100  # fmt: skip
VALLEY, PEAK = (0, 1, 2, 3, 4, 5, 6, 23), (10, 11, 14, 18, 19, 20)
PLACES = {
    "ieee33": {"wind": (18, 33), "sun": (10, 20), "bank": (6, 16), "svc": (6, 16, 33),
               "store": (16, 33), "ev": 22, "less": 24},
    "ieee123": {"wind": (48, 83), "sun": (65, 108), "bank": (47, 76), "svc": (35, 60, 105),
                "store": (66, 98), "ev": 29, "less": 65},
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One instance; the shapes of its day follow from the seed."""

    name: str
    seed: int
    feeder: str = "ieee33"
    n_s: int = 1
    load: float = 0.8
    wind_mw: float = 1.0
    sun_mw: float = 0.8
    V_min: float = 0.94
    V_max: float = 1.06
    tap_moves: int = 5
    bank_moves: int = 5
    move_cost: float = 0.0
    tariff: str = "three steps"  # or "hourly", "flat"
    export: bool = True
    loss_price: float = 300.0


def cases():
    """The set that is timed: easy and hard days alike, none left out."""
    base = Case("working day", 0)
    return [
        base,
        replace(base, name="winter, windy", seed=1, load=1.0, wind_mw=1.5, sun_mw=0.3),
        replace(base, name="summer, sunny", seed=2, load=0.6, wind_mw=0.4, sun_mw=1.5),
        replace(base, name="hourly prices", seed=3, tariff="hourly"),
        replace(base, name="flat price", seed=4, tariff="flat"),
        replace(base, name="no export, much wind", seed=5, load=0.6, wind_mw=1.5, export=False),
        replace(base, name="two tap moves", seed=6, tap_moves=2, load=1.0),
        replace(base, name="moves cost 20", seed=12, move_cost=20.0),
        replace(base, name="no generation", seed=7, wind_mw=0.0, sun_mw=0.0),
        replace(base, name="tight voltages", seed=8, V_min=0.97, V_max=1.03),
        replace(base, name="tight, full load", seed=9, load=1.0, V_min=0.96, V_max=1.02),
        replace(base, name="tight, sunny, few moves", seed=10, load=0.7, sun_mw=1.5,
                V_min=0.97, V_max=1.02, tap_moves=2, bank_moves=2),
        replace(base, name="dear losses", seed=11, loss_price=3000.0, tariff="hourly"),
    ]  # fmt: skip


def large():
    """123 buses; ten scenarios of 33 buses."""
    return [
        Case("123 buses", 20, feeder="ieee123"),
        Case("10 scenarios", 21, n_s=10),
    ]


def shapes(case):
    """(load, wind, sun) of shape (n_s, 24) and the price of 24 h."""
    rng = np.random.default_rng([case.seed, 4])
    noise = lambda size, width: np.exp(width * rng.standard_normal((case.n_s, size)))  # noqa: E731
    load = np.clip(LOAD * noise(1, 0.05) * noise(HOURS, 0.04), 0.1, 1.1)
    wind = np.clip(WIND[(np.arange(HOURS) + rng.integers(24)) % 24] * noise(1, 0.2), 0, 1)
    sun = np.clip(SUN * noise(1, 0.1) * noise(HOURS, 0.08), 0, 1)
    price = np.full(HOURS, 594.0)
    if case.tariff == "hourly":
        price = 1000 * np.clip(0.3 + 0.6 * LOAD + 0.08 * rng.standard_normal(HOURS), 0.1, 2)
    elif case.tariff == "three steps":
        price[list(VALLEY)], price[list(PEAK)] = 308.0, 880.0
    return load, wind, sun, price


def problem(case):
    """The CVXPY problem of a case."""
    feeder = read_feeder(case.feeder)
    load, wind, sun, price = shapes(case)
    factor = case.load * load[..., None]
    loads = factor * feeder.p_load, factor * feeder.q_load
    one = case.n_s == 1
    if one:
        loads, wind, sun = [a[0] for a in loads], wind[0], sun[0]
    found = dispatch.model(
        feeder, fleet(case, feeder, wind, sun, price), LOAD, load=loads, V_min=case.V_min,
        V_max=case.V_max, objective={"carbon": 1},
        scenarios=None if one else np.full(case.n_s, 1 / case.n_s),
    )  # fmt: skip
    return found.problem


def fleet(case, feeder, wind, sun, price):
    at = PLACES[case.feeder]
    moves = lambda n: d.Moves(operations_per_day=n, cost_per_operation=case.move_cost)  # noqa: E731
    grid = {} if case.export else {"p_min_mw": 0.0}
    reduced = case.load * LOAD * 0.1
    out = [
        d.TieLine(price, sale_per_mwh=0.5 * price if case.export else None,
                  loss_price_per_mwh=case.loss_price, carbon_kg_per_mwh=581.0,
                  carbon_price_per_kg=0.048, **grid),
        d.TapChanger(k_min=0.94, k_step=0.01, n_steps=11, moves=moves(case.tap_moves)),
        d.TransferableLoad(at["ev"], np.full(4, 0.4)),
        d.ReducibleLoad(at["less"], reduced, 0.3, most=6, shortest=2, longest=4,
                        payment_per_mwh=300.0),
    ]  # fmt: skip
    out += [d.CapacitorBank(b, 0.1, 5, moves=moves(case.bank_moves)) for b in at["bank"]]
    out += [d.StaticVar(b, -0.1, 0.3) for b in at["svc"]]
    out += [d.Storage(b, 1.0, 0.3, 0.3, 0.9, 0.9, cost_per_mwh=50.0) for b in at["store"]]
    for kind, most, shape in (("wind", case.wind_mw, wind), ("sun", case.sun_mw, sun)):
        if most:
            out += [d.Renewable(b, most * shape, cost_per_mwh=100.0, name=f"{kind} {b}")
                    for b in at[kind]]  # fmt: skip
    return out
