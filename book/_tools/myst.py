"""Read MyST Markdown as the build reads it: headings, directives and labels, code fences left alone."""

import itertools
import re
from typing import NamedTuple

from markdown_it import MarkdownIt
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin

_PARSER = MarkdownIt().use(myst_block_plugin).use(colon_fence_plugin).use(dollarmath_plugin)
_DIRECTIVE = re.compile(r"\{(?P<name>[^}]+)\}\s*(?P<argument>.*)")
_OPTION = re.compile(r":(?P<key>[\w-]+):\s*(?P<value>.*)")


class Directive(NamedTuple):
    """One directive of a page, its option lines split off from its body."""

    name: str
    argument: str
    options: dict
    body: str


class Fence(NamedTuple):
    """One fence at the top level of a page: code, or a directive."""

    line: int  # where it begins, from 0
    source: str  # with its first and last line
    info: str  # what the first line says
    content: str


def fences(text):
    """Return the fences that lie in no other one, in order."""
    lines = text.splitlines()
    return [
        Fence(token.map[0], "\n".join(lines[slice(*token.map)]), token.info.strip(), token.content.rstrip("\n"))
        for token in _PARSER.parse(text)
        if token.type in ("fence", "colon_fence") and token.level == 0
    ]


def headings(text):
    """Return the headings as (level, title)."""
    tokens = itertools.pairwise(_PARSER.parse(text))
    return [(int(opening.tag[1:]), inline.content) for opening, inline in tokens if opening.type == "heading_open"]


def blocks(text):
    """Return the types of the blocks that follow each other at the top level: paragraphs, lists, directives."""
    return [token.type for token in _PARSER.parse(text) if token.level == 0 and token.nesting >= 0]


def directives(text):
    """Return all directives, those inside other directives included."""
    found = []
    for token in _PARSER.parse(text):
        opening = _DIRECTIVE.fullmatch(token.info.strip()) if token.type in ("fence", "colon_fence") else None
        if opening:
            directive = Directive(opening["name"], opening["argument"], *_split_options(token.content))
            found += [directive, *directives(directive.body)]
    return found


def labels(text):
    """Return every label that the text defines: targets, labelled formulas, named directives."""
    found = _labels_outside_directives(text)
    for directive in directives(text):
        found += [directive.options[key] for key in ("label", "name") if key in directive.options]
        found += _labels_outside_directives(directive.body)
    return found


def _labels_outside_directives(text):
    tokens = _PARSER.parse(text)
    targets = [token.content for token in tokens if token.type == "myst_target"]
    return targets + [token.info for token in tokens if token.type == "math_block_label"]


def _split_options(content):
    lines = content.splitlines()
    options = {}
    while lines and (option := _OPTION.fullmatch(lines[0].strip())):
        options[option["key"]] = option["value"]
        del lines[0]
    return options, "\n".join(lines)
