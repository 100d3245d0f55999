"""Chapters as notebooks for Colab: nothing of the book's markup is left, and they run where only the archive is."""

import re
import sysconfig
import venv
from types import SimpleNamespace

import nbclient
import nbformat
import pytest

from book._ext import run_it
from book._tools import colab, readers
from book._tools.cells import read
from book._tools.names import Names
from book._tools.plain import plain
from tests.book import sources

MARKUP = re.compile(r"^:{3,}|\{[\w:-]+\}`|^\([\w-]+\)=|^`{3,}\{", re.MULTILINE)
each_chapter = pytest.mark.parametrize("path", sources.chapters(), ids=lambda path: path.stem)


@each_chapter
def test_no_markup_of_the_book_is_left(path):
    for cell in colab.convert(read(path), path.stem).cells:
        if cell.cell_type == "markdown":
            assert not MARKUP.search(cell.source), cell.source


@each_chapter
def test_answers_are_closed_and_outputs_are_left_to_the_reader(path):
    chapter = read(path)
    cells = [cell for cell in colab.convert(chapter, path.stem).cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)
    solutions = [cell for cell in cells if cell.source.startswith("# @title Solution")]
    tagged = [
        cell for cell in chapter.cells if cell.cell_type == "code" and "solution" in cell.metadata.get("tags", [])
    ]
    assert len(solutions) == len(tagged)
    assert all(cell.metadata["cellView"] == "form" and cell.metadata["jupyter"]["source_hidden"] for cell in solutions)


class Few:
    """Names of a book of one formula and one exercise."""

    def number(self, label):
        return 3

    def equation(self, label):
        return "(3)"

    def called(self, label):
        return "Exercise 9.2"

    def has(self, label):
        return label == "exercise-x"

    def generated(self, directive, argument):
        return f"{{doc}}`{argument}` by {directive}"

    def title(self, target):
        return "The title"

    def cited(self, keys, in_brackets):
        return f"{'p' if in_brackets else 't'}:{'+'.join(keys)}"


WRITTEN = [
    ("(label)=\n# Title", "# Title"),
    ("$$\nx = 1\n$$ (eq-x)", "$$\nx = 1 \\tag{3}$$"),
    ("By {eq}`eq-x`.", "By (3)."),
    ("{cite:t}`a2016, b2017` and {cite}`c2018`", "t:a2016+b2017 and p:c2018"),
    ("{doc}`the start <../book/index>` and {doc}`degradation`", "the start and The title"),
    (
        ":::{exercise} Sums\n:label: exercise-x\n\n(easy, 5 min) Add.\n:::",
        "**Exercise 9.2** Sums\n\n(easy, 5 min) Add.",
    ),
    (":::{admonition} Note\n:class: tip\nOne.\n\nTwo.\n:::", "> **Note**\n>\n> One.\n>\n> Two."),
    (
        "::::{solution} exercise-x\n:class: dropdown\nSo:\n:::{tip}\nIt.\n:::\n::::",
        "<details>\n<summary>Solution of Exercise 9.2</summary>\n\nSo:\n> **Tip**\n>\n> It.\n\n</details>",
    ),
    ("```python\nx = {}\n```", "```python\nx = {}\n```"),
    ("{ref}`exercise-x` and {ref}`a-section`", "Exercise 9.2 and The title"),
    ("{func}`~a.b.probe` and {class}`a.Net`", "`probe` and `a.Net`"),
    (":::{prf:algorithm} Adding\n:label: alg-x\n\n| a |\n|---|\n:::", "**Exercise 9.2** Adding\n\n| a |\n|---|"),
    ("::::{table} All.\n:name: table-x\n\n| a |\n|---|\n::::", "*Exercise 9.2.* All.\n\n| a |\n|---|"),
    ("```{written} there\n```", "The title by written"),
    (
        ":::{container} movable plot-x\nWithout scripts this plot stands still.\n:::",
        "On the chapter's page a plot here can be moved.",
    ),
]


@pytest.mark.parametrize(("myst", "markdown"), WRITTEN)
def test_markup_becomes_what_a_page_would_show(myst, markdown):
    assert plain(myst, Few()) == markdown


