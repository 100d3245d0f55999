"""The search finds what readers ask for, in English and in Chinese, served and opened as a file."""

import pytest

from tests.site import browser, site


@pytest.fixture(scope="module")
def tab():
    with browser.opened() as opened:
        yield opened.new_page()


@pytest.fixture(scope="module")
def results(tab):
    """A function that searches the built site and returns the addresses that it finds."""

    def search(words):
        tab.goto(f"{site.folder().resolve().as_uri()}/search.html?q={words}")
        tab.locator("#search-results .search li a, #search-results ul.search a").first.wait_for()
        tab.get_by_text("Search finished").wait_for()
        return tab.locator("ul.search a").evaluate_all("all => all.map(each => each.getAttribute('href'))")

    return search


@pytest.mark.parametrize("term", ["残差连接", "层归一化", "梯度消失", "批归一化"])
def test_a_chinese_term_leads_to_the_glossary(term, results):
    assert any(link.startswith("book/glossary.html") for link in results(term))


@pytest.mark.parametrize(("words", "page"), [("shattered", "why_depth_is_hard"), ("RMSNorm", "family_of_norms")])
def test_a_word_of_a_chapter_leads_to_it(words, page, results):
    assert any(page in link for link in results(words))


def test_the_words_of_a_search_are_marked_on_the_map(tab, results):
    assert results("norm")  # the page remembers what was asked last
    tab.goto(f"{site.folder().resolve().as_uri()}/book/map.html")
    tab.locator(".chapter-graph rect.highlighted").first.wait_for(state="attached")
    fills = "all => all.map(each => getComputedStyle(each).fill)"
    assert "rgba(0, 0, 0, 0)" not in tab.locator(".chapter-graph rect.highlighted").evaluate_all(fills)
