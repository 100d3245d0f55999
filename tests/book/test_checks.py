"""The checks of the exercises, checked: the reference passes, the stub fails, each wrong answer is told its mistake."""

import re
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from book._tools.cells import read
from book._tools.manifest import ROOT, chapters
from resnorm_lib.checks import (
    Wrong,
    degradation,
    family_of_norms,
    layer_norm_mathematics,
    registry,
    residual_connections,
    residual_networks,
)
from resnorm_lib.checks.judge import answers
from tests.book.answers import EXERCISES


def stub(*_):
    raise NotImplementedError


@pytest.mark.parametrize("check", EXERCISES, ids=lambda check: check.__name__)
def test_the_reference_answer_is_right(check, capsys):
    verdict = check(EXERCISES[check][0])
    assert verdict
    assert repr(verdict) == f"right: {verdict.sentence}"
    assert capsys.readouterr().out == ""


def in_float32_and_lists(result):
    """The same answer, its float64 as float32 and its tuples as lists."""
    if isinstance(result, tuple | list):
        return [in_float32_and_lists(part) for part in result]
    if isinstance(result, float):
        return np.float32(result)
    if isinstance(result, np.ndarray | np.floating) and result.dtype == np.float64:
        return result.astype(np.float32)
    return result.float() if isinstance(result, torch.Tensor) and result.dtype == torch.float64 else result


@pytest.mark.parametrize("check", EXERCISES, ids=lambda check: check.__name__)
def test_a_right_answer_may_come_in_float32_and_as_a_list(check):
    answer = EXERCISES[check][0]
    if not isinstance(answer, type):
        assert check(lambda *arguments: in_float32_and_lists(answer(*arguments)))


@pytest.mark.parametrize("check", EXERCISES, ids=lambda check: check.__name__)
def test_what_is_no_number_is_told_so_and_raises_nothing(check):
    assert not check(lambda *_: "no number")


@pytest.mark.parametrize("check", EXERCISES, ids=lambda check: check.__name__)
def test_the_stub_is_no_answer(check):
    assert not check(stub)
    assert repr(check(stub)).startswith("not yet: There is no answer yet")


WRONG = [
    pytest.param(check, answer, told, id=f"{check.__name__}-{told}")
    for check, (_, wrong) in EXERCISES.items()
    for answer, told in wrong.items()
]


@pytest.mark.parametrize(("check", "answer", "told"), WRONG)
def test_a_wrong_answer_is_told_its_mistake(check, answer, told):
    verdict = check(answer)
    assert not verdict
    assert re.search(told, verdict.sentence)


def test_a_file_beside_the_folder_of_the_judge_is_a_chapter_s():
    files = {path.stem for path in (ROOT / "resnorm_lib/checks").glob("*.py")} - {"__init__"}
    assert files == {exercise.chapter for exercise in registry().values()}
    assert files <= {chapter.name for chapter in chapters()}


def test_every_registered_check_has_answers_here_and_only_these():
    assert {exercise.check for exercise in registry().values()} == set(EXERCISES)


def test_an_exercise_of_a_chapter_is_registered_under_its_label():
    found = registry()["exercise-degr-length"]
    assert (found.chapter, found.check) == ("degradation", degradation.check_length_after)


def test_an_error_of_the_answer_itself_is_told_with_its_line():
    def answer(g, lr, steps):
        return g / (steps - steps)

    sentence = degradation.check_length_after(answer).sentence
    assert sentence.startswith("The answer raises ZeroDivisionError in the line `return g / (steps - steps)`: ")


@pytest.mark.parametrize(
    ("got", "wanted", "told"),
    [
        ([1.0, 2.0], [1.0], r"The result has shape \(2,\), but it must be \(1,\)\."),
        ([1.0, float("nan")], [1.0, 2.0], r"The result is nan at \(1,\), but it must be 2\."),
        (3.1, 4.0, r"The result is 3\.1, but it must be 4\."),
        (torch.eye(2) * torch.tensor([5.0, 1.0]), torch.eye(2), r"The result is 5 at \(0, 0\), but it must be 1\."),
    ],
)
def test_a_difference_is_shown_where_it_is(got, wanted, told):
    with pytest.raises(Wrong, match=told):
        answers.expect_close(got, wanted, "The result")


def test_an_answer_that_returns_nothing_is_asked_for_its_return():
    with pytest.raises(Wrong, match="does it end with return"):
        answers.call(lambda: None)


SAID = {"autograd": "without autograd", "layers": "No layers", "pad": "without `functional.pad`"}


def statement(exercise):
    cells = read(ROOT / "chapters" / f"{exercise.chapter}.ipynb").cells
    return next(cell.source for cell in cells if f":label: {exercise.label}\n" in cell.source)


def test_what_a_statement_rules_out_is_what_its_check_watches():
    for exercise in registry().values():
        said = statement(exercise)
        assert set(exercise.check.without) == {rule for rule, words in SAID.items() if words in said}, exercise.label


def by_grad(y, x, *others):
    x, *others = (each.detach().clone().requires_grad_() for each in (x, *others))
    return lambda dy: torch.autograd.grad(y(x, *others), (x, *others), dy)


def block(x, weight):
    return x + x.relu() @ weight.T


def by_backward(dy, x, weight):
    x, weight = x.detach().clone(), torch.nn.Parameter(weight.clone())
    x.requires_grad = True
    block(x, weight).backward(dy)
    return x.grad, weight.grad


def norm_by(layer):
    """Return the right answer, but for layer normalization by a layer of torch's."""
    right = EXERCISES[family_of_norms.check_family][0]

    def answer(x, kind, num_groups, eps):
        return layer(x, eps) if kind == "layer" else right(x, kind, num_groups, eps)

    return answer


BROKEN = [
    (residual_connections.check_residual_backward, lambda dy, x, w: by_grad(block, x, w)(dy), "asks autograd"),
    (residual_connections.check_residual_backward, by_backward, "asks autograd"),
    (
        residual_connections.check_residual_backward,
        lambda dy, x, w: torch.func.vjp(block, x, w)[1](dy),
        "asks autograd",
    ),
    (
        layer_norm_mathematics.check_layer_norm_backward,
        lambda dy, x, w, eps: by_grad(
            lambda x, w, b: torch.nn.functional.layer_norm(x, x.shape[1:], w, b, eps), x, w, 0 * w
        )(dy),
        "asks autograd",
    ),
    (family_of_norms.check_family, norm_by(lambda x, eps: torch.nn.functional.group_norm(x, 1, eps=eps)), "own norm"),
    (family_of_norms.check_family, norm_by(lambda x, eps: torch.nn.GroupNorm(1, x.shape[1], eps).to(x)(x)), "own norm"),
    (
        residual_networks.check_pad_shortcut,
        lambda x, channels, stride: torch.nn.functional.pad(
            x[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, channels - x.shape[1])
        ),
        "own padding",
    ),
]


@pytest.mark.parametrize(("check", "answer", "told"), BROKEN)
def test_an_answer_that_does_what_is_ruled_out_is_told_so_and_is_else_right(check, answer, told, monkeypatch):
    assert told in check(answer).sentence
    assert told in check(answer, seed="one").sentence
    monkeypatch.setattr("resnorm_lib.checks.judge.answers.watched", lambda _: nullcontext([]))
    assert check(answer)
