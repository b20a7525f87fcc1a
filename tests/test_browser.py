"""The built pages in a real browser; and proof that each fault is found."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from tools import BUILD, ROOT, browser, chromium, htmlcheck

HTML = BUILD / "html"
pytestmark = pytest.mark.book

PAGE = """<!DOCTYPE html><html lang="en"><head><title>t</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width">{head}</head>
<body><main><article><h1>Title</h1><p>Words.</p>{body}</article></main></body></html>"""


def articles():
    """Pages with text; the first page only forwards."""
    found = [p for p in htmlcheck.pages(HTML) if "<article" in p.read_text(encoding="utf8")]
    return [page.relative_to(HTML).as_posix() for page in found] or ["no book is built"]


@pytest.fixture(scope="session")
def program():
    if chromium.find() is None and not chromium.in_ci():
        pytest.skip(f"BROWSER TEST LEFT OUT, {chromium.HINT}")
    assert chromium.find(), chromium.HINT
    with browser.browser() as started:
        yield started


@pytest.fixture(scope="session")
def base():
    if not HTML.exists() and not chromium.in_ci():
        pytest.skip("NO BOOK IS BUILT: make book, then run this again")
    assert HTML.exists(), "no book is built"
    with browser.serve(HTML) as address:
        yield address


@pytest.mark.parametrize("name", articles())
def test_page(program, base, name):
    axe = not name.startswith("_modules/")  # thousands of coloured words, none of them ours
    assert browser.look(program, f"{base}/{name}", base, axe) == []


def test_first_page_forwards_to_the_introduction(program, base):
    page = program.new_page()
    page.goto(f"{base}/index.html")
    page.wait_for_url("**/book/intro.html", timeout=10_000)
    assert page.locator("article h1").count() == 1
    page.close()


def test_search_finds_what_is_there_and_nothing_else(program, base):
    hits, problems = browser.search(program, base, "receipt")
    assert hits > 0 and problems == []
    hits, problems = browser.search(program, base, "qqxyzzyqq")
    assert hits == 0 and problems == ["search finds nothing for 'qqxyzzyqq'"]


def test_removed_search_index_is_found(program, base, tmp_path):
    copy = tmp_path / "html"
    shutil.copytree(HTML, copy)
    (copy / "searchindex.js").unlink()
    with browser.serve(copy) as address:
        assert browser.search(program, address, "receipt")[1] != []


def test_removed_mathjax_is_found(program, base, tmp_path):
    copy = tmp_path / "html"
    shutil.copytree(HTML, copy)
    shutil.rmtree(copy / "_static" / "mathjax")
    name = next(p for p in articles() if 'class="math' in (HTML / p).read_text(encoding="utf8"))
    with browser.serve(copy) as address:
        problems = browser.look(program, f"{address}/{name}", address, axe=False)
    assert any("MathJax does not start" in line for line in problems)
    assert any("mathematics not set" in line for line in problems)


def problems(program, folder, head="", body=""):
    (folder / "index.html").write_text(PAGE.format(head=head, body=body), encoding="utf8")
    with browser.serve(folder) as address:
        return browser.look(program, f"{address}/index.html", address)


def with_mathjax(folder):
    """Copy MathJax out of its package; the tag that loads it."""
    source = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    shutil.copyfile(source / "tex-chtml-full.js", folder / "mathjax.js")
    shutil.copytree(source / "output", folder / "output")
    return '<script defer src="mathjax.js"></script>'


def test_good_page_passes(program, tmp_path):
    formula = r'<span class="math">\(x^2\)</span>'
    assert problems(program, tmp_path, with_mathjax(tmp_path), formula) == []


@pytest.mark.parametrize(
    "tex, complaint",
    [
        (r"\frac", "mathematics error"),  # an argument is missing
        (r"\nosuchmacro x", "mathematics error"),
        (r"\frac{1", "mathematics not set"),  # a brace is open
    ],
)
def test_bad_tex_is_found(program, tmp_path, tex, complaint):
    formula = f'<span class="math">\\({tex}\\)</span>'
    found = problems(program, tmp_path, with_mathjax(tmp_path), formula)
    assert any(complaint in line for line in found), found


@pytest.mark.parametrize(
    "fault, complaint",
    [
        ({"body": '<img src="https://example.org/a.png" alt="A">'}, "leaves the machine"),
        ({"body": "<script>fetch('http://192.0.2.1/x').catch(() => 0)</script>"}, "leaves the"),
        ({"body": '<img src="gone.png" alt="A line">'}, "broken picture"),
        ({"body": "<script>nothing.there()</script>"}, "script error"),
        ({"body": "<script>console.error('bad')</script>"}, "console error"),
        ({"body": '<div style="width: 900px">wide</div>'}, "overflow at 360 px"),
        ({"body": '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">'}, "axe, light"),
        ({"body": '<p style="color: #bbb; background: #fff">pale</p>'}, "color-contrast"),
        ({"body": '<p>good</p><div style="background: #555"><p>pale</p></div>'}, "color-contrast"),
        ({"body": '<p>good</p><p style="opacity: 0.3">pale</p>'}, "color-contrast"),
        (
            {"head": "<style>html[data-theme=dark] p { color: #222; background: #111 }</style>"},
            "axe, dark: color-contrast",
        ),
    ],
)
def test_fault_is_found(program, tmp_path, fault, complaint):
    found = problems(program, tmp_path, **fault)
    assert any(complaint in line for line in found), found


LEDGER = """<table class="ledger" id="ledger"><thead><tr><th>claim</th><th>paper says</th>
<th>ours</th><th>verdict</th><th>why</th></tr></thead><tbody>
<tr data-paper="dcp" data-verdict="yes"><td>Loss falls</td><td>9</td><td>10</td><td>holds</td>
<td></td></tr><tr data-paper="mpc" data-verdict="no"><td>Loss rises</td><td>x</td><td>2</td>
<td>does not hold</td><td>9 of wind</td></tr><tr data-paper="mpc" data-verdict="yes"><td>Quick</td>
<td>10</td><td>-3</td><td>holds</td><td></td></tr></tbody></table>"""


@pytest.fixture
def ledger(program, tmp_path):
    """A page with three claims and the script of the ledger."""
    shutil.copyfile(ROOT / "book" / "_static" / "ledger.js", tmp_path / "ledger.js")
    text = PAGE.format(head='<script defer src="ledger.js"></script>', body=LEDGER)
    (tmp_path / "index.html").write_text(text, encoding="utf8")
    with browser.serve(tmp_path) as base:
        page = program.new_page()
        page.goto(f"{base}/index.html")
        yield page
        page.close()


def shown(page):
    return page.locator("#ledger tbody tr:visible td:first-child").all_text_contents()


def test_ledger_is_searched_and_filtered(ledger):
    assert len(shown(ledger)) == 3 and ledger.get_by_role("status").inner_text() == "3 of 3 claims"
    ledger.get_by_label("verdict").select_option(label="holds")
    assert shown(ledger) == ["Loss falls", "Quick"]
    ledger.get_by_label("paper").select_option("mpc")
    assert shown(ledger) == ["Quick"]
    ledger.get_by_label("verdict").select_option("")
    ledger.get_by_label("search").fill("WIND loss")
    assert shown(ledger) == ["Loss rises"]
    assert ledger.get_by_role("status").inner_text() == "1 of 3 claims"


def test_ledger_is_sorted_by_number_and_by_word(ledger):
    ledger.get_by_role("button", name="ours").click()
    assert shown(ledger) == ["Quick", "Loss rises", "Loss falls"]
    ledger.get_by_role("button", name="ours").click()
    assert shown(ledger) == ["Loss falls", "Loss rises", "Quick"]
    ledger.get_by_role("button", name="paper says").click()
    assert shown(ledger) == ["Loss falls", "Quick", "Loss rises"]  # words behind numbers
    assert ledger.locator("th[aria-sort=ascending]").count() == 1
    ledger.get_by_role("button", name="why").click()
    assert shown(ledger)[0] == "Loss rises"  # no word behind words


def scripted(folder, body):
    """A page with the book's own scripts and style, but nothing of the theme."""
    for name in ("outputs.js", "wide.js", "custom.css"):
        shutil.copyfile(ROOT / "book" / "_static" / name, folder / name)
    head = "".join(f'<script defer src="{name}"></script>' for name in ("outputs.js", "wide.js"))
    head += '<link rel="stylesheet" href="custom.css">'
    text = PAGE.format(head=head, body=f'<div class="bd-article">{body}</div>')
    (folder / "index.html").write_text(text, encoding="utf8")


