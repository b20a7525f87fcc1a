"""Nothing passes that is not optimal and true: statuses, certificates, blame."""

import dataclasses

import cvxpy as cp
import numpy as np
import pytest

from adnlib import branchflow, powerflow, read_feeder, solve


@pytest.fixture(scope="module")
def feeder():
    return read_feeder("ieee33")


@pytest.fixture(scope="module")
def plan(feeder):
    """Loss minimised at three loads: an exact plan."""
    factor = np.array([[0.4], [0.7], [1.0]])
    P, Q, ell, v = branchflow.variables(feeder, 3)
    p, q = factor * feeder.p, factor * feeder.q
    model = branchflow.constraints(feeder, P, Q, ell, v, p, q)
    solve.solve(cp.Problem(cp.Minimize(cp.sum(ell @ feeder.r)), model))
    return branchflow.plan(feeder, P, Q, ell, v, p, q)


# --- solve


@pytest.mark.parametrize(
    ("constraints", "status"),
    [(lambda x: [x <= 1], "unbounded"), (lambda x: [x >= 1, x <= 0], "infeasible")],
)
def test_anything_but_optimal_raises_with_its_status_and_a_cure(constraints, status):
    x = cp.Variable()
    with pytest.raises(solve.SolveError, match=f"^{status}: .{{20}}"):
        solve.solve(cp.Problem(cp.Minimize(x), constraints(x)))


def test_a_limit_on_iterations_is_no_optimum(feeder):
    P, Q, ell, v = branchflow.variables(feeder)
    model = branchflow.constraints(feeder, P, Q, ell, v, feeder.p, feeder.q)
    problem = cp.Problem(cp.Minimize(ell @ feeder.r), model)
    with pytest.raises(solve.SolveError):
        solve.solve(problem, max_iter=2)


def test_another_solver_gives_the_same_value():
    x = cp.Variable(3)
    problem = cp.Problem(cp.Minimize(cp.sum(x)), [x >= [1, 2, 3]])
    assert solve.solve(problem) == pytest.approx(6, abs=1e-7)
    assert solve.solve(problem, solver=cp.HIGHS, canon_backend="CPP") == pytest.approx(6, abs=1e-7)


def test_both_compilers_give_the_same_value(feeder):
    """The backend follows size and parameters; the optimum must not."""
    P, Q, ell, v = branchflow.variables(feeder)
    p = cp.Parameter(feeder.n, value=feeder.p)
    values = []
    for injected in (feeder.p, p):
        model = branchflow.constraints(feeder, P, Q, ell, v, injected, feeder.q)
        problem = cp.Problem(cp.Minimize(ell @ feeder.r), model)
        values.append(solve.solve(problem))
        assert solve._backend(problem) == ("COO" if problem.parameters() else "CPP")
    assert values[0] == pytest.approx(values[1], abs=1e-7)
    assert values[0] == pytest.approx(powerflow.solve(feeder).p_loss, abs=1e-6)


def test_a_second_solve_takes_new_parameter_values(feeder):
    P, Q, ell, v = branchflow.variables(feeder)
    p, q = cp.Parameter(feeder.n), cp.Parameter(feeder.n)
    model = branchflow.constraints(feeder, P, Q, ell, v, p, q)
    problem = cp.Problem(cp.Minimize(ell @ feeder.r), model)
    assert problem.is_dcp(dpp=True)
    for k in (0.5, 1.0):
        p.value, q.value = k * feeder.p, k * feeder.q
        exact = powerflow.solve(feeder, k * feeder.p, k * feeder.q)
        assert solve.solve(problem) == pytest.approx(float(exact.p_loss), abs=1e-6)


# --- certify


def test_an_exact_plan_has_its_certificate(feeder, plan):
    found = solve.certify(feeder, plan, V_min=0.9, V_max=1.0, bound_gap=1e-5)
    assert found.cone_gap < 1e-6 and found.voltage_difference < 1e-6
    assert found.voltage_violation == found.current_violation == 0
    assert found.bound_gap == 1e-5 and found.primal_residual is None
    assert "cone_gap" in str(found)


def test_every_part_that_fails_is_named(feeder, plan):
    """Each part is broken alone, by more than its tolerance and less than twice."""
    shift = np.zeros_like(plan.V)
    shift[1, feeder.index(18)] = 1
    base = branchflow.total_load(feeder)
    broken = {
        "solver status": {"status": "optimal_inaccurate"},
        "cone gap .* at bus 18, time 1": {"ell": plan.ell + shift * 1.6e-6 * base**2},
        "voltage difference .* at bus 18, time 1": {"V": plan.V + 1.6e-6 * shift},
        "loss difference .* at time 2": {"p_loss": plan.p_loss + [0, 0, 1e-5]},
        "exchange difference .* at time 0": {"p_root": plan.p_root + [1e-5, 0, 0]},
    }
    for words, change in broken.items():
        with pytest.raises(solve.CertificateError, match=words) as error:
            solve.certify(feeder, dataclasses.replace(plan, **change))
        assert error.value.certificate.flow.V.shape == plan.V.shape


