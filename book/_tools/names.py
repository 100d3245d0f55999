"""What labels, pages and works are called, for notebooks that leave the book: as its pages call them."""

import functools
import re
from collections import Counter, defaultdict

import nbformat
from pybtex.database import parse_file

from book._ext import errata, real_models
from book._tools import manifest
from book._tools.plain import FORMULA

LABELLED = re.compile(r"\{(?:prf:)?(exercise|algorithm|theorem|lemma|definition)\}.*\n:label: (\S+)")
HEADING = re.compile(r"(?:^\(([\w:-]+)\)=\n+)?^#+ (.+)$", re.MULTILINE)
MODELS = {"real-models": real_models.RealModels, "open-models": real_models.OpenModels}
FRONT = "{front-figure}"  # the one figure that is no output of a cell


class Names:
    """The names that one chapter uses; those of other chapters come with their chapter's title."""

    def __init__(self, chapter, root=manifest.ROOT):
        self.chapter, self.root = chapter, root

    def number(self, label):
        """Return the number of a formula of this chapter."""
        return labelled(self.root)[label][1]

    def equation(self, label):
        """Return a reference to a formula."""
        if not self.has(label):
            raise ValueError(f"label is {label!r}, but it must be that of a formula.")
        chapter, number = labelled(self.root)[label]
        return f"({number})" if chapter == self.chapter else f"({number}) of *{self.title(chapter)}*"

    def has(self, label):
        """Tell whether something that is numbered has this label."""
        return label in labelled(self.root)

    def called(self, label):
        """Return what an exercise, a figure, a table or an algorithm is called."""
        if not self.has(label):
            raise ValueError(f"label is {label!r}, but it must be that of something with a number.")
        chapter, name = labelled(self.root)[label]
        return name if chapter == self.chapter else f"{name} of *{self.title(chapter)}*"

    def title(self, target):
        """Return the title of a page, or of the section with a label."""
        name = target.rpartition("/")[2]
        if name not in titles(self.root):
            raise ValueError(f"target is {target!r}, but it must be a page or the label of a section.")
        return titles(self.root)[name]

    def generated(self, directive, argument):
        """Return the MyST text that a directive of the book writes."""
        if directive in MODELS:
            return "\n\n".join(MODELS[directive].text())
        if directive == "errata-of":
            return errata.treated(argument, errata.load())
        raise ValueError(f"directive is {directive!r}, but it must be one that plain Markdown has something for.")

    def cited(self, keys, in_brackets):
        """Return works as authors and year."""
        works = [shown(bibliography(self.root)[key]) for key in keys]
        if in_brackets:
            return f"({'; '.join(f'{authors}, {year}' for authors, year in works)})"
        return ", ".join(f"{authors} ({year})" for authors, year in works)


@functools.cache
def titles(root):
    """Return the titles of pages and of sections with a label."""
    found = {}
    for path in files(root):
        headings = HEADING.findall("\n\n".join(text for text, _ in cells(path)))
        found |= {label: title for label, title in headings if label}
        if headings:
            found[path.stem] = headings[0][1]
    return found


@functools.cache
def labelled(root):
    """Return the page and the name of all that has a number; those of pages without one are counted together."""
    found, counts, chapters = {}, defaultdict(Counter), numbers(root)
    order = list(chapters)
    for path in sorted(files(root), key=lambda path: order.index(path.stem) if path.stem in chapters else len(order)):
        chapter = chapters.get(path.stem, path.stem)  # what is no page is counted alone
        for kind, label in things(path):
            counts[chapter][kind] += 1
            number = f"{chapter}.{counts[chapter][kind]}" if isinstance(chapter, int) else f"{counts[chapter][kind]}"
            found[label] = path.stem, f"{kind} {number}".strip()
    return found


def numbers(root):
    """Return the pages in the order of the book, each with its number; None if it has none."""
    return {page.file.rpartition("/")[2]: page.number for page in manifest.listed(root)}


def things(path):
    """Yield kind and label of what a page numbers, each kind in its order."""
    for text, figure in cells(path):
        yield from (("", label) for _, label in FORMULA.findall(text))
        yield from ((kind.capitalize(), label) for kind, label in LABELLED.findall(text))
        yield from (("Table", models.label) for name, models in MODELS.items() if f"{{{name}}}" in text)
        yield from (("Fig.", label) for label in filter(None, [figure, FRONT if FRONT in text else ""]))


def files(root):
    """Return the sources of all pages."""
    return sorted([*(root / "chapters").glob("*.ipynb"), *(root / "book").rglob("*.md")])


@functools.cache
def cells(path):
    """Return the pieces of a page: the text of each and the label of its figure, "" where there is none."""
    if path.suffix == ".md":
        return [(path.read_text(encoding="utf-8"), "")]
    return [
        (cell.source, "") if cell.cell_type == "markdown" else ("", figure(cell))
        for cell in nbformat.read(path, as_version=4).cells
    ]


def figure(cell):
    """Return the label of a cell's figure, "" if it has none."""
    return cell.metadata.get("mystnb", {}).get("figure", {}).get("name", "")


@functools.cache
def bibliography(root):
    return parse_file(root / "book/references.bib").entries


def shown(work):
    """Return authors, from three on the first alone, and year of a work."""
    people = [" ".join(person.last_names) for person in work.persons.get("author", [])]
    authors = " and ".join(people) if len(people) < 3 else f"{people[0]} et al."
    return authors.replace("{", "").replace("}", ""), work.fields.get("year", "")
