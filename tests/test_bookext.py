"""Docstrings written for the editor come out on the page without warnings."""

from types import SimpleNamespace

import pytest
from docutils import nodes
from docutils.core import publish_doctree

from adnlib import export
from tools.bookext import as_rest, drop_aliases, launch_options, number_by_file

DOCSTRINGS = {
    "|V - V_linear| <= rho * |w|, see `existence` and x_.": "|V - V_linear| <= rho * |w|",
    "Fields:\n  n     number of buses\n  r, x  (n,) p.u.\nall fixed.": "  r, x  (n,) p.u.",
    "Sum.\n\n>>> 1 + 1\n2": ">>> 1 + 1",
    "One *star, two `code|pipes` and a back\\slash.": "back\\slash",
    "kept ``a*b``": "a*b",
    "share  of all load\nValueError where there is none": "share  of all load",
}


@pytest.mark.parametrize("text, shown", DOCSTRINGS.items())
def test_docstring_has_no_warning_and_loses_nothing(text, shown):
    lines = "\n".join(as_rest(text.split("\n")))
    page = publish_doctree(lines, settings_overrides={"halt_level": 2, "report_level": 2})
    assert shown in page.astext()


def test_fields_of_a_named_tuple_are_not_listed_as_aliases():
    shown = [
        n
        for n in vars(export.Exported)
        if drop_aliases(None, "", n, getattr(export.Exported, n), 0, 0) is None
    ]
    assert "setpoints" not in shown and "_replace" in shown


def test_a_chapter_has_the_number_of_its_file():
    def assign(collector, env):
        env.toc_secnumbers = {"notebooks/21_b": {"": (2,), "#part": (2, 1)}, "book/a": {"": (3,)}}
        return ["notebooks/21_b"]

    title, entry = nodes.title(secnumber=[2]), nodes.reference(secnumber=[2, 1])
    toc = nodes.bullet_list("", entry, nodes.reference())
    env = SimpleNamespace(titles={"notebooks/21_b": title}, tocs={"notebooks/21_b": toc})
    assert number_by_file(assign)(None, env) == ["notebooks/21_b"]
    assert env.toc_secnumbers["notebooks/21_b"] == {"": (21,), "#part": (21, 1)}
    assert env.toc_secnumbers["book/a"] == {"": (3,)}
    assert title["secnumber"] == [21] and entry["secnumber"] == [21, 1]


def test_launch_buttons_need_the_address_of_the_repository_and_nothing_else():
    without = '[project]\nname = "a"\n'
    assert launch_options(without) == {}
    found = launch_options(without + '[project.urls]\nRepository = "https://example.org/a/b/"\n')
    assert found["repository_url"] == "https://example.org/a/b"
    assert {"binderhub_url", "colab_url"} <= set(found["launch_buttons"])
