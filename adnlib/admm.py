"""ADMM: areas that keep their models agree on what they share, with a cloud or among themselves.

Chapter 09 builds it step by step. Area a minimises f_a(x_a) and holds copies y_a of shared
quantities z; with multipliers lam and penalties rho, one for each copy, a round is

    areas    y   = argmin f + lam^T (y - z) + 1/2 sum rho (y - z)^2,  each by itself
    message  s   = z + lam / rho + relax (y - z)             then Anderson acceleration, if asked
    centre   z   = argmin g(z) + 1/2 sum rho (s - z)^2       g = 0: the mean of the copies
    prices   lam = rho (s - z)

Boyd, Parikh, Chu, Peleato, Eckstein, Found. Trends Mach. Learn. 3(1), 2011, 10.1561/2200000016.
"""

from dataclasses import dataclass, field

import numpy as np

from .anderson import Anderson
from .subproblem import Area, Reply, SubproblemError, area, step
from .wiring import AdmmError, agreed, centre, check, first_message, largest, weights, wiring

__all__ = ["AdmmError", "Area", "Reply", "Result", "SubproblemError", "area", "balanced",
           "coordinate", "step"]  # fmt: skip

BALANCED_ROUNDS = 50  # residual balancing then stops, so that the theory of a fixed rho holds


@dataclass(frozen=True, eq=False)
class Result:
    """What `coordinate` found.

    iterations      rounds of area steps, those of rejected accelerations included
    history         {"primal", "dual", "cost", "priced", "rho", "kept", "solver_s"}: arrays, an
                    entry a round
    residuals       (primal, dual) of the last round: max-norms, unscaled
    gap_to_central  (cost - central) / |central|; None without a central value
    status          converged or max_iterations
    cost            of the areas, and of the master
    priced          cost + lam^T (y - z): nearer to the optimum, its error is of second order
    z               {label: value} of the shared quantities
    y, lam, x       copies, their multipliers and whole answers, one array an area
    x_master        answer of the master, None without one
    s               the last message, to start from
    """

    iterations: int
    history: dict = field(repr=False)
    residuals: tuple
    gap_to_central: float | None
    status: str
    cost: float
    priced: float
    z: dict = field(repr=False)
    y: tuple = field(repr=False)
    lam: tuple = field(repr=False)
    x: tuple = field(repr=False)
    x_master: np.ndarray | None = field(repr=False)
    s: np.ndarray = field(repr=False)

    def first(self, tol):
        """Rounds until both residuals were at most tol for the first time; None: never."""
        hit = np.flatnonzero(np.maximum(self.history["primal"], self.history["dual"]) <= tol)
        return int(hit[0]) + 1 if len(hit) else None


def coordinate(
    areas,
    master=None,
    rho=1.0,
    scale=None,
    relax=1.0,
    memory=0,
    balance=False,
    tol=1e-3,
    max_iter=1000,
    start=None,
    s=None,
    central=None,
    run=None,
):
    """Iterate until both residuals are at most tol, or max_iter rounds: Result.

    areas     Areas; copies with the same label are made equal
    master    an Area with a copy of every label: the cloud's own problem. None: nothing but the
              mean of the copies, which neighbours form for themselves
    rho       penalty [cost per p.u.^2]; scale {label, or its first word: sigma} weighs quantities,
              the penalty is rho sigma^2: {"v": 20}
    relax     over-relaxation, 0 < relax < 2;   memory: of Anderson acceleration, 0 = none
    tol       of both residuals; 0 runs all rounds
    balance   residual balancing of rho (He, Yang, Wang, JOTA 106(2), 2000, 10.1023/A:1004603514434)
    start     {label, or its first word: value} of z, else 0;   s: that of an earlier Result
    central   the centralised optimum, for gap_to_central
    run       run(areas, messages) -> replies: who carries out the steps; None: this process

    The residuals are by how much (y, z, lam) miss the conditions of the optimum: primal, the
    largest |y - z|; dual, the largest difference between the new multiplier and the one that the
    area's answer is optimal for [cost per p.u.]. AdmmError names what does not fit together.
    """
    _check(rho, relax, memory, tol, max_iter)
    net = wiring(areas, master)
    sigma = weights(scale, net)
    weight, faster, log, run = rho * sigma**2, Anderson(memory), [], run or _here
    s = first_message(s, start, net)
    z, own = centre(net, s, weight)
    lam = weight * (s - z)
    for k in range(max_iter):
        replies = run(areas, [(z[i], lam[i], weight[i]) for i in net.parts])
        y = np.concatenate([r.y for r in replies])
        answered = lam + weight * (y - z)  # -answered is a slope of f at y
        s, kept = faster.next(s, s + relax * (y - z), np.sqrt(weight))
        before, (z, own) = z, centre(net, s, weight)
        lam = weight * (s - z)
        primal, dual = largest(y - z), largest(lam - answered)
        done = [*replies, own] if own else replies
        cost = sum(r.cost for r in done)
        log.append((primal, dual, cost, cost + lam @ (y - z), rho, kept,
                    sum(r.solver_s for r in done)))  # fmt: skip
        if max(primal, dual) <= tol:
            break
        if balance and k < BALANCED_ROUNDS:
            factor = balanced(sigma * (y - z), weight / sigma * (z - before))
            if factor != 1:
                rho, weight, faster = rho * factor, weight * factor, Anderson(memory)
                s = z + lam / weight
    return _result(net, log, tol, central, z, lam, y, replies, own, s)


def balanced(primal, dual, most=10.0, factor=2.0):
    """Factor on rho that brings two residual vectors nearer: 2, 1/2, or 1 within a ratio of 10.

    >>> balanced([3.0, 4.0], [0.1]), balanced([0.1], [5.0]), balanced([1.0], [2.0])
    (2.0, 0.5, 1.0)
    """
    r, d = np.linalg.norm(primal), np.linalg.norm(dual)
    return factor if r > most * d else 1 / factor if d > most * r else 1.0


# ---------------------------------------------------------------------------------- inside


def _here(areas, messages):
    return [step(one, *message) for one, message in zip(areas, messages)]


def _check(rho, relax, memory, tol, max_iter):
    check(rho, tol, max_iter=max_iter)
    if not 0 < relax < 2:
        raise AdmmError(f"relax is {relax:g}; over-relaxation lies between 0 and 2")
    if memory < 0 or memory != int(memory):
        raise AdmmError(f"memory is {memory:g}; Anderson looks back 0, 1, 2, ... rounds")


def _result(net, log, tol, central, z, lam, y, replies, own, s):
    names = ("primal", "dual", "cost", "priced", "rho", "kept", "solver_s")
    history = {name: np.array(column) for name, column in zip(names, zip(*log))}
    primal, dual, cost, priced = log[-1][:4]
    return Result(
        iterations=len(log),
        history=history,
        residuals=(primal, dual),
        gap_to_central=None if central is None else (cost - central) / abs(central),
        status="converged" if max(primal, dual) <= tol else "max_iterations",
        cost=cost,
        priced=float(priced),
        z=agreed(net, z),
        y=tuple(y[i] for i in net.parts),
        lam=tuple(lam[i] for i in net.parts),
        x=tuple(r.x for r in replies),
        x_master=own.x if own else None,
        s=s,
    )
