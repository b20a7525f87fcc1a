"""Sphinx extension of the book: no stale result, and mathematics that needs no network."""

import re
import shutil
import tomllib
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from sphinx.environment.collectors.toctree import TocTreeCollector

from tools import ROOT, steady
from tools.book import guard

LISTED = re.compile(r" |\S.{0,25}? {2,}\S")  # an indented row, or a name and what it is
MATHJAX = "mathjax/tex-chtml-full.js"
CITATIONS = '<div class="citation-list">'
SPAN = re.compile(r"(``.+?``|:\w+:`[^`]+`|`[^`\n]+`)")
CHAPTER = re.compile(r"notebooks/(\d\d)_\w+")
FONTS = "mathjax/output/chtml/fonts/woff-v2"


def launch_options(pyproject):
    """Options of the theme for buttons that open a chapter elsewhere; none without an address.

    pyproject: text of pyproject.toml, whose [project.urls] Repository is the one place in which the
    address of the published repository stands.
    """
    address = tomllib.loads(pyproject)["project"].get("urls", {}).get("Repository")
    if not address:
        return {}
    buttons = {
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
        "notebook_interface": "jupyterlab",
    }
    return {
        "repository_url": address.rstrip("/"),
        "repository_branch": "main",
        "path_to_docs": "",
        "use_repository_button": True,
        "launch_buttons": buttons,
    }


def add_launch_buttons(app, config):
    config.html_theme_options.update(launch_options((ROOT / "pyproject.toml").read_text("utf8")))


def drop_stale(app, config):
    """Before pages are read: `guard` removes what other sources made."""
    steady()
    if guard(Path(app.srcdir), Path(app.outdir).parent):
        # Sphinx has made the folder of its own state already; it must exist, but empty.
        Path(app.doctreedir).mkdir(parents=True, exist_ok=True)


def copy_mathjax(app, error):
    """Copy one script and its fonts out of the package; the rest of its 24 MB is not needed."""
    if error or app.builder.format != "html":
        return
    source = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static"
    target = Path(app.outdir) / "_static"
    (target / FONTS).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / MATHJAX, target / MATHJAX)
    for font in (source / FONTS).glob("*.woff"):
        shutil.copyfile(font, target / FONTS / font.name)


def mend_body(app, pagename, templatename, context, doctree):
    """The list of references claims a role whose items it does not have (axe finds that)."""
    if body := context.get("body"):
        context["body"] = body.replace('<div role="list" class="citation-list">', CITATIONS)


def escaped(text):
    """Plain words as reST: `name` becomes code, the characters of formulas lose their meaning."""
    parts = SPAN.split(text)
    parts[::2] = [re.sub(r"([\\*|_])", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [f"``{part.strip('`')}``" if part[0] == "`" else part for part in parts[1::2]]
    return "".join(parts)


def as_rest(lines):
    """A docstring written for the editor as reST: prose flows, what is lined up stays lined up."""
    result = []
    for paragraph in "\n".join(lines).strip("\n").split("\n\n"):
        rows = [row for row in paragraph.split("\n") if row.strip()]
        lined_up = any(LISTED.match(row) for row in rows) or "    " in paragraph
        if rows and rows[0].startswith(">>>"):
            result += rows
        elif rows and lined_up:
            result += [".. code-block:: text", "", *("    " + row for row in rows)]
        else:
            result += escaped("\n".join(rows)).split("\n")
        result.append("")
    return result


def mend_docstring(app, what, name, obj, options, lines):
    lines[:] = as_rest(lines)


def number_by_file(assign):
    """Section numbers as `assign` gives them, but a chapter's first one is that of its file.

    notebooks/21_dcp is chapter 21, whatever stands before it; numbers of figures, equations and
    exercises follow.
    """

    def renumbered(number, chapter):
        return type(number)([chapter, *number[1:]]) if number else number

    def numbers(self, env):
        changed = assign(self, env)
        for doc, sections in env.toc_secnumbers.items():
            found = CHAPTER.fullmatch(doc)
            if not found:
                continue
            chapter = int(found[1])
            for anchor, number in sections.items():
                sections[anchor] = renumbered(number, chapter)
            for node in [env.titles[doc], *env.tocs[doc].findall(nodes.reference)]:
                if node.get("secnumber"):
                    node["secnumber"] = renumbered(node["secnumber"], chapter)
        return changed

    return numbers


def take_numbers_from_files(app):
    """Once all extensions are set up, which put numbers of their own into the collector."""
    for collector in TocTreeCollector.__subclasses__() or [TocTreeCollector]:
        collector.assign_section_numbers = number_by_file(collector.assign_section_numbers)


def drop_aliases(app, what, name, obj, skip, options):
    """The fields of a named tuple stand in its docstring; of their own they say "Alias for ..."."""
    return True if (getattr(obj, "__doc__", "") or "").startswith("Alias for field") else None


def setup(app):
    app.config.mathjax_path = MATHJAX
    app.connect("config-inited", drop_stale)
    app.connect("config-inited", add_launch_buttons)
    app.connect("builder-inited", take_numbers_from_files)
    app.connect("autodoc-process-docstring", mend_docstring)
    app.connect("autodoc-skip-member", drop_aliases)
    app.connect("html-page-context", mend_body)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
