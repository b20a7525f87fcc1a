"""Proven bounds on the energy lost, whatever the siting, by adnlib.certified (chapter 11).

Sites are binaries under the cone-relaxed flow of the whole day; no areas. small: three plants and
one battery on 15 buses of ieee33. value: the best siting that the solver found; bound: no siting
loses less.
"""

import numpy as np
import pandas as pd

from adnlib import certified, profiles, read_feeder, siting

DEPENDS = [
    "adnlib/blocks.py",
    "adnlib/branchflow.py",
    "adnlib/certified.py",
    "adnlib/conic.py",
    "adnlib/feeder.py",
    "adnlib/outer.py",
    "adnlib/patterns.py",
    "adnlib/powerflow.py",
    "adnlib/profiles.py",
    "adnlib/search.py",
    "adnlib/siting.py",
    "adnlib/solve.py",
    "adnlib/tables.py",
    "adnlib/tree.py",
    "data/cases/first_day.toml",
    "data/cases/siting.toml",
    "data/feeders/ieee123",
    "data/feeders/ieee33",
    "data/profiles",
]
RTOL = 1e-3
CASES = {"small": "ieee33", "ieee33": "ieee33", "ieee123": "ieee123"}


def problem(name, case):
    first = profiles.read_case("first_day")
    given = {"region": first["day.region"], "pv": first["generation.pv_unit"]}
    day = profiles.resampled(profiles.rts_day(first["day.date"], **given), 1.0)
    feeder = read_feeder(CASES[name])
    sites = None
    if name == "small":
        sites = np.array([feeder.index(bus) for bus in case["small.site"]])
    study = siting.Study.of_case(feeder, case, day.load, day.pv.mean(axis=1), sites)
    return siting.cone_problem(study, case[f"{name}.n_pv"], case[f"{name}.n_ess"])[0]


def run():
    case, rows = profiles.read_case("siting"), []
    for name in CASES:
        work = case["bound.work"]
        found = certified.solve(problem(name, case), gap=case["bound.gap"], work_limit=work)
        rows.append({"case": name, "status": found.status, "value_mwh": found.value,
                     "bound_mwh": found.bound, "work": work})  # fmt: skip
        print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def one_point():
    """The relaxation of ieee33, whose value the search does not raise by RTOL."""
    found = certified.solve(problem("ieee33", profiles.read_case("siting")), work_limit=1)
    return {"case": "ieee33"}, {"bound_mwh": found.bound}