def test_names_are_those_of_the_book():
    names = Names("degradation")
    assert names.cited(["he2016deep"], in_brackets=False) == "He et al. (2016)"
    assert names.title("../chapters/residual_connections") == "Residual connections"
    assert names.called("exercise-copy") == "Exercise 1.4 of *Why depth is hard*"
    assert Names("the_two_together").called("table-real-models") == "Table 6.1"
    assert Names("forward_and_backward").called("alg-hand-backward") == "Algorithm 7.2"


def test_pages_without_a_number_are_counted_together():
    assert Names("trends_tried").called("exercise-trends-division") == "Exercise 1"
    assert Names("errata_article_2").called("fig-article-2-drawings") == "Fig. 14"


UNKNOWN = {"equation": "must be that of a formula", "called": "must be that of something", "title": "must be a page"}


@pytest.mark.parametrize("method", UNKNOWN)
def test_what_has_no_name_is_named_and_not_shown_as_its_label(method):
    with pytest.raises(ValueError, match=UNKNOWN[method]):
        getattr(Names("degradation"), method)("fig-nowhere")


def test_a_directive_that_plain_markdown_has_nothing_for_is_named():
    with pytest.raises(ValueError, match="directive is 'chapter-map'"):
        plain("```{chapter-map}\n```", Names("degradation"))


def test_what_the_book_writes_itself_is_written_out():
    models = plain("```{open-models}\n```", Names("transformer_block_by_block"))
    assert models.startswith("*Table 11.1.* What a layer has")
    assert "| [2019](https://" in models
    entries = plain("```{errata-of} which-axes\n```", Names("errata_roots"))
    assert entries.startswith("<details>")
    assert "- `a1-ln-is-batch-norm`: " in entries


def test_a_published_book_gives_its_address_to_the_first_cell():
    chapter = read(sources.ROOT / "chapters/degradation.ipynb")
    told = "\n".join(cell.source for cell in colab.convert(chapter, "degradation", "https://a.org/b/").cells[:2])
    assert "[page of the chapter](https://a.org/b/chapters/degradation.html)" in told
    assert f'Path("{colab.ARCHIVE}"), "https://a.org/b/run/"' in told


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """A folder with the archive, and a kernel called "reader" whose environment has all but the book."""
    colab.archive(tmp_path)
    venv.create(tmp_path / "env", with_pip=False)
    [packages] = tmp_path.glob("env/lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))  # whose own .pth files are not read
    readers.add_kernel(tmp_path / "env/bin/python", tmp_path)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return tmp_path


def test_a_notebook_runs_where_only_the_archive_is(reader):
    notebook = colab.convert(read(sources.ROOT / "chapters/errata_roots.ipynb"), "errata_roots")
    notebook.cells.append(nbformat.v4.new_code_cell("import resnorm_lib\nprint(resnorm_lib.__file__)"))
    readers.execute(notebook, reader, timeout=120)
    assert notebook.cells[-1].outputs[0].text.startswith(str(reader / "env"))


def test_without_the_archive_the_first_cell_says_where_it_is(reader):
    (reader / colab.ARCHIVE).unlink()
    notebook = colab.convert(nbformat.v4.new_notebook(), "degradation")
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="lies beside this notebook in the book"):
        readers.execute(notebook, reader, timeout=120)


@pytest.mark.parametrize(("page", "lines"), [("chapters/degradation", 1), ("book/map", 0)])
def test_a_chapter_offers_its_notebook_below_its_title(page, lines):
    app = SimpleNamespace(builder=SimpleNamespace(name="html"), config=SimpleNamespace(html_theme_options={}))
    context = {"body": "<h1>Title</h1><p>Text.</p>", "pathto": lambda target, resource=0: f"../{target}"}
    run_it.offer(app, page, "page.html", context, None)
    assert context["body"].count('<p class="run-it">') == lines
    assert context["body"].count('href="../run/degradation.ipynb"') == lines
    assert context["body"].count(f'href="../run/{colab.WHEEL}"') == lines
    assert context["body"].startswith("<h1>Title</h1>")


def test_colab_opens_what_was_published_and_is_named_only_then():
    assert "/github/a/b/blob/gh-pages/run/degradation.ipynb" in run_it.in_colab("https://github.com/a/b", "degradation")
    assert run_it.in_colab("", "degradation") == run_it.in_colab("https://example.org/a", "degradation") == ""
