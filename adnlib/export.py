"""A solved case as files that others can open: CSV tables and a pandapower net of one hour.

Chapters 21 and 24 write theirs to data/results/<case>/. `write` leaves

    setpoints.csv   what every device does, hour by hour [MW], [Mvar], [MWh], positions
    voltages.csv    voltage of every bus, hour by hour [p.u.]
    summary.csv     quantity, value, unit: cost by term, bound and gap, certificate, energies
    net.json        pandapower net of one hour; pandapower's own power flow gives our voltages

`read` takes them in again, `check` runs that power flow and says how far apart the two are.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

TABLES = ("setpoints", "voltages", "summary")


class Exported(NamedTuple):
    """A case read again: three DataFrames, the pandapower net, the hour of its flow."""

    setpoints: pd.DataFrame
    voltages: pd.DataFrame
    summary: pd.DataFrame
    net: object
    hour: float


def write(folder, feeder, schedule, hour=None, scenario=0, load=None, more=None):
    """Write a dispatch.Schedule to `folder` (made if it is not there); returns the folder.

    hour      of the net, as in schedule.time; None: that of the lowest voltage
    scenario  whose recourse is written
    load      (p, q), each (n_t, n) [p.u.]: shown as loads in the net, all else as generators;
              None: the feeder's own
    more      {quantity: (value, unit)}, further rows of the summary
    ValueError names an hour that the schedule does not have.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    flow = _scenario(schedule.plan, scenario)
    at = _position(schedule.time, hour, flow["V"])
    time = pd.Index(schedule.time, name="hour")
    voltages = pd.DataFrame(flow["V"], time, [str(b) for b in feeder.buses])
    voltages.insert(0, str(feeder.root), flow["V_root"])
    found = {
        "setpoints": schedule.table(scenario),
        "voltages": voltages,
        "summary": _summary(feeder, schedule, flow, at, more).set_index("quantity"),
    }
    for name, table in found.items():
        table.to_csv(folder / f"{name}.csv", float_format="%.8g", lineterminator="\n")
    _write_net(folder / "net.json", hour_feeder(feeder, flow, at, load))
    return folder


def read(folder):
    """Exported of a folder that `write` has made. FileNotFoundError names what is missing."""
    import pandapower as pp

    folder = Path(folder)
    for name in (*(f"{t}.csv" for t in TABLES), "net.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder.name} has no {name}: write the case again")
    tables = [pd.read_csv(folder / f"{t}.csv", index_col=0) for t in TABLES]
    net = pp.from_json(str(folder / "net.json"))
    return Exported(*tables, net, float(tables[-1].loc["hour of the net", "value"]))


def check(exported):
    """Largest |V| between voltages.csv and pandapower's own power flow of the net [p.u.]."""
    import pandapower as pp

    net = exported.net
    pp.runpp(net, algorithm="nr", tolerance_mva=1e-9, trafo_model="t", numba=False)
    ours = exported.voltages.loc[exported.hour]
    theirs = net.res_bus["vm_pu"].set_axis(net.bus["name"].astype(str))
    return float((theirs[ours.index] - ours).abs().max())


def hour_feeder(feeder, flow, at, load=None):
    """The feeder with loads, injections, taps and banks of one hour of a flow.

    flow {name: (n_t, n)} of V_root, p, q, ratio, b_shunt [p.u.]; load as in `write`.
    """
    p_load, q_load = (feeder.p_load, feeder.q_load) if load is None else (a[at] for a in load)
    return replace(
        feeder,
        V_root=float(flow["V_root"][at]),
        ratio=flow["ratio"][at],
        b_shunt=flow["b_shunt"][at],
        p_load=p_load,
        q_load=q_load,
        p_gen=flow["p"][at] + p_load,
        q_gen=flow["q"][at] + q_load,
    )


# ---------------------------------------------------------------------------------- inside


def _scenario(plan, scenario):
    """{name: array over time} of one scenario of a plan."""
    names = ("V", "V_root", "p", "q", "ratio", "b_shunt", "p_loss", "p_root", "q_root", "ell")
    pick = (lambda a: a[scenario]) if plan.V.ndim == 3 else (lambda a: a)
    return {name: pick(np.asarray(getattr(plan, name))) for name in names}


def _position(time, hour, V):
    if hour is None:
        return int(V.min(axis=1).argmin())
    found = np.flatnonzero(np.isclose(time, hour))
    if len(found) == 0:
        raise ValueError(f"hour {hour} is not in the schedule, which has {time[0]} to {time[-1]}")
    return int(found[0])


def _summary(feeder, schedule, flow, at, more):
    s, step_h = feeder.s_base_mva, float(np.diff(schedule.time[:2]).sum() or 1.0)
    certificate = schedule.certificate
    rows = [("hour of the net", schedule.time[at], "h")]
    rows += [(f"cost of {term}", value, "money") for term, value in schedule.cost.items()]
    rows += [(f"cost of {name}", value, "money") for name, value in schedule.device_cost.items()]
    rows += [
        ("objective", schedule.value, "money"),
        ("proven bound", schedule.bound, "money"),
        ("proven gap", schedule.gap, "1"),
        ("cone gap", certificate.cone_gap, "p.u."),
        ("voltage difference to the exact flow", certificate.voltage_difference, "p.u."),
        ("energy drawn", s * step_h * flow["p_root"].sum(), "MWh"),
        ("energy lost", s * step_h * flow["p_loss"].sum(), "MWh"),
        ("lowest voltage", flow["V"].min(), "p.u."),
        ("highest voltage", flow["V"].max(), "p.u."),
        ("largest squared current", flow["ell"].max(), "p.u."),
    ]
    rows += [(name, value, unit) for name, (value, unit) in (more or {}).items()]
    return pd.DataFrame(rows, columns=["quantity", "value", "unit"])


def _write_net(path, feeder):
    import pandapower as pp

    pp.to_json(feeder.to_pandapower(), str(path))
