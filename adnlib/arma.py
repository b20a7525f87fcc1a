"""ARMA models of forecast errors: fit, check, simulate. Chapter 06 derives them.

    x_t = m + y_t,   y_t = sum_i phi_i y_{t-i} + a_t + sum_j theta_j a_{t-j},   a_t ~ N(0, sigma^2)

with i = 1..p and j = 1..q; moving-average terms carry a plus sign. The state form (Box and Jenkins
1970; Harvey 1989) has r = max(p, q + 1) components, y_t being the first:

    s_{t+1} = T s_t + R a_{t+1},    T = [phi | shifted identity],    R = (1, theta_1, ..., theta_q)
"""

from dataclasses import dataclass

import numpy as np


class UnstableError(ValueError):
    """An ARMA model whose paths explode; names the largest root."""


@dataclass(frozen=True, eq=False)
class Arma:
    """An ARMA(p, q) model; sigma and mean are in the unit of the series.

    phi (p,), theta (q,)    aic, bic, residuals (n_obs,): of a fit, else nan and None
    table: {(p, q): (aic, bic)} of the orders that were tried; lost: {(p, q): why} of the others

    >>> Arma(phi=[0.5], theta=[], sigma=1.0).order
    (1, 0)
    """

    phi: np.ndarray
    theta: np.ndarray
    sigma: float
    mean: float = 0.0
    aic: float = np.nan
    bic: float = np.nan
    residuals: np.ndarray | None = None
    table: dict | None = None
    lost: dict | None = None

    def __post_init__(self):
        for name in ("phi", "theta"):
            a = np.atleast_1d(np.asarray(getattr(self, name), float)).ravel()
            if not np.isfinite(a).all():
                raise ValueError(f"{name} = {a} holds a value that is no number")
            object.__setattr__(self, name, a)
        if not (np.isfinite(self.sigma) and self.sigma >= 0 and np.isfinite(self.mean)):
            raise ValueError(f"sigma = {self.sigma} must be >= 0 and mean = {self.mean} a number")

    @property
    def order(self):
        return len(self.phi), len(self.theta)


def state_form(model):
    """(T, R): transition (r, r) and loading (r,) of the state form, r = max(p, q + 1).

    >>> T, R = state_form(Arma([0.5, 0.2], [0.3], 1.0))
    >>> T.tolist(), R.tolist()
    ([[0.5, 1.0], [0.2, 0.0]], [1.0, 0.3])
    """
    p, q = model.order
    r = max(p, q + 1)
    T = np.eye(r, k=1)
    T[:p, 0] = model.phi
    return T, np.r_[1.0, model.theta, np.zeros(r - q - 1)]


def largest_root(model):
    """Largest modulus of the companion roots z^p = phi_1 z^(p-1) + ... + phi_p; stable below 1.

    >>> largest_root(Arma([0.5, 0.24], [], 1.0))  # (z - 0.8) (z + 0.3)
    0.8
    """
    roots = np.abs(np.roots(np.r_[1.0, -model.phi]))
    return round(float(roots.max(initial=0.0)), 12)


def require_stable(model):
    """UnstableError unless all companion roots lie inside the unit circle."""
    root = largest_root(model)
    if root >= 1:
        raise UnstableError(
            f"this ARMA{model.order} explodes: its largest root is {root:.4f}, and paths grow by "
            "that factor a step; check the signs of phi or fit it again"
        )


def psi_weights(model, n):
    """(n,) weights of past shocks, x_t - m = sum_k psi_k a_{t-k}.

    psi_0 = 1, psi_k = theta_k + sum_i phi_i psi_{k-i}.

    >>> psi_weights(Arma([0.5], [0.2], 1.0), 4)
    array([1.   , 0.7  , 0.35 , 0.175])
    """
    psi = np.zeros(n)
    for k in range(n):
        psi[k] = 1.0 if k == 0 else (model.theta[k - 1] if k <= len(model.theta) else 0.0)
        for i, phi in enumerate(model.phi[:k]):
            psi[k] += phi * psi[k - 1 - i]
    return psi


