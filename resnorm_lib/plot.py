"""The house style of every figure: Okabe-Ito colours, each with a marker and a dash of its own, and direct labels.

A figure is white with dark ink. In the dark mode of the book the page inverts its lightness.
"""

from typing import Any

import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

__all__ = ["COLORS", "figure", "label_line", "readable", "style_of"]

# Okabe and Ito (2008): readers with any of the common colour deficiencies tell them apart. Yellow would be too pale.
COLORS = {
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "orange": "#E69F00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "ink": "#222222",
}
_DASHES = ["-", (0, (6, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)), (0, (3, 1.5)), (0, (9, 3)), "-"]
_MARKERS = ["o", "s", "^", "D", "v", "P", "."]

STYLE = {
    "figure.figsize": (6.4, 3.6),
    "figure.dpi": 144,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.prop_cycle": cycler(color=list(COLORS.values())) + cycler(linestyle=_DASHES) + cycler(marker=_MARKERS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": COLORS["ink"],
    "axes.labelcolor": COLORS["ink"],
    "axes.titlesize": "medium",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "text.color": COLORS["ink"],
    "xtick.color": COLORS["ink"],
    "ytick.color": COLORS["ink"],
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "font.size": 11,
    "legend.frameon": False,
}


def figure(rows: int = 1, columns: int = 1, *, size: tuple[float, float] = (6.4, 3.6), **options) -> tuple[Figure, Any]:
    """Return ``(figure, axes)`` in the house style; ``options`` go to :func:`matplotlib.pyplot.subplots`.

    Parameters
    ----------
    rows, columns : int
        Number of panels.
    size : pair of float
        Width and height in inches.

    Examples
    --------
    >>> fig, ax = figure()
    >>> ax.get_facecolor()
    (1.0, 1.0, 1.0, 1.0)
    >>> plt.close(fig)
    """
    plt.rcParams.update(STYLE)
    return plt.subplots(rows, columns, figsize=size, layout="constrained", **options)


def style_of(name: str) -> dict[str, Any]:
    """Return colour, dash and marker of one name of ``COLORS``, to draw the same thing alike in every figure.

    Raises
    ------
    ValueError
        If there is no such colour.

    Examples
    --------
    >>> style_of("blue")["marker"]
    'o'
    """
    if name not in COLORS:
        raise ValueError(f"name is {name!r}, but it must be one of {', '.join(COLORS)}.")
    place = list(COLORS).index(name)
    return {"color": COLORS[name], "linestyle": _DASHES[place], "marker": _MARKERS[place]}


def readable(color: str) -> str:
    """Return ``color``, darkened until text in it has a contrast of 4.5 to 1 on white (WCAG 2.1, level AA).

    Examples
    --------
    >>> readable("#222222")
    '#222222'
    >>> readable("#56B4E9")
    '#3c7da2'
    """
    channels = to_rgb(color)
    while _contrast_on_white(channels) < 4.5:
        channels = tuple(0.98 * channel for channel in channels)
    return to_hex(channels)


def _contrast_on_white(channels: tuple[float, ...]) -> float:
    """Return the contrast ratio of an sRGB colour on white, as WCAG 2.1 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


def label_line(line: Line2D, text: str, *, at: int = -1, dx: float = 6, dy: float = 0) -> None:
    """Write ``text`` beside a point of ``line``, in its :func:`readable` colour: a label that needs no legend.

    Parameters
    ----------
    line : matplotlib.lines.Line2D
    at : int
        Index of the point, by default the last.
    dx, dy : float
        Offset in points. A negative ``dx`` puts the text to the left of the point.
    """
    x, y = line.get_xdata()[at], line.get_ydata()[at]
    side = "left" if dx >= 0 else "right"
    style = {"color": readable(line.get_color()), "ha": side, "va": "center"}
    line.axes.annotate(text, (x, y), xytext=(dx, dy), textcoords="offset points", annotation_clip=False, **style)
