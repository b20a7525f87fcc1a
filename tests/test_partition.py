"""Areas of a feeder: distances by hand, every partition listed once, the best by brute force."""

from itertools import combinations

import numpy as np
import pytest

from adnlib import areas, linflow, partition, powerflow, read_feeder, siting

FEEDER = read_feeder("ieee33")
PV_AT, ESS_AT = (
    np.array([FEEDER.index(b) for b in buses])
    for buses in ((8, 14, 17, 25, 30, 32), (14, 17, 25, 32))
)


@pytest.fixture(scope="module")
def study():
    shape = 0.7 + 0.3 * np.sin(np.arange(24) / 24 * 2 * np.pi - 2)
    pv = 0.4 * np.maximum(np.sin((np.arange(24) - 6) / 12 * np.pi), 0)
    return siting.Study.of(FEEDER, shape, pv, s_max=0.55, p_max=0.25, energy=1.0)


@pytest.fixture(scope="module")
def table(study):
    return partition.for_study(study, partition.all_cuts(FEEDER, 3), most=4)


@pytest.fixture(scope="module")
def sensitivities():
    return linflow.sensitivities(FEEDER, powerflow.solve(FEEDER))


# --- distances


def chain_sensitivity():
    """Resistances 1, 1, 2 in a row, LinDistFlow: S_ij = length of the path both share."""
    far = np.array([1.0, 2.0, 4.0])
    return np.minimum.outer(far, far)


def test_distance_on_a_chain_is_half_the_log_of_the_lengths():
    d = partition.electrical_distance(chain_sensitivity())
    assert d[0, 1] == pytest.approx(np.log(2) / 2)
    assert d[0, 2] == pytest.approx(np.log(4) / 2)
    assert d[0, 2] == pytest.approx(d[0, 1] + d[1, 2])  # along a path distances add up
    assert (np.diag(d) == 0).all()


def test_distance_is_symmetric_and_nonnegative_on_the_exact_jacobian(sensitivities):
    for S in sensitivities:
        d = partition.electrical_distance(S)
        assert np.allclose(d, d.T) and (d >= 0).all()


def test_buses_on_different_top_branches_have_nothing_in_common():
    S = np.diag([1.0, 2.0])
    assert partition.attenuation(S)[0, 1] == 0
    assert partition.electrical_distance(S)[0, 1] == np.inf


def test_a_bus_that_does_not_answer_couples_to_nothing():
    S = np.array([[0.0, 0.0], [0.0, 1.0]])
    assert (partition.attenuation(S) == np.eye(2)).all()


def test_coupling_falls_along_the_main_line(sensitivities):
    c = partition.coupling(*sensitivities)
    line = [FEEDER.index(b) for b in range(2, 19)]
    assert (np.diff(c[line[0], line]) < 0).all()


def test_strengths_by_hand():
    c = np.array([[1, 0.5, 0.2], [0.5, 1, 0.4], [0.2, 0.4, 1]])
    inside, outside = partition.strengths(c, np.array([[0, 0, 1]]), 2)
    assert inside[0] == pytest.approx([0.5, 1.0])
    assert outside[0] == pytest.approx([0.3, 0.3])
    inside, outside = partition.strengths(c, np.array([[0, 0, 0]]), 1)
    assert (inside[0, 0], outside[0, 0]) == (pytest.approx(1.1 / 3), 0.0)


# --- messages


def test_most_devices_is_the_largest_that_keeps_the_delay():
    for degree in (2, 3, 5):
        for delay in (0.02, 0.05, 0.06, 0.11):
            n = partition.most_devices(delay, 0.02, degree)
            assert partition.hops(n, degree) * 0.02 <= delay + 1e-12
            assert partition.hops(n + 1, degree) * 0.02 > delay


def test_a_graph_without_spread_is_refused():
    with pytest.raises(partition.PartitionError, match="above 1"):
        partition.hops(5, 1)


# --- partitions


