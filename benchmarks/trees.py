"""Feeders of any size that look like real ones, for timings and for chapters on scale.

Three things are held fixed while the size grows, so that a growth exponent means something:

depth      the longest path has 4 n^(1/3) branches. c n^(1/3) gives c = 5.4, 3.9, 4.2 and 2.8 on
           ieee33, ieee119, ieee123 and sw533 (n = 32, 118, 122, 532 other buses, depths 17, 19, 21,
           23), with 4.0 as the geometric mean. Those four feeders alone would fit an even slower
           growth, about n^(1/8); a third is the cautious side of it. Random trees do otherwise:
           attached to any earlier bus they are log n deep, drawn at random among all trees n^(1/2).
drop       the loads are scaled until the lowest voltage lies `drop` below the source.
statistics branch impedances, loads and branching follow the constants below, which are near the
           medians of the same four feeders. Powers are totals of three phases.
"""

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from adnlib import Feeder, linflow, powerflow

V_KV = 12.0
Z_OHM, Z_SPREAD = 0.25, 0.9  # median of |z|, standard deviation of its logarithm
X_PER_R, X_PER_R_SPREAD = 0.7, 0.5
P_SPREAD = 0.75  # standard deviation of the logarithm of a bus load
NO_LOAD = 0.2  # share of buses without a load
Q_PER_P = (0.3, 0.7)
LATERAL = 2  # mean length of a lateral in branches: a third of the buses ends one


def feeder(n_buses, seed=0, drop=0.06):
    """Radial Feeder with n_buses buses, the root (label 1) included; the same for the same seed.

    drop   largest voltage drop below the source [p.u.], reached to 1e-6; above 0, at most 0.2
    Depth max_depth(n_buses - 1) branches, base 1 MVA, source at 1 p.u., no shunts, no
    transformers, no coordinates. ValueError for a size below 2 or a drop out of range.

    >>> f = feeder(100)
    >>> f.n, int(f.depth.max()), round(float(1 - powerflow.solve(f).V.min()), 5)
    (99, 19, 0.06)
    """
    if n_buses < 2:
        raise ValueError(f"n_buses is {n_buses}; a feeder has a root and at least one other bus")
    if not 0 < drop <= 0.2:
        raise ValueError(f"drop is {drop}; give one above 0 and at most 0.2 p.u.")
    rng = np.random.default_rng([seed, n_buses])
    parent = random_tree(n_buses - 1, rng)
    bus, branch = tables(parent, rng)
    light = Feeder.from_tables(bus, branch)
    bus[["p_mw", "q_mvar"]] *= load_scale(light, drop)
    return Feeder.from_tables(bus, branch, name=f"tree{n_buses}")


def max_depth(n):
    """Branches on the longest path of a generated feeder with n non-root buses: 4 n^(1/3)."""
    return min(n, round(4 * n ** (1 / 3)))


def random_tree(n, rng):
    """(n,) parents, -1 = root, parents first: a trunk of full depth, then laterals.

    A lateral leaves any earlier bus or the root and runs on for a geometric number of branches;
    it stops at the depth of the trunk.
    """
    deepest = max_depth(n)
    parent, depth = list(range(-1, deepest - 1)), list(range(1, deepest + 1))
    while len(parent) < n:
        up = int(rng.integers(-1, len(parent)))
        for _ in range(rng.geometric(1 / LATERAL)):
            below = 1 if up < 0 else depth[up] + 1
            if below > deepest or len(parent) == n:
                break
            parent.append(up)
            depth.append(below)
            up = len(parent) - 1
    return np.array(parent)


def tables(parent, rng):
    """(bus, branch) tables of a tree with random impedances and loads of 1 MW in all."""
    n = len(parent)
    z = Z_OHM * np.exp(Z_SPREAD * rng.standard_normal(n))
    angle = np.arctan(X_PER_R * np.exp(X_PER_R_SPREAD * rng.standard_normal(n)))
    p = np.exp(P_SPREAD * rng.standard_normal(n)) * (rng.random(n) >= NO_LOAD)
    p[np.argmax(p)] += p.sum() == 0  # one load at least
    p /= p.sum()
    q = p * rng.uniform(*Q_PER_P, n)
    bus = pd.DataFrame(
        {"bus": np.arange(1, n + 2), "p_mw": np.r_[0, p], "q_mvar": np.r_[0, q], "v_kv": V_KV}
    )
    branch = pd.DataFrame(
        {
            "from_bus": parent + 2,
            "to_bus": np.arange(2, n + 2),
            "r_ohm": z * np.cos(angle),
            "x_ohm": z * np.sin(angle),
        }
    )
    return bus, branch


def load_scale(feeder, drop):
    """Factor on the loads at which the lowest voltage lies `drop` [p.u.] below the source.

    The flow without losses drops less, so that its factor, known in closed form, is too large.
    """
    fall = 1 - linflow.lindistflow(feeder, 1e-3 * feeder.p, 1e-3 * feeder.q).V.min() ** 2
    most = 1e-3 * (1 - (1 - drop) ** 2) / fall

    def missing(k):
        return 1 - powerflow.solve(feeder, k * feeder.p, k * feeder.q).V.min() - drop

    return brentq(missing, most / 2, most, xtol=1e-9 * most)
