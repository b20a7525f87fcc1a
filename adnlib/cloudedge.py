"""ADMM with every edge on a worker process of its own: what travels, how long, and what may fail.

The iteration is `admm.coordinate`; only who carries out the steps changes. An edge keeps its
area's numbers; a round sends it (z, lam, rho) of its borders and gets back its copies and cost,
and nothing else of an area comes back unless its whole answer is asked for at the end.
The cloud keeps each area and its last message, so that a lost worker is replaced by another one
that is given both. Workers are dask.distributed's: on this machine by default, reachable from
nowhere else, or behind any scheduler address.
"""

import pickle
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from . import admm

LOOPBACK = "127.0.0.1"
MOST_MOVES = 5  # of an area in one round: then its step is what brings workers down
SETUP_S = 60.0  # more time for the first word from a worker, which has to import this package
COLUMNS = ("round", "area", "worker", "bytes_out", "bytes_in", "compute_s", "transfer_s", "wait_s")
_kept = {}  # in a worker process: the areas that it has been given


class CloudError(RuntimeError):
    """An edge that does not answer, or workers that are gone; names area and worker."""


@dataclass(frozen=True, eq=False)
class Ledger:
    """What a run sent and how long it took: an array entry for each area in each round.

    round, area, worker      number, name, address
    bytes_out, bytes_in      of the message and of the answer, as sent (without the transport's own)
    compute_s                in the worker
    transfer_s               from sending to having the answer, less compute_s: transport, queueing
    wait_s                   from this answer to the last one of the round
    setup_bytes              of the areas' own data, sent once and again to a replacement
    final_bytes, final_s     of fetching the whole answers at the end, messages and answers; 0
                             where they were not asked for
    moved                    [(round, area name, worker), ...] areas that were given to a new worker
    """

    round: np.ndarray
    area: np.ndarray
    worker: np.ndarray
    bytes_out: np.ndarray
    bytes_in: np.ndarray
    compute_s: np.ndarray
    transfer_s: np.ndarray
    wait_s: np.ndarray
    setup_bytes: int
    final_bytes: int
    final_s: float
    moved: tuple


@contextmanager
def workers(n_workers=2, scheduler=None, timeout_s=10):
    """A dask client: of n_workers processes on this machine, or of a scheduler's, "tcp://...".

    Without a scheduler everything listens on the loopback address only, without a dashboard.
    CloudError where no scheduler answers at the address within timeout_s. In a script this stands
    below `if __name__ == "__main__":`, as with every process pool.
    """
    from distributed import Client, LocalCluster

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=timeout_s, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise CloudError(
                f"no scheduler answers at {scheduler!r} ({error}); start one with `dask scheduler`"
            ) from None
        with client:
            yield client
        return
    with (
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, processes=True, host=LOOPBACK,
            dashboard_address=f"{LOOPBACK}:0", scheduler_kwargs={"dashboard": False},
            silence_logs=50,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):  # fmt: skip
        yield client


def coordinate(
    client, areas, master=None, timeout_s=60.0, on_round=None, slow=None, answers=False, **options
):
    """(admm.Result, Ledger) of admm.coordinate with the areas' steps on the client's workers.

    client     of `workers`;  options as admm.coordinate takes them
    timeout_s  an edge that has not answered after this time is an error (a worker that died is
               not: its areas move to another worker, which repeats the round)
    on_round   function of the round's number, called before each round
    slow       {area name: seconds}: stragglers, which sleep before they answer (in compute_s)
    answers    fetch x of every area at the end, by one more step each: then the cloud sees all of
               their variables. Without, x of the Result is empty: only borders have travelled
    Results equal those in this process: a step is a pure function. CloudError names the area and
    the worker that hang, or says that no worker is left.
    """
    cloud = _Cloud(client, areas, timeout_s, on_round, slow)
    try:
        found = admm.coordinate(areas, master, run=cloud.round, **options)
        found = replace(found, x=cloud.answers() if answers else ())
        return found, cloud.ledger()
    finally:
        cloud.forget()


# ---------------------------------------------------------------------------------- in a worker


def _keep(parcel):
    area = pickle.loads(parcel)
    _kept[area.key] = area


def _drop(keys):
    for key in keys:
        _kept.pop(key, None)


