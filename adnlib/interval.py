"""The interval dispatch of a cloud and its edges: hourly taps and banks, set-points every 15 min.

Chapter 23 composes it: the dcvc paper's problems (7) and (8) in the stochastic form (9) to (12),
over one day or a part of it. A row is an interval with one of its scenarios, interval after
interval. Taps and banks hold over the intervals of an hour, set-points of inverters and batteries
over the scenarios of an interval; flows differ by row. Objective, mean over scenarios, summed over
intervals [MW]:

    loss of lines and batteries + w sum_j (v_j - V_ref^2)^2

The dcvc paper, 10.1155/2022/7280220; cones as in chapter 3, borders as in chapter 9.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from . import areas, powerflow, profiles, scenarios
from .feeder import read_feeder


class IntervalError(ValueError):
    """Devices, scenarios or positions that do not fit the study; names the culprit."""


@dataclass(frozen=True, eq=False)
class Devices:
    """What stands where: labels of buses, sizes in MW, Mvar, MWh.

    pv {bus: MW}; s_per_mw of the inverters; ess {bus: (MW, MWh)}; soc (least, most, start);
    efficiency each way; banks {bus: (step Mvar, steps, moves an hour, moves a day)}
    oltc (step [p.u.], positions each way, moves an hour, moves a day)
    """

    pv: dict
    s_per_mw: float
    ess: dict
    soc: tuple
    efficiency: float
    banks: dict
    oltc: tuple

    @classmethod
    def of_case(cls, case, feeder=None, size=1.0):
        """From a case file; size scales all powers and energies (another feeder)."""
        grid = {k: case[f"{k}.bus"] for k in ("pv", "storage", "bank")}
        ess = size * case["storage.mw"], size * case["storage.mwh"]
        limits = case["bank.n"], case["bank.per_hour"], case["bank.per_day"]
        return cls(
            pv=dict.fromkeys(grid["pv"], size * case["pv.mw"]),
            s_per_mw=case["pv.s_per_mw"],
            ess=dict.fromkeys(grid["storage"], ess),
            soc=tuple(case["storage.soc"]),
            efficiency=case["storage.efficiency"],
            banks=dict.fromkeys(grid["bank"], (size * case["bank.step_mvar"], *limits)),
            oltc=tuple(case[f"oltc.{k}"] for k in ("step", "n", "per_hour", "per_day")),
        )


@dataclass(frozen=True, eq=False)
class Study:
    """A day or a part of it with its scenarios.

    cuts     labels of the buses below the borders;  devices  Devices
    load, pv (n_t,) forecasts: of nominal load, of rated output;  step_h [h], per_hour intervals
    factors  (k, A, 2) on the forecasts of PV and load in each area;  prob (k,)
    w        weight of the deviation [MW per p.u.^2];  band (V_min, V_max), V_ref [p.u.]
    cyclic   batteries end where they start;  extra (n_t, n) further active injections [p.u.]
    pv_most  (A,) PV factor beside whose output inverters keep their circle; None: the largest
    """

    feeder: object
    cuts: tuple
    devices: Devices
    load: np.ndarray
    pv: np.ndarray
    factors: np.ndarray
    prob: np.ndarray
    w: float = 1.0
    band: tuple = (0.95, 1.05)
    V_ref: float = 1.0
    step_h: float = 0.25
    per_hour: int = 4
    cyclic: bool = True
    extra: np.ndarray | None = None
    pv_most: np.ndarray | None = None

    def __post_init__(self):
        if len(self.load) != len(self.pv) or len(self.load) % self.per_hour:
            raise IntervalError(
                f"{len(self.load)} intervals of load, {len(self.pv)} of PV: as many, whole hours"
            )
        if np.shape(self.factors) != (len(self.prob), len(self.cuts) + 1, 2):
            raise IntervalError(
                f"factors have shape {np.shape(self.factors)}; {len(self.prob)} scenarios of "
                f"{len(self.cuts) + 1} areas need ({len(self.prob)}, {len(self.cuts) + 1}, 2)"
            )

    @property
    def n_t(self):
        """Intervals."""
        return len(self.load)

    @property
    def n_h(self):
        """Hours."""
        return self.n_t // self.per_hour

    @property
    def n_s(self):
        """Scenarios of an interval."""
        return len(self.prob)

    @property
    def rows(self):
        """n_t n_s."""
        return self.n_t * self.n_s

    @property
    def weight(self):
        """(rows,) probability of each row."""
        return np.tile(self.prob, self.n_t)

    @property
    def owner(self):
        """(n,) area of each bus, 0 with the root."""
        return areas.owners(self.feeder, sorted(self.feeder.index(b) for b in self.cuts))

    def with_scenarios(self, factors, prob):
        """The same study with other scenarios."""
        return replace(self, factors=np.asarray(factors, float), prob=np.asarray(prob, float))

    def hours(self, first, last):
        """The part from hour `first` to `last`; batteries as at the start of the day."""
        part = slice(first * self.per_hour, last * self.per_hour)
        extra = None if self.extra is None else self.extra[part]
        return replace(self, load=self.load[part], pv=self.pv[part], extra=extra)

    def interval(self, t, b):
        """Interval t alone, its hour's positions held, with battery set-points b (n_ess,) given."""
        extra = np.atleast_2d(b) @ place(self.feeder, self.devices.ess)
        return replace(self, load=self.load[t : t + 1], pv=self.pv[t : t + 1], per_hour=1,
                       devices=replace(self.devices, ess={}), extra=extra)  # fmt: skip

    def output(self):
        """(rows, n_pv) output of each plant over its rating: forecast times factor, at most 1."""
        return self._output(self.factors[:, :, 0]).reshape(self.rows, -1)

    def _output(self, factors):
        """(n_t, k, n_pv) of PV factors (k, A)."""
        own = self.owner[[self.feeder.index(b) for b in self.devices.pv]]
        return np.minimum(self.pv[:, None, None] * factors[:, own], 1.0)

    def injections(self):
        """(p, q), each (rows, n) [p.u.]: loads and PV output, no control."""
        factor = (self.load[:, None, None] * self.factors[:, self.owner, 1]).reshape(self.rows, -1)
        base, rated = self.feeder.s_base_mva, np.array(list(self.devices.pv.values()))
        p = (
            self.feeder.p_gen
            - factor * self.feeder.p_load
            + (self.output() * rated / base) @ place(self.feeder, self.devices.pv)
        )
        if self.extra is not None:
            p = p + np.repeat(self.extra, self.n_s, axis=0)
        return p, self.feeder.q_gen - factor * self.feeder.q_load

    @property
    def sunniest(self):
        """(A,) PV factor beside which the circle of every inverter is kept: pv_most, or else the
        largest of the scenarios."""
        return self.factors[:, :, 0].max(axis=0) if self.pv_most is None else self.pv_most

    def reach(self):
        """(n_t, n_pv) reactive power that an inverter has in every scenario [p.u.]."""
        rated = np.array(list(self.devices.pv.values())) / self.feeder.s_base_mva
        output = self._output(self.sunniest[None])[:, 0]
        return rated * np.sqrt(self.devices.s_per_mw**2 - output**2)


