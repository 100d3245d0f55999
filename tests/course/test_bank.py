"""The second bank: what students get holds no answer, and what a teacher keeps marks right answers right."""

import ast
import doctest
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from torch import nn

from book._tools.course import __main__ as course
from book._tools.course.bank import banks, read_bank, unanswered
from book._tools.course.exercises import POINTS, exercises
from book._tools.course.notebooks import assignment, notebook
from resnorm_lib.checks.judge.answers import HIDDEN
from resnorm_lib.course.bank import VARIABLE, drive, load, named
from resnorm_lib.course.grade import checks, grade
from resnorm_lib.course.limits import Limits
from tests.book.test_course import statements
from tests.course import variants
from tests.course.test_graders import ATTACKS, ENDLESS, OVER, TOGETHER, UNNAMED

FOLDER = Path(__file__).parent / "instructor"
HELD, WORDS = load(FOLDER)
CHECKS = {label: held.check() for label, held in HELD.items()}
SOURCES = {path.stem: read_bank(path, HELD, WORDS) for path in banks()}
ASKED = {each.label: each for source in SOURCES.values() for each in exercises(source)}
each_exercise = pytest.mark.parametrize("label", HELD)
each_bank = pytest.mark.parametrize("name", SOURCES)
TASKS = 6  # every so-manieth goes through the grader; all have (set it to 1), in a minute
KILLING = {"ends its process", "kills its parent"}


def layer(right, change):
    """Return a module's class with its output changed."""

    class Changed(right):
        def forward(self, x):
            return torch.as_tensor(returning(super().forward, change)(x))

    return Changed


def made(label, changes):
    """Return the first right answer with what it returns changed in every way, by name."""
    right = HELD[label].right[0]
    changed = layer if isinstance(right, type) else returning
    return {name: changed(right, change) for name, change in changes.items()}


def returning(right, change):
    def answer(*arguments):
        result = change(right(*arguments))
        if result is None:
            raise variants.Inapplicable
        return result

    return answer


def right_answers(label):
    """Return the right answers of the teacher, and some in other clothes; a few of these may make no sense."""
    right = [*HELD[label].right]
    if HELD[label].use is None:
        right += made(label, variants.RIGHT).values()
    elif HELD[label].use is drive:
        right += [lambda *a: HELD[label].right[0](*a), layer(HELD[label].right[0], lambda y: y.clone())]
    return right


def applies(verdict):
    return "Inapplicable" not in verdict.sentence


def judged(label):
    """Return what is said of wrong answers that are made from a right one."""
    changes = {name: change for name, change in variants.WRONG.items() if name not in ("none of it", "text")}
    verdicts = [CHECKS[label](answer) for answer in made(label, changes).values()]
    return [verdict for verdict in verdicts if applies(verdict)]


def test_every_exercise_has_an_answer_and_the_kinds_are_those_of_the_course():
    assert not any(unanswered(path, HELD, WORDS) for path in banks())
    assert set(ASKED) == {*HELD, *WORDS}
    assert len(HELD) >= 40
    assert set(SOURCES) == {"bank_modules", "bank_bugs", "bank_claims", "bank_formulas"}
    assert all(held.points == POINTS[ASKED[label].difficulty] for label, held in HELD.items())
    assert all(set(each) == {"answer", "full", "half", "none"} for each in WORDS.values())


@each_exercise
def test_right_answers_are_right_on_drawn_cases_and_in_other_clothes(label):
    tried = [(answer, CHECKS[label](answer)) for answer in right_answers(label)]
    assert len([verdict for _, verdict in tried if applies(verdict)]) >= 4
    assert all(verdict or not applies(verdict) for _, verdict in tried), tried
    for answer in HELD[label].right:
        assert CHECKS[label](answer, seed="one")


@each_exercise
def test_wrong_answers_are_wrong_and_told_their_mistake(label):
    for answer, sentence in HELD[label].wrong.items():
        assert CHECKS[label](answer).sentence.startswith(sentence)
        hidden = CHECKS[label](answer, seed="one")
        assert not hidden
        assert not UNNAMED.search(hidden.sentence)


def test_ten_wrong_answers_to_each_fail_and_most_are_told_why():
    told = []
    for label in HELD:
        verdicts = judged(label)
        assert not any(verdicts), label
        told += [*HELD[label].wrong.values(), *(verdict.sentence for verdict in verdicts)]
        assert len(HELD[label].wrong) + len(verdicts) >= 10, label
    named_ones = [sentence for sentence in told if not UNNAMED.search(sentence) and sentence != HIDDEN]
    print(f"{len(HELD)} checks, {len(told)} wrong answers, {len(named_ones)} told their mistake")
    assert len(named_ones) / len(told) >= 0.7


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_passes(name, house):
    for group in [[label] for label in HELD] if name in KILLING else [list(HELD)]:
        try:
            with house.answer("answer", [ATTACKS[name]], limits=Limits(seconds=60)) as answer:
                passed = [label for label in group if CHECKS[label](answer)]
        except Exception as error:
            passed = [] if isinstance(error, NotImplementedError | AssertionError) else [error]
        assert not passed


