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


FIRST = {"RMSNorm": "family_of_norms", "eps": "family_of_norms", "warmup": "placement_and_warmup"}


@pytest.mark.parametrize("words", FIRST)
def test_the_chapter_that_speaks_most_of_a_word_is_among_the_first(words, results):
    assert any(FIRST[words] in link for link in results(words)[:3])


def test_two_spellings_find_the_same(results):
    assert results("warmup") == results("warm-up")


def test_a_letter_of_a_formula_is_found_by_its_name(results):
    assert results("γ") == results("gamma")


def test_a_search_asks_no_other_host_and_breaks_no_policy(tab):
    page = tab.context.browser.new_page()
    with browser.serve(site.folder()) as address:
        with browser.watched(page, address) as found:
            page.goto(f"{address}/search.html?q=RMSNorm")
            page.get_by_text("Search finished").wait_for()
            page.wait_for_load_state("networkidle")
        assert page.locator("ul.search li p.context").count() > 10
        assert found == []


def test_a_search_in_a_file_says_what_its_pages_are_about(tab, results):
    failed = []
    tab.on("pageerror", lambda error: failed.append(error.message))
    hits = results("shattered")
    said = tab.locator("ul.search li:has(a[href*=why_depth_is_hard])").first.locator("p.context")
    said.wait_for()
    assert (
        said.text_content()
        == site.parse(site.folder() / "chapters/why_depth_is_hard.html").find("meta", attrs={"name": "description"})[
            "content"
        ]
    )
    assert tab.locator("ul.search p.context, ul.search span").count() >= len(hits)
    assert failed == []


@pytest.mark.parametrize("screen", [browser.DESK, browser.PHONE], ids=["desk", "phone"])
def test_the_field_shows_what_is_written_beside_its_glass(screen, tab):
    tab.set_viewport_size(screen)
    for opened_by_keys in (False, True):
        name = "book/index.html" if opened_by_keys else "search.html"
        tab.goto(f"{site.folder().resolve().as_uri()}/{name}")
        if opened_by_keys:
            tab.keyboard.press("Control+k")
        form = tab.locator("form.bd-search:visible").last
        glass, words = (form.locator(each).bounding_box() for each in ("i", "input"))
        padding = form.locator("input").evaluate("field => parseFloat(getComputedStyle(field).paddingLeft)")
        assert glass["x"] + glass["width"] <= words["x"] + padding
        assert words["x"] > form.bounding_box()["x"]
        assert form.locator("input").evaluate("field => getComputedStyle(field).borderTopWidth") == "0px"
    tab.set_viewport_size(browser.DESK)


def test_the_words_of_a_search_are_marked_on_the_map(tab, results):
    assert results("norm")  # the page remembers what was asked last
    tab.goto(f"{site.folder().resolve().as_uri()}/book/map.html")
    tab.locator(".chapter-graph rect.highlighted").first.wait_for(state="attached")
    fills = "all => all.map(each => getComputedStyle(each).fill)"
    assert "rgba(0, 0, 0, 0)" not in tab.locator(".chapter-graph rect.highlighted").evaluate_all(fills)
