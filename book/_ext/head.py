"""What stands in the head and at the foot of every page: what it is about, the version, the licence."""

import functools
import re

from docutils import nodes

import resnorm_lib
from book._tools import manifest

LONGEST = 160  # characters of a description that search engines show


def describe(app, pagename, templatename, context, doctree):
    """Say what a page is about: the question of a chapter, or its first sentence."""
    said = questions().get(pagename) or first_paragraph(doctree) or beside(pagename, context.get("title", ""))
    context["description"] = shortened(said or app.config.html_title)
    context["version_of_the_book"] = resnorm_lib.__version__
    context["author"] = app.config.author


def beside(pagename, title):
    """Return what a page is about that has no text of its own."""
    if pagename.startswith("_modules/resnorm_lib"):
        return f"The source code of {title}, with links to what it documents."
    return {
        "search": "Search the chapters, the glossary and the library.",
        "genindex": "The terms of the glossary and the names of the library, from A to Z.",
        "_modules/index": "The modules of the library whose source code is shown.",
    }.get(pagename, "")


@functools.cache
def questions():
    """Return what each chapter asks, by the name of its page."""
    return {f"chapters/{chapter.name}": chapter.question for chapter in manifest.chapters()}


def first_paragraph(doctree):
    """Return the text of the first paragraph of a page, if it has one."""
    paragraphs = doctree.findall(nodes.paragraph) if doctree else ()
    return next((paragraph.astext() for paragraph in paragraphs if len(paragraph.astext()) > LONGEST // 4), "")


def shortened(text):
    """Return a text in one line, cut between words if it is long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else re.sub(r"\W*\w*$", "", line[:LONGEST]) + " …"


def setup(app):
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
