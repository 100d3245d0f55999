"""The register of errata in a browser: filters by keyboard, an address for each finding."""

import pytest
from playwright.sync_api import sync_playwright

from tests.book import errata
from tests.site import browser, site

PAGE = "book/errata.html"


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
    """Ids of the findings that are on the page at present."""
    found = page.locator(".finding:visible").evaluate_all("all => all.map(one => one.id)")
    return [name.removeprefix("erratum-") for name in found]


def wanted(**fields):
    findings = errata.register()["findings"]
    return [f["id"] for f in findings if all(f[key] == value for key, value in fields.items())]


def by_keyboard(page, control, value):
    """Choose an entry of a list with keys alone: its first letters."""
    page.locator(f"select[data-filter={control}]").focus()
    page.keyboard.type(str(value))
    page.keyboard.press("Tab")


def test_all_findings_are_shown_at_first_and_counted(register):
    assert shown(register) == wanted()
    assert register.locator(".errata-filter output").text_content() == f"{len(wanted())} of {len(wanted())} findings"


@pytest.mark.parametrize(
    "fields", [{"article": 4}, {"kind": "diagram"}, {"severity": "misleading"}, {"article": 5, "severity": "wrong"}]
)
def test_the_keyboard_filters_by_article_kind_and_severity(fields, register):
    for control, value in fields.items():
        by_keyboard(register, control, value)
    assert shown(register) == wanted(**fields)
    assert shown(register)
    assert register.locator(".errata-filter output").text_content().startswith(f"{len(wanted(**fields))} of ")


def test_words_filter_too_and_one_button_shows_all(register):
    register.locator(".errata-filter input").fill("gradient")
    some = shown(register)
    assert 0 < len(some) < len(wanted())
    assert all("gradient" in register.locator(f"#erratum-{name}").text_content().lower() for name in some[:5])
    register.locator(".errata-filter button").press("Enter")
    register.wait_for_timeout(50)
    assert shown(register) == wanted()


def test_an_address_leads_to_its_finding_even_when_it_is_filtered_out(register):
    first, last = wanted()[0], wanted()[-1]
    by_keyboard(register, "article", 1)
    assert last not in shown(register)
    register.evaluate("name => { location.hash = name }", f"erratum-{last}")
    register.wait_for_timeout(200)
    assert last in shown(register)
    register.goto(f"{register.address}/{PAGE}#erratum-{first}")
    register.wait_for_timeout(200)
    top = register.locator(f"#erratum-{first}").evaluate("one => one.getBoundingClientRect().top")
    assert -5 < top < browser.DESK["height"]


def test_without_the_script_everything_is_there(page):
    context = page.context.browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(f"{page.address}/{PAGE}")
    assert shown(plain) == wanted()
    context.close()
