"""The zones as the 5-minute layer below a receding-horizon controller.

`fast` makes of a rule of `zones` the function that `mpc.receding_horizon` calls in every step of
its plant: it gets what was measured and returns the change of the set-points. Chapter 14 derives
the rule, chapter 13 the loop. It reads of the fleet: feeder, plants, batteries, at, parts, ess,
q_limits; of what is seen: u, available_mw, energy_before, flow.
"""

from dataclasses import dataclass

import numpy as np

from . import linflow, zones
from .capability import Room, circle, storage_power


@dataclass(frozen=True, eq=False)
class Change:
    """Change of the set-points: plants (n_g,), batteries (n_e,), generation positive."""

    p_gen_mw: np.ndarray
    q_gen_mvar: np.ndarray
    p_ess_mw: np.ndarray
    q_ess_mvar: np.ndarray


def fast(fleet, rule, step_h=1 / 12, damping=1.0, frozen=None):
    """A function of what is measured in a step: Change, or None where no zone is entered.

    rule from zones.stages; frozen (dV_dp, dV_dq), (n, k), plants before batteries [p.u.]: used
    instead of the sensitivities of the present flow. Nothing is remembered between calls.
    """
    n_g = len(fleet.plants)
    renewable = np.arange(n_g + len(fleet.batteries)) < n_g
    at = np.r_[fleet.at[fleet.parts[0]], fleet.at[fleet.parts[2]]]

    def respond(seen):
        if not zones.event(seen.flow.V, rule):
            return None
        push = frozen or zones.columns(linflow.sensitivities(fleet.feeder, seen.flow), at)
        p, q, room = limits(fleet, seen, step_h)
        found = zones.correct(seen.flow.V, p, q, room, renewable, *push, rule, damping)
        dp, dq = (fleet.feeder.s_base_mva * a for a in (found.dp, found.dq))
        return Change(dp[:n_g], dq[:n_g], dp[n_g:], dq[n_g:])

    return respond


def limits(fleet, seen, step_h=1 / 12):
    """(p, q, Room) in p.u. of what the devices of a fleet do and may do, plants first."""
    base, ess = fleet.feeder.s_base_mva, fleet.ess
    p_gen, q_gen, p_ess, q_ess = (seen.u[part] for part in fleet.parts)
    low, high = fleet.q_limits(p_gen)
    small, large = (a * (1 - ess["no_q"]) for a in circle(ess["s_mva"], p_ess))
    least, most = storage_power(
        seen.energy_before, ess["E_min"], ess["E_max"], ess["charge_mw"], ess["discharge_mw"],
        ess["eta_in"], ess["eta_out"], step_h,
    )  # fmt: skip
    s = [plant.s_mva if plant.s_mva and plant.name not in fleet.capability else np.inf
         for plant in fleet.plants]  # fmt: skip
    together = (
        np.r_[low, small], np.r_[high, large], np.r_[np.zeros_like(p_gen), least],
        np.r_[seen.available_mw, most], np.r_[s, ess["s_mva"]],
    )  # fmt: skip
    room = Room(*(a / base for a in together))
    return np.r_[p_gen, p_ess] / base, np.r_[q_gen, q_ess] / base, room
