"""The part of the OpenDSS text language that distribution feeders are written in.

A script is a list of commands, one a line: `New class.name property=value ...` makes an object,
`~` continues it, `Edit class.name ...` and `class.name.property=value` change it, `Redirect` and
`Compile` read another file, `Open` and `Close` work a switch. Values without a name follow the
order of the class's properties. Nothing is computed here. What this reader does not know it
refuses, naming file and line, because a property that is skipped is a feeder that is wrong.
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

# In the order that counts for values given without a name.
PROPERTIES = {
    "vsource": "bus1 basekv pu angle frequency phases mvasc3 mvasc1 x1r1 x0r0 isc3 isc1 r1 x1 r0 "
    "x0",
    "line": "bus1 bus2 linecode length phases r1 x1 r0 x0 c1 c0 rmatrix xmatrix cmatrix switch",
    "linecode": "nphases r1 x1 r0 x0 c1 c0 units rmatrix xmatrix cmatrix basefreq normamps",
    "transformer": "phases windings wdg bus conn kv kva tap %r rneut xneut buses conns kvs kvas "
    "taps xhl",
    "regcontrol": "transformer winding vreg band ptratio ctprim r x bus delay",
    "capacitor": "bus1 bus2 phases kvar kv conn",
    "load": "phases bus1 kv kw pf model yearly daily duty growth conn kvar",
}
MORE_PROPERTIES = {
    "vsource": "basefreq",
    "line": "units normamps emergamps basefreq faultrate pctperm repair enabled like",
    "linecode": "emergamps faultrate pctperm repair like",
    "transformer": "%loadloss %noloadloss %imag %rs ppm ppm_antifloat maxtap mintap numtaps "
    "normhkva emerghkva sub bank xht xlt enabled like",
    "regcontrol": "maxtapchange reversible revvreg revband revr revx tapdelay debugtrace "
    "inversetime ptphase vlimit tapnum enabled like",
    "capacitor": "enabled like basefreq",
    "load": "status vminpu vmaxpu vminnorm vminemerg enabled like basefreq",
}
# They measure, draw or drive time series; the network is the same without them.
IGNORED_CLASSES = {
    *("energymeter", "monitor", "loadshape", "growthshape", "tshape", "tcc_curve", "spectrum")
}
IGNORED_COMMANDS = {
    *("clear", "solve", "calcvoltagebases", "calcv", "plot", "show", "export", "visualize", "help")
}
IGNORED_OPTIONS = {
    *("voltagebases", "maxcontroliter", "maxiterations", "maxiter", "tolerance", "controlmode"),
    *("defaultbasefrequency", "marktransformers", "normvminpu", "normvmaxpu", "emergvminpu"),
    *("emergvmaxpu", "casename", "datapath", "editor", "earthmodel"),
}
PER_WINDING = {"bus", "conn", "kv", "kva", "tap", "%r"}
WINDING_LISTS = {"buses": "bus", "conns": "conn", "kvs": "kv", "kvas": "kva", "taps": "tap"}
WINDING_LISTS |= {"%rs": "%r"}
MOST_FILES = 200
BRACKETS = "[](){}\"' \t"
TOKEN = re.compile(
    r"(?:(?P<name>[^\s=,\[\](){}\"']+)\s*=\s*)?"
    r"(?P<value>\[[^\]]*\]|\([^)]*\)|\{[^}]*\}|\"[^\"]*\"|'[^']*'|[^\s=,\[\](){}\"']+)"
)


@dataclass
class Element:
    """One object of the script: class, name, properties as text, and where it stands."""

    kind: str
    name: str
    where: str
    values: dict = field(default_factory=dict)
    next_position: int = 0

    def __str__(self):
        return f"{self.kind}.{self.name} ({self.where})"

    def text(self, name):
        """Property `name` as written; ValueError names the object when it is missing."""
        if name not in self.values:
            raise ValueError(f"{self}: property {name} is missing; add it")
        return self.values[name]

    def number(self, name, default=None):
        """Property `name` as a float; ValueError names the object if it is missing or not one."""
        text = self.values.get(name, default)
        try:
            value = float(text)
        except (TypeError, ValueError):
            value = math.inf
        if math.isinf(value) or (math.isnan(value) and name in self.values):
            raise ValueError(f"{self}: {name} = {text!r} is not a number; write one")
        return value

    def positive(self, name, default=None):
        """Property `name` as a number above zero; ValueError names the object otherwise."""
        value = self.number(name, default)
        if not value > 0:
            raise ValueError(f"{self}: {name} = {value:g}; it must be above 0")
        return value

    def whole(self, name, default=None):
        """Property `name` as a whole number above 0; ValueError names the object otherwise."""
        value = self.positive(name, default)
        if value != int(value):
            raise ValueError(f"{self}: {name} = {value:g}; it must be a whole number")
        return int(value)

    def rows(self, name):
        """A matrix property as lists of numbers, rows parted by '|': [1 | 2 3] -> rows."""
        text = self.text(name)
        try:
            rows = [[float(v) for v in items(row)] for row in text.strip(BRACKETS).split("|")]
        except ValueError:
            raise ValueError(f"{self}: {name} = {text} is not a matrix of numbers") from None
        if any(len(row) < k for k, row in enumerate(rows, 1)) or not all(
            math.isfinite(v) for row in rows for v in row
        ):
            raise ValueError(f"{self}: {name} = {text} lacks numbers; row k has k of them or more")
        return rows

    def flag(self, name, default=False):
        """Property `name` as a yes/no value."""
        text = str(self.values.get(name, default)).lower()
        if text in ("yes", "y", "true", "t"):
            return True
        if text in ("no", "n", "false", "f"):
            return False
        raise ValueError(f"{self}: {name} = {text!r} is neither yes nor no")


@dataclass
class Script:
    """What a script leaves behind: objects by (class, name), coordinates by bus, all lower case."""

    folder: Path
    elements: dict = field(default_factory=dict)
    coordinates: dict = field(default_factory=dict)
    active: Element | None = None
    depth: int = 0

    def of(self, kind):
        """The enabled objects of one class, in the order of the text."""
        return [e for (k, _), e in self.elements.items() if k == kind and e.flag("enabled", True)]


def items(text):
    """The entries of a bracketed list: '[1.0, 2]' -> ['1.0', '2']."""
    return re.split(r"[\s,]+", text.strip(BRACKETS))


def read(path):
    """Run the script at `path` as far as it describes a network -> Script.

    Raises FileNotFoundError for a missing file, ValueError with file and line for an object class,
    a property, a command or an option that is not understood.
    """
    path = Path(path)
    script = Script(folder=path.parent)
    _run_file(script, path)
    return script


def _run_file(script, path):
    script.depth += 1
    if script.depth > MOST_FILES:
        raise ValueError(f"{path.name}: {MOST_FILES} files that redirect to each other; is one of "
                         "them redirected to itself?")  # fmt: skip
    for number, line in _statements(path):
        _run_line(script, path, line, f"{path.name}:{number}")


def _statements(path):
    """(line number, text) of the lines that say something; comments are ! and // and /* */."""
    inside = False
    for number, line in enumerate(path.read_text(encoding="latin-1").splitlines(), start=1):
        inside = inside or line.lstrip().startswith("/*")
        text = "" if inside else re.split(r"!|//", line, maxsplit=1)[0].strip()
        inside = inside and "*/" not in line
        if text:
            yield number, text