def test_limits_are_those_of_the_exact_flow(feeder, plan):
    low = plan.V.min()
    solve.certify(feeder, plan, V_min=low - 1e-5)
    with pytest.raises(solve.CertificateError, match=r"voltage violation .* at bus 18, time 2"):
        solve.certify(feeder, plan, V_min=low + 1e-5)
    with pytest.raises(solve.CertificateError, match=r"current violation .* at bus 2, time 2"):
        solve.certify(feeder, plan, i_max=np.sqrt(plan.ell.max()) - 0.01)
    for name in ("bound_gap", "primal_residual", "dual_residual"):
        with pytest.raises(solve.CertificateError, match=name.replace("_", " ")):
            solve.certify(feeder, plan, **{name: 0.1})
    assert solve.certify(feeder, plan, V_min=1.0, strict=False).voltage_violation > 0.05


def test_without_a_claim_of_exactness_only_the_limits_count(feeder, plan):
    loose = dataclasses.replace(plan, ell=plan.ell + 1, V=plan.V + 0.01)
    solve.certify(feeder, loose, V_min=0.9, exact=False)
    with pytest.raises(solve.CertificateError, match="voltage violation"):
        solve.certify(feeder, loose, V_min=0.92, exact=False)


def test_replay_takes_taps_and_banks_that_vary_in_time(feeder):
    ratio, bank = np.ones((2, feeder.n)), np.zeros((2, feeder.n))
    ratio[:, 0], bank[1, feeder.index(30)] = [1.0, 1.03], 0.8
    P, Q, ell, v = branchflow.variables(feeder, 2)
    p, q = np.tile(feeder.p, (2, 1)), np.tile(feeder.q, (2, 1))
    given = {"V_root": np.array([1.0, 1.01]), "ratio": ratio, "b_shunt": bank}
    model = branchflow.constraints(feeder, P, Q, ell, v, p, q, **given)
    solve.solve(cp.Problem(cp.Minimize(cp.sum(branchflow.at_root(feeder, P))), model))
    plan = branchflow.plan(feeder, P, Q, ell, v, p, q, **given)
    found = solve.certify(feeder, plan)
    assert found.flow.V[1].min() > found.flow.V[0].min() + 0.03
    with pytest.raises(solve.CertificateError, match="voltage difference"):
        solve.certify(feeder, dataclasses.replace(plan, b_shunt=0 * bank))


# --- explain


def test_the_limit_to_blame_is_named_by_bus_and_time(feeder):
    P, Q, ell, v = branchflow.variables(feeder, 3)
    k = np.array([[0.5], [1.0], [0.5]])
    model = branchflow.constraints(feeder, P, Q, ell, v, k * feeder.p, k * feeder.q, V_min=0.92)
    problem = cp.Problem(cp.Minimize(cp.sum(ell @ feeder.r)), model)
    blames = solve.explain(problem, feeder)
    exact = powerflow.solve(feeder, k * feeder.p, k * feeder.q)
    below = {(1, feeder.buses[j]) for j in np.flatnonzero(exact.V[1] < 0.92)}
    assert {(b.time, b.bus) for b in blames} == below and 18 in {b.bus for b in blames}
    assert blames[0].amount == pytest.approx(0.92**2 - exact.V[1].min() ** 2, abs=1e-5)
    with pytest.raises(
        solve.SolveError, match=r"infeasible: lower voltage limit at bus 18, time 1"
    ):
        solve.solve(problem, feeder)


def test_a_current_limit_is_named_by_its_branch(feeder):
    P, Q, ell, v = branchflow.variables(feeder, 2)
    i_max = np.full(feeder.n, np.inf)
    i_max[[0, feeder.index(6)]] = [10.0, 1.0]
    model = branchflow.constraints(
        feeder, P, Q, ell, v, np.tile(feeder.p, (2, 1)), np.tile(feeder.q, (2, 1)), i_max=i_max
    )
    blames = solve.explain(cp.Problem(cp.Minimize(0), model), feeder)
    assert {(b.limit, b.bus) for b in blames} == {("current limit", 6)}


def test_a_feasible_problem_blames_nobody_and_a_hopeless_one_says_so(feeder):
    P, Q, ell, v = branchflow.variables(feeder)
    given = (feeder, P, Q, ell, v)
    fine = branchflow.constraints(*given, feeder.p, feeder.q, V_min=0.9)
    assert solve.explain(cp.Problem(cp.Minimize(0), fine), feeder) == []
    dark = branchflow.constraints(*given, 5 * feeder.p, 5 * feeder.q, V_min=0.9)
    with pytest.raises(solve.SolveError, match="even without the labelled limits"):
        solve.explain(cp.Problem(cp.Minimize(0), dark), feeder)
    bare = branchflow.constraints(*given, feeder.p, feeder.q)
    with pytest.raises(solve.SolveError, match="no constraint carries a label"):
        solve.explain(cp.Problem(cp.Minimize(0), bare))
