"""A page on paper: light, with its answers, its number and its licence, and without what can be pressed."""

import io

import pypdf
import pytest

from tests.site import browser, site

CHAPTER = "chapters/family_of_norms.html"


@pytest.fixture(scope="module")
def tab():
    with browser.opened() as opened:
        page = opened.new_page(color_scheme="dark")
        page.goto(f"{site.folder().resolve().as_uri()}/{CHAPTER}")
        yield page


@pytest.fixture(scope="module")
def printed(tab):
    """The words of the chapter on paper."""
    pages = pypdf.PdfReader(io.BytesIO(tab.pdf(format="A4"))).pages
    return "\n".join(page.extract_text() for page in pages)


def test_the_title_has_its_number_and_the_licence_ends_it(printed):
    assert "3. The family of normalizations" in printed[:200]
    assert "CC BY 4.0" in printed[-600:]


def test_what_can_be_pressed_is_not_printed(printed):
    hints = ["Click to", "Show the answer", "Hide the answer", "Show how the figure", "Without scripts", "Open in full"]
    assert [hint for hint in [*hints, "Hide Search Matches", "Run it"] if hint in printed] == []


def test_every_answer_is_printed(tab, printed):
    answers = tab.locator("article details.below-input pre").all_text_contents()
    assert answers
    lines = ["".join(answer.strip().splitlines()[0].split()) for answer in answers]
    assert [line for line in lines if line not in "".join(printed.split())] == []


def test_a_dark_page_is_printed_light_and_is_dark_again(tab, printed):
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert tab.evaluate("document.documentElement.dataset.theme") == "light"
    assert tab.locator("article details:not([open]):not(.toggle-details)").count() == 0
    tab.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    assert tab.locator("article details[open]").count() == 0
