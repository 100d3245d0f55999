"""The articles, section by section, against the book: ``{concordance} 1`` is the table of article 1, made from
``book/concordance.yml``; ``{section}`degradation#The experiment` `` links to a section of a chapter by its heading.
"""

import re
from collections import Counter
from pathlib import Path

import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

from book._ext import errata
from book._ext.recorded import parsed

DATA = Path(__file__).parents[1] / "concordance.yml"


def load(path=DATA):
    """Return for each article ``{section: (heading, places)}``."""
    articles = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        article: {str(section): (heading, places) for section, (heading, *places) in sections.items()}
        for article, sections in articles.items()
    }


def split(place):
    """Take a place apart: the page, below the root, and the heading of its section, or an empty text."""
    page, _, heading = place.partition("#")
    return errata.docname(page), heading


def found_in(register, article):
    """Return how many findings of the register each section of an article has."""
    marks = [mark for finding in register["findings"] for mark in errata.names(finding).items()]
    return Counter(str(section) for name, sections in marks if name[1] == article for section in sections)


def table(article, sections, findings):
    """Return one article as a table in MyST: a row a section."""
    lines = ["| section | its subject | treated in | errata |", "|---|---|---|---|"]
    for section, (heading, places) in sections.items():
        links = "; ".join(f"{{section}}`{place}`" for place in places)
        count = f"{{doc}}`{findings[section]} <errata/article_{article}>`" if section in findings else "–"
        lines.append(f"| {section} | {heading} | {links} | {count} |")
    return "\n".join(lines)


class Concordance(SphinxDirective):
    """The table of the article that the argument names."""

    required_arguments = 1

    def run(self):
        for source in (DATA, errata.REGISTER):
            self.env.note_dependency(str(source))
        article = self.arguments[0]
        return parsed(self, [table(article, load()[int(article)], found_in(errata.load(), article))])


def section(name, rawtext, text, lineno, inliner, options=None, content=None):
    """Link to a page, or to the section of it that bears a heading."""
    env = inliner.document.settings.env
    link = addnodes.pending_xref(
        text, refdomain="", reftype="section", reftarget=text, refdoc=env.docname, refwarn=True
    )
    link += nodes.inline(text, text)
    return [link], []


def resolve(app, env, node, inner):
    """Find the section: its title becomes the text of the link. Without one the build reports a missing reference."""
    if node["reftype"] != "section":
        return None
    page, heading = split(node["reftarget"])
    if page not in env.titles:
        return None
    title = env.titles[page].astext()
    entries = env.tocs[page].findall(nodes.reference)
    anchors = {plain(entry.astext()): entry["anchorname"] for entry in entries}
    if heading and plain(heading) not in anchors:
        return None
    inner[0] = type(inner[0])(f"{title}: {heading}" if heading else title)
    return make_refnode(app.builder, node["refdoc"], page, anchors.get(plain(heading), "").lstrip("#"), inner)


def plain(heading):
    """Return a heading without its markup, as words that can be compared."""
    return re.sub(r"[^\w ]", "", heading)


def setup(app):
    app.add_directive("concordance", Concordance)
    app.add_role("section", section)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
