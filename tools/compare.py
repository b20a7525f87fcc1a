"""Tolerant comparison of notebook outputs.

Words, whole numbers and punctuation must be equal. Decimals may differ by a relative 1e-6 (or what
the cell's tag `nbval-rtol-1e-3` says), or by one unit of the last printed digit where that unit is
under 0.2 % of the number: machines round the last digit differently. Blanks only separate, because
a lost minus sign of a zero moves the columns of a printed table.

A picture of one plan of many within a gap is tagged `nbval-one-of-many`: with another version of a
solver than the lock's another plan may be found, and only the size of the picture is compared.
"""

import base64
import io
import math
import re
from functools import cache
from importlib.metadata import version

import numpy as np
from PIL import Image, ImageFilter

from tools import ROOT

RTOL = 1e-6
UNIT_SHARE = 0.002
PAPER, REACH, STRAY = 200, 2, 0.005  # of pictures: see same_picture
SHRUNK, SHADE = 32, 20
ONE_OF_MANY, SOLVERS = "nbval-one-of-many", ("highspy", "clarabel")
TAG = re.compile(r"nbval-rtol-(\d+(?:\.\d+)?(?:e-?\d+)?)")

TOKEN = re.compile(
    r"""(?P<number>(?<![\w.])(?:(?<![)\]])[-+\u2212])?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?!\d))
      | (?P<word>\w+)
      | (?P<rule>-{2,}|={2,}|\u2500{2,})
      | (?P<newline>\n\s*)
      | (?P<other>\S)""",
    re.VERBOSE,
)


def tokens(text):
    """List of (kind, text) pairs; kind is integer, decimal or text."""
    found = []
    for match in TOKEN.finditer(text.rstrip()):
        kind, part = match.lastgroup, match.group().replace("\u2212", "-")
        if kind == "number":
            found.append(("decimal" if re.search(r"[.eE]", part) else "integer", part))
        else:
            found.append(("text", {"rule": part[0], "newline": "\n"}.get(kind, part)))
    return found


def unit(number):
    """One unit of the last printed digit: 0.01 of '3.14', 1e-5 of '2.34e-3'."""
    mantissa, _, exponent = number.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return 10.0 ** (int(exponent or 0) - decimals)


def close(a, b, rtol=RTOL):
    """Whether two printed decimals agree (see the head of this file)."""
    x, y = float(a), float(b)
    size = min(abs(x), abs(y))
    gap = abs(x - y)
    if x == y or gap <= rtol * max(abs(x), abs(y)):
        return True
    step = min(unit(a), unit(b))
    return step < UNIT_SHARE * size and gap <= step * (1 + 1e-9)


def same_token(a, b, rtol):
    if a[0] != b[0]:
        return False
    if a[0] == "decimal":
        return close(a[1], b[1], rtol)
    if a[0] == "integer":
        return a[1].lstrip("+") == b[1].lstrip("+") or float(a[1]) == float(b[1]) == 0
    return a[1] == b[1]


def same_text(a, b, rtol=RTOL):
    """Whether two printed texts agree token by token."""
    if a == b:
        return True
    left, right = tokens(a), tokens(b)
    return len(left) == len(right) and all(same_token(x, y, rtol) for x, y in zip(left, right))


def same(a, b, rtol=RTOL):
    """Whether two outputs agree: texts, numbers, or lists and dicts of them (JSON outputs)."""
    if isinstance(a, str) and isinstance(b, str):
        return same_text(a, b, rtol)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k], rtol) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y, rtol) for x, y in zip(a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=rtol) or (math.isnan(a) and math.isnan(b))
    return type(a) is type(b) and a == b


def cell_rtol(tags):
    """Relative tolerance of a cell, from a tag such as nbval-rtol-1e-3; 1e-6 without one.

    >>> cell_rtol(["nbval-rtol-1e-3"])
    0.001
    """
    found = [TAG.fullmatch(tag) for tag in tags if tag.startswith("nbval-rtol")]
    if None in found:
        raise ValueError(f"tags {tags}: write the tolerance as nbval-rtol-1e-3")
    return max((float(match.group(1)) for match in found), default=RTOL)


def slots(outputs):
    """Places of comparable values by stream name or MIME type: {name: [(dict, key), ...]}."""
    places = {}
    for output in outputs:
        if output["output_type"] == "stream":
            places.setdefault(output["name"], []).append((output, "text"))
        for mime in output.get("data", {}):
            places.setdefault(mime, []).append((output["data"], mime))
    return places


def grey(png):
    """Picture given as base64, in shades of grey."""
    return Image.open(io.BytesIO(base64.b64decode(png))).convert("L")


def strokes(picture):
    """(darker than paper, the same grown by REACH pixels on all sides), both bool arrays."""
    grown = picture.filter(ImageFilter.MinFilter(2 * REACH + 1))
    return np.asarray(picture) < PAPER, np.asarray(grown) < PAPER


def same_picture(a, b):
    """Whether two pictures show the same, up to what another version of fonts would change.

    Same size; (nearly) every stroke of one has a stroke of the other within REACH pixels; and
    shrunk to SHRUNK pixels a side, no spot has another shade.
    """
    if a == b:
        return True
    left, right = grey(a), grey(b)
    if left.size != right.size:
        return False
    (ink, near), (other_ink, other_near) = strokes(left), strokes(right)
    lost, new = (ink & ~other_near).sum(), (other_ink & ~near).sum()
    if max(lost, new) > STRAY * max(min(ink.sum(), other_ink.sum()), 1):
        return False
    small = (
        np.asarray(i.resize((SHRUNK, SHRUNK), Image.Resampling.BOX), float) for i in (left, right)
    )
    return bool(np.abs(np.subtract(*small)).max() <= SHADE)


def same_size(a, b):
    """Whether two pictures have the same size."""
    return grey(a).size == grey(b).size


@cache
def solvers_of_lock():
    """Whether the solvers that are installed are those of requirements.lock."""
    from tools.notebooks import locked_versions

    locked = locked_versions((ROOT / "requirements.lock").read_text(encoding="utf8"))
    return all(version(name) in locked[name] for name in SOLVERS)


def cell_pictures(tags):
    """How the pictures of a cell are compared."""
    free = ONE_OF_MANY in tags and not solvers_of_lock()
    return same_size if free else same_picture


def adopt(new, stored, rtol=RTOL, pictures=same_picture):
    """Overwrite in `new` what agrees with `stored`, so that an exact comparison lets it pass."""
    left, right = slots(new), slots(stored)
    for key in left.keys() & right.keys():
        if len(left[key]) == len(right[key]):
            for (here, k), (there, _) in zip(left[key], right[key]):
                if key == "image/png":
                    agree = pictures(here[k], there[k])
                else:
                    agree = same(here[k], there[k], rtol)
                if agree:
                    here[k] = there[k]


def patch_nbval():
    """Make nbval compare through `adopt`; call once, from conftest.py."""
    from nbval.plugin import IPyNbCell

    exact = IPyNbCell.compare_outputs
    if getattr(exact, "tolerant", False):
        return

    def tolerant(self, test, ref, skip_compare=None):
        tags = self.cell.metadata.get("tags", [])
        adopt(test, ref, cell_rtol(tags), cell_pictures(tags))
        skipped = skip_compare or self.parent.skip_compare
        return exact(self, test, ref, tuple(key for key in skipped if key != "image/png"))

    tolerant.tolerant = True
    IPyNbCell.compare_outputs = tolerant
