"""Correlation matrices of a copula: three estimates, repair, Kronecker structure, shrinkage.

Chapter 05 derives them; adnlib.copula.fit puts them together.
"""

import numpy as np
from scipy.special import ndtri

ESTIMATORS = ("scores", "kendall", "spearman")
FLOOR = 1e-6  # least eigenvalue of a repaired correlation matrix


def correlation_of(u, estimator="scores"):
    """(d, d) correlation of the normal scores of u (n, d) in (0, 1), by one of three estimates;
    with kendall and spearman not always positive definite (repair)."""
    if estimator == "scores":
        return np.corrcoef(ndtri(u), rowvar=False).reshape((u.shape[1],) * 2)
    if estimator == "kendall":
        return np.sin(np.pi / 2 * kendall(u))
    if estimator == "spearman":
        return 2 * np.sin(np.pi / 6 * spearman(u))
    raise ValueError(f"there is no estimator {estimator!r}; there are {', '.join(ESTIMATORS)}")


def kendall(u):
    """(d, d) Kendall's tau-b of the columns of u (n, d): concordant less discordant pairs over
    the geometric mean of the pairs that are not tied in one and in the other column. ValueError
    for a column that is constant or not finite (spearman alike).

    >>> kendall(np.array([[1.0, 1.0], [2.0, 3.0], [3.0, 2.0]]))[0, 1].round(4)
    np.float64(0.3333)
    """
    u = _varying(u)
    total = np.zeros((u.shape[1],) * 2)
    for lag in range(1, len(u)):
        sign = np.sign(u[lag:] - u[:-lag])
        total += sign.T @ sign
    untied = np.sqrt(np.diag(total))
    return total / np.outer(untied, untied)


def spearman(u):
    """(d, d) Spearman's rank correlation of the columns of u (n, d), ties at their mean rank."""
    from scipy.stats import rankdata

    return np.corrcoef(rankdata(_varying(u), axis=0), rowvar=False).reshape((u.shape[1],) * 2)


def repair(correlation, floor=FLOOR, max_steps=2000):
    """(R, moved): the nearest correlation matrix with eigenvalues of `floor` and more.

    Alternating projections with Dykstra's correction, Higham, IMA J. Numer. Anal. 22, 2002,
    10.1093/imanum/22.3.329; moved is the Frobenius norm of the change, 0 if none was needed.
    A repaired matrix is nearly singular: its least eigenvalue is about `floor`, and its density
    away from the data next to none; shrink it afterwards. ValueError for NaN.

    >>> R, moved = repair(np.array([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]]))
    >>> R.round(3).tolist()[0], round(moved, 4)
    ([1.0, 0.5, -0.5], 0.9798)
    """
    if not np.isfinite(correlation).all():
        raise ValueError("the matrix is not finite; is there a column that is constant or NaN?")
    if np.linalg.eigvalsh(correlation)[0] >= floor:
        return correlation, 0.0
    X, correction = correlation, np.zeros_like(correlation)
    for _ in range(max_steps):
        held = X - correction
        lifted = raised(held, 1.01 * floor)
        correction = lifted - held
        new = lifted.copy()
        np.fill_diagonal(new, 1.0)
        step, X = np.linalg.norm(new - X), new
        if step <= 1e-9:
            break
    X = raised(X, 1.01 * floor)
    scale = np.sqrt(np.diag(X))
    X = X / np.outer(scale, scale)
    np.fill_diagonal(X, 1.0)
    return X, float(np.linalg.norm(X - correlation))


def kronecker(correlation, shape, live=None, max_steps=200):
    """(R_time, R_space), both unit-diagonal and positive definite, whose Kronecker product comes
    near a correlation matrix of columns over shape = (n_time, n_space), space fastest.

    live: the columns that `correlation` covers (None: all); least squares over what is covered,
    one factor at a time (Van Loan and Pitsianis, 1993, 10.1007/978-94-015-8196-7_17), then scaled.

    >>> a, b = np.array([[1, 0.5], [0.5, 1]]), np.array([[1, -0.2], [-0.2, 1]])
    >>> time, space = kronecker(np.kron(a, b), (2, 2))
    >>> time.round(6).tolist()[0], space.round(6).tolist()[0]
    ([1.0, 0.5], [1.0, -0.2])
    """
    n_time, n_space = shape
    live = np.arange(n_time * n_space) if live is None else live
    whole = np.zeros((n_time * n_space,) * 2)
    known = np.zeros(whole.shape)
    whole[np.ix_(live, live)], known[np.ix_(live, live)] = correlation, 1.0
    blocks = (n_time, n_space, n_time, n_space)
    whole, known = (a.reshape(blocks).transpose(0, 2, 1, 3) for a in (whole, known))

    def factor(other, axes):
        top = np.einsum(f"stij,{axes[0]}->{axes[1]}", whole, other)
        under = np.einsum(f"stij,{axes[0]}->{axes[1]}", known, other**2)
        return np.divide(top, under, out=np.zeros_like(top), where=under > 0)

    time = factor(np.eye(n_space), ("ij", "st"))
    for _ in range(max_steps):
        space = factor(time, ("st", "ij"))
        space /= max(np.abs(np.diag(space)).max(), 1e-300)
        new = factor(space, ("ij", "st"))
        step, time = np.abs(new - time).max(), new
        if step <= 1e-12:
            break
    return _unit(time), _unit(space)


def shrinkage_weight(z, estimate, target):
    """Sum of the variances of the correlations of z (n, d) over the sum of their squared distances
    from the target, off the diagonal, at most 1 (Schaefer and Strimmer 2005, see fit).

    The weight makes the squared error of R small, not the log density, and takes the rows of z for
    independent and the target for known: of a target estimated from the same z (kronecker), the
    covariance of target and estimate, which would lower it, is left out.
    """
    n = len(z)
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    variance = n / (n - 1) ** 3 * ((z**2).T @ z**2 - (z.T @ z) ** 2 / n)
    off = ~np.eye(z.shape[1], dtype=bool)
    far = ((estimate - target)[off] ** 2).sum()
    return float(min(1.0, variance[off].sum() / far)) if far > 0 else 1.0


def raised(symmetric, floor):
    """The symmetric matrix with its eigenvalues lifted to `floor`."""
    values, vectors = np.linalg.eigh(symmetric)
    return (vectors * np.maximum(values, floor)) @ vectors.T


def _varying(u):
    """u, refused where a rank correlation has no value."""
    u = np.asarray(u, float)
    wrong = ~np.isfinite(u).all(axis=0) | (np.ptp(u, axis=0) == 0)
    if wrong.any():
        raise ValueError(f"column {int(np.argmax(wrong))} is constant or not finite; leave it out")
    return u


def _unit(factor):
    """A factor of a Kronecker product as a correlation matrix."""
    scale = np.sqrt(np.maximum(np.diag(factor), 1e-12))
    R = factor / np.outer(scale, scale)
    R = 0.5 * (R + R.T)
    np.fill_diagonal(R, 1.0)
    return repair(R)[0]


def cholesky(matrix):
    """Lower L with L L' = matrix; a conditional covariance may be singular up to rounding.
    ValueError for a negative eigenvalue."""
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh(matrix)[0]
        if least < -1e-8:
            raise ValueError(
                f"the matrix has the eigenvalue {least:.3g}: no correlation matrix; repair it"
            ) from None
        return np.linalg.cholesky(raised(matrix, 1e-12) + 1e-12 * np.eye(len(matrix)))
