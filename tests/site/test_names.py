"""What notebooks that leave the book call a thing is what its page calls it."""

from book._tools.names import labelled, numbers
from tests.book.sources import ROOT
from tests.site import site

FORMULA = "equation-"  # what the ids of formulas begin with
NUMBER = ".caption-number, .eqno"


def test_things_have_the_numbers_of_the_pages():
    found, where = {}, labelled(ROOT)
    for path in site.pages(site.folder()):
        for thing in site.parse(path).select("article [id]"):
            if (label := thing["id"].removeprefix(FORMULA)) in where and (number := thing.select_one(NUMBER)):
                found[label] = number.get_text(" ", strip=True).strip("()# ")
    told = {label: name for label, (page, name) in where.items() if page in numbers(ROOT)}
    told.pop("{front-figure}")  # has no label
    assert {label: found.get(label) for label in told} == told
