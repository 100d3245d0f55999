"""Find the notebooks of the chapters, and walk over their cells, each with the words that name it in a sentence."""

import nbformat

from book._tools.manifest import ROOT


def chapters(root=ROOT, teaching=False):
    """Return the paths of all chapters, or of those that teach: all but the appendix."""
    found = (path for path in (root / "chapters").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    return sorted(path for path in found if not (teaching and is_appendix(path)))


def is_appendix(path):
    """Return whether a chapter is for looking things up, by article or by question: it has no exercises."""
    return shows_errata(path) or path.stem == "questions"


def shows_errata(path):
    """Return whether a chapter shows what an article gets wrong, in the order of the article."""
    return path.stem.startswith("errata_")


def read(path):
    """Read a notebook as it stands, faults included (:func:`nbformat.read` would repair some)."""
    return nbformat.v4.reads_json(path.read_text(encoding="utf-8"))


def all_cells(notebook):
    """Return (cell, where): where is how a sentence names the cell."""
    return [(cell, f"Cell {number} ({_first_line(cell)!r})") for number, cell in enumerate(notebook.cells, start=1)]


def code_cells(notebook):
    """Return the code cells of :func:`all_cells`."""
    return [(cell, where) for cell, where in all_cells(notebook) if cell.cell_type == "code"]


def printed_text(cell):
    """Return all text that a code cell stores, streams and results alike."""
    # A stream may be stored in pieces that end anywhere.
    texts = ["".join(output.text for output in cell.outputs if output.output_type == "stream")]
    for output in cell.outputs:
        texts += [text for mime, text in output.get("data", {}).items() if mime.startswith("text/")]
    return "\n".join(texts)


def _first_line(cell):
    return next((line.strip() for line in cell.source.splitlines() if line.strip()), "empty")[:60]
