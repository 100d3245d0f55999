"""``{real-models}`` and ``{open-models}``: tables of what well-known networks have, each cell a link to its source.

Both are made from ``book/real_models.yml``, where the parts of a cell say where they are from.
"""

from pathlib import Path

import yaml
from sphinx.util.docutils import SphinxDirective

from book._ext.recorded import parsed

DATA = Path(__file__).parents[1] / "real_models.yml"
CELLS = {"norm": "norm", "eps": "eps", "placement": "placement", "final": "final norm", "qk": "QK-norm",
         "bias": "biases", "positions": "positions", "feed-forward": "feed-forward"}  # fmt: skip
ARXIV, GITHUB, CHECKPOINTS = "https://arxiv.org/abs/", "https://github.com/", "https://huggingface.co/"
TRANSFORMERS = "huggingface/transformers/blob/v5.24.0/src/transformers/models/"
SOURCES = """Each cell links to its source: a year to the paper, `eps` to a published checkpoint or to the program, the
others to the line of the implementation that says so."""


def load(path=DATA):
    """Return the rows, one dictionary a network, in their order."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def parts(cell):
    """Return the parts of a cell, each of them what it says, the kind of its source, and the place in it."""
    return cell if isinstance(cell[0], list) else [cell]


def file(row, kind):
    """Return the path on GitHub of a file that the cells of a row name by `kind`."""
    if kind in ("modeling", "configuration"):
        return f"{TRANSFORMERS}{row['folder']}/{kind}_{row['folder']}.py"
    return row["files"][kind]


def paper(row):
    """Return the address of what says when the network was published."""
    return f"{GITHUB if '/' in row['paper'] else ARXIV}{row['paper']}"


def address(row, part):
    """Return where a part of a cell links to."""
    _, kind, place, *_ = part
    if kind == "paper":
        return paper(row)
    if kind == "checkpoint":
        return f"{CHECKPOINTS}{place}/blob/main/config.json"
    return f"{GITHUB}{file(row, kind)}" + (f"#L{place}" if place else "")


def link(row, part):
    """Return a part of a cell as a link in MyST."""
    says, kind = part[:2]
    if says == "-":
        return says
    section = f" (§{part[2]})" if kind == "paper" else ""
    return f"[{says}{section}]({address(row, part)})"


def table(rows, columns):
    """Return the rows as a table in MyST: the network, its year, and the cells."""
    lines = [["network", "year", *(CELLS[column] for column in columns)], ["---"] * (len(columns) + 2)]
    for row in rows:
        cells = ["; ".join(link(row, part) for part in parts(row[column])) for column in columns]
        lines.append([row["name"], f"[{row['year']}]({paper(row)})", *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def missing(rows, columns):
    """Return a sentence for each reason why cells have no source, with the networks that it holds for."""
    reasons = {}
    for row in rows:
        for column in columns:
            if row[column][0] == "-":
                names = reasons.setdefault(row[column][1], {}).setdefault(row["name"], [])
                names.append(CELLS[column])
    networks = {why: [f"{name} ({', '.join(cells)})" for name, cells in rows.items()] for why, rows in reasons.items()}
    return [f"{', '.join(names)}: {why}." for why, names in networks.items()]


class Models(SphinxDirective):
    """A table of networks, with caption and label; below it, why a cell is empty."""

    label, columns, caption = "", (), ""

    @classmethod
    def rows(cls):
        return load()

    @classmethod
    def text(cls):
        """Return the table, and below it why a cell is empty, as texts in MyST."""
        rows, caption = cls.rows(), " ".join(f"{cls.caption} {SOURCES}".split())
        text = [f"::::{{table}} {caption}\n:name: {cls.label}\n\n{table(rows, cls.columns)}\n::::"]
        empty = missing(rows, cls.columns)
        return [*text, f"Where a cell is empty: {' '.join(empty)}"] if empty else text

    def run(self):
        self.env.note_dependency(str(DATA))
        return parsed(self, self.text())


class RealModels(Models):
    """All networks: where their norms stand, and which."""

    label, columns = "table-real-models", ("norm", "eps", "placement", "final", "qk", "bias")
    caption = """Norms in well-known networks. *After the branch*: before the sum. *Sandwich*: before and after the
    branch. *Inside*: within the branch. *§*: a section of the paper."""


class OpenModels(Models):
    """Open language models: what one of their layers has."""

    label, columns = "table-open-models", ("norm", "eps", "placement", "qk", "positions", "feed-forward")
    caption = "What a layer has in ten open language models."

    @classmethod
    def rows(cls):
        return [row for row in load() if "positions" in row]


def setup(app):
    app.add_directive("real-models", RealModels)
    app.add_directive("open-models", OpenModels)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
