"""What the front page shows, made when the book is built: a figure, the parts with their questions, what stands."""

import io
import json
import re

import matplotlib
import numpy as np
import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from book._tools import manifest
from resnorm_lib.diagram import draw_block
from resnorm_lib.plot import COLORS, figure

RUN = manifest.ROOT / "book/recorded/degradation-cpu.json"
SUMS = "From the bottom up: a block normalizes its input, computes, and adds the result to what it was given."
BOTH = "Loss against steps: with shortcuts it falls below 0.1, without them it stays near the start."


class FrontFigure(SphinxDirective):
    """Draw a block, and the training loss of forty of them with and without what the book is about."""

    has_content = True

    def run(self):
        self.env.note_dependency(str(RUN))
        caption = nodes.caption()
        self.state.nested_parse(self.content, self.content_offset, caption)
        picture = nodes.figure("", nodes.raw("", drawing(json.loads(RUN.read_text())), format="html"))
        picture += nodes.caption("", "", *caption.children[0].children)
        picture["classes"] = ["nutshell"]
        return [picture]


def drawing(run):
    """Return the figure as SVG that a screen reader can describe."""
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "front"}):
        fig, (left, right) = figure(1, 2, size=(7.2, 3.2), gridspec_kw={"width_ratios": [1, 2.6]})
        draw_block(left, ("", "split N F add", ""), "", height=5)
        draw_losses(right, run)
        text = io.StringIO()
        fig.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return re.sub("<svg ", f'<svg role="img" aria-label="{SUMS} {BOTH}" ', svg[svg.index("<svg") :], count=1)


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


class FromTheBook(SphinxDirective):
    """MyST text that one of ``TEXTS`` makes."""

    def run(self):
        container = nodes.Element()
        lines = TEXTS[self.name]().splitlines()
        self.state.nested_parse(StringList(lines, self.name), 0, container, match_titles=True)
        return container.children


def parts():
    """Return the parts of the book, each chapter with its question."""
    captions = [part["caption"] for part in yaml.safe_load((manifest.ROOT / "_toc.yml").read_text())["parts"]]
    asked = manifest.chapters()
    text = []
    for caption in captions:
        inside = [chapter for chapter in asked if caption.startswith(f"{chapter.part}. ")]
        if inside:
            text.append(f"**{caption}**\n")
            text += [f"- {{doc}}`../chapters/{chapter.name}`: {chapter.question}" for chapter in inside]
            text.append("")
    return "\n".join(text)


def numbers():
    """Return a sentence with what stands today, counted."""
    asked = manifest.chapters()
    exercises = [exercise for chapter in asked for exercise in chapter.exercises]
    report = json.loads((manifest.ROOT / "book/recorded/seeds.json").read_text())["chapters"]
    claims = sum(len(chapter["claims"]) for chapter in report.values())
    errata = len(yaml.safe_load((manifest.ROOT / "book/errata.yml").read_text())["findings"])
    return (
        f"{len(asked)} chapters; {claims} claims and checks, each tried under ten seeds; {len(exercises)} exercises, "
        f"of which a check marks {sum('check' in exercise for exercise in exercises)}; "
        f"{errata} entries in the register of errata."
    )


TEXTS = {"front-parts": parts, "front-numbers": numbers}


def setup(app):
    app.add_directive("front-figure", FrontFigure)
    for name in TEXTS:
        app.add_directive(name, FromTheBook)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
