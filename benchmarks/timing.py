"""Time several methods in turns, so that whatever else the machine does hits all of them alike."""

import gc
import time
import tracemalloc

import numpy as np


def alternate(methods, rounds=11):
    """{name: (rounds,) seconds} of {name: function}: one warm-up each, then A B C A B C ...

    A value may be (function, repeats): the function stands for `repeats` calls of the job in a
    row and its time is divided by that number.
    """
    jobs = {name: job if isinstance(job, tuple) else (job, 1) for name, job in methods.items()}
    seconds = {name: np.empty(rounds) for name in jobs}
    for job, _ in jobs.values():
        job()
    gc.collect()
    gc.disable()
    try:
        for k in range(rounds):
            for name, (job, repeats) in jobs.items():
                start = time.perf_counter()
                job()
                seconds[name][k] = (time.perf_counter() - start) / repeats
    finally:
        gc.enable()
    return seconds


def repeated(job, target=0.02):
    """(function, repeats) that calls a short job often enough to last `target` seconds."""
    start = time.perf_counter()
    job()
    once = time.perf_counter() - start
    repeats = int(np.clip(target / max(once, 1e-9), 1, 1000))

    def many():
        for _ in range(repeats):
            job()

    return many, repeats


def peak_mib(job):
    """Largest memory that Python and NumPy hold during a job [MiB]; C++ libraries are not seen."""
    tracemalloc.start()
    try:
        job()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def rows(subject, size, scenarios, seconds, ours, scale=None, peak=None, note=None):
    """One table row a method. ratio: its seconds over ours, median over the rounds of the ratio
    within a round; above 1, ours is faster. scale: {method: factor on its seconds}."""
    scale, peak, note = scale or {}, peak or {}, note or {}
    seconds = {name: t * scale.get(name, 1) for name, t in seconds.items()}
    return [
        {
            "subject": subject,
            "method": name,
            "size": size,
            "scenarios": scenarios,
            "rounds": len(t),
            "median_s": float(np.median(t)),
            "min_s": float(t.min()),
            "max_s": float(t.max()),
            "ratio": float(np.median(t / seconds[ours])) if ours else np.nan,
            "peak_mib": peak.get(name, np.nan),
            "note": note.get(name, ""),
        }
        for name, t in seconds.items()
    ]


def exponents(sizes, seconds):
    """{"33-100": e, ..., "all": e}: seconds grow as size^e between neighbours and over all."""
    pairs = [*zip(sizes[:-1], sizes[1:], seconds[:-1], seconds[1:])]
    steps = {f"{a}-{b}": float(np.log(t / s) / np.log(b / a)) for a, b, s, t in pairs}
    whole = np.log(seconds[-1] / seconds[0]) / np.log(sizes[-1] / sizes[0])
    return steps | {f"{sizes[0]}-{sizes[-1]}": float(whole)}
