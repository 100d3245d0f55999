"""Formulas as MathML, drawn when the book is built: they need no script, and every reader, browser and EPUB has them.

KaTeX, which comes with sphinxcontrib-katex, runs in QuickJS. The letters are those of STIX Two Math, which comes with
ziamath, cut to the characters that formulas use. A formula that KaTeX cannot read is a warning, and so an error of the
strict build.
"""

import functools
import re
import unicodedata
from importlib.metadata import distribution
from pathlib import Path

import quickjs
from docutils import nodes
from fontTools import subset
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

LOGGER = logging.getLogger(__name__)

# A string that JavaScript has put together is not yet one for QuickJS: split and join make it one.
DRAW = """(formula, displayMode) => {
    const options = {displayMode, output: "mathml", throwOnError: true, strict: "ignore"};
    return katex.renderToString(formula, options).split(">").join(">");
}"""
# Of the variants of a letter MathML Core knows the upright one alone; the others are characters of their own.
VARIANT = re.compile(r'<(m[ino]|mtext) mathvariant="(script|bold|double-struck|fraktur)">([^<]*)</\1>')
KINDS = {"script": "SCRIPT", "bold": "BOLD", "double-struck": "DOUBLE-STRUCK", "fraktur": "FRAKTUR"}
WRAPPING = re.compile('<span class="katex">(.*)</span>$', re.DOTALL)

FONT = "fonts/STIXTwoMath-Regular.ttf"
CHARACTERS = [
    *[(0x20, 0x7E), (0xA0, 0xFF), (0x131, 0x131), (0x237, 0x237), (0x2C6, 0x2DC), (0x300, 0x338), (0x370, 0x3FF)],
    *[(0x2010, 0x2026), (0x2032, 0x2034), (0x2061, 0x2064), (0x2100, 0x2138), (0x2190, 0x21D4), (0x2200, 0x22FF)],
    *[(0x2308, 0x230B), (0x23B0, 0x23DF), (0x25A0, 0x25CF), (0x27C2, 0x27E9), (0x2A00, 0x2A7E), (0x1D400, 0x1D467)],
    *[(0x1D49C, 0x1D4CF), (0x1D504, 0x1D56B), (0x1D6A4, 0x1D71B), (0x1D7CE, 0x1D7D7)],
]


# KaTeX writes a function's name as two elements where one must stand, and signs within signs, which few browsers draw.
MENDED = [
    (re.compile("(<mi>[^<]*</mi><mo>\u2061</mo>)"), r"<mrow>\1</mrow>"),
    (re.compile(r"<mo>(<mo>[^<]*</mo>)</mo>"), r"\1"),
    (re.compile(r"<mo>(<m(over|under)>.*?</m\2>)</mo>"), r"\1"),
]


@functools.cache
def katex():
    """Return the function of KaTeX that draws a formula."""
    context = quickjs.Context()
    context.eval(distribution("sphinxcontrib-katex").locate_file("sphinxcontrib/katex.min.js").read_text("utf-8"))
    return context.eval(DRAW)


@functools.cache
def mathml(formula, display):
    """Return a formula as MathML Core."""
    drawn = VARIANT.sub(in_unicode, WRAPPING.match(katex()(formula, display))[1])
    for pattern, valid in MENDED:
        drawn = pattern.sub(valid, drawn)
    return drawn


def in_unicode(match):
    """Return an element whose letters are those of its variant."""
    tag, variant, text = match.groups()
    return f"<{tag}>{''.join(letter(character, KINDS[variant]) for character in text)}</{tag}>"


def letter(character, kind):
    """Return the letter or digit of that kind, or the character itself, where Unicode has none."""
    name = unicodedata.name(character, "")
    part = re.sub("^(LATIN|GREEK) | LETTER", "", name)
    for candidate in (f"MATHEMATICAL {kind} {part}", f"{kind} {part}"):
        try:
            return unicodedata.lookup(candidate)
        except KeyError:
            continue
    return character


def joined(node):
    """Return the lines of a displayed formula as one: blank lines and double backslashes part rows."""
    rows = [row.strip() for row in node.astext().split("\n\n") if row.strip()]
    whole = r" \\ ".join(rows)
    if node["nowrap"] or r"\begin" in whole or r"\\" not in whole:
        return whole
    return rf"\begin{{aligned}}{whole}\end{{aligned}}"


def drawn(node, formula, display):
    """Return the MathML of a formula; say where it stands if it cannot be read."""
    try:
        return mathml(formula, display)
    except Exception as error:  # QuickJS has a class for it, and no name
        reason = str(error).splitlines()[0].removeprefix("ParseError: ")
        LOGGER.warning("The formula %r cannot be drawn: %s", formula, reason, location=node)
        return "<code></code>"


def visit_inline(self, node):
    self.body.append(f'<span class="math notranslate nohighlight">{drawn(node, node.astext(), False)}</span>')
    raise nodes.SkipNode


def visit_displayed(self, node):
    # A wide formula scrolls in its own box: the keyboard must reach it.
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight", TABINDEX="0"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, _("Link to this equation"))
        self.body.append("</span>")
    self.body.append(f"{drawn(node, joined(node), True)}</div>\n")
    raise nodes.SkipNode


def write_font(app, exception):
    """Put the letters of formulas into the site, once."""
    target = Path(app.outdir) / "_static" / "formulas.woff2"
    if not exception and app.builder.format == "html" and not target.exists():
        save_letters(target)


def save_letters(target):
    """Write a font with the characters that formulas use."""
    options = subset.Options(flavor="woff2", hinting=False, layout_features=["ssty"], notdef_outline=True)
    font = subset.load_font(str(distribution("ziamath").locate_file(f"ziamath/{FONT}")), options)
    cut = subset.Subsetter(options)
    cut.populate(unicodes=[code for first, last in CHARACTERS for code in range(first, last + 1)])
    cut.subset(font)
    subset.save_font(font, str(target), options)
    font.close()


def setup(app):
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_displayed, None))
    app.config.html_math_renderer = "mathml"
    app.connect("build-finished", write_font)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
