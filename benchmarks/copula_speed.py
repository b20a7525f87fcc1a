"""Fit and draw a joint model of 6 units x 24 hours: adnlib.copula beside the package copulas.

The same days of RTS-GMLC, in the same run: 144 columns (19 or so of them constant at night, which
both handle), 10 000 draws. Margins are compared like with like (beta, kernel) and ours at their
default (empirical). Kernel margins of `copulas` take minutes: they run once, without warm-up,
and count by the processor's time.
Before any time is believed, the correlations of both are compared on identical normal scores, and
so is the copula density.
"""

import time
import warnings

import numpy as np

from adnlib import copula, profiles
from benchmarks import peers, timing

OURS = "adnlib, empirical margins"
OURS_BETA, OURS_KERNEL = "adnlib, beta margins", "adnlib, kernel margins"
BETA, KERNEL = "copulas, beta margins", "copulas, kernel margins"
DRAWS = 10_000
HOURS = 24
AGREE = 1e-6
CLIP = 5.0  # copulas cuts normal scores off a little beyond


def steps(small):
    """[(label, expected seconds, function -> rows)]"""
    if small:
        return [("2 units x 24 h, 200 draws", 3, lambda: compare(2, 200, small=True))]
    return [("6 units x 24 h, 10 000 draws", 260, lambda: compare(6, DRAWS, small=False))]


def days(n_units):
    """(n_days, 24 n_units) of the first plants of RTS-GMLC, wind and PV in turn [p.u.]."""
    units = ["wind_122", "pv_215", "wind_303", "pv_319", "wind_309", "wind_317"][:n_units]
    kinds = {name: profiles.read_series(f"rts_{name}_5min") for name in ("wind", "pv")}
    rated = profiles.read_units()["p_max_mw"]
    hourly = [kinds[u.split("_")[0]][f"{u}_mw"].resample("1h").mean() / rated[u] for u in units]
    x = np.stack(hourly, axis=1).reshape(-1, HOURS * n_units)
    repeated = np.arange(len(x))[53:60]  # 23-29 February are 1-7 March
    return np.delete(x, repeated, axis=0)


def compare(n_units, draws, small):
    x = days(n_units)
    rng = np.random.default_rng(5)
    methods = {
        OURS: lambda: copula.fit(x).sample(draws, rng),
        OURS_BETA: lambda: copula.fit(x, margins="beta").sample(draws, rng),
        OURS_KERNEL: lambda: copula.fit(x, margins="kernel").sample(draws, rng),
    }
    peer = peers.installed("copulas")
    if peer:
        agree(x)
        methods[BETA] = lambda: theirs(x, "BetaUnivariate", draws)
    seconds = timing.alternate(methods, rounds=2 if small else 5)
    note = {OURS_BETA: "moments", OURS_KERNEL: "table of 769 nodes", BETA: "maximum likelihood"}
    if peer and not small:
        start = time.process_time()  # once only: what else the machine does must not count
        theirs(x, "GaussianKDE", draws)
        seconds[KERNEL] = np.full(5, time.process_time() - start)
        note[KERNEL] = "run once, processor time"
    peak = {OURS: timing.peak_mib(methods[OURS])}
    size = HOURS * n_units
    rows = timing.rows("copula_speed", size, draws, seconds, OURS, peak=peak, note=note)
    for row in rows:
        if row["method"] == KERNEL:
            row["rounds"] = 1
    return rows


def theirs(x, margin, draws):
    import copulas.univariate
    import pandas as pd
    from copulas.multivariate import GaussianMultivariate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its optimisers leave their domain on the way
        model = GaussianMultivariate(distribution=getattr(copulas.univariate, margin))
        model.fit(pd.DataFrame(x))
        return model.sample(draws)


def agree(x):
    """Same correlation, and same log density of the copula, on identical normal scores, of all
    columns but those of PV at the edges of the day, whose rare values `copulas` cuts off."""
    import pandas as pd
    from copulas.multivariate import GaussianMultivariate
    from copulas.univariate import GaussianUnivariate
    from scipy.special import ndtri
    from scipy.stats import norm

    whole = copula.fit(x)
    z = ndtri(whole.uniform(x)[:, whole.live])
    tame = (np.abs((z - z.mean(axis=0)) / z.std(axis=0)) < CLIP).all(axis=0)
    some = x[:, whole.live[tame]]
    ours = copula.fit(some)
    u, z = ours.uniform(some), pd.DataFrame(z[:, tame])
    other = GaussianMultivariate(distribution=GaussianUnivariate)
    other.fit(z)
    gap = np.abs(other.correlation.to_numpy() - ours.core).max()
    back = z * z.std(ddof=0) + z.mean()  # undo the normal margins that it fits
    density = np.log(other.probability_density(back)) - norm.logpdf(z).sum(axis=1)
    gap = max(gap, np.abs(density / ours.log_density(u) - 1).max())
    if not gap <= AGREE:
        raise AssertionError(f"copulas and adnlib differ by {gap:.1e}; {AGREE:g} is allowed")


def checks(rows):
    """[(what, value, wanted, holds)]; what did not run is left out."""
    seconds = {row["method"]: row.get("median_s") for row in rows}
    ratio = {row["method"]: row["ratio"] for row in rows}
    out = [
        (f"{name}: times slower than {OURS}", ratio[name], f">= {least}", ratio[name] >= least)
        for name, least in ((BETA, 20), (KERNEL, 200))
        if name in ratio
    ]
    for name, mine, aim in ((BETA, OURS_BETA, 5), (KERNEL, OURS_KERNEL, None)):
        if seconds.get(name) and seconds.get(mine):
            value, wanted = seconds[name] / seconds[mine], f">= {aim}" if aim else ""
            out.append((f"{name}: times slower than {mine}", value, wanted, value >= (aim or 0)))
    return out