def growth(model, n):
    """(n,) standard deviation of x_1..x_n when all shocks before were zero; any model.

    sigma sqrt(psi_0^2 + ... + psi_{t-1}^2), in the unit of sigma.
    """
    return model.sigma * np.sqrt(np.cumsum(psi_weights(model, n) ** 2))


def stationary_covariance(model):
    """(r, r) covariance of the state in the long run, P = T P T' + sigma^2 R R' (exact).

    P[0, 0] is the variance of the series. UnstableError where there is none.

    >>> round(float(stationary_covariance(Arma([0.6], [], 0.8))[0, 0]), 12)  # 0.64 / (1 - 0.36)
    1.0
    """
    require_stable(model)
    T, R = state_form(model)
    r = len(R)
    shocks = model.sigma**2 * np.outer(R, R)
    P = np.linalg.solve(np.eye(r * r) - np.kron(T, T), shocks.ravel()).reshape(r, r)
    return 0.5 * (P + P.T)


def stationary_std(model):
    """Standard deviation of the series in the long run, in the unit of sigma."""
    return float(np.sqrt(stationary_covariance(model)[0, 0]))


def simulate(model, n_s, n_t, rng, start="stationary", allow_unstable=False):
    """(n_s, n_t) simulated paths of the model, in the unit of sigma.

    rng: numpy Generator. start "stationary": the first step is as uncertain as any other;
    "zero": all shocks before the first step were zero (errors grow with lead time).
    UnstableError for a model that explodes, unless allow_unstable (then start must be "zero").
    """
    if start not in ("stationary", "zero"):
        raise ValueError(f"start = {start!r}; it is 'stationary' or 'zero'")
    if n_s < 1 or n_t < 1:
        raise ValueError(f"n_s = {n_s} paths of n_t = {n_t} steps: both must be at least 1")
    if not (allow_unstable and start == "zero"):
        require_stable(model)
    T, R = state_form(model)
    state = np.zeros((n_s, len(R)))
    if start == "stationary":
        state = rng.standard_normal(state.shape) @ _root(stationary_covariance(model)).T
    paths = np.empty((n_s, n_t))
    for t, a in enumerate(model.sigma * rng.standard_normal((n_t, n_s))):
        state = state @ T.T + a[:, None] * R
        paths[:, t] = state[:, 0]
    return model.mean + paths


def _root(P):
    """Matrix square root L with L L' = P; P may be singular."""
    values, vectors = np.linalg.eigh(P)
    return vectors * np.sqrt(np.maximum(values, 0))


def around(forecast, errors, rated):
    """(n_s, n_t) paths forecast + error, clipped to [0, rated].

    forecast (n_t,), errors (n_s, n_t), in one unit. rated: one number, or (n_t,) the most that is
    possible at each step (zero at night for PV). Clipping moves the mean away from the forecast
    where the band is near, and lowers the variance. ValueError for values that are no number.

    >>> around([0.0, 0.5, 0.9], [[0.3, -0.6, 0.3]], rated=1.0)
    array([[0.3, 0. , 1. ]])
    """
    arrays = [np.asarray(a, float) for a in (forecast, errors, rated)]
    for name, a in zip(("forecast", "errors", "rated"), arrays):
        if not np.isfinite(a).all():
            raise ValueError(f"{name} holds a value that is no number; fill or drop it first")
    if (arrays[2] < 0).any():
        raise ValueError(f"rated = {arrays[2].min():g} is negative")
    return np.clip(arrays[0] + arrays[1], 0.0, arrays[2])


# ---------------------------------------------------------------------------------- from data


