"""Look at built pages without a browser.

    python -m tools.htmlcheck [folder]

Finds loads from outside, names of content networks in scripts, dead links and anchors, TeX that
stayed text, error boxes, pictures without a description, and folders of this machine.
"""

import re
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

from tools import BUILD, ROOT

OUTSIDE = re.compile(r"(?:https?:|wss?:)?//", re.I)
NETWORKS = re.compile(
    r"cdn\.jsdelivr|unpkg\.com|cdnjs\.|googleapis\.com|gstatic\.com|cdn\.mathjax|polyfill\.io|"
    r"google-analytics|googletagmanager|cdn\.plot\.ly|mybinder\.org/static"
)
LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
    "link": "href",
}
PASSIVE = {"canonical", "author", "index", "search", "next", "prev", "license", "help", "alternate"}
TEX = re.compile(
    r"\\(?:begin|end|frac|sum|mathbf|mathrm|text|le|ge|in|cdot|alpha|beta|lambda|ell)\b"
    r"|\$[^$\s](?:[^$\n]*[^$\s])?\$|\\\(|\\\["
)
ERRORS = ".system-message, .problematic, .output.traceback, .output.stderr, .cell_output .error"
FILE_NAME = re.compile(r"\S+\.(?:png|svg|jpe?g|gif|pdf)$", re.I)


@cache
def soup(path):
    return BeautifulSoup(path.read_text(encoding="utf8"), "html.parser")


@cache
def anchors(path):
    page = soup(path)
    return {t["id"] for t in page.select("[id]")} | {t["name"] for t in page.select("a[name]")}


def pages(folder):
    """The pages that a reader opens, without the theme's own files."""
    return sorted(p for p in Path(folder).rglob("*.html") if "_static" not in p.parts)


def outside_loads(page):
    for tag, attribute in LOADS.items():
        for found in page.select(f"{tag}[{attribute}]"):
            if tag == "link" and PASSIVE & set(found.get("rel", [])):
                continue
            if OUTSIDE.match(found[attribute].strip()):
                yield f"loads from outside: {found[attribute]}"
    for style in [*page.select("style"), *page.select("[style]")]:
        text = style.get("style") or style.get_text()
        if re.search(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", text):
            yield "loads from outside: a style"
    for script in page.select("script"):
        if found := NETWORKS.search(script.get_text()):
            yield f"script names a content network: {found.group()}"


def unknown(fragment, target):
    return target.suffix == ".html" and unquote(fragment) not in anchors(target)


def dead_links(page, path, folder):
    found = [(t["href"], t) for t in page.select("a[href]")]
    found += [(t[a], t) for n, a in LOADS.items() for t in page.select(f"{n}[{a}]") if n != "a"]
    for href, tag in found:
        parts = urlsplit(href)
        if parts.scheme or parts.netloc or href in ("", "#"):
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
        target = target / "index.html" if target.is_dir() else target
        if not target.is_relative_to(Path(folder).resolve()) or not target.exists():
            yield f"dead link in <{tag.name}>: {href}"
        elif parts.fragment and tag.name == "a" and unknown(parts.fragment, target):
            yield f"dead anchor: {href}"


def forwards(page, path):
    """A page that only sends the reader on (the book's index.html) must know where to."""
    for tag in page.select("meta[http-equiv]"):
        if tag["http-equiv"].lower() == "refresh":
            target = tag.get("content", "").partition("url=")[2]
            if not target or not (path.parent / target).exists():
                yield f"sends the reader to a page that does not exist: {target}"


def raw_tex(page):
    """TeX in the prose of the article; code and what MathJax will set are left out."""
    article = page.select_one("article")
    for text in article.find_all(string=True) if article else ():
        inside = [p for p in text.parents if p.name]
        names = {p.name for p in inside} & {"pre", "code", "script", "style"}
        if names or any("math" in p.get("class", []) for p in inside):
            continue
        if found := TEX.search(text):
            yield f"raw TeX: {text.strip()[:80]!r} ({found.group()})"


def error_boxes(page):
    for box in page.select(ERRORS):
        yield f"error box: {box.get_text(' ', strip=True)[:80]!r}"


def pictures(page):
    for image in page.select("article img"):
        alt = image.get("alt")
        if alt is None or (not alt.strip() and image.get("role") != "presentation"):
            yield f"picture without description: {image.get('src')}"
        elif FILE_NAME.search(alt.strip()) or "/" in alt.split()[0]:
            yield f"picture described by its file name: {alt}"


def headings(page):
    if page.select_one("article") and len(page.select("article h1")) != 1:
        yield f"{len(page.select('article h1'))} main headings, one expected"
    if page.html and not page.html.get("lang") and page.select_one("article"):
        yield "no language"


def machine_paths(path):
    if str(ROOT) in path.read_text(encoding="utf8"):
        yield f"names a folder of this machine: {ROOT}"


def check_page(path, folder):
    """List of problems of one page, each with the page's name."""
    page = soup(path)
    found = [*outside_loads(page), *dead_links(page, path, folder), *forwards(page, path)]
    found += [*raw_tex(page), *error_boxes(page), *pictures(page), *headings(page)]
    found += machine_paths(path)
    return [f"{path.relative_to(folder)}: {line}" for line in found]


def check_styles(folder):
    """Style sheets must not load from outside either."""
    return [
        f"{path.relative_to(folder)}: style sheet loads from outside"
        for path in Path(folder).rglob("*.css")
        if re.search(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", path.read_text(encoding="utf8"))
    ]


def check(folder):
    """All problems of a built book; empty when all is well."""
    folder = Path(folder)
    return check_styles(folder) + [x for path in pages(folder) for x in check_page(path, folder)]


if __name__ == "__main__":
    problems = check(sys.argv[1] if len(sys.argv) > 1 else BUILD / "html")
    print("\n".join(problems) or "pages in order")
    sys.exit(bool(problems))
