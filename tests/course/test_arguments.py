"""What checks call answers with: it differs from secret to secret, and whoever ignores a part of it is wrong."""

import inspect
import re
from collections import defaultdict

import numpy as np
import pytest
import torch
from torch import nn

from resnorm_lib.checks.judge.answers import HIDDEN
from tests.book.answers import EXERCISES
from tests.course.test_graders import OTHER_KINDS, right_answers, wrong_answers

each_check = pytest.mark.parametrize("check", EXERCISES, ids=lambda check: check.__name__)
SECRETS = ("one", "two", "three")

# Constant by the exercise's statement: one of a few words, or all there is to try.
WORDS = {"kind", "place", "optimizer", "name", "scheme"}
CONSTANT = {
    ("check_stochastic_round", "noise"): "all 65536 values that noise can have",
    ("check_bottleneck", "stride"): "1 and 2, as in every ResNet",
    ("check_split_layer_norm", "all_reduce"): "a sum over devices, and nothing else",
    ("check_copying_blocks", "deep"): "what it holds is overwritten",
    ("check_first_leak", "model"): "where it looks ahead is its own, and drawn",
}
# Two arguments of which one may be replaced, and nothing changes: the answer depends on a shape or a place alone.
HARMLESS = {
    ("check_fixup_start", "head"): "it becomes 0, whatever it was",
    ("check_first_leak", "tokens"): "models are causal, or not, whatever they read",
    ("check_copying_blocks", "deep"): "what it holds is overwritten",
    ("check_chunk_to_send", "processes"): "a ring may go on counting: only the remainder is sent",
}
# Lengths of an axis that the exercise names.
LENGTHS = {
    ("check_gate", "W", 0): "one matrix each of r, z and the candidate",
    ("check_gate", "U", 0): "one matrix each of r, z and the candidate",
    ("check_suppress", "boxes", 1): "the four sides of a box",
    ("check_stochastic_round", "x", 0): "the length of noise",
}


def called(right, seen):
    """Return a right answer that writes down what it is called with."""

    def answer(*arguments):
        seen.append(arguments)
        return right(*arguments)

    answer.expansion = getattr(right, "expansion", None)
    return answer


def asked(check, seed=None):
    seen = []
    assert check(called(EXERCISES[check][0], seen), seed=seed)
    return seen


def names(check):
    """Return how an answer's arguments are called, in the order in which it gets them."""
    right = EXERCISES[check][0]
    count = len(asked(check)[0])
    return [*inspect.signature(right).parameters][:count]


def leaf_values(value):
    """Yield every number, text and array in an argument."""
    if isinstance(value, nn.Module):
        yield from (each.numpy() for each in value.state_dict().values())
        yield from (str(each) for name, each in sorted(vars(value).items()) if isinstance(each, int | float))
    elif isinstance(value, list | tuple):
        yield len(value)
        for each in value:
            yield from leaf_values(each)
    elif isinstance(value, torch.Tensor):
        yield value.detach().double().numpy()
    elif not callable(value):
        yield value


def what_differs(one, other):
    """Say of two lists of calls what differs in an argument: its numbers, its shape."""
    found = set()
    for first, second in zip(one, other):
        a, b = [*leaf_values(first)], [*leaf_values(second)]
        if [np.shape(each) for each in a] != [np.shape(each) for each in b]:
            found |= {"shape", "numbers"}
        elif any(np.any(x != y) for x, y in zip(a, b)):
            found.add("numbers")
    return found


@each_check
def test_every_argument_differs_between_the_examples_and_two_secrets(check):
    faces = [asked(check, seed) for seed in (None, *SECRETS)]
    for place, name in enumerate(names(check)):
        if name in WORDS or (check.__name__, name) in CONSTANT:
            continue
        columns = [[call[place] for call in face] for face in faces]
        if all(callable(each) and not isinstance(each, nn.Module) for each in columns[0]):
            continue  # a function shows in what is computed with it: the next test replaces it
        for column in columns[1:]:
            assert "numbers" in what_differs(columns[0], column), name
        if (check.__name__, name, 0) not in LENGTHS and any(
            np.ndim(leaf) for each in columns[0] for leaf in leaf_values(each)
        ):
            assert any("shape" in what_differs(columns[0], column) for column in columns[1:]), f"the shape of {name}"


def fitted(seen, wanted):
    """Return the value of the example in the shape and dtype of an argument, so that no shape gives it away."""
    if isinstance(wanted, torch.Tensor):
        filled = np.resize(seen.detach().double().numpy(), tuple(wanted.shape))
        return torch.as_tensor(filled).to(wanted.dtype) if wanted.ndim else seen.to(wanted.dtype)
    if isinstance(wanted, np.ndarray):
        return np.resize(seen, wanted.shape).astype(wanted.dtype)
    return seen


def ignoring(right, place, seen):
    def answer(*arguments):
        mine = list(arguments)
        mine[place] = fitted(seen, arguments[place])
        return right(*mine)

    answer.expansion = getattr(right, "expansion", None)
    return answer


