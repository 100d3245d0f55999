"""Every section of the five articles has a place in the book, and every place is there."""

import re
from functools import cache

import pytest

from book._ext import concordance, errata
from book._tools.cells import read
from book._tools.myst import headings
from tests.book.sources import ROOT, chapters, pages

ARTICLES = concordance.load()
SECTIONS = [(article, section) for article, sections in ARTICLES.items() for section in sections]
ROLE = re.compile(r"\{section\}`([^`]+)`")


@cache
def titles(page):
    """Return the headings of a page or of a chapter, without markup; none if there is no such page."""
    path = ROOT / page
    if path.with_suffix(".md").exists():
        text = path.with_suffix(".md").read_text(encoding="utf-8")
    elif path.with_suffix(".ipynb").exists():
        text = "\n\n".join(c.source for c in read(path.with_suffix(".ipynb")).cells if c.cell_type == "markdown")
    else:
        return []
    return [concordance.plain(title) for _, title in headings(text)]


def is_there(place):
    page, heading = concordance.split(place)
    return concordance.plain(heading) in [*titles(page), ""] and bool(titles(page))


@pytest.mark.parametrize(("article", "section"), SECTIONS, ids=lambda part: str(part))
def test_a_section_has_a_place_that_is_there(article, section):
    _, places = ARTICLES[article][section]
    assert places
    assert [place for place in places if not is_there(place)] == []


def test_a_place_that_is_missing_is_noticed():
    places = ["degradation#The experiment", "book/errata", "degradation", "degradation#The experimenters", "no_chapter"]
    assert [is_there(place) for place in places] == [True, True, True, False, False]


@pytest.mark.parametrize("article", ARTICLES)
def test_no_number_is_left_out(article):
    numbers = [section for section in ARTICLES[article] if section[0].isdigit()]
    for number in numbers:
        above, _, last = number.rpartition(".")
        before = f"{above}.{int(last) - 1}".lstrip(".")
        assert int(last) == 1 or before in numbers
        assert not above or above in numbers


@pytest.mark.parametrize("article", ARTICLES)
def test_every_section_that_has_an_erratum_is_in_the_concordance(article):
    known = concordance.found_in(errata.load(), str(article))
    assert set(known) <= set(ARTICLES[article])


def test_the_page_shows_every_article_once():
    page = (ROOT / "book/concordance.md").read_text(encoding="utf-8")
    assert re.findall(r"^```\{concordance\} (.*)$", page, re.MULTILINE) == [str(article) for article in ARTICLES]


def test_a_row_leads_to_its_places_and_to_its_findings():
    sections = {"2.1": ("Sum", ["degradation", "book/errata#The entries"]), "3": ("Steps", ["degradation"])}
    lines = concordance.table("4", sections, {"2.1": 7}).splitlines()
    assert lines[2:] == [
        "| 2.1 | Sum | {section}`degradation`; {section}`book/errata#The entries` | {doc}`7 <errata/article_4>` |",
        "| 3 | Steps | {section}`degradation` | – |",
    ]


def test_links_to_sections_elsewhere_lead_somewhere():
    texts = {path: path.read_text(encoding="utf-8") for path in [*pages(), *chapters()]}
    wrong = [
        f"{path.name}: {place}" for path, text in texts.items() for place in ROLE.findall(text) if not is_there(place)
    ]
    assert not wrong
