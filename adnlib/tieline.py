"""The line to the grid above: what the feeder draws there, its limits and its price.

Chapter 04 uses it in `dispatch`; a model has one.
"""

from dataclasses import dataclass

import cvxpy as cp
import numpy as np

from .horizon import circle, labelled, ramp


@dataclass(frozen=True, eq=False)
class TieLine:
    """The line to the grid above: prices, capacity, ramps, carbon.

    price_per_mwh   of energy bought, number, (n_t,) or (n_s, n_t) [money];  sale_per_mwh of energy
                    sold, None: the same. A sale dearer than the purchase is refused (not convex)
    loss_price_per_mwh  of losses, on top of their being bought
    p_min_mw (0: no export), p_max_mw, q_min_mvar, q_max_mvar, s_mva: limits of what is drawn
    ramp_mw_per_h, ramp_mvar_per_h: limits of the change, within a scenario
    carbon_kg_per_mwh of energy bought, carbon_price_per_kg
    """

    price_per_mwh: object = 1.0
    sale_per_mwh: object = None
    loss_price_per_mwh: float = 0.0
    p_min_mw: float | None = None
    p_max_mw: float | None = None
    q_min_mvar: float | None = None
    q_max_mvar: float | None = None
    s_mva: float | None = None
    ramp_mw_per_h: float | None = None
    ramp_mvar_per_h: float | None = None
    carbon_kg_per_mwh: float = 0.0
    carbon_price_per_kg: float = 0.0
    name: str = "tie line"

    def limits(self, h, p, q):
        """Labelled constraints on what is drawn: p [MW], q [Mvar], (rows,)."""
        found = {
            "lower limit of p": None if self.p_min_mw is None else p >= self.p_min_mw,
            "upper limit of p": None if self.p_max_mw is None else p <= self.p_max_mw,
            "lower limit of q": None if self.q_min_mvar is None else q >= self.q_min_mvar,
            "upper limit of q": None if self.q_max_mvar is None else q <= self.q_max_mvar,
        }
        if self.ramp_mw_per_h is not None:
            found |= ramp(h, p, self.ramp_mw_per_h, None)
        if self.ramp_mvar_per_h is not None:
            found |= {f"reactive {k}": c for k, c in ramp(h, q, self.ramp_mvar_per_h, None).items()}
        if self.s_mva is not None:
            found["capacity"] = circle(p, q, self.s_mva)
        return labelled(self.name, found)

    def energy_cost(self, h, p):
        """Expected cost of the energy drawn, less the income of what is sold [money]."""
        price = h.given(self.name, "price_per_mwh", self.price_per_mwh)
        if self.sale_per_mwh is None:
            return (h.weight * price) @ p
        sale = h.given(self.name, "sale_per_mwh", self.sale_per_mwh)
        if (sale > price).any():
            at = int(np.argmax(sale > price))
            raise ValueError(
                f"{self.name} pays {sale[at]:g} for energy that costs {price[at]:g} in interval "
                f"{at % h.n_t}: buying to sell would pay without end; lower sale_per_mwh"
            )
        return (h.weight * sale) @ p + (h.weight * (price - sale)) @ cp.pos(p)

    def carbon_cost(self, h, p):
        """Expected cost of the carbon of what is bought [money]; sold energy earns none."""
        rate = self.carbon_kg_per_mwh * self.carbon_price_per_kg
        if self.p_min_mw is not None and self.p_min_mw >= 0:
            return rate * h.expected(p)
        return rate * h.expected(cp.pos(p))
