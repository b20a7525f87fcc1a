"""The search behind `certified`: integer points from the relaxation, bounds from duals.

Every point comes from the cone problem with its integers fixed, every bound from a dual: of the
relaxation, or of the linear problems of `outer`. Work is counted, not time, and all ties are broken
by position, so that a run repeats.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from . import conic, outer
from .blocks import Blocks
from .patterns import Patterns

ABSOLUTE = 1e-7  # a difference of value and bound that counts as none: for values about 0
MANY = 4  # blocks from which the network is projected out of the linear problem
AGAIN = 3  # times in a row that the same integers may come back from the blocks' problem
NODES = 200  # of the linear problem that projects


@dataclass(frozen=True, eq=False)
class Outcome:
    """What was found, in the matrices' own sign, without CVXPY's offset; x, z None: none."""

    status: str
    value: float
    bound: float
    x: np.ndarray | None
    z: np.ndarray | None
    time: float
    work: int
    history: tuple


class Search:
    """State of one run on a conic.Model: best point, bound, work, history."""

    def __init__(self, m, start, gap, time_limit, work_limit):
        self.m, self.start, self.gap = m, start, gap
        self.time_limit, self.work_limit = time_limit, work_limit
        self.work, self.history, self.value, self.bound = 0, [], np.inf, -np.inf
        self.x, self.tried, self.duals, self.again = None, set(), [], 0

    def run(self, n):
        """Outcome with the first n columns of the best point."""
        mixed = len(self.m.integer) > 0
        r = conic.relax(self.m, options=conic.TIGHT)
        self.work += r.iterations
        if r.status == "unbounded" and mixed:
            return self.outcome(self.unbounded(), n)
        if r.status != "optimal":
            return self.outcome("no_incumbent" if r.status == "failed" else r.status, n)
        self.bound = r.bound
        if not mixed:
            self.value, self.x = r.value, r.x
        self.note("relax")
        if mixed and self.integers(r) == "infeasible":
            return self.outcome("infeasible", n)
        status = (
            "optimal" if self.closed() else "gap_open" if self.x is not None else "no_incumbent"
        )
        return self.outcome(status, n, None if mixed else r.z)

    def unbounded(self):
        """Status where the relaxation is unbounded: is there any point, without a cost?"""
        m = replace(self.m, c=np.zeros(len(self.m.c)))
        found = Search(m, self.start, self.gap, self.time_limit, self.work_limit).run(0)
        self.work += found.work
        return {"optimal": "unbounded"}.get(found.status, found.status)

    def integers(self, r):
        """All that follows the relaxation r; "infeasible" where that is proven."""
        m = self.m
        self.fixed = conic.Fixed(m, conic.TIGHT)
        blocks = Blocks(m, r.x)
        self.master = blocks if blocks.count >= MANY else outer.Tangents(m)
        self.patterns = Patterns(blocks, r.x) if self.master is blocks else None
        self.learn(r.z)
        rounded = np.round(r.x[m.integer])
        self.attempt(np.clip(rounded, m.low[m.integer], m.high[m.integer]), "round")
        if not self.stop():
            self.attempt(self.project(r), "project")
        if self.master is blocks:
            self.weigh(r.x[blocks.device])
            if self.close() == "infeasible":
                return "infeasible"
            if self.stop():
                return None
            self.master, self.patterns = outer.Tangents(m), None
            for z in self.duals:
                self.master.add(z)
        return self.close()

    # ------------------------------------------------------------------------------ points

    def attempt(self, y, phase):
        """The cone problem at the integers y, and the cuts of its dual."""
        key = None if y is None else tuple(y.astype(int))
        if key is None or key in self.tried:
            return
        self.tried.add(key)
        a = self.fixed.solve(y)
        self.work += a.iterations
        if a.status in ("optimal", "infeasible") and a.z.any():
            self.learn(a.z, ray=a.status == "infeasible")
        if a.status == "optimal" and a.value < self.value:
            self.value, self.x = a.value, a.x
        self.note(phase)

    def project(self, r):
        problem, position = projection(self.m, r)
        found = problem.solve(0.02, NODES if self.left() is None else min(NODES, self.left()))
        self.work += found.work
        return None if found.x is None else np.round(found.x[position])

    def weigh(self, x):
        """Pattern cuts: every device at the pattern in each block next to the relaxation's, and at
        the second where the first was worth it."""
        price = self.patterns.slopes[0]
        for device in self.patterns.devices:
            for rank in (0, 1):
                if self.stop() or not self.probe(device, rank, x, price):
                    break
        self.patterns.cut(price)
        self.note("weigh")

    def probe(self, device, rank, x, price):
        """Planes from the blocks with a device at the pattern of a rank; whether they were news."""
        patterns = self.patterns
        pick = patterns.nearest(x, device, rank)
        before = patterns.worth(device, pick, price)
        status, z, work = patterns.probe(device, pick, price)
        self.work += work
        if status in ("optimal", "infeasible"):
            self.learn(z, ray=status == "infeasible")
        gain = patterns.worth(device, pick, price) - before
        return status != "optimal" or gain > 0.05 * self.gap * abs(self.bound)

    def look(self, seen):
        """Cuts from the network where it sees the devices so."""
        status, z, work = self.master.evaluate(seen)
        self.work += work
        if status in ("optimal", "infeasible"):
            self.learn(z, ray=status == "infeasible")

    def learn(self, z, ray=False):
        self.duals.append(z)
        self.master.add(z, ray)
        if self.patterns is not None and not ray:
            self.patterns.learn(z)

    # ------------------------------------------------------------------------------ bounds

    def close(self):
        """Linear problems, each cut where the last one's integers were tried, until done."""
        while not self.stop():
            aim = self.aim()
            found = self.master.linear.solve(
                aim, self.left(), self.seconds(), self.cutoff(), points=aim > self.gap / 2
            )
            self.work += found.work
            self.bound = max(self.bound, min(found.bound, self.value))
            self.note("bound")
            if found.status == "infeasible" and self.x is None:
                return "infeasible"
            if found.x is None or not self.learnt(found.x):
                return None
        return None

    def learnt(self, x):
        """Try the integers of a linear problem's point x; False where nothing new comes of it."""
        known, y = len(self.duals), self.master.integers(x)
        new = tuple(y.astype(int)) not in self.tried
        if self.patterns is None:
            cut = self.master.separate(x)
            self.attempt(y, "fix")
            return cut or new
        self.attempt(y, "fix")
        if len(self.duals) == known:
            self.look(self.master.N @ x[: len(self.master.device)])
        self.patterns.cut(self.patterns.slopes[-1])
        self.again = 0 if new else self.again + 1
        return len(self.duals) > known and self.again < AGAIN

    def cutoff(self):
        """Value below which points are looked for: to find none proves the gap."""
        return self.value - 0.9 * max(self.gap * abs(self.value), ABSOLUTE)

    def aim(self):
        """Gap of the next linear problem: a part of what is open, at last of what is asked for."""
        if self.x is None:
            return 0.01
        wide = (self.value - self.bound) / max(abs(self.value), 1e-9) / 4
        return max(min(wide, 0.01), self.gap / 3, 1e-9)

    def closed(self):
        if self.x is None:
            return False
        return self.value - self.bound <= max(self.gap * max(abs(self.value), 1e-9), ABSOLUTE)

    def stop(self):
        spent = self.work_limit is not None and self.work >= self.work_limit
        late = self.time_limit is not None and self.seconds() <= 0
        return self.closed() or spent or late

    def left(self):
        return None if self.work_limit is None else max(self.work_limit - self.work, 1)

    def seconds(self):
        if self.time_limit is None:
            return None
        return self.start + self.time_limit - time.perf_counter()

    # ------------------------------------------------------------------------------ records

    def note(self, phase):
        self.bound = min(self.bound, self.value)
        now = time.perf_counter() - self.start
        self.history.append((now, self.work, phase, self.value, self.bound))

    def outcome(self, status, n, z=None):
        value, bound, x = self.value, self.bound, None
        if status in ("infeasible", "unbounded"):
            value = bound = np.inf if status == "infeasible" else -np.inf
        elif self.x is None:
            value = np.nan
        else:
            x = self.x[:n]
        now = time.perf_counter() - self.start
        return Outcome(status, value, bound, x, z, now, self.work, tuple(self.history))


