"""A chapter from the template lacks what its author must write, and nothing that a test could ask for besides."""

import importlib.util
import re
import subprocess
import sys

import pytest

from book._tools.cells import read
from book._tools.new import new
from resnorm_lib import checks
from resnorm_lib.checks.judge.registry import Exercise, registry
from tests.book import notebooks, planted, test_chapters
from tests.book.sources import ROOT
from tests.course.test_graders import wrong_answers

FOLDERS = ("chapters", "resnorm_lib/checks", "tests/book/answers")


def loaded(path, name, monkeypatch):
    module = importlib.util.module_from_spec(spec := importlib.util.spec_from_file_location(name, path))
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def written(tmp_path, monkeypatch):
    for folder in FOLDERS:
        (tmp_path / folder).mkdir(parents=True)
    new("my_subject", tmp_path)
    module = loaded(tmp_path / "resnorm_lib/checks/my_subject.py", "resnorm_lib.checks.my_subject", monkeypatch)
    monkeypatch.setattr(checks, "my_subject", module, raising=False)
    return tmp_path, module.check_mean_square


def test_the_notebook_has_no_fault_but_what_its_author_must_write(written, monkeypatch):
    folder, check = written
    label = "exercise-my-subject-code"
    monkeypatch.setattr(notebooks, "registry", lambda: {label: Exercise(label, 1, "my_subject", check)} | registry())
    notebook = planted.notebook(read(folder / "chapters/my_subject.ipynb").cells)
    found = [problem for rule in test_chapters.CHECKS + test_chapters.TEACHING if rule.__module__ == notebooks.__name__
             for problem in rule(notebook)]  # fmt: skip
    assert found == ["The chapter makes 0 claims, fewer than 5.", "The chapter has 2 exercises, fewer than 6."]


def test_the_check_knows_its_answers(written, monkeypatch):
    folder, check = written
    answers = loaded(folder / "tests/book/answers/my_subject.py", "tests.book.answers.my_subject", monkeypatch)
    ((found, (right, wrong)),) = answers.EXERCISES.items()
    assert found is check
    assert check(right)
    assert check(right, seed="one")
    for answer, told in wrong.items():
        assert re.search(told, check(answer).sentence)
        assert not check(answer, seed="one")
    assert len([*wrong_answers(right, check), *wrong]) >= 10


def test_what_is_written_is_formatted(written):
    files = [str(path) for path in written[0].rglob("*.*") if path.suffix in (".py", ".ipynb")]
    assert len(files) == 3
    command = [sys.executable, "-m", "ruff", "format", "--check", "--config", str(ROOT / "pyproject.toml"), *files]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_nothing_is_overwritten(written, capsys):
    with pytest.raises(SystemExit, match="is there already"):
        new("my_subject", written[0])
    with pytest.raises(SystemExit, match="words in lower case"):
        new("My subject", written[0])
