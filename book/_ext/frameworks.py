"""``{frameworks} layer``: the table of one layer in PyTorch, Keras and Flax, made from ``book/frameworks.yml``.

``{frameworks} omitted`` is the table of the arguments that stand in no other, with the reason.
"""

import re
from pathlib import Path

import yaml
from sphinx.util.docutils import SphinxDirective

from book._ext.recorded import parsed

DATA = Path(__file__).parents[1] / "frameworks.yml"
FRAMEWORKS = ("PyTorch", "Keras", "Flax")


def load(path=DATA):
    """Return the layers by name: how each is made, its arguments and its tensors, in three frameworks."""
    return {layer["layer"]: layer for layer in yaml.safe_load(path.read_text(encoding="utf-8"))["layers"]}


def omitted(path=DATA):
    """Return the arguments that stand in no table, a list for each framework, by the reason."""
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))["omitted"]
    return {row["reason"]: row["arguments"] for row in rows}


def arguments(layer, column):
    """Return the names of the arguments that the table of a layer has in the column of one framework."""
    return {split(cells[column])[0] for cells in layer["arguments"].values() if cells[column] != "-"}


def table(layer):
    """Return one layer as a table in MyST: how it is made, then its arguments, then its tensors."""
    rows = {f"{layer['layer']} of 8 features": [call.replace(", rngs=rngs", "") for call in layer["make"]]}
    rows |= layer["arguments"] | layer.get("tensors", {})
    return lines_of("", {meaning: [[cell] for cell in cells] for meaning, cells in rows.items()})


def omissions(rows):
    """Return the omitted arguments as a table in MyST, a line for each reason."""
    return lines_of("left out", rows)


def lines_of(head, rows):
    """Return rows of three cells, each a list of codes, as a table in MyST."""
    lines = [[head, *FRAMEWORKS], ["---"] * 4]
    for meaning, cells in rows.items():
        lines.append([meaning, *(", ".join(f"`{code}`" for code in cell if code != "-") or "–" for cell in cells)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def split(cell):
    """Take a cell apart: ``name=default`` and ``name (shape)`` into two parts, a bare name into itself and None."""
    name, default, shape = re.fullmatch(r"([\w.]+)(?:=(.*)| (\(.*\)))?", cell).groups()
    return name, default or shape


class Frameworks(SphinxDirective):
    """The table of the layer that the argument names, or of what is omitted."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        self.env.note_dependency(str(DATA))
        name = self.arguments[0]
        return parsed(self, [omissions(omitted()) if name == "omitted" else table(load()[name])])


def setup(app):
    app.add_directive("frameworks", Frameworks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