def _run_line(script, path, line, where):
    command, _, rest = re.sub(r"^~", "more ", line).replace("\t", " ").partition(" ")
    command, rest = command.lower(), rest.strip()
    if command == "new":
        _new(script, rest, where)
    elif command == "edit":
        _edit(script, rest, where)
    elif command in ("more", "m"):
        _assign(script, script.active, rest, where)
    elif command in ("redirect", "compile"):
        _run_file(script, _file(path.parent, rest, where))
    elif command in ("open", "close", "enable", "disable"):
        _switch(script, command, rest, where)
    elif command == "buscoords":
        _read_coordinates(script, _file(path.parent, rest, where))
    elif command == "set":
        _check_options(rest, where)
    elif "=" in line and "." in command:
        _set_property(script, line, where)
    elif command not in IGNORED_COMMANDS:
        raise ValueError(
            f"{where}: command {command!r} is not understood; take it out or expand it"
        )


def _file(folder, text, where):
    name = text.strip(BRACKETS).replace("\\", "/")
    matches = [f for f in folder.glob("*") if f.name.lower() == name.lower()]
    path = folder / name if (folder / name).is_file() else next(iter(matches), None)
    if path is None:
        raise FileNotFoundError(f"{where}: there is no file {name!r} in {folder}")
    return path


