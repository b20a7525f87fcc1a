"""What devices share: the hours and scenarios of a model, and what a device adds to it.

Chapter 04 uses it. Rows of a model are scenario after scenario, each n_t intervals: n_s n_t rows. A
decision taken before the scenario is known (taps, storage, flexible load) has n_t entries and is
repeated in every scenario; a recourse (inverters, turbines) has one entry a row.
"""

from dataclasses import dataclass, field

import cvxpy as cp
import numpy as np
from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class Horizon:
    """Intervals and scenarios of a model, with the voltages that taps and banks act on.

    feeder; n_t intervals of step_h [h]; prob (n_s,) probabilities of the scenarios
    v (rows, n) CVXPY expression of the squared voltages [p.u.]; V_root [p.u.] of the source
    V_min, V_max [p.u.] limits of all voltages, by which products with binaries are bounded
    binaries      "free"; "relaxed", to anything in [0, 1]; or {name: values}, the binaries and any
                  other shared decisions that are held
    first_stage   the decisions that scenarios share, noted as devices make them
    """

    feeder: object
    n_t: int
    step_h: float
    prob: np.ndarray
    v: object = None
    V_root: float = 1.0
    V_min: float = 0.9
    V_max: float = 1.1
    binaries: object = "free"
    first_stage: list = field(default_factory=list)

    def binary(self, shape, name):
        """A binary variable, shared by all scenarios; relaxed or held where the horizon says so."""
        if self.binaries == "free":
            return self._noted(cp.Variable(shape, boolean=True, name=name))
        if self.binaries == "relaxed":
            return self._noted(cp.Variable(shape, bounds=[0, 1], name=name))
        if name not in self.binaries:
            known = ", ".join(self.binaries) or "nothing"
            raise ValueError(f"binaries hold {known}, but not {name!r}; give its values too")
        return cp.Constant(np.asarray(self.binaries[name], float).reshape(shape))

    def shared(self, name, size=None, **kind):
        """A continuous decision, (n_t,) or (size,), that all scenarios share; held where the
        horizon says so."""
        size = self.n_t if size is None else size
        if isinstance(self.binaries, dict) and name in self.binaries:
            return cp.Constant(np.asarray(self.binaries[name], float).reshape(size))
        return self._noted(cp.Variable(size, name=name, **kind))

    def _noted(self, variable):
        self.first_stage.append(variable)
        return variable

    @property
    def n_s(self):
        """Number of scenarios."""
        return len(self.prob)

    @property
    def rows(self):
        """Rows of the model, n_s n_t."""
        return self.n_s * self.n_t

    @property
    def weight(self):
        """(rows,) probability times hours: what a row counts in a sum over the horizon."""
        return np.repeat(self.prob, self.n_t) * self.step_h

    def given(self, owner, name, value):
        """Data of a device as (rows,): from a number, (n_t,) or (n_s, n_t) values."""
        value = np.asarray(value, float)
        if value.shape not in ((), (self.n_t,), (self.n_s, self.n_t)):
            raise ValueError(
                f"{name} of {owner} has shape {value.shape}; it must be a number, ({self.n_t},) "
                f"values, or ({self.n_s}, {self.n_t}) with one row a scenario"
            )
        if not np.isfinite(value).all():
            raise ValueError(f"{name} of {owner} holds a value that is no number")
        return np.broadcast_to(value, (self.n_s, self.n_t)).reshape(-1)

    def per_time(self, owner, name, value):
        """Data of a device as (n_t,), the same in every scenario."""
        value = np.asarray(value, float)
        if value.shape not in ((), (self.n_t,)):
            raise ValueError(
                f"{name} of {owner} has shape {value.shape}; a decision taken before the scenario "
                f"is known needs a number or ({self.n_t},) values"
            )
        return np.broadcast_to(value, (self.n_t,))

    def repeat(self, shared):
        """(n_t,) expression of a shared decision as (rows,)."""
        if shared is None or self.n_s == 1:
            return shared
        return cp.hstack([shared] * self.n_s)

    def change(self, rows):
        """Change from one interval to the next within each scenario, (n_s, n_t - 1)."""
        by_scenario = cp.reshape(rows, (self.n_s, self.n_t), order="C")
        return by_scenario[:, 1:] - by_scenario[:, :-1]

    def expected(self, rows):
        """Expectation of the time integral of (rows,): unit of the row times hours."""
        return self.weight @ rows

    def integral(self, shared):
        """Time integral of an (n_t,) expression: unit times hours."""
        return self.step_h * cp.sum(shared)

    def windows(self, hours):
        """(n_windows, n_t) of 0 and 1: all runs of `hours` (whole days for 24: no overlap)."""
        length = max(1, round(hours / self.step_h))
        if hours == 24:
            day = np.arange(self.n_t) // length
            return (day == np.arange(day[-1] + 1)[:, None]).astype(float)
        first = np.arange(max(1, self.n_t - length + 1))[:, None]
        at = np.arange(self.n_t)
        return ((at >= first) & (at < first + length)).astype(float)


