"""The register of errata in a browser: filters by keyboard, an address for each finding."""

import pytest

from tests.book import errata
from tests.site import browser, site

SHARED = "book/errata/shared.html"
ARTICLE = "book/errata/article_5.html"  # that with the most
PAGES = [SHARED, *(f"book/errata/article_{number}.html" for number in range(1, 6))]
OLD = "book/errata.html"  # all of them stood here once


@pytest.fixture(scope="module")
def page():
    with browser.serve(site.folder()) as address, browser.opened() as opened:
        page = opened.new_page(viewport=browser.DESK, reduced_motion="reduce")
        page.address = address
        yield page


@pytest.fixture
def register(page, request):
    """A page of the register, that of several articles if the test names no other."""
    page.goto("about:blank")
    page.name = getattr(request, "param", SHARED)
    page.goto(f"{page.address}/{page.name}")
    page.locator(".errata-filter").wait_for()
    return page


on_every_page = pytest.mark.parametrize("register", PAGES, indirect=True)


def shown(page):
    """Ids of the findings that are on the page at present, in the order of the register."""
    found = page.locator(".finding:visible").evaluate_all("all => all.map(one => one.id)")
    return sorted(name.removeprefix("erratum-") for name in found)


def wanted(page, article=None, **fields):
    """Ids of the findings of a page that have these fields and are, among others, about the article."""
    found = [
        f["id"]
        for f in errata.register()["findings"]
        if all(f[key] == value for key, value in fields.items())
        and home(f) == page
        and (article is None or article in about(f))
    ]
    return sorted(found)


def about(finding):
    """The numbers of the articles that a finding is about."""
    return {int(name[1]) for name in errata.names(finding)}


def home(finding):
    """The page of a finding."""
    return SHARED if len(about(finding)) > 1 else f"book/errata/article_{finding['article']}.html"


def by_keyboard(page, control, value):
    """Choose an entry of a list with keys alone: its first letters."""
    page.locator(f"select[data-filter={control}]").focus()
    page.keyboard.type(str(value).replace("-", " "))
    page.keyboard.press("Tab")


def count(page):
    return page.locator(".errata-filter output").text_content()


@on_every_page
def test_the_page_opens_on_what_is_wrong_and_one_button_shows_all(register):
    every, wrong = wanted(register.name), wanted(register.name, severity="wrong")
    assert shown(register) == wrong
    assert count(register) == f"{len(wrong)} of {len(every)} findings"
    register.locator(".errata-filter button").press("Enter")
    assert shown(register) == every


FIELDS = [
    (SHARED, {"article": 4}),
    (SHARED, {"article": 5, "kind": "cause"}),
    (ARTICLE, {"kind": "diagram"}),
    (ARTICLE, {"severity": "misleading"}),
    (ARTICLE, {"root": "which-axes"}),
    (ARTICLE, {"root": "other", "kind": "code"}),
]


@pytest.mark.parametrize(("register", "fields"), FIELDS, indirect=["register"])
def test_the_keyboard_filters_by_article_kind_severity_and_confusion(fields, register):
    register.locator(".errata-filter button").press("Enter")
    for control, value in fields.items():
        by_keyboard(register, control, value)
    some = wanted(register.name, **fields)
    assert some
    assert shown(register) == some
    assert count(register).startswith(f"{len(some)} of ")


@pytest.mark.parametrize("register", [ARTICLE], indirect=True)
def test_no_filter_has_but_one_answer(register):
    assert register.locator("select[data-filter=article]").count() == 0
    assert register.locator("select[data-filter=kind]").count() == 1


def test_words_filter_too(register):
    register.locator(".errata-filter button").press("Enter")
    register.locator(".errata-filter input").fill("gradient")
    some = shown(register)
    assert 0 < len(some) < len(wanted(SHARED))
    assert all("gradient" in register.locator(f"#erratum-{name}").text_content().lower() for name in some[:5])


@pytest.mark.parametrize("register", [ARTICLE], indirect=True)
def test_an_address_leads_to_its_finding_even_when_it_is_filtered_out(register):
    hidden = wanted(register.name, severity="incomplete")
    assert not set(hidden) & set(shown(register))
    register.evaluate("name => { location.hash = name }", f"erratum-{hidden[-1]}")
    register.wait_for_timeout(200)
    assert hidden[-1] in shown(register)
    register.goto("about:blank")
    register.goto(f"{register.address}/{register.name}#erratum-{hidden[0]}")
    register.wait_for_timeout(200)
    top = register.locator(f"#erratum-{hidden[0]}").evaluate("one => one.getBoundingClientRect().top")
    assert -5 < top < browser.DESK["height"]


def test_the_address_that_a_finding_had_leads_to_the_one_it_has():
    page = site.parse(site.folder() / OLD)
    for finding in errata.register()["findings"]:
        for name in errata.names(finding):
            link = page.find(id=f"erratum-{name}").find("a")["href"]
            assert link == f"{home(finding).removeprefix('book/')}#erratum-{name}"


@on_every_page
def test_every_card_leads_to_the_paragraph_that_shows_it(register):
    links = register.locator(".finding a[href*='errata_article_']").evaluate_all(
        "all => all.map(link => new URL(link.href).hash.slice(1)).filter(Boolean)"
    )
    own = [f for f in errata.register()["findings"] if home(f) == register.name]
    assert {name for f in own for name in errata.names(f)} == {name.removeprefix("shown-") for name in links}


def test_the_paragraph_begins_with_the_name(page):
    page.goto(f"{page.address}/chapters/errata_article_4.html#shown-a4-history")
    assert page.locator("p:has(#shown-a4-history)").text_content().startswith("a4-history")


def test_no_page_of_the_register_is_long_on_a_phone(page):
    page.set_viewport_size(browser.PHONE)
    for name in [OLD, *PAGES]:
        page.goto(f"{page.address}/{name}")
        screens = page.evaluate("document.scrollingElement.scrollHeight") / browser.PHONE["height"]
        assert screens < 70, name
    page.set_viewport_size(browser.DESK)


def test_without_the_script_everything_is_there(page):
    context = page.context.browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(f"{page.address}/{SHARED}")
    assert shown(plain) == wanted(SHARED)
    context.close()
