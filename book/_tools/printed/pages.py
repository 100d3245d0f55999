"""The pages of a built book as one text: in the order of its contents, without what only a screen can do.

Every name (``id``) of a page gets the page's name before it, so that no two are alike. Solutions move behind the last
page, each chapter's under a heading of its own.
"""

import posixpath
import re
from typing import NamedTuple

from bs4 import BeautifulSoup, Tag

from book._tools.finish import WORD

# Handles for the mouse, what a page offers to download, plots that scripts draw, sound, and code that is folded away.
LEFT_OUT = (
    ".headerlink, .copybtn, .viewcode-link, .run-it, script, form, button, div.movable, .toctree-wrapper, "
    "details.above-input, summary .collapsed, audio"
)
SOLUTIONS = "Solutions"
NOT_A_NAME = re.compile(r"[^\w.-]")


class Page(NamedTuple):
    """A page: its name, the part in which it stands, its title as text, and what it says."""

    name: str
    part: str
    title: str
    body: Tag


def read(site, listed):
    """Return the pages of a site, and the solutions as one more page for each chapter that has some."""
    pages = [page(site, each.file, each.part) for each in listed]
    answers = [solutions(each) for each in pages if each.body.select("div.solution")]
    pages += answers
    homes = {element["id"]: each.name for each in pages for element in each.body.select("[id]")}
    starts = {each.name for each in pages}
    for each in pages:
        lead(each, homes, starts)
    return pages


def page(site, name, part):
    """Return one page, its names changed and its links, for the moment, as names: ``page--id``."""
    text = WORD.sub(r"\1", (site / f"{name}.html").read_text(encoding="utf-8"))
    body = BeautifulSoup(text, "html.parser").select_one("article").extract()
    body.name, body.attrs = "section", {"class": "page", "id": flat(name)}
    for element in body.select(LEFT_OUT):
        element.decompose()
    for details in body.select("details"):
        details["open"] = ""
    for paragraph in body.select("summary p"):
        paragraph.name = "span"
        if paragraph.string and paragraph.string.startswith("Hide "):  # what a print cannot do
            paragraph.string = paragraph.string.removeprefix("Hide ").capitalize()
    for drawing in body.select("svg metadata"):
        drawing.decompose()
    for paragraph in body.select("p:has(ul)"):  # as napoleon writes lists of fields
        paragraph.name = "div"
    for element in body.select("[id]:not(section.page, svg *)"):  # parts of a drawing name each other
        element["id"] = anchor(name, element["id"])
    for link in body.select("a[href]"):
        link["href"] = target(name, link["href"])
    for image in body.select("img[src]"):
        image["src"] = posixpath.basename(image["src"])
        del image["loading"]
    title = body.find("h1")
    return Page(name, part, " ".join(title.get_text().split()) if title else name, body)


def flat(name):
    """Return a page's name without a slash."""
    return NOT_A_NAME.sub("-", name)


def anchor(name, identifier):
    """Return the name of a place that no other page has.

    >>> anchor("chapters/batch_norm", "chapters/batch_norm-solution-1")
    'chapters-batch_norm--chapters-batch_norm-solution-1'
    """
    return f"{flat(name)}--{NOT_A_NAME.sub('-', identifier)}"


def target(name, address):
    """Return where a link of a page leads: to a place, or to a whole address.

    >>> target("chapters/degradation", "../book/map.html#start")
    '#book-map--start'
    """
    if re.match(r"[a-z]+:", address):
        return address
    path, _, place = address.partition("#")
    there = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else f"{name}.html"
    there = there.removesuffix(".html")
    return f"#{anchor(there, place)}" if place else f"#{flat(there)}"


def solutions(given):
    """Move the solutions of a chapter out of it, and return them as a page; a link stays in the place of each."""
    name = f"solutions/{posixpath.basename(given.name)}"
    soup = BeautifulSoup("", "html.parser")
    body = soup.new_tag("section", attrs={"class": "page", "id": flat(name)})
    heading = soup.new_tag("h1")
    heading.string = f"{SOLUTIONS}: {given.title}"
    body.append(heading)
    for number, solution in enumerate(given.body.select("div.solution"), start=1):
        solution.attrs.setdefault("id", anchor(name, str(number)))
        left = BeautifulSoup(f'<p class="solved"><a href="#{solution["id"]}">Solution</a></p>', "html.parser")
        exercise = solution.find_previous("div", class_="exercise")
        solution.replace_with(left)
        if exercise and (title := solution.find(class_="admonition-title")):
            label = " ".join(exercise.find(class_="admonition-title").get_text().split())
            title.clear()
            title.append(soup.new_tag("a", href=f"#{exercise['id']}", string=label))
        body.append(solution)
    return Page(name, SOLUTIONS, given.title, body)


def lead(each, homes, starts):
    """Note the page to which each link of a page leads (``data-page``); one that leads out of the book becomes text."""
    flats = {flat(name): name for name in starts}
    for link in each.body.select("a[href]"):
        place = link["href"].removeprefix("#")
        if link["href"].startswith("#") and place not in homes and place not in flats:
            link.name, link.attrs = "g" if link.find_parent("svg") else "span", {}
        elif link["href"].startswith("#"):
            link["data-page"] = homes.get(place) or flats[place]
