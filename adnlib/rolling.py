"""The plan of the day before, and the window that is solved again at every roll.

Chapter 13 builds both. The window corrects a day-ahead plan over n_h steps,

    min  sum_h [ w_dev sum_i (V_hi - V_ref)^2 + sum_d w_d (u_hd - u_ref,hd)^2 ]  + prices of slacks

with the batteries' energy balance from what the plant has stored, and a model of the voltages that
is either linear in the controls u,  V_h = V_exact(u_0) + S (u - u_0),  or the branch-flow cone.
"""

from dataclasses import dataclass, replace

import cvxpy as cp
import numpy as np

from . import branchflow, currents, dispatch, linflow, powerflow
from .devices import TieLine
from .kept import Kept, Slot
from .mpc import Decision, SetPoint, stored
from .solve import FLAT, solve

SCALE = 100.0  # brings the objective of a window, some hundredths, near 1
LEAST_CUT = 0.01  # of the rated power: what is less is not ordered, the forecast is not that good
BOTH = 1e-4  # [MW] what counts as charging and discharging at once
OVER = 1e-4  # of its rating: what counts as a branch above it
FEW = 8  # branches whose ratings are tried before those of all
PREDICTORS = ("tangent", "shifted", "lindistflow", "cone")


@dataclass(frozen=True, eq=False)
class Weights:
    """Prices in the objective of a window.

    deviation      of (V - V_ref)^2 [1/p.u.^2], a bus and step
    p_gen, q_gen, p_ess, q_ess   of the squared corrections [1/MW^2], [1/Mvar^2]
    limit          of voltage beyond V_min, V_max [1/p.u.], the worst bus of a step
    terminal       of stored energy that is off its target [1/MWh]; 0: no rule
    loss           of losses [1/MW]; in the linear predictors those of the batteries alone, a tie
                   against charging and discharging at once; in the cone those of the lines too
    current        of current above a rating [1/rating], the worst branch of a step
    """

    deviation: float = 1.0
    p_gen: float = 10.0
    q_gen: float = 0.01
    p_ess: float = 0.1
    q_ess: float = 0.01
    limit: float = 10.0
    terminal: float = 1.0
    loss: float = 1e-3
    current: float = 100.0

    def of(self, fleet):
        """(n_u,) weights of the squared corrections."""
        values = (self.p_gen, self.q_gen, self.p_ess, self.q_ess)
        return np.concatenate([np.full(s.stop - s.start, w) for s, w in zip(fleet.parts, values)])


@dataclass(frozen=True, eq=False)
class Plan:
    """Day-ahead plan at the rolls' step: u (n_k, n_u) [MW], [Mvar]; energy (n_k, n_e) [MWh] at the
    end of each; schedule: dispatch.Schedule it comes from, and its gap to a proven bound on
    every plan (None: made otherwise)."""

    u: np.ndarray
    energy: np.ndarray
    schedule: object = None
    gap: float | None = None


def day_ahead(fleet, outlook, w_loss=1.0, w_deviation=1.0, step_h=0.25, **given):
    """Plan that minimises w_loss x loss + w_deviation x sum (V - V_ref)^2, hour by hour.

    outlook   mpc.Outlook of the whole day at step_h; hours are means of it
    given     of dispatch.day_ahead: V_min, V_max, V_ref, i_max, strict
    Plants give what is forecast (no curtailment), as the mpc paper has it. The binaries by which
    batteries charge or discharge are relaxed, then held to the way that the net power goes, and the
    plan is solved again: `gap` is what that costs at most. The plan carries its certificate. The
    deviation of the model is that of squared voltages, (V^2 - V_ref^2)^2, near 4 V_ref^2 times the
    other: its weight is w_deviation / (4 V_ref^2). Set-points hold for the hour; stored energy
    moves evenly in it. SolveError where no plan keeps the limits: it names limit, bus and hour.
    """
    m = round(1 / step_h)
    hourly = [a.reshape(-1, m, a.shape[-1]).mean(axis=1) for a in
              (outlook.p_load, outlook.q_load, outlook.available_mw)]  # fmt: skip
    plants = [replace(plant, available_mw=hourly[2][:, j], curtailable=False)
              for j, plant in enumerate(fleet.plants)]  # fmt: skip
    devices = [*plants, *fleet.batteries, TieLine(loss_price_per_mwh=1.0)]
    w_square = w_deviation / (4 * given.get("V_ref", 1.0) ** 2)
    weights = {"energy": 0, "loss": w_loss, "devices": 0, "deviation": w_square}
    model = {"load": hourly[:2], "objective": weights}
    one = (fleet.feeder, devices, np.ones(len(hourly[0])))
    ways, bound = _directions(fleet, one, model | given)
    schedule = dispatch.day_ahead(*one, **model, binaries=ways, **given)
    found, none = schedule.devices, np.zeros(len(hourly[0]))
    columns = [found[d.name].get(key, none) for group in (fleet.plants, fleet.batteries)
               for key in ("p_mw", "q_mvar") for d in group]  # fmt: skip
    u = np.repeat(np.stack(columns, axis=1), m, axis=0)
    rate = stored(fleet, u[:, fleet.parts[2]])
    energy = fleet.ess["E_start"] + np.cumsum(step_h * rate, axis=0)
    gap = max(schedule.value - bound, 0.0) / max(abs(schedule.value), 1e-9)
    return Plan(u, energy, schedule, gap)


