"""``{open-models}``: what the layers of today's open models have, each cell a link to its source."""

from pathlib import Path

import yaml
from sphinx.util.docutils import SphinxDirective

from book._ext import real_models

DATA = Path(__file__).parents[1] / "open_models.yml"
COLUMNS = ["norm", "eps", "placement", "queries and keys", "positions", "feed-forward"]
CODE = real_models.TRANSFORMERS.replace("/tree/", "/blob/")
CHECKPOINTS = "https://huggingface.co/"
CAPTION = """What a layer has in ten open language models. Each cell links to its source: `eps` to the configuration of
a published checkpoint, the others to the line of the implementation that says so."""


def load(path=DATA):
    """Return the rows, one dictionary a network, in their order."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def source(folder, cell):
    """Return the path of the file of a cell, below the folder of all models, and the line in it."""
    _, kind, line, _ = cell
    return f"{folder}/{kind}_{folder}.py", line


def address(row, column):
    """Return where a cell links to: the configuration of a checkpoint, or a line of the implementation."""
    if column == "eps":
        return f"{CHECKPOINTS}{row['eps'][1]}/blob/main/config.json"
    path, line = source(row["folder"], row[column])
    return f"{real_models.GITHUB}{CODE}{path}#L{line}"


def table(rows):
    """Return the rows as a table in MyST: the network with its paper, then the cells as links."""
    cells = [["network", *COLUMNS, "paper"], ["---"] * (len(COLUMNS) + 2)]
    papers = {row["name"]: real_models.sources(row | {"code": "-"}) for row in real_models.load()}
    for row in rows:
        links = [f"[{row[column][0]}]({address(row, column)})" for column in COLUMNS]
        cells.append([row["name"], *links, papers[row["name"]]])
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


class OpenModels(SphinxDirective):
    """The table, with a caption and the label ``table-open-models``."""

    def run(self):
        return real_models.captioned(self, "table-open-models", CAPTION, table(load()), DATA, real_models.DATA)


def setup(app):
    app.add_directive("open-models", OpenModels)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