def _step(key, message, whole, slow_s):
    """(answer as bytes, seconds); None where this process has not been given the area."""
    if key not in _kept:
        return None
    started = time.perf_counter()
    time.sleep(slow_s)
    reply = admm.step(_kept[key], *_unpacked(message))
    shown = (reply.x,) if whole else (np.r_[reply.cost, reply.y],)
    return _packed(shown), time.perf_counter() - started


def _packed(arrays):
    """float64 arrays of one length as bytes: nothing else travels."""
    return np.concatenate(arrays).astype("<f8").tobytes()


def _unpacked(message):
    return np.frombuffer(message, "<f8").reshape(3, -1).copy()


# ---------------------------------------------------------------------------------- the cloud


class _Cloud:
    """Where the areas are, their last messages, and what was sent."""

    def __init__(self, client, areas, timeout_s, on_round=None, slow=None):
        self.client, self.areas, self.timeout_s, self.on_round = client, areas, timeout_s, on_round
        self.slow = slow or {}
        self.parcels = [pickle.dumps(area) for area in areas]
        self.last, self.rows, self.moved = [None] * len(areas), [], []
        self.setup, self.k, self.final = 0, 0, (0, 0.0)
        self.home, self.sent_at = [None] * len(areas), [0.0] * len(areas)
        self.moves = [0] * len(areas)  # since its last answer

    def alive(self):
        found = sorted(self.client.scheduler_info(n_workers=-1)["workers"])
        if not found:
            found = self._patience()
        return found

    def _patience(self):
        """Wait for a worker that a nanny restarts."""
        from distributed import TimeoutError as DaskTimeout

        try:
            self.client.wait_for_workers(1, timeout=self.timeout_s)
        except (DaskTimeout, TimeoutError):
            raise CloudError(
                f"no worker is left after {self.timeout_s:g} s; start one, or raise timeout_s"
            ) from None
        return sorted(self.client.scheduler_info(n_workers=-1)["workers"])

    def place(self, k):
        """Give area k to a worker: the k-th in turn, a living one."""
        there = self.alive()
        moved, self.home[k] = self.home[k] is not None, there[k % len(there)]
        if moved:
            self.moved.append((self.k, self.areas[k].name, self.home[k]))
            self.moves[k] += 1
        if self.moves[k] > MOST_MOVES:
            raise CloudError(
                f"area {self.areas[k].name} lost {MOST_MOVES} workers in round {self.k}: "
                "does its step bring them down (memory)?"
            )
        self.setup += len(self.parcels[k])
        return self.client.submit(_keep, self.parcels[k], workers=[self.home[k]], pure=False)

    def settle(self):
        """Before the first round: every area to its worker, all at the same time."""
        new = [k for k in range(len(self.areas)) if self.home[k] is None]
        for k, given in [(k, self.place(k)) for k in new]:
            self._wait(given, k)

    def round(self, areas, messages):
        """Replies of all areas: sent out at once, collected as they come."""
        self.k += 1
        if self.on_round is not None:
            self.on_round(self.k)
        self.last = [_packed(m) for m in messages]
        self.settle()
        answers = self.ask(whole=False)
        end = max(at for *_, at in answers)
        replies = []
        for k, (blob, compute, total, at) in enumerate(answers):
            numbers = np.frombuffer(blob, "<f8")
            replies.append(admm.Reply(numbers[1:], float(numbers[0]), numbers[:0], compute))
            self.rows.append((self.k, areas[k].name, self.home[k], len(self.last[k]), len(blob),
                              compute, total - compute, end - at))  # fmt: skip
        return replies

    def ask(self, whole):
        """[(answer, compute seconds, total seconds, when), ...] of all areas to their messages."""
        started = time.perf_counter()
        waiting = {self.send(k, whole): k for k in range(len(self.areas))}
        answers = [None] * len(self.areas)
        while waiting:
            done = [f for f in waiting if f.done()]
            for future in done:
                k = waiting.pop(future)
                found = self.result(future, k)
                if found is None:  # the worker was replaced: it has to be given the area
                    waiting[self.send(k, whole, anew=True)] = k
                    continue
                now = time.perf_counter()
                answers[k] = (*found, now - started, now)
            if waiting and not done:
                waiting = self.watch(waiting, whole)
        return answers

    def send(self, k, whole, anew=False):
        if anew:
            self._wait(self.place(k), k)
        slow_s, self.sent_at[k] = self.slow.get(self.areas[k].name, 0.0), time.perf_counter()
        return self.client.submit(_step, self.areas[k].key, self.last[k], whole, slow_s,
                                  workers=[self.home[k]], pure=False)  # fmt: skip

    def _wait(self, future, k):
        started = time.perf_counter()
        while not future.done():
            self.late(k, started, self.timeout_s + SETUP_S)
            if self.home[k] not in self.alive():
                future.cancel()
                future = self.place(k)
            time.sleep(0.001)

    def result(self, future, k):
        """(answer, seconds), or None where the area has to be sent again."""
        if future.status in ("cancelled", "lost"):
            return None
        error = future.exception()
        if error is None:
            answer = future.result()
            self.moves[k] = self.moves[k] if answer is None else 0
            return answer
        if type(error).__name__ in ("KilledWorker", "NoValidWorkerError"):
            return None
        raise error

    def watch(self, waiting, whole):
        """Nothing came: short sleep, then look for the late and the dead."""
        time.sleep(0.0005)
        for k in waiting.values():
            self.late(k, self.sent_at[k], self.timeout_s)
        if time.perf_counter() - min(self.sent_at[k] for k in waiting.values()) < 0.2:
            return waiting
        there, out = set(self.alive()), {}
        for future, k in waiting.items():
            if self.home[k] in there or future.done():
                out[future] = k
            else:
                future.cancel()
                out[self.send(k, whole, anew=True)] = k
        return out

    def late(self, k, started, limit):
        if time.perf_counter() - started > limit:
            raise CloudError(
                f"area {self.areas[k].name} on worker {self.home[k]} has not answered round "
                f"{self.k} within {limit:g} s: look at that edge, or raise timeout_s"
            )

    def answers(self):
        """All of x of every area, by its last message once more."""
        started = time.perf_counter()
        blobs = [blob for blob, *_ in self.ask(whole=True)]
        size = sum(map(len, (*self.last, *blobs)))
        self.final = (size, time.perf_counter() - started)
        return tuple(np.frombuffer(blob, "<f8") for blob in blobs)

    def forget(self):
        """Let the workers drop the areas; not waited for, so that a hung one does no harm."""
        from distributed import fire_and_forget

        keys = [area.key for area in self.areas]
        for worker in {*self.home} & {*self.client.scheduler_info(n_workers=-1)["workers"]}:
            fire_and_forget(self.client.submit(_drop, keys, workers=[worker], pure=False))

    def ledger(self):
        columns = (np.array(c) for c in zip(*self.rows))
        return Ledger(
            **dict(zip(COLUMNS, columns)),
            setup_bytes=self.setup,
            final_bytes=self.final[0],
            final_s=self.final[1],
            moved=tuple(self.moved),
        )


# ---------------------------------------------------------------------------------- no waiting


class Carrier:
    """Carrier of partial.coordinate on the client's workers: one message under way an area."""

    def __init__(self, client, areas, timeout_s=60.0, slow=None):
        self.cloud, self.waiting = _Cloud(client, areas, timeout_s, slow=slow), {}
        self.cloud.settle()
        self.begun = time.perf_counter()

    @property
    def clock(self):
        """Seconds since the areas were in place."""
        return time.perf_counter() - self.begun

    def send(self, k, message):
        self.cloud.last[k] = _packed(message)
        self.waiting[self.cloud.send(k, whole=False)] = k

    def next(self):
        """(k, reply) of the area that answers first."""
        while True:
            for future in [f for f in self.waiting if f.done()]:
                k = self.waiting.pop(future)
                found = self.cloud.result(future, k)
                if found is not None:
                    numbers = np.frombuffer(found[0], "<f8")
                    return k, admm.Reply(numbers[1:], float(numbers[0]), numbers[:0], found[1])
                self.waiting[self.cloud.send(k, whole=False, anew=True)] = k
            self.waiting = self.cloud.watch(self.waiting, False)

    def close(self):
        for future in self.waiting:
            future.cancel()
        self.waiting = {}
        self.cloud.forget()
