"""The built pages, looked at without a browser; and proof that each fault is found."""

import pytest

from tools import BUILD, ROOT, htmlcheck
from tools.chromium import in_ci

HTML = BUILD / "html"
PAGE = """<!DOCTYPE html><html lang="en"><head><title>t</title>{head}</head><body><article>
<h1 id="top">Title</h1><p><a href="other.html#there">link</a> costs $5 and $6 more.</p>
<span class="math">\\(x^2\\)</span><code>\\frac</code><img src="a.png" alt="A falling line.">
{body}</article></body></html>"""


@pytest.mark.book
def test_built_pages():
    if not HTML.exists() and not in_ci():
        pytest.skip("NO BOOK IS BUILT: make book, then run this again")
    assert len(htmlcheck.pages(HTML)) > 5
    assert htmlcheck.check(HTML) == []


def problems(folder, head="", body=""):
    (folder / "a.png").touch()
    (folder / "other.html").write_text('<p id="there">x</p>')
    (folder / "index.html").write_text(PAGE.format(head=head, body=body))
    return htmlcheck.check(folder)


def test_good_page_passes(tmp_path):
    assert problems(tmp_path) == []


@pytest.mark.parametrize(
    "fault, complaint",
    [
        ({"body": '<img src="https://example.org/a.png" alt="A line here">'}, "from outside"),
        ({"head": '<script src="//example.org/a.js"></script>'}, "from outside"),
        ({"head": '<link rel="stylesheet" href="https://example.org/a.css">'}, "from outside"),
        ({"head": "<style>@import 'https://example.org/a.css';</style>"}, "from outside"),
        ({"head": "<script>load('cdn.jsdelivr.net/x')</script>"}, "content network"),
        ({"body": '<a href="gone.html">x</a>'}, "dead link"),
        ({"body": '<a href="other.html#gone">x</a>'}, "dead anchor"),
        ({"body": '<a href="#gone">x</a>'}, "dead anchor"),
        ({"body": '<a href="../outside.html">x</a>'}, "dead link"),
        ({"body": '<img src="gone.png" alt="A line here">'}, "dead link"),
        ({"head": '<meta http-equiv="refresh" content="0; url=gone.html">'}, "does not exist"),
        ({"body": "<p>where $v_i^2$ is</p>"}, "raw TeX"),
        ({"body": r"<p>\begin{align} a \end{align}</p>"}, "raw TeX"),
        ({"body": r"<td>\lambda</td>"}, "raw TeX"),
        ({"body": '<div class="system-message">no</div>'}, "error box"),
        ({"body": '<div class="output stderr">no</div>'}, "error box"),
        ({"body": '<img src="a.png">'}, "without description"),
        ({"body": '<img src="a.png" alt="../_images/a.png">'}, "file name"),
        ({"body": "<h1>Again</h1>"}, "2 main headings"),
        ({"body": f"<code>PosixPath('{ROOT}/data')</code>"}, "folder of this machine"),
    ],
)
def test_fault_is_found(tmp_path, fault, complaint):
    assert any(complaint in line for line in problems(tmp_path, **fault)), problems(
        tmp_path, **fault
    )


def test_style_sheet_from_outside_is_found(tmp_path):
    (tmp_path / "x.css").write_text("body { background: url(https://example.org/a.png) }")
    assert "style sheet" in problems(tmp_path)[0]
