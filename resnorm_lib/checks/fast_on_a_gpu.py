"""Checks for the exercises of "Fast on a GPU"."""

import numpy as np

from resnorm_lib.checks.answers import Wrong, call, expect_close
from resnorm_lib.checks.registry import exercise

__all__ = ["check_backward_bytes", "check_merge"]


@exercise("exercise-fast-bytes", points=1)
def check_backward_bytes(answer):
    """Check ``answer(rows, columns, itemsize, programs)``: bytes of a persistent backward pass of LayerNorm.

    The verdict is wrong if a number of bytes is wrong.
    """
    half = "Not all partial sums: float32 whatever the tensors are, written and read, for the gain and for the offset."
    for rows, columns, itemsize, programs in ((64, 32, 4, 3), (4096, 1024, 2, 132)):
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


@exercise("exercise-fast-merge", points=2)
def check_merge(answer):
    """Check ``answer(a, b)``: count, mean and sum of squared deviations of two chunks together.

    The verdict is wrong if one of the three is wrong, or the answer loses the digits of numbers with a large mean.
    """
    generator = np.random.default_rng(0)
    for sizes, offset in (((3, 5), 0.0), ((8, 2), 4.0), ((64, 64), 1e8)):
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


def _expect_statistics(result, triples, both):
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


def _expect_digits(result, a, b):
    """With a mean of 1e8, sums of squares have no digit left for the deviations."""
    both = np.concatenate([a, b])
    wanted = np.square(both - both.mean()).sum()
    if not abs(result[2] - wanted) <= 1e-3 * wanted:
        raise Wrong("With a mean of 1e8 the squares are lost: do not form sums of x^2, add n_a n_b / n times delta^2.")
