"""What the strict build passes over in the pages that it wrote.

Each check takes one parsed page and returns its problems as sentences; tests/site/browser.py opens the same pages.
"""

import functools
import os
import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

from tests.book.sources import ROOT

# What a browser fetches by itself, or prepares to fetch; a link that a reader must follow is none of it.
FETCHED = ("src", "srcset", "poster", "data")
FETCHING_LINKS = {
    "stylesheet",
    "preload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "modulepreload",
    "icon",
    "manifest",
}
PATH_OR_HASH = re.compile(r"[0-9a-f]{16}|\.(png|jpe?g|gif|svg|webp)$|^\S*/\S*$", re.IGNORECASE)
LEFT_OVER = re.compile(r"\$\$|\\\(|\\\[|\\begin\{|:::|\{[\w:-]+\}`")


def folder():
    """Return the folder of the built site, or say how to get one."""
    site = Path(os.environ.get("RESNORM_SITE", ROOT / "_build/html"))
    if not (site / "index.html").is_file():
        raise FileNotFoundError(f"There is no built site in {site}: run `make book` first.")
    return site


def pages(site):
    """Return the paths of all pages of a built site, those left out that only lead to another."""
    paths = sorted(path for path in site.rglob("*.html") if path.relative_to(site).parts[0] != "_static")
    return [path for path in paths if not parse(path).find("meta", attrs={"http-equiv": "Refresh"})]


@functools.cache
def parse(path):
    """Parse one page."""
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def images_are_described(page):
    """A figure without an alt text of its own gets the name of its file, and every checker of standards is content."""
    found = []
    for image in page.select("article img"):
        alt = image.get("alt", "").strip()
        if not alt:
            found.append(f"The image {image.get('src')} has no alt text.")
        elif PATH_OR_HASH.search(alt):
            found.append(f"The image {image.get('src')} is described by the name of a file.")
    return found


def outputs_are_no_errors(page):
    """A page that shows a traceback tells the reader that the book is broken."""
    return [
        f"An output is an error: {output.get_text().strip().splitlines()[-1]!r}."
        for output in page.select(".output.traceback, .output.stderr")
    ]


def nothing_is_fetched_elsewhere(page):
    """What a browser may fetch only later, as a picture further down, must lie in the site too."""
    addresses = [element[key] for key in FETCHED for element in page.find_all(attrs={key: True})]
    links = [link for link in page.find_all("link", href=True) if FETCHING_LINKS & set(link.get("rel", []))]
    addresses += [link["href"] for link in links]
    return [f"The page fetches {address}." for address in addresses if urlsplit(address).netloc]


def no_markup_is_left(page):
    """Markup that was not understood is shown as it was written."""
    found = []
    for text in page.select_one("article, main, body").find_all(string=LEFT_OVER):
        if not text.find_parent(["pre", "code", "script", "style"]) and not text.find_parent(class_="math"):
            found.append(f"The page shows markup: {text.strip()[:60]!r}.")
    return found


def ids_are_unique(page):
    """A label, a link or a script finds the first of two elements with one id alone."""
    counts = Counter(element["id"] for element in page.find_all(id=True))
    return [f"The id {name!r} stands there {count} times." for name, count in counts.items() if count > 1]


CHECKS = [ids_are_unique, images_are_described, outputs_are_no_errors, nothing_is_fetched_elsewhere, no_markup_is_left]


def dead_links(site):
    """Return the links within the site that lead to no file, or to nothing in a page, each with one that has it."""
    dead = {}
    for path in pages(site):
        for link in parse(path).find_all("a", href=True):
            address = urlsplit(link["href"])
            target = (path.parent / unquote(address.path) if address.path else path).resolve()
            if not address.scheme and not (target.is_file() and stands_in(unquote(address.fragment), target)):
                dead.setdefault(f"{target.relative_to(site.resolve())}#{address.fragment}", path.relative_to(site))
    return [f"{path}: The link to {place} leads nowhere." for place, path in dead.items()]


def stands_in(name, path):
    """Tell whether a link can lead to that name in a page; to a page itself it always can."""
    return not name or (path.suffix == ".html" and name in names(path))


@functools.cache
def names(path):
    return {element["id"] for element in parse(path).find_all(id=True)}


def problems(site, check):
    """Return what a check says about all pages, each sentence led by the name of its page."""
    return [f"{path.relative_to(site)}: {problem}" for path in pages(site) for problem in check(parse(path))]
