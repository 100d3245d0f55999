"""Every term of the glossary has its Chinese one, for readers of the articles that the book answers."""

import re

from tests.book.sources import ROOT

CHINESE = re.compile("[\u4e00-\u9fff]")


def entries():
    """Return the terms of each entry, in the order of the page."""
    text = re.search(r"```\{glossary\}\n(.*)```", (ROOT / "book/glossary.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    return [re.findall(r"^(?! )(.+)$", entry, re.MULTILINE) for entry in re.split(r"\n\n(?! )", text.strip())]


def test_every_term_has_one_chinese_term_below_it():
    wrong = [terms for terms in entries() if [bool(CHINESE.search(term)) for term in terms] != [False, True]]
    assert not wrong, f"write the Chinese term in the line below the English one: {wrong}"


def test_no_chinese_term_stands_for_two():
    chinese = [terms[1] for terms in entries()]
    assert len(set(chinese)) == len(chinese)


def test_the_terms_of_the_articles_are_there():
    found = {terms[0]: terms[1] for terms in entries()}
    assert found["residual connection"] == "残差连接"
    assert found["layer normalization"] == "层归一化"
    assert found["vanishing gradient"] == "梯度消失"
