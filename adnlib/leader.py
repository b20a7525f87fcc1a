"""The steps of a correction, a batch of violated scenarios at once: what `consensus.correct` runs.

A device's change is sigma A y + g z: y pushes the voltage (leader up, followers by A), z restores
the boundary flow. Both are agreed on by the same messages.
"""

from dataclasses import dataclass

import numpy as np

from . import powerflow
from .metropolis import Mailbox


def weights(S, room, leader, zero_sum=True):
    """(A, g): change of each device per unit of y and of z [p.u.], (n_s, n_d).

    g = S / S_leader * room. A is room for the leader and C g for the followers; zero_sum takes the
    C at which all changes cancel, otherwise C = 1.

    >>> A, g = weights(np.array([[0.04, 0.02]]), np.array([[1.0, 1.0]]), np.array([0]))
    >>> A.tolist(), g.tolist()
    ([[1.0, -1.0]], [[1.0, 0.5]])
    """
    lead = np.arange(S.shape[1]) == leader[:, None]
    g = S / (S * lead).sum(axis=1, keepdims=True) * room
    top, rest = (np.where(k, g, 0).sum(axis=1, keepdims=True) for k in (lead, ~lead))
    return np.where(lead, g, (-top / rest if zero_sum else 1.0) * g), g


@dataclass(eq=False)
class Run:
    """Violated scenarios on their way. Lists hold one entry a cluster, active power first."""

    top: int  # bus below the boundary
    e: np.ndarray  # (n_a,) bus to correct
    sign: np.ndarray  # (n_a,) +1 raises its voltage, -1 lowers it
    goal: np.ndarray  # (n_a,) voltage to reach
    reference: np.ndarray  # (n_a, 2) planned P and Q at the boundary
    eta: tuple
    kappa: float
    clusters: tuple
    leader: list  # (n_a,) position in the cluster
    A: list  # (n_a, n_d) change per unit of y
    g: list  # (n_a, n_d) change per unit of z
    lower: list
    upper: list
    X: list  # (n_a, n_d, 2) y and z

    def go(self, feeder, p, q, fixed, tol, most, link, trace):
        """Step until all have settled or `most` is reached; fixed(rows) are options of the flow."""
        n_a, log = len(self.e), []
        result = {"change": [np.zeros(g.shape) for g in self.g], "leader": self.leader}
        result |= {k: np.zeros(n_a, t) for k, t in (("converged", bool), ("steps", int))}
        posts = [Mailbox(c.Z, x.copy(), *link) for c, x in zip(self.clusters, self.X)]
        on = np.arange(n_a)
        for k in range(most + 1 if n_a else 0):
            change = self.changes(on)
            flow = powerflow.solve(feeder, *moved(p[on], q[on], self.clusters, change), **fixed(on))
            U = flow.V[np.arange(len(on)), self.e[on]]
            off = at_boundary(flow, self.top) - self.reference[on]
            error = self.sign[on] * (self.goal[on] - U)
            for whole, d in zip(result["change"], change):
                whole[on] = d
            settled = self.settled(on, error, off, tol)
            result["steps"][on], result["converged"][on] = k, settled
            if trace:
                log.append((*(x.copy() for x in self.X), *change, U, off))
                settled = np.full(len(on), settled.all())
            if settled.all() or k == most:
                break
            if settled.any():
                on, error, off = on[~settled], error[~settled], off[~settled]
                for post in posts:
                    post.keep(~settled)
            self.step(on, error, off, posts)
        held = [
            (d <= lo) | (d >= up) for d, lo, up in zip(result["change"], self.lower, self.upper)
        ]
        return result | {"saturated": np.hstack(held).any(axis=1), "trace": stacked(log)}

    def changes(self, on):
        """Changes of both clusters [p.u.], inside their room."""
        s = self.sign[on, None]
        return [
            np.clip(s * A[on] * X[on, :, 0] + g[on] * X[on, :, 1], lo[on], up[on])
            for X, A, g, lo, up in zip(self.X, self.A, self.g, self.lower, self.upper)
        ]

    def settled(self, on, error, off, tol):
        """Voltage at its goal, or inside with no push left; devices agree; boundary as planned."""
        row, push, apart = np.arange(len(on)), 0.0, 0.0
        for X, i in zip(self.X, self.leader):
            lead = X[on][row, i[on]][:, None]
            push = np.maximum(push, lead[:, 0, 0])
            apart = np.maximum(apart, np.abs(X[on] - lead).max(axis=(1, 2)))
        done = (error <= tol[0]) & ((error >= -tol[0]) | (push <= tol[1])) & (apart <= tol[1])
        return done & (np.abs(off).max(axis=1) <= tol[2]) if self.kappa else done

    def step(self, on, error, off, posts):
        """One message each: followers average, leaders follow the voltage and the boundary."""
        row, sign = np.arange(len(on)), self.sign[on]
        for c, post in enumerate(posts):
            i, old, g = self.leader[c][on], self.X[c][on], self.g[c][on]
            room = g[row, i]
            new = post.exchange(old)
            z = old[row, i, 1] + self.kappa * off[:, c] / g.sum(axis=1)
            y = old[row, i, 0] + self.eta[c] * error / room
            limit = np.where(sign > 0, self.upper[c][on][row, i], -self.lower[c][on][row, i])
            y = np.clip(y, 0, np.maximum(limit / room - sign * z, 0))  # no wind-up at its limit
            new[row, i] = np.stack([y, z], axis=-1)
            self.X[c][on] = new


def moved(p, q, clusters, changes):
    """Injections after the changes of both clusters."""
    out = []
    for a, cluster, d in zip((p, q), clusters, changes):
        out.append(a.copy())
        np.add.at(out[-1], (slice(None), cluster.at), d)
    return out


def at_boundary(flow, top):
    """(..., 2): P and Q into the branch above bus `top`, at its upstream end."""
    return np.stack([flow.P[..., top], flow.Q[..., top]], axis=-1)


def stacked(log):
    """The steps of a traced run as arrays; None without one."""
    if not log:
        return None
    y_p, y_q, d_p, d_q, U, off = (np.array(column) for column in zip(*log))
    both = (y_p, y_q)
    return {"y": [x[..., 0] for x in both], "z": [x[..., 1] for x in both],
            "change": [d_p, d_q], "U": U, "boundary": off}  # fmt: skip


def by_algebra(S, g, leader, eta, D, lift):
    """Fixed weights A: the C that restores boundary and voltage together in the linear model.

    The leaders' droops see the same error, so that their changes are eta_P E and eta_Q E; the
    followers of a cluster take what is left, D - eta E, in proportion to g.
    """
    row = np.arange(len(lift))
    theirs, lead = [], []
    for s, w, i in zip(S, g, leader):
        w = w.copy()
        w[row, i] = 0
        theirs.append((w * s).sum(axis=1) / w.sum(axis=1))
        lead.append(s[row, i])
    gain = sum(n * (a - b) for n, a, b in zip(eta, lead, theirs))
    E = (lift - sum(d * b for d, b in zip(D.T, theirs))) / gain
    A = []
    for k, (w, i) in enumerate(zip(g, leader)):
        top = w[row, i]
        rest = w.sum(axis=1) - top
        C = (D[:, k] - eta[k] * E) * top / (eta[k] * E * rest)
        a = C[:, None] * w
        a[row, i] = top
        A.append(a)
    return A
