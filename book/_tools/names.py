"""What labels, pages and works are called, for notebooks that leave the book."""

import functools
import re

import nbformat
from pybtex.database import parse_file

from book._tools import manifest
from book._tools.plain import FORMULA

EXERCISE = re.compile(r"\{exercise\}.*\n:label: (\S+)")
HEADING = re.compile(r"(?:^\(([\w:-]+)\)=\n+)?^#+ (.+)$", re.MULTILINE)


class Names:
    """The names that one chapter uses; those of other chapters come with their chapter's title."""

    def __init__(self, chapter, root=manifest.ROOT):
        self.chapter, self.root = chapter, root

    def number(self, label):
        """Return the number of a formula of this chapter."""
        return book(self.root)["formulas"][self.chapter].index(label) + 1

    def equation(self, label):
        """Return a reference to a formula."""
        for chapter, labels in book(self.root)["formulas"].items():
            if label in labels:
                number = f"({labels.index(label) + 1})"
                return number if chapter == self.chapter else f"{number} of *{self.title(chapter)}*"
        raise ValueError(f"label is {label!r}, but it must be that of a formula.")

    def called(self, label):
        """Return what an exercise or a figure is called."""
        for chapter, labels in book(self.root)["exercises"].items():
            if label in labels:
                number = f"exercise {labels.index(label) + 1}"
                return number if chapter == self.chapter else f"{number} of *{self.title(chapter)}*"
        return label.replace("-", " ")

    def title(self, target):
        """Return the title of a page, or of the section with a label."""
        name = target.rpartition("/")[2]
        return book(self.root)["titles"].get(name, name.replace("_", " ").replace("-", " "))

    def cited(self, keys, in_brackets):
        """Return works as authors and year."""
        works = [shown(bibliography(self.root)[key]) for key in keys]
        if in_brackets:
            return f"({'; '.join(f'{authors}, {year}' for authors, year in works)})"
        return ", ".join(f"{authors} ({year})" for authors, year in works)


@functools.cache
def book(root):
    """Return the labels of formulas and exercises by chapter, and the titles of pages and sections."""
    found = {"formulas": {}, "exercises": {}, "titles": {}}
    for path in sorted([*(root / "chapters").glob("*.ipynb"), *(root / "book").rglob("*.md")]):
        text = prose(path)
        headings = HEADING.findall(text)
        found["formulas"][path.stem] = [label for _, label in FORMULA.findall(text)]
        found["exercises"][path.stem] = EXERCISE.findall(text)
        found["titles"] |= {label: title for label, title in headings if label}
        if headings:
            found["titles"][path.stem] = headings[0][1]
    return found


def prose(path):
    """Return the text of a page."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@functools.cache
def bibliography(root):
    return parse_file(root / "book/references.bib").entries


def shown(work):
    """Return authors, from three on the first alone, and year of a work."""
    people = [" ".join(person.last_names) for person in work.persons.get("author", [])]
    authors = " and ".join(people) if len(people) < 3 else f"{people[0]} et al."
    return authors.replace("{", "").replace("}", ""), work.fields.get("year", "")
