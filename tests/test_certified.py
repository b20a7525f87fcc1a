"""The certified solver: against SCIP and enumeration, its bound, its limits, its verdicts."""

import itertools

import cvxpy as cp
import numpy as np
import pytest

from adnlib import certified, conic, solve
from adnlib.blocks import Blocks
from adnlib.patterns import Patterns, boxes, listed

SLACK = 1e-7  # relative, of bound <= optimum <= value


def random_problem(seed, held=None, size=None, reach=6):
    """A small feasible MISOCP, its features by the seed; held: the integers as constants."""
    rng = np.random.default_rng([seed, 17])
    n, k = int(rng.integers(2, 7)), int(rng.integers(2, 5))
    n = size or n
    boolean = seed % 3 == 0
    y = cp.Variable(n, **({"boolean": True} if boolean else {"integer": True}))
    y, x = y if held is None else held, cp.Variable(k)
    y0 = rng.integers(0, 2, n) if boolean else rng.integers(-3, 4, n)
    x0 = rng.standard_normal(k)
    A, B = rng.standard_normal((3, k)), rng.standard_normal((3, n))
    limits = [A @ x + B @ y <= A @ x0 + B @ y0 + rng.uniform(0.1, 1, 3), cp.abs(x) <= 5]
    for _ in range(2):
        C, D = rng.standard_normal((3, k)), rng.standard_normal((3, n))
        radius = np.linalg.norm(C @ x0 + D @ y0) + rng.uniform(0.1, 2)
        limits.append(cp.norm(C @ x + D @ y) <= radius)
    if not boolean:
        limits.append(cp.abs(y) <= reach)
    if seed % 4 == 1:
        e, f = rng.standard_normal(k), rng.integers(-2, 3, n)
        limits.append(e @ x + f @ y == e @ x0 + f @ y0)
    cost = rng.standard_normal(n) @ y + rng.standard_normal(k) @ x
    if seed % 2:
        E, F = rng.standard_normal((4, k)), rng.standard_normal((4, n))
        cost = cost + cp.sum_squares(E @ x + F @ y)
    if seed % 5 == 2:
        cost = cost + cp.quad_form(y, np.diag(rng.uniform(0.1, 1, n)))
    return cp.Problem(cp.Maximize(-cost) if seed % 4 == 2 else cp.Minimize(cost), limits)


def whole(problem):
    return [v for v in problem.variables() if v.attributes["boolean"] or v.attributes["integer"]]


def sense(problem):
    return -1 if isinstance(problem.objective, cp.Maximize) else 1


def brackets(problem, found, truth):
    """bound <= truth <= value, the other way round for a maximum."""
    s, slack = sense(problem), SLACK * max(1, abs(truth))
    return s * found.bound <= s * truth + slack and s * truth <= s * found.value + slack


# --- referees


@pytest.mark.parametrize("seed", range(24))
def test_scip_agrees(seed):
    """SCIP keeps rows to 1e-6 only, so its integers are judged by Clarabel with them held."""
    problem = random_problem(seed)
    found = certified.solve(problem, gap=1e-6)
    assert found.status == "optimal" and found.gap <= 1e-6
    (y,) = whole(problem)
    np.testing.assert_array_equal(y.value, np.round(y.value))
    assert max(np.max(c.violation()) for c in problem.constraints) < 1e-6
    assert problem.objective.value == pytest.approx(found.value, rel=1e-6, abs=1e-6)
    problem.solve(solver=cp.SCIP, scip_params={"limits/gap": 1e-9})
    truth = solve.solve(random_problem(seed, held=np.round(y.value)))
    assert brackets(problem, found, truth) or sense(problem) * truth > sense(problem) * found.value
    assert found.value == pytest.approx(truth, rel=2e-6, abs=2e-6)


@pytest.mark.parametrize("seed", [1, 2, 3, 6, 10])
def test_enumeration_agrees(seed):
    size = 3 if seed % 3 == 0 else 2
    problem = random_problem(seed, size=size, reach=3)
    found = certified.solve(problem, gap=1e-6)
    values, range_ = [], (0, 1) if seed % 3 == 0 else range(-3, 4)
    for y in itertools.product(range_, repeat=size):
        fixed = random_problem(seed, held=np.array(y, float), size=size, reach=3)
        if fixed.solve(solver=cp.CLARABEL) is not None and np.isfinite(fixed.value):
            values.append(fixed.value)
    truth = sense(problem) * min(sense(problem) * np.array(values))
    assert found.status == "optimal" and brackets(problem, found, truth)


