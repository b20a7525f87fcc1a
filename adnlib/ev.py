"""Charging of electric vehicles as a random load: mileage, start, duration, fleet power.

Chapter 07 derives it. A vehicle drives x (lognormal, no farther than its battery reaches), is
plugged in at t (normal, wrapped round midnight), and draws charger_kw until its energy is back:

    duration = x kwh_per_unit / (charger_kw efficiency).

Every day is like every other, so what runs past midnight is found at the beginning of the same 24
hours. Source of the densities and their usual numbers: Tian, Shi and Jia, Power Syst. Technol.
34(11), 2010; Qian et al., IEEE Trans. Power Syst. 26(2), 2011, 10.1109/TPWRS.2010.2057456.
"""

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from scipy.special import ndtr, ndtri

DAY = 24.0  # hours
KM_PER_MILE = 1.609344
VEHICLES = 2**17  # vehicle-days drawn at a time
BINS = 2**20  # steps counted at a time
NODES = 400  # Gauss-Legendre points over the mileage


@dataclass(frozen=True)
class Vehicle:
    """A vehicle, its use and its charger; every fleet member is a draw from this.

    mu, sigma    of the logarithm of the daily mileage [unit of distance; usual numbers: miles]
    mean_h, std_h    of the start of charging [h]    kwh_per_unit [kWh per unit of distance]
    battery_kwh [kWh]    charger_kw drawn from the grid [kW]    efficiency grid to battery

    ValueError names the field that makes no sense.

    >>> round(Vehicle().limit, 2)  # miles: 70 kWh at 15 kWh per 100 km
    289.97
    """

    mu: float = 3.20
    sigma: float = 0.88
    mean_h: float = 17.6
    std_h: float = 3.4
    kwh_per_unit: float = 0.15 * KM_PER_MILE
    battery_kwh: float = 70.0
    charger_kw: float = 4.0
    efficiency: float = 0.9

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not np.isfinite(value) or (field.name not in ("mu", "mean_h") and value <= 0):
                raise ValueError(f"{field.name} = {value} must be finite and above zero")
        if self.efficiency > 1:
            raise ValueError(f"efficiency = {self.efficiency} is above 1; give a fraction")
        if self.longest_h > DAY:
            raise ValueError(
                f"a full charge takes {self.longest_h:.1f} h, more than a day; raise charger_kw "
                f"or lower battery_kwh"
            )

    @property
    def limit(self):
        """Longest daily mileage: what a full battery reaches."""
        return self.battery_kwh / self.kwh_per_unit

    @property
    def longest_h(self):
        """Time of a full charge [h]."""
        return self.battery_kwh / (self.charger_kw * self.efficiency)


USUAL = Vehicle()


# ---------------------------------------------------------------------------------- one vehicle


def mileage(u, vehicle=USUAL):
    """Daily mileage at probability u in (0, 1), any shape: the lognormal cut off at the limit.

    x = exp(mu + sigma Phi^-1(u Phi(b))),  b = (ln limit - mu) / sigma.

    >>> round(float(mileage(0.5, Vehicle(mu=0, battery_kwh=70))), 4)  # far from the limit: e^mu
    1.0
    """
    u = _probability(u)
    return np.exp(vehicle.mu + vehicle.sigma * ndtri(u * ndtr(_cut(vehicle))))


def mean_mileage(vehicle=USUAL):
    """Mean of that mileage: exp(mu + sigma^2 / 2) Phi(b - sigma) / Phi(b)."""
    b = _cut(vehicle)
    whole = np.exp(vehicle.mu + vehicle.sigma**2 / 2)
    return float(whole * ndtr(b - vehicle.sigma) / ndtr(b))


def start_time(u, vehicle=USUAL):
    """Start of charging [h] in [0, 24) at probability u of the unwrapped normal, any shape.

    >>> float(start_time(0.5, Vehicle(mean_h=25.5)))
    1.5
    """
    hour = np.mod(vehicle.mean_h + vehicle.std_h * ndtri(_probability(u)), DAY)
    return np.where(hour < DAY, hour, 0.0)  # mod rounds up to 24 just below zero


