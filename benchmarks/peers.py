"""What one would use instead, set up the way that favours it. A peer that is missing is None."""

from importlib.util import find_spec

import numpy as np


def installed(package):
    return find_spec(package) is not None


# ------------------------------------------------------------------------ power-grid-model


def grid_model(feeder):
    """A power-grid-model of a feeder without ratios and shunts; the slack is stiff."""
    import power_grid_model as pgm

    if (feeder.ratio != 1).any() or feeder.g_shunt.any() or feeder.b_shunt.any():
        raise ValueError(f"{feeder.name}: the model of this benchmark has no ratios and shunts")
    n, part = feeder.n, pgm.ComponentType

    def table(component, rows):
        return pgm.initialize_array(pgm.DatasetType.input, component, rows)

    node, line = table(part.node, n + 1), table(part.line, n)
    load, source = table(part.sym_load, n), table(part.source, 1)
    z_base = feeder.v_base_kv**2 / feeder.s_base_mva
    node["id"] = np.arange(n + 1)
    node["u_rated"] = 1e3 * np.r_[feeder.root_bus.v_base_kv, feeder.v_base_kv]
    line["id"], line["from_node"] = n + 1 + np.arange(n), feeder.parent + 1
    line["to_node"], line["from_status"], line["to_status"] = np.arange(1, n + 1), 1, 1
    line["r1"], line["x1"], line["c1"], line["tan1"] = feeder.r * z_base, feeder.x * z_base, 0, 0
    load["id"], load["node"], load["status"] = 2 * n + 1 + np.arange(n), np.arange(1, n + 1), 1
    load["type"] = pgm.LoadGenType.const_power
    load["p_specified"] = -1e6 * feeder.s_base_mva * feeder.p
    load["q_specified"] = -1e6 * feeder.s_base_mva * feeder.q
    source["id"], source["node"], source["status"] = 3 * n + 1, 0, 1
    source["u_ref"], source["sk"], source["rx_ratio"] = feeder.V_root, 1e20, 0.0
    return pgm.PowerGridModel(
        {part.node: node, part.line: line, part.sym_load: load, part.source: source},
        system_frequency=50.0,
    )


def grid_update(feeder, p, q):
    """The batch (m, n) of injections as its update data, made beforehand and not timed."""
    import power_grid_model as pgm

    kind = pgm.ComponentType.sym_load
    update = pgm.initialize_array(pgm.DatasetType.update, kind, p.shape)
    update["id"] = 2 * feeder.n + 1 + np.arange(feeder.n)
    update["p_specified"] = -1e6 * feeder.s_base_mva * p
    update["q_specified"] = -1e6 * feeder.s_base_mva * q
    return {kind: update}


def grid_flow(model, update=None, method="newton_raphson", tol=1e-10):
    """Voltage magnitudes (m, n) or (n,): one thread, node voltages the only output."""
    import power_grid_model as pgm

    more = {} if update is None else {"update_data": update, "threading": -1}
    node = pgm.ComponentType.node
    out = model.calculate_power_flow(
        symmetric=True,
        error_tolerance=tol,
        max_iterations=50,
        calculation_method=getattr(pgm.CalculationMethod, method),
        output_component_types={node: ["u_pu"]},
        **more,
    )
    return out[node]["u_pu"][..., 1:]


# ------------------------------------------------------------------------ pandapower


def pandapower_loop(feeder, p, q):
    """(run, numba): run(k) writes row k of (m, n) into the load table, solves, and returns V (n,).

    The net keeps every bus's load, so that a scenario is two assignments and one runpp.
    """
    import pandapower as pp

    numba = installed("numba")
    net = feeder.to_pandapower()
    labels = [int(bus) for bus in feeder.buses]
    at = np.array([feeder.index(bus) for bus in net.load["bus"]])
    idle = np.setdiff1d(np.arange(feeder.n), at)
    if np.any(p[:, idle]) or np.any(q[:, idle]) or feeder.p_gen.any() or feeder.q_gen.any():
        raise ValueError(f"{feeder.name}: the loop varies loads, and only where the feeder has one")
    p_mw, q_mvar = -feeder.s_base_mva * p[:, at], -feeder.s_base_mva * q[:, at]

    def run(k):
        net.load["p_mw"], net.load["q_mvar"] = p_mw[k], q_mvar[k]
        pp.runpp(net, numba=numba)
        return net.res_bus["vm_pu"].loc[labels].to_numpy()

    return run, numba
