"""The commands of the README: one clear sentence for what cannot work, an exit code, and nothing half written."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import nbformat
import pytest

from book._tools import quick, seeds, store
from book._tools.cells import read
from resnorm_lib._processes import finished
from resnorm_lib.claims import Line
from tests.book import sources
from tests.book.sources import ROOT

needs_make = pytest.mark.skipif(not shutil.which("make"), reason="this machine has no make")


@pytest.fixture
def checkout(tmp_path):
    """A folder like the project's, with an environment that is ready: the one that runs this test."""
    for name in ("_config.yml", "_toc.yml", "book", "chapters", "resnorm_lib", "requirements.txt", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (tmp_path / ".venv" / "ready").touch()
    return tmp_path


def make(folder, *arguments, **environment):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RESNORM_", "MAKE", "MFLAGS"))}
    return finished(["make", *arguments], 120, cwd=folder, env=env | environment, stdout=PIPE, stderr=PIPE)


@needs_make
def test_help_names_every_target(checkout):
    targets = {
        line.split(":")[0]
        for line in (ROOT / "Makefile").read_text().splitlines()
        if line[:1].isalpha() and ":" in line and ":=" not in line and "?=" not in line
    }
    listed = {line.split()[1] for line in make(checkout, "help").stdout.splitlines()}
    assert listed | {"lint"} == targets | {"lint"}


@needs_make
def test_an_old_python_is_refused_before_anything_is_installed(checkout):
    shutil.rmtree(checkout / ".venv")
    old = checkout / "old-python"
    old.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'import sys; sys.version_info = (3, 8, 18); exec(sys.argv[1])' \"$2\"\n"
    )
    old.chmod(0o755)
    result = make(checkout, "book", f"PYTHON={old}")
    assert result.returncode != 0
    assert f'This book needs Python 3.11 or newer, but "{old}" is Python 3.8.' in result.stderr
    assert not (checkout / ".venv").exists()


@needs_make
def test_a_python_that_is_not_there_is_named_in_one_sentence(checkout):
    shutil.rmtree(checkout / ".venv")
    result = make(checkout, "book", "PYTHON=nopython")
    assert result.returncode != 0
    assert result.stderr.startswith('There is no Python called "nopython" here. Say which to use: make PYTHON=python')
    assert not (checkout / ".venv").exists()


@needs_make
@pytest.mark.parametrize(("user", "words"), [("0", "lab --allow-root chapters"), ("1000", "lab chapters")])
def test_jupyterlab_starts_for_root_too(checkout, user, words):
    for place, line in ((".venv/bin/jupyter", 'echo "asked: $*"'), ("bin/id", f"echo {user}")):
        (checkout / place).parent.mkdir(exist_ok=True)
        (checkout / place).write_text(f"#!/bin/sh\n{line}\n")
        (checkout / place).chmod(0o755)
    result = make(checkout, "lab", PATH=f"{checkout / 'bin'}:{os.environ['PATH']}")
    assert f"asked: {words}\n" in result.stdout


@needs_make
def test_a_python_for_an_environment_that_is_there_already_is_told(checkout):
    told = "The environment .venv is there already. To make it with nopython: make clean"
    assert make(checkout, "-n", "book", "PYTHON=nopython").stdout.startswith(told)
    assert told not in make(checkout, "-n", "book").stdout


def test_an_output_folder_that_cannot_be_written_is_refused(checkout):
    (checkout / "file").touch()
    result = make(checkout, "book", "OUT=file/below")
    assert result.returncode != 0
    assert 'The folder "file/below" cannot be written.' in result.stderr


@needs_make
@pytest.mark.parametrize("target", ["book", "run"])
def test_an_unknown_preset_stops_before_anything_is_written(checkout, target):
    result = make(checkout, target, RESNORM_PRESET="huge")
    assert result.returncode != 0
    assert result.stderr.startswith("RESNORM_PRESET is 'huge', but it must be one of cpu, gpu.\n")
    assert not (checkout / "_build").exists()


