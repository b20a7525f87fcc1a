"""Optimal power flow of the 123-bus feeder beside DistOPF: reactive power of eight inverters that
minimises r (P^2 + Q^2) / v_root of LinDistFlow, voltages within 0.95 to 1.05.

DistOPF solves unbalanced three-phase feeders; ours are balanced. Its case is the balanced feeder:
each phase has the branch's impedance and the bus's load, no mutual impedances, the regulators at
their ratios, the banks at their shunts. "one phase" gives it phase a alone, the very problem that
ours is, which is its best case; "three phases" is how a feeder would be handed to it. Cases and
tables are made before the clock starts. DistOPF states the problem in CVXPY and solves it with
Clarabel, as ours does ("matrix", the one of its interfaces that needs no further program).

LinDistFlow is affine in the injections: ours asks linflow.lindistflow for the flow without and with
1 p.u. at each inverter, and has a problem in eight variables. "cone" is what this book would take:
the exact branch flow, relaxed, with its losses; it solves a harder problem to a true loss. Set
points and voltages of LinDistFlow are compared first. loss_kw is the exact flow's under the plan.
"""

import cvxpy as cp
import numpy as np
import pandas as pd

from adnlib import branchflow, linflow, powerflow, read_feeder, solve
from benchmarks import peers, timing

FEEDER, LOW, HIGH = "ieee123", 0.95, 1.05
PLACES = ("48", "83", "65", "108", "35", "60", "105", "76")  # those of benchmarks/instances.py
P_MW, S_MVA = 0.1, 0.3
Q_MVAR = float(np.sqrt(S_MVA**2 - P_MW**2))
OURS, CONE = "adnlib, LinDistFlow", "adnlib, cone"
THEIRS = {"a": "DistOPF, one phase", "abc": "DistOPF, three phases"}
AGREE = {"V": 1e-5, "q": 1e-4}  # [p.u.]: interior-point answers of one problem


def steps(small):
    return [("reactive power of 8 inverters, 123 buses", 60, lambda: compare(small))]


def job():
    """(feeder, positions of the inverters, p with their active power)."""
    feeder = read_feeder(FEEDER)
    names = [str(b) for b in feeder.buses]
    at = np.array([names.index(b) for b in PLACES])
    p = feeder.p.copy()
    p[at] += P_MW / feeder.s_base_mva
    return feeder, at, p


# ---------------------------------------------------------------------------------- ours


def by_linear(feeder, at, p):
    """(q of the inverters, V) of the LinDistFlow optimum."""
    q = np.tile(feeder.q, (len(at) + 1, 1))
    q[np.arange(1, len(at) + 1), at] += 1
    flow = linflow.lindistflow(feeder, np.broadcast_to(p, q.shape), q)
    Q, v = flow.Q[0], flow.V[0] ** 2
    to_Q, to_v = (flow.Q[1:] - Q).T, (flow.V[1:] ** 2 - v).T
    u = cp.Variable(len(at))
    loss = cp.sum_squares(cp.multiply(np.sqrt(feeder.r), Q + to_Q @ u))
    limits = [v + to_v @ u >= LOW**2, v + to_v @ u <= HIGH**2, cp.abs(u) <= Q_MVAR]
    solve.solve(cp.Problem(cp.Minimize(loss), limits))
    return u.value, np.sqrt(v + to_v @ u.value)


def by_cone(feeder, at, p):
    u = cp.Variable(len(at))
    place = np.zeros((len(at), feeder.n))
    place[np.arange(len(at)), at] = 1
    P, Q, ell, v = branchflow.variables(feeder)
    model = branchflow.constraints(
        feeder, P, Q, ell, v, p, feeder.q + u @ place, V_min=LOW, V_max=HIGH
    )
    loss = cp.sum(cp.multiply(feeder.r, ell)) / branchflow.total_load(feeder)
    solve.solve(cp.Problem(cp.Minimize(loss), [*model, cp.abs(u) <= Q_MVAR]))
    return u.value, np.sqrt(v.value)


# ---------------------------------------------------------------------------------- theirs