def place(feeder, buses):
    """(devices, n) sparse 0/1: which bus each device stands at."""
    at = [feeder.index(b) for b in buses]
    return csr_array((np.ones(len(at)), (range(len(at)), at)), shape=(len(at), feeder.n))


def every(m, times):
    """(m times, m): repeats each entry."""
    return csr_array((np.ones(m * times), (np.arange(m * times), np.repeat(np.arange(m), times))))


# ---------------------------------------------------------------------------------- plans


@dataclass(frozen=True, eq=False)
class Plan:
    """Decisions: tap (n_h,), bank (n_h, n_bank) positions; q (n_t, n_pv), b (n_t, n_ess) [p.u.].

    b: discharge positive, net of the converter;  lost (n_t,) of the batteries [p.u.]
    """

    tap: np.ndarray
    bank: np.ndarray
    q: np.ndarray
    b: np.ndarray
    lost: np.ndarray

    @property
    def positions(self):
        """(tap, bank) rounded to whole numbers."""
        return np.round(self.tap), np.round(self.bank)


def nothing(study):
    """The Plan without control."""
    d, n_t = study.devices, study.n_t
    return Plan(np.zeros(study.n_h), np.zeros((study.n_h, len(d.banks))),
                np.zeros((n_t, len(d.pv))), np.zeros((n_t, len(d.ess))), np.zeros(n_t))  # fmt: skip


def replay(study, plan):
    """powerflow.Flow of a plan in every scenario, batch (n_t, n_s)."""
    p, q, V_root = applied(study, plan)
    shape = (study.n_t, study.n_s)
    return powerflow.solve(
        study.feeder, p.reshape(*shape, -1), q.reshape(*shape, -1), V_root=V_root.reshape(shape)
    )


