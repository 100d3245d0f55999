"""What the second bank calls answers with: it differs from secret to secret, and whoever ignores a part is wrong."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from tests.course import variants
from tests.course.test_arguments import SECRETS, fitted, what_differs
from tests.course.test_bank import CHECKS, HELD, each_exercise

# Lengths that the exercise names, and arguments that it fixes: (label, way of the call, place, axis or None).
NAMED = {}


def recorded(right, seen):
    """Return a right answer that writes down what it is called with, and what its modules are."""
    if not isinstance(right, type):
        return lambda *arguments: (seen.append(("call", arguments)), right(*arguments))[1]

    class Recorded(right):
        def __init__(self, *arguments):
            seen.append(("new", arguments))
            super().__init__(*arguments)

        def forward(self, *arguments):
            seen.append(("forward", arguments))
            return super().forward(*arguments)

    return Recorded


def changed(right, way, change):
    """Return a right answer whose arguments are changed on one way into it."""
    if not isinstance(right, type):
        return lambda *arguments: right(*change(arguments))

    class Changed(right):
        def __init__(self, *arguments):
            super().__init__(*(change(arguments) if way == "new" else arguments))

        def forward(self, *arguments):
            return super().forward(*(change(arguments) if way == "forward" else arguments))

    return Changed


def asked(label, seed=None):
    """Return the arguments of every call, by the way of the call."""
    seen = []
    assert CHECKS[label](recorded(HELD[label].right[0], seen), seed=seed)
    return {way: [arguments for each, arguments in seen if each == way] for way, _ in seen}


def places(faces):
    """Yield each way of a call with each place of an argument, and what stood there, by face."""
    for way in faces[0]:
        for place in range(min(len(call) for face in faces for call in face[way])):
            yield way, place, [[call[place] for call in face[way]] for face in faces]


def is_function(value):
    return callable(value) and not isinstance(value, nn.Module)


@each_exercise
def test_every_argument_and_every_length_differs_between_the_examples_and_three_secrets(label):
    faces = [asked(label, seed) for seed in (None, *SECRETS)]
    for way, place, columns in places(faces):
        if is_function(columns[0][0]) or (label, way, place, None) in NAMED:
            continue
        for column in columns[1:]:
            assert "numbers" in what_differs(columns[0], column), (way, place)
        arrays = [each for column in columns for each in column if isinstance(each, torch.Tensor | np.ndarray)]
        for axis in range(min((each.ndim for each in arrays), default=0)):
            if (label, way, place, axis) not in NAMED:
                assert len({each.shape[axis] for each in arrays}) > 1, f"{way}: axis {axis} of argument {place}"


@each_exercise
def test_whoever_ignores_an_argument_is_wrong(label):
    examples = asked(label)
    for way, place, (column,) in places([examples]):
        if is_function(column[0]) or isinstance(column[0], nn.Module) or (label, way, place, None) in NAMED:
            continue
        for mine in column[:3]:
            answer = changed(
                HELD[label].right[0],
                way,
                lambda a, place=place, mine=mine: (*a[:place], fitted(mine, a[place]), *a[place + 1 :]),
            )
            assert not all(CHECKS[label](answer, seed=secret) for secret in SECRETS), (way, place, mine)


@each_exercise
def test_whoever_knows_the_shapes_of_the_examples_alone_is_wrong(label):
    examples = asked(label)
    for way, place, (column,) in places([examples]):
        if not isinstance(column[0], torch.Tensor | np.ndarray):
            continue
        for axis in range(column[0].ndim):
            lengths = {each.shape[axis] for each in column if axis < each.ndim}
            if (label, way, place, axis) in NAMED:
                continue

            def known(arguments, place=place, axis=axis, lengths=lengths):
                if arguments[place].shape[axis] not in lengths:
                    raise ValueError("another shape")
                return arguments

            answer = changed(HELD[label].right[0], way, known)
            assert not all(CHECKS[label](answer, seed=secret) for secret in SECRETS), (way, place, axis)


@each_exercise
def test_results_of_a_classmate_are_worth_nothing(label):
    if isinstance(HELD[label].right[0], type):
        pytest.skip("its answers are classes")
    answer = variants.replayed(HELD[label].right[0], CHECKS[label])
    assert not all(CHECKS[label](answer, seed=secret) for secret in SECRETS)


@each_exercise
def test_no_result_is_always_the_same(label):
    """Whoever returns the commonest result of each call has seen nothing of its arguments."""
    if isinstance(HELD[label].right[0], type):
        pytest.skip("its answers are classes")
    results, right = [], HELD[label].right[0]

    def answer(*arguments):
        result = right(*arguments)
        results[-1].append(repr(result))
        return result

    for secret in ("four", "five", "six", "seven", "eight"):
        results.append([])
        CHECKS[label](answer, seed=secret)
    common = [Counter(column).most_common(1)[0][1] for column in zip(*results)]
    assert min(common) < 5, "what it must return does not depend on the secret"
