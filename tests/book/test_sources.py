"""The files of the project agree with each other, and a planted disagreement is named."""

import re
import subprocess
import sys

import nbformat
import pytest

from book._tools.manifest import ROOT
from tests.book import planted, sources

CHECKS = [
    sources.labels_are_unique,
    sources.claims_are_unique,
    sources.chapters_are_listed,
    sources.nbval_is_strict,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_project_has_no_fault(check):
    found = check()
    assert not found, "\n".join(found)


@pytest.fixture
def project(tmp_path):
    """A project with one chapter, one page and one command."""
    write(tmp_path / "chapters/demo.ipynb", nbformat.writes(planted.chapter()))
    write(
        tmp_path / "book/index.md", "(start)=\n# Start\n\n````md\n(demo)=\n```{exercise}\n:label: demo-a\n```\n````\n"
    )
    write(tmp_path / "_toc.yml", "root: book/index\nparts:\n- chapters:\n  - file: chapters/demo\n")
    write(tmp_path / "Makefile", "test:\n\tpython -m pytest --nbval chapters\n")
    return tmp_path


def write(path, text):
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_honest_project_has_no_fault(check, project):
    assert check(project) == []


REPEATED = {
    "demo": "(demo)=\n## A target",
    "fig-demo": "```{figure} a.png\n:name: fig-demo\n```",
    "demo-a": "::::{note}\n:::{exercise}\n:label: demo-a\n:::\n::::",
    "start": "$$x$$ (start)",
}


@pytest.mark.parametrize("label", REPEATED)
def test_a_repeated_label_is_named_with_both_places(label, project):
    write(project / "book/other.md", REPEATED[label])
    [problem] = sources.labels_are_unique(project)
    assert f"{label!r} stands in book/" in problem
    assert " and in " in problem


def test_a_repeated_claim_is_named(project):
    second = planted.notebook([planted.code("claim()", planted.stream("holds  demo.a  it holds  1 <= 2"))])
    write(project / "chapters/second.ipynb", nbformat.writes(second))
    [problem] = sources.claims_are_unique(project)
    assert problem == "The claim 'demo.a' stands in chapters/demo.ipynb and in chapters/second.ipynb."


def test_a_chapter_outside_the_table_of_contents_is_named(project):
    write(project / "_toc.yml", "root: book/index\n")
    assert sources.chapters_are_listed(project) == ["chapters/demo is not in _toc.yml."]


@pytest.mark.parametrize("name", ["Makefile", ".ci/run", ".github/workflows/test.yml", "pyproject.toml"])
def test_a_lax_comparison_is_named_wherever_it_is_started(name, project):
    write(project / name, "pytest --nbval-lax")
    assert f"{name} uses --nbval-lax, which compares nothing." in sources.nbval_is_strict(project)


def test_a_project_that_never_compares_is_named(project):
    write(project / "Makefile", "test:\n\tpython -m pytest --nbval-lax\n")
    assert "No command of the project runs --nbval." in sources.nbval_is_strict(project)


def ruff_finds(file, source):
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "concise", "--stdin-filename", file, "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, cwd=ROOT).stdout


@pytest.mark.parametrize("line", ["from ..models import MLP", "from . import stack", "from .stack import Stack"])
def test_an_import_that_the_floors_cannot_read_is_refused(line):
    """``tests/test_floors.py`` and the fingerprints of records read names that begin with resnorm_lib."""
    assert "TID252" in ruff_finds("resnorm_lib/norms/new.py", line)


def test_no_file_of_the_experiments_is_spared_its_types():
    for path in (ROOT / "resnorm_lib/experiments").rglob("*.py"):
        assert "ANN" in ruff_finds(str(path.relative_to(ROOT)), "def f(x):\n    return x\n"), path


def test_the_first_line_of_a_docstring_is_a_sentence():
    files = [path for folder in ("resnorm_lib", "book", "tests") for path in (ROOT / folder).rglob("*.py")]
    found = [path.name for path in files if re.search(r'"""' + "Whether ", path.read_text(encoding="utf-8"))]
    assert not found, f"It says what a function returns with a verb: Return whether ... In {found}."
