"""The timeline of the trends: the paper beside an idea is the one whose number in the bibliography dates it."""

import re

import pytest

from tests.book.sources import ROOT

IDEA = re.compile(r'\\"([\w -]+)\\": \(\\"(\d{4}\.\d{5})\\", \\"(\w+)\\"\)')
ENTRY = re.compile(r"^@\w+\{(\w+),(.*?)^\}", re.MULTILINE | re.DOTALL)
IDEAS = IDEA.findall((ROOT / "chapters/trends_tried.ipynb").read_text(encoding="utf-8"))


def test_the_timeline_reaches_from_2015_to_2026():
    assert len(IDEAS) == 27
    years = [number[:2] for _, number, _ in IDEAS]
    assert (min(years), max(years)) == ("15", "26")


@pytest.mark.parametrize(("idea", "number", "key"), IDEAS, ids=[idea for idea, *_ in IDEAS])
def test_the_number_of_an_idea_is_that_of_its_paper(idea, number, key):
    entries = dict(ENTRY.findall((ROOT / "book/references.bib").read_text(encoding="utf-8")))
    assert f"eprint = {{{number}}}" in entries[key]