def _directions(fleet, one, model):
    """({binary: hours in which a battery charges}, bound) from the relaxed model."""
    model = {k: v for k, v in model.items() if k != "strict"}
    relaxed = dispatch.model(*one, binaries="relaxed", **model)
    bound = solve(relaxed.problem, fleet.feeder, FLAT) * relaxed.scale
    net = {b.name: relaxed.parts[b.name].shown["p_mw"].value for b in fleet.batteries}
    return {f"{name} charging": (p < 0).astype(float) for name, p in net.items()}, bound


# ---------------------------------------------------------------------------------- the window


class Window:
    """Controller of mpc.receding_horizon: corrects a plan over n_h steps, the first is applied.

    fleet, plan   mpc.Fleet, Plan          weights: Weights
    n_h, step_h   steps of the window and their length [h]
    V_min, V_max, V_ref   [p.u.]; the limits are soft, at the price weights.limit
    predictor     "tangent": the exact flow at the reference of each step, and exact sensitivities
                  at the window's first step; "shifted": that flow, with the sensitivities of no
                  load (LinDistFlow's); "lindistflow": nothing exact; "cone": the relaxation
    passes        how often the tangent is taken anew, each time round the last answer
    bias          add the last measured error of the predicted voltage to all steps (lindistflow)
    follow        what the plants' active power is counted against: "available", what can be had
                  (curtailing is the correction), or "plan", the day-ahead forecast (the mpc
                  paper read literally: it curtails whatever comes on top)
    ramp_mw       (n_e,) or number: largest change of a battery's power from step to step, and from
                  what the plant did last; None: free
    currents      whether the feeder's ratings are limits; they stand in the cone, where they are
                  hard, and in the tangent, where they are soft, at the price weights.current, for
                  the branches with a device below (currents.Limits). The other two have none
    Reactive power of plants keeps the limits at the power that is foreseen: curtailing does not
    widen them. The tangent is solved without the ratings, and again with them where its answer
    would load a branch above its own: the answer is that of the window with them.
    Steps beyond the plan's end repeat its last interval and have no energy target of their own. The
    problem is stated once (kept.Kept); a roll only hands over new numbers, and its answer depends
    on state and forecast alone.
    """

    def __init__(self, fleet, plan, weights=None, n_h=16, step_h=0.25, V_min=0.95, V_max=1.05,
                 V_ref=1.0, predictor="tangent", passes=1, bias=False, follow="available",
                 ramp_mw=None, currents=True):  # fmt: skip
        if predictor not in PREDICTORS:
            raise ValueError(f"predictor is {predictor!r}; it is one of {', '.join(PREDICTORS)}")
        if follow not in ("available", "plan"):
            raise ValueError(f"follow is {follow!r}; it is 'available' or 'plan'")
        if n_h < 1 or passes < 1:
            raise ValueError("a window has at least one step, and one pass")
        self.fleet, self.plan, self.weights = fleet, plan, weights or Weights()
        self.n_h, self.step_h, self.V_ref = n_h, step_h, V_ref
        self.V_min, self.V_max, self.ramp_mw = V_min, V_max, ramp_mw
        self.predictor, self.passes, self.bias, self.follow = predictor, passes, bias, follow
        self.linear, self.currents = predictor != "cone", currents
        self._state()

    def __call__(self, state, forecast):
        """Decision for a state and a forecast: the first step of the window."""
        outlook = forecast(state.k, self.n_h)
        found = self.solve(state, outlook)
        u, V = found["u"], found["V"]
        notes = {k: found[k] for k in ("value", "bound", "loss", "gap", "both")}
        setpoint = self._setpoint(u[0], outlook.available_mw[0])
        return Decision(setpoint, V[0], found["E"][0], notes)

    def solve(self, state, outlook):
        """{u (n_h, n_u), V (n_h, n), E (n_h, n_e), value, bound, loss, gap, both} of the window.

        value of the objective; loss foreseen in the lines [MWh] and cone gap (cone only, else NaN);
        both: largest power at which a battery charges and discharges at once [MW]. Where that
        pays (it burns energy) the window is solved again with the direction of each battery held:
        `value` is then that of the exclusive plan, `bound` that of the relaxation, below every
        exclusive plan of the same model.
        """
        u = self._common(state, outlook)
        for _ in range(self.passes):
            if self.linear:
                self._linearise(state, outlook, u)
            else:
                self.p["p_load"].value, self.p["q_load"].value = outlook.p_load, outlook.q_load
            bound, found, stage = self._solved()
            u = _controls(found)
        value, (_, _, c, d, *_) = bound, found
        if np.minimum(c, d).max(initial=0) > BOTH:
            self._exclusive(c, d)
            value, found, _ = self._solved(stage)
            u = _controls(found)
        _, _, c, d, _, E, V, *flows = found
        both = float(np.minimum(c, d).max(initial=0))
        found = {"u": u, "E": E, "value": value, "bound": bound, "both": both}
        if self.linear:
            return found | {"V": V, "loss": np.nan, "gap": np.nan}
        return found | self._of_cone(V, flows, u, outlook)

    def _exclusive(self, c, d):
        """Hold each battery in each step to the way that its net power goes."""
        gives = d >= c
        self.p["c_max"].value = np.where(gives, 0.0, self.fleet.ess["charge_mw"])
        self.p["d_max"].value = np.where(gives, self.fleet.ess["discharge_mw"], 0.0)

    def _solved(self, stage=0):
        """(value, values, stage): with the ratings of no branch, of a few, of all watched ones;
        the first stage that leaves no other branch above its own."""
        ratings, last = self.ratings, len(self.rows) - 1
        while True:
            value, found = self._kept(self.rows[stage]).solve()
            if stage == last:
                return value / SCALE, found, stage
            worst = ratings.loading(_controls(found)).max(axis=0)
            if stage:
                worst[ratings.held] = 0.0
            if worst.max() <= 1 + OVER:
                return value / SCALE, found, stage
            stage = stage + 1 if stage == 0 else last
            ratings.hold(self.rows[stage], worst)

    # ------------------------------------------------------------------------------ stating

    def _state(self):
        f, n_h, w = self.fleet, self.n_h, self.weights
        n_g, n_e, n = len(f.plants), len(f.batteries), f.feeder.n
        names = ("p_g", "q_g", "c", "d", "q_e", "E")
        sizes = (n_g, n_g, n_e, n_e, n_e, n_e)
        x = {name: cp.Variable((n_h, k), name=name) for name, k in zip(names, sizes) if k}
        none = np.zeros((n_h, 0))
        get = lambda name: x.get(name, none)  # noqa: E731
        u = cp.hstack(
            [a for a in (get("p_g"), get("q_g"), get("d") - get("c"), get("q_e")) if a.size]
        )
        of_plants = dict.fromkeys(("available", "q_low", "q_high"), (n_h, n_g))
        of_batteries = dict.fromkeys(("c_max", "d_max", "E_end"), (n_h, n_e))
        shapes = of_plants | of_batteries | {"E_0": (n_e,), "p_last": (n_e,)}
        shapes |= {"u_ref": (n_h, f.n_u), "at_end": (n_h,), "free": ()}
        self.p = {name: cp.Parameter(shape, name=name) for name, shape in shapes.items()
                  if 0 not in shape}  # fmt: skip
        low, high, missed = cp.Variable(n_h), cp.Variable(n_h), cp.Variable((n_h, max(n_e, 1)))
        limits = [low >= 0, high >= 0, missed >= 0]
        limits += self._plants(x) + self._batteries(x, missed)
        self.slots = ()
        network, V, loss, flows = self._tangent(u) if self.linear else self._cone(u)
        one = np.ones((1, n))
        side = lambda a: cp.reshape(a, (n_h, 1), order="C") @ one  # noqa: E731
        if self.linear:
            limits += [self.V_min - side(low) <= V, self.V_max + side(high) >= V]
            off = V - self.V_ref
        else:  # V is its square here: (V^2 - V_ref^2) / (2 V_ref) is V - V_ref to first order
            limits += [self.V_min**2 - 2 * self.V_min * side(low) <= V,
                       self.V_max**2 + 2 * self.V_max * side(high) >= V]  # fmt: skip
            off = (V - self.V_ref**2) / (2 * self.V_ref)
        weight = np.sqrt(w.of(f))[None, :] * np.ones((n_h, 1))
        cost = w.deviation * cp.sum_squares(off) + w.limit * cp.sum(low + high)
        cost += cp.sum_squares(cp.multiply(weight, u - self.p["u_ref"])) + w.loss * loss
        if n_e:
            ess = f.ess
            cost += w.terminal * cp.sum(missed.T @ self.p["at_end"])
            cost += w.loss * cp.sum(
                x["c"] @ (1 - ess["eta_in"]) + x["d"] @ (1 / ess["eta_out"] - 1)
            )
        else:
            limits.append(missed == 0)
        self.problem = cp.Problem(cp.Minimize(SCALE * cost), network + limits)
        self.x, self.V, self.flows = x, V, flows
        self.kept, self.ratings, self.rows = {}, None, (0,)
        if self.predictor == "tangent" and self.currents and len(currents.watched(f)):
            self.ratings = currents.Limits(f, n_h)
            m = len(self.ratings.at)
            self.rows = (0, FEW, m) if m > FEW else (0, m)
        self.whole = (u, cost, network + limits)

    def _limited(self, rows):
        """The problem with the ratings of so many branches, and its slots."""
        if rows == 0:
            return self.problem, self.slots
        (u, cost, limits), over = self.whole, cp.Variable(self.n_h)
        cost = cost + self.weights.current * cp.sum(over)
        limits = limits + self.ratings.cones(u, over, rows)
        problem = cp.Problem(cp.Minimize(SCALE * cost), limits)
        return problem, (*self.slots, *self.ratings.slots(rows))

    def _plants(self, x):
        if "p_g" not in x:
            return []
        p = self.p
        return [x["p_g"] >= 0, x["p_g"] <= p["available"], x["q_g"] >= p["q_low"],
                x["q_g"] <= p["q_high"]]  # fmt: skip

    def _batteries(self, x, missed):
        """Energy balance from what is stored, limits, inverter, ramp, energy target."""
        if "c" not in x:
            return []
        f, p, n_h = self.fleet, self.p, self.n_h
        ess, c, d, q, E = f.ess, x["c"], x["d"], x["q_e"], x["E"]
        tall = lambda a: np.ones((n_h, 1)) * a  # noqa: E731
        gained = cp.multiply(tall(ess["eta_in"]), c) - cp.multiply(tall(1 / ess["eta_out"]), d)
        before = cp.vstack([cp.reshape(p["E_0"], (1, len(f.batteries)), order="C"), E[:-1]])
        out = [before + self.step_h * gained == E, c >= 0, d >= 0, c <= p["c_max"],
               d <= p["d_max"], tall(ess["E_min"]) <= E, tall(ess["E_max"]) >= E,
               E - p["E_end"] <= missed, p["E_end"] - E <= missed]  # fmt: skip
        for j in range(len(f.batteries)):
            if ess["no_q"][j]:
                out.append(q[:, j] == 0)
            else:
                s = np.full(n_h, ess["s_mva"][j])
                out.append(cp.SOC(s, cp.vstack([d[:, j] - c[:, j], q[:, j]]), axis=0))
        if self.ramp_mw is not None:
            net, most = d - c, tall(np.broadcast_to(self.ramp_mw, len(f.batteries)))
            out.append(cp.abs(net[0] - p["p_last"]) <= most[0] + p["free"])
            if n_h > 1:
                out.append(cp.abs(net[1:] - net[:-1]) <= most[1:])
        return out

    def _tangent(self, u):
        """V = base + S u, both of them slots."""
        n, n_u = self.fleet.feeder.n, self.fleet.n_u
        self.base, self.S = self.slots = Slot((self.n_h, n)), Slot((n, n_u))
        V = cp.Variable((self.n_h, n), name="V")
        return [self.base.marks + u @ self.S.marks.T == V], V, 0.0, ()

    def _cone(self, u):
        """Branch flow with the loads as parameters; the network's P, Q, ell, v."""
        f, base = self.fleet, self.fleet.feeder.s_base_mva
        n = f.feeder.n
        for name in ("p_load", "q_load"):
            self.p[name] = cp.Parameter((self.n_h, n), name=name)
        place = np.zeros((2, f.n_u, n))
        for k, part in enumerate(f.parts):
            for j in range(part.start, part.stop):
                place[k % 2, j, f.at[j]] = 1 / base
        P, Q, ell, v = (cp.Variable((self.n_h, n), name=name) for name in ("P", "Q", "ell", "v"))
        S = branchflow.total_load(f.feeder)
        limits = branchflow.constraints(
            f.feeder, S * P, S * Q, S**2 * ell, v, u @ place[0] - self.p["p_load"],
            u @ place[1] - self.p["q_load"], i_max=None if self.currents else np.full(n, np.inf),
        )  # fmt: skip
        return limits, v, base * S**2 * cp.sum(ell @ f.feeder.r), (P, Q, ell)

    # ------------------------------------------------------------------------------ a roll

    def _common(self, state, outlook):
        """Give the parameters that both kinds share their values; returns the reference u."""
        f, p, n_k = self.fleet, self.p, len(self.plan.u)
        at = np.minimum(np.arange(state.k, state.k + self.n_h), n_k - 1)
        available = outlook.available_mw
        if available.shape != (self.n_h, len(f.plants)):
            raise ValueError(
                f"the forecast has shape {available.shape}, not ({self.n_h}, {len(f.plants)}): "
                "one row a step of the window"
            )
        reference = self.plan.u[at].copy()
        low, high = f.q_limits(available)
        if self.follow == "available":
            reference[:, f.parts[0]] = available
        ends = np.zeros(self.n_h)
        ends[min(self.n_h, n_k - state.k) - 1] = 1.0
        last = state.last
        given = {
            "c_max": np.tile(f.ess["charge_mw"], (self.n_h, 1)),
            "d_max": np.tile(f.ess["discharge_mw"], (self.n_h, 1)),
            "available": available, "q_low": low, "q_high": high, "u_ref": reference,
            "E_0": state.energy, "E_end": self.plan.energy[at], "at_end": ends,
            "p_last": np.zeros(len(f.batteries)) if last is None else last.u[f.parts[2]],
            "free": 1e3 if last is None else 0.0,
        }  # fmt: skip
        for name, value in given.items():
            if name in p:
                p[name].value = value
        start = reference.copy()
        start[:, f.parts[0]] = np.minimum(start[:, f.parts[0]], available)
        start[:, f.parts[1]] = np.clip(start[:, f.parts[1]], low, high)
        return start

    def _linearise(self, state, outlook, u):
        """base and S of V = base + S u, round the controls u (n_h, n_u)."""
        f, S = self.fleet, None
        p, q = f.injections(u, outlook.p_load, outlook.q_load)
        if self.predictor == "lindistflow":
            V = linflow.lindistflow(f.feeder, p, q).V
        else:
            flow = powerflow.solve(f.feeder, p, q)
            V = flow.V
        if self.predictor == "tangent":
            first = powerflow.solve(f.feeder, p[0], q[0])
            S = sensitivities(f, *linflow.sensitivities(f.feeder, first))
            if self.ratings is not None:
                self.ratings.take(flow, first, u)
        else:
            S = self._constant()
        if self.bias and state.last is not None:
            last = state.last.flow
            V = V + last.V - linflow.lindistflow(f.feeder, last.p, last.q).V
        self.base.value, self.S.value = V - u @ S.T, S

    def _constant(self):
        """LinDistFlow's sensitivities at no load, made once."""
        if not hasattr(self, "_S"):
            f, zero = self.fleet, np.zeros(self.fleet.feeder.n)
            flow = powerflow.solve(f.feeder, zero, zero)
            self._S = sensitivities(f, *linflow.sensitivities(f.feeder, flow))
        return self._S

    def _kept(self, rows):
        """The problem with so many ratings, compiled where it is first needed, when all of its
        parameters have values."""
        if rows not in self.kept:
            names = ("p_g", "q_g", "c", "d", "q_e", "E")
            read = [self.x[name] for name in names if name in self.x]
            problem, slots = self._limited(rows)
            kept = Kept(problem, [*read, self.V, *self.flows], slots=slots)
            self.kept[rows] = _Filled(kept, self.n_h, [name in self.x for name in names])
        return self.kept[rows]

    def _of_cone(self, v, flows, u, outlook):
        P, Q, ell = flows
        f, S = self.fleet.feeder, branchflow.total_load(self.fleet.feeder)
        p, q = self.fleet.injections(u, outlook.p_load, outlook.q_load)
        plan = branchflow.plan(f, S * P, S * Q, S**2 * ell, v, p, q)
        loss = f.s_base_mva * self.step_h * float(plan.p_loss.sum())
        return {"V": np.sqrt(np.maximum(v, 0)), "loss": loss, "gap": branchflow.cone_gap(plan)}

    def _setpoint(self, u, available):
        f = self.fleet
        p, q, p_ess, q_ess = (u[part] for part in f.parts)
        cap = np.where(p < available - LEAST_CUT * f.rated_mw, np.maximum(p, 0), np.inf)
        return SetPoint(cap, q, p_ess, q_ess)