def test_knapsack_by_hand():
    """Worth 6, 5, 4 of weights 3, 2, 2 in 4: the last two, 9."""
    take = cp.Variable(3, boolean=True)
    problem = cp.Problem(cp.Maximize([6, 5, 4] @ take), [[3, 2, 2] @ take <= 4])
    found = certified.solve(problem)
    assert found.value == pytest.approx(9) and take.value.tolist() == [0, 1, 1]
    assert found.value <= found.bound <= 9 * (1 + 1e-4)


# --- verdicts


def test_highs_that_somebody_gave_more_threads_runs_on():
    """HiGHS 1.16 refuses one thread after another user of it in this process has had two."""
    import highspy

    other = highspy.Highs()
    other.setOptionValue("output_flag", False)
    other.setOptionValue("threads", 2)
    other.setOptionValue("parallel", "on")
    other.run()
    found = certified.solve(random_problem(2), gap=1e-6)
    assert found.status == "optimal" and found.gap <= 1e-6


def test_a_problem_that_highs_refuses_is_no_bound(monkeypatch):
    import highspy

    monkeypatch.setattr(highspy.Highs, "run", lambda h: highspy.HighsStatus.kError)
    with pytest.raises(RuntimeError, match="refuses the problem"):
        certified.solve(random_problem(2), gap=1e-6)


def test_infeasible():
    n, x = cp.Variable(2, integer=True), cp.Variable(2)
    for limits in (
        [n[0] >= 0.2, n[0] <= 0.8],
        [n[0] * 2 == 1],
        [cp.norm(n - 0.5) <= 0.4],
        [cp.norm(x) <= 1, x[0] + n[0] == 3.5, n[0] <= 2],
        [x[0] >= 1, x[0] <= 0],
    ):
        problem = cp.Problem(cp.Minimize(cp.sum(n) + cp.sum(x)), [*limits, cp.abs(n) <= 9])
        found = certified.solve(problem)
        assert found.status == "infeasible" and found.value == found.bound == np.inf
        assert n.value is None
    assert certified.solve(cp.Problem(cp.Maximize(n[0]), [2 * n[0] == 1, n <= 3])).value == -np.inf


def test_unbounded():
    n, x = cp.Variable(integer=True), cp.Variable()
    found = certified.solve(cp.Problem(cp.Minimize(n + x), [x >= 0]))
    assert found.status == "unbounded" and found.value == -np.inf
    assert certified.solve(cp.Problem(cp.Maximize(n), [n >= x])).value == np.inf
    assert certified.solve(cp.Problem(cp.Minimize(x))).status == "unbounded"
    assert certified.solve(cp.Problem(cp.Minimize(x), [2 * n == 1])).status == "infeasible"


def test_continuous():
    x = cp.Variable(2)
    limit = cp.norm(x) <= 1
    problem = cp.Problem(cp.Minimize(x[0] + cp.sum_squares(x)), [limit, x[1] >= 0.5])
    found = certified.solve(problem, gap=1e-7)
    assert found.status == "optimal" and brackets(problem, found, 0.0)
    assert found.value == pytest.approx(0, abs=1e-7)
    problem.solve(solver=certified.CERTIFIED)
    mine = problem.constraints[1].dual_value
    problem.solve(solver=cp.CLARABEL)
    assert mine == pytest.approx(problem.constraints[1].dual_value, abs=1e-5)


def test_unbounded_integers_and_no_constraints():
    n = cp.Variable(2, integer=True)
    found = certified.solve(cp.Problem(cp.Minimize(cp.sum_squares(n - np.array([1e4, -2.7])))))
    assert found.status == "optimal" and n.value.tolist() == [1e4, -3]
    assert found.value == pytest.approx(0.09, rel=1e-6)
    found = certified.solve(cp.Problem(cp.Minimize(cp.square(n[0] - 3))))
    assert found.status == "optimal" and abs(found.value) < 1e-7
    assert certified.solve(cp.Problem(cp.Minimize(3), [n == 4])).value == 3
    assert certified.solve(cp.Problem(cp.Minimize(5))).value == 5


def test_other_cones_are_refused():
    n = cp.Variable(integer=True)
    with pytest.raises(cp.SolverError):
        certified.solve(cp.Problem(cp.Minimize(cp.exp(n))))


# --- limits and repetition


def hard(n=30):
    """Even sums in an odd ball: many nodes."""
    rng = np.random.default_rng(3)
    y, x = cp.Variable(n, boolean=True), cp.Variable(4)
    A = rng.uniform(0, 1, (4, n))
    problem = cp.Problem(cp.Minimize(cp.norm(A @ y + x - A.sum(axis=1) / 2.03) + 0.1 * cp.norm1(x)))
    problem.constraints.append(cp.abs(x) <= 0.01)
    return problem, y


