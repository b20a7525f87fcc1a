"""Safeguarded Anderson acceleration (type II) of a fixed-point iteration s -> T(s).

With the last residuals g_i = T(s_i) - s_i it takes the weights a, summing to 1, for which
|sum a_i g_i| is least, and goes to sum a_i T(s_i). Anderson, J. ACM 12(4), 1965,
10.1145/321296.321305; with a safeguard for averaged maps: Fu, Zhang, Boyd, SIAM J. Sci. Comput.
42(6), 2020, 10.1137/19M1290097. Chapter 09.
"""

import numpy as np

RIDGE = 1e-10  # on the squared differences of residuals, relative: near-dependent ones do no harm


class Anderson:
    """Memory of an accelerated iteration; memory = 0 leaves it plain.

    The safeguard: an averaged map never makes the residual larger from one plain step to the next.
    An accelerated point whose residual is larger than that of the point before is given up for the
    plain step from there, and the memory is cleared.
    """

    def __init__(self, memory):
        self.memory = memory
        self.points = []  # (T(s), g) of the last accepted points, g in scaled units
        self.jumped = False

    def next(self, s, plain, scale=1.0):
        """(next point, whether s was kept), given plain = T(s); scale (len(s),): of the norm.

        >>> T, s, path = (lambda s: 0.5 * s + np.array([1.0, 2.0])), np.zeros(2), Anderson(2)
        >>> for _ in range(3):
        ...     s, kept = path.next(s, T(s))
        >>> print(s.round(6), kept)                     # the fixed point of a linear map
        [2. 4.] True
        """
        if not self.memory:
            return plain, True
        g = scale * (plain - s)
        if self.jumped and np.linalg.norm(g) > np.linalg.norm(self.points[-1][1]):
            back = self.points[-1][0]
            self.points, self.jumped = [], False
            return back, False
        self.points = [*self.points, (plain, g)][-self.memory - 1 :]
        self.jumped = len(self.points) > 1
        return (self._mixed() if self.jumped else plain), True

    def _mixed(self):
        """sum a_i T(s_i), the a_i by least squares on differences of residuals."""
        T, g = (np.array(a) for a in zip(*self.points))
        dT, dg = np.diff(T, axis=0), np.diff(g, axis=0)
        gram = dg @ dg.T
        gram[np.diag_indices_from(gram)] += RIDGE * max(np.trace(gram), 1e-300)
        return T[-1] - np.linalg.solve(gram, dg @ g[-1]) @ dT
