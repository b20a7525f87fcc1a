"""Write a feeder folder: bus.csv, branch.csv, feeder.toml, and the notice of its source."""

import json

from packages import DATA, write_csv


def write_feeder(name, bus, branch, facts, notice):
    """data/feeders/<name>/: tables in physical units, `facts` as feeder.toml, `notice` as text.

    facts: title, root, V_root, source, licence, note. The number of buses is put in from the table.
    """
    folder = DATA / "feeders" / name
    write_csv(bus, folder / "bus.csv")
    write_csv(branch, folder / "branch.csv")
    # a JSON string or number is also a TOML string or number
    lines = [
        f"{key} = {json.dumps(value, ensure_ascii=False)}"
        for key, value in {**facts, "buses": len(bus)}.items()
    ]
    write_text("\n".join(lines), folder / "feeder.toml")
    write_text(notice, folder / "LICENSE.txt")


def write_text(text, path):
    """Write text with Unix line ends and one newline at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.rstrip() + "\n", encoding="utf-8", newline="\n")
    print(f"{path.name}: {path.stat().st_size} bytes")
