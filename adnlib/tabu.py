"""Search for the siting of PV plants and batteries that loses least: Tabu, random, enumeration.

Chapter 11 builds it step by step: Algorithm 1 of the dcvc paper. A siting is two sorted rows of
bus positions; a siting's loss is computed once, and evaluations are counted.
"""

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from . import siting


@dataclass(frozen=True, eq=False)
class Found:
    """Result of a search.

    pv, ess   positions of the devices;  loss: energy lost in the day [p.u. h]
    history   ((evaluations, best loss so far), ...)
    steps     loss of the siting at which the search stood, step by step (Tabu)
    """

    pv: tuple
    ess: tuple
    loss: float
    history: tuple
    steps: tuple = ()

    @property
    def evaluations(self):
        return self.history[-1][0]


def drawn(study, n_pv, n_ess, rng, k=1, allowed=None):
    """(pv (k, n_pv), ess (k, n_ess)): random sitings, each as likely as any other that is allowed.

    allowed(pv, ess) -> (k,) bool; ValueError if none of 100 000 is.
    """
    kept, tried, batch = [], 0, max(k, 64)
    while len(kept) < k:
        rows = [
            tuple(np.sort(rng.permutation(study.sites)[:m]) for m in (n_pv, n_ess))
            for _ in range(batch)
        ]
        pv, ess = (np.array(a) for a in zip(*rows))
        good = np.ones(batch, bool) if allowed is None else allowed(pv, ess)
        kept += [row for row, g in zip(rows, good) if g]
        tried += batch
        if not kept and tried >= 100_000:
            raise ValueError(f"none of {tried} random sitings is allowed; loosen the inner bounds")
    return tuple(np.array(a) for a in zip(*kept[:k]))


def moves(study, pv, ess):
    """All sitings with one device moved: (pv (k, n_pv), ess (k, n_ess), tag, foreseen (k,)).

    tag (k, 3): kind (0 PV, 1 battery), bus left, bus taken. foreseen [p.u. h]: change of the
    quadratic loss if the device took its schedule along, at least what a new dispatch makes of it.
    """
    q, b = (a[0] for a in siting.dispatch(study, pv, ess))
    p_all, q_all = study.p[None].copy(), study.q_seen[None].copy()
    siting.place(p_all, pv, study.pv[None, :, None])
    siting.place(p_all, ess, b[None])
    siting.place(q_all, pv, q[None])
    p_pull, q_pull = p_all[0] @ study.kernel, q_all[0] @ study.kernel
    new_pv, new_ess, tag, foreseen = [], [], [], []
    for kind, mine in ((0, pv), (1, ess)):
        free = np.setdiff1d(study.sites, mine)
        for i, j in enumerate(mine):
            carried = [(study.pv, p_pull), (q[:, i], q_pull)] if kind == 0 else [(b[:, i], p_pull)]
            apart = _apart(study.kernel, j, free)
            gain = sum(2 * d @ (g[:, free] - g[:, [j]]) + d @ d * apart for d, g in carried)
            rows = np.tile(mine, (len(free), 1))
            rows[:, i] = free
            rows = np.sort(rows, axis=1)
            stay = np.tile(ess if kind == 0 else pv, (len(free), 1))
            new_pv.append(rows if kind == 0 else stay)
            new_ess.append(stay if kind == 0 else rows)
            tag.append(np.c_[np.full_like(free, kind), np.full_like(free, j), free])
            foreseen.append(gain * study.step_h)
    return tuple(np.concatenate(a) for a in (new_pv, new_ess, tag, foreseen))


def _apart(kernel, j, free):
    return kernel[free, free] + kernel[j, j] - 2 * kernel[free, j]


