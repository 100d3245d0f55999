"""Checks for the exercises of "Fast on a GPU"."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from resnorm_lib.checks.judge.answers import Wrong, call, expect_close
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_backward_bytes", "check_merge"]

Triple = tuple[int, float, float]  # of a chunk: count, mean, sum of squared deviations


def _bytes(rows: int, columns: int, itemsize: int, programs: int) -> int:
    return 3 * rows * columns * itemsize + 8 * rows + 16 * programs * columns


@exercise("exercise-fast-bytes", points=1, right=_bytes)
def check_backward_bytes(answer: Callable, face: Draw) -> str:
    """Check ``answer(rows, columns, itemsize, programs)``: bytes of a persistent backward pass of LayerNorm.

    The verdict is wrong if a number of bytes is wrong.
    """
    half = "Not all partial sums: float32 whatever the tensors are, written and read, for the gain and for the offset."
    cases = ((64, 32, 4, 3), (4096, 1024, 2, 132))
    for rows, columns, itemsize, programs in face.cases(*cases, drawn=lambda: _launch(face)):
        tensors, statistics = 3 * rows * columns * itemsize, 8 * rows
        partials = 16 * programs * columns
        total = tensors + statistics + partials
        mistakes = [
            (total - partials, "The partial sums are missing: each program writes a line, and all lines are read."),
            (total - partials / 2, half),
            (total - partials + partials * itemsize / 4, half),
            (total - statistics, "The statistics are missing: mean and 1/sigma of each row, in float32."),
            (total - tensors / 3, "Three tensors move: x and dy are read, dx is written."),
            (total + 2 * tensors / 3, "x and dy are read once: the sums over rows come from the same read."),
        ]
        mistakes = [mistake for mistake in mistakes if mistake[0] != total]
        got = call(answer, rows, columns, itemsize, programs)
        what = f"For {rows} rows of {columns} and {programs} programs, the number of bytes"
        expect_close(got, total, what, mistakes, tolerance=1e-9)
    return "the bytes of a backward pass"


def _merged(a: Triple, b: Triple) -> Triple:
    n, delta = a[0] + b[0], b[1] - a[1]
    return n, a[1] + delta * b[0] / n, a[2] + b[2] + delta**2 * a[0] * b[0] / n


@exercise("exercise-fast-merge", points=2, right=_merged)
def check_merge(answer: Callable, face: Draw) -> str:
    """Check ``answer(a, b)``: count, mean and sum of squared deviations of two chunks together.

    The verdict is wrong if one of the three is wrong, or the answer loses the digits of numbers with a large mean.
    """
    generator = face.numpy(0)
    cases = (((3, 5), 0.0), ((8, 2), 4.0), ((64, 64), 1e8))
    for sizes, offset in face.cases(*cases, drawn=lambda: _chunks(face)):
        a, b = (generator.standard_normal(size) + offset + shift for size, shift in zip(sizes, (0, 1)))
        triples = [(len(chunk), chunk.mean(), np.square(chunk - chunk.mean()).sum()) for chunk in (a, b)]
        result = call(answer, *triples)
        if not isinstance(result, tuple | list) or len(result) != 3:
            raise Wrong("The answer must be a triple: count, mean, and sum of squared deviations.")
        if offset == 1e8:
            _expect_digits(result, a, b)
        else:
            _expect_statistics(result, triples, np.concatenate([a, b]))
    return "the statistics of two chunks together"


def _launch(face: Draw) -> tuple[int, int, int, int]:
    """Return rows, columns, bytes of a number, and programs."""
    return face.integer(100, 9000), face.integer(64, 4096), face.choice([2, 4]), face.integer(2, 200)


def _chunks(face: Draw) -> tuple[tuple[int, int], float]:
    """Return the sizes of two chunks, and where they lie; in float64 sometimes far from 0."""
    far = face.choice([0.0, 3.0, 1e8]) if face.dtype == torch.float64 else 3.0
    return (face.integer(2, 40), face.integer(2, 40)), far


def _expect_statistics(result: Sequence[float], triples: Sequence[Triple], both: np.ndarray) -> None:
    (n, mean, squares), mean_of_means = result, (triples[0][1] + triples[1][1]) / 2
    inner, delta = triples[0][2] + triples[1][2], triples[1][1] - triples[0][1]
    expect_close(n, len(both), "The count")
    expect_close(
        mean, both.mean(), "The mean", [(mean_of_means, "Weigh the means by their counts: chunks differ in size.")]
    )
    mistakes = [
        (inner, "The chunks' means differ, and that adds to the squares: a term with delta squared is missing."),
        (inner + delta**2, "The term with delta squared needs its factor, n_a n_b / n."),
        (inner + delta**2 * len(both), "The factor of delta squared is n_a n_b / n, not n."),
    ]
    expect_close(squares, np.square(both - both.mean()).sum(), "The sum of squared deviations", mistakes)


def _expect_digits(result: Sequence[float], a: np.ndarray, b: np.ndarray) -> None:
    """With a mean of 1e8, sums of squares have no digit left for the deviations."""
    both = np.concatenate([a, b])
    wanted = np.square(both - both.mean()).sum()
    if not abs(result[2] - wanted) <= 1e-3 * wanted:
        raise Wrong("With a mean of 1e8 the squares are lost: do not form sums of x^2, add n_a n_b / n times delta^2.")
