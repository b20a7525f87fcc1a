"""The interval dispatch: a hand-sized feeder, one piece against areas, positions, replay."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from adnlib import Feeder, interval, planning, profiles

ONE = np.ones((1, 2, 2))


def small(**given):
    """A chain 1 - 2 - 3 - 4 with PV and a battery at 4, PV and a bank at 2, cut above 3."""
    bus = pd.DataFrame(
        {
            "bus": [1, 2, 3, 4],
            "p_mw": [0, 0.4, 0.5, 0.3],
            "q_mvar": [0, 0.2, 0.2, 0.1],
            "v_kv": 10.0,
        }
    )
    line = pd.DataFrame(
        {"from_bus": [1, 2, 3], "to_bus": [2, 3, 4], "r_ohm": [2, 3, 2.0], "x_ohm": [2, 2, 1.0]}
    )
    devices = interval.Devices(
        pv={2: 0.3, 4: 0.5}, s_per_mw=1.1, ess={4: (0.2, 0.4)}, soc=(0.1, 0.9, 0.5),
        efficiency=0.95, banks={2: (0.1, 4, 2, 6)}, oltc=(0.00625, 8, 4, 30),
    )  # fmt: skip
    plain = {
        "feeder": Feeder.from_tables(bus, line), "cuts": (3,), "devices": devices,
        "load": np.array([1.0, 0.9, 0.6, 0.5]), "pv": np.array([0.2, 0.6, 0.9, 0.8]),
        "factors": ONE, "prob": np.ones(1), "per_hour": 2,
    }  # fmt: skip
    return interval.Study(**plain | given)


TWO = {"factors": np.array([[[0.7, 1.05]] * 2, [[1.2, 0.95]] * 2]), "prob": np.array([0.4, 0.6])}


def test_injections_by_hand():
    study = small(factors=np.array([[[0.5, 2.0], [2.0, 1.0]]]))
    p, q = study.injections()
    assert p[0] == pytest.approx([0.5 * 0.2 * 0.3 - 2 * 0.4, -0.5, 2 * 0.2 * 0.5 - 0.3])
    assert p[2, 2] == pytest.approx(0.5 - 0.6 * 0.3)  # 1.8 times the rating is the rating
    assert q[1] == pytest.approx([-2 * 0.9 * 0.2, -0.9 * 0.2, -0.9 * 0.1])


def test_reach_leaves_the_circle_round_the_largest_output():
    reach = small(**TWO).reach()
    assert reach.shape == (4, 2)
    assert reach[0, 1] == pytest.approx(0.5 * np.sqrt(1.1**2 - (1.2 * 0.2) ** 2))


def test_a_reduced_set_keeps_the_circles_of_the_whole():
    study = small(**TWO)
    kept = interval.fewer(study, 1)
    assert kept.n_s == 1 and kept.reach() == pytest.approx(study.reach())
    assert interval.fewer(kept, 1).reach() == pytest.approx(study.reach())
    own = kept.with_scenarios(kept.factors, kept.prob)
    assert own.reach() == pytest.approx(study.reach())  # still, until pv_most is let go
    assert (replace(kept, pv_most=None).reach() >= study.reach()).all()


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(interval.IntervalError, match="2 areas"):
        small(factors=np.ones((1, 3, 2)))
    with pytest.raises(interval.IntervalError, match="whole hours"):
        small(load=np.ones(3), pv=np.ones(3))


def test_plan_and_exact_flow_agree():
    study = small(**TWO)
    plan, value, _ = planning.central(study)
    assert interval.objective(study, plan)["total"] == pytest.approx(value, rel=1e-6)
    assert value < interval.objective(study, interval.nothing(study))["total"]


def test_battery_keeps_its_energy_and_ends_where_it_starts():
    study = small()
    _, _, part = planning.central(study)
    energy = part.decided["energy"].value[:, 0]
    assert energy[-1] == pytest.approx(0.2, abs=1e-6)
    assert energy.min() > 0.04 - 1e-6 and energy.max() < 0.36 + 1e-6


def test_areas_agree_with_one_piece():
    study = small(**TWO)
    central = planning.central(study)[1]
    for cloud in (True, False):
        held = None if cloud else (np.zeros(2), np.zeros((2, 1)))
        if held:
            central = planning.central(study, held=held)[1]
        pair = planning.split(study, held=held, cloud=cloud)
        found, plan = pair.run(tol=1e-4, max_iter=200, central=central)
        assert found.status == "converged" and abs(found.priced / central - 1) < 1e-3
        assert interval.objective(study, plan)["total"] == pytest.approx(central, rel=2e-3)


def test_worst_case_is_the_largest_of_the_scenarios():
    study = small(**TWO)
    plan, value, _ = planning.central(study, worst=True)
    flow = interval.replay(study, plan)
    by_row = flow.p_loss + ((flow.V**2 - 1) ** 2).sum(axis=-1)
    assert by_row.max(axis=1).sum() + plan.lost.sum() == pytest.approx(value, rel=1e-4)


def test_whole_positions_are_near_and_keep_the_moves():
    study = small()
    plan = replace(interval.nothing(study), tap=np.array([0.4, 5.6]), bank=np.array([[0.2], [3.4]]))
    tap, bank = planning.rounded(study, plan)
    assert tap.tolist() in ([1, 5], [0, 4], [2, 6]) or abs(tap[1] - tap[0]) == 4
    assert abs(tap[1] - tap[0]) <= 4 and abs(bank[1, 0] - bank[0, 0]) <= 2
    free = replace(plan, tap=np.array([0.4, 1.6]), bank=np.array([[0.2], [1.4]]))
    tap, bank = planning.rounded(study, free)
    assert tap.tolist() == [0, 2] and bank[:, 0].tolist() == [0, 1]


def test_integer_problem_is_bounded_by_the_relaxed_one():
    from adnlib import certified

    study = small(load=np.array([1.0, 0.5]), pv=np.array([0.2, 0.8]))
    found = certified.solve(planning.integer(study), gap=1e-4, work_limit=5000)
    relaxed = planning.central(study)[1]
    held = planning.rounded(study, planning.central(study)[0])
    assert relaxed <= found.value + 1e-6
    assert found.bound <= planning.central(study, held=held)[1] + 1e-6


def test_refined_plan_keeps_the_band_in_the_exact_flow():
    study = small(**TWO, band=(0.9, 1.1))
    plan, left = planning.refined(study, interval.nothing(study))
    assert left == []
    V = interval.replay(study, plan).V
    assert V.min() >= 0.9 - 1e-6 and V.max() <= 1.1 + 1e-6
    better = interval.objective(study, plan)["total"]
    assert better < interval.objective(study, interval.nothing(study))["total"]


def test_local_positions_are_whole_and_within_limits():
    study = small(**TWO)
    tap, bank = planning.local_positions(study)
    assert (tap == np.round(tap)).all() and (np.abs(tap) <= 8).all()
    assert (bank == np.round(bank)).all() and (bank >= 0).all() and (bank <= 4).all()


@pytest.mark.parametrize("name", ["dcvc33", "dcvc123"])
def test_cases_are_whole(name):
    case = profiles.read_case(name)
    study = interval.study_of(case, n=5)
    assert study.n_t == 96 and study.n_s == 5 and study.n_h == 24
    owner = study.owner
    for kind in ("pv", "ess"):  # a correction needs two of each in every area
        at = [study.feeder.index(b) for b in getattr(study.devices, kind)]
        assert (np.bincount(owner[at], minlength=len(study.cuts) + 1) >= 2).all()


def test_representative_scenarios():
    case = profiles.read_case("dcvc33")
    many = interval.representative(case, 3, n=4000)
    assert many.values.shape == (4000, 3, 2)
    assert many.mean() == pytest.approx(np.ones((3, 2)), abs=0.02)
    assert many.std()[:, 1] == pytest.approx(0.05, rel=0.1)
    common = interval.representative(case, 3, common=True)
    assert (common.values == common.values[:, :1]).all() and common.n_s == 100
    box = interval.corners(case, 3)
    assert box.n_s == 4 and box.mean() == pytest.approx(np.ones((3, 2)))
