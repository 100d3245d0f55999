"""The checks of the exercises, checked: the reference passes, the stub fails, each wrong answer is told its mistake."""

import importlib
import pkgutil

import pytest
import torch

import resnorm_lib.checks as package
from resnorm_lib.checks import Wrong, answers
from tests.book.answers import EXERCISES


def stub(*_):
    raise NotImplementedError


@pytest.mark.parametrize("check", EXERCISES, ids=lambda check: check.__name__)
def test_the_reference_answer_is_right(check, capsys):
    check(EXERCISES[check][0])
    assert capsys.readouterr().out.startswith("right: ")


@pytest.mark.parametrize("check", EXERCISES, ids=lambda check: check.__name__)
def test_the_stub_is_no_answer(check):
    with pytest.raises(Wrong, match="There is no answer yet"):
        check(stub)


WRONG = [
    pytest.param(check, answer, told, id=f"{check.__name__}-{told}")
    for check, (_, wrong) in EXERCISES.items()
    for answer, told in wrong.items()
]


@pytest.mark.parametrize(("check", "answer", "told"), WRONG)
def test_a_wrong_answer_is_told_its_mistake(check, answer, told, capsys):
    with pytest.raises(Wrong, match=told):
        check(answer)
    assert capsys.readouterr().out == ""


def test_every_check_of_the_library_has_answers_here():
    modules = [
        importlib.import_module(f"{package.__name__}.{info.name}") for info in pkgutil.iter_modules(package.__path__)
    ]
    assert {getattr(m, name) for m in modules for name in m.__all__ if name.startswith("check_")} == set(EXERCISES)


@pytest.mark.parametrize(
    ("got", "wanted", "told"),
    [
        ([1.0, 2.0], [1.0], r"The result has shape \(2,\), but it must be \(1,\)\."),
        ([1.0, float("nan")], [1.0, 2.0], r"The result is nan at \(1,\), but it must be 2\."),
        (3.0, 4.0, r"The result is 3, but it must be 4\."),
        (torch.zeros(2, 2), torch.eye(2), r"The result is 0 at \(0, 0\), but it must be 1\."),
    ],
)
def test_a_difference_is_shown_where_it_is(got, wanted, told):
    with pytest.raises(Wrong, match=told):
        answers.expect_close(got, wanted, "The result")


def test_an_answer_that_returns_nothing_is_asked_for_its_return():
    with pytest.raises(Wrong, match="does it end with return"):
        answers.call(lambda: None)
