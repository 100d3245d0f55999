"""What `make compat` tries is what pyproject.toml promises."""

import os
import re
import tomllib

import pytest
import yaml

from book._tools.compat import TESTED, Row, interpreter, table
from tests.book.sources import ROOT

PROJECT = {
    "requires-python": ">=3.11",
    "classifiers": ["Typing :: Typed", *(f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12))],
    "dependencies": ["torch>=2.6", "numpy>=1.26"],
    "optional-dependencies": {"data": ["Pillow>=10"]},
}


def test_the_first_python_has_the_oldest_packages_and_every_python_the_newest():
    oldest = Row("3.11", ("torch==2.6", "numpy==1.26", "Pillow==10"))
    assert table(PROJECT) == [oldest, Row("3.11", ()), Row("3.12", ())]


def test_the_oldest_python_that_is_allowed_must_be_among_those_that_are_tried():
    with pytest.raises(ValueError, match=r"no classifier of pyproject.toml names Python 3[.]10"):
        table(PROJECT | {"requires-python": ">=3.10"})


@pytest.mark.parametrize(
    ("does", "is_one"),
    [
        ("#!/bin/sh\necho 3.99", True),
        ("#!/bin/sh\necho 'pyenv: python3.99: command not found' >&2\nexit 127", False),
        ("#!/bin/sh\necho 3.98", False),
        ("no program", False),
    ],
    ids=["right", "shim", "another", "broken"],
)
def test_a_python_is_one_that_runs_and_says_its_version(tmp_path, monkeypatch, does, is_one):
    program = tmp_path / "python3.99"
    program.write_text(does)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert interpreter("3.99") == (str(program) if is_one else None)
    assert interpreter("3.97") is None


def test_every_bound_of_the_project_is_tried():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = [*project["dependencies"], *project["optional-dependencies"]["data"]]
    assert [package.replace("==", ">=") for package in table(project)[0].packages] == bounds


def test_scikit_learn_pillow_matplotlib_and_tqdm_are_exercised_too():
    """By the tests of what uses them."""
    packages = {"sklearn": "data", "PIL": "data", "matplotlib": "test_plot.py", "torch": "ops", "tqdm": "engine"}
    assert {f"tests/{part}" for part in packages.values()} <= {*TESTED.split()}
    assert all((ROOT / path).exists() for path in TESTED.split())


def test_every_python_of_the_project_is_tried_each_week():
    weekly = yaml.safe_load((ROOT / ".github/workflows/weekly.yml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {*weekly["jobs"]["compat"]["strategy"]["matrix"]["python"]} == {row.python for row in table(project)}


def test_the_tests_that_need_packages_of_others_run_each_week():
    weekly = yaml.safe_load((ROOT / ".github/workflows/weekly.yml").read_text())
    named = " ".join(row["tests"] for row in weekly["jobs"]["others"]["strategy"]["matrix"]["include"]).split()
    assert all((ROOT / path).exists() for path in named)
    (line,) = [line for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if line.startswith("`pip install")]
    assert {*re.findall(r"`(tests/\S+)`", line)} <= {*named}
