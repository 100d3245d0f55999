"""Open every page of a built site in Chromium, light and dark, wide and narrow, and note what a reader would miss."""

import contextlib
import functools
import os
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from book._tools import chromium
from tests.site.site import pages

DESK = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}
MODES = ("light", "dark")
LISTINGS = "_modules/"
LISTINGS_JUDGED = 20  # axe judges one of so many, as they differ in nothing but their code
BROWSERS = 2  # at a time

# While it preloads, axe asks for style sheets of its own, at addresses that it gets wrong.
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
TRIED_OUT = {"label-content-name-mismatch": {"enabled": True}}  # a rule that axe tries out
RULES = {"runOnly": STANDARDS, "resultTypes": ["violations"], "preload": False, "rules": TRIED_OUT}
# Contrast takes most of the time, and no colour depends on the width.
RULES_BESIDE_CONTRAST = RULES | {"rules": TRIED_OUT | {"color-contrast": {"enabled": False}}}
# What else of a page depends on its mode of colours.
RULES_OF_COLOUR = RULES | {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}

# Most elements of a page are like many others: tokens of code, symbols of formulas, entries of lists. Those that are
# drawn alike, in elements that are drawn alike up to the root, have one contrast.
MARK_ALIKE = """() => {
    const chains = new Map([[null, ""]]), seen = new Set();
    const chain = element => {
        if (!chains.has(element)) {
            const style = getComputedStyle(element);
            const drawn = ["backgroundColor", "backgroundImage", "opacity", "filter"].map(name => style[name]);
            chains.set(element, JSON.stringify([element.localName, element.className, ...drawn])
                + chain(element.parentElement));
        }
        return chains.get(element);
    };
    for (const element of document.querySelectorAll("body *")) {
        const { color, fontSize, fontWeight, textShadow } = getComputedStyle(element);
        const key = JSON.stringify([chain(element), color, fontSize, fontWeight, textShadow]);
        if (seen.has(key)) element.dataset.alike = "";
        seen.add(key);
    }
}"""
# axe takes the heading of a table that is a formula for empty, because it reads no MathML.
MARK_FORMULAS = "document.querySelectorAll('th:has(math)').forEach(heading => heading.dataset.formula = '')"
CHOSEN = """axe.configure({rules: [
    {id: 'color-contrast', selector: '*:not([data-alike])'},
    {id: 'empty-table-header', selector: 'th:not([role]):not([data-formula])'},
]});"""
AXE = Axe(Axe().axe_script + CHOSEN)

# Formulas are drawn when the book is built. What is not, stands there as TeX.
FORMULAS = r"""() => [...document.querySelectorAll(".math")]
    .filter(place => !place.querySelector("math") || place.querySelector("merror"))
    .map(place => `The formula ${place.textContent.trim()} is not drawn.`)"""

# axe judges what is on the screen at the moment: nothing may still be moving from one width to the other.
SETTLED = """async () => {
    const frame = () => new Promise(requestAnimationFrame);
    await frame(); await frame();
    await Promise.allSettled(document.getAnimations().map(animation => animation.finished));
    await frame(); await frame();
}"""

# Name the innermost culprits; what scrolls in a box of its own may be as wide as it likes.
WIDTH = """() => {
    const page = document.scrollingElement, limit = page.clientWidth;
    if (page.scrollWidth <= limit) return [];
    const clips = element => getComputedStyle(element).overflowX !== "visible";
    const ends = element => element.getBoundingClientRect().left
        + Math.max(element.offsetWidth ?? 0, clips(element) ? 0 : element.scrollWidth);
    const scrolls = element => element && element !== page && element !== document.body
        && (clips(element) && ends(element) <= limit || scrolls(element.parentElement));
    const wide = [...document.body.querySelectorAll("*")].filter(
        element => ends(element) > limit + 1 && !scrolls(element.parentElement));
    const inner = wide.filter(element => !wide.some(other => other !== element && element.contains(other)));
    const names = inner.map(element => element.cloneNode().outerHTML.replace(/<\\/.*/, "")).slice(0, 3);
    return [`The page is ${page.scrollWidth} px wide on a screen of ${limit} px: ${names.join(", ")}.`];
}"""

