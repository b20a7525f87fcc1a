"""The numbers that the primer works out by hand."""

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest

from adnlib import Feeder, powerflow
from tools import ROOT

TEXT = (ROOT / "book" / "primer.md").read_text(encoding="utf8")


@pytest.fixture
def two_buses():
    bus = pd.DataFrame({"bus": [0, 1], "p_mw": [0, 0.5], "q_mvar": [0, 0.25], "v_kv": [1, 1]})
    branch = pd.DataFrame({"from_bus": [0], "to_bus": [1], "r_ohm": [0.02], "x_ohm": [0.02]})
    return Feeder.from_tables(bus, branch)


def test_bases_and_branch_of_the_33_bus_feeder():
    base = 12.66**2
    assert f"Z_b = {base:.4f}$ ohm" in TEXT
    assert f"I_b = {1e3 / (np.sqrt(3) * 12.66):.2f}$ A" in TEXT
    z = (0.4930 + 0.2511j) / base
    assert f"{z.real:.6f} + \\mathrm j\\, {z.imag:.6f}" in TEXT


def test_two_buses(two_buses):
    flow = powerflow.solve(two_buses)
    assert (
        f"Exactly, $V = {float(flow.V[0]):.5f}$ and the loss is ${float(flow.p_loss):.6f}$" in TEXT
    )
    v = 1 - 2 * (0.02 * 0.5 + 0.02 * 0.25)
    assert f"= {v:.2f}$, $V = {np.sqrt(v):.5f}$" in TEXT and np.sqrt(v) > flow.V[0]


def test_worst_case_and_its_dual():
    d, a, gamma = np.ones(3), np.array([3.0, -2.0, 1.0]), 1.5
    u, theta, y = cp.Variable(3), cp.Variable(nonneg=True), cp.Variable(3, nonneg=True)
    worst = cp.Problem(cp.Maximize(a @ u), [cp.abs(u) <= d, cp.sum(cp.abs(u)) <= gamma])
    dual = cp.Problem(cp.Minimize(gamma * theta + cp.sum(y)), [theta + y >= d * np.abs(a)])
    assert worst.solve() == pytest.approx(4, abs=1e-6)
    assert dual.solve() == pytest.approx(4, abs=1e-6)
    assert theta.value == pytest.approx(2, abs=1e-4) and y.value == pytest.approx(
        [1, 0, 0], abs=1e-4
    )
    assert "both are $4$" in TEXT and "$\\theta = 2$, $y = (1, 0, 0)$" in TEXT
