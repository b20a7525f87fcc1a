"""Gaussian copula: a joint model from margins and one correlation matrix of their normal scores.

Chapter 05 derives it. By Sklar's theorem a joint distribution is its margins F_k and a copula C;
the Gaussian copula is that of z = (Phi^-1(F_1(x_1)), ..., Phi^-1(F_d(x_d))) ~ N(0, R). What ties
and atoms (zero and rated output) do is said in adnlib.margins. adnlib.tcopula stands beside it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import ndtr, ndtri

from . import margins as _margins
from .correlation import cholesky, correlation_of, kronecker, repair, shrinkage_weight


@dataclass(frozen=True, eq=False)
class GaussianCopula:
    """Joint model of d quantities; made by `fit`.

    correlation (d, d) R of the normal scores; a degenerate column has a unit row
    degenerate  positions of columns that never varied; constants (d,) their values, NaN elsewhere
    live        positions of the others    margins of the live columns    names of all columns
    moved       Frobenius norm by which positive-definite repair changed the estimate (0: none)
    weight      share of the shrinkage target in R    n_obs samples it was fitted on
    """

    correlation: np.ndarray
    degenerate: tuple
    constants: np.ndarray
    live: np.ndarray
    margins: _margins.Margins
    names: tuple
    moved: float
    weight: float
    n_obs: int

    @property
    def core(self):
        """R of the live columns alone."""
        return self.correlation[np.ix_(self.live, self.live)]

    def uniform(self, samples, rng=None):
        """u = F(x), (n, d), for samples (n, d); degenerate columns get 1/2. rng randomises atoms
        (margins.Margins.uniform). The columns of a DataFrame are found by their names."""
        x = _aligned(samples, self.names)
        u = np.full(x.shape, 0.5)
        u[:, self.live] = self.margins.uniform(x[:, self.live], rng)
        return u

    def sample(self, n, rng):
        """n draws, (n, d): x = F^-1(Phi(L e)), R = L L', e standard normal from rng."""
        return self._values(rng.standard_normal((n, len(self.live))) @ cholesky(self.core).T)

    def _values(self, z):
        out = np.tile(self.constants, (len(z), 1))
        out[:, self.live] = self.margins.quantile(ndtr(z))
        return out

    def log_density(self, u):
        """Log of the copula density, (n,), at u (n, d) in (0, 1); live columns only.

        log c(u) = -1/2 log det R - 1/2 z' (R^-1 - I) z, z = Phi^-1(u).
        ValueError names a column whose u is not inside (0, 1).
        """
        u = np.asarray(u, float)
        if u.ndim != 2 or u.shape[1] != len(self.names):
            raise ValueError(f"u has shape {u.shape}; it needs (n, {len(self.names)})")
        inside = ((u > 0) & (u < 1)).all(axis=0)
        inside[list(self.degenerate)] = True
        if not inside.all():
            name = self.names[int(np.argmin(inside))]
            raise ValueError(f"u of column {name!r} is not inside (0, 1)")
        return log_density(u[:, self.live], self.core)

    def conditional(self, observed):
        """The model given some of its quantities, a `Conditional`.

        observed: {column name or position: value}, or (d,) values with NaN where not observed.
        z_f | z_o ~ N(R_fo R_oo^-1 z_o, R_ff - R_fo R_oo^-1 R_of). ValueError for an unknown
        column, an infinite value (by name: NaN as well), and for a degenerate column observed
        away from its constant.
        """
        values = np.full(len(self.names), np.nan)
        if hasattr(observed, "items"):
            for key, value in observed.items():
                if not np.isfinite(value):
                    raise ValueError(f"column {key!r} is observed at {value}; leave it out")
                values[_position(key, self.names)] = value
        elif np.shape(observed) == values.shape:
            values[:] = observed
        else:
            raise ValueError(f"observed has shape {np.shape(observed)}; it needs {values.shape}")
        if np.isinf(values).any():
            name = self.names[int(np.argmax(np.isinf(values)))]
            raise ValueError(f"column {name!r} is observed at infinity; NaN means not observed")
        for k in self.degenerate:
            if np.isfinite(values[k]) and values[k] != self.constants[k]:
                raise ValueError(
                    f"column {self.names[k]!r} was always {self.constants[k]:g} when the model was "
                    f"fitted; it cannot be {values[k]:g}"
                )
        seen = np.isfinite(values[self.live])
        row = np.where(np.isfinite(values), values, 0.0)[None, self.live]
        z = ndtri(self.margins.uniform(row)[0, seen])
        R = self.core
        gain = np.linalg.solve(R[np.ix_(seen, seen)], R[np.ix_(seen, ~seen)]).T
        covariance = R[np.ix_(~seen, ~seen)] - gain @ R[np.ix_(seen, ~seen)]
        return Conditional(self, values, np.flatnonzero(~seen), gain @ z, covariance)


