"""The project's own command compares text exactly, claims by their bounds and figures by their pixels."""

import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient
from nbval.plugin import get_sanitize_patterns

from resnorm_lib._processes import finished
from tests.book import planted
from tests.book.sources import ROOT

SETUP = """
import matplotlib.pyplot as plt
from resnorm_lib.claims import claim
def draw(height=1.0, width=4):
    figure, axes = plt.subplots(figsize=(width, 3))
    axes.plot([0, 1], [0, height])
    axes.set_ylim(0, 2)
    plt.show()
"""
CLAIM = "claim('demo.half', 'a half is small', 0.5, at_most=1, source='he2016');"

# The stored output is that of the first code; the second stands in the notebook when it is compared.
CHANGED = {
    "a printed number": ("print(0.125)", "print(0.126)"),
    "a result": ("0.125", "0.126"),
    "the statement of a claim": (CLAIM, CLAIM.replace("small", "large")),
    "the bound of a claim": (CLAIM, CLAIM.replace("at_most=1", "at_most=2")),
    "the id of a claim": (CLAIM, CLAIM.replace("demo.half", "demo.third")),
    "the source of a claim": (CLAIM, CLAIM.replace("he2016", "he2015")),
    "a claim that no longer holds": (CLAIM, CLAIM.replace("0.5", "1.5")),
    "a curve that moved": ("draw()", "draw(height=1.5)"),
    "a figure of another size": ("draw()", "draw(width=5)"),
    "a figure that is gone": ("draw(); draw()", "draw()"),
}
HONEST = {
    "a printed number": ("print(0.125)", "print(0.125)"),
    "a figure": ("draw()", "draw()"),
    "a claim": (CLAIM, CLAIM),
    "a value that a semicolon silences": ("0.125;", "0.125;"),
    "a claim whose measured value moved": (CLAIM, CLAIM.replace("0.5", "0.51")),
    "a cell that is exempt": ("print(0.125); draw()", "# NBVAL_IGNORE_OUTPUT\nprint(0.126); draw(height=1.5)"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project's own settings around two notebooks whose code changed after their outputs were stored."""
    root = tmp_path_factory.mktemp("project")
    for name in (
        "pyproject.toml",
        "conftest.py",
        "tests/__init__.py",
        "tests/book/__init__.py",
        "tests/book/figures.py",
        "tests/book/nbval_sanitize.cfg",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / "resnorm_lib").symlink_to(ROOT / "resnorm_lib")
    (root / "chapters").mkdir()
    executed = execute([SETUP, *(before for before, _ in [*HONEST.values(), *CHANGED.values()])], root)
    save(executed, HONEST, 1, root / "chapters/honest.ipynb")
    save(executed, CHANGED, 1 + len(HONEST), root / "chapters/changed.ipynb")
    return root


def execute(sources, folder):
    """Run the cells and return them with their outputs."""
    notebook = planted.notebook([planted.code(source) for source in sources])
    NotebookClient(notebook, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook.cells


def save(executed, cases, first, path):
    """Write a notebook with the executed cells of some cases, each with its later source."""
    cells = [executed[0], *executed[first : first + len(cases)]]
    for cell, (_, after) in zip(cells[1:], cases.values()):
        cell.source = after
    nbformat.write(planted.notebook(cells), path)


def compare(project, *arguments):
    """Run the strict command; return its exit code and the outcome of each cell."""
    command = [sys.executable, "-m", "pytest", "-rA", "--color=no", "--tb=no", *arguments]
    done = finished(command, 120, cwd=project, stdout=subprocess.PIPE)
    outcomes = re.findall(r"^(PASSED|FAILED) \S+::Cell (\d+)", done.stdout, re.MULTILINE)
    return done.returncode, [outcome for outcome, number in sorted(outcomes, key=lambda pair: int(pair[1]))][1:]


@pytest.fixture(scope="module")
def strict_outcomes(project):
    """What ``pytest --nbval`` says of each changed cell."""
    code, outcomes = compare(project, "--nbval", "chapters/changed.ipynb")
    assert code == 1
    return dict(zip(CHANGED, outcomes, strict=True))


@pytest.mark.parametrize("change", CHANGED)
def test_a_change_fails_the_strict_command(change, strict_outcomes):
    assert strict_outcomes[change] == "FAILED"


def test_an_honest_notebook_passes_the_strict_command(project):
    assert compare(project, "--nbval", "chapters/honest.ipynb") == (0, ["PASSED"] * len(HONEST))


def test_without_our_hook_and_strictness_only_a_broken_claim_would_fail(project):
    _, outcomes = compare(project, "--nbval-lax", "--noconftest", "chapters/changed.ipynb")
    assert [change for change, outcome in zip(CHANGED, outcomes) if outcome == "FAILED"] == [
        "a claim that no longer holds"
    ]


LINE = "holds  demo.half  a half is small  0.5 <= 1  [he2016]"


def sanitize(text):
    """Apply the project's substitutions as nbval does."""
    patterns = get_sanitize_patterns((ROOT / "tests/book/nbval_sanitize.cfg").read_text(encoding="utf-8"))
    for pattern, replacement in patterns:
        text = re.sub(pattern, replacement, text)
    return text


@pytest.mark.parametrize("measured", ["0.49", "1e-07", "-3", "nan"])
@pytest.mark.parametrize("bounds", ["{} <= 1", "{} >= 0.1", "0.1 <= {} <= 1", "{} <= 1  [he2016]"])
def test_the_measured_value_of_a_claim_may_move(measured, bounds):
    line = "holds  demo.half  a half is small  " + bounds
    assert sanitize(line.format(measured)) == line.format("MEASURED")


@pytest.mark.parametrize("old", ["demo.half", "a half", "<=", "1  ", "he2016", "holds"])
def test_nothing_else_of_a_claim_may_move(old):
    assert sanitize(LINE.replace(old, "other")) != sanitize(LINE)


@pytest.mark.parametrize("text", ["loss  0.5 <= 1", "0.5 <= 1", "  0.25 >= 0.1"])
def test_a_comparison_that_is_no_claim_is_left_alone(text):
    assert sanitize(text) == text
