"""Every page says in its head what it is about."""

import yaml
from docutils import nodes

from book._ext import head
from book._tools.manifest import ROOT


def test_a_long_text_is_cut_between_words():
    text = head.shortened("a norm, " * 40)
    assert len(text) <= head.LONGEST + 2
    assert text.endswith("norm …")


def test_a_short_paragraph_does_not_describe_a_page():
    page = nodes.Element("", nodes.paragraph("", "See below."), nodes.paragraph("", "A norm divides by a length. " * 3))
    assert head.first_paragraph(page).startswith("A norm divides")
    assert head.first_paragraph(None) == ""


def test_what_readers_copy_to_cite_the_book_is_what_its_metadata_say():
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    page = (ROOT / "book/how_to_run.md").read_text(encoding="utf-8").replace(r"\_", "_")
    [author] = told["authors"]
    for field in (
        f"title = {{{told['title']}}}",
        f"author = {{{{{author['name']}}}}}",
        f"year = {{{config['copyright']}}}",
        f"note = {{Version {told['version']}}}",
    ):
        assert field in page, field


def test_a_version_has_a_day_when_it_is_released():
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    released = f"## {told['version']} (unreleased)" not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert released == ("date-released" in told)
