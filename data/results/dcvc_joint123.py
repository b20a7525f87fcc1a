"""dcvc_joint on 123 buses, to as many scenarios as the paper's memory holds (chapter 23).

To a gap of 1e-5, or 1e-4 where the solver stalls: closer takes it too long on hundreds of thousands
of cones. The first row is one scenario again, a check.
"""

from pathlib import Path

import cvxpy as cp

from adnlib import areas, interval, planning, profiles, solve
from tools.sweeps import load

JOINT = load(Path(__file__).with_name("dcvc_joint.py"))
DEPENDS = [*JOINT.DEPENDS, "data/results/dcvc_joint.py"]
RTOL = JOINT.RTOL
CASE = "dcvc123"
WIDE = tuple({"tol_gap_abs": a, "tol_gap_rel": a} for a in (1e-5, 1e-4))


def central(study):
    (piece,) = areas.cut(study.feeder, [])
    part = planning.state(study, piece)
    problem = cp.Problem(cp.Minimize(planning.cost(study, part)), part.constraints)
    value = solve.solve(problem, retries=WIDE)
    return planning.plan_of(study, [part]), value, part


def one(name, few):
    return JOINT.one(name, few, central)


def run():
    return JOINT.table(__file__, CASE, JOINT.OWN["joint.few_123"])


def one_point():
    whole = interval.study_of(profiles.read_case(CASE))
    return {"feeder": "ieee123", "scenarios": 1}, {"promised": central(interval.fewer(whole, 1))[1]}
