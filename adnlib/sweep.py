"""The same job on many items: in this process, on worker processes, or by a given scheduler.

One call for scenario and Monte Carlo sweeps. A job is a pure function of its item, so that the
results are equal wherever it runs, as long as it computes on one thread everywhere (workers of
dask do; set OMP_NUM_THREADS=1 for this process). Random numbers come from `seeds`: each item
has a stream of its own, whoever draws it.
"""

import pickle
import reprlib
import time
import traceback
from contextlib import contextmanager

import numpy as np

from . import cloudedge

BATCHES = 8  # for each worker: few enough to cost little, enough to even out long ones
KEEP = "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_"
ASK_S, PAUSE_S = 1.0, 0.002  # how often workers and answers are looked for


class SweepError(RuntimeError):
    """A job that failed; names the item. The job's own exception is its cause."""


def seeds(seed, n):
    """n independent seeds, one an item: numpy.random.default_rng(item) in the job.

    >>> a, b = (np.random.default_rng(s).random() for s in seeds(1, 2))
    >>> print(a == np.random.default_rng(seeds(1, 9)[0]).random(), a == b)
    True False
    """
    return np.random.SeedSequence(seed).spawn(n)


def run(job, items, scheduler=None, n_workers=2, batch=None, progress=None, timeout_s=30.0):
    """[job(item) for item in items], in this order.

    job        function of one item; it, the items and the results must be picklable on workers
    scheduler  None: this process; "local": n_workers processes on this machine, one thread each,
               reachable from nowhere else; "tcp://...": the workers of that dask scheduler
    batch      items sent at once; None: so many that each worker gets 8 batches
    progress   function of (items done, items), after each batch
    timeout_s  how long to wait for a scheduler, and for a worker where none is left
    In a script a call with "local" stands below `if __name__ == "__main__":`.
    SweepError names the first item that fails, the same in all three modes; cloudedge.CloudError
    where scheduler or workers cannot be reached; ValueError for a wrong argument. A batch whose
    worker dies is repeated on another one, as often as the scheduler allows (three times).
    """
    items = list(items)
    _refuse(scheduler, n_workers, batch)
    progress = progress or (lambda done, of: None)
    if not items:
        return []
    if scheduler is not None:
        address = None if scheduler == "local" else scheduler
        with workers(n_workers, address, timeout_s) as client:
            return _spread(client, job, items, batch, progress, timeout_s)
    out = []
    for k, item in enumerate(items):
        out += _checked(_part(job, k, [item]))
        progress(k + 1, len(items))
    return out


@contextmanager
def workers(n_workers=2, scheduler=None, timeout_s=30.0):
    """cloudedge.workers that keep freed memory for the next array, as any process does.

    Dask has its workers give memory back at once (MALLOC_TRIM_THRESHOLD_), which for arrays of a
    few MB takes more CPU time than the power flow in them: chapter 32 has the numbers.
    """
    import dask
    import distributed  # noqa: F401  its settings have to be there before one of them is changed

    with dask.config.set({KEEP: None}), cloudedge.workers(n_workers, scheduler, timeout_s) as found:
        yield found


def _refuse(scheduler, n_workers, batch):
    if scheduler not in (None, "local") and "://" not in str(scheduler):
        raise ValueError(
            f"scheduler is {scheduler!r}: give None (this process), 'local' or 'tcp://host:port'"
        )
    if n_workers < 1 or (batch is not None and batch < 1):
        raise ValueError(f"n_workers {n_workers}, batch {batch}: give numbers from 1 on")


# ---------------------------------------------------------------------------------- in a worker


def _part(job, first, items):
    """(results, None), or (None, what failed): numbers of the items count from `first`."""
    out = []
    for k, item in enumerate(items, first):
        try:
            out.append(job(item))
        except Exception as error:
            what = f"item {k}, {reprlib.repr(item)}: {type(error).__name__}: {error}"
            return None, (what, _portable(error))
    return out, None


def _portable(error):
    """The exception with its traceback as a note, or in words where it cannot be pickled."""
    error.add_note(text := "".join(traceback.format_exception(error)))
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(text)


# ---------------------------------------------------------------------------------- the caller


def _checked(answer):
    found, failed = answer
    if failed is not None:
        raise SweepError(failed[0]) from failed[1]
    return found


def _spread(client, job, items, batch, progress, timeout_s):
    """Results in order. After a failure only what stands before it is waited for."""
    size = int(batch or -(-len(items) // (BATCHES * _threads(client, timeout_s))))
    parts = {k: items[k : k + size] for k in range(0, len(items), size)}
    waiting = {k: client.submit(_part, job, k, part, pure=False) for k, part in parts.items()}
    sent, found, done, looked = list(waiting.values()), {}, 0, time.monotonic()
    try:
        while waiting:
            ready = [k for k, future in waiting.items() if future.done()]
            for k in ready:
                found[k] = _answer(waiting.pop(k), k, k + len(parts[k]) - 1)
                done += len(parts[k])
                progress(done, len(items))
            failed = min((k for k, answer in found.items() if answer[1]), default=len(items))
            waiting = {k: future for k, future in waiting.items() if k < failed}
            if not ready:
                time.sleep(PAUSE_S)
            if time.monotonic() - looked > ASK_S:
                _threads(client, timeout_s)
                looked = time.monotonic()
    finally:
        client.cancel(sent)
    return [x for k in sorted(found) for x in _checked(found[k])]


def _answer(future, first, last):
    if future.status in ("cancelled", "lost"):
        raise cloudedge.CloudError(
            f"the scheduler was lost with items {first} to {last} under way: start it again"
        )
    error = future.exception()
    if error is None:
        return future.result()
    killed = type(error).__name__ == "KilledWorker"
    what = "brought workers down again and again (memory?)" if killed else repr(error)
    return None, (f"items {first} to {last}: {what}", error)


def _threads(client, timeout_s):
    """Threads of the workers; waits for the first worker."""
    try:
        client.wait_for_workers(1, timeout=timeout_s)
    except TimeoutError:
        raise cloudedge.CloudError(
            f"the scheduler has no worker after {timeout_s:g} s; start one with `dask worker`"
        ) from None
    return max(1, sum(client.nthreads().values()))