def tabu(study, pv, ess, steps, width=None, tenure=10, patience=None, allowed=None):
    """Tabu search from a siting: Found. In each step one device moves, to the best place allowed.

    width     moves that are evaluated in a step, those foreseen best; None: all
    tenure    steps during which a device of that kind may not return to a bus that one left,
              unless the siting is better than all before (Glover 1989, 10.1287/ijoc.1.3.190)
    patience  steps without a new best after which to stop; None: never; 1: plain descent
    allowed   (pv, ess) -> (k,) bool: the inner problem; what it refuses is not evaluated
    """
    pv, ess = (np.sort(np.ravel(a)) for a in (pv, ess))
    known, until, waited = {}, {}, 0
    loss = _known(study, known, pv[None], ess[None])[0]
    best, history, stood = (pv, ess, loss), [(1, float(loss))], [float(loss)]
    for step in range(steps):
        new_pv, new_ess, tag, foreseen = moves(study, pv, ess)
        barred = np.array([until.get((kind, bus), -1) >= step for kind, _, bus in tag])
        order = np.argsort(foreseen, kind="stable")
        order = order[~barred[order] | (loss + foreseen[order] < best[2])]
        order = _first_allowed(order, new_pv, new_ess, allowed, width)
        value = _known(study, known, new_pv[order], new_ess[order])
        value = np.where(barred[order] & (value >= best[2]), np.inf, value)
        if not np.isfinite(value).any():
            break
        at = order[value.argmin()]
        pv, ess, loss = new_pv[at], new_ess[at], value.min()
        until[tag[at, 0], tag[at, 1]] = step + tenure
        waited = 0 if loss < best[2] else waited + 1
        if waited == 0:
            best = (pv, ess, loss)
        stood.append(float(loss))
        history.append((len(known), float(best[2])))
        if waited == patience:
            break
    return _found(*best, history, stood)


def _found(pv, ess, loss, history, steps=()):
    pv, ess = (tuple(int(j) for j in a) for a in (pv, ess))
    return Found(pv, ess, float(loss), tuple(history), tuple(steps))


def _first_allowed(order, pv, ess, allowed, width):
    """The first `width` of `order` that are allowed."""
    if allowed is None:
        return order[:width]
    kept, size = [], max(len(order), 1) if width is None else 2 * width
    for i in range(0, len(order), size):
        part = order[i : i + size]
        kept += list(part[allowed(pv[part], ess[part])])
        if width is not None and len(kept) >= width:
            break
    return np.array(kept[:width], int)


def restarts(study, n_pv, n_ess, evaluations, rng, width=None, allowed=None):
    """Plain descents from random sitings until at least that many evaluations are spent: Found."""
    best, history, spent = None, [], 0
    while spent < evaluations:
        pv, ess = drawn(study, n_pv, n_ess, rng, 1, allowed)
        one = tabu(study, pv, ess, evaluations, width, patience=1, allowed=allowed)
        spent += one.evaluations
        if best is None or one.loss < best[2]:
            best = (one.pv, one.ess, one.loss)
        history.append((spent, best[2]))
    return _found(*best, history)


def _known(study, known, pv, ess):
    """Losses, computed once for each siting."""
    keys = [(*a, -1, *b) for a, b in zip(pv.tolist(), ess.tolist())]
    new = [i for i, key in enumerate(keys) if key not in known]
    known |= {keys[i]: value for i, value in zip(new, siting.losses(study, pv[new], ess[new]))}
    return np.array([known[key] for key in keys])


def random_search(study, n_pv, n_ess, evaluations, rng, allowed=None):
    """Best of `evaluations` random sitings that are allowed: Found."""
    pv, ess = drawn(study, n_pv, n_ess, rng, evaluations, allowed)
    value = siting.losses(study, pv, ess)
    at, lowest = int(value.argmin()), np.minimum.accumulate(value)
    marks = sorted({evaluations, *(int(e) for e in np.geomspace(1, evaluations, 40))})
    return _found(pv[at], ess[at], value[at], [(e, float(lowest[e - 1])) for e in marks])


def enumerated(study, n_pv, n_ess, allowed=None):
    """(pv (k, n_pv), ess (k, n_ess), losses (k,)) of all allowed sitings on study.sites."""
    both = list(product(combinations(study.sites, n_pv), combinations(study.sites, n_ess)))
    pv, ess = (np.array(a, int) for a in zip(*both))
    if allowed is not None:
        good = allowed(pv, ess)
        pv, ess = pv[good], ess[good]
    return pv, ess, siting.losses(study, pv, ess)
