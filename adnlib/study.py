"""A study of a reader's own feeder: its devices (`fleets`), its day, and what is known before.

Chapter 33 uses it. `Study` holds what `runs` needs: a network (`inputs`), its plants and batteries,
and a `layers.Day` made of own series (`series`) or of the built-in ones. What the reader does not
give is chosen by data/cases/own_feeder.toml; `told` says in words what was used.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from . import fleets, forecast, inputs, layers, mpc, profiles, series
from .inputs import InputError
from .plant import Outlook, Plant

CASE = "own_feeder"
SERIES_YEAR = 2020  # of the built-in series


@dataclass(frozen=True, eq=False)
class Study:
    """What is run.

    network, fleet   the feeder as it was read, and its plants and batteries
    day              layers.Day: what was foreseen the day before, what is at each roll, what came
    date             YYYY-MM-DD
    case             choices where the reader says nothing (data/cases/own_feeder.toml)
    told             {what: words}: where each part comes from
    """

    network: inputs.Network
    fleet: mpc.Fleet
    day: layers.Day
    date: str
    case: profiles.Case
    told: dict

    @property
    def feeder(self):
        """The feeder of the network."""
        return self.network.feeder

    @property
    def price(self):
        """(24,) tariff of the case [money/MWh]."""
        flat, valley, peak = (self.case[f"price.{k}"] for k in ("flat", "valley", "peak"))
        price = np.full(24, flat)
        price[:7], price[9:11], price[19:] = valley, peak, peak
        return price

    @property
    def hourly(self):
        """(p_load, q_load (24, n) [p.u.], available (24, k) [MW]) foreseen the day before."""
        o = self.day.ahead
        return tuple(
            a.reshape(24, 4, -1).mean(axis=1) for a in (o.p_load, o.q_load, o.available_mw)
        )


def study(where, load=None, pv=None, devices=None, date=None, root=None, balanced=False):
    """Study of a network (see inputs.network) on one day.

    load, pv   paths of CSV series (see series.of_loads, series.of_plants); None: RTS-GMLC
    devices    path of a CSV table kind (pv, battery), bus, p_mw and optional s_mva, energy_mwh,
               name. None: those of the network and of the PV series, else placed by the case
    date       YYYY-MM-DD; None: the last whole day that all files have, else that of the case
    InputError names the file and the cure.
    """
    case = profiles.read_case(CASE)
    network = inputs.network(where, root, balanced)
    given = {k: series.read(path) for k, path in (("load", load), ("pv", pv)) if path}
    date = _date(case, given, date)
    plants, batteries, told = fleets.chosen(case, network, given.get("pv"), devices)
    fleet = fleets.fleet(case, network.feeder, plants, batteries)
    load, told["load"] = _load(case, network.feeder, given.get("load"), date)
    sun, told["PV"] = _sun(case, fleet, given.get("pv"), date)
    return Study(network, fleet, _day(fleet, load, sun), date, case, told)


def _date(case, given, date):
    if date is None and not given:
        return case["series.date"]
    if date is None:
        both = set.intersection(*(set(s.days) for s in given.values()))
        if not both:
            raise InputError(
                f"{' and '.join(s.name for s in given.values())} have no whole day in "
                "common; give series of the same days"
            )
        return max(both)
    try:
        return str(pd.Timestamp(str(date)).date())
    except ValueError:
        raise InputError(f"DATE is {date!r}; write it as 2020-07-15") from None


# ---------------------------------------------------------------------------------- the day


@dataclass(frozen=True, eq=False)
class Known:
    """One kind of series: `ahead` (96, d) as foreseen, `came` (288, d), phi, the error before.

    more: what turns the d columns into (p_load, q_load), or None
    """

    ahead: np.ndarray
    came: np.ndarray
    phi: np.ndarray
    before: np.ndarray
    more: tuple | None = field(default=None)


def quarter(a):
    """(96, d) means of (288, d)."""
    return a.reshape(96, 3, -1).mean(axis=1)


def _load(case, feeder, own, date):
    """(Known, words): day-ahead load is that of the day before, or for RTS-GMLC the day itself."""
    if own is None:
        day = profiles.rts_day(_built_in(date), region=case["series.region"]).load[:, None]
        more = feeder.p_load[None], feeder.q_load[None]
        known = Known(quarter(day), day, np.array([case["series.phi"]]), np.zeros(1), more)
        return known, "RTS-GMLC, foreseen as it comes (it has no load error)"
    more = series.of_loads(own, feeder)
    ahead, came, phi, words = _own(case, own, date, lambda a: a.sum(axis=1, keepdims=True))
    return Known(ahead, came, phi, np.zeros(1), more), f"{own.name}, {words}"


def _sun(case, fleet, own, date):
    """(Known, words) of the plants, in parts of their rated power."""
    k, rated = len(fleet.plants), fleet.rated_mw
    if own is None:
        units = case["series.pv_unit"]
        pair = forecast.rts_pair(tuple(units))
        phi = forecast.persistence(
            pair.error, pair.time.normalize() == pd.Timestamp(_built_in(date))
        )
        day, before = pair.day(_built_in(date))
        turn = np.arange(k) % len(units)
        known = Known(day.ahead[:, turn], day.fine[:, turn], phi[turn], before[turn])
        return known, "RTS-GMLC, its day-ahead forecast and what came"
    columns = series.of_plants(own, fleet.feeder)
    ahead, came, phi, words = _own(case, own, date, lambda a: a)
    if columns is None:
        one = np.ones((1, k))
        return Known(ahead @ one, came @ one, np.tile(phi, k), np.zeros(k)), f"{own.name}, {words}"
    return Known(ahead / rated, came / rated, phi, np.zeros(k)), f"{own.name}, {words}"


def _own(case, own, date, summed):
    """(ahead, came, phi, words) of a file: persistence, or the day itself where there is none.

    phi is fitted to the differences from day to day, the judged day left out.
    """
    came, days = own.day(date), own.days
    before = str((pd.Timestamp(date) - pd.Timedelta(days=1)).date())
    rest = [d for d in days if d != date]
    n = summed(came).shape[1]
    if before not in days:
        hours = np.repeat(came.reshape(24, 12, -1).mean(axis=1), 4, axis=0)
        return hours, came, np.full(n, case["series.phi"]), "foreseen by its own hourly means"
    phi, words = np.full(n, case["series.phi"]), "foreseen as the day before"
    if len(rest) > case["series.fit_days"]:
        x = [summed(quarter(own.day(d))) for d in rest]
        phi = forecast.persistence(np.concatenate(np.diff(x, axis=0)))
    return quarter(own.day(before)), came, np.clip(phi, 0, 1), words


def _built_in(date):
    """The same day of the year of the built-in series."""
    return f"{SERIES_YEAR}-{date[5:]}"


@dataclass(frozen=True, eq=False)
class Foreseen:
    """forecast(k, n) -> Outlook: loads of the day before times an error that fades, and plants."""

    ahead: Outlook
    load_error: forecast.Updated
    plants: forecast.Updated
    rated_mw: np.ndarray

    def __call__(self, k, n):
        """Outlook of n intervals from k on, with what is known at the start of k."""
        at = np.minimum(np.arange(k, k + n), len(self.ahead.p_load) - 1)
        factor = self.load_error(k, n)
        return Outlook(
            factor * self.ahead.p_load[at],
            factor * self.ahead.q_load[at],
            self.plants(k, n) * self.rated_mw,
        )


def _day(fleet, load, sun):
    """layers.Day of what is known about loads and plants."""
    p, q = ((load.ahead @ m, load.came @ m) for m in load.more)
    totals = [np.abs(a).sum(axis=1, keepdims=True) for a in (p[0], quarter(p[1]))]
    ratio = np.divide(totals[1], totals[0], out=np.ones_like(totals[0]), where=totals[0] > 0)
    one, most = np.ones_like(ratio), max(2.0, float(ratio.max()))
    error = forecast.Updated(one, ratio, load.phi, np.zeros(1), high=most)
    dark = np.ones(len(fleet.plants), bool)
    high = max(1.0, float(sun.came.max(initial=0)), float(sun.ahead.max(initial=0)))
    plants = forecast.Updated(
        sun.ahead, quarter(sun.came), sun.phi, sun.before, dark=dark, high=high
    )
    ahead = Outlook(p[0], q[0], sun.ahead * fleet.rated_mw)
    came = Plant(fleet, p[1], q[1], sun.came * fleet.rated_mw)
    return layers.Day(fleet, ahead, Foreseen(ahead, error, plants, fleet.rated_mw), came)