# A word that stands on two lines has two boxes.
WORDS = """() => [...document.querySelectorAll("article :is(th, td)")].flatMap(cell => {
  const broken = [], walk = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  while (walk.nextNode())
    for (const { index, 0: word } of walk.currentNode.data.matchAll(/[A-Za-z]+/g)) {
      const range = document.createRange();
      range.setStart(walk.currentNode, index);
      range.setEnd(walk.currentNode, index + word.length);
      const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
      if (lines.size > 1) broken.push(`The table breaks the word ${word}.`);
    }
  return broken;
})"""


def require():
    """Skip the test where there is no browser, but fail it where everything must be checked."""
    if not chromium.executable():
        sentence = f"No browser: set RESNORM_BROWSER or install one of {', '.join(chromium.NAMES)}."
        pytest.fail(sentence) if os.environ.get("CI") else pytest.skip(sentence)


@contextlib.contextmanager
def opened():
    """Start a browser for the tests of a file."""
    require()
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        yield browser
        browser.close()


def survey(site):
    """Visit all pages in both modes; return the problems by kind, each sentence led by the name of its page."""
    found, names = defaultdict(dict), [path.relative_to(site).as_posix() for path in pages(site)]
    with serve(site) as address, ThreadPoolExecutor(BROWSERS) as pool:
        parts = [names[start::BROWSERS] for start in range(BROWSERS)]
        for problems in pool.map(functools.partial(_visit_all, address), parts):
            for kind, sentence in problems:
                found[kind][sentence] = None
    return {kind: list(sentences) for kind, sentences in found.items()}


def _visit_all(address, names):
    found = []
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        for mode in MODES:
            page = browser.new_page(color_scheme=mode, reduced_motion="reduce")
            page.add_init_script(f"localStorage.setItem('mode', '{mode}'); localStorage.setItem('theme', '{mode}')")
            for number, name in enumerate(names):
                listing = name.startswith(LISTINGS)
                if not listing or mode == MODES[0]:
                    problems = visit(page, address, name, mode, not listing or number % LISTINGS_JUDGED == 0)
                    found += [(kind, f"{name}: {sentence}") for kind, sentence in problems]
        browser.close()
    return found


def visit(page, address, name, mode, judged=True):
    """Open one page and return its problems as (kind, sentence). Only colours depend on the mode: a phone has one."""
    first = mode == MODES[0]
    with watched(page, address) as found:
        # The narrow screen first: only on loading does the theme let the keyboard reach what scrolls.
        page.set_viewport_size(PHONE if first else DESK)
        page.goto(f"{address}/{name}")
        if first:
            found += [("formulas", sentence) for sentence in page.evaluate(FORMULAS)]
            found += [("width", sentence) for sentence in page.evaluate(WIDTH)]
            found += [("words", sentence) for sentence in page.evaluate(WORDS)]
        if judged and first:
            found += [("access", f"On a phone, {sentence}") for sentence in _access(page, RULES_BESIDE_CONTRAST)]
        if judged:
            page.set_viewport_size(DESK)
            page.evaluate(SETTLED)
            page.evaluate(MARK_ALIKE)
            rules = RULES if first else RULES_OF_COLOUR
            found += [("access", f"In {mode} mode, {sentence}") for sentence in _access(page, rules)]
    return found


@contextlib.contextmanager
def watched(page, address):
    """Collect what a page asks of other hosts and what it reports on the console."""
    found = []

    def ask(url):
        if not url.startswith((address, "data:", "blob:", "about:")):
            found.append(("requests", f"The page asks another host for {url}."))

    def report(message):
        # A request that was refused is reported there too, and named already.
        if message.type == "error" and message.location["url"].startswith(address):
            found.append(("console", f"The console reports {message.text!r} at {message.location['url']}."))

    listeners = {
        "request": lambda request: ask(request.url),
        "websocket": lambda socket: ask(socket.url),
        "console": report,
        "pageerror": lambda error: found.append(("console", f"A script fails: {error.message}.")),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    yield found
    for event, listener in listeners.items():
        page.remove_listener(event, listener)


@contextlib.contextmanager
def serve(folder):
    """Serve a folder on a free port of this machine; yield its address."""
    handler = functools.partial(_Silent, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def _access(page, rules):
    page.evaluate(MARK_FORMULAS)
    violations = AXE.run(page, options=rules).response["violations"]
    places = [(rule, node["target"][0]) for rule in violations for node in rule["nodes"]]
    return [f"axe says at {target}: {rule['help']} ({rule['id']})." for rule, target in places]
