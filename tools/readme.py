"""Copy the figure that README shows out of the chapter that computed it.

python -m tools.readme
"""

import base64

from tools import ROOT
from tools.notebooks import read

PICTURE = ROOT / "book" / "_static" / "verdicts.png"
CHAPTER, FIGURE = "31_claims.ipynb", "fig-31-verdicts"


def figure(chapter=CHAPTER, name=FIGURE):
    """Bytes of the picture stored in the cell whose figure has this name."""
    for cell in read(ROOT / "notebooks" / chapter).cells:
        if cell.metadata.get("mystnb", {}).get("figure", {}).get("name") == name:
            for out in cell.outputs:
                if "image/png" in out.get("data", {}):
                    return base64.b64decode(out["data"]["image/png"])
    raise LookupError(f"{chapter} stores no picture named {name}: make record")


if __name__ == "__main__":
    PICTURE.write_bytes(figure())
    print(f"{PICTURE.relative_to(ROOT)}: copied from {CHAPTER}")
