"""Drawings of blocks, made from the same rows of steps that a chapter runs: one look for all of them.

A row of steps is a text such as ``"split N F add"``, read from the input to the output. ``split`` is the point where
the shortcut leaves the stream, ``add`` the sum where it comes back; names that begin with N are norms, and ``alpha``
is a factor on the shortcut. All other names are boxes of the branch.

:func:`draw_graph` draws single values instead of layers: each in a box, with an arrow to every step that reads it.
"""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from resnorm_lib.plot import COLORS, readable

__all__ = ["draw_block", "draw_graph", "draw_steps"]

LABELS = {"N0": "$N_0$", "N2": "$N_2$", "W1": "$W_1$", "W2": "$W_2$", "add": "+", "relu": "ReLU"}
LABELS |= {"alpha": r"$\times\,\alpha$", "shrink": r"$/\sqrt{\ell}$"}
LINE = {"color": COLORS["ink"], "lw": 1.4, "zorder": 1, "ls": "-", "marker": ""}
ARROW = {"arrowstyle": "->", "lw": 1.4, "color": COLORS["ink"], "shrinkA": 0, "shrinkB": 0}
SIDE = -1.0  # where the shortcut runs; the branch is at 0

Place = tuple[float, float]  # on the axes, in steps


def draw_steps(ax: Axes, steps: str, y: float = 0.0, labels: Mapping[str, str] | None = None) -> float:
    """Draw a row of steps from height ``y`` upwards, and return the height where it ends.

    A step takes one unit of height, ``split`` half of one. ``labels`` says what is written into a box, by step.

    Examples
    --------
    >>> from resnorm_lib.plot import figure
    >>> draw_steps(figure()[1], "split N F add")
    3.5
    """
    labels = LABELS | dict(labels or {})
    fork = y
    for step in steps.split():
        if step == "alpha":  # stands on the shortcut
            _box(ax, SIDE, fork + 0.9, step, labels)
            continue
        rise = 0.5 if step == "split" else 1.0
        ax.plot((0, 0), (y, y + rise), **LINE)
        if step == "split":
            fork = y + 0.25
            ax.plot(0, fork, marker="o", ms=4, color=COLORS["ink"], zorder=2)
        elif step == "add":
            ax.plot((0, SIDE, SIDE), (fork, fork, y + 0.5), **LINE)
            ax.annotate("", (0, y + 0.5), (SIDE, y + 0.5), arrowprops=ARROW | {"shrinkB": 8})
        if step != "split":
            _box(ax, 0, y + 0.5, step, labels)
        y += rise
    return y


def draw_block(
    ax: Axes,
    placement: tuple[str, str, str],
    title: str,
    height: float,
    labels: Mapping[str, str] | None = None,
    repeated: str = "$L\\,\\times$",
) -> None:
    """Draw what stands before the blocks, one block in a grey frame, and what comes after the last.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    placement : tuple of three str
        The steps before the first block, those of each block, and those after the last.
    title : str
    height : float
        Of the drawing in steps; give the drawings of one row the same.
    labels : mapping of str to str, optional
        What is written into a box, by step.
    repeated : str
        What the corner of the frame says, by default that the block stands L times.
    """
    before, block, after = placement
    bottom = draw_steps(ax, before, labels=labels)
    ax.plot((0, 0), (bottom, bottom + 0.3), **LINE)
    top = draw_steps(ax, block, bottom + 0.3, labels)
    frame = {"fc": "#F2F2F2", "ec": "#BBBBBB", "zorder": 0}
    ax.add_patch(Rectangle((-1.6, bottom + 0.15), 2.5, top - bottom, **frame))
    ax.text(0.8, bottom + 0.25, repeated, ha="right", va="bottom", size=9)
    end = draw_steps(ax, after, top, labels)
    ax.annotate("", (0, end + 0.7), (0, end - 0.1), arrowprops=ARROW)
    ax.set(xlim=(-1.75, 1.05), ylim=(-0.2, height), title=title)
    ax.axis("off")


def draw_graph(
    ax: Axes,
    places: Mapping[str, Place],
    boxes: Mapping[str, tuple[str, str]],
    edges: Mapping[tuple[str, str], str],
    around: Mapping[tuple[str, str], float] | None = None,
) -> None:
    """Draw values as boxes and who reads them as arrows, with forward values in blue and gradients in vermilion.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    places : mapping of str to pair of float
        Where the box of each value stands.
    boxes : mapping of str to pair of str
        Two lines for each value: what it is on the way forward, and its gradient.
    edges : mapping of (str, str) to str
        An arrow for each ``(value, reader)``, and what is written beside it: the part of the gradient that comes back.
    around : mapping of (str, str) to float, optional
        Arrows that go around the others, and where on the horizontal axis.

    Raises
    ------
    ValueError
        If an edge begins or ends at a value that has no place.

    Examples
    --------
    >>> from resnorm_lib.plot import figure
    >>> draw_graph(figure()[1], {"x": (0, 0), "y": (0, 1)}, {"x": ("1", "2"), "y": ("2", "1")}, {("x", "y"): "2"})
    """
    for edge in edges:
        if not set(edge) <= set(places):
            raise ValueError(f"edges has {edge}, but its ends must be among {', '.join(places)}.")
    for edge, text in edges.items():
        _arrow(ax, places[edge[0]], places[edge[1]], text, (around or {}).get(edge))
    for name, lines in boxes.items():
        x, y = places[name]
        style = {"boxstyle": "round,pad=0.45", "fc": "white", "ec": COLORS["ink"], "lw": 1.4}
        ax.text(x, y, "\n".join(lines), ha="center", va="center", size=9, color="none", bbox=style, zorder=3)
        for line, side, color in zip(lines, ("bottom", "top"), ("blue", "vermilion")):
            ax.text(x, y, line, ha="center", va=side, size=9, color=readable(COLORS[color]), zorder=4)
    ax.axis("off")


def _arrow(ax: Axes, start: Place, end: Place, text: str, around: float | None) -> None:
    """Draw a line with its head and its text half-way; ``around`` is where a detour runs."""
    path = [start, end] if around is None else [start, (around, start[1]), (around, end[1]), end]
    ax.plot(*zip(*path), **LINE)
    (x, y), (x_to, y_to) = path[len(path) // 2 - 1 : len(path) // 2 + 1]
    middle = ((x + x_to) / 2, (y + y_to) / 2)
    ax.annotate("", middle, ((x + middle[0]) / 2, (y + middle[1]) / 2), arrowprops=ARROW)
    style = {"boxstyle": "square,pad=0.15", "fc": "white", "ec": "none"}
    side, align = (-0.12, "right") if x_to < x else (0.12, "left")  # the side on which an arrow that leans leaves room
    under = (middle[0] + side, middle[1] - 0.1)
    ax.text(*under, text, ha=align, va="top", size=9, color=readable(COLORS["vermilion"]), bbox=style, zorder=2)


def _box(ax: Axes, x: float, y: float, step: str, labels: Mapping[str, str]) -> None:
    """Norms are blue and round, the plus is a circle, all else is vermilion and square."""
    color, shape = "vermilion", "square,pad=0.3"
    if step.startswith("N"):
        color, shape = "blue", "round,pad=0.3"
    if step == "add":
        color, shape = "ink", "circle,pad=0.1"
    style = {"boxstyle": shape, "fc": "white", "ec": COLORS[color], "lw": 1.6}
    ax.text(x, y, labels.get(step, f"${step}$"), ha="center", va="center", size=10, bbox=style, zorder=3)
