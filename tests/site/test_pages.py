"""The built site speaks to no other host, draws every formula, fits a phone and can be read by everyone."""

import base64
import shutil
from collections import Counter

import nbformat
import pytest

from book._ext import published
from book._tools.build import build
from book._tools.cells import read
from tests.book import outputs, planted, sources
from tests.site import browser, site

BASE = "https://example.org/book/"
PNG = b"PNG"
KINDS = ["requests", "console", "formulas", "width", "words", "access"]

CONFIG = """
title: Planted faults
only_build_toc_files: false
execute: {execute_notebooks: "off"}
html: {favicon: icon.png, baseurl: "https://example.org/book/"}
sphinx:
  local_extensions: {project: EXTENSIONS, formulas: EXTENSIONS, published: EXTENSIONS}
  config:
    # The list of jupyter-book without sphinx_thebe, whose script fails on every page.
    extensions: [sphinx_togglebutton, sphinx_copybutton, myst_nb, jupyter_book, sphinx_comments,
                 sphinx_external_toc, sphinx_design, sphinx_book_theme, sphinx_exercise, sphinx_proof,
                 project, formulas, published]
    html_domain_indices: false
    myst_enable_extensions: [dollarmath, colon_fence]
"""
TOC = (
    "format: jb-book\nroot: book/index\nchapters:\n- file: book/loud\n- file: chapters/fine\n- file: chapters/faulty\n"
)
INDEX = "# Honest\n\nInline $a^2$ and displayed:\n\n$$\\sum_i x_i$$\n\n(twice)=\n## A label\n\nText.\n"
# The build tells a target and an exercise of one name apart, but not a target and a theorem.
SAME_LABEL = ":::{prf:theorem}\n:label: twice\nIt holds.\n:::"
LOUD = """# Loud

:::{raw} html
<script src="https://cdn.example.org/script.js"></script>
<link rel="preconnect" href="https://fonts.example.org">
<script>
  navigator.sendBeacon("https://beacon.example.org/hit");
  new WebSocket("wss://socket.example.org/live");
  console.error("careful");
  undefinedFunction();
</script>
<div id="wide" style="width: 900px">wide</div>
<div id="scrolls" style="overflow: auto; width: 200px; height: 40px"><p style="width: 500px">hidden in part</p>
<p>and below</p><p>and below</p></div>
<p id="faint" style="color: #bbb; background: #ccc">faint</p>
<pre id="styled"><span class="k">of</span> <span class="k">a</span> <span class="k" style="color: #bbb">act</span></pre>
<style>#last .k:last-child { color: #bbc }</style>
<pre id="last"><span class="k">of</span> <span class="k">one</span> <span class="k">class</span></pre>
<table><tr><th id="empty"></th><th><math><mi>x</mi></math></th></tr><tr><td>1</td><td>2</td></tr></table>
<table><tr><td style="width: 40px; overflow-wrap: anywhere; display: block">incomprehensible</td></tr></table>
<h5 id="deep">A heading too deep</h5>
<p>A formula that nothing reads: $$x$$</p>
<p>A formula that nothing draws: <span class="math">\\(y\\)</span></p>
:::
"""


def faulty_chapter():
    """The faults that the strict build lets pass, in one chapter."""
    return planted.notebook(
        [
            planted.markdown("# Faulty\n\n" + SAME_LABEL),
            planted.code("draw()", planted.figure()),
            planted.code("1 / 0", planted.error()),
        ]
    )


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A small book with every fault, and what the project's strict build says of it."""
    root = tmp_path_factory.mktemp("book")
    (root / "book").mkdir()
    (root / "chapters").mkdir()
    files = {
        "_config.yml": CONFIG.replace("EXTENSIONS", str(sources.ROOT / "book/_ext")),
        "_toc.yml": TOC,
        "book/index.md": INDEX,
        "book/loud.md": LOUD,
    }
    for name, text in files.items():
        (root / name).write_text(text, encoding="utf-8")
    (root / "icon.png").write_bytes(base64.b64decode(planted.figure().data["image/png"]))
    nbformat.write(planted.chapter(), root / "chapters/fine.ipynb")
    nbformat.write(faulty_chapter(), root / "chapters/faulty.ipynb")
    return root, build(root, root)


@pytest.fixture(scope="module")
def planted_survey(book, chromium):
    """What the browser finds in the book with every fault."""
    return browser.survey(book[0] / "_build/html")


@pytest.fixture(scope="module")
def survey(chromium):
    """What the browser finds in the built site."""
    return browser.survey(site.folder())


@pytest.fixture(scope="module")
def chromium():
    """A browser, or no test that needs one."""
    browser.require()


@pytest.mark.parametrize("check", site.CHECKS, ids=lambda check: check.__name__)
def test_no_page_has_a_fault(check):
    found = site.problems(site.folder(), check)
    assert not found, "\n".join(found)


def test_each_page_is_described_in_words_of_its_own():
    heads = (site.parse(path).find("meta", attrs={"name": "description"}) for path in site.pages(site.folder()))
    found = Counter(head["content"] for head in heads if head)  # the page for a wrong address is not searched for
    assert found.total() > 200
    assert [words for words, count in found.items() if count > 1] == []


def test_the_front_page_is_called_as_the_book():
    title = site.parse(site.folder() / "book/index.html").title.string
    assert title == "Residual Connections and Normalization"


def test_without_scripts_a_page_is_as_dark_as_the_machine_asks():
    with browser.opened() as opened:
        for scheme, lightest in (("dark", 60), ("light", 255)):
            page = opened.new_context(java_script_enabled=False, color_scheme=scheme).new_page()
            page.goto((site.folder() / "chapters/family_of_norms.html").resolve().as_uri())
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
            assert max(paper) <= lightest
            assert min(paper) >= lightest - 60


