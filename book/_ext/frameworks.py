"""``{frameworks} layer``: the table of one layer in PyTorch, Keras and Flax, made from ``book/frameworks.yml``."""

import re
from pathlib import Path

import yaml
from sphinx.util.docutils import SphinxDirective

from book._ext.recorded import parsed

DATA = Path(__file__).parents[1] / "frameworks.yml"
FRAMEWORKS = ("PyTorch", "Keras", "Flax")


def load(path=DATA):
    """Return the layers by name: how each is made, its arguments and its tensors, in three frameworks."""
    return {layer["layer"]: layer for layer in yaml.safe_load(path.read_text(encoding="utf-8"))}


def table(layer):
    """Return one layer as a table in MyST: how it is made, then its arguments, then its tensors."""
    rows = {f"{layer['layer']} of 8 features": [call.replace(", rngs=rngs", "") for call in layer["make"]]}
    rows |= layer["arguments"] | layer.get("tensors", {})
    lines = [["", *FRAMEWORKS], ["---"] * 4]
    lines += [[meaning, *("–" if cell == "-" else f"`{cell}`" for cell in cells)] for meaning, cells in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def split(cell):
    """Take a cell apart: ``name=default`` and ``name (shape)`` into two parts, a bare name into itself and None."""
    name, default, shape = re.fullmatch(r"(\w+)(?:=(.*)| (\(.*\)))?", cell).groups()
    return name, default or shape


class Frameworks(SphinxDirective):
    """The table of the layer that the argument names."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        self.env.note_dependency(str(DATA))
        return parsed(self, [table(load()[self.arguments[0]])])


def setup(app):
    app.add_directive("frameworks", Frameworks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
