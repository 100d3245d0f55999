"""``{front-figure}``: the book in a picture, drawn when it is built from a recorded run."""

import io
import json
import re

import matplotlib
import numpy as np
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from book._tools import manifest
from resnorm_lib.diagram import draw_block
from resnorm_lib.plot import COLORS, figure

RUN = manifest.ROOT / "book/recorded/degradation-cpu.json"
SIZE = (7.2, 3.2)  # inches
BLOCK = ("", "split N F add", ""), ""
REFERENCE = re.compile(r'(\bid="|href="#|url\(#)')  # names of parts of a drawing
SUMS = "From the bottom up: a block normalizes its input, computes, and adds the result to what it was given."
BOTH = "Loss against steps: with shortcuts it falls below 0.1, without them it stays near the start."


class FrontFigure(SphinxDirective):
    """Draw a block, and the training loss of forty of them with and without what the book is about."""

    has_content = True

    def run(self):
        self.env.note_dependency(str(RUN))
        picture = nodes.figure("", nodes.raw("", drawing(json.loads(RUN.read_text())), format="html"))
        picture["classes"] = ["nutshell"]
        sentences = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, sentences)
        picture += nodes.caption("", "", *sentences[0].children)
        return [picture]


def drawing(run):
    """Return the figure as two drawings in SVG, which stand below each other on a phone."""
    (block, below), (losses, right) = figure(size=(2, SIZE[1])), figure(size=(SIZE[0] - 2, SIZE[1]))
    draw_block(below, *BLOCK, height=5)
    draw_losses(right, run)
    return f'<div class="pair">{written(block, "sums", SUMS)}{written(losses, "losses", BOTH)}</div>'


def written(fig, name, words):
    """Return a figure as SVG that a screen reader can describe; its ids begin with its name."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        fig.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = REFERENCE.sub(rf"\1{name}-", text.getvalue())
    return re.sub("<svg ", f'<svg role="img" aria-label="{words}" ', svg[svg.index("<svg") :], count=1)


def save_picture(path):
    """Write the figure as a picture for previews of links, 1200 pixels wide."""
    draw(json.loads(RUN.read_text())).savefig(path, dpi=1200 / SIZE[0], facecolor="white")


def draw(run):
    """Return a figure: a block, and the loss of forty."""
    fig, (left, right) = figure(1, 2, size=SIZE, gridspec_kw={"width_ratios": [1, 2.6]})
    draw_block(left, *BLOCK, height=5)
    draw_losses(right, run)
    return fig


def draw_losses(ax, run):
    """Draw the loss of forty blocks by step, the range over the seeds shaded."""
    for arm, name, color, dash in [("plain-40", "without", "vermilion", "--"), ("residual-40", "with", "blue", "-")]:
        curves = [trial["metrics"]["loss"] for trial in run["trials"] if trial["arm"] == arm]
        steps, values = curves[0]["step"], np.array([curve["value"] for curve in curves])
        middle = np.median(values, axis=0)
        ax.fill_between(steps, values.min(0), values.max(0), color=COLORS[color], alpha=0.2, lw=0)
        ax.plot(steps, middle, color=COLORS[color], ls=dash, marker="")
        ax.text(steps[-1] * 1.02, middle[-10:].mean(), name, color=COLORS[color], va="center")
    ax.set(xlabel="step of training", ylabel="training loss (nats)", xlim=(0, 235))
    ax.set_title("forty blocks, with and without shortcuts")


def setup(app):
    app.add_directive("front-figure", FrontFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