def test_a_missing_dependency_is_named(tmp_path):
    (tmp_path / "tqdm.py").write_text("raise ModuleNotFoundError(\"No module named 'tqdm'\", name='tqdm')")
    result = subprocess.run(
        [sys.executable, "-m", "resnorm_lib"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.startswith("tqdm is missing: install it with")
    assert result.stderr.count("\n") == 1


def test_the_library_says_how_it_would_run():
    result = subprocess.run([sys.executable, "-m", "resnorm_lib"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "preset        cpu\n" in result.stdout
    assert "torch" in result.stdout


def test_a_word_that_the_library_does_not_take_is_named():
    result = subprocess.run(
        [sys.executable, "-m", "resnorm_lib", "describe"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr == "python -m resnorm_lib takes no arguments, but was given 'describe'.\n"


def notebook(path, *cells):
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    return path


def test_a_chapter_that_raises_stays_as_it_was(tmp_path):
    path = notebook(tmp_path / "broken.ipynb", "print(1)", "1 / 0")
    before = path.read_bytes()
    assert "left as it was, because a cell raised ZeroDivisionError" in store.store(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_stored_chapter_holds_its_outputs_and_no_trace_of_the_machine(tmp_path):
    path = notebook(tmp_path / "fine.ipynb", "print(1)")
    assert store.store(path) is None
    stored = nbformat.read(path, as_version=4)
    assert stored.cells[0].outputs[0].text == "1\n"
    assert stored.cells[0].execution_count == 1
    assert stored.metadata.language_info == {"name": "python"}


def test_claims_are_read_from_a_run_whether_they_held_or_not(tmp_path):
    code = "from resnorm_lib.claims import claim\n"
    path = notebook(
        tmp_path / "claims.ipynb",
        code + "claim('a.holds', 'in words', 0.25, at_least=0, at_most=1, source='someone2020')",
        "claim('a.fails', 'in words', 2, at_most=1)",
        "claim('a.after', 'a later cell', 3, at_least=1)",
    )
    assert seeds.claims(store.execute(path)) == {"a.holds": 0.25, "a.fails": None, "a.after": 3.0}


def test_the_words_of_a_claim_are_not_what_was_measured_and_its_bound_is(tmp_path):
    def digest(code):
        return seeds.fingerprint(read(notebook(tmp_path / "claims.ipynb", code)))

    written = digest("claim('a.b', 'small', 1 + 1, at_most=3)")
    assert digest("claim('a.b', f'two is {\"small\"}', 1 + 1, at_most=3)") == written
    assert digest("errata.agree('a1-b', 'small', 1, 1)") == digest("errata.agree('a1-b', 'one is one', 1, 1)")
    assert digest("claim('a.b', 'small', 1 + 1, at_most=2)") != written
    assert digest("claim('a.c', 'small', 1 + 1, at_most=3)") != written
    assert digest("label('a.b', 'small', 1 + 1, at_most=3)") != digest("label('a.b', 'large', 1 + 1, at_most=3)")


@pytest.mark.parametrize("path", sources.chapters(), ids=lambda path: path.stem)
def test_every_claim_holds_under_ten_seeds_and_natively(path):
    found = seeds.load()["chapters"].get(path.stem)
    assert found, f"{path.name} has not been run under ten seeds: make seeds CHAPTERS={path}"
    assert found["fingerprint"] == seeds.fingerprint(read(path)), (
        "changed since its claims were tried: make seeds STALE=1"
    )
    assert set(found["claims"]) == set(seeds.claims(read(path)))
    assert not [name for name, measured in found["claims"].items() if None in measured]
    assert not [name for name, measured in found["native"].items() if measured is None]


@pytest.mark.parametrize("path", sources.chapters(), ids=lambda path: path.stem)
def test_a_claim_could_have_failed_under_some_seed(path):
    assert not seeds.out_of_reach(path.stem, read(path)), "their bounds are out of reach: tighten them, or call check()"


@pytest.mark.parametrize("path", sources.chapters(), ids=lambda path: path.stem)
def test_the_page_shows_the_ranges_of_the_report(path, tmp_path):
    copy = shutil.copy(path, tmp_path)
    seeds.show_ranges(copy)
    assert read(Path(copy)).cells == read(path).cells, "their ranges are old: make run"


def line(**bounds):
    return Line("holds", "a.b", "in words", **({"at_least": None, "at_most": None, "measured": 1.0} | bounds))


@pytest.mark.parametrize(
    ("bounds", "values", "widths"),
    [
        ({"at_most": 5.0}, [1.0, 2.0], 1.32),  # in logarithms, as ln(5/2) / ln 2 is less than 3
        ({"at_least": -1.0}, [0.0, 0.5], 2),  # no logarithm of what is not positive
        ({"at_least": 3.0}, [600.0, 700.0], 5.97),  # in values, where the range is narrow
        ({"at_least": 0.0, "at_most": 4.0}, [1.0, 2.0], 1),  # the nearer of two bounds
        ({"at_most": 1.0}, [0.5, 0.5], float("inf")),  # no seed changes it
        ({"at_most": 1.0}, [0.5, 1.5], 0),
    ],
)
def test_the_reach_of_a_bound_is_counted_in_widths_of_the_range(bounds, values, widths):
    assert seeds.reach(line(**bounds), values) == pytest.approx(widths, rel=0.01)


@needs_make
def test_make_gpu_hands_on_the_time_that_it_is_given(checkout, tmp_path):
    """What is done with it, and that the words are understood, tests/bench/test_gpu.py holds."""
    told, python = tmp_path / "told", tmp_path / "gpu-python"
    python.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> "{told}"\n')
    python.chmod(0o755)
    assert make(checkout, "gpu", f"GPU_PYTHON={python}", "BUDGET=7m").returncode == 0
    assert told.read_text().splitlines()[-1] == "-m resnorm_lib.bench.gpu --budget 7m"


OF_THE_BOOK = quick.OF_THE_BOOK


@pytest.mark.parametrize(
    ("name", "tests"),
    [
        ("resnorm_lib/norms/rms_norm.py", ["tests/norms", "resnorm_lib/norms/rms_norm.py", "tests/test_floors.py"]),
        ("chapters/degradation.ipynb", ["tests/book/test_chapters.py", "chapters/degradation.ipynb"]),
        ("tests/norms/cases.py", ["tests/norms"]),
        ("tests/book/answers/degradation.py", ["tests/course/test_graders.py", "tests/book/test_checks.py"]),
        ("conftest.py", ["tests/book/test_nbval.py", "tests/book/test_figures.py"]),
        ("book/_ext/front.py", ["tests/book/test_front.py", "tests/book/test_ext.py", *OF_THE_BOOK]),
        ("tests/course/instructor/claims.py", ["tests/course"]),
        ("resnorm_lib/data/co2.txt", ["tests/data", "tests/test_floors.py"]),
        ("book/_tools/printed/pdf.py", ["tests/book/test_printed.py", *OF_THE_BOOK]),
        ("book/_tools/situations/loops.py", ["tests/book/test_situations.py", *OF_THE_BOOK]),
        ("book/_tools/course/exercises.py", ["tests/book/test_course.py", "tests/course/test_bank.py", *OF_THE_BOOK]),
        # deleted
        ("resnorm_lib/norms/gone.py", ["tests/norms", "tests/test_floors.py"]),
        ("tests/norms/test_gone.py", ["tests/norms"]),
        ("chapters/gone.ipynb", ["tests/book/test_chapters.py", *OF_THE_BOOK]),
    ],
)
def test_make_quick_tests_what_has_changed(name, tests):
    assert quick.tests_of(name) == tests


@pytest.mark.parametrize(
    ("name", "tests"),
    [
        ("resnorm_lib/plot.py", {"tests/test_plot.py", "tests/probes", "resnorm_lib/plot.py"}),
        (
            "resnorm_lib/_precision.py",
            {"tests/ops", "tests/norms", "resnorm_lib/_precision.py", "tests/test_floors.py"},
        ),
        ("resnorm_lib/_arguments.py", {"tests/norms", "tests/residual", "tests/models", "tests/engine"}),
        ("resnorm_lib/__init__.py", {"tests/test_imports.py", "tests/test_types.py"}),
        ("book/_tools/cells.py", {"tests/book/test_chapters.py", "tests/book/test_records.py"}),
        ("requirements.txt", {*OF_THE_BOOK}),
        ("book/recorded/degradation-cpu.json", {"tests/book/test_records.py", *OF_THE_BOOK}),
        ("book/recorded/seeds.json", {"tests/book/test_records.py", "tests/book/test_claims_on_the_page.py"}),
    ],
)
def test_make_quick_tests_the_rooms_that_use_what_has_changed(name, tests):
    assert tests <= {*quick.tests_of(name)}


def test_make_quick_sees_what_was_deleted_or_renamed_in_a_first_commit_too(tmp_path, monkeypatch):
    def git(*command):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *command], cwd=tmp_path, check=True)

    monkeypatch.setattr(quick, "ROOT", tmp_path)
    for name in ("kept", "gone", "old"):
        (tmp_path / name).write_text(f"{name}\n" * 9)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    assert quick.changed() == ["gone", "kept", "old"]
    git("rm", "-q", "gone")
    git("mv", "old", "new")
    assert sorted(quick.changed()) == ["gone", "new", "old"]
    git("commit", "-qm", "second")
    assert sorted(quick.changed()) == ["gone", "new", "old"]


def test_a_command_that_takes_too_long_is_stopped_with_what_it_started(tmp_path):
    code = f"import subprocess, sys; subprocess.run(['sh', '-c', 'sleep 2; touch {tmp_path}/alive'])"
    assert quick.within([sys.executable, "-c", code], 1) is None
    time.sleep(2)
    assert not (tmp_path / "alive").exists()


@pytest.mark.parametrize("module", ["book._tools.build", "book._tools.colab", "book._tools.course"])
def test_a_tool_that_writes_a_folder_says_how_it_is_called_and_writes_none(module, tmp_path):
    path = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.startswith("usage: ")
    assert done.returncode == 0
    assert not list(tmp_path.iterdir())