@pytest.mark.parametrize("name", ENDLESS)
def test_an_answer_without_end_is_wrong_to_every_check(name, house):
    for start in range(0, len(HELD), TOGETHER):
        with house.answer("answer", [ENDLESS[name]], limits=Limits(seconds=0.5)) as answer:
            for label in list(HELD)[start : start + TOGETHER]:
                assert OVER.match(CHECKS[label](answer).sentence)


@each_bank
def test_students_get_no_line_of_an_answer(name):
    source = SOURCES[name]
    given = [each.stub for each in exercises(source)]
    solved = [text for each in exercises(source) for kind, text in each.solution if kind == "code"]
    new = set().union(*map(statements, solved)) - set().union(*map(statements, given))
    student = notebook(name, source, "student")
    code = [cell.source for cell in student.cells if cell.cell_type == "code"]
    assert new
    assert not new & set().union(*map(statements, code))
    prose = "\n".join(cell.source for cell in student.cells)
    assert not [each for label in WORDS for each in WORDS[label].values() if each in prose]


@each_bank
def test_student_notebooks_run_and_their_stubs_are_wrong(name, capsys):
    names = {}
    for cell in notebook(name, SOURCES[name], "student").cells:
        if cell.cell_type == "code":
            exec(cell.source, names)
        if cell.id.startswith("answer-") and cell.cell_type == "code":
            label = cell.id.removeprefix("answer-")
            assert not CHECKS[label](names[ASKED[label].name])


@each_bank
def test_examples_of_the_statements_hold_for_the_answers(name):
    names, runner = {}, doctest.DocTestRunner(verbose=False)
    exec("import math, numpy as np, torch\nfrom torch import nn", names)
    for each in exercises(SOURCES[name]):
        if each.stub:
            exec(notebook(name, SOURCES[name], "instructor").cells[1].source, names)
            exec(each.answer, names)
            docstring = ast.get_docstring(ast.parse(each.stub).body[-1]) or ""
            runner.run(doctest.DocTestParser().get_doctest(docstring, dict(names), each.label, None, 0))
    assert runner.summarize(verbose=False).failed == 0


def test_the_grader_gives_answers_full_marks_and_stubs_none(house, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(FOLDER))
    key = {name: assignment(name, SOURCES[name]) for name in SOURCES}
    key = {name: each._replace(tasks=each.tasks[::TASKS]) for name, each in key.items()}
    for face in ("student", "instructor"):
        (tmp_path / face).mkdir()
        for name in key:
            nbformat.write(notebook(name, SOURCES[name], face), tmp_path / face / f"{name}.ipynb")
    scores = grade(tmp_path, key, "secret", house)
    assert len(scores) == 2 * sum(len(each.tasks) for each in key.values())
    for score in scores:
        assert score.points == (score.worth if score.student == "instructor" else 0), score


def test_without_the_folder_students_get_their_notebooks_and_it_is_said_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(course, "ROOT", tmp_path)  # no chapters
    monkeypatch.setattr(course, "write_slides", lambda *_: None)
    (tmp_path / "book/course").mkdir(parents=True)
    (tmp_path / "book/course/exam.md").write_text("")
    (tmp_path / "instructor").mkdir()
    (tmp_path / "nbgrader").mkdir()
    course.write(tmp_path)
    assert f"{VARIABLE} names no folder with the answers: bank_bugs (bank-bug-in-place, " in capsys.readouterr().out
    assert len(list((tmp_path / "student").glob("bank_*.ipynb"))) == 4
    assert not list(tmp_path.glob("instructor/bank*"))
    with pytest.raises(ValueError, match=f"{VARIABLE} must name the folder with the answers to bank-clip"):
        checks(["exercise-rank-distance", "bank-clip"])


def test_a_folder_of_the_teachers_own_counts_and_one_that_is_not_there_is_told(tmp_path, monkeypatch):
    own = tmp_path / "own"
    shutil.copytree(FOLDER, own, ignore=shutil.ignore_patterns("__pycache__"))
    text = (own / "formulas.py").read_text()
    (own / "formulas.py").write_text(text.replace("65504", "1000"))
    monkeypatch.setenv(VARIABLE, str(own))
    changed = checks(["bank-overflow"])["bank-overflow"]
    assert not changed(HELD["bank-overflow"].right[0])
    assert changed(lambda value: int(1000 // value**2))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "elsewhere"))
    with pytest.raises(ValueError, match="but it must name a folder that is there"):
        named()


def test_a_module_without_the_names_of_the_task_is_told():
    class Nameless(nn.Module):
        def __init__(self, features, eps):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(features))

    sentence = CHECKS["bank-rms-module"](Nameless).sentence
    assert sentence == "The state of the module holds gain; parameters and buffers must be: weight."
    assert "objects are nn.Modules" in CHECKS["bank-rms-module"](lambda *_: np.ones(3)).sentence
