"""The rule against hand results, a plain loop, the exact flow, and its own promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adnlib import linflow, powerflow, read_feeder, zones
from adnlib.capability import Room
from adnlib.zones import Stage

RULE = zones.stages((0.97, 1.03), (0.95, 1.05))
ONE = zones.stages((0.97, 1.03))
SEEDS = settings(deadline=None, derandomize=True, database=None, max_examples=60)


def room(k, q=1.0, p=(0.0, 1.0), s=np.inf):
    ones = np.ones(k)
    return Room(-q * ones, q * ones, p[0] * ones, p[1] * ones, s * ones)


# --- zones --------------------------------------------------------------------------------------


def test_amount_is_zero_inside_and_linear_outside():
    stage = Stage("q", "renewable", 0.97, 1.03)
    V = np.array([0.90, 0.97, 1.0, 1.03, 1.06])
    assert zones.amount(V, stage) == pytest.approx([0.07, 0, 0, 0, -0.03])


def test_event_is_triggered_by_one_bus_outside_the_optimal_interval():
    V = np.array([[1.0, 1.0], [1.0, 1.031], [0.9, 1.0], [1.03, 0.97]])
    assert zones.event(V, RULE).tolist() == [False, True, True, False]


def test_order_of_the_stages():
    assert [(s.quantity, s.source) for s in RULE] == [
        ("q", "renewable"), ("q", "storage"), ("p", "renewable"), ("p", "storage"),
    ]  # fmt: skip
    assert [(s.V_low, s.V_high) for s in RULE] == [(0.97, 1.03)] * 2 + [(0.95, 1.05)] * 2


@pytest.mark.parametrize(
    ("given", "words"),
    [(("v", "renewable", 0.9, 1), "not 'v'"), (("q", "wind", 0.9, 1), "wind"),
     (("q", "storage", 1.0, 1.0), "V_low")],
)  # fmt: skip
def test_bad_stages_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        Stage(*given)


# --- fill ---------------------------------------------------------------------------------------


def by_loop(need, sensitivity, x, low, high):
    """The paper's words, plant by plant."""
    dx, left = np.zeros(len(x)), need
    for r in np.argsort(-np.abs(sensitivity), kind="stable"):
        if sensitivity[r] == 0:
            continue
        lo, hi = min(low[r] - x[r], 0), max(high[r] - x[r], 0)
        dx[r] = np.clip(left / sensitivity[r], lo, hi)
        left -= sensitivity[r] * dx[r]
    return dx


def test_fill_by_hand():
    """0.03 needed: the plant of 0.2 gives its 0.1 (0.02), that of 0.1 the rest."""
    dx = zones.fill(0.03, np.array([0.1, 0.2, 0.05]), np.zeros(3), -np.ones(3), np.full(3, 0.1))
    assert dx == pytest.approx([0.1, 0.1, 0])
    dx = zones.fill(-0.03, np.array([0.1, 0.2, 0.05]), np.zeros(3), -np.ones(3), np.zeros(3))
    assert dx == pytest.approx([0, -0.15, 0])


@SEEDS
@given(st.integers(0, 2**31))
def test_fill_equals_the_loop(seed):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, 7))
    sensitivity = rng.uniform(-0.02, 0.1, k)
    low, high = -rng.uniform(0, 0.5, k), rng.uniform(0, 0.5, k)
    x = rng.uniform(low - 0.1, high + 0.1)
    need = rng.uniform(-0.1, 0.1)
    expected = by_loop(need, sensitivity, x, low, high)
    assert zones.fill(need, sensitivity, x, low, high) == pytest.approx(expected, abs=1e-12)


def test_fill_never_reverses_a_plant_that_stands_outside_its_limits():
    assert zones.fill(0.1, np.array([0.1]), np.array([2.0]), np.zeros(1), np.ones(1)) == [0]


# --- correct ------------------------------------------------------------------------------------


def test_nothing_to_do_is_nothing_done():
    found = zones.correct(np.ones(3), np.zeros(2), np.zeros(2), room(2), [True, False],
                          np.ones((3, 2)), np.ones((3, 2)), RULE)  # fmt: skip
    assert not found.event and found.moves == 0
    assert (found.dp == 0).all() and (found.dq == 0).all() and (found.V == 1).all()


def test_reactive_first_then_storage_then_active_by_hand():
    """One bus at 1.10; reactive power of the plant and of storage takes 0.02 each, to 1.06; then
    active power is cut by 0.01 / 0.1 to reach the limit 1.05, not the optimal interval."""
    S_p, S_q = np.array([[0.1, 0.05]]), np.array([[0.1, 0.2]])
    limits = Room(np.array([-0.2, -0.1]), np.ones(2), np.array([0, -1.0]), np.ones(2),
                  np.full(2, np.inf))  # fmt: skip
    found = zones.correct(np.array([1.10]), np.array([0.5, 0]), np.zeros(2), limits, [True, False],
                          S_p, S_q, RULE)  # fmt: skip
    assert found.dq == pytest.approx([-0.2, -0.1]) and found.dp == pytest.approx([-0.1, 0])
    assert pytest.approx([1.05]) == found.V and found.moves == 3
    literal = zones.correct(np.array([1.10]), np.array([0.5, 0]), np.zeros(2), limits,
                            [True, False], S_p, S_q, ONE)  # fmt: skip
    assert literal.dp == pytest.approx([-0.3, 0]) and pytest.approx([1.03]) == literal.V