def _controls(found):
    p_g, q_g, c, d, q_e, *_ = found
    return np.concatenate([p_g, q_g, d - c, q_e], axis=1)


class _Filled:
    """kept.Kept that fills in empty arrays for devices that are not there."""

    def __init__(self, kept, n_h, there):
        self.kept, self.n_h, self.there = kept, n_h, there

    def solve(self):
        value, found = self.kept.solve()
        found = iter(found)
        values = [next(found) if here else np.zeros((self.n_h, 0)) for here in self.there]
        return value, [*values, *found]


def sensitivities(fleet, dV_dp, dV_dq):
    """(n, n_u) change of the voltages [p.u.] per control [MW], [Mvar], from (n, n) per bus."""
    base, at, parts = fleet.feeder.s_base_mva, fleet.at, fleet.parts
    by = [(dV_dp, dV_dq)[k % 2][:, at[part]] for k, part in enumerate(parts)]
    return np.concatenate(by, axis=1) / base


def realised(trace, plan, weights=None, V_min=0.95, V_max=1.05, V_ref=1.0):
    """What a window's objective amounts to in a Trace: the sum over the rolls, each with the mean
    of its steps. Plants count against what they could give; the energy at the end against the
    plan's. Comparable with `value` of a window over the same rolls."""
    w, f, u = weights or Weights(), trace.fleet, trace.u
    reference = np.repeat(plan.u[: len(u) // trace.m], trace.m, axis=0)
    reference[:, f.parts[0]] = trace.available_mw
    beyond = np.maximum(np.maximum(V_min - trace.V, trace.V - V_max), 0)
    over = np.maximum(np.sqrt(trace.ell) / f.feeder.i_max - 1, 0)
    p_ess = u[:, f.parts[2]]
    lost = np.abs(p_ess) * np.where(p_ess < 0, 1 - f.ess["eta_in"], 1 / f.ess["eta_out"] - 1)
    steps = (
        w.deviation * ((trace.V - V_ref) ** 2).sum(axis=1)
        + (u - reference) ** 2 @ w.of(f)
        + w.limit * beyond.max(axis=1)
        + w.current * over.max(axis=1)
        + w.loss * lost.sum(axis=1)
    )
    missed = np.abs(trace.energy[-1] - plan.energy[len(u) // trace.m - 1]).sum()
    return float(steps.sum() / trace.m + w.terminal * missed)
