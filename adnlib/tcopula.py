"""t copula: like the Gaussian one, with joint extremes. Chapter 05 fits it to measured turbines."""

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import gammaln, stdtrit

from .correlation import cholesky


def log_density(u, correlation, nu):
    """Log density (n,) of the t copula with matrix R (d, d) and nu degrees of freedom at u (n, d).

    With x = T_nu^-1(u) and q = x' R^-1 x: the log density of the multivariate t at x less that of
    its margins. Source: Demarta and McNeil, Int. Stat. Rev. 73, 2005,
    10.1111/j.1751-5823.2005.tb00254.x. ValueError for a matrix with a negative eigenvalue.

    >>> middle = np.array([[0.5, 0.5]])  # Gamma(2) Gamma(1) / Gamma(3/2)^2 = 4 / pi
    >>> float(np.exp(log_density(middle, np.eye(2), 2.0))[0].round(6)), round(4 / np.pi, 6)
    (1.27324, 1.27324)
    """
    x, L = stdtrit(nu, u), cholesky(correlation)
    d = u.shape[1]
    q = (solve_triangular(L, x.T, lower=True) ** 2).sum(axis=0)
    constant = gammaln((nu + d) / 2) + (d - 1) * gammaln(nu / 2) - d * gammaln((nu + 1) / 2)
    alone = ((nu + 1) / 2 * np.log1p(x**2 / nu)).sum(axis=1)
    return constant - np.log(np.diag(L)).sum() - (nu + d) / 2 * np.log1p(q / nu) + alone


def fit_nu(u, correlation, bounds=(1.0, 200.0)):
    """Degrees of freedom that maximise the t copula's likelihood at u (n, d), R held fixed
    (profile likelihood over log nu)."""
    from scipy.optimize import minimize_scalar

    def loss(log_nu):
        return -log_density(u, correlation, np.exp(log_nu)).mean()

    best = minimize_scalar(loss, bounds=np.log(bounds), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(best.x))