def duration(distance, vehicle=USUAL):
    """Time at the charger [h] after `distance`: distance kwh_per_unit / (charger_kw efficiency).

    >>> round(float(duration(24, Vehicle(kwh_per_unit=0.3, efficiency=0.9))), 6)  # 7.2 kWh / 3.6 kW
    2.0
    """
    return np.asarray(distance) * (vehicle.kwh_per_unit / (vehicle.charger_kw * vehicle.efficiency))


def _cut(vehicle):
    return (np.log(vehicle.limit) - vehicle.mu) / vehicle.sigma


def _probability(u):
    u = np.asarray(u, float)
    if not ((u > 0) & (u < 1)).all():
        raise ValueError("a probability u lies outside (0, 1) or is NaN")
    return u


# ---------------------------------------------------------------------------------- many vehicles


def occupancy(start_h, duration_h, step_h=0.25, run=None, n_runs=1):
    """Vehicles at the charger, mean over each step: (n_runs, n_t), n_t = 24 / step_h.

    start_h (m,) in [0, 24], duration_h (m,) in [0, 24], run (m,) the run a vehicle belongs to
    (None: all of run 0). Exact: a vehicle counts for the fraction of the step that it charges, so
    the sum over a day times step_h is the sum of the durations. What runs past midnight is found
    at the start of the day. ValueError for times outside, or a step that does not fit the day.

    >>> occupancy([22.5], [2.75], step_h=1)[0, [22, 23, 0, 1, 2]].tolist()
    [0.5, 1.0, 1.0, 0.25, 0.0]
    """
    start_h, duration_h = np.asarray(start_h, float), np.asarray(duration_h, float)
    n_t = steps(step_h)
    for name, hours in (("start_h", start_h), ("duration_h", duration_h)):
        if not ((hours >= 0) & (hours <= DAY)).all():
            raise ValueError(f"{name} has a time outside 0 to 24 h or NaN")
    width = 2 * n_t + 2  # two days, so that no charge is cut; then folded
    first = 0 if run is None else np.asarray(run) * width
    change = _edges(start_h / step_h, first, n_runs * width)
    change -= _edges((start_h + duration_h) / step_h, first, n_runs * width)
    both = change.reshape(n_runs, width).cumsum(axis=1)
    return both[:, :n_t] + both[:, n_t : 2 * n_t]


def _edges(at, first, size):
    """Step responses of events at (fractional) step numbers, differenced: 1 - f in the step that
    an event falls into, f in the next."""
    k = at.astype(np.int64)
    f = at - k
    k += first
    late = np.bincount(k, f, size)
    now = np.bincount(k, minlength=size) - late
    now[1:] += late[:-1]
    return now


def steps(step_h):
    """Number of steps in a day. ValueError if step_h does not divide 24 h."""
    n_t = round(DAY / step_h) if step_h > 0 else 0
    if n_t < 1 or abs(n_t * step_h - DAY) > 1e-9:
        raise ValueError(f"step_h = {step_h} does not divide the day of 24 h")
    return n_t