def test_a_spent_budget_gives_the_best_point_and_its_gap():
    problem, _ = hard()
    found = certified.solve(problem, gap=1e-9, work_limit=60)
    assert found.status == "gap_open" and np.isfinite(found.value)
    assert found.gap == abs(found.value - found.bound) / max(abs(found.value), 1e-9) > 1e-9
    assert problem.objective.value == pytest.approx(found.value, rel=1e-6, abs=1e-7)
    late = certified.solve(problem, gap=1e-9, time_limit=0.0)
    assert late.status in ("gap_open", "no_incumbent") and late.bound <= found.value
    more = certified.solve(problem, gap=1e-9, work_limit=600)
    assert more.value <= found.value + 1e-9 and more.bound >= found.bound - 1e-9


def test_no_point_found():
    """No rounding keeps the equation, and the budget ends before HiGHS is asked."""
    n, x = cp.Variable(3, integer=True), cp.Variable()
    limits = [7 * n[0] + 11 * n[1] + 13 * n[2] == 23, cp.norm(n) + x <= 5, x >= 0]
    problem = cp.Problem(cp.Minimize(x + n[0]), limits)
    found = certified.solve(problem, work_limit=1)
    assert found.status == "no_incumbent" and np.isnan(found.value) and n.value is None
    assert certified.solve(problem).status == "optimal"
    assert found.bound <= certified.solve(problem).value


def test_a_work_limit_repeats_to_the_digit():
    def once():
        found = certified.solve(hard()[0], gap=1e-9, work_limit=300)
        return found.value, found.bound, [step[1:] for step in found.history]

    assert once() == once()


def test_the_history_closes_in():
    problem, _ = hard()
    history = certified.solve(problem, work_limit=400).history
    times, work, phases, values, bounds = zip(*history)
    assert phases[0] == "relax" and np.all(np.diff(times) >= 0) and np.all(np.diff(work) >= 0)
    assert all(a >= b for a, b in itertools.pairwise(values))
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(bounds))


# --- as a CVXPY solver


def test_as_a_solver_of_cvxpy():
    problem = random_problem(3)
    value = problem.solve(solver=certified.CERTIFIED)
    assert problem.status == "optimal"
    assert value == pytest.approx(certified.solve(random_problem(3)).value)
    assert problem.solver_stats.extra_stats.bound <= value
    again = random_problem(3)
    again.solve(solver=certified.Certified(gap=1e-6))
    assert sense(again) * again.value <= sense(again) * value + 1e-6
    with pytest.raises(TypeError, match="has no option 'speed'"):
        again.solve(solver=certified.CERTIFIED, speed=3)


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
def test_an_open_gap_is_labelled_inaccurate():
    problem, _ = hard()
    problem.solve(solver=certified.Certified(gap=1e-9), work_limit=60)
    assert problem.status == "optimal_inaccurate"


# --- the parts


def test_large_cones_are_split_exactly():
    rng = np.random.default_rng(5)
    A, b = rng.standard_normal((8, 3)), rng.standard_normal(8)
    b[0] = 9.0
    whole_cone = conic.model(np.ones(3), A, b, 0, 0, (8,), [], [])
    split = conic.split_cones(whole_cone)
    assert set(split.soc) == {3} and len(split.c) == 3 + 7
    assert conic.relax(split).value == pytest.approx(conic.relax(whole_cone).value, rel=1e-6)


def test_a_bound_holds_whatever_the_dual():
    """Any z, put into the cone, bounds from below: here noise on the right one."""
    problem = random_problem(7)
    data, *_ = problem.get_problem_data(certified.CERTIFIED)
    m = certified.matrices(data)
    r, rng = conic.relax(m), np.random.default_rng(0)
    for size in (0, 1e-6, 1e-3):
        z = conic.to_dual(m, r.z + size * rng.standard_normal(len(r.z)))
        found = conic.bound(m, z, m.c + m.A.T @ z, r.x, m.low, m.high)
        assert found <= r.value + 1e-7


# --- blocks and patterns


def ladders(n_t=4, n=3, seed=0):
    """Hours that meet in the moves of a ladder and in a store: every hour a small cone problem."""
    rng = np.random.default_rng(seed)
    sigma, flag = cp.Variable((n_t, n), boolean=True), cp.Variable(n_t - 1)
    u, y = cp.Variable(n_t), cp.Variable((n_t, 3))
    change = sigma[1:] - sigma[:-1]
    hard = [sigma[:, 1:] <= sigma[:, :-1], cp.sum(flag) <= 2, cp.abs(u) <= 1, cp.sum(u) == 0]
    hard += [cp.abs(change) <= cp.reshape(flag, (n_t - 1, 1), order="C") @ np.ones((1, n))]
    position, cost, limits = cp.sum(sigma, axis=1), 0, []
    want = rng.uniform(0.3, n - 0.3, n_t)
    for t in range(n_t):
        off = cp.hstack([position[t] - want[t] + 0.3 * y[t, 2], 0.5 * y[t, 2] + y[t, 0] - 0.2])
        limits += [cp.norm(off) <= y[t, 1], y[t, 0] >= 0, y[t, 0] <= 1, y[t, 1] <= n]
        limits.append(y[t, 2] == u[t])
        cost += y[t, 1] + rng.uniform(0.1, 0.5) * y[t, 0]
    return cp.Problem(cp.Minimize(cost), hard + limits), sigma


