"""ADMM against what it must equal: whole problems, enumeration, exact flows, its own theory."""

import pickle

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adnlib import admm, areas, powerflow, read_feeder, solve
from adnlib.anderson import Anderson
from adnlib.feeder import FeederError

CALM = settings(derandomize=True, deadline=None, max_examples=15)
SEEDS = st.integers(0, 10_000)


def quadratic(rng, name, labels, n=5):
    """(area, problem, {label: expression}) of a random strongly convex problem in a ball."""
    x = cp.Variable(n)
    root, centre, B = rng.normal(size=(n, n)), rng.normal(size=n), rng.normal(size=(len(labels), n))
    problem = cp.Problem(
        cp.Minimize(cp.sum_squares(root @ x) + 0.1 * cp.sum_squares(x - centre) + 3.0),
        [cp.norm(x) <= 2, cp.sum(x) >= -1],
    )
    shared = {label: B[k] @ x for k, label in enumerate(labels)}
    return admm.area(problem, shared, name), problem, shared


def ring(seed, n=3):
    """n areas, each with one quantity shared with the next."""
    rng = np.random.default_rng(seed)
    names = [[f"q {k}", f"q {(k + 1) % n}"] for k in range(n)]
    return [quadratic(rng, f"area {k}", labels) for k, labels in enumerate(names)]


def whole(parts):
    """(value, {label: agreed}) of the same areas as one problem."""
    agreed = {}
    ties = [e == agreed.setdefault(k, cp.Variable()) for _, _, sh in parts for k, e in sh.items()]
    objective = sum(problem.objective.args[0] for _, problem, _ in parts)
    value = solve.solve(
        cp.Problem(cp.Minimize(objective), ties + [c for _, p, _ in parts for c in p.constraints])
    )
    return value, {k: float(z.value) for k, z in agreed.items()}


def piece_problem(piece, load=0.7, rows=1):
    own = piece.feeder
    h = cp.Variable((rows, own.n))
    p, q = -load * np.tile(own.p_load, (rows, 1)), h - load * np.tile(own.q_load, (rows, 1))
    model, shared, (_, _, ell, v) = areas.model(piece, p, q, rows)
    cost = cp.sum(ell @ own.r) + cp.sum_squares(v - 1)
    return cp.Problem(cp.Minimize(cost), [*model, cp.abs(h) <= 0.03]), shared


# --- a step


@CALM
@given(SEEDS)
def test_a_step_minimises_what_it_says(seed):
    rng = np.random.default_rng(seed)
    area, problem, shared = quadratic(rng, "one", ["a", "b"])
    z, lam, rho = rng.normal(size=2), rng.normal(size=2), rng.uniform(0.1, 10, 2)
    y = cp.hstack(list(shared.values()))
    more = lam @ (y - z) + 0.5 * cp.sum_squares(cp.multiply(np.sqrt(rho), y - z))
    referee = cp.Problem(cp.Minimize(problem.objective.args[0] + more), problem.constraints)
    value = solve.solve(referee)
    reply = admm.step(area, z, lam, rho)
    ours = reply.cost + lam @ (reply.y - z) + 0.5 * rho @ (reply.y - z) ** 2
    assert ours == pytest.approx(value, abs=1e-6)
    np.testing.assert_allclose(reply.y, y.value, atol=1e-4)
    assert area.restore(reply.x) == pytest.approx(reply.cost, abs=1e-7)


def test_a_step_depends_on_nothing_but_its_arguments():
    (area, _, _), *_ = ring(1)
    a, b = (
        (np.array([0.3, -0.2]), np.zeros(2), np.ones(2)),
        (np.ones(2), np.ones(2), np.full(2, 5.0)),
    )
    first = admm.step(area, *a)
    for other in (b, a, b):
        admm.step(area, *other)
    sent = pickle.loads(pickle.dumps(area))
    for same in (admm.step(area, *a), admm.step(sent, *a)):
        np.testing.assert_array_equal(same.x, first.x)
    with pytest.raises(admm.SubproblemError, match="area area 0 was sent here"):
        sent.restore(first.x)