def simulate_charging(n_ev, n_runs, rng, vehicle=USUAL, step_h=0.25):
    """Charging power of a fleet by Monte Carlo: (n_runs, n_t) [MW], consumption positive.

    n_ev vehicles on each of n_runs days, mileage and start independent of each other and between
    vehicles; mean power over each step. Two uniform numbers a vehicle are drawn in order, so that
    the same rng gives the same people whatever the vehicle is. Memory stays within some 20 MiB
    beside the result. ValueError for counts below 1 or a step that does not divide the day.
    """
    n_ev, n_runs = _count("n_ev", n_ev), _count("n_runs", n_runs)
    n_t = steps(step_h)
    out = np.zeros((n_runs, n_t))
    most = min(VEHICLES, n_ev * max(1, BINS // (2 * n_t + 2)))
    for low in range(0, n_ev * n_runs, most):
        high = min(low + most, n_ev * n_runs)
        run = np.arange(low, high) // n_ev
        u = np.maximum(rng.random((high - low, 2)), 2.0**-60)
        start = start_time(u[:, 1], vehicle)
        time = np.minimum(duration(mileage(u[:, 0], vehicle), vehicle), vehicle.longest_h)
        inside = slice(run[0], run[-1] + 1)
        out[inside] += occupancy(start, time, step_h, run - run[0], run[-1] - run[0] + 1)
    return np.maximum(out, 0) * (vehicle.charger_kw / 1000)


def _count(name, value):
    if value != int(value) or value < 1:
        raise ValueError(f"{name} = {value} must be a whole number of at least 1")
    return int(value)


def expected_charging(n_ev, vehicle=USUAL, step_h=0.25):
    """Mean of simulate_charging without drawing: (n_t,) [MW].

    Of a duration d and a start with distribution function G, the expected time in a step is
    H(t') - H(t) - H(t' - d) + H(t - d), H the integral of G, in closed form for the normal
    and summed over days; the mean over d is a quadrature over the mileage. ValueError as there.
    """
    n_ev = _count("n_ev", n_ev)
    edges = np.arange(steps(step_h) + 1) * step_h
    node, weight = _nodes()
    low, high = -9.0, min(_cut(vehicle), 9.0)
    if high <= low:
        raise ValueError(f"battery_kwh = {vehicle.battery_kwh} is too small for any usual mileage")
    z = low + (node + 1) * (high - low) / 2
    weight = weight * np.exp(-(z**2) / 2)
    d = duration(np.exp(vehicle.mu + vehicle.sigma * z), vehicle)[:, None]
    reach = 9 * vehicle.std_h
    first, last = (vehicle.mean_h - reach) // DAY, (vehicle.mean_h + reach + DAY) // DAY
    time = np.zeros(len(edges) - 1)
    for day in np.arange(first, last + 1):
        t = edges + DAY * day
        since = _started(t, vehicle) - _started(t - d, vehicle)
        time += weight @ np.diff(since, axis=1) / weight.sum()
    return n_ev * (vehicle.charger_kw / 1000) * time / step_h


@cache
def _nodes():
    return np.polynomial.legendre.leggauss(NODES)


def _started(t, vehicle):
    """H(t), the integral up to t of the probability of having started by then."""
    y = (t - vehicle.mean_h) / vehicle.std_h
    return vehicle.std_h * (y * ndtr(y) + np.exp(-(y**2) / 2) / np.sqrt(2 * np.pi))


# ---------------------------------------------------------------------------------- flexibility


def split(power, transferable, reducible):
    """(transferable, reducible, rigid) parts of power (..., n_t), shares between 0 and 1.

    >>> [float(part) for part in split(2.0, 0.25, 0.5)]
    [0.5, 1.0, 0.5]
    """
    rigid = 1 - transferable - reducible
    if not np.min([transferable, reducible, rigid]) >= -1e-12:  # NaN too
        raise ValueError(f"shares {transferable} and {reducible} must be >= 0 and sum to <= 1")
    power = np.asarray(power, float)
    return transferable * power, reducible * power, max(rigid, 0.0) * power


def transferred(power, begin_h, last_h, to_h, step_h=0.25):
    """Transferable load (..., n_t) whose block of last_h hours from begin_h is drawn from to_h on.

    Its shape and so its energy are kept; hours count round midnight. Source: the lowcarbon paper,
    10.3389/fenrg.2023.1259445, eqs. (20)-(22). ValueError if a time does not fall on a step.

    >>> transferred([0.0, 3, 1, 0], 6, 12, 12, step_h=6).tolist()
    [0.0, 0.0, 3.0, 1.0]
    """
    power = np.array(power, float)
    n_t, at = steps(step_h), []
    if power.shape[-1] != n_t:
        raise ValueError(f"power has {power.shape[-1]} steps; a day of {step_h} h steps has {n_t}")
    for name, hours in (("begin_h", begin_h), ("last_h", last_h), ("to_h", to_h)):
        k = round(hours / step_h)
        if abs(k * step_h - hours) > 1e-9 or not 0 <= k <= n_t:
            raise ValueError(f"{name} = {hours} h is no step of the day; steps are {step_h} h")
        at.append(k)
    begin, last, to = at
    old, new = ((first + np.arange(last)) % n_t for first in (begin, to))
    block = power[..., old]
    power[..., old] = 0
    power[..., new] += block
    return power


def reduced(power, factor, when):
    """Reducible load (..., n_t) cut to (1 - factor) where `when` (n_t,) is True, eqs. (23)-(26).

    Unlike a transfer it takes energy away from the vehicles.
    """
    if not 0 <= factor <= 1:
        raise ValueError(f"factor = {factor} must lie between 0 and 1")
    return np.asarray(power, float) * (1 - factor * np.asarray(when, bool))
