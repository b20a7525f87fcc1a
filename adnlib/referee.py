"""Other programs on the same feeder: second opinions on the exact power flow.

power-grid-model (C++, Newton's method on the admittance matrix) shares no line with
adnlib.powerflow. Chapter 01 and the tests compare the two.
"""

import numpy as np


def power_grid_model(feeder, p=None, q=None, tol=1e-11, x_pair=1e-3):
    """(V, theta, s_root) of the feeder by power-grid-model.

    p, q    net injection [p.u.], (n,) or (n_t, n), None = the feeder's own
    tol     largest voltage change of its last Newton step [p.u.]
    x_pair  an ideal regulator needs an impedance there: it gets j x_pair [p.u.] and a line of
            -j x_pair behind it, which cancel
    V [p.u.] and theta [rad, against the root] have the shape of p; s_root = p_root + j q_root.
    """
    p, q = np.broadcast_arrays(feeder.p if p is None else p, feeder.q if q is None else q)
    model, load = pgm_model(feeder, x_pair)
    change = _pgm_table("update", "sym_load", np.atleast_2d(p).shape, id=load["id"][: feeder.n])
    change["p_specified"] = -1e6 * feeder.s_base_mva * p
    change["q_specified"] = -1e6 * feeder.s_base_mva * q
    out = model.calculate_power_flow(
        update_data={"sym_load": change}, error_tolerance=tol, max_iterations=50
    )
    node, source = out["node"], out["source"][..., 0]
    V, theta = node["u_pu"], node["u_angle"]
    s_root = (source["p"] + 1j * source["q"]) / (1e6 * feeder.s_base_mva)
    n = feeder.n
    return (
        V[:, :n].reshape(p.shape),
        (theta[:, :n] - theta[:, [n]]).reshape(p.shape),
        s_root.reshape(p.shape[:-1])[()],
    )


def pgm_model(feeder, x_pair=1e-3):
    """(PowerGridModel, its load table): node k is bus k, node n the root, loads likewise."""
    from power_grid_model import PowerGridModel

    n, watts, top = feeder.n, 1e6 * feeder.s_base_mva, feeder.root_bus
    z_base = (1e3 * feeder.v_base_kv) ** 2 / watts
    ideal = np.flatnonzero((feeder.r == 0) & (feeder.x == 0))
    nodes = n + 1 + len(ideal)
    volts = 1e3 * np.r_[feeder.v_base_kv, top.v_base_kv, feeder.v_base_kv[ideal]]
    ahead, behind = np.where(feeder.parent < 0, n, feeder.parent), np.arange(n)
    behind[ideal] = np.arange(n + 1, nodes)
    z = (feeder.r + 1j * feeder.x) * z_base
    z[ideal] = 1j * x_pair * z_base[ideal]
    z = np.r_[z, -z[ideal]]
    siemens = watts / volts[: n + 1] ** 2
    at = np.arange(n + 1)
    load = _pgm_table(
        "input", "sym_load", n + 1, id=at + 3 * nodes, node=at, status=1, type=0,
        p_specified=watts * np.r_[-feeder.p, top.p_load - top.p_gen],
        q_specified=watts * np.r_[-feeder.q, top.q_load - top.q_gen],
    )  # fmt: skip
    branch = _pgm_table(
        "input", "generic_branch", len(z), id=np.arange(len(z)) + nodes, from_status=1,
        from_node=np.r_[ahead, behind[ideal]], to_node=np.r_[behind, ideal], to_status=1,
        r1=z.real, x1=z.imag, g1=0, b1=0, theta=0, sn=watts,
        k=np.r_[1 / feeder.ratio, np.ones(len(ideal))],
    )  # fmt: skip
    shunt = _pgm_table(
        "input", "shunt", n + 1, id=at + 4 * nodes, node=at, status=1, g0=0, b0=0,
        g1=siemens * np.r_[feeder.g_shunt, top.g_shunt],
        b1=siemens * np.r_[feeder.b_shunt, top.b_shunt],
    )  # fmt: skip
    source = _pgm_table("input", "source", 1, id=5 * nodes, node=n, status=1,
                        u_ref=feeder.V_root, sk=1e30)  # fmt: skip
    node = _pgm_table("input", "node", nodes, id=np.arange(nodes), u_rated=volts)
    tables = {"node": node, "generic_branch": branch, "sym_load": load, "shunt": shunt,
              "source": source}  # fmt: skip
    return PowerGridModel(tables), load


def _pgm_table(direction, kind, shape, **columns):
    from power_grid_model import initialize_array

    rows = initialize_array(direction, kind, shape)
    for name, column in columns.items():
        rows[name] = column
    return rows
