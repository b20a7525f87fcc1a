"""The lowcarbon day under other choices (chapter 24): one choice changed at a time.

S1 without plants, S2 with plants, S3 with plants and flexible resources; the model is stated on
the page of the chapter, which compares its own S1, S2, S3 with the row "as chosen" here. The plans
of that row are exported to data/results/lowcarbon/ by `run`.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from adnlib import arma, dispatch, ev, export, powerflow, profiles, read_feeder, scenarios, solve
from adnlib import devices as dev

DEPENDS = [
    "adnlib/arma.py",
    "adnlib/blocks.py",
    "adnlib/branchflow.py",
    "adnlib/certified.py",
    "adnlib/conic.py",
    "adnlib/devices.py",
    "adnlib/dispatch.py",
    "adnlib/ev.py",
    "adnlib/export.py",
    "adnlib/feeder.py",
    "adnlib/flexible.py",
    "adnlib/horizon.py",
    "adnlib/model.py",
    "adnlib/outer.py",
    "adnlib/patterns.py",
    "adnlib/pandapower_net.py",
    "adnlib/powerflow.py",
    "adnlib/profiles.py",
    "adnlib/scenarios.py",
    "adnlib/search.py",
    "adnlib/solve.py",
    "adnlib/switched.py",
    "adnlib/tables.py",
    "adnlib/tieline.py",
    "adnlib/tree.py",
    "data/cases/ev_fleet.toml",
    "data/cases/lowcarbon.toml",
    "data/cases/scenario_paths.toml",
    "data/feeders/ieee123",
    "data/feeders/ieee33",
]
RTOL = 1e-4
SEED, GAP, WORK = 24, 3e-4, 20000
AGREE = 1e-5  # p.u., of the plan's voltages with the exact flow
FOLDER = Path(__file__).parent / "lowcarbon"
EXPORTED = {  # plans of a row to folders of data/results/lowcarbon
    "as chosen": {"S2": "S2", "S3": "S3"},
    "device costs in the objective": {"S3": "S3_devices_inside"},
}
HOURS = np.arange(24)
CASE, FLEET, PATHS = (profiles.read_case(n) for n in ("lowcarbon", "ev_fleet", "scenario_paths"))
ELSEWHERE = {
    "network.feeder": "ieee123", "network.offset": 0, "network.V_max": 1.1, "oltc.k_without": 1.0,
    "oltc.k_start": 1.0, "plants.wind_node": [66, 450], "plants.pv_node": [48, 76],
    "banks.node": [35, 83], "svc.node": [35, 83, 66], "storage.node": [83, 66], "ev.node": 47,
}  # fmt: skip
VARIANTS = [  # name, side (-1 lower, 0 neither, 1 higher), changes
    ("as chosen", 0, {}),
    ("root voltage of S1, S2", -1, {"oltc.k_without": 1.02}),
    ("root voltage of S1, S2: 1.00", 0, {"oltc.k_without": 1.0}),
    ("node numbers as buses", 0, {"network.offset": 0}),
    ("current limit on 1 MVA", 0, {"network.base": 1.0}),
    ("current limit on 100 MVA", 0, {"network.base": 100.0}),
    ("price of loss", -1, {"tariff.loss": 0.0}),
    ("price of loss", 1, {"tariff.loss": 600.0}),
    ("wind of the other copy", 0, {"day.wind": CASE["day.wind_other"]}),
    ("wind and PV", -1, {"day.scale": 0.8}),
    ("wind and PV", 1, {"day.scale": 1.2}),
    ("load", -1, {"day.load_nominal": 3.715 / 0.8}),
    ("load", 1, {"day.load_nominal": 3.715 / 1.1}),
    ("other tariff", 0, {"tariff.hourly": CASE["tariff.other"]}),
    ("export unpaid", 0, {"tariff.p_min": -5.0}),
    ("export at half price", 0, {"tariff.p_min": -5.0, "tariff.sale": 0.5}),
    ("export at full price", 0, {"tariff.p_min": -5.0, "tariff.sale": 1.0}),
    ("carbon price", -1, {"tariff.carbon_price": 0.0}),
    ("carbon price", 1, {"tariff.carbon_price": 0.48}),
    ("0.3 and 0.2 MW by unit", 0,
     {"storage.charge": [0.3, 0.2], "storage.discharge": [0.3, 0.2]}),
    ("storage energy", -1, {"storage.energy": 0.5}),
    ("storage energy", 1, {"storage.energy": 2.0}),
    ("payment for a cut", -1, {"ev.pay_cut": 0.0}),
    ("payment for a cut", 1, {"ev.pay_cut": 1000.0}),
    ("11 positions, 0.95-1.05", 0, {"oltc.k_min": 0.95, "oltc.n_steps": 10}),
    ("OLTC operations", -1, {"oltc.operations": 0}),
    ("OLTC operations", 1, {"oltc.operations": 24}),
    ("OLTC stays at its best tap", 0, {"oltc.k_start": None, "oltc.operations": 0}),
    ("upper voltage limit", -1, {"network.V_max": 1.05}),
    ("upper voltage limit", 1, {"network.V_max": 1.07}),
    ("device costs in the objective", 0, {"on": 1}),
    ("without OLTC", 0, {"out": "OLTC"}),
    ("without compensation", 0, {"out": "S"}),
    ("without storage", 0, {"out": "EES"}),
    ("without flexible vehicles", 0, {"out": "L"}),
    ("base stations", 0, {"more": "stations"}),
    ("ieee123", 0, ELSEWHERE),
    *((f"soft open point {a}-{b}", 0, {"more": (a, b)}) for a, b in CASE["more.sop_ties"]),
]  # fmt: skip


def setting(changes):
    P = {key: entry["value"] for key, entry in CASE.entries.items()}
    return (
        P | {"on": 0, "out": None, "more": None, "day.scale": 1.0, "tariff.hourly": None} | changes
    )


def day(P, rng):
    """(charging (24,) MW, {kind: (24,) MW of one plant}) from the draws of the chapter."""
    f = FLEET
    vehicle = ev.Vehicle(
        f["vehicle.mu"], f["vehicle.sigma"], f["vehicle.mean_h"], f["vehicle.std_h"],
        f["vehicle.kwh_per_km"] * f["vehicle.km_per_unit"], f["vehicle.battery_kwh"],
        f["vehicle.charger_kw"], f["vehicle.efficiency"],
    )  # fmt: skip
    runs = ev.simulate_charging(f["fleet.n_ev"], f["fleet.n_runs"], rng, vehicle, f["fleet.step_h"])
    phi, theta, sigma = (PATHS[f"printed.{k}"] for k in ("phi_repaired", "theta", "sigma"))
    error, output = arma.Arma(phi, theta, sigma / 100 * P["day.rated"]), {}
    for kind in ("wind", "pv"):
        forecast = np.minimum(P[f"day.{kind}"], P["day.rated"])
        paths = arma.simulate(error, P["day.n_before"], 24, rng)
        most = np.where(forecast > 0, P["day.rated"], 0.0)
        many = scenarios.Scenarios(arma.around(forecast, paths, most))
        few = scenarios.forward_selection(many, P["day.n_after"])
        output[kind] = P["day.scale"] * few.mean()
    return runs.mean(axis=0).reshape(24, -1).mean(axis=1), output


def price(P):
    if P["tariff.hourly"] is not None:
        return np.array(P["tariff.hourly"], float)
    peak = ((HOURS >= 9) & (HOURS < 11)) | (HOURS >= 19)
    other = np.where(HOURS < 7, P["tariff.valley"], P["tariff.flat"])
    return np.where(peak, P["tariff.peak"], other)


def at(P, key):
    return [node + P["network.offset"] for node in np.atleast_1d(P[key]).tolist()]


def tie(P, extra=0.0):
    """The line to the grid above; extra: price of the loss beyond the stated one."""
    sale = P["tariff.sale"] * price(P) if P["tariff.p_min"] < 0 else None
    return dev.TieLine(
        price_per_mwh=price(P), sale_per_mwh=sale,
        loss_price_per_mwh=P["tariff.loss"] + extra, p_min_mw=P["tariff.p_min"],
        p_max_mw=P["tariff.p_max"], q_min_mvar=P["tariff.q_min"], q_max_mvar=P["tariff.q_max"],
        carbon_kg_per_mwh=P["tariff.carbon_factor"], carbon_price_per_kg=P["tariff.carbon_price"],
    )  # fmt: skip


def plants(P, output):
    cost = P["on"] * P["plants.cost"]
    return [
        dev.Renewable(bus, output[kind], cost_per_mwh=cost, name=f"{kind} {bus}")
        for kind in ("wind", "pv")
        for bus in at(P, f"plants.{kind}_node")
    ]


def parts(charging):
    """Rigid, transferable (19-21 h) and reducible charging."""
    share, cut = FLEET["flexible.transferable"], FLEET["flexible.reducible"]
    begin, last = FLEET["flexible.begin_h"], FLEET["flexible.last_h"]
    movable, reducible, _ = ev.split(charging, share, cut)
    moved = np.where((begin <= HOURS) & (begin + last > HOURS), movable, 0)
    return charging - moved - reducible, moved, reducible


def resources(P, charging):
    """OLTC, banks, compensators, storage, flexible vehicles."""
    on, start = P["on"], None
    if P["oltc.k_start"] is not None:
        start = round((P["oltc.k_start"] - P["oltc.k_min"]) / P["oltc.k_step"])
    taps = dev.Moves(
        operations_per_day=P["oltc.operations"], cost_per_operation=on * P["oltc.cost"]
    )
    banks = dev.Moves(operations_per_day=P["banks.operations"])
    eta, soc = P["storage.efficiency"], (*P["storage.soc"], P["storage.soc_start"])
    k_min, k_step, n_steps = (P[f"oltc.{k}"] for k in ("k_min", "k_step", "n_steps"))
    found = [dev.TapChanger(k_min, k_step, n_steps, start, moves=taps, name="OLTC")]
    for bus in at(P, "banks.node"):
        cost, groups = on * P["banks.cost"], (P["banks.step"], P["banks.n_steps"])
        found += [dev.CapacitorBank(bus, *groups, moves=banks, cost_per_mvarh=cost,
                                    name=f"SCB {bus}")]  # fmt: skip
    for bus in at(P, "svc.node"):
        found += [dev.StaticVar(bus, *P["svc.q"], on * P["svc.cost"], name=f"SVC {bus}")]
    for bus, c, d in zip(at(P, "storage.node"), P["storage.charge"], P["storage.discharge"]):
        found += [dev.Storage(bus, P["storage.energy"], c, d, eta, eta, *soc,
                              cost_per_mwh=on * P["storage.cost"], name=f"EES {bus}")]  # fmt: skip
    return [d for d in found + vehicles(P, charging) if not d.name.startswith(P["out"] or "-")]


def vehicles(P, charging):
    _, moved, reducible = parts(charging)
    bus, begin, f = at(P, "ev.node")[0], FLEET["flexible.begin_h"], FLEET
    window = f["flexible.cut_begin_h"], f["flexible.cut_end_h"] - 1
    block = moved[begin : begin + f["flexible.last_h"]]
    TL = dev.TransferableLoad(bus, block, wrap=True, usual=begin, name="L transferable",
                              payment_per_mwh=P["ev.pay_transfer"])  # fmt: skip
    RL = dev.ReducibleLoad(
        bus, reducible, f["flexible.cut_factor"], *window, most=P["ev.cut_most"],
        shortest=P["ev.cut_shortest"], longest=P["ev.cut_longest"],
        payment_per_mwh=P["ev.pay_cut"], name="L reducible",
    )  # fmt: skip
    return [TL, RL]


def more(P):
    """Devices of the closing section."""
    if P["more"] is None:
        return []
    if P["more"] != "stations":
        return [dev.SoftOpenPoint(*P["more"], P["more.sop_mva"], P["more.sop_loss"], name="SOP")]
    energy, power, eta = P["more.station_mwh"], P["more.station_mw"], P["storage.efficiency"]
    soc = (P["more.station_reserve"], P["storage.soc"][1], P["more.station_reserve"])
    return [
        dev.Storage(bus, energy, power, power, eta, eta, *soc, exclusive=False,
                    cost_per_mwh=P["storage.cost"], name=f"station {bus}")
        for bus in P["more.station_bus"]
    ]  # fmt: skip


def loads(P, feeder, charging):
    p, q = profiles.loads(feeder, np.array(P["day.load"]) / P["day.load_nominal"])
    p = p.copy()
    p[:, feeder.index(at(P, "ev.node")[0])] += charging / feeder.s_base_mva
    return p, q


def limits(P, feeder):
    i_max = np.minimum(feeder.i_max, np.sqrt(P["network.i_squared"]) * P["network.base"])
    return {"V_min": P["network.V_min"], "V_max": P["network.V_max"], "i_max": i_max}


def exact_plan(P, feeder, devices, load, gap=GAP):
    """(Schedule, extra price of the loss, bound without it, gap to that), the first that is exact.

    None where there is no plan within the limits.
    """
    plan, bound, found = None, np.nan, limits(P, feeder)
    for extra in P["cure.extra_loss"]:
        try:
            plan = dispatch.day_ahead(
                feeder, [tie(P, extra), *devices], None, load=load, objective={"carbon": 1},
                gap=gap, work_limit=WORK, strict=False, **found,
            )  # fmt: skip
        except solve.SolveError as error:
            if "infeasible" in str(error):
                return None
            continue
        bound = plan.bound if extra == 0 else bound
        seen = plan.certificate
        if seen.cone_gap <= 1e-6 and seen.voltage_difference <= AGREE:
            break
    if plan is None:
        return None
    cost = sum(plan.cost[k] for k in ("energy", "carbon", "devices"))
    cost += P["tariff.loss"] * feeder.s_base_mva * plan.plan.p_loss.sum()
    solve.certify(feeder, plan, tol=AGREE, **found)
    return plan, extra, bound, (cost - bound) / abs(cost)


def bill(P, flow, did, paid=0.0):
    """Cost by term [RMB]: flow with p_root, p_loss [MW]; did {device: {quantity: array}}."""

    def total(kind, *quantities):
        mine = [a for name, a in did.items() if name.startswith(kind)]
        return sum(np.abs(a[q]).sum() for a in mine for q in quantities)

    bought = np.maximum(flow.p_root, 0)
    sold = P["tariff.sale"] * price(P) @ np.maximum(-np.asarray(flow.p_root), 0)
    moved = 0
    if "OLTC" in did:
        position = did["OLTC"]["position"]
        first = position[0]
        if P["oltc.k_start"] is not None:
            first = round((P["oltc.k_start"] - P["oltc.k_min"]) / P["oltc.k_step"])
        moved = int((np.abs(np.diff(position, prepend=first)) > 0.5).sum())
    return {
        "energy": price(P) @ bought - sold,
        "loss": P["tariff.loss"] * flow.p_loss.sum(),
        "vehicles": paid,
        "carbon": P["tariff.carbon_price"] * P["tariff.carbon_factor"] * bought.sum(),
        "DG": P["plants.cost"] * (total("wind", "p_mw") + total("pv", "p_mw")),
        "EES": P["storage.cost"] * total("EES", "charge_mw", "discharge_mw"),
        "SCB": P["banks.cost"] * total("SCB", "q_mvar"),
        "SVC": P["svc.cost"] * total("SVC", "q_mvar"),
        "OLTC": P["oltc.cost"] * moved,
    }


def three(P, gap=GAP):
    """{S1: (flow, {}, None), S2 and S3: (plan, devices, exact_plan)} and what they were made of."""
    feeder = read_feeder(P["network.feeder"])
    charging, output = day(P, np.random.default_rng(SEED))
    load = loads(P, feeder, charging)
    plain = powerflow.solve(feeder, -load[0], -load[1], V_root=P["oltc.k_without"])
    fixed = replace(feeder, V_root=P["oltc.k_without"])
    dg = exact_plan(P, fixed, plants(P, output), load, gap)
    rest = loads(P, feeder, parts(charging)[0] if P["out"] != "L" else charging)
    devices = [*plants(P, output), *resources(P, charging), *more(P)]
    full = exact_plan(P, fixed, devices, rest, gap)
    plans = {name: found for name, found in (("S2", dg), ("S3", full)) if found is not None}
    return fixed, {"S1": (plain, {}, None)} | {
        name: (found[0].plan, found[0].devices, found) for name, found in plans.items()
    }, {"S2": load, "S3": rest}  # fmt: skip


def numbers(P, name, flow, did, found):
    """{column: number} of one of S1, S2, S3."""
    own = {} if found is None else found[0].device_cost
    paid = sum(value for device, value in own.items() if device.startswith(("L ", "station")))
    cost = bill(P, flow, did, paid)
    own = sum(cost[k] for k in ("DG", "EES", "SCB", "SVC", "OLTC"))
    row = {
        "cost": sum(cost.values()) - own,
        "device_cost": own,
        "co2_t": P["tariff.carbon_factor"] * np.maximum(flow.p_root, 0).sum() / 1000,
        "loss_mwh": flow.p_loss.sum(),
        "V_low": flow.V.min(),
        "V_high": flow.V.max(),
        "i_most": np.sqrt(flow.ell.max()),
        "i_mean": np.sqrt(np.maximum(flow.ell, 0)).mean(),
    }
    if found:
        for kind in ("wind", "pv"):
            mine = [a for n, a in did.items() if n.startswith(kind)]
            used, there = (sum(a[q].sum() for a in mine) for q in ("p_mw", "available_mw"))
            row[f"{kind}_used"] = used / there
        row |= {"extra": found[1], "bound": found[2], "gap": found[3]}
        row["moves"] = cost["OLTC"] / P["oltc.cost"]
    return {f"{name}_{key}": value for key, value in row.items()}


def one(name, side, changes):
    P = setting(changes)
    feeder, found, load = three(P, GAP if changes else GAP / 3)
    for plan, folder in EXPORTED.get(name, {}).items():
        export.write(FOLDER / folder, feeder, found[plan][2][0], load=load[plan])
    row = {"choice": name, "side": side}
    for plan in found:
        row |= numbers(P, plan, *found[plan])
    print(f"{name}: {row.get('S3_cost', np.nan):.1f} gap {row.get('S3_gap')}", flush=True)
    return row


def run():
    return pd.DataFrame(one(*variant) for variant in VARIANTS)


def one_point():
    """S1 and S2 of the day as chosen, and the bound that the relaxation gives for S3."""
    P, row = setting({"out": "O"}), {}
    feeder = read_feeder(P["network.feeder"])
    charging, output = day(P, np.random.default_rng(SEED))
    load = loads(P, feeder, charging)
    flow = powerflow.solve(feeder, -load[0], -load[1], V_root=P["oltc.k_without"])
    row |= numbers(P, "S1", flow, {}, None)
    fixed = replace(feeder, V_root=P["oltc.k_without"])
    found = exact_plan(P, fixed, plants(P, output), load)
    row |= numbers(P, "S2", found[0].plan, found[0].devices, found)
    close = ("cost", "co2_t", "loss_mwh", "V_low", "V_high", "bound")
    return {"choice": "as chosen", "side": 0}, {
        key: value for key, value in row.items() if key.split("_", 1)[1] in close
    }
