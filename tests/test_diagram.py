"""A drawing shows the steps that it is given: boxes in their order, and a shortcut that leaves before the branch."""

import matplotlib.pyplot as plt
import pytest

from resnorm_lib import plot
from resnorm_lib.diagram import draw_block, draw_graph, draw_steps


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


FORK = {"x": (0, 0), "f": (0, 2), "y": (0, 4)}


def test_a_graph_shows_values_gradients_and_what_comes_back_along_each_arrow(ax):
    edges = {("x", "f"): "3", ("f", "y"): "1", ("x", "y"): "1"}
    draw_graph(ax, FORK, {"x": ("x = 2", "dx = 4"), "f": ("f = 6", "df = 1")}, edges, around={("x", "y"): -2})
    at = heights(ax)
    assert at["x = 2"] == at["dx = 4"] < at["3"] < at["f = 6"]
    [(xs, ys)] = [line.get_data() for line in ax.lines if len(line.get_xdata()) == 4]
    assert (list(xs), list(ys)) == ([0, -2, -2, 0], [0, 0, 4, 4])


def test_an_arrow_to_nowhere_is_refused(ax):
    with pytest.raises(ValueError, match=r"edges has \('x', 'z'\), but its ends must be among x, f, y\."):
        draw_graph(ax, FORK, {}, {("x", "z"): "1"})