@dataclass(frozen=True, eq=False)
class Conditional:
    """A GaussianCopula given observed values (d,), NaN where free.

    free        positions of the free quantities among the live ones
    mean, covariance    of their normal scores, (n_free,) and (n_free, n_free)
    """

    model: GaussianCopula
    observed: np.ndarray
    free: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray

    def sample(self, n, rng):
        """n draws, (n, d), the observed columns at their observed values."""
        noise = rng.standard_normal((n, len(self.free))) @ cholesky(self.covariance).T
        return self._filled(self.mean + noise)

    def quantile(self, levels):
        """Quantiles of every quantity alone, (n_levels, d), at levels in (0, 1)."""
        levels = ndtri(np.atleast_1d(levels))[:, None]
        return self._filled(self.mean + levels * np.sqrt(np.diag(self.covariance)))

    def _filled(self, z_free):
        z = np.zeros((len(z_free), len(self.model.live)))
        z[:, self.free] = z_free
        out = self.model._values(z)
        seen = np.isfinite(self.observed)
        out[:, seen] = self.observed[seen]
        return out


def fit(samples, margins="empirical", estimator="scores", structure=None, shrinkage=None,
        shape=None, rng=None):  # fmt: skip
    """Gaussian copula of samples (n_obs, d): an array, or a DataFrame whose columns give names.

    margins    empirical, kernel or beta (adnlib.margins.fit)
    estimator  scores: correlation of z = Phi^-1(u); kendall: sin(pi tau / 2);
               spearman: 2 sin(pi rho / 6). The last two are repaired where they are not positive
               definite, which leaves them nearly singular: useless as densities unless shrunk
    structure  None, or "kronecker": R = R_time (x) R_space for columns that run over shape =
               (n_time, n_space), space fastest (function kronecker)
    shrinkage  None, a weight in [0, 1], or "auto": R = (1 - weight) R_estimate + weight target,
               target = I or the structure's matrix; auto is the weight of Schaefer and Strimmer
               (Stat. Appl. Genet. Mol. Biol. 4, 2005, 10.2202/1544-6115.1175), which has the
               squared error of R in mind; what it leaves out is in correlation.shrinkage_weight
    rng        None: ties at the middle of their step; a generator spreads them over it
    Columns that never vary stay outside the correlation and are listed in `degenerate`. ValueError
    names a column with NaN and a name that comes twice; says so when all columns are constant, and
    when there are no more samples than live columns and neither structure nor shrinkage is given.
    Source: Nelsen, An Introduction to Copulas, 2006, 10.1007/0-387-28678-0.

    >>> model = fit([[1, 5, 0], [2, 6, 0], [3, 8, 0], [4, 7, 0]], estimator="kendall")
    >>> float(model.correlation[0, 1].round(4)), model.degenerate  # tau = 4/6
    (0.866, (2,))
    """
    x, names = _checked(samples)
    varies = np.ptp(x, axis=0) > 0
    live = np.flatnonzero(varies)
    _enough(x, live, structure, shrinkage)
    fitted = _margins.fit(x[:, live], margins)
    u = fitted.uniform(x[:, live], rng)
    estimate, moved = correlation_of(u, estimator), 0.0
    if estimator != "scores":  # before shrinkage, which then leaves no eigenvalue near zero
        estimate, moved = repair(estimate)
    target = np.eye(len(live))
    if structure is not None:
        time, space = kronecker(estimate, _shape(structure, shape, x.shape[1]), live)
        target = np.kron(time, space)[np.ix_(live, live)]
    weight = _weight(structure, shrinkage, u, estimate, target)
    core, more = repair((1 - weight) * estimate + weight * target)
    correlation = np.eye(x.shape[1])
    correlation[np.ix_(live, live)] = core
    return GaussianCopula(
        correlation=correlation,
        degenerate=tuple(int(k) for k in np.flatnonzero(~varies)),
        constants=np.where(varies, np.nan, x[0]),
        live=live,
        margins=fitted,
        names=names,
        moved=moved + more,
        weight=weight,
        n_obs=len(x),
    )


