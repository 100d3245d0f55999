"""Slides of a chapter: its question, its sections with their predictions and formulas, its figures, and its claims.

What a cell is says whether it makes a slide: nothing is written twice. The tag ``slide`` makes one of any prose cell.
reveal.js comes with the package sphinx-revealjs and lies beside the slides, formulas are drawn as those of the book:
a lecture needs no network.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import distribution
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from nbformat import NotebookNode
from traitlets.config import Config

from book._ext.formulas import mathml, save_letters
from book._tools.course.exercises import HEADING
from book._tools.manifest import ROOT
from book._tools.names import Names
from book._tools.plain import FORMULA, plain

__all__ = ["slides", "write_slides"]

TEMPLATE = Path(__file__).parent / "slides_template"
QUESTION = re.compile(r"\*\*The question\.\*\* (.*?)(?:\n\n|$)", re.DOTALL)
CLAIM = re.compile(r"^(holds|check)  \S+  (.*?)  (.*?)(?:  \[.*)?$", re.MULTILINE)
DISPLAYED, INLINE = re.compile(r"\$\$(.+?)\$\$", re.DOTALL), re.compile(r"\$([^$\n]+)\$")
FORMULA_RULE = re.compile(r"^math\b[^{]*\{[^}]*\}$", re.MULTILINE)  # in the style of the book: how columns stand
SOURCE_OF_FORMULA = re.compile(r"<annotation.*?</annotation>", re.DOTALL)
PARTS = ("LICENSE", "dist/reveal.css", "dist/reveal.js", "dist/theme/white.css", "dist/theme/fonts/source-sans-pro/*")
SENTENCE = re.compile(r"(.+?[.?!])(?:\s|$)")
FORMULAS = 3  # that one slide can show
POINTS = 4  # that one slide can show
PREDICT = "**Predict first"
CLAIMS = 6  # that one slide can show


def slides(chapter: str, source: NotebookNode) -> NotebookNode:
    """Return the slides of a chapter as a notebook of text cells, each with its type of slide."""
    names, made, claims = Names(chapter), [], []
    for cell in _lecture(source):
        if cell.cell_type == "markdown" or _figure(cell):
            made += _claimed(claims)
            claims = []
        if cell.cell_type == "markdown":
            for slide in _prose(cell, names, first=not made):
                _add(made, slide)
        elif figure := _figure(cell):
            made.append(_slide(_shown(figure, cell, names), "subslide"))
        else:
            claims += _claims(cell)
    return nbformat.v4.new_notebook(cells=[*made, *_claimed(claims)], metadata={"title": names.title(chapter)})


def _add(made: list[NotebookNode], slide: NotebookNode) -> None:
    """Append a slide, or put a prediction below the heading of its section."""
    before = made[-1] if made else {}
    if slide.source.startswith(f"> {PREDICT}") and before.get("source", "").startswith("## "):
        before.source += f"\n\n{slide.source}"
    else:
        made.append(slide)


def _lecture(source: NotebookNode) -> Iterator[NotebookNode]:
    """Yield the cells before the exercises and their heading."""
    for cell in source.cells:
        if "exercise" in cell.metadata.get("tags", []) or cell.source.startswith("## Exercises"):
            return
        yield cell


def _prose(cell: NotebookNode, names: Names, first: bool) -> Iterator[NotebookNode]:
    """Yield the title with the question, or a section with what it asks to predict, and a slide for each formula."""
    heading, question = HEADING.search(cell.source), QUESTION.search(cell.source)
    if first and heading:
        asked = f"\n\n> {question[1]}" if question else ""
        yield _slide(plain(f"# {heading[1]}{asked}", names), "slide")
    elif "slide" in cell.metadata.get("tags", []):
        yield _slide(plain(cell.source, names), "subslide")
    else:
        shown = [f"## {plain(heading[1], names)}", *_opening(cell.source, heading, names)] if heading else []
        formulas = [f"$$ {formula.strip()} $$" for formula, _ in FORMULA.findall(cell.source)]
        predicted = [f"> {plain(each, names)}" for each in cell.source.split("\n\n") if each.startswith(PREDICT)]
        if shown := [*shown, *formulas[:FORMULAS], *predicted]:
            yield _slide("\n\n".join(shown), "slide" if heading else "subslide")
        if more := formulas[FORMULAS:]:
            yield _slide("\n\n".join(more), "subslide")
        if heading and (more := _points(cell.source, heading)[POINTS:]):
            yield _slide(plain("\n".join(more), names), "subslide")


def _points(text: str, heading: re.Match) -> list[str]:
    """Return the entries of the list that stands below a heading."""
    first = text[heading.end() :].strip().split("\n\n")[0]
    return first.split("\n") if first.startswith("- ") else []


def _opening(text: str, heading: re.Match, names: Names) -> list[str]:
    """Return the first sentence below a heading, or what one slide can show of the list that stands there."""
    if points := _points(text, heading):
        return [plain("\n".join(points[:POINTS]), names)]
    first = text[heading.end() :].strip().split("\n\n")[0].replace("\n", " ")
    sentence = SENTENCE.match(first)
    return [plain(sentence[1], names)] if sentence and not first.startswith((PREDICT, ":::", "$$")) else []


def _figure(cell: NotebookNode) -> str:
    """Return the picture that a cell draws, "" if it draws none."""
    return next((each.data["image/png"] for each in cell.get("outputs", []) if "image/png" in each.get("data", {})), "")


def _shown(picture: str, cell: NotebookNode, names: Names) -> str:
    about = cell.metadata.get("mystnb", {})
    alt = about.get("image", {}).get("alt", "").replace('"', "'")
    caption = plain(about.get("figure", {}).get("caption", ""), names)
    return f'<img alt="{alt}" src="data:image/png;base64,{"".join(picture.split())}">\n\n<small>{caption}</small>'


def _claims(cell: NotebookNode) -> list[str]:
    """Return the sentences of a cell that claims, with what was measured."""
    text = "".join(each.get("text", "") for each in cell.outputs)
    return [f"- {sentence}: **{measured.strip()}**" for _, sentence, measured in CLAIM.findall(text)]


def _claimed(claims: Sequence[str]) -> Iterator[NotebookNode]:
    for start in range(0, len(claims), CLAIMS):
        yield _slide("\n".join(["**Measured**", "", *claims[start : start + CLAIMS]]), "subslide")


def _slide(text: str, kind: str) -> NotebookNode:
    """Return a slide; formulas are drawn before Markdown can take them apart."""
    text = DISPLAYED.sub(lambda found: _drawn(found[1], True), text)
    text = INLINE.sub(lambda found: _drawn(found[1], False), text)
    return nbformat.v4.new_markdown_cell(text, metadata={"slideshow": {"slide_type": kind}})


def _drawn(formula: str, display: bool) -> str:
    formula = re.sub(r"\\tag\{.*?\}", "", formula).strip()
    return SOURCE_OF_FORMULA.sub("", mathml(formula, display)).replace("\n", " ")


def write_slides(folder: Path, decks: dict[str, NotebookNode]) -> None:
    """Write slides as pages of a folder, and beside them all that they need."""
    folder.mkdir(parents=True, exist_ok=True)
    config = Config({"SlidesExporter": {"reveal_url_prefix": "reveal.js", "reveal_theme": "white"}})
    exporter = SlidesExporter(
        config=config, template_name=TEMPLATE.name, extra_template_basedirs=[str(TEMPLATE.parent)]
    )
    for name, deck in decks.items():
        page, _ = exporter.from_notebook_node(deck)
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    reveal = Path(distribution("sphinx-revealjs").locate_file("sphinx_revealjs/_static/revealjs"))
    for part in PARTS:
        for path in reveal.glob(part):
            place = folder / "reveal.js" / path.relative_to(reveal)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
    style = (TEMPLATE / "slides.css").read_text(encoding="utf-8")
    rules = FORMULA_RULE.findall((ROOT / "book/_static/resnorm.css").read_text(encoding="utf-8"))
    (folder / "slides.css").write_text("\n".join([style, *rules, ""]), encoding="utf-8")
    save_letters(folder / "formulas.woff2")