def applied(study, plan):
    """(p, q (rows, n), V_root (rows,)) of a plan in every scenario."""
    d, feeder, k = study.devices, study.feeder, study.n_s
    p, q = study.injections()
    hold = every(study.n_h, study.per_hour)
    step = np.array([b[0] for b in d.banks.values()]) / feeder.s_base_mva
    given = plan.q @ place(feeder, d.pv) + (hold @ plan.bank * step) @ place(feeder, d.banks)
    p = p + np.repeat(plan.b @ place(feeder, d.ess), k, axis=0)
    V = study.feeder.V_root * (1 + d.oltc[0] * (hold @ plan.tap))
    return p, q + np.repeat(given, k, axis=0), np.repeat(V, k)


def objective(study, plan, flow=None):
    """{"loss", "deviation", "total"} of a plan in the exact flow, summed over intervals [MW]."""
    flow = replay(study, plan) if flow is None else flow
    v = flow.V**2 - study.V_ref**2
    loss = float((flow.p_loss @ study.prob).sum() + plan.lost.sum())
    off = study.w * float(((v**2).sum(axis=-1) @ study.prob).sum())
    return {"loss": loss, "deviation": off, "total": loss + off}


# ---------------------------------------------------------------------------------- of a case


def study_of(case, feeder=None, devices=None, cuts=None, common=False, n=None):
    """Study of a case file (dcvc33, dcvc123) with its n representative scenarios.

    feeder, devices, cuts   instead of the case's own;  common, n: see `representative`
    """
    feeder = feeder_of(case) if feeder is None else feeder
    cuts = tuple(case["feeder.cuts"] if cuts is None else cuts)
    day = profiles.rts_day(case["day.date"], region=case["day.region"], pv=case["day.pv_unit"])
    day = profiles.resampled(day, case["day.step_h"])
    found = representative(case, len(cuts) + 1, common, n)
    return Study(
        feeder, cuts, Devices.of_case(case) if devices is None else devices,
        case["day.peak"] * day.load, day.pv.mean(axis=1), found.values, found.prob,
        w=case["cost.w_deviation"], band=(case["feeder.V_min"], case["feeder.V_max"]),
        V_ref=case["feeder.V_ref"], step_h=case["day.step_h"], per_hour=case["day.per_hour"],
    )  # fmt: skip


def feeder_of(case):
    """Feeder of a case; the tap changer at the root takes the place of the regulator there."""
    feeder = read_feeder(case["feeder.name"])
    top = (feeder.parent < 0) & (feeder.r == 0) & (feeder.x == 0)
    return replace(feeder, ratio=np.where(top, 1.0, feeder.ratio))


def representative(case, n_areas, common=False, n=None):
    """Scenarios with values (n, A, 2), factors on PV and load: (10) and (11) of the paper.

    Each area has its grid of PV and load points (chapter 6); the network's set is their product, of
    which n are drawn by their probabilities. common: one grid for all areas, whole.
    """
    grid = scenarios.quadrature(*case["scenarios.grid"], case["pv.beta"], case["load.std"])
    if common:
        return scenarios.Scenarios(np.repeat(grid.values[:, None], n_areas, axis=1), grid.prob)
    rng, n = np.random.default_rng(case["scenarios.seed"]), n or case["scenarios.n"]
    draws = [grid.values[rng.choice(grid.n_s, n, p=grid.prob)] for _ in range(n_areas)]
    return scenarios.Scenarios(np.stack(draws, axis=1))


def corners(case, n_areas):
    """Scenarios at the corners of a box of +- robust standard deviations, alike in all areas."""
    reach = case["scenarios.robust"]
    pv = 1 / np.sqrt(2 * case["pv.beta"] + 1)  # 2 Beta: standard deviation over the mean
    both = [
        (1 + a * reach * pv, 1 + b * reach * case["load.std"]) for a in (-1, 1) for b in (-1, 1)
    ]
    return scenarios.Scenarios(np.repeat(np.array(both)[:, None], n_areas, axis=1))


def fewer(study, k):
    """The study with k of its scenarios, by forward selection (chapter 6).

    Inverters keep the circle of all its scenarios: set-points meet those that were left out too.
    """
    kept = scenarios.forward_selection(scenarios.Scenarios(study.factors, study.prob), k)
    return replace(study.with_scenarios(kept.values, kept.prob), pv_most=study.sunniest)