def their_case(feeder, at, phases):
    """distopf.Case of the feeder, one of its phases or three equal ones."""
    import distopf

    ids, up = np.arange(2, feeder.n + 2), feeder.parent + 2
    volts = np.broadcast_to(feeder.v_base_kv, (feeder.n,)) * 1e3 / np.sqrt(3)
    each = lambda name, a: {name.format(x): a * (x in phases) for x in "abc"}  # noqa: E731
    base = {"s_base": 1e6 * feeder.s_base_mva, "phases": phases}
    bus = {"id": np.r_[1, ids], "name": ["root", *map(str, feeder.buses)], "cvr_p": 0.0,
           "bus_type": ["SWING", *["PQ"] * feeder.n], "v_ln_base": np.r_[volts[0], volts],
           "v_min": LOW, "v_max": HIGH, "cvr_q": 0.0} | base  # fmt: skip
    bus |= dict.fromkeys(("v_a", "v_b", "v_c"), float(feeder.V_root))
    bus |= each("pl_{}", np.r_[0, feeder.p_load]) | each("ql_{}", np.r_[0, feeder.q_load])
    branch = {"fb": up, "tb": ids, "type": "line", "name": [f"line {j}" for j in ids]} | base
    branch |= {"status": np.nan, "v_ln_base": volts, "z_base": volts**2 / base["s_base"]}
    for pair in ("ab", "ac", "bc"):
        branch |= {f"r_{pair}": 0.0, f"x_{pair}": 0.0}
    for x in "abc":
        branch |= {f"{z}_{x}{x}": getattr(feeder, z) * (x in phases) for z in "rx"}
    bank, turn = np.flatnonzero(feeder.b_shunt), np.flatnonzero(feeder.ratio != 1)
    cap = {"id": ids[bank], "name": bank.astype(str)} | base | each("q_{}", feeder.b_shunt[bank])
    reg = {"fb": up[turn], "tb": ids[turn]} | base
    for x in "abc":
        reg |= {f"ratio_{x}": feeder.ratio[turn], f"tap_{x}": (feeder.ratio[turn] - 1) / 0.00625}
    gen = {"id": ids[at], "name": PLACES, "control_variable": "Q", "gen_shape": "PV"} | base
    for x in "abc":
        gen |= {f"p_{x}": P_MW, f"q_{x}": 0.0, f"s_{x}_max": S_MVA}
        gen |= {f"q_{x}_max": Q_MVAR, f"q_{x}_min": -Q_MVAR}
    tables = [pd.DataFrame(t) for t in (branch, bus, gen, cap, reg)]
    return distopf.Case(*tables[:2], **dict(zip(("gen_data", "cap_data", "reg_data"), tables[2:])))


def by_distopf(case):
    found = case.run_opf("loss_min", control_variable="Q", wrapper="matrix")
    if not found.converged:
        raise RuntimeError("DistOPF did not converge")
    q = found.reactive_power_generation.set_index("name")["a"]
    V = found.voltages.sort_values("id")["a"]
    return q.loc[list(PLACES)].to_numpy(float), V.to_numpy(float)[1:]


# ---------------------------------------------------------------------------------- measured


def compare(small):
    given = job()
    methods = {OURS: lambda: by_linear(*given), CONE: lambda: by_cone(*given)}
    if peers.installed("distopf"):
        for phases, name in THEIRS.items():
            if not small or phases == "a":
                case = their_case(*given[:2], phases)
                methods[name] = lambda case=case: by_distopf(case)
    feeder, at, p = given
    found = {name: method() for name, method in methods.items()}
    loss = {}
    for name, (q, V) in found.items():
        if name in THEIRS.values():
            for what, a, b in zip("qV", (q, V), found[OURS]):
                off = np.abs(a - b).max()
                assert off <= AGREE[what], f"{name}: {what} differs by {off:.2g} p.u., not timed"
        whole = feeder.q.copy()
        whole[at] += q
        loss[name] = 1e3 * feeder.s_base_mva * float(powerflow.solve(feeder, p, whole).p_loss)
    seconds = timing.alternate(methods, 1 if small else 7)
    note = dict.fromkeys(THEIRS.values(), "matrix interface, Clarabel")
    rows = timing.rows("distopf_speed", feeder.n + 1, 1, seconds, OURS, note=note)
    return [row | {"loss_kw": loss[row["method"]]} for row in rows]


def checks(rows):
    """Nothing is wanted of these ratios: they are told."""
    return [
        (f"{row['method']}: times slower than {OURS}", row["ratio"], "", True)
        for row in rows
        if row["method"] != OURS
    ]