def test_choices_are_enumerated_and_infeasible_ones_left_out():
    n, x = cp.Variable(name="n"), cp.Variable()
    problem = cp.Problem(cp.Minimize((x - 1.4) ** 2 + 0.1 * n), [x == 0.5 * n, x >= 0.6])
    message = np.array([2.0]), np.array([0.3]), np.array([0.7])
    reply = admm.step(admm.area(problem, {"x": x}, choices={n: range(6)}), *message)
    by_hand = {
        k: (k / 2 - 1.4) ** 2 + 0.1 * k + 0.3 * (k / 2 - 2) + 0.35 * (k / 2 - 2) ** 2
        for k in range(2, 6)
    }
    best = min(by_hand, key=by_hand.get)
    assert reply.y[0] == pytest.approx(best / 2, abs=1e-6)
    assert reply.cost == pytest.approx((best / 2 - 1.4) ** 2 + 0.1 * best, abs=1e-6)
    with pytest.raises(admm.SubproblemError, match="area none: none of its choices"):
        admm.step(admm.area(problem, {"x": x}, "none", {n: [0, 1]}), *message)


def test_errors_name_the_area():
    x, k = cp.Variable(2), cp.Variable(integer=True)
    least = cp.Minimize(cp.sum_squares(x))
    cases = (
        (cp.Problem(cp.Maximize(cp.sum(x)), [x <= 1]), {"x": x}, "convex"),
        (cp.Problem(cp.Minimize(cp.sum_squares(x) + k), [k >= 0]), {"x": x}, "integer"),
        (cp.Problem(least), {"x": x[0] ** 2}, "not affine"),
        (cp.Problem(cp.Minimize(cp.sum(cp.exp(x)))), {"x": x}, "second-order"),
    )
    for problem, shared, what in cases:
        with pytest.raises(admm.SubproblemError, match=f"area north.*{what}|{what}.*area north"):
            admm.area(problem, shared, "north")
    for problem, what in (
        (cp.Problem(least, [x >= 1, x <= 0]), "no point"),
        (cp.Problem(cp.Minimize(x[1])), "no end"),
    ):
        with pytest.raises(admm.SubproblemError, match=f"area north: .*{what}"):
            admm.step(admm.area(problem, {"x": x[0]}, "north"), *np.zeros((2, 1)), np.ones(1))


# --- rounds


@CALM
@given(SEEDS, st.sampled_from([{}, {"relax": 1.6}, {"memory": 6}, {"balance": True, "rho": 30.0}]))
def test_every_variant_ends_at_the_whole_problem(seed, options):
    parts = ring(seed)
    value, agreed = whole(parts)
    found = admm.coordinate(
        [a for a, _, _ in parts], tol=1e-5, max_iter=5000, central=value, **options
    )
    assert found.status == "converged" and max(found.residuals) <= 1e-5
    assert found.cost == pytest.approx(value, abs=1e-3)
    assert found.gap_to_central == pytest.approx((found.cost - value) / abs(value))
    for label, z in agreed.items():
        assert found.z[label] == pytest.approx(z, abs=1e-3)


@CALM
@given(SEEDS, st.floats(0.1, 10))
def test_plain_rounds_never_move_away_from_the_solution(seed, rho):
    parts = [a for a, _, _ in ring(seed)]
    end = admm.coordinate(parts, rho=rho, tol=1e-8, max_iter=20000, memory=10).s
    s, far = np.zeros_like(end), np.inf
    for _ in range(15):
        s = admm.coordinate(parts, rho=rho, tol=0, max_iter=1, s=s).s
        assert np.linalg.norm(s - end) <= far + 1e-6
        far = np.linalg.norm(s - end)