def fit(series, order=None, criterion="bic", p_max=3, q_max=2):
    """Gaussian maximum-likelihood ARMA with constant mean, its order given or chosen.

    series (n_obs,) without gaps, at even steps; order (p, q), or None: the best of all p <= p_max,
    q <= q_max by criterion "aic" or "bic". The estimation is that of statsmodels (exact likelihood
    by the innovations algorithm, stability and invertibility imposed).
    ValueError for missing values, a series that is constant or too short.
    """
    series = _checked(series, p_max + q_max if order is None else sum(order))
    if criterion not in ("aic", "bic"):
        raise ValueError(f"criterion = {criterion!r}; it is 'aic' or 'bic'")
    orders = [order] if order else [(p, q) for p in range(p_max + 1) for q in range(q_max + 1)]
    models, lost = {}, {}
    for o in orders:
        try:
            models[tuple(o)] = _fitted(series, o)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            lost[tuple(o)] = str(error)
    if not models:
        raise ValueError(f"no ARMA could be fitted: {lost}")
    best = min(models.values(), key=lambda m: getattr(m, criterion))
    table = {o: (m.aic, m.bic) for o, m in models.items()}
    return Arma(best.phi, best.theta, best.sigma, best.mean, best.aic, best.bic,
                best.residuals, table, lost)  # fmt: skip


def innovations(model, series):
    """(n_obs,) one-step errors of a model on a series it may never have seen (unit of sigma).

    a_t = y_t - sum_i phi_i y_{t-i} - sum_j theta_j a_{t-j}, from zero before the first step: the
    first ones are rough where the moving-average part remembers long.
    """
    y = _checked(series) - model.mean
    p, q = model.order
    a = np.zeros(len(y))
    for t in range(len(y)):
        a[t] = y[t] - model.phi[: min(p, t)] @ y[t - 1 :: -1][: min(p, t)] if t else y[t]
        if t and q:
            a[t] -= model.theta[: min(q, t)] @ a[t - 1 :: -1][: min(q, t)]
    return a


def diagnose(residuals, sigma, lags=24):
    """Tests of one-step errors, a dict of numbers.

    ljung_box_p: p-value that the first `lags` autocorrelations vanish; squares_p: the same for the
    squares (variance that changes in time); pit_ks: largest gap between the distribution of
    Phi(a / sigma) and the uniform one, ks_p its p-value; kurtosis: 0 for a Gaussian.
    ValueError for values that are no number and for a sigma that is not above zero.
    """
    from scipy import stats
    from statsmodels.stats.diagnostic import acorr_ljungbox

    a = _checked(residuals)
    if not (np.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma = {sigma}; it must be a number above zero")
    pit = stats.kstest(stats.norm.cdf(a / sigma), "uniform")
    tests = {
        name: float(acorr_ljungbox(x, lags=[lags])["lb_pvalue"].iloc[0])
        for name, x in (("ljung_box_p", a), ("squares_p", a**2))
    }
    return tests | {
        "pit_ks": float(pit.statistic),
        "ks_p": float(pit.pvalue),
        "kurtosis": float(stats.kurtosis(a)),
    }


def _checked(series, k=None):
    """Series as an array; with k, long and varied enough to fit k coefficients."""
    series = np.asarray(series, float)
    if series.ndim != 1:
        raise ValueError(f"the series has shape {series.shape}; one dimension is needed")
    if not np.isfinite(series).all():
        at = int(np.flatnonzero(~np.isfinite(series))[0])
        raise ValueError(f"the series has no number at position {at}; fit a part without gaps")
    if k is None:
        return series
    spread = np.ptp(series) if len(series) else 0.0
    if len(series) < 10 * (k + 2) or spread == 0:
        raise ValueError(
            f"{len(series)} values, spread {spread:g}: too little to fit {k} coefficients"
        )
    return series


def _fitted(series, order):
    import warnings

    from statsmodels.tsa.arima.model import ARIMA

    p, q = order
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # start values that are not stable are replaced by zeros
        found = ARIMA(series, order=(p, 0, q), trend="c").fit(method="innovations_mle")
    a = np.asarray(found.params)
    model = Arma(a[1 : 1 + p], a[1 + p : 1 + p + q], float(np.sqrt(a[-1])), float(a[0]))
    require_stable(model)
    return Arma(model.phi, model.theta, model.sigma, model.mean, float(found.aic),
                float(found.bic), np.asarray(found.resid))  # fmt: skip