@dataclass(frozen=True, eq=False)
class Part:
    """What one device adds to the model.

    at          tuple of (bus, p, q): net injections [MW], [Mvar], (rows,) expressions or None
    constraints labelled CVXPY constraints
    cost        expected cost over the horizon [money]
    shown       {quantity: expression}, (n_t,) where shared, else (rows,): what the schedule reports
    v_root      (rows,) squared root voltage, of a tap changer at the root
    v_side      (rows,) squared voltage behind the regulator in the branch above `tapped`
    b_shunt     (rows,) susceptance [p.u.] of a bank of constant admittance at `bank`
    """

    at: tuple = ()
    constraints: list = field(default_factory=list)
    cost: object = 0.0
    shown: dict = field(default_factory=dict)
    v_root: object = None
    tapped: object = None
    v_side: object = None
    bank: object = None
    b_shunt: object = None


def labelled(owner, named):
    """Constraints with labels "what of owner", from {what: constraint}; their last axis is time,
    all intervals of the model unless `at_times` says which."""
    found = [c for c in named.values() if c is not None]
    for c in found:
        if c.ndim and not hasattr(c, "times"):
            at_times(c, range(c.shape[-1]))
    return [c.set_label(f"{w} of {owner}") for w, c in named.items() if c is not None]


def at_times(constraint, times):
    """The constraint, whose entries on the last axis belong to these intervals; solve.explain
    names them by it. With two axes the first is the scenario."""
    constraint.times = list(times)
    return constraint


def placed(values, at, n):
    """(n,) expression with `values` (len(at),) at the positions `at` and 0 elsewhere.

    Variables exist only where they may move: one that is held between 0 and 0 leaves an
    interior-point solver no interior.
    """
    if len(at) == n:
        return values
    place = csr_array((np.ones(len(at)), (at, np.arange(len(at)))), shape=(n, len(at)))
    return place @ values


def circle(p, q, s_mva):
    """p^2 + q^2 <= s^2 for every row, in parts of s_mva (a number or rows); p or q may be numbers.
    The caller labels it.

    >>> circle(cp.Variable(3), cp.Variable(3), 2.0).is_dcp()
    True
    """
    s = np.broadcast_to(np.asarray(s_mva, float), p.shape)
    scale = float(s.max()) or 1.0
    return cp.SOC(cp.Constant(s / scale), cp.vstack([p, q]) / scale, axis=0)


def named(device, name):
    """Give a device without a name this one."""
    if not device.name:
        object.__setattr__(device, "name", name)


def not_negative(device, *fields):
    """ValueError for a field of a device with a value below 0 (None passes)."""
    for name in fields:
        value = getattr(device, name)
        if value is not None and not (np.asarray(value, float) >= 0).all():
            raise ValueError(f"{name} of {device.name} is {value}; it must be >= 0")


def inverter(h, device, p, s_mva, q_over_p):
    """(q, constraints): reactive power within the circle round p, or none."""
    if s_mva is None:
        return None, []
    u = cp.Variable(h.rows, name=f"{device.name} q")
    q = s_mva * u
    limits = {"inverter": circle(p, q, s_mva)}
    if q_over_p is not None:
        limits["power factor, upper"] = q <= q_over_p * p
        limits["power factor, lower"] = q >= -q_over_p * p
    return q, labelled(device.name, limits)


def ramp(h, p, per_hour, start):
    """Limits of the change from interval to interval, and from `start` to the first.

    They are put on a copy of p, so that the intervals of a network meet in copies only and can be
    solved apart.
    """
    most, found = per_hour * h.step_h, {}
    own = per_hour * cp.Variable(h.rows)
    if h.n_t > 1:
        change, later = h.change(own) / per_hour, range(1, h.n_t)
        found = {
            "ramp up": at_times(change <= h.step_h, later),
            "ramp down": at_times(change >= -h.step_h, later),
        }
    if start is not None:
        first, rows = own[:: h.n_t], range(0, h.rows, h.n_t)
        found |= {
            "first ramp up": at_times(first <= start + most, rows),
            "first ramp down": at_times(first >= start - most, rows),
        }
    return found | {"copy for ramps": (own - p) / per_hour == 0}