def test_words_stand_left_and_a_wide_table_says_that_it_scrolls(program, tmp_path):
    row = "<tr><th>a</th><td>7</td><td>a word</td><td>{}</td></tr>"
    rows = row.format("A sentence that is longer than forty characters.") + row.format("no")
    cell = '<div class="cell_output"><div class="output" style="overflow-x: auto">{}</div></div>'
    table = '<table class="dataframe"{}><tbody>' + rows + "</tbody></table>"
    scripted(
        tmp_path, "".join(cell.format(table.format(s)) for s in ("", ' style="width: 3000px"'))
    )
    with browser.serve(tmp_path) as base:
        page = program.new_page(viewport={"width": 1200, "height": 800})
        page.goto(f"{base}/index.html")
        left = "cells => cells.map(c => getComputedStyle(c).textAlign)"
        assert page.locator("td").evaluate_all(left) == 4 * ["right", "left", "left"]
        wide = page.locator(".output").evaluate_all("all => all.map(o => o.matches('.scrolls'))")
        assert wide == [False, True]
        page.close()


def test_stored_outputs_get_links_powers_dashes_and_pictures_that_open(program, tmp_path):
    names = ["sec-21-one", "fig-21-two, eq-21-three", "sec-21-lost", "fig-21-two, sec-21-lost"]
    names += ["p.u.^2 h", "NaN"]
    rows = "".join(f"<tr><td>{name}</td></tr>" for name in names)
    body = (
        '<section id="the-first"><span id="sec-21-one"></span><h2>The first<a>#</a></h2></section>'
        '<figure id="fig-21-two"><img src="a.png" alt="two"><figcaption>'
        '<span class="caption-number">Fig. 7 </span>Two</figcaption></figure>'
        '<div id="equation-eq-21-three"><span class="eqno">(9)<a>#</a></span></div>'
        f'<div class="cell_output"><div class="output"><table class="dataframe"><tbody>{rows}'
        "</tbody></table></div></div>"
    )
    scripted(tmp_path, body)
    with browser.serve(tmp_path) as base:
        page = program.new_page(viewport={"width": 1200, "height": 800})
        page.goto(f"{base}/index.html")
        assert page.locator("td").all_inner_texts() == [
            "The first",
            "Fig. 7, (9)",
            *names[2:4],
            "p.u.2 h",
            "–",
        ]
        assert page.locator("td sup").all_inner_texts() == ["2"]
        links = page.locator("td a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
        assert links == ["#sec-21-one", "#fig-21-two", "#equation-eq-21-three"]
        assert page.locator("figure a > img[alt=two]").count() == 1
        page.close()


def test_counts_lose_their_point_where_a_whole_column_has_them(program, tmp_path):
    rows = [
        ("41.0", "4.990", "2.0", "a"),
        ("-3.0", "3.050", "0.5", "1.0"),
        ("NaN", "1.0", "1.0", ""),
    ]
    rows = "".join(f"<tr><th>1.0</th><td>{'</td><td>'.join(row)}</td></tr>" for row in rows)
    uneven = "<tr><th rowspan=2>a</th><td>1.0</td></tr><tr><td>2.0</td><td>3.0</td></tr>"
    box = '<div class="cell_output"><div class="output">{}</div></div>'
    table = box.format('<table class="dataframe">{}</table>')
    scripted(tmp_path, table.format(rows) + table.format(uneven))
    with browser.serve(tmp_path) as base:
        page = program.new_page(viewport={"width": 1200, "height": 800})
        page.goto(f"{base}/index.html")
        assert page.locator("td").all_inner_texts() == [
            *("41", "4.990", "2.0", "a"),
            *("-3", "3.050", "0.5", "1.0"),
            *("–", "1.0", "1.0", ""),
            *("1.0", "2.0", "3.0"),
        ]
        assert page.locator("th").first.inner_text() == "1.0"
        page.close()


def test_on_a_phone_words_become_cards_and_formulas_shrink_before_they_scroll(program, tmp_path):
    word = "<td style='white-space: nowrap'>several words that do not break</td>"
    rows = f"<tr><td>a</td>{word}{word}<td></td></tr>"
    head = "<thead><tr><th>key</th><th>code</th><th>meaning</th><th>unit</th></tr></thead>"
    box = '<div class="pst-scrollable-table-container" style="overflow-x: auto">{}</div>'
    table = box.format(f"<table>{head}<tbody>{rows}</tbody></table>")
    formula = (
        '<div class="math" style="display: flex; overflow: auto">'
        '<mjx-container style="overflow: auto"><div style="width: {}em">x</div>'
        "</mjx-container></div>"
    )
    printed = '<div class="cell_output"><div class="output"><div><pre>{}</pre></div></div></div>'
    prints = printed.format("one long line of words " * 9) + printed.format(
        "a  b\n" + "1  2  " * 40
    )
    prints = prints.replace("1  2  " * 40, "1  2  " * 40 + "\n3  4")
    scripted(tmp_path, table + prints + "".join(formula.format(em) for em in (10, 24, 60)))
    with browser.serve(tmp_path) as base:
        page = program.new_page(viewport={"width": 375, "height": 800})
        page.goto(f"{base}/index.html")
        assert page.locator("table.cards").count() == 1
        shown = page.locator("td").evaluate_all(
            "all => all.map(c => [getComputedStyle(c, '::before').content, c.offsetWidth > 0])"
        )
        assert shown == [
            ["none", True],
            *([f'"{h}: "', h != "unit"] for h in ("code", "meaning", "unit")),
        ]
        size = (
            "all => all.map(c => [parseFloat(getComputedStyle(c).fontSize), c.matches('.scrolls')])"
        )
        fits, shrunk, long = page.locator("div.math").evaluate_all(size)
        assert fits == [16, False] and long[1]
        assert long[0] < shrunk[0] < 16 and not shrunk[1]
        page.set_viewport_size({"width": 1200, "height": 800})
        page.wait_for_selector("table.cards", state="detached")
        assert page.locator("div.math").evaluate_all(size) == 3 * [[16, False]]
        page.close()