def taken_apart(problem):
    m = certified.matrices(problem.get_problem_data(certified.CERTIFIED)[0])
    r = conic.relax(m)
    blocks = Blocks(m, r.x)
    patterns = Patterns(blocks, r.x)
    for learn in (blocks.add, patterns.learn):
        learn(r.z)
    return m, r, blocks, patterns


def schedules(m, n_t=4, n=3):
    """Answers of all schedules of the ladder that keep its limits, by enumeration."""
    fixed, out = conic.Fixed(m), []
    for positions in itertools.product(range(n + 1), repeat=n_t):
        y = np.zeros(n * n_t)
        for t, k in enumerate(positions):  # CVXPY goes by columns: rung s of hour t at n_t s + t
            y[t + n_t * np.arange(k)] = 1
        out.append(fixed.solve(y))
    return [a for a in out if a.status == "optimal"]


def lowest(linear):
    """Least cost of a linear problem without its integers."""
    whole, linear.integer = linear.integer, np.zeros(0, int)
    found, linear.integer = linear.solve(), whole
    return found.bound


def test_pattern_cuts_cut_no_integer_point_off():
    """Every schedule of the ladder, its store at the best, keeps all rows of the linear problem."""
    m, r, blocks, patterns = taken_apart(ladders()[0])
    assert blocks.count == 4 and sorted(len(t.patterns) for t in patterns.tables) == [4] * 4
    price, x = patterns.slopes[0], r.x[blocks.device]
    rng = np.random.default_rng(1)
    before = lowest(blocks.linear)
    for rank in range(4):
        pick = patterns.nearest(x, patterns.devices[0], rank)
        status, z, _ = patterns.probe(patterns.devices[0], pick, price)
        assert status == "optimal"
        blocks.add(z)
        patterns.learn(z)
    for _ in range(3):
        patterns.cut(price + 0.2 * rng.standard_normal(len(price)))
    patterns.cut(price)
    after, points = lowest(blocks.linear), schedules(m)
    for a in points:
        value = blocks.of_col @ (m.c * a.x)[blocks.rest]
        whole = np.r_[a.x[blocks.device], value, np.zeros(4 * 4)]
        for t in patterns.tables:
            here = a.x[blocks.device][patterns.column[t.pairs]]
            whole[t.shares] = (t.patterns == np.round(here)).all(axis=1)
        for A, lower, upper in blocks.linear.parts:
            assert (A @ whole <= upper + 1e-5).all() and (A @ whole >= lower - 1e-5).all()
    least = min(a.value for a in points)
    assert len(points) > 50 and before + 0.05 < after <= least + 1e-6


def test_blocks_are_solved_and_repeat():
    def once():
        found = certified.solve(ladders(seed=3)[0], gap=1e-6, work_limit=3000)
        return found.value, found.bound, [step[1:] for step in found.history]

    value, bound, history = once()
    assert (value, bound, history) == once() and "weigh" in [step[1] for step in history]
    least = min(a.value for a in schedules(taken_apart(ladders(seed=3)[0])[0]))
    assert value == pytest.approx(least, rel=2e-6)
    assert value - bound <= 1e-6 * value + 1e-7 and bound <= least * (1 + SLACK)


def test_patterns_and_boxes_by_enumeration():
    rng = np.random.default_rng(2)
    A, upper = rng.integers(-2, 3, (4, 5)).astype(float), np.array([2.0, 1.0, 3.0, 2.0])
    lower, low, high = np.full(4, -np.inf), np.zeros(5), np.ones(5)
    points = np.array(list(itertools.product((0, 1), repeat=5)), float)
    kept = points[(points @ A.T <= upper).all(axis=1)]
    least, most = boxes(A, lower, upper, low, high)
    assert (kept >= least).all() and (kept <= most).all()
    found = listed(A, lower, upper, low, high, np.arange(5))
    assert sorted(map(tuple, found)) == sorted(map(tuple, kept))
    some = {tuple(p[:2]) for p in kept}
    assert some <= {tuple(p) for p in listed(A, lower, upper, low, high, np.arange(2))}
