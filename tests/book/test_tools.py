"""Nothing is recommended that cannot be traced."""

import re

from tests.book.sources import ROOT

PAGE = (ROOT / "book/tools.md").read_text(encoding="utf-8")
LISTS, CORRECTIONS = PAGE.split("## What the articles recommend")
ROW = re.compile(r"^\| (?!-)(.+?) \| (.+) \|$", re.MULTILINE)


def rows(text):
    """Return the rows of all tables, first cell and the rest, without the heads."""
    return [
        row.groups() for row in ROW.finditer(text) if row[1] not in ("book", "course", "paper", "code", "recommended")
    ]


def test_each_book_course_paper_and_program_has_an_address_or_is_in_the_bibliography():
    listed = rows(LISTS)
    assert len(listed) > 25
    assert [name for name, _ in listed if "](https://" not in name and "{cite:" not in name] == []


def test_each_correction_names_its_erratum():
    corrected = rows(CORRECTIONS)
    assert len(corrected) > 7
    assert [name for name, told in corrected if "{erratum}`" not in told] == []
