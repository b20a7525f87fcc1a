"""The real-time stage: instants under a plan, corrections area by area."""

from dataclasses import replace

import numpy as np
import pytest

from adnlib import areacontrol, interval, powerflow, profiles


@pytest.fixture(scope="module")
def study():
    return interval.study_of(profiles.read_case("dcvc33"), n=2)


@pytest.fixture(scope="module")
def plan(study):
    """Nothing but the tap, low by night and lower by day, so that some instants leave the band."""
    return replace(interval.nothing(study), tap=np.where(study.pv[::4] > 0.1, -1.0, 3.0))


def test_draws_have_their_means(study):
    t, factors = areacontrol.draw(study, 20000, np.random.default_rng(1), 6.06, 0.05)
    assert t.min() == 0 and t.max() == 95 and factors.shape == (20000, 3, 2)
    assert factors.mean(axis=0) == pytest.approx(np.ones((3, 2)), abs=0.01)
    assert factors[..., 0].std() == pytest.approx(0.276, abs=0.01)


def test_instants_at_the_forecast_are_the_plan(study, plan):
    at = areacontrol.instants(study, plan, [10, 48], np.ones((2, 3, 2)))
    one = study.with_scenarios(np.ones((1, 3, 2)), [1.0])
    flow = interval.replay(one, plan)
    assert np.allclose(at.planned.V, flow.V[[10, 48], 0])
    seen = powerflow.solve(study.feeder, at.p, at.q, V_root=at.V_root)
    assert np.allclose(seen.V, at.planned.V)


def test_corrections_end_inside_and_touch_violating_instants_only(study, plan):
    drawn = areacontrol.draw(study, 400, np.random.default_rng(2), 6.06, 0.05)
    at = areacontrol.instants(study, plan, *drawn)
    for bounded in (True, False):
        more = {"most": 60} if bounded else {}
        done = areacontrol.correct(study, plan, at, bounded=bounded, **more)
        assert 0 < done.violated.sum() < 400
        calm = ~done.violated
        assert (done.p[calm] == at.p[calm]).all() and (done.q[calm] == at.q[calm]).all()
        assert done.solved[done.violated].mean() > 0.5
        again = powerflow.solve(study.feeder, done.p, done.q, V_root=at.V_root)
        assert areacontrol.inside(again, study.band).tolist() == done.solved.tolist()


def test_a_border_beyond_its_batteries_stays_off_by_no_more_than_the_excess(study, plan):
    drawn = areacontrol.draw(study, 400, np.random.default_rng(2), 6.06, 0.05)
    at = areacontrol.instants(study, plan, *drawn)
    done = areacontrol.correct(study, plan, at, kappa=0.3, most=120)
    some = areacontrol.subset(at, np.flatnonzero(done.violated))
    top, one = study.feeder.index(9), done.by_area[1]
    ess, _ = areacontrol.clusters(study, plan, some, 1, "ring")
    off = one.before.P[:, top] - some.planned.P[:, top]
    limit = np.where(off[:, None] > 0, ess.upper, ess.lower)
    excess = np.abs(off) - np.abs(limit).sum(axis=1)
    beyond, within = one.active & (excess > 0.05), one.active & (excess < -0.05)
    assert beyond.sum() >= 5 and within.any()
    assert np.allclose(one.dp[beyond], limit[beyond], atol=1e-9)  # all stand at their limits
    left = np.abs(one.boundary[:, 0])
    assert (np.abs(left - excess)[beyond] < 0.1 * np.abs(off)[beyond]).all()  # the rest: loss
    assert np.median(left[within]) < 1e-3


def test_devices_stay_inside_their_room(study, plan):
    drawn = areacontrol.draw(study, 400, np.random.default_rng(3), 6.06, 0.05)
    at = areacontrol.instants(study, plan, *drawn)
    done = areacontrol.correct(study, plan, at, most=40)
    ess = [study.feeder.index(b) for b in study.devices.ess]
    pv = [study.feeder.index(b) for b in study.devices.pv]
    assert np.abs((done.p - at.p)[:, ess]).max() <= 0.25 + 1e-9
    q, p = (done.q - at.q)[:, pv], at.output * 0.6
    assert (q**2 + p**2 <= 0.66**2 + 1e-9).all()


def test_nothing_to_correct(study, plan):
    calm = areacontrol.instants(study, plan, [20], np.ones((1, 3, 2)))
    wide = replace(study, band=(0.5, 1.5))
    done = areacontrol.correct(wide, plan, calm)
    assert not done.violated.any() and done.solved.all() and done.by_area == []