def projection(m, r):
    """(outer.Linear, positions of the integers): integers near the relaxation r.

    Kept are the rows without continuous columns of cones. The other rows say what the network
    sees of the devices; its displacement, weighted by the prices z of the rows, is least.
    """
    n, k = len(m.c), m.n_linear
    is_int, in_cone = np.zeros(n, bool), np.zeros(n, bool)
    is_int[m.integer] = True
    in_cone[m.A[k:].indices] = True
    mine = np.flatnonzero(is_int | ~in_cone)
    seen = abs(m.A) @ (in_cone & ~is_int).astype(float) > 0
    seen[k:] = True
    part = m.A[:, mine]
    hard, soft = np.flatnonzero(~seen), np.flatnonzero(seen & (np.diff(part.indptr) > 0))
    price, size = abs(r.z[soft]), len(soft)
    weight = price / max(price.max(initial=0), 1e-12) + 1e-3
    eye, target = sp.eye_array(size), part[soft] @ r.x[mine]
    A = sp.vstack([
        sp.hstack([part[hard], sp.csr_array((len(hard), 2 * size))]),
        sp.hstack([part[soft], -eye, eye]),
    ])  # fmt: skip
    lower = np.r_[np.where(hard < m.n_zero, m.b[hard], -np.inf), target]
    zero, far = np.zeros(2 * size), np.full(2 * size, np.inf)
    position = np.flatnonzero(is_int[mine])
    problem = outer.Linear(
        np.r_[np.zeros(len(mine)), weight, weight], A, lower, np.r_[m.b[hard], target],
        np.r_[m.low[mine], zero], np.r_[m.high[mine], far], position,
    )  # fmt: skip
    return problem, position