@pytest.mark.parametrize(("a", "b", "rho"), [(1, 4, 0.5), (1, 4, 2), (3, 0.2, 1), (1, 1, 7)])
def test_the_rate_of_two_quadratics_is_the_one_of_theory(a, b, rho):
    x, z = cp.Variable(), cp.Variable()
    edge = admm.area(cp.Problem(cp.Minimize(a / 2 * (x - 1) ** 2)), {"q": x})
    cloud = admm.area(cp.Problem(cp.Minimize(b / 2 * (z - 3) ** 2)), {"q": z})
    found = admm.coordinate([edge], cloud, rho=rho, tol=0, max_iter=8, s=np.array([10.0]))
    agreed = (a + 3 * b) / (a + b)
    off = [10 - agreed - b * (agreed - 3) / rho, found.s[0] - agreed - b * (agreed - 3) / rho]
    factor = (rho**2 + a * b) / ((rho + a) * (rho + b))
    assert off[1] / off[0] == pytest.approx(factor**8, rel=1e-4, abs=1e-6)


def test_a_cloud_without_a_cost_is_no_cloud():
    parts = [a for a, _, _ in ring(3)]
    labels = list(dict.fromkeys(k for a in parts for k in a.labels))[::-1]
    z = cp.Variable(3)
    idle = admm.area(cp.Problem(cp.Minimize(0 * cp.sum(z))), dict(zip(labels, z)))
    alone, led = (admm.coordinate(parts, m, tol=0, max_iter=20) for m in (None, idle))
    np.testing.assert_allclose(led.s, alone.s, atol=1e-6)


def test_a_run_goes_on_from_its_message():
    parts = [a for a, _, _ in ring(4)]
    long = admm.coordinate(parts, tol=0, max_iter=12)
    half = admm.coordinate(parts, tol=0, max_iter=6)
    again = admm.coordinate(parts, tol=0, max_iter=6, s=half.s)
    np.testing.assert_allclose(again.s, long.s, atol=1e-12)
    done = admm.coordinate(parts, tol=1e-4, max_iter=2000)
    assert admm.coordinate(parts, tol=1e-4, s=done.s).iterations == 1
    assert done.first(1e-4) == done.iterations and done.first(1e-9) is None


def test_who_carries_out_the_steps_does_not_matter():
    parts, seen = [a for a, _, _ in ring(5)], []

    def backwards(areas, messages):
        seen.append(len(areas))
        replies = [admm.step(a, *m) for a, m in reversed(list(zip(areas, messages)))]
        return replies[::-1]

    ours, theirs = (admm.coordinate(parts, tol=1e-6, memory=5, run=r) for r in (None, backwards))
    np.testing.assert_array_equal(ours.s, theirs.s)
    assert seen == [3] * theirs.iterations


def test_areas_that_do_not_fit_are_refused():
    (a, _, _), (b, _, _), (c, _, _) = ring(6)
    for arguments, options, what in (
        (([a, b],), {}, "'q 0' has one copy"),
        (([a, b, c],), {"scale": {"voltage": 3}}, "nothing shared is called 'voltage'"),
        (([a, b, c],), {"relax": 2}, "relax is 2"),
        (([a, b, c],), {"rho": 0}, "rho is 0"),
        (([a, b, c],), {"tol": -1e-3}, "tol is -0.001"),
        (([a, b, c],), {"memory": -1}, "memory is -1"),
        (([a, b, c],), {"scale": {"q 1": 0.0}}, "scale of 'q 1' is 0"),
        (([a, b, c],), {"s": np.zeros(5)}, r"shape \(5,\), these areas hold 6 copies"),
        (([a, b, c],), {"max_iter": 0}, "at least one round"),
        (([a, b, c], a), {}, "the master lacks 'q 2'"),
        (([a], b), {}, "lacks|holds"),
    ):
        with pytest.raises(admm.AdmmError, match=what):
            admm.coordinate(*arguments, **options)


# --- Anderson


def test_anderson_solves_a_linear_map_in_as_many_rounds_as_it_has_dimensions():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(4, 4))
    A *= 0.9 / np.linalg.norm(A, 2)
    c = rng.normal(size=4)
    s, path = np.zeros(4), Anderson(6)
    for _ in range(7):
        s, _ = path.next(s, A @ s + c)
    np.testing.assert_allclose(s, np.linalg.solve(np.eye(4) - A, c), atol=1e-4)