def test_every_link_within_the_site_leads_somewhere():
    found = site.dead_links(site.folder())
    assert not found, "\n".join(found)


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    (tmp_path / "a.html").write_text('<p id="here"></p><a href="b.html#there"></a><a href="#here"></a><a href="c"></a>')
    (tmp_path / "b.html").write_text('<p id="their"></p><a href="a.html#here"></a><a href="https://a.org/x#y"></a>')
    assert site.dead_links(tmp_path) == [
        "a.html: The link to b.html#there leads nowhere.",
        "a.html: The link to c# leads nowhere.",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_browser_finds_nothing(kind, survey):
    assert not survey.get(kind), "\n".join(survey[kind])


def test_a_site_that_is_not_built_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("RESNORM_SITE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="run `make book` first"):
        site.folder()


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_a_browser_its_tests_skip_but_fail_in_ci(monkeypatch, ci, outcome):
    monkeypatch.setattr("book._tools.chromium.executable", lambda: None)
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="set RESNORM_BROWSER"):
        browser.require()


def test_the_strict_build_lets_every_fault_pass(book):
    assert book[1] == []


def test_the_faults_of_the_strict_build_are_named(book, planted_survey):
    root, html = book[0], book[0] / "_build/html"
    faulty = read(root / "chapters/faulty.ipynb")
    assert "without an alt text" in outputs.figures_are_described(faulty)[0]
    assert "stores an error, ZeroDivisionError" in outputs.outputs_are_clean(faulty)[0]
    assert "'twice' stands in book/index.md and in chapters/faulty.ipynb" in sources.labels_are_unique(root)[0]
    assert "is described by the name of a file" in site.problems(html, site.images_are_described)[0]
    assert "An output is an error: '1 / 0'" in site.problems(html, site.outputs_are_no_errors)[0]


LOUD_FAULTS = {
    r"The formula \(y\) is not drawn.": "formulas",
    "https://cdn.example.org/script.js": "requests",
    "https://beacon.example.org/hit": "requests",
    "wss://socket.example.org/live": "requests",
    "The console reports 'careful'": "console",
    "undefinedFunction is not defined": "console",
    'px wide on a screen of 360 px: <div id="wide"': "width",
    "The table breaks the word incomprehensible.": "words",
    "In light mode, axe says at #faint: Elements must meet minimum color contrast": "access",
    "In light mode, axe says at #styled >": "access",
    "In light mode, axe says at #last >": "access",
    "In light mode, axe says at #deep: Heading levels should only increase by one": "access",
    "In light mode, axe says at #empty: Table header text should not be empty": "access",
    "In dark mode, axe says at #faint: Elements must meet minimum color contrast": "access",
    "On a phone, axe says at #scrolls: Scrollable region must have keyboard access": "access",
}


@pytest.mark.parametrize("sentence", LOUD_FAULTS)
def test_the_browser_names_a_planted_fault(sentence, planted_survey):
    assert [each for each in planted_survey[LOUD_FAULTS[sentence]] if sentence in each and each.startswith("book/loud")]


def test_a_heading_that_is_a_formula_is_not_taken_for_empty(planted_survey):
    found = [each for each in planted_survey["access"] if "empty-table-header" in each]
    assert found
    assert [each for each in found if "#empty" not in each] == []


def test_a_book_with_an_address_tells_search_engines_where_it_is(book):
    html = book[0] / "_build/html"
    assert site.parse(html / "chapters/fine.html").find("link", rel="canonical")["href"] == f"{BASE}chapters/fine.html"
    assert f"<loc>{BASE}chapters/fine.html</loc>" in (html / "sitemap.xml").read_text()
    assert (html / ".nojekyll").exists()
    assert PNG in (html / published.PICTURE).read_bytes()[:8]
    start = site.parse(html / "index.html")
    assert start.find("link", rel="canonical")["href"] == f"{BASE}book/index.html"
    assert start.find("meta", property="og:image")["content"] == BASE + published.PICTURE


def test_the_page_for_a_wrong_address_leads_into_the_book_from_any_depth(book, tmp_path, chromium):
    shutil.copytree(book[0] / "_build/html", tmp_path / "book")
    with browser.serve(tmp_path) as address, browser.opened() as opened:
        page = opened.new_page()
        page.route("**/nowhere.html", lambda route: route.fulfill(path=tmp_path / "book/404.html", status=404))
        page.goto(f"{address}/book/chapters/below/nowhere.html")
        page.get_by_role("link").first.click()
        page.wait_for_url(f"{address}/book/book/index.html")
        page.get_by_role("heading", name="Honest").wait_for()


def test_what_a_browser_may_fetch_later_is_named(book):
    found = site.problems(book[0] / "_build/html", site.nothing_is_fetched_elsewhere)
    assert "book/loud.html: The page fetches https://fonts.example.org." in found


def test_markup_that_nothing_reads_is_named(book):
    [problem] = site.problems(book[0] / "_build/html", site.no_markup_is_left)
    assert problem.startswith("book/loud.html: The page shows markup:")


def test_honest_pages_have_no_fault(book, planted_survey):
    html = book[0] / "_build/html"
    found = [problem for check in site.CHECKS for problem in site.problems(html, check)]
    found += [problem for problems in planted_survey.values() for problem in problems]
    found = [problem for problem in found if not problem.startswith(("book/loud.html", "chapters/faulty.html"))]
    # What theme and extensions write is mended by the book's own templates and extensions, which this book has not.
    theirs = (".search-button-field", ".sidebar-", "'search-input'", "'exercise-content'", "'solution-content'")
    assert [problem for problem in found if not any(name in problem for name in theirs)] == []