@each_check
def test_whoever_ignores_an_argument_is_wrong(check):
    right, examples = EXERCISES[check][0], asked(check)
    for place, name in enumerate(names(check)):
        if (check.__name__, name) in HARMLESS or (check.__name__, name) in CONSTANT:
            continue
        for arguments in examples[:3]:
            for secret in SECRETS[:2]:
                assert not check(ignoring(right, place, arguments[place]), seed=secret), (name, arguments[place])


def insisting(right, place, axis, lengths):
    """Return a right answer that knows the lengths of an axis which the examples have."""

    def answer(*arguments):
        if arguments[place].shape[axis] not in lengths:
            raise ValueError("another shape")
        return right(*arguments)

    return answer


@each_check
def test_whoever_knows_the_shapes_of_the_examples_alone_is_wrong(check):
    right, examples = EXERCISES[check][0], asked(check)
    for place, name in enumerate(names(check)):
        if not isinstance(examples[0][place], torch.Tensor | np.ndarray) or (check.__name__, name) in CONSTANT:
            continue
        for axis in range(examples[0][place].ndim):
            lengths = {call[place].shape[axis] for call in examples if axis < call[place].ndim}
            if lengths == {1} or (check.__name__, name, axis) in LENGTHS:
                continue  # a column, or as the exercise says
            answer = insisting(right, place, axis, lengths)
            assert not all(check(answer, seed=secret) for secret in SECRETS), (name, axis)


def told(check):
    """Yield what the hidden face says of wrong answers: those of the book, and those made of right ones."""
    right, wrong = EXERCISES[check]
    made = [answer for _, answer in wrong_answers(right, check)]
    for answer in (*wrong, *made):
        for secret in SECRETS[:2]:
            yield check(answer, seed=secret).sentence


NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e[+-]?\d+)?")


@each_check
def test_the_hidden_face_says_no_number_that_was_drawn(check):
    """A number that is part of a sentence stays; one that was drawn, or is expected, would be another each time."""
    numbers = defaultdict(set)
    for sentence in told(check):
        assert sentence == HIDDEN or not re.search(r", but it must be (an?\s)?[-\d(\[]", sentence), sentence
        numbers[NUMBER.sub("#", sentence)].add(tuple(NUMBER.findall(sentence)))
    assert not {sentence: found for sentence, found in numbers.items() if len(found) > 1}


@each_check
def test_right_answers_are_right_for_every_secret(check):
    for answer in right_answers(check):
        for secret in SECRETS[1:]:
            assert check(answer, seed=secret), secret


def test_a_right_answer_is_at_hand_wherever_numbers_are_compared():
    """From it the common mistakes are made; the others have answers that are objects, words, or a choice."""
    without = {check.__name__ for check in EXERCISES if check.right is None}
    choices = {"check_verdict", "check_causal_mask", "check_twins", "check_first_leak", "check_suppress"}
    trials = {"check_stochastic_round", "check_chunk_to_send", "check_measured_factors"}
    assert without == OTHER_KINDS - {"check_fold"} | choices | trials | {"check_fold"}


def test_an_answer_that_ignores_eps_is_told_so_by_name():
    found = []
    for check, (right, _) in EXERCISES.items():
        places = [place for place, name in enumerate(names(check)) if name == "eps"]
        for place in places if check.right else ():

            def answer(*arguments, place=place, right=right):
                return right(*arguments[:place], 0.0, *arguments[place + 1 :])

            found.append("eps" in check(answer).sentence)
    assert len(found) >= 6
    assert sum(found) >= len(found) - 1  # in float16, with rows of zeros, 0 / 0 comes first


def test_an_axis_that_is_another_is_told_by_name():
    check = next(check for check in EXERCISES if check.__name__ == "check_layer_norm_backward")

    def by_columns(dy, x, weight, eps):
        x_hat = (x - x.mean(0)) / (x.var(0, correction=0) + eps).sqrt()
        sigma, g = (x.var(0, correction=0) + eps).sqrt(), dy * weight
        dx = (g - g.mean(0) - x_hat * (g * x_hat).mean(0)) / sigma
        return dx, (dy * x_hat).sum(0), dy.sum(0)

    def outside(dy, x, weight, eps, gain=False):
        sigma = x.std(-1, correction=0, keepdim=True) + (0 if gain else eps)
        sigma = (sigma.square() + eps).sqrt() if gain else sigma
        x_hat, g = (x - x.mean(-1, keepdim=True)) / sigma, dy * weight
        dx = (g - g.mean(-1, keepdim=True) - x_hat * (g * x_hat).mean(-1, keepdim=True)) / sigma
        return dx, (dy * x_hat).sum(0) * (weight if gain else 1), dy.sum(0)

    assert "another axis: axis 0 in the place of axis 1" in check(by_columns).sentence
    assert "eps beside the root" in check(outside).sentence
    assert check(lambda *a: outside(*a, gain=True)).sentence.endswith("is multiplied by weight once too often.")