def test_active_power_of_storage_keeps_the_circle_with_its_reactive_power():
    limits = Room(np.array([-0.6]), np.array([0.6]), np.array([-1.0]), np.ones(1), np.ones(1))
    found = zones.correct(np.array([1.5]), np.zeros(1), np.zeros(1), limits, [False],
                          np.full((1, 1), 0.1), np.full((1, 1), 0.1), ONE)  # fmt: skip
    assert found.dq == pytest.approx([-0.6]) and found.dp == pytest.approx([-0.8])


def test_a_bus_that_nobody_can_help_does_not_block_the_next():
    S = np.array([[0.0, 0.0], [0.1, 0.0]])
    found = zones.correct(np.array([1.2, 1.04]), np.zeros(2), np.zeros(2), room(2, p=(0, 0)),
                          [True, True], S, S, RULE)  # fmt: skip
    assert pytest.approx([1.2, 1.03]) == found.V and found.moves == 1


def test_damping_scales_the_answer_and_is_checked():
    args = (np.array([1.10]), np.zeros(1), np.zeros(1), room(1), [True], np.full((1, 1), 0.1),
            np.full((1, 1), 0.1))  # fmt: skip
    full, half = zones.correct(*args, RULE), zones.correct(*args, RULE, damping=0.5)
    assert half.dq == pytest.approx(full.dq / 2) and pytest.approx([1.065]) == half.V
    with pytest.raises(ValueError, match="damping"):
        zones.correct(*args, RULE, damping=1.5)


@pytest.fixture(scope="module")
def loaded():
    f = read_feeder("ieee33")
    at = np.array([f.index(b) for b in (13, 18, 25, 30, 33)])
    scale = np.random.default_rng(5).uniform(-1.1, 1.1, (12, 1))
    p, q = scale * f.p_load, 0.5 * scale * f.q_load
    flow = powerflow.solve(f, p, q)
    return f, at, p, q, flow, zones.columns(linflow.sensitivities(f, flow), at)


RENEWABLE = np.array([True, True, False, True, False])


def test_cases_in_a_batch_do_not_see_each_other(loaded):
    *_, flow, push = loaded
    wide = Room(
        *(np.broadcast_to(a, (12, 5)) for a in vars(room(5, 0.4, (-0.3, 0.3), 0.5)).values())
    )
    zero = np.zeros((12, 5))
    whole = zones.correct(flow.V, zero, zero, wide, RENEWABLE, *push, RULE)
    for i in range(12):
        one = zones.correct(flow.V[i], zero[i], zero[i], room(5, 0.4, (-0.3, 0.3), 0.5), RENEWABLE,
                            push[0][i], push[1][i], RULE)  # fmt: skip
        for name in vars(one):
            assert np.array_equal(getattr(whole, name)[i], getattr(one, name)), name
    assert whole.event.any() and not whole.event.all()


def test_corrections_stay_inside_the_limits_and_never_widen_the_worst(loaded):
    *_, flow, push = loaded
    zero, limits = np.zeros((12, 5)), room(5, 0.4, (-0.3, 0.3), 0.45)
    found = zones.correct(flow.V, zero, zero, limits, RENEWABLE, *push, RULE)
    assert (np.abs(found.dq) <= 0.4 + 1e-12).all() and (np.abs(found.dp) <= 0.3 + 1e-12).all()
    assert (np.hypot(found.dp, found.dq) <= 0.45 + 1e-12).all()
    worst = [np.abs(zones.amount(V, RULE[0])).max(axis=1) for V in (flow.V, found.V)]
    assert (worst[1] <= worst[0] + 1e-12).all()


def test_prediction_is_the_first_order_of_the_exact_flow(loaded):
    f, at, p, q, flow, push = loaded
    zero, errors = np.zeros((12, 5)), []
    for damping in (0.2, 0.1):
        found = zones.correct(flow.V, zero, zero, room(5, 0.6, (-0.3, 0.3)), RENEWABLE, *push, RULE,
                              damping=damping)  # fmt: skip
        p_new, q_new = p.copy(), q.copy()
        p_new[:, at] += found.dp
        q_new[:, at] += found.dq
        errors.append(np.abs(powerflow.solve(f, p_new, q_new).V - found.V).max())
    assert 3.5 < errors[0] / errors[1] < 4.5  # half the step, a quarter of the error


def test_repeated_with_new_sensitivities_it_ends_inside(loaded):
    f, at, p, q, flow, push = loaded
    dp, dq = np.zeros((12, 5)), np.zeros((12, 5))
    for _ in range(4):
        found = zones.correct(flow.V, dp, dq, room(5, 3.0, (-3, 3)), RENEWABLE, *push, RULE)
        dp, dq = dp + found.dp, dq + found.dq
        now = np.zeros((2, *p.shape))
        now[0][:, at], now[1][:, at] = dp, dq
        flow = powerflow.solve(f, p + now[0], q + now[1])
        push = zones.columns(linflow.sensitivities(f, flow), at)
    assert flow.V.min() > 0.97 - 1e-6 and flow.V.max() < 1.03 + 1e-6
