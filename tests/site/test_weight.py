"""How much a reader's browser fetches and holds, in numbers that do not depend on the machine."""

import gzip

import pytest

from tests.site import browser, site

KIB = 1024
COMPRESSED = (".html", ".css", ".js", ".svg", ".json")
# Bytes as a server sends them, requests, and elements. A page of formulas has an element for each letter.
LIMITS = {
    "book/index.html": (170, 12, 1000),
    "chapters/family_of_norms.html": (190, 12, 5000),
    "chapters/layer_norm_mathematics.html": (220, 12, 12_000),
    "book/errata.html": (170, 12, 3500),
    "book/api/norms.html": (170, 12, 4500),
}
SITE_MIB = 22


@pytest.fixture(scope="module")
def chromium():
    with browser.opened() as opened:
        yield opened


@pytest.mark.parametrize("name", LIMITS)
def test_a_page_is_light(name, chromium):
    page, sizes = chromium.new_page(viewport=browser.PHONE), []
    with browser.serve(site.folder()) as address:
        page.on("response", lambda response: sizes.append(sent(response)))
        page.goto(f"{address}/{name}", wait_until="networkidle")
        elements = page.evaluate("document.querySelectorAll('*').length")
    page.close()
    kib, requests, most = LIMITS[name]
    assert sum(sizes) < kib * KIB, f"{sum(sizes) / KIB:.0f} KiB"
    assert len(sizes) <= requests
    assert elements < most


def sent(response):
    """Return the bytes of a file as a server with compression sends it."""
    body = response.body() if response.ok else b""
    return len(gzip.compress(body)) if response.url.partition("?")[0].endswith(COMPRESSED) else len(body)


def test_the_site_fits_a_small_stick():
    everything = sum(path.stat().st_size for path in site.folder().rglob("*") if path.is_file())
    assert everything < SITE_MIB * KIB**2, f"{everything / KIB**2:.1f} MiB"


def test_a_page_runs_no_script_that_the_build_did_not_put_there(chromium):
    page = chromium.new_page()
    with browser.serve(site.folder()) as address:
        page.goto(f"{address}/book/index.html")
        assert page.evaluate("""() => {
            const planted = document.createElement("script");
            planted.textContent = "window.planted = true";
            document.head.append(planted);
            return window.planted !== true;
        }""")
    page.close()


def test_every_page_has_a_policy():
    for path in site.pages(site.folder()):
        policy = site.parse(path).find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
        assert "'unsafe-inline'" not in policy.split("style-src")[0], path
