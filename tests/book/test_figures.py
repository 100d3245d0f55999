"""Two runs of one plot give the same picture; a plot that changed is named."""

import base64
import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.book import planted
from tests.book.figures import LARGEST_RMS, figure_problems, pictures, root_mean_square


def draw(factor=1.0, size=(6.4, 3.6), label="0.12"):
    """Plot one line; the output is what a notebook would store."""
    figure = Figure(figsize=size, dpi=100)
    axes = figure.subplots()
    x = np.linspace(0, 1, 50)
    axes.plot(x, factor * x**2)
    axes.text(0.2, 1.5, label)
    axes.set(xlabel="x", ylabel="y", ylim=(0, 2))
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return planted.data("image/png", base64.b64encode(file.getvalue()).decode())


def test_the_same_code_draws_the_same_pixels():
    [before, after] = pictures([draw(), draw()])
    assert root_mean_square(before, after) == 0.0
    assert figure_problems([draw()], [draw()]) == []


def test_a_curve_that_moved_is_named():
    [problem] = figure_problems([draw()], [draw(factor=1.5)])
    assert problem.startswith("figure 1 differs from the stored one by ")


def test_a_curve_that_moved_by_two_percent_is_still_named():
    [before, after] = pictures([draw(), draw(factor=1.02)])
    assert root_mean_square(before, after) > LARGEST_RMS


def test_one_digit_that_changed_in_a_label_is_named():
    assert figure_problems([draw()], [draw(label="0.13")])


def test_a_figure_of_another_size_is_named():
    assert figure_problems([draw()], [draw(size=(6.4, 4.8))]) == [
        "figure 1 is stored as 640 x 360 pixels, but the code draws 640 x 480."
    ]


@pytest.mark.parametrize(("stored", "drawn"), [(2, 1), (1, 2), (0, 1)])
def test_a_missing_figure_is_named(stored, drawn):
    problem = f"{stored} figures are stored, but the code draws {drawn}."
    assert figure_problems([draw()] * stored, [draw()] * drawn) == [problem]


def test_text_beside_a_figure_is_left_to_nbval():
    assert figure_problems([planted.stream("a"), draw()], [planted.stream("b"), draw()]) == []
