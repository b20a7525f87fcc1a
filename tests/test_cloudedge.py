"""Edges on real worker processes: the same numbers, counted bytes, what happens on a failure."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import warnings

import cvxpy as cp
import numpy as np
import pytest

from adnlib import admm, areas, cloudedge, partial, read_feeder, solve

CUTS = [9, 26]


def problem(piece, rows=2):
    own = piece.feeder
    h = cp.Variable((rows, own.n))
    p, q = -0.7 * np.tile(own.p_load, (rows, 1)), h - 0.7 * np.tile(own.q_load, (rows, 1))
    model, shared, (_, _, ell, v) = areas.model(piece, p, q, rows)
    cost = cp.sum(ell @ own.r) + cp.sum_squares(v - 1)
    return cp.Problem(cp.Minimize(cost), [*model, cp.abs(h) <= 0.03]), shared


@pytest.fixture(scope="module")
def parts():
    return [admm.area(*problem(p), p.name) for p in areas.cut(read_feeder("ieee33"), CUTS)]


@pytest.fixture(scope="module")
def options():
    feeder = read_feeder("ieee33")
    return {"scale": areas.stiffness(feeder, CUTS), "start": areas.flat(feeder), "tol": 1e-4}


@pytest.fixture(scope="module")
def here(parts, options):
    return admm.coordinate(parts, memory=10, **options)


@pytest.fixture(scope="module")
def client():
    with cloudedge.workers(2) as client:
        yield client


def same(a, b):
    assert a.iterations == b.iterations and a.status == b.status
    np.testing.assert_allclose(a.s, b.s, atol=1e-8, rtol=0)
    for name in ("x", "y", "lam"):
        assert len(getattr(a, name)) == len(getattr(b, name)) or (name == "x" and a.x == ())
        for x, y in zip(getattr(a, name), getattr(b, name)):
            np.testing.assert_allclose(x, y, atol=1e-8, rtol=0)
    np.testing.assert_allclose(a.history["cost"], b.history["cost"], atol=1e-8)


def test_workers_give_the_same_run_and_only_borders_travel(client, parts, options, here):
    found, ledger = cloudedge.coordinate(client, parts, memory=10, **options)
    same(found, here)
    assert found.x == () and (ledger.final_bytes, ledger.final_s) == (0, 0)
    assert len(ledger.round) == 3 * found.iterations and len(set(ledger.worker)) == 2
    copies = np.tile([len(a.labels) for a in parts], found.iterations)
    assert (ledger.bytes_out == 8 * 3 * copies).all()
    assert (ledger.bytes_in == 8 * (copies + 1)).all()
    assert (ledger.compute_s > 0).all() and (ledger.transfer_s > 0).all()
    assert (ledger.wait_s.reshape(-1, 3).min(axis=1) == 0).all() and not ledger.moved
    assert ledger.setup_bytes > 10 * ledger.bytes_out[:3].sum()


def kept(client):
    return sum(client.run(lambda: len(cloudedge._kept)).values())


def test_whole_answers_come_only_when_asked_for_and_are_counted(client, parts, options, here):
    found, ledger = cloudedge.coordinate(client, parts, memory=10, answers=True, **options)
    same(found, here)
    assert parts[0].restore(found.x[0]) == pytest.approx(parts[0].restore(here.x[0]), abs=1e-8)
    assert ledger.final_bytes == 8 * sum(3 * len(a.labels) + len(a.q) for a in parts)
    assert ledger.final_s > 0
    for _ in range(100):  # workers are told, not waited for
        if not kept(client):
            break
        time.sleep(0.05)
    assert kept(client) == 0


def test_with_the_root_as_the_cloud(client, parts, options):
    found, ledger = cloudedge.coordinate(client, parts[1:], parts[0], **options)
    same(found, admm.coordinate(parts[1:], parts[0], **options))
    assert set(ledger.area) == {"9", "26"}


def test_everything_listens_on_this_machine_only(client):
    info = client.scheduler_info(n_workers=-1)
    assert all("127.0.0.1" in a for a in (info["address"], *info["workers"]))
    psutil = pytest.importorskip("psutil")
    pids = [os.getpid(), *client.run(os.getpid).values()]
    heard = [c for pid in pids for c in psutil.Process(pid).net_connections("inet")
             if c.status == psutil.CONN_LISTEN]  # fmt: skip
    assert heard and {c.laddr.ip for c in heard} == {"127.0.0.1"}


def test_a_second_cluster_on_the_machine_is_no_reason_to_warn():
    with socket.socket() as other, warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(OSError):  # dask's own port: taken now, by us if by nobody else
            other.bind(("127.0.0.1", 8787))
            other.listen()
        with cloudedge.workers(1) as client:
            assert client.submit(abs, -3).result() == 3


def test_a_killed_worker_is_replaced_and_the_run_goes_on(client, parts, options, here):
    victim = next(iter(client.run(os.getpid).values()))

    def kill(k):
        if k == 4:
            os.kill(victim, signal.SIGKILL)

    found, ledger = cloudedge.coordinate(client, parts, on_round=kill, memory=10, **options)
    same(found, here)
    assert ledger.moved and all(k >= 4 for k, *_ in ledger.moved)
    client.wait_for_workers(2, timeout=60)


def test_a_hung_edge_is_named(client, parts, options):
    pids = client.run(os.getpid)

    def freeze(k):
        if k == 2:
            os.kill(next(iter(pids.values())), signal.SIGSTOP)

    try:
        with pytest.raises(
            cloudedge.CloudError, match=r"area \w+ on worker tcp.* round 2 within 2 s"
        ):
            cloudedge.coordinate(client, parts, timeout_s=2, on_round=freeze, **options)
    finally:
        for pid in pids.values():
            os.kill(pid, signal.SIGCONT)


def test_an_area_without_a_solution_is_named_from_the_worker(client):
    x = cp.Variable()
    bad = admm.area(cp.Problem(cp.Minimize(x**2), [x >= 1, x <= 0]), {"q": x}, "north")
    with pytest.raises(admm.SubproblemError, match="area north"):
        cloudedge.coordinate(client, [bad, bad])


def test_no_scheduler_is_said_plainly():
    with pytest.raises(cloudedge.CloudError, match="no scheduler answers"):  # noqa: SIM117
        with cloudedge.workers(scheduler="tcp://127.0.0.1:1", timeout_s=1):
            pass


def test_dask_is_imported_only_when_asked_for():
    code = "import sys, adnlib.cloudedge; print('distributed' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --- not waiting


def test_without_waiting_the_straggler_is_asked_less_and_the_end_is_the_same(parts, options):
    central = solve.solve(problem(areas.cut(read_feeder("ieee33"), [])[0])[0])
    late = partial.coordinate(
        partial.Simulated(parts, [1, 1, 5]), parts, central=central, **options
    )
    assert late.status == "converged" and abs(late.gap_to_central) < 2e-3
    assert late.answers[2] * 4 < late.answers[0]
    waiting = admm.coordinate(parts, **options).iterations * 5
    assert late.clock < waiting
    again = partial.coordinate(partial.Simulated(parts, [1, 1, 5]), parts, **options)
    np.testing.assert_array_equal(again.s, late.s)


def test_without_waiting_with_a_cloud_of_its_own(parts, options):
    cloud, edges = parts[0], parts[1:]
    with_cloud = admm.coordinate(edges, cloud, **options)
    found = partial.coordinate(
        partial.Simulated(edges, [1, 4]), edges, master=cloud, central=with_cloud.cost, **options
    )
    assert found.status == "converged" and abs(found.gap_to_central) < 1e-3
    assert found.answers[1] < found.answers[0] and found.z.keys() == with_cloud.z.keys()
    for label, value in with_cloud.z.items():
        assert found.z[label] == pytest.approx(value, abs=1e-2)
    with pytest.raises(admm.AdmmError, match="master"):
        partial.coordinate(partial.Simulated(edges, [1, 4]), edges, master=edges[0], **options)


def test_seconds_may_be_a_function(parts, options):
    given = options | {"tol": 1e-2}
    fixed = partial.coordinate(partial.Simulated(parts, [1, 1, 3]), parts, **given)
    drawn = partial.coordinate(partial.Simulated(parts, lambda k: [1, 1, 3][k]), parts, **given)
    assert drawn.clock == fixed.clock
    np.testing.assert_array_equal(drawn.s, fixed.s)


def test_equally_fast_areas_are_asked_equally_often(parts, options):
    late = partial.coordinate(partial.Simulated(parts, [1, 1, 1]), parts, **options)
    assert np.ptp(late.answers) <= 1
    with pytest.raises(admm.AdmmError, match="damping"):
        partial.coordinate(partial.Simulated(parts, [1, 1, 1]), parts, damping=0)


def test_without_waiting_on_real_workers(client, parts, options):
    carrier = cloudedge.Carrier(client, parts, slow={"26": 0.05})
    found = partial.coordinate(carrier, parts, **options | {"tol": 1e-3})
    assert found.status == "converged" and found.answers[2] < found.answers[0]
    assert found.cost == pytest.approx(admm.coordinate(parts, **options).cost, rel=1e-2)
    assert not carrier.waiting
    slow, ledger = cloudedge.coordinate(client, parts, slow={"26": 0.05}, max_iter=3, **options)
    assert (ledger.compute_s[ledger.area == "26"] >= 0.05).all()
    assert slow.iterations == 3 and ledger.wait_s[ledger.area == "9"].min() > 0


def test_a_hung_area_is_named_when_the_others_go_on(client):
    feeder = read_feeder("ieee33")
    two = [admm.area(*problem(p), p.name) for p in areas.cut(feeder, [9])]
    given = {"scale": areas.stiffness(feeder, [9]), "start": areas.flat(feeder), "tol": 0}
    carrier = cloudedge.Carrier(client, two, timeout_s=1.5, slow={"9": 4})
    with pytest.raises(cloudedge.CloudError, match=r"area 9 on worker .* within 1.5 s"):
        partial.coordinate(carrier, two, **given)
    assert not carrier.waiting  # closed, though it failed


def test_an_area_that_brings_its_workers_down_is_named(client, parts):
    cloud = cloudedge._Cloud(client, parts, 60)
    cloud.settle()
    with pytest.raises(cloudedge.CloudError, match="area 26 lost 5 workers in round 0"):
        for _ in range(cloudedge.MOST_MOVES + 1):
            cloud.place(2)
    cloud.forget()