@CALM
@given(SEEDS)
def test_kept_points_never_have_a_larger_residual(seed):
    """The map: averaged with a projection, so that extrapolation often goes astray."""
    rng = np.random.default_rng(seed)
    R = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    T = lambda s: 0.5 * s + 0.5 * np.clip(R @ s + 1.0, -1, 2)  # noqa: E731
    s, path, kept = rng.normal(size=4), Anderson(3), []
    for _ in range(60):
        size = np.linalg.norm(T(s) - s)
        s, ok = path.next(s, T(s))
        if ok:
            kept.append(size)
    assert (np.diff(kept) <= 1e-12).all()


# --- cutting


@pytest.mark.parametrize("name", ["ieee33", "ieee119", "ieee123", "sw533"])
@pytest.mark.parametrize("n_areas", [2, 7])
def test_pieces_carry_the_flow_of_the_whole(name, n_areas):
    """With the borders' exact values the exact flow of each piece is that of the whole."""
    feeder = read_feeder(name)
    flow = powerflow.solve(feeder, tol=1e-12)
    pieces = areas.cut(feeder, areas.split(feeder, n_areas))
    assert len(pieces) == n_areas
    assert sorted(np.concatenate([p.place for p in pieces])) == list(range(feeder.n))
    for piece in pieces:
        p, q = piece.feeder.p.copy(), piece.feeder.q.copy()
        for bus, i in piece.below:
            if i >= 0:
                p[i] -= flow.P[feeder.index(bus)]
                q[i] -= flow.Q[feeder.index(bus)]
        above = feeder.parent[feeder.index(piece.top)] if piece.top else -1
        V_root = feeder.V_root if above < 0 else flow.V[above]
        own = powerflow.solve(piece.feeder, p, q, V_root=V_root, tol=1e-12)
        np.testing.assert_allclose(own.V, flow.V[piece.place], atol=1e-9)
        np.testing.assert_allclose(own.P, flow.P[piece.place], atol=1e-9)


def test_split_is_balanced_and_cuts_are_checked():
    feeder = read_feeder("ieee123")
    for n_areas in (1, 2, 5, 24):
        sizes = [p.feeder.n for p in areas.cut(feeder, areas.split(feeder, n_areas))]
        assert len(sizes) == n_areas and max(sizes) <= 4 * feeder.n / n_areas
    for buses, what in (([18, 18], "cut twice"), ([9999], "no bus 9999"), ([feeder.root], "root")):
        with pytest.raises(areas.CutError, match=what):
            areas.cut(feeder, buses)
    with pytest.raises(areas.CutError, match="cannot make"):
        areas.split(feeder, feeder.n + 1)
    assert issubclass(areas.CutError, ValueError) and issubclass(FeederError, ValueError)


@pytest.mark.parametrize("cuts", [[9, 26], [2], [2, 19, 6, 7], [18, 3]])
def test_areas_of_a_feeder_find_the_plan_of_the_whole(cuts):
    """Cuts at the root, at neighbouring branches, at a leaf; the cost within 0.1 %."""
    feeder = read_feeder("ieee33")
    central = solve.solve(piece_problem(areas.cut(feeder, [])[0], rows=2)[0])
    parts = [admm.area(*piece_problem(p, rows=2), p.name) for p in areas.cut(feeder, cuts)]
    found = admm.coordinate(parts, scale=areas.stiffness(feeder, cuts), memory=10, tol=1e-4,
                            start=areas.flat(feeder), central=central)  # fmt: skip
    assert found.status == "converged" and abs(found.gap_to_central) < 1e-3
    assert abs(found.priced / central - 1) < 1e-4
    assert set(found.z) == {f"{k} {c}[{t}]" for k in "vPQ" for c in cuts for t in range(2)}


def test_the_root_as_the_cloud_takes_fewer_rounds():
    feeder, options = read_feeder("ieee33"), {"memory": 10, "tol": 1e-4}
    parts = [admm.area(*piece_problem(p), p.name) for p in areas.cut(feeder, [9, 26])]
    options |= {"scale": areas.stiffness(feeder, [9, 26]), "start": areas.flat(feeder)}
    all_alike, led = (
        admm.coordinate(parts, **options),
        admm.coordinate(parts[1:], parts[0], **options),
    )
    assert led.iterations < all_alike.iterations
    assert led.cost == pytest.approx(all_alike.cost, rel=1e-3)
