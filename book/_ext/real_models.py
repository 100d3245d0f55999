"""``{real-models}``: the table of what well-known networks have, made from ``book/real_models.yml``."""

from pathlib import Path

import yaml
from sphinx.util.docutils import SphinxDirective

from book._ext.recorded import parsed

DATA = Path(__file__).parents[1] / "real_models.yml"
COLUMNS = {"name": "network", "year": "year", "norm": "norm", "eps": "eps", "placement": "placement",
           "final": "final norm", "qk": "QK-norm", "bias": "biases"}  # fmt: skip
GITHUB = "https://github.com/"
TRANSFORMERS = "huggingface/transformers/tree/v5.24.0/src/transformers/models/"
CAPTION = """Norms in well-known networks. *After*: after the branch, before the sum. *Sandwich*: before and after the
branch. *Inside*: within the branch. `eps` is that of the published checkpoints; the class in the last column may have
another default."""


def load(path=DATA):
    """Return the rows, one dictionary a network, in their order."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def table(rows):
    """Return the rows as a table in MyST, with a column of sources at the end."""
    cells = [[*COLUMNS.values(), "sources"], ["---"] * (len(COLUMNS) + 1)]
    cells += [[*(str(row[key]) for key in COLUMNS), sources(row)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def sources(row):
    """Return the links to paper and code of one row."""
    paper, code = str(row["paper"]), row["code"]
    links = []
    if paper != "-":
        arxiv = f"[arXiv:{paper}](https://arxiv.org/abs/{paper})"
        links.append(arxiv if paper[0].isdigit() else f"{{cite:t}}`{paper}`")
    if code != "-":
        links.append(f"[`{code}`]({GITHUB}{code if '/' in code else TRANSFORMERS + code})")
    return ", ".join(links)


class RealModels(SphinxDirective):
    """The table, with a caption and the label ``table-real-models``."""

    def run(self):
        return captioned(self, "table-real-models", CAPTION, table(load()), DATA)


def captioned(directive, name, caption, table, *files):
    """Return a table in MyST as nodes, with caption and label; the page follows the files that it is made from."""
    for file in files:
        directive.env.note_dependency(str(file))
    return parsed(directive, [f"::::{{table}} {' '.join(caption.split())}\n:name: {name}\n\n{table}\n::::"])


def setup(app):
    app.add_directive("real-models", RealModels)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
