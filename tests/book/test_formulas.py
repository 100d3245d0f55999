"""Formulas become MathML that every browser draws, and a formula that cannot be read is an error of the build."""

from xml.etree import ElementTree

import pytest
from docutils import nodes

from book._ext import formulas


def test_a_formula_becomes_mathml_with_its_source_beside_it():
    drawn = formulas.mathml(r"\frac{x}{2}", display=True)
    assert drawn.startswith('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">')
    assert "<mfrac><mi>x</mi><mn>2</mn></mfrac>" in drawn
    assert r'<annotation encoding="application/x-tex">\frac{x}{2}</annotation>' in drawn


@pytest.mark.parametrize(
    ("formula", "letters"),
    [(r"\mathbb{E}", "𝔼"), (r"\mathcal{L}", "ℒ"), (r"\mathbf{1}", "𝟏"), (r"\mathbf{w}", "𝐰"), (r"\mathbb{R}", "ℝ")],
)
def test_the_variants_of_a_letter_are_characters_of_their_own(formula, letters):
    drawn = formulas.mathml(formula, display=False)
    assert f">{letters}<" in drawn
    assert "mathvariant" not in drawn


@pytest.mark.parametrize(
    ("source", "joined"),
    [
        ("a", "a"),
        ("a &= b \\\\\nc &= d", "\\begin{aligned}a &= b \\\\\nc &= d\\end{aligned}"),
        ("a\n\nb", r"\begin{aligned}a \\ b\end{aligned}"),
        ("\\begin{aligned}a \\\\ b\\end{aligned}", "\\begin{aligned}a \\\\ b\\end{aligned}"),
    ],
)
def test_rows_of_a_displayed_formula_are_aligned(source, joined):
    assert formulas.joined(nodes.math_block(source, source, nowrap=False)) == joined


@pytest.mark.parametrize("formula", [r"\frac{1}", r"\unknown{x}", "a &= b"])
def test_a_formula_that_cannot_be_read_is_a_warning_of_the_build(formula, monkeypatch):
    said = []
    monkeypatch.setattr(formulas.LOGGER, "warning", lambda text, *values, **_: said.append(text % values))
    assert "<math" not in formulas.drawn(None, formula, display=True)
    assert said[0].startswith(f"The formula {formula!r} cannot be drawn: KaTeX parse error")


@pytest.mark.parametrize(
    "formula", [r"r_{\max}", r"x_{\max}^2", r"x \overset{(1)}{=} y", r"\frac{1}{\exp}", r"a \underset{n}{\to} b"]
)
def test_scripts_and_fractions_have_as_many_parts_as_mathml_gives_them(formula):
    parts = {"msub": 2, "msup": 2, "mfrac": 2, "mover": 2, "munder": 2, "msubsup": 3}
    for element in ElementTree.fromstring(formulas.mathml(formula, False)).iter():
        name = element.tag.rpartition("}")[2]
        assert len(element) == parts.get(name, len(element)), name
        assert name != "mo" or not len(element)
