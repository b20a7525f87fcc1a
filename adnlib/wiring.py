"""Who shares what in ADMM: all copies of all areas in one vector, their centre, checked options.

`admm` (rounds) and `partial` (without waiting) are two iterations on the same wiring. Chapter 09.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .subproblem import step


class AdmmError(ValueError):
    """Areas that do not fit together, or an option that is none; names the culprit."""


@dataclass(frozen=True, eq=False)
class Wiring:
    """Which copy is of what: copies of all areas stand in one vector, one area after the other.

    labels   of the shared quantities          index    (copies,) the label of each copy
    count    (labels,) copies of each          parts    a slice of the copies for each area
    master   an Area, or None                  order    where its labels stand among ours
    """

    labels: tuple
    index: np.ndarray
    count: np.ndarray
    parts: list
    master: object
    order: np.ndarray | None


def wiring(areas, master=None):
    """Wiring of areas; AdmmError for a quantity that one area alone holds without a master."""
    number = {}
    index = np.array([number.setdefault(a, len(number)) for r in areas for a in r.labels], int)
    ends = np.cumsum([0, *(len(r.labels) for r in areas)])
    parts = [slice(a, b) for a, b in pairwise(ends)]
    count = np.bincount(index, minlength=len(number))
    labels, order = tuple(number), None
    if master is not None:
        _same_labels(labels, master)
        order = np.array([number[a] for a in master.labels], int)
    elif (count < 2).any():
        lone = labels[int(np.flatnonzero(count < 2)[0])]
        raise AdmmError(
            f"{lone!r} has one copy only: which other area shares it? (or name a master)"
        )
    return Wiring(labels, index, count, parts, master, order)


def _same_labels(labels, master):
    for a, b, what in ((labels, master.labels, "the master"), (master.labels, labels, "no area")):
        missing = sorted(set(a) - set(b))
        if missing:
            word = "lacks" if what == "the master" else "holds"
            raise AdmmError(f"{what} {word} {missing[0]!r}: areas and master share the same labels")


def by_label(given, default, labels):
    """(labels,) values of a dict by label or by its first word; AdmmError for a name unknown.

    >>> by_label({"v": 2.0, "P 9": 3.0}, 1.0, ("v 9[0]", "P 9[0]", "P 26[0]"))
    array([2., 3., 1.])
    """
    given, used = dict(given or {}), set()
    out = np.full(len(labels), float(default))
    for k, label in enumerate(labels):
        for name in (label, label.split("[")[0], label.split()[0].split("[")[0]):
            if name in given:
                out[k] = given[name]
                used.add(name)
                break
    unknown = sorted(set(map(str, given)) - used)
    if unknown:
        raise AdmmError(
            f"nothing shared is called {unknown[0]!r}; there are {list(labels)[:6]} ..."
        )
    return out


def weights(scale, net):
    """(copies,) weights sigma of the copies; AdmmError unless all are positive."""
    sigma = by_label(scale, 1.0, net.labels)
    for label, value in zip(net.labels, sigma):
        if not 0 < value < np.inf:
            raise AdmmError(f"scale of {label!r} is {value:g}; a weight is a positive number")
    return sigma[net.index]


def first_message(s, start, net):
    """(copies,) message to begin with: s of an earlier run, or flat by label from start."""
    if s is None:
        return by_label(start, 0.0, net.labels)[net.index]
    s = np.array(s, float)
    if s.shape != net.index.shape:
        raise AdmmError(
            f"s has shape {s.shape}, these areas hold {len(net.index)} copies; "
            "give the s of a run of the same areas in the same order"
        )
    return s


def centre(net, s, weight):
    """(z of every copy, reply of the master or None)."""
    z = np.bincount(net.index, s, len(net.labels)) / np.maximum(net.count, 1)
    if net.master is None:
        return z[net.index], None
    rho = np.bincount(net.index, weight, len(net.labels))[net.order]
    own = step(net.master, z[net.order], np.zeros(len(rho)), rho)
    z = np.empty(len(net.labels))
    z[net.order] = own.y
    return z[net.index], own


def agreed(net, z):
    """{label: value} of the shared quantities out of z of every copy."""
    out = np.empty(len(net.labels))
    out[net.index] = z
    return dict(zip(net.labels, map(float, out)))


def largest(a):
    """Max-norm; 0 of nothing."""
    return float(np.abs(a).max(initial=0))


def check(rho, tol, **counts):
    """AdmmError for a penalty, a tolerance or a number of rounds that is none."""
    if not 0 < rho < np.inf:
        raise AdmmError(f"rho is {rho:g}; the penalty is a positive number")
    if not 0 <= tol < np.inf:
        raise AdmmError(f"tol is {tol:g}; residuals are at least 0 (0: run all rounds)")
    for name, count in counts.items():
        if count < 1:
            raise AdmmError(f"{name} is {count}; at least one round is needed")
