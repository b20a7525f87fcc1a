"""What each committed chapter stores; the rules are in tools/notebooks.py."""

import pytest

from tools import ROOT, chapters
from tools.notebooks import check


@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_chapter_stores_one_clean_checked_run(path):
    assert check(path) == []


def test_reading_order_names_every_chapter():
    toc = (ROOT / "_toc.yml").read_text(encoding="utf8")
    assert [p.stem for p in chapters() if f"notebooks/{p.stem}\n" not in toc] == []