@pytest.mark.parametrize("n_areas", [1, 2, 3])
def test_every_connected_partition_once(n_areas):
    at = partition.all_cuts(FEEDER, n_areas)
    owner = partition.owners(FEEDER, at)
    assert len(at) == len(list(combinations(range(31), n_areas - 1)))
    assert len({tuple(row) for row in owner}) == len(owner)
    for row in owner[:: max(1, len(owner) // 40)]:  # one border fewer than areas: connected
        across = sum(row[j] != row[i] for j, i in enumerate(FEEDER.parent) if i >= 0)
        assert across == n_areas - 1 == len(set(row)) - 1


def test_owners_are_those_of_the_areas_module():
    at = partition.all_cuts(FEEDER, 3)
    for cuts, row in list(zip(at, partition.owners(FEEDER, at)))[::37]:
        assert (row == areas.owners(FEEDER, list(cuts))).all()


def test_order_of_the_cuts_does_not_matter():
    a, b = partition.owners(FEEDER, np.array([[7, 24], [24, 7]]))
    assert (a == b).all()


def test_too_many_areas_are_refused():
    with pytest.raises(partition.PartitionError, match="ask for 1 to 32"):
        partition.all_cuts(FEEDER, 40)


def test_bounds_hold_for_what_is_kept_and_for_nothing_else(table, sensitivities, study):
    at = partition.all_cuts(FEEDER, 3)
    mean = powerflow.solve(FEEDER, study.p.mean(axis=0), study.q.mean(axis=0))
    coupled = partition.coupling(*linflow.sensitivities(FEEDER, mean))
    level = partition.mean_coupling(coupled)
    kept = {tuple(row) for row in table.at}
    for cuts, owner in list(zip(at, partition.owners(FEEDER, at)))[::23]:
        good = True
        for a in range(3):
            mine, rest = np.flatnonzero(owner == a), np.flatnonzero(owner != a)
            pairs = [coupled[i, j] for i in mine for j in mine if i != j]
            good &= (np.mean(pairs) if pairs else 1.0) >= level
            good &= coupled[np.ix_(mine, rest)].mean() <= level
        assert (tuple(cuts) in kept) == good


def test_bounds_that_nothing_keeps_are_named(study):
    with pytest.raises(partition.PartitionError, match="widen the bounds"):
        partition.for_study(study, partition.all_cuts(FEEDER, 3), bound=(0.9, 0.1))


def test_best_is_that_of_brute_force(study, table):
    mean = powerflow.solve(FEEDER, study.p.mean(axis=0), study.q.mean(axis=0))
    dV_dp, dV_dq = linflow.sensitivities(FEEDER, mean)
    deviation = np.abs(study.without.V - 1).mean(axis=0)
    rng = np.random.default_rng(5)
    for _ in range(8):
        pv, ess = (np.sort(rng.permutation(FEEDER.n)[:m]) for m in (6, 4))
        values = []
        for owner in table.owner:
            h = np.zeros(FEEDER.n)
            for e in range(FEEDER.n):
                h[e] += sum(dV_dq[e, j] * study.q_max.min() for j in pv if owner[j] == owner[e])
                h[e] += sum(dV_dp[e, i] * study.p_max for i in ess if owner[i] == owner[e])
            counts = [np.bincount(owner[kind], minlength=3) for kind in (pv, ess)]
            kept = all(c.min() >= 1 and c.max() <= 4 for c in counts)
            values.append(h.sum() / deviation.sum() if kept else -np.inf)
        value, which = table.best(pv, ess)
        assert value[0] == pytest.approx(max(values))
        assert table.allows(pv, ess)[0] == np.isfinite(max(values))
        if np.isfinite(max(values)):
            assert values[which[0]] == pytest.approx(max(values))


def test_a_floor_on_the_ability_refuses_what_is_below(table):
    value = table.best(PV_AT, ESS_AT)[0][0]
    assert table.allows(PV_AT, ESS_AT, value - 1e-9)[0]
    assert not table.allows(PV_AT, ESS_AT, value + 1e-9)[0]


def test_one_area_reaches_everything(study):
    whole = partition.for_study(study, partition.all_cuts(FEEDER, 1), bound=(0, 1))
    three = partition.for_study(study, partition.all_cuts(FEEDER, 3), bound=(0, 1))
    assert whole.best(PV_AT, ESS_AT)[0][0] > three.best(PV_AT, ESS_AT)[0][0] > 0


def test_climbing_reaches_the_best_of_all(study, table):
    def table_of(at):
        return partition.for_study(study, at, most=4)

    best, which = table.best(PV_AT, ESS_AT)
    for start in ([8, 25], [10, 23], [14, 19]):
        cuts, value = partition.climb(FEEDER, start, table_of, PV_AT, ESS_AT)
        assert value == pytest.approx(best[0]) and cuts == tuple(table.at[which[0]])
    assert partition.climb(FEEDER, [4, 20], table_of, PV_AT, ESS_AT) == ((4, 20), -np.inf)
