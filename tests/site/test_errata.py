"""The register of errata in a browser: filters by keyboard, an address for each finding."""

import pytest
from playwright.sync_api import sync_playwright

from tests.book import errata
from tests.site import browser, site

PAGE = "book/errata.html"
# A word that stands on two lines has two boxes.
BROKEN_WORDS = """heads => heads.flatMap(head => {
  const broken = [], walk = document.createTreeWalker(head, NodeFilter.SHOW_TEXT);
  while (walk.nextNode())
    for (const { index, 0: word } of walk.currentNode.data.matchAll(/[A-Za-z]+/g)) {
      const range = document.createRange();
      range.setStart(walk.currentNode, index);
      range.setEnd(walk.currentNode, index + word.length);
      if (new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1) broken.push(word);
    }
  return broken;
})"""


@pytest.fixture(scope="module")
def page():
    browser.require()
    with browser.serve(site.folder()) as address, sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser.executable(), args=browser.ARGUMENTS)
        page = started.new_page(viewport=browser.DESK, reduced_motion="reduce")
        page.address = address
        yield page
        started.close()


@pytest.fixture
def register(page):
    page.goto("about:blank")
    page.goto(f"{page.address}/{PAGE}")
    page.locator(".errata-filter").wait_for()
    return page


def shown(page):
    """Ids of the findings that are on the page at present, in the order of the register."""
    found = page.locator(".finding:visible").evaluate_all("all => all.map(one => one.id)")
    return sorted(name.removeprefix("erratum-") for name in found)


def wanted(article=None, **fields):
    """Ids of the findings that have these fields and are, among others, about the article."""
    found = [
        f["id"]
        for f in errata.register()["findings"]
        if all(f[key] == value for key, value in fields.items())
        and (article is None or any(name.startswith(f"a{article}-") for name in errata.names(f)))
    ]
    return sorted(found)


def by_keyboard(page, control, value):
    """Choose an entry of a list with keys alone: its first letters."""
    page.locator(f"select[data-filter={control}]").focus()
    page.keyboard.type(str(value).replace("-", " "))
    page.keyboard.press("Tab")


def count(page):
    return page.locator(".errata-filter output").text_content()


def test_the_page_opens_on_what_is_wrong_and_one_button_shows_all(register):
    assert shown(register) == wanted(severity="wrong")
    assert count(register) == f"{len(wanted(severity='wrong'))} of {len(wanted())} findings"
    register.locator(".errata-filter button").press("Enter")
    assert shown(register) == wanted()


@pytest.mark.parametrize(
    "fields",
    [
        {"article": 4},
        {"kind": "diagram"},
        {"severity": "misleading"},
        {"root": "which-axes"},
        {"article": 5, "kind": "code"},
    ],
)
def test_the_keyboard_filters_by_article_kind_severity_and_confusion(fields, register):
    register.locator(".errata-filter button").press("Enter")
    for control, value in fields.items():
        by_keyboard(register, control, value)
    assert shown(register) == wanted(**fields)
    assert shown(register)
    assert count(register).startswith(f"{len(wanted(**fields))} of ")


def test_words_filter_too(register):
    register.locator(".errata-filter button").press("Enter")
    register.locator(".errata-filter input").fill("gradient")
    some = shown(register)
    assert 0 < len(some) < len(wanted())
    assert all("gradient" in register.locator(f"#erratum-{name}").text_content().lower() for name in some[:5])


def test_an_address_leads_to_its_finding_even_when_it_is_filtered_out(register):
    hidden = wanted(severity="incomplete")
    assert not set(hidden) & set(shown(register))
    register.evaluate("name => { location.hash = name }", f"erratum-{hidden[-1]}")
    register.wait_for_timeout(200)
    assert hidden[-1] in shown(register)
    register.goto("about:blank")
    register.goto(f"{register.address}/{PAGE}#erratum-{hidden[0]}")
    register.wait_for_timeout(200)
    top = register.locator(f"#erratum-{hidden[0]}").evaluate("one => one.getBoundingClientRect().top")
    assert -5 < top < browser.DESK["height"]


def test_every_card_leads_to_the_paragraph_that_shows_it(register):
    links = register.locator(".finding a[href*='errata_article_']").evaluate_all(
        "all => all.map(link => new URL(link.href).hash.slice(1)).filter(Boolean)"
    )
    assert {name for f in errata.register()["findings"] for name in errata.names(f)} == {
        name.removeprefix("shown-") for name in links
    }
    register.goto(f"{register.address}/chapters/errata_article_4.html#shown-a4-history")
    assert register.locator("p:has(#shown-a4-history)").text_content().startswith("a4-history")


def test_no_head_of_a_table_breaks_inside_a_word_on_a_phone(page):
    page.set_viewport_size(browser.PHONE)
    for name in (PAGE, "book/results.html"):
        page.goto(f"{page.address}/{name}")
        broken = page.locator("article th").evaluate_all(BROKEN_WORDS)
        assert not broken, f"{name}: {broken}"
    page.set_viewport_size(browser.DESK)


def test_without_the_script_everything_is_there(page):
    context = page.context.browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(f"{page.address}/{PAGE}")
    assert shown(plain) == wanted()
    context.close()
