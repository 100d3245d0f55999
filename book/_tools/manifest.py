"""Read ``book/chapters.yml``, what the book knows of each chapter, and ``_toc.yml``, the order of all pages."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import nbformat
import yaml

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Chapter:
    """An entry of the manifest; the head of ``book/chapters.yml`` explains its fields."""

    name: str
    part: str
    question: str
    needs: list
    minutes: int
    seconds: int
    exercises: list
    also: str = ""
    experiment: bool = False
    see: str = ""
    benchmark: bool = False
    findings: tuple = ()
    hand_in: str = ""


def chapters(root=ROOT):
    """Return the entries of the manifest, in the order of the book."""
    text = (root / "book" / "chapters.yml").read_text(encoding="utf-8")
    return [Chapter(**entry) for entry in yaml.safe_load(text)]


def duration(seconds):
    """Return in words how long the code of a chapter runs, rounded up: to ten seconds, above fifty to half a minute.

    >>> duration(14), duration(52), duration(65), duration(130)
    ('20 seconds', 'a minute', 'a minute and a half', '2.5 minutes')
    """
    if seconds <= 50:
        return f"{10 * math.ceil(seconds / 10)} seconds"
    halves = math.ceil(seconds / 30)
    return {2: "a minute", 3: "a minute and a half", 4: "two minutes"}.get(halves, f"{halves / 2:g} minutes")


def heading(name, root=ROOT):
    """Return label and title of a chapter, from the first cell of its notebook."""
    first = nbformat.read(root / "chapters" / f"{name}.ipynb", as_version=4).cells[0].source
    return re.match(r"\((.+)\)=\s+# (.+)", first).groups()


class Listed(NamedTuple):
    """A page in ``_toc.yml``: its file, the caption of its part, and its number; a section below a page has none."""

    file: str
    part: str
    number: int | None


def listed(root=ROOT):
    """Return all pages, in the order of the book.

    >>> listed()[0]
    Listed(file='book/index', part='', number=None)
    """
    contents = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    found, count = [Listed(contents["root"], "", None)], 0
    for part in contents.get("parts") or [contents]:
        caption, numbered = part.get("caption", ""), bool(part.get("numbered"))
        for page in part.get("chapters", []):
            count += numbered
            found.append(Listed(page["file"], caption, count if numbered else None))
            found += [Listed(section["file"], caption, None) for section in page.get("sections", [])]
    return found


def parts(root=ROOT):
    """Return the captions of the parts that have a numeral, as ``{"I": "I. Background"}``, in the order of the book."""
    captions = {page.part.partition(". ")[0]: page.part for page in listed(root)}
    return {numeral: caption for numeral, caption in captions.items() if numeral != caption}


def outcome(name, root=ROOT):
    """Return what a chapter says that its readers will be able to do."""
    cells = nbformat.read(root / "chapters" / f"{name}.ipynb", as_version=4).cells
    told = (re.search(r"\*\*You will be able to\*\* (.+?)\n- ", cell.source, re.DOTALL) for cell in cells[:3])
    return " ".join(next(filter(None, told))[1].split())
