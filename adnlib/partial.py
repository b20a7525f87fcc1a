"""ADMM without waiting: each area gets its next message as soon as it has answered.

A straggler holds up every round of the synchronous iteration. Here the answer of area a, to the
message (z, lam) that it was sent, updates a's part of the message vector alone,

    s_a = s_a + damping (y_a - z_a),   then z = mean of the copies, or what the cloud
                                       makes of s,   lam = rho (s - z),

while the others work on what they were sent earlier. It is the iteration of `admm` taken block by
block with old values; it converges for a damping that is small enough for the delays (Peng, Xu,
Yan, Yin, SIAM J. Sci. Comput. 38(5), 2016, 10.1137/15M1024950).
"""

import heapq
from dataclasses import dataclass, field

import numpy as np

from . import admm
from .wiring import (
    AdmmError,
    agreed,
    centre,
    check,
    first_message,
    largest,
    weights,
    wiring,
)


@dataclass(frozen=True, eq=False)
class Partial:
    """What `coordinate` found without waiting.

    answers     (n_areas,) answers used of each area
    clock       when the residuals met tol [s of the carrier: simulated, or real]
    residuals, status, cost, gap_to_central, z, s   as in admm.Result
    history     {"clock", "area", "primal", "dual"}: arrays, an entry an answer
    """

    answers: np.ndarray
    clock: float
    residuals: tuple
    status: str
    cost: float
    gap_to_central: float | None
    z: dict = field(repr=False)
    s: np.ndarray = field(repr=False)
    history: dict = field(repr=False)


class Simulated:
    """Carrier in this process: area k answers after seconds[k] of a simulated clock.

    seconds   a number for each area, or a function of its number k called for each answer
    """

    def __init__(self, areas, seconds):
        self.areas, self.seconds, self.clock, self.queue = areas, seconds, 0.0, []

    def send(self, k, message):
        spent = self.seconds(k) if callable(self.seconds) else self.seconds[k]
        heapq.heappush(self.queue, (self.clock + spent, k, message))

    def next(self):
        """(k, reply) of the area that is ready first; equal times in the order of the areas."""
        self.clock, k, message = heapq.heappop(self.queue)
        return k, admm.step(self.areas[k], *message)

    def close(self):
        self.queue = []


def coordinate(
    carrier,
    areas,
    rho=1.0,
    scale=None,
    damping=1.0,
    tol=1e-3,
    max_answers=10_000,
    start=None,
    s=None,
    central=None,
    master=None,
):
    """Use every answer when it comes, until both residuals are at most tol: Partial.

    carrier    has send(k, message), next() -> (k, reply), clock, close(): Simulated, or
               cloudedge.Carrier on worker processes
    damping    of an answer, in (0, 1]. The whole answer, 1, usually works and has no guarantee:
               the theorem asks for less, the longer the delays. A run that ends with max_answers
               is to be repeated with a smaller one
    The rest is as in admm.coordinate; the carrier is closed at the end, also after an error.
    The residuals are those of admm with the last answer of every area. AdmmError for options.
    """
    if not 0 < damping <= 1:
        raise AdmmError(f"damping is {damping:g}; it lies above 0 and at most at 1")
    check(rho, tol, max_answers=max_answers)
    net = wiring(areas, master)
    weight, s = rho * weights(scale, net) ** 2, first_message(s, start, net)
    try:
        return _run(carrier, net, weight, s, damping, tol, max_answers, central)
    finally:
        carrier.close()


def _run(carrier, net, weight, s, damping, tol, max_answers, central):
    z, own = centre(net, s, weight)
    lam, sent, log = weight * (s - z), {}, []
    y, answered, cost = np.full_like(s, np.inf), np.zeros_like(s), np.zeros(len(net.parts))
    used = np.zeros(len(net.parts), int)

    def post(k):
        i = net.parts[k]
        sent[k] = (z[i], lam[i], weight[i])
        carrier.send(k, sent[k])

    for k in range(len(net.parts)):
        post(k)
    while used.sum() < max_answers:
        k, reply = carrier.next()
        i, (z_sent, lam_sent, _) = net.parts[k], sent[k]
        y[i], cost[k], used[k] = reply.y, reply.cost, used[k] + 1
        answered[i] = lam_sent + weight[i] * (reply.y - z_sent)
        s[i] += damping * (reply.y - z_sent)
        z, own = centre(net, s, weight)
        lam = weight * (s - z)
        primal, dual = largest(y - z), largest(lam - answered)
        log.append((carrier.clock, k, primal, dual))
        if max(primal, dual) <= tol:
            break
        post(k)
    total = float(cost.sum()) + (own.cost if own else 0.0)
    history = {n: np.array(c) for n, c in zip(("clock", "area", "primal", "dual"), zip(*log))}
    return Partial(
        answers=used,
        clock=carrier.clock,
        residuals=(primal, dual),
        status="converged" if max(primal, dual) <= tol else "max_answers",
        cost=total,
        gap_to_central=None if central is None else (total - central) / abs(central),
        z=agreed(net, z),
        s=s,
        history=history,
    )