def log_density(u, correlation):
    """Log density (n,) of the Gaussian copula with matrix R (d, d) at u (n, d) in (0, 1).

    >>> R = np.array([[1, 0.6], [0.6, 1]])  # at the middle 1 / sqrt(1 - 0.36)
    >>> float(np.exp(log_density(np.array([[0.5, 0.5]]), R))[0].round(6))
    1.25
    """
    z, L = ndtri(u), cholesky(correlation)
    white = solve_triangular(L, z.T, lower=True)
    return -np.log(np.diag(L)).sum() - 0.5 * ((white**2).sum(axis=0) - (z**2).sum(axis=1))


# ---------------------------------------------------------------------------------- inside


def _checked(samples):
    names = getattr(samples, "columns", None)
    x = np.asarray(samples, float)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"samples have shape {x.shape}; a copula needs (n_obs, d)")
    names = tuple(range(x.shape[1]) if names is None else names)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"column {twice!r} comes twice; rename or drop one")
    finite = np.isfinite(x).all(axis=0)
    if not finite.all():
        column = int(np.argmin(finite))
        row = int(np.argmin(np.isfinite(x[:, column])))
        raise ValueError(
            f"column {names[column]!r} is {x[row, column]} in row {row}; drop or fill such rows"
        )
    return x, names


def _aligned(samples, names):
    """x (n, d) with the columns of a DataFrame in the order of the model's names; a model fitted on
    an array has none, and takes columns by position."""
    x, given = _checked(samples)
    if hasattr(samples, "columns") and given != names:
        missing = [name for name in names if name not in given]
        if not missing:
            x = x[:, [given.index(name) for name in names]]
        elif names != tuple(range(len(names))):
            raise ValueError(f"samples have no column {missing[0]!r}, the model has")
    if x.shape[1] != len(names):
        raise ValueError(f"samples have {x.shape[1]} columns, the model {len(names)}")
    return x


def _enough(x, live, structure, shrinkage):
    if not len(live):
        raise ValueError(
            f"all {x.shape[1]} columns are constant over {len(x)} samples: there is nothing to fit"
        )
    if len(x) <= len(live) and structure is None and shrinkage is None:
        raise ValueError(
            f"{len(x)} samples are too few for {len(live)} columns that vary: their correlation "
            'matrix is singular; give shrinkage="auto", or structure="kronecker" and shape'
        )


def _shape(structure, shape, d):
    if structure != "kronecker":
        raise ValueError(f"there is no structure {structure!r}; there is 'kronecker'")
    if shape is None or len(shape) != 2 or shape[0] * shape[1] != d:
        raise ValueError(
            f"structure='kronecker' needs shape=(n_time, n_space) with n_time n_space = {d} "
            f"columns, not {shape}"
        )
    return shape


def _weight(structure, shrinkage, u, estimate, target):
    if shrinkage is None:
        return 0.0 if structure is None else 1.0
    if isinstance(shrinkage, str):
        if shrinkage != "auto":
            raise ValueError(f"shrinkage is {shrinkage!r}; give 'auto' or a number in [0, 1]")
        return shrinkage_weight(ndtri(u), estimate, target)
    if not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage is {shrinkage}; a weight lies in [0, 1]")
    return float(shrinkage)


def _position(key, names):
    if key in names:
        return names.index(key)
    if isinstance(key, int) and 0 <= key < len(names):
        return key
    raise ValueError(
        f"there is no column {key!r} in the model; there are {', '.join(map(str, names))}"
    )
