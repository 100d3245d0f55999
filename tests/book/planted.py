"""A small honest chapter, for tests that plant one fault in it and see the fault named."""

import base64
import io

import nbformat
import numpy as np
from PIL import Image

CLAIMS = "\n".join(f"holds  demo.{name}  the {name} claim holds  0.5 <= 1" for name in "abcde")

EXERCISE = """
:::{{exercise}} (easy, 5 min)
:label: demo-{0}
Do it.
:::
"""
SOLUTION = """
:::{{solution}} demo-{0}
:class: dropdown
Done.
:::
"""

ALT = "Two lines rise from left to right; the upper one twice as fast."


def chapter():
    """Build a chapter in which no check finds anything."""
    exercises = [
        markdown(text.format(name), tags=[role])
        for name in "abcdef"
        for text, role in ((EXERCISE, "exercise"), (SOLUTION, "solution"))
    ]
    cells = [
        markdown("(demo)=\n# A demonstration"),
        code("print('claims')", stream(CLAIMS)),
        code("print('a number')", stream("0.125")),
        code(
            "draw()",
            figure(),
            mystnb={"image": {"alt": ALT}, "figure": {"caption": "What to see.", "name": "fig-demo"}},
        ),
        markdown("## Summary"),
        markdown("## Exercises"),
        *exercises,
        markdown("## Further reading"),
    ]
    return notebook(cells)


def notebook(cells):
    """Build a notebook, its code cells numbered in order, its ids stable."""
    for count, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), start=1):
        cell.execution_count = count
    for number, cell in enumerate(cells, start=1):
        cell["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def markdown(source, **metadata):
    """Build a cell of prose."""
    return nbformat.v4.new_markdown_cell(source, metadata=metadata)


def code(source, *outputs, **metadata):
    """Build a code cell with stored outputs."""
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata=metadata)


def stream(text, name="stdout"):
    """Build the output of a print."""
    return nbformat.v4.new_output("stream", name=name, text=text)


def figure(picture=None):
    """Build the output of a plot."""
    picture = np.full((8, 8, 3), 255, dtype=np.uint8) if picture is None else picture
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return data("image/png", base64.b64encode(file.getvalue()).decode())


def data(mime, content):
    """Build the output of a display."""
    return nbformat.v4.new_output("display_data", data={mime: content})


def error():
    """Build the output of a cell that raised."""
    return nbformat.v4.new_output("error", ename="ZeroDivisionError", evalue="division by zero", traceback=["1 / 0"])