def _new(script, text, where):
    text = re.sub(r"^object\s*=\s*", "", text, flags=re.IGNORECASE)
    label, _, rest = text.partition(" ")
    kind, _, name = label.strip(BRACKETS).lower().partition(".")
    if kind == "circuit":
        kind, name = "vsource", "source"
    if kind not in PROPERTIES and kind not in IGNORED_CLASSES:
        raise ValueError(
            f"{where}: object class {kind!r} is not understood; known are "
            f"{', '.join(sorted(PROPERTIES))}"
        )
    if (kind, name) in script.elements:
        raise ValueError(f"{where}: {kind}.{name} is defined a second time; rename one")
    script.active = script.elements[kind, name] = Element(kind, name, where)
    _assign(script, script.active, rest, where)


def _find(script, label, where):
    kind, _, name = label.strip(BRACKETS).lower().partition(".")
    if (kind, name) not in script.elements:
        raise ValueError(f"{where}: there is no {kind}.{name} before this line; check the name")
    return script.elements[kind, name]


def _edit(script, text, where):
    label, _, rest = text.partition(" ")
    script.active = _find(script, label, where)
    _assign(script, script.active, rest, where)


def _set_property(script, line, where):
    label, _, rest = line.partition("=")
    label, _, name = label.strip().rpartition(".")
    script.active = _find(script, label, where)
    _assign(script, script.active, f"{name}={rest}", where)


def _switch(script, command, text, where):
    found = TOKEN.match(text)
    if found is None:
        raise ValueError(f"{where}: {command} names no object; write {command} class.name")
    element = _find(script, found["value"], where)
    if command in ("open", "close"):
        element.values["open"] = "yes" if command == "open" else "no"
    else:
        element.values["enabled"] = "yes" if command == "enable" else "no"


def _check_options(text, where):
    for token in TOKEN.finditer(text):
        name, value = (token["name"] or "").lower(), token["value"]
        if name == "loadmult" and re.fullmatch(r"1(\.0*)?", value):
            continue
        if name not in IGNORED_OPTIONS:
            raise ValueError(f"{where}: option {name or value!r} = {value} is not understood")


def _assign(script, element, text, where):
    if element is None:
        raise ValueError(f"{where}: a continuation without an object before it")
    if element.kind in IGNORED_CLASSES:
        return
    order = PROPERTIES[element.kind].split()
    known = {*order, *MORE_PROPERTIES[element.kind].split()}
    for token in TOKEN.finditer(text):
        name, value = token["name"], token["value"]
        if name is None and element.next_position >= len(order):
            raise ValueError(f"{where}: value {value!r} of {element} has no property to go to")
        name = order[element.next_position] if name is None else name.lower()
        if name not in known:
            raise ValueError(f"{where}: property {name!r} of {element} is not understood")
        element.next_position = order.index(name) + 1 if name in order else len(order)
        _store(script, element, name, value.strip("\"'"), where)


def _store(script, element, name, value, where):
    if name == "like":
        model = _find(script, f"{element.kind}.{value}", where)
        element.values.update(model.values)
    elif name in WINDING_LISTS and element.kind == "transformer":
        for winding, entry in enumerate(items(value), start=1):
            element.values[f"{WINDING_LISTS[name]}@{winding}"] = entry
    elif name in PER_WINDING and element.kind == "transformer":
        element.values[f"{name}@{element.whole('wdg', 1)}"] = value
    else:
        element.values[name] = value


def _read_coordinates(script, path):
    for number, line in _statements(path):
        try:
            bus, x, y = items(line)[:3]
            script.coordinates[bus.lower()] = (float(x), float(y))
        except ValueError:
            raise ValueError(f"{path.name}:{number}: {line!r} is not 'bus, x, y'") from None
