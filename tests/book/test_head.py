"""Every page says in its head what it is about."""

from docutils import nodes

from book._ext import head


def test_a_long_text_is_cut_between_words():
    text = head.shortened("a norm, " * 40)
    assert len(text) <= head.LONGEST + 2
    assert text.endswith("norm …")


def test_a_short_paragraph_does_not_describe_a_page():
    page = nodes.Element("", nodes.paragraph("", "See below."), nodes.paragraph("", "A norm divides by a length. " * 3))
    assert head.first_paragraph(page).startswith("A norm divides")
    assert head.first_paragraph(None) == ""
