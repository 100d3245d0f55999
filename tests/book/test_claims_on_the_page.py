"""What the page makes of printed claims: ticks, sentences, sources that are links, and the code folded."""

import re

import nbformat
import pytest
from sphinx.application import Sphinx

from book._tools.cells import read
from book._tools.seeds import claim_lines
from tests.book import sources

CODE = "claim('a.b', 'one is small', 1, at_most=2)"
LINES = "holds  a.b  one is small  1 <= 2  (10 seeds: 0.5 to 1)  [he2016deep]\n"
BEFORE = "also|and|but|it|its|nor|so|that|their|they|these|this|those|too|which|the same|without it|without them"
AFTER = "by|of|over|than"  # the number that follows would have to end the sentence
LEANS = re.compile(rf"^({BEFORE})\b|: (it|its|they|the same)\b|(\b({AFTER})|[.,:])$", re.IGNORECASE)
BIB = "@article{he2016deep, author={Kaiming He}, title={Deep}, journal={CVPR}, year={2016}}"


def cell(text, **metadata):
    output = nbformat.v4.new_output("stream", name="stdout", text=text)
    return nbformat.v4.new_code_cell(CODE, outputs=[output], execution_count=1, metadata=metadata)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    cells = [nbformat.v4.new_markdown_cell("# Page"), cell(LINES, tags=["hide-input"]), cell("depth 2\n" + LINES)]
    cells.append(nbformat.v4.new_markdown_cell("```{bibliography}\n```"))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "index.ipynb")
    (folder / "refs.bib").write_text(BIB)
    told = folder / "told"
    with told.open("w") as warnings:
        app = Sphinx(
            folder, None, folder / "out", folder / "doctrees", "html", status=None, warning=warnings,
            confoverrides={"extensions": ["myst_nb", "sphinxcontrib.bibtex", "book._ext.claims"],
                           "source_suffix": {".ipynb": "myst-nb"},  # Sphinx keeps one default for all its builds
                           "nb_execution_mode": "off", "bibtex_bibfiles": ["refs.bib"],
                           "bibtex_reference_style": "author_year"},
        )  # fmt: skip
        app.build()
    assert "he2016deep" not in told.read_text()
    return (folder / "out" / "index.html").read_text()


def test_a_claim_is_a_line_with_tick_sentence_bound_and_seeds(page):
    assert page.count('<li class="holds"') == 2
    assert "one is small: <strong>1 ≤ 2</strong>" in page
    assert "(10 seeds: 0.5 to 1)" in page
    assert "holds  a.b" not in page


def test_its_source_is_a_link_to_the_bibliography(page):
    assert page.count("[<a") + page.count('href="#id') >= 2
    assert "He, 2016" in page


def test_what_else_is_printed_stays_as_it_was(page):
    assert "depth 2" in page


def test_the_code_of_claims_alone_is_folded_under_a_name_of_its_own(page):
    assert page.count("Show the check") == 1


@pytest.mark.parametrize("path", sources.chapters(), ids=lambda path: path.stem)
def test_what_is_claimed_can_be_read_without_the_lines_around_it(path):
    said = [line.statement for line in claim_lines(read(path))]
    assert said
    assert [sentence for sentence in said if LEANS.search(sentence) or len(sentence.split()) < 4] == []


@pytest.mark.parametrize(
    "sentence", ["the same with BN", "and after 4 epochs at most half", "BN: it does", "LN is off by", "one is two."]
)
def test_a_claim_that_leans_on_another_is_found(sentence):
    assert LEANS.search(sentence)
