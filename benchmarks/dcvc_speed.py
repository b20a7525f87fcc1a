"""The dcvc paper's problem: rounds of cloud and edges, and 5000 instants with their corrections.

rounds     the hour from 12:00 in quarters with a few scenarios (data/cases/dcvc33, dcvc123): plain
           ADMM at each of its penalties, and chapter 9's weights with Anderson acceleration, from
           the same start to the same residuals of 1e-3 p.u.; gap: cost over that of one piece, - 1.
           A plain run is given up after twice the rounds of the fast one: its rounds are then
           a least number. data/results/dcvc_rounds.csv has the same runs to their end.
real time  5000 instants of the day on 33 buses under a plan, through the exact flow, those outside
           the band corrected by consensus in their subnetworks. The plan is the dispatch of the day
           for a few scenarios (small: the taps alone), made before the clock starts; the note says
           how many instants violated, how many were left, and the processor time of one run, which
           a busy machine does not stretch as it does the seconds.
"""

import time
from dataclasses import replace

import numpy as np

from adnlib import areacontrol, interval, planning, profiles
from benchmarks import timing

CASES, N, HOUR = ("dcvc33", "dcvc123"), 5000, 12
GIVE_UP = 2
WANTED_ROUNDS, WANTED_GAP, WANTED_S = 0.5, 1e-3, 5.0


def steps(small):
    out = [("real time", 20, lambda: real_time(small))]
    for name in CASES[: 1 if small else 2]:
        out.append((f"rounds, {name}", 40 if name == "dcvc33" else 200,
                    lambda name=name: rounds(name, small)))  # fmt: skip
    return out


def rounds(name, small):
    case = profiles.read_case(name)
    few = 1 if small else case["scenarios.few"]
    study = interval.fewer(interval.study_of(case, n=20), few).hours(HOUR, HOUR + 1)
    central = planning.central(study)[1]
    pair = planning.split(study, share=case["cost.cloud_share"], memory=case["admm.memory"])
    penalties = case["admm.rho"][1:2] if small else case["admm.rho"]
    ways = {"weighted, Anderson": {}}
    ways |= {f"plain, rho {r:g}": {"memory": 0, "scale": None, "rho": r} for r in penalties}
    out, most = [], case["admm.most"]
    for way, options in ways.items():
        since = time.perf_counter()
        found, _ = pair.run(tol=1e-3, max_iter=most, central=central, **options)
        seconds = {way: np.array([time.perf_counter() - since])}
        if not out:
            most = min(most, GIVE_UP * found.iterations)
        (row,) = timing.rows("dcvc_speed", study.feeder.n + 1, few, seconds, None,
                             note={way: f"rounds, {found.status}"})  # fmt: skip
        out.append(row | {"rounds": found.iterations, "gap": found.gap_to_central})
    return out


def real_time(small):
    case = profiles.read_case("dcvc33")
    study = interval.fewer(interval.study_of(case), 1 if small else case["scenarios.few"])
    plan = replace(interval.nothing(study), tap=np.where(study.pv[::4] > 0.1, -1.0, 3.0))
    if not small:
        relaxed = planning.central(study)[0]
        held = planning.rounded(study, relaxed)
        plan = replace(planning.central(study, held=held)[0], tap=held[0], bank=held[1])
    rng = np.random.default_rng(case["scenarios.seed"])
    drawn = areacontrol.draw(study, 500 if small else N, rng, case["pv.beta"], case["load.std"])
    options = {k: case[f"real_time.{k}"] for k in ("graph", "push", "split", "kappa", "most")}

    def job():
        return areacontrol.correct(
            study, plan, areacontrol.instants(study, plan, *drawn), **options
        )

    since = time.process_time()
    done = job()
    spent = time.process_time() - since
    note = f"{done.violated.sum()} violated, {(~done.solved).sum()} left, processor {spent:.1f} s"
    seconds = timing.alternate({"real time": job}, 1 if small else 3)
    rows = timing.rows("dcvc_speed", 33, len(drawn[0]), seconds, None, note={"real time": note})
    return [row | {"rounds": np.nan, "gap": np.nan} for row in rows]


def checks(rows):
    out = []
    for size in sorted({r["size"] for r in rows if r["note"].startswith("rounds")}):
        mine = {r["method"]: r for r in rows if r["size"] == size and r["note"][:6] == "rounds"}
        fast = mine["weighted, Anderson"]
        plain = min(r["rounds"] for k, r in mine.items() if k.startswith("plain"))
        share = fast["rounds"] / plain
        end = any(r["note"].endswith("converged") for k, r in mine.items() if k[:5] == "plain")
        most = "" if end else ", at most"
        out.append((f"{size} buses: rounds over plain's best{most}", share, f"<= {WANTED_ROUNDS}",
                    share <= WANTED_ROUNDS))  # fmt: skip
        out.append((f"{size} buses: cost over one piece, - 1", abs(fast["gap"]),
                    f"<= {WANTED_GAP:g}", abs(fast["gap"]) <= WANTED_GAP))  # fmt: skip
    for row in rows:
        if row["method"] == "real time":
            out.append((f"{row['scenarios']} instants with corrections [s]", row["median_s"],
                        f"<= {WANTED_S:g}", row["median_s"] <= WANTED_S))  # fmt: skip
    return out
