"""The benchmarks run, compare what they time, and rest on trees that are what they claim to be."""

import doctest
import json
import re

import numpy as np
import pandas as pd
import pytest

from adnlib import powerflow, read_feeder
from benchmarks import (
    batch,
    distopf_speed,
    growth,
    linear,
    peers,
    run,
    sweep_speed,
    timing,
    trees,
)

REAL = ("ieee33", "ieee119", "ieee123", "sw533")


@pytest.fixture(scope="module")
def feeders():
    return {name: read_feeder(name) for name in REAL}


# --- the trees


def test_same_seed_same_feeder():
    a, b, other = trees.feeder(200, seed=3), trees.feeder(200, seed=3), trees.feeder(200, seed=4)
    for name in ("parent", "r", "x", "p_load", "q_load"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert not np.array_equal(a.parent, other.parent)
    assert not np.array_equal(a.r, other.r)


@pytest.mark.parametrize("size", [2, 3, 10, 33, 333, 3333])
@pytest.mark.parametrize("drop", [0.01, 0.06, 0.2])
def test_size_depth_and_drop_are_as_asked(size, drop):
    f = trees.feeder(size, seed=size, drop=drop)
    assert f.n == size - 1
    assert f.depth.max() == trees.max_depth(size - 1)
    assert 1 - powerflow.solve(f).V.min() == pytest.approx(drop, abs=1e-6)


def test_the_depth_law_is_the_geometric_mean_of_the_real_feeders(feeders):
    c = [f.depth.max() / f.n ** (1 / 3) for f in feeders.values()]
    assert np.exp(np.mean(np.log(c))) == pytest.approx(4, abs=0.1)
    assert trees.max_depth(1000) == 40 and trees.max_depth(8000) == 80


def test_statistics_lie_among_those_of_the_real_feeders(feeders):
    """Each figure within the range of the four real feeders; the tree is large, so that it is
    the law that is tested and not one draw."""

    def figures(f):
        z, load = np.hypot(f.r, f.x), f.p_load[f.p_load > 0]
        z_ohm = z[z > 0] * f.v_base_kv[z > 0] ** 2 / f.s_base_mva
        children = np.bincount(f.parent[f.parent >= 0], minlength=f.n)
        return {
            "median |z| in ohm": np.median(z_ohm),
            "spread of |z|": np.std(np.log(z_ohm)),
            "x / r": np.median(f.x[f.r > 0] / f.r[f.r > 0]),
            "spread of loads": np.std(np.log(load)),
            "buses without load": np.mean(f.p_load == 0),
            "q / p": f.q_load.sum() / f.p_load.sum(),
            "ends": np.mean(children == 0),
            "mean depth over depth": f.depth.mean() / f.depth.max(),
        }

    real, ours = [figures(f) for f in feeders.values()], figures(trees.feeder(3333))
    for name, value in ours.items():
        low, high = min(r[name] for r in real), max(r[name] for r in real)
        assert low * 0.95 <= value <= high * 1.05, (name, low, value, high)


@pytest.mark.parametrize(
    "wrong", [{"n_buses": 1}, {"n_buses": 9, "drop": 0}, {"n_buses": 9, "drop": 1}]
)
def test_a_wrong_size_or_drop_is_refused(wrong):
    with pytest.raises(ValueError, match=r"n_buses is 1|drop is"):
        trees.feeder(**wrong)


def test_the_example_in_the_docstring():
    assert doctest.testmod(trees) == (0, 2)


# --- the timing


def test_methods_run_in_turns_and_ratios_are_paired():
    order = []
    jobs = {"a": lambda: order.append("a"), "b": (lambda: order.append("b"), 4)}
    seconds = timing.alternate(jobs, rounds=3)
    assert order == ["a", "b"] * 4  # one warm-up
    assert {name: t.shape for name, t in seconds.items()} == {"a": (3,), "b": (3,)}
    seconds = {"a": np.array([1.0, 2, 10]), "b": np.array([3.0, 4, 30])}
    a, b = timing.rows("s", 5, 7, seconds, "a", scale={"b": 2})
    assert (a["ratio"], b["ratio"]) == (1, 6)
    assert (b["median_s"], b["min_s"], b["max_s"]) == (8, 6, 60)


def test_exponents():
    found = timing.exponents([10, 100, 1000], [1, 10, 1000])
    assert found == pytest.approx({"10-100": 1, "100-1000": 2, "10-1000": 1.5})


def test_peak_memory_sees_an_array():
    assert 7.9 <= timing.peak_mib(lambda: np.ones(2**20)) <= 8.1


def test_a_method_that_disagrees_is_not_timed():
    V = np.ones((2, 3))
    batch.agree("same", V + 5e-9, V)
    for wrong in (V + 2e-8, V * np.nan):
        with pytest.raises(AssertionError, match="other and adnlib differ"):
            batch.agree("other", wrong, V)


def test_a_peer_without_ratios_refuses_them(feeders):
    with pytest.raises(ValueError, match="no ratios and shunts"):
        peers.grid_model(feeders["ieee123"])


def test_checks_tell_a_miss_from_a_hit():
    slow = [{"method": batch.NEWTON, "ratio": 4.9}, {"method": batch.LOOP, "ratio": 1001}]
    assert [holds for *_, holds in batch.checks(slow)] == [False, True]
    assert batch.checks([]) == []
    for power, holds in ((1.1, True), (1.2, False)):
        rows = [
            {"method": "adnlib", "scenarios": 1, "size": n, "min_s": n**power} for n in growth.SIZES
        ]
        assert {h for *_, h in growth.checks(rows)} == {holds}


def test_finite_differences_are_sensitivities():
    from adnlib import linflow

    f = trees.feeder(33)
    flow = powerflow.solve(f)
    for rough, exact in zip(linear.differences(f, flow), linflow.sensitivities(f, flow)):
        np.testing.assert_allclose(rough, exact, rtol=0, atol=1e-3 * np.abs(exact).max())


# --- the whole


def test_the_smallest_sizes_run(capsys, monkeypatch):
    for name in run.THREADS:
        monkeypatch.setenv(name, "1")  # run sets them: put back afterwards
    tables = run.main(["--small"])
    said = capsys.readouterr().out
    assert list(tables) == list(run.SUBJECTS)
    assert re.search(r"^\.{24}   0 % \[1/\d+\] batch: 200 scenarios", said, re.M)
    assert "s left)" in said and re.search(r"^#{24} 100 % \[(\d+)/\1\] done in", said, re.M)
    for subject, rows in tables.items():
        assert rows and all(row["subject"] == subject and row["median_s"] > 0 for row in rows)
    names = {row["method"] for row in tables["batch"]}
    assert {batch.OURS, batch.NEWTON, batch.LOOP} <= names
    names = {row["method"] for row in tables["admm_speed"]}
    assert {"coordinate", "one worker", "two workers", "by buses"} <= names


def test_the_bar_fills_and_the_estimate_follows_what_was_spent(monkeypatch, capsys):
    assert [run.bar(s, 4) for s in (0, 0.24, 0.5, 1)] == ["....", "....", "##..", "####"]
    assert run.remaining(0, 100, 3.0) == "100 s"  # nothing done: the weights
    assert run.remaining(20, 100, 40.0) == "160 s"  # slower than the weights say
    assert run.remaining(10, 1000, 10.0) == "16 min"
    monkeypatch.setattr(run.sys.stdout, "isatty", lambda: True, raising=False)
    run.show(0.5, "half")
    run.show(1.0, "whole", last=True)
    said = capsys.readouterr().out
    assert said.count("\r") == 2 and said.count("\n") == 1 and said.endswith("\n")


def test_workers_that_give_other_results_are_not_timed():
    a = [np.array([1.0, 2.0]), np.array([3.0])]
    assert sweep_speed.equal(a, [x.copy() for x in a])
    assert not sweep_speed.equal(a, [a[0], np.nextafter(a[1], 4)])
    assert not sweep_speed.equal(a, a[:1])


def test_both_ways_to_an_optimal_flow_agree_where_losses_are_small():
    feeder, at, p = distopf_speed.job()
    for q, V in (distopf_speed.by_linear(feeder, at, p), distopf_speed.by_cone(feeder, at, p)):
        assert np.abs(q).max() <= distopf_speed.Q_MVAR + 1e-6
        whole = feeder.q.copy()
        whole[at] += q
        exact = powerflow.solve(feeder, p, whole)
        assert exact.p_loss < powerflow.solve(feeder, p).p_loss
        np.testing.assert_allclose(exact.V, V, rtol=0, atol=0.01)
    np.testing.assert_allclose(exact.V, V, rtol=0, atol=1e-5)  # the cone's


def test_a_missing_peer_is_skipped_and_said(monkeypatch, capsys):
    monkeypatch.setattr(peers, "installed", lambda package: False)
    monkeypatch.setattr(run, "installed_version", lambda package: None)
    run.say_missing()
    assert "power-grid-model is not installed: skipped" in capsys.readouterr().out
    rows = batch.compare(20, small=True)
    assert {row["method"] for row in rows} == {"adnlib", "adnlib at 1e-08"}
    assert batch.checks(rows) == []


def test_results_are_written_beside_what_made_them(tmp_path):
    rows = timing.rows("batch", 33, 1, {batch.OURS: np.ones(3)}, batch.OURS)
    run.write({"batch": rows}, run.machine(), tmp_path)
    about = json.loads((tmp_path / "machine.json").read_text())
    assert {"date", "processor", "cores", "versions", "load_before"} <= set(about["batch"])
    assert (tmp_path / "batch.csv").read_text().startswith("subject,method,size,scenarios")


def test_an_unknown_subject_is_refused(capsys):
    with pytest.raises(SystemExit):
        run.main(["speed"])
    assert "there is no subject 'speed'" in capsys.readouterr().err


def test_a_case_measured_anew_takes_the_place_of_its_stored_rows(tmp_path, monkeypatch):
    rows = [{"subject": "misocp", "method": m, "note": "", "case": c, "gap": g, "value": v}
            for c, m, g, v in (("a", "x", 0.1, 1.0), ("b", "x", 0.2, np.nan))]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "misocp.csv", index=False)
    (kept,) = run.stored_rest("misocp", ["a"], tmp_path)
    assert kept["case"] == "b" and kept["gap"] == 0.2 and np.isnan(kept["value"])
    assert kept["note"] == ""
    monkeypatch.setattr(run, "measure", lambda *given: pytest.fail("measured before it is known"))
    with pytest.raises(SystemExit, match="batch has no stored cases"):
        run.main(["batch", "--case", "200 scenarios", "--out", str(tmp_path)])
