"""Where the time of cloud-edge rounds on real worker processes goes (chapter 10).

The rounds of cloud_edge_work with N_S scenarios. A row is a run: waiting for every edge in each
round, on one worker and on two; then one worker an edge and a straggler that answers slow_s late,
with and without waiting, to TOL. bytes: of all messages and answers. Seconds of the machine named,
summed over edges and rounds: cloud_s inside the cloud's own solves, compute_s the edges' steps,
transfer_s transport and queueing, wait_s from an edge's answer to the last one of its round;
total_s by the wall. Bytes, rounds and answers of waiting runs do not depend on the machine.
"""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd

from adnlib import admm, cloudedge, partial, profiles
from tools.sweeps import load

WORK = load(Path(__file__).with_name("cloud_edge_work.py"))
DEPENDS = [
    *WORK.DEPENDS,
    "adnlib/cloudedge.py",
    "adnlib/partial.py",
    "data/results/cloud_edge_work.py",
]
RTOL = 0.07  # of rounds: a residual may cross its limit a round sooner or later
N_S, TOL, STRAGGLER = 20, 1e-3, "26"


def machine():
    """Processor, cores, and how many processes were running."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    running = os.getloadavg()[0] if hasattr(os, "getloadavg") else np.nan
    return {
        "processor": names[0] if names else "unknown",
        "cores": os.cpu_count(),
        "load": round(running, 1),
    }


def waiting(client, edges, cloud, given, slow=None):
    begun = time.perf_counter()
    found, ledger = cloudedge.coordinate(client, edges, cloud, slow=slow, **given)
    total = time.perf_counter() - begun
    compute = ledger.compute_s.sum()
    return {
        "rounds": found.iterations, "answers": len(ledger.round),
        "bytes": int(ledger.bytes_out.sum() + ledger.bytes_in.sum()),
        "setup_bytes": ledger.setup_bytes, "cloud_s": found.history["solver_s"].sum() - compute,
        "compute_s": compute, "transfer_s": ledger.transfer_s.sum(), "wait_s": ledger.wait_s.sum(),
        "total_s": total,
    }  # fmt: skip


def not_waiting(client, edges, cloud, given, slow):
    carrier = cloudedge.Carrier(client, edges, slow=slow)
    options = {k: v for k, v in given.items() if k != "memory"}
    found = partial.coordinate(carrier, edges, master=cloud, **options)
    sizes = np.array([32 * len(e.labels) + 8 for e in edges])
    return {"answers": int(found.answers.sum()), "bytes": int(found.answers @ sizes),
            "total_s": found.clock}  # fmt: skip


def run():
    case, rows = profiles.read_case("cloud_edge"), []
    for name in WORK.FEEDERS:
        edges, cloud, _, given = WORK.stated(name, N_S, case)
        for n_workers in case["timed.workers"]:
            with cloudedge.workers(n_workers) as client:
                waiting(client, edges, cloud, given | {"tol": 0, "max_iter": 2})  # wakes all up
                key = {"feeder": name, "workers": n_workers, "way": "waiting", "slow_s": 0.0}
                rows.append(key | waiting(client, edges, cloud, given) | machine())
    edges, cloud, _, given = WORK.stated("ieee33", N_S, case)
    late = case["timed.slow_s"]
    with cloudedge.workers(len(edges)) as client:
        waiting(client, edges, cloud, given | {"tol": 0, "max_iter": 2})
        for way, go in (("waiting", waiting), ("not waiting", not_waiting)):
            key = {"feeder": "ieee33", "workers": len(edges), "way": way, "slow_s": late}
            found = go(client, edges, cloud, given | {"tol": TOL}, {STRAGGLER: late})
            rows.append(key | found | machine())
    return pd.DataFrame(rows)


def one_point():
    case = profiles.read_case("cloud_edge")
    edges, cloud, _, given = WORK.stated("ieee33", N_S, case)
    found = admm.coordinate(edges, cloud, **given)
    size = sum(32 * len(e.labels) + 8 for e in edges)
    key = {"feeder": "ieee33", "workers": 1, "way": "waiting"}
    return key, {"rounds": found.iterations, "bytes": found.iterations * size}
