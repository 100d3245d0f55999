"""``{chapter-graph}``: which chapter needs which, drawn from the manifest when the book is built.

The chapters stand one below the other, as a phone has room for; an arc leads from each to those that need it. Every
name is a link. Where a reader points at a chapter, or reaches it by keyboard, its arcs stand out, without a script.
"""

from html import escape

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from book._tools import manifest

ROW, WIDTH, LEFT = 30, 384, 104  # of a line, of the drawing, of the room for arcs
LABEL = "The chapters, each with arcs to those that need it; the list below says the same"


class ChapterGraph(SphinxDirective):
    """Draw the chapters in their parts, and an arc for each need."""

    def run(self):
        self.env.note_dependency(str(manifest.ROOT / "book/chapters.yml"))
        builder, here = self.env.app.builder, self.env.docname
        chapters = manifest.chapters()
        links = {chapter.name: builder.get_relative_uri(here, f"chapters/{chapter.name}") for chapter in chapters}
        titles = {chapter.name: manifest.heading(chapter.name)[1] for chapter in chapters}
        svg = drawing(chapters, manifest.parts(), titles, links)
        return [nodes.raw("", f'<div class="chapter-graph">{svg}</div>', format="html")]


def drawing(chapters, parts, titles, links):
    """Return the graph as SVG."""
    heights, lines = {}, []
    for numeral, caption in parts.items():
        inside = [chapter.name for chapter in chapters if chapter.part == numeral]
        if inside:
            y = ROW * (len(lines) + 1)
            lines.append(f'<text class="part" x="{LEFT + 8}" y="{y}">{escape(caption)}</text>')
        for name in inside:
            heights[name] = ROW * (len(lines) + 1)
            lines.append(node(name, titles[name], links[name], heights[name]))
    size = f'viewBox="0 0 {WIDTH} {ROW * (len(lines) + 1)}"'
    arcs = [arc(need, chapter.name, heights) for chapter in chapters for need in chapter.needs]
    style = "".join(f".chapter-graph:has(#node-{name}:is(:hover, :focus)) .of-{name}" "{opacity: 1; stroke-width: 2.5}"
                    for name in heights)  # fmt: skip
    inner = "\n".join([f'<style class="nohighlight">{style}</style>', *arcs, *lines])
    return f'<svg {size} role="group" aria-label="{LABEL}">{inner}</svg>'


def node(name, title, link, y):
    """Return a chapter as a link, tall enough for a finger."""
    area = f'<rect x="{LEFT + 4}" y="{y - 20}" width="{WIDTH - LEFT - 4}" height="{ROW}"/>'
    dot = f'<circle cx="{LEFT}" cy="{y - 5}" r="3.5"/>'
    return f'<a id="node-{name}" href="{link}">{area}{dot}<text x="{LEFT + 12}" y="{y}">{escape(title)}</text></a>'


def arc(need, chapter, heights):
    """Return the way down from a chapter to one that needs it; the longer, the further it swings out."""
    top, bottom = heights[need] - 5, heights[chapter] - 5
    longest = max(heights.values()) - min(heights.values())
    out = LEFT - 6 - (14 + (LEFT - 24) * (bottom - top) / longest) / 0.75  # a cubic swings to 3/4 of its handles
    way = f"M{LEFT - 6} {top}C{out:.1f} {top},{out:.1f} {bottom},{LEFT - 6} {bottom}"
    head = f"M{LEFT - 11} {bottom - 3}l5 3l-5 3"
    return f'<path class="of-{need} of-{chapter}" d="{way}{head}"/>'


def setup(app):
    app.add_directive("chapter-graph", ChapterGraph)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
