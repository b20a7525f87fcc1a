"""Forecasts that are made anew every quarter of an hour, and the day that then comes.

Chapter 13 uses it. RTS-GMLC has a forecast of the day before and what came, and nothing between.
The forecast made at interval k for the interval h later is built from both:

    x_hat(k + h | k) = x_ahead(k + h) + phi^(h + 1) (x(k - 1) - x_ahead(k - 1)),      h = 0, 1, ...

the last error that is known, fading by phi a step; phi is the lag-one autocorrelation of the error.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .plant import Outlook, Plant
from .profiles import read_series, read_units

STEP_H = 0.25


def quarter_hours(hourly, centre):
    """(4 n, d) means over quarter hours, on the line between the hourly values (n, d).

    centre   where in its hour a value stands: 0 at the start, 0.5 in the middle (a mean). The ends
             are level.

    >>> quarter_hours(np.array([[0.0], [4.0]]), 0.5)[:, 0].tolist()
    [0.0, 0.0, 0.5, 1.5, 2.5, 3.5, 4.0, 4.0]
    """
    hourly = np.asarray(hourly, float)
    at = (np.arange(4 * len(hourly)) + 0.5) / 4
    known = np.arange(len(hourly)) + centre
    return np.stack([np.interp(at, known, column) for column in hourly.T], axis=1)


@dataclass(frozen=True, eq=False)
class Pair:
    """Forecast of the day before and what came, in p.u. of the rating, for the same times.

    time (n_k,) start of each quarter hour    units: labels    kinds: "wind" or "pv" of each
    ahead, actual (n_k, d) means over quarter hours    fine (3 n_k, d) actual, 5 min
    """

    time: pd.DatetimeIndex
    units: tuple
    kinds: tuple
    ahead: np.ndarray
    actual: np.ndarray
    fine: np.ndarray

    @property
    def error(self):
        """(n_k, d) actual less ahead."""
        return self.actual - self.ahead

    def day(self, date):
        """(the pair of one day, error (d,) of the quarter hour before it). ValueError if absent."""
        here = np.flatnonzero(self.time.normalize() == pd.Timestamp(date).normalize())
        if len(here) != 96:
            raise ValueError(f"{date!r} is not a whole day of the pair, which runs from "
                             f"{self.time[0].date()} to {self.time[-1].date()}")  # fmt: skip
        part = slice(here[0], here[-1] + 1)
        fine = self.fine[3 * part.start : 3 * part.stop]
        day = Pair(
            self.time[part], self.units, self.kinds, self.ahead[part], self.actual[part], fine
        )
        before = self.error[here[0] - 1] if here[0] else np.zeros(len(self.units))
        return day, before


def rts_pair(units):
    """Pair of the whole year for some RTS-GMLC plants (labels of profiles.read_units).

    The hourly forecast of PV is taken as the mean of its hour, that of wind as the value at its
    start: of the two readings the one that is nearer to what came (chapter 13 measures both).
    """
    known = read_units()
    for unit in units:
        if unit not in known.index or known["kind"][unit] not in ("wind", "pv"):
            raise ValueError(
                f"there is no wind or PV unit {unit!r}; profiles.read_units lists them"
            )
    kinds, rated = tuple(known["kind"][list(units)]), known["p_max_mw"][list(units)].to_numpy()
    names = [f"{u}_mw" for u in units]
    hourly = read_series("rts_day_ahead")[names].to_numpy() / rated
    came = pd.concat([read_series("rts_wind_5min"), read_series("rts_pv_5min")], axis=1)[names]
    fine = came.to_numpy() / rated
    ahead = np.concatenate(
        [
            quarter_hours(hourly[:, [j]], 0.5 if kind == "pv" else 0.0)
            for j, kind in enumerate(kinds)
        ],
        axis=1,
    )
    actual = fine.reshape(-1, 3, len(names)).mean(axis=1)
    return Pair(came.index[::3], tuple(units), kinds, ahead, actual, fine)


def persistence(error, without=None):
    """(d,) phi: least-squares factor from one error to the next, sum e(k) e(k+1) / sum e(k)^2.

    error (n_k, d); without (n_k,) bool: intervals that do not count (the days that are judged).

    >>> persistence(np.array([[1.0], [0.5], [0.25]])).tolist()
    [0.5]
    """
    error = np.asarray(error, float)
    used = np.ones(len(error) - 1, bool)
    if without is not None:
        used &= ~(np.asarray(without)[1:] | np.asarray(without)[:-1])
    now, then = error[:-1][used], error[1:][used]
    return (now * then).sum(axis=0) / np.maximum((now**2).sum(axis=0), 1e-300)


@dataclass(frozen=True, eq=False)
class Updated:
    """The forecast of the module's docstring, for n_k intervals of a day.

    ahead, actual (n_k, d); phi (d,); before (d,) error of the interval before the first
    scale   of every error of this forecast: 0 is perfect foresight, 1 as it is
    dark    (d,) bool: columns that are zero wherever `ahead` is (PV at night)
    high    upper end; the lower one is 0
    """

    ahead: np.ndarray
    actual: np.ndarray
    phi: np.ndarray
    before: np.ndarray
    scale: float = 1.0
    dark: np.ndarray = None
    high: float = 1.0

    def __call__(self, k, n):
        """(n, d) forecast made at the start of interval k for k, k + 1, ..., k + n - 1; what lies
        beyond the last interval repeats it. Nothing after interval k - 1 is used, unless
        scale differs from 1."""
        if not 0 <= k < len(self.ahead):
            raise ValueError(f"there is no interval {k}; the day has {len(self.ahead)}")
        at = np.minimum(np.arange(k, k + n), len(self.ahead) - 1)
        last = self.before if k == 0 else self.actual[k - 1] - self.ahead[k - 1]
        found = self.ahead[at] + np.power(self.phi, np.arange(1, n + 1)[:, None]) * last
        found = np.clip(found, 0, self.high)
        if self.dark is not None:
            found = np.where(self.dark & (self.ahead[at] <= 1e-9), 0.0, found)
        if self.scale == 1:
            return found
        return np.clip(self.actual[at] + self.scale * (found - self.actual[at]), 0, self.high)


def by_lead(pair, phi, leads):
    """(len(leads), d) root mean square error of the updated forecast, by lead [intervals >= 1]."""
    dark = np.array([kind == "pv" for kind in pair.kinds])
    out = []
    for h in leads:
        found = np.clip(pair.ahead[h:] + phi**h * pair.error[:-h], 0, 1)
        found = np.where(dark & (pair.ahead[h:] <= 1e-9), 0.0, found)
        out.append(np.sqrt(((pair.actual[h:] - found) ** 2).mean(axis=0)))
    return np.array(out)


def ar1(n, std, phi, rng):
    """(n,) stationary AR(1) of standard deviation std: e(k+1) = phi e(k) + sqrt(1 - phi^2) a(k)."""
    shock = std * rng.standard_normal(n)
    e = np.empty(n)
    e[0] = shock[0]
    for k in range(1, n):
        e[k] = phi * e[k - 1] + np.sqrt(1 - phi**2) * shock[k]
    return e


@dataclass(frozen=True, eq=False)
class Outlooks:
    """forecast(k, n) -> mpc.Outlook for a feeder: loads and what the plants could give.

    feeder; load (n_k,) factor known the day before; load_error: Updated of one column round 1, by
    which it is multiplied; plants: Updated [p.u. of rated]; rated_mw (n_g,)
    """

    feeder: object
    load: np.ndarray
    load_error: Updated
    plants: Updated
    rated_mw: np.ndarray

    def __call__(self, k, n):
        """Outlook of n intervals from k on, with what is known at the start of k."""
        at = np.minimum(np.arange(k, k + n), len(self.load) - 1)
        factor = (self.load[at] * self.load_error(k, n)[:, 0])[:, None]
        own = self.feeder
        return Outlook(factor * own.p_load, factor * own.q_load, self.plants(k, n) * self.rated_mw)


def real_day(fleet, pair, date, phi, load, load_error, load_phi, scale=1.0):
    """(ahead, forecast, plant) of one day: Outlook of the day before, Outlooks, plant.Plant.

    fleet        its plants in the order of the pair's units
    pair, phi    of rts_pair and persistence
    load (288,)  factor on the feeder's loads that is known the day before, 5 min
    load_error (288,) relative error that comes on top; load_phi its fading in a quarter of an hour
    scale        of the errors of what is forecast in the day (see Updated)
    """
    if len(fleet.plants) != len(pair.units):
        raise ValueError(f"the fleet has {len(fleet.plants)} plants, the pair {len(pair.units)}")
    (day, before), f = pair.day(date), fleet.feeder
    quarter = lambda a: a.reshape(-1, 3).mean(axis=1)  # noqa: E731
    known, factor = quarter(load), quarter(load * (1 + load_error)) / quarter(load)
    plants = Updated(day.ahead, day.actual, phi, before, scale, np.array(day.kinds) == "pv")
    one = np.ones((len(known), 1))
    errors = Updated(one, factor[:, None], np.array([load_phi]), np.zeros(1), scale, high=2.0)
    came = load * (1 + load_error)
    return (
        Outlook(*(np.outer(known, a) for a in (f.p_load, f.q_load)), day.ahead * fleet.rated_mw),
        Outlooks(f, known, errors, plants, fleet.rated_mw),
        Plant(fleet, np.outer(came, f.p_load), np.outer(came, f.q_load), day.fine * fleet.rated_mw),
    )
