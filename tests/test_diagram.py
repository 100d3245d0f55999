"""A drawing shows the steps that it is given: boxes in their order, and a shortcut that leaves before the branch."""

import matplotlib.pyplot as plt
import pytest

from resnorm_lib import plot
from resnorm_lib.diagram import draw_block, draw_steps


@pytest.fixture
def ax():
    fig, axes = plot.figure()
    yield axes
    plt.close(fig)


def heights(ax):
    return {text.get_text(): text.get_position()[1] for text in ax.texts if text.get_text()}


def test_boxes_stand_in_the_order_of_the_steps(ax):
    draw_steps(ax, "split N F N2 add")
    at = heights(ax)
    assert at["$N$"] < at["$F$"] < at["$N_2$"] < at["+"]


@pytest.mark.parametrize(("steps", "passed"), [("split N F add", ["$N$", "$F$"]), ("N split F add", ["$F$"])])
def test_the_shortcut_leaves_below_the_boxes_that_it_passes_and_ends_in_the_sum(steps, passed, ax):
    draw_steps(ax, steps)
    [(_, ys)] = [line.get_data() for line in ax.lines if len(line.get_xdata()) == 3]
    at = heights(ax)
    assert [name for name, y in at.items() if ys[0] < y < ys[-1]] == passed
    assert ys[-1] == at["+"]


def test_without_an_add_there_is_no_shortcut(ax):
    draw_steps(ax, "N F")
    assert not [line for line in ax.lines if min(line.get_xdata()) < 0]


def test_the_frame_holds_the_block_and_nothing_else(ax):
    draw_block(ax, ("N0", "split F add", "N"), "peri", 6)
    [frame] = ax.patches
    bottom, top = frame.get_y(), frame.get_y() + frame.get_height()
    at = heights(ax)
    assert at["$N_0$"] < bottom < at["$F$"] < at["+"] < top < at["$N$"]


def test_a_box_says_what_its_label_says(ax):
    draw_steps(ax, "N F", labels={"N": "BN"})
    assert list(heights(ax)) == ["BN", "$F$"]
