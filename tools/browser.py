"""Look at built pages in a real headless Chromium.

A page is served from this machine and loaded once; then everything is looked at: the console,
requests that would leave the machine, mathematics, pictures, accessibility in the light theme,
contrast in both, and overflow at three widths.
"""

import threading
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Error, sync_playwright

from tools import chromium

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS = (1280, 768, 360)
THEMES = ("light", "dark")
STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }"
# The search of Sphinx reads the dot in an anchor such as module-adnlib.feeder as a class name and
# then shows the head of the page instead of the section; the hit and its link are right.
KNOWN = "Anchored content block not found"
AXE = {"resultTypes": ["violations"], "preload": False}
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
REST = {"rules": {"color-contrast": {"enabled": False}}}
# Contrast is slow, and pages have thousands of coloured words: of the innermost elements with the
# same colours, size, weight and backgrounds one is looked at; the others lose their text meanwhile.
BLANK = """() => {
  const seen = new Set(), grounds = new Map([[document.documentElement, '']]);
  const plain = 'rgba(0, 0, 0, 0),none,1,none,static';
  const same = [...document.querySelectorAll('body, body *')].filter(e => {
    const s = getComputedStyle(e), above = grounds.get(e.parentElement);
    const own = [s.backgroundColor, s.backgroundImage, s.opacity, s.filter, s.position].join();
    grounds.set(e, own === plain ? above : `${above}${own};`);
    if (e.childElementCount || !e.textContent.trim() || e.matches('script, style')) return false;
    const key = [s.color, s.fontSize, s.fontWeight, s.textShadow, grounds.get(e)].join('|');
    return seen.has(key) || !seen.add(key);
  });
  window.blanked = same.map(e => [e, e.textContent]);
  same.forEach(e => { e.textContent = ''; });
}"""
BACK = "() => window.blanked.forEach(([e, text]) => { e.textContent = text; })"

OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width + 1) return [];
  const scrolls = e => {
    for (; e && e !== document.body; e = e.parentElement)
      if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(e).overflowX)) return true;
    return false;
  };
  const wide = [...document.querySelectorAll('article *')].filter(
    e => e.getBoundingClientRect().right > width + 1 && !scrolls(e.parentElement));
  return wide.slice(0, 3).map(e => e.outerHTML.slice(0, 100)).concat(
    [`page ${document.documentElement.scrollWidth} px wide on ${width}`]);
}"""
MATHS = """() => {
  const raw = [...document.querySelectorAll('article .math')].filter(
    e => !e.querySelector('mjx-container')).map(e => e.textContent.slice(0, 60));
  const bad = [...document.querySelectorAll(
    'mjx-merror, [data-mjx-error], mjx-mtext[style*="color: red"]')].map(
    e => e.getAttribute('data-mjx-error') || e.textContent.slice(0, 60));
  const faces = document.querySelector('mjx-container')
    ? [...document.fonts].filter(f => f.family.startsWith('MJX') && f.status === 'error') : [];
  return raw.map(t => 'not set: ' + t).concat(
    bad.map(t => 'error: ' + t), faces.map(f => 'no font ' + f.family));
}"""
IMAGES = """async () => {
  const all = [...document.querySelectorAll('img')];
  all.forEach(i => { i.loading = 'eager'; });
  await Promise.all(all.map(i => i.complete ? null
    : new Promise(r => { i.onload = i.onerror = r; setTimeout(r, 5000); })));
  return all.filter(i => i.naturalWidth === 0).map(i => i.src);
}"""
# The theme makes what scrolls reachable by keyboard, but some time after the page was laid out.
STOPS = """() => [...document.querySelectorAll('pre, .cell_output .output')].every(
  e => e.scrollWidth <= e.clientWidth || e.tabIndex >= 0)"""
THEME = "t => Object.assign(document.documentElement.dataset, { theme: t, mode: t })"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@contextmanager
def serve(folder):
    """Address of a local server for the folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@contextmanager
def browser():
    """A headless Chromium."""
    with sync_playwright() as tool:
        program = tool.chromium.launch(executable_path=chromium.find(), args=FLAGS)
        try:
            yield program
        finally:
            program.close()


def complaint(said):
    if said.type in ("error", "warning") and KNOWN not in said.text:
        yield f"console {said.type}: {said.text[:200]}"


@contextmanager
def opened(program, url, base):
    """(page, problems): the page with scripts done; problems grows while the page lives."""
    problems = []
    page = program.new_page(viewport={"width": WIDTHS[0], "height": 900})

    def route(request):
        if request.request.url.startswith((base, "data:", "blob:")):
            request.continue_()
        else:
            problems.append(f"request leaves the machine: {request.request.url}")
            request.abort()

    page.route("**/*", route)
    page.on("console", lambda said: problems.extend(complaint(said)))
    page.on("pageerror", lambda error: problems.append(f"script error: {str(error)[:200]}"))
    page.on("response", lambda r: r.status >= 400 and problems.append(f"{r.status}: {r.url}"))
    try:
        page.goto(url, wait_until="load")
        if page.evaluate("!!document.querySelector('article .math')"):
            settle(page, problems)
        page.add_style_tag(content=STILL)
        yield page, problems
    finally:
        page.close()


def settle(page, problems):
    """Wait until MathJax has set the page; a page without MathJax is a problem, not a crash."""
    try:
        page.wait_for_function(
            "window.MathJax && MathJax.startup && MathJax.startup.promise", timeout=30_000
        )
        page.evaluate("MathJax.startup.promise.then(() => document.fonts.ready).then(() => 0)")
    except Error:
        problems.append("MathJax does not start")


def accessibility(page, theme):
    """Serious and critical findings of axe; in the dark theme of contrast only."""
    page.evaluate(THEME, theme)
    with suppress(Error):  # what has no stop by then, axe finds
        page.wait_for_function(STOPS, timeout=10_000)
    found = []
    if theme == THEMES[0]:  # before BLANK, under which nothing scrolls and the stops go
        found += Axe().run(page, options=AXE | REST).response["violations"]
    page.evaluate(BLANK)
    found += Axe().run(page, options=AXE | CONTRAST).response["violations"]
    page.evaluate(BACK)
    for rule in found:
        if rule["impact"] in ("serious", "critical"):
            node = rule["nodes"][0]
            yield (
                f"axe, {theme}: {rule['id']} on {len(rule['nodes'])} elements, "
                f"first {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
            )


def look(program, url, base, axe=True):
    """List of problems of one page."""
    with opened(program, url, base) as (page, problems):
        problems += [f"mathematics {line}" for line in page.evaluate(MATHS)]
        problems += [f"broken picture: {src}" for src in page.evaluate(IMAGES)]
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            problems += [f"overflow at {width} px: {line}" for line in page.evaluate(OVERFLOW)]
        page.set_viewport_size({"width": WIDTHS[0], "height": 900})
        for theme in THEMES if axe else ():
            problems += accessibility(page, theme)
        return list(problems)


def search(program, base, term):
    """(number of hits, problems) of the book's own search."""
    with opened(program, f"{base}/search.html?q={term}", base) as (page, problems):
        try:
            page.wait_for_selector("#search-results li", timeout=10_000)
        except Error:
            problems.append(f"search finds nothing for {term!r}")
        return page.locator("#search-results li").count(), list(problems)
