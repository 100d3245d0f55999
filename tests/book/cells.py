"""Walk over the cells of a notebook, each with the words that name it in a sentence."""

import nbformat


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
