"""A sweep gives the same results wherever it runs, and says which item failed."""

import functools
import os
import signal
import subprocess
import sys

import dask
import numpy as np
import pytest
from distributed import LocalCluster

from adnlib import cloudedge, powerflow, read_feeder, sweep


def draw(feeder, seed):
    """Lowest voltage and loss of 20 random loadings, to the last bit."""
    factor = np.random.default_rng(seed).uniform(0.2, 1.0, (20, 1))
    flow = powerflow.solve(feeder, -factor * feeder.p_load, -factor * feeder.q_load)
    return flow.V.min(axis=1), flow.p_loss


@pytest.fixture(scope="module")
def job():
    return functools.partial(draw, read_feeder("ieee33"))


@pytest.fixture(scope="module")
def address():
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1",
                     dashboard_address="127.0.0.1:0",
                     scheduler_kwargs={"dashboard": False}) as cluster,
    ):  # fmt: skip
        yield cluster.scheduler_address


def fussy(item):
    if item in (7, 11):
        raise ValueError(f"no {item}")
    return item


def late(item):
    """Item 2 fails long before item 0 does."""
    import time

    time.sleep(0.5 if item == 0 else 0)
    if item in (0, 2):
        raise ValueError(f"no {item}")
    return item


class Odd(Exception):
    def __init__(self, a, b):
        super().__init__("odd")


def odd(item):
    raise Odd(1, 2)


def dies_once(folder, item):
    mark = folder / f"{item}"
    if item == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item**2


def dies(item):
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def same(found, wanted):
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        for x, y in zip(a, b):
            assert x.tobytes() == y.tobytes()


def test_results_are_equal_to_the_last_bit_in_all_three_modes(job, address):
    seeds = sweep.seeds(3, 50)
    here = sweep.run(job, seeds)
    same(here, [job(s) for s in seeds])
    same(sweep.run(job, seeds, scheduler="local", n_workers=2), here)
    same(sweep.run(job, seeds, scheduler=address), here)
    same(sweep.run(job, seeds, scheduler=address, batch=7), here)


def test_seeds_do_not_depend_on_how_many_there_are_and_differ():
    first = [np.random.default_rng(s).random() for s in sweep.seeds(5, 3)]
    assert first == [np.random.default_rng(s).random() for s in sweep.seeds(5, 1000)[:3]]
    assert len(set(first)) == 3
    assert first[0] != np.random.default_rng(sweep.seeds(6, 1)[0]).random()


def test_order_is_kept_and_progress_reaches_the_end(address):
    for options in ({}, {"scheduler": address, "batch": 3}):
        seen = []
        note = lambda *a, to=seen: to.append(a)  # noqa: E731
        found = sweep.run(abs, range(-20, 0), progress=note, **options)
        assert found == list(range(20, 0, -1))
        assert seen[-1] == (20, 20) and seen == sorted(seen)
        assert len(seen) == (7 if options else 20)


def test_nothing_to_do_needs_no_workers():
    assert sweep.run(fussy, []) == []
    assert sweep.run(fussy, iter(()), scheduler="tcp://127.0.0.1:1") == []


def test_a_failure_names_the_first_item_and_keeps_its_cause(address):
    for options in ({}, {"scheduler": address, "batch": 2}, {"scheduler": address, "batch": 50}):
        with pytest.raises(sweep.SweepError, match=r"item 7, 7: ValueError: no 7") as caught:
            sweep.run(fussy, range(30), **options)
        assert isinstance(caught.value.__cause__, ValueError)
        assert "in fussy" in "".join(caught.value.__cause__.__notes__)
    with pytest.raises(sweep.SweepError, match="item 0"):
        sweep.run(late, range(4), scheduler=address, batch=1)


def test_a_long_item_is_shortened_and_an_odd_exception_arrives(address):
    for scheduler in (None, address):
        with pytest.raises(sweep.SweepError, match="Odd: odd") as caught:
            sweep.run(odd, [list(range(10**5))], scheduler=scheduler)
        assert len(str(caught.value)) < 200
        assert "Odd: odd" in str(caught.value.__cause__)  # in words: it cannot be pickled


def test_a_batch_whose_worker_dies_is_repeated(address, tmp_path):
    found = sweep.run(functools.partial(dies_once, tmp_path), range(6), address, batch=2)
    assert found == [k**2 for k in range(6)] and (tmp_path / "3").exists()


def test_a_job_that_kills_every_worker_is_named(address):
    with pytest.raises(sweep.SweepError, match=r"items 2 to 3: brought workers down"):
        sweep.run(dies, range(6), scheduler=address, batch=2)


def test_no_scheduler_and_no_worker_are_said(address):
    with pytest.raises(cloudedge.CloudError, match=r"no scheduler answers at 'tcp://127.0.0.1:1'"):
        sweep.run(abs, [1], scheduler="tcp://127.0.0.1:1", timeout_s=0.5)
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0",
                     scheduler_kwargs={"dashboard": False}) as bare,
        pytest.raises(cloudedge.CloudError, match=r"no worker after 0.5 s"),
    ):  # fmt: skip
        sweep.run(abs, [1], scheduler=bare.scheduler_address, timeout_s=0.5)


@pytest.mark.parametrize(
    "wrong",
    [{"scheduler": "loacl"}, {"n_workers": 0}, {"batch": 0}],
)
def test_a_wrong_argument_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        sweep.run(abs, [1], **wrong)


def test_local_workers_leave_the_settings_of_dask_as_they_were():
    """In a process that has not imported distributed before."""
    said = subprocess.run([sys.executable, "-c", SETTINGS], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr


SETTINGS = """
import sys
from adnlib import sweep
assert "distributed" not in sys.modules
with sweep.workers(0):
    import dask
    assert dask.config.get(sweep.KEEP) is None
assert dask.config.get(sweep.KEEP) == 65536
assert dask.config.get("distributed.comm.require-encryption") is None
"""
