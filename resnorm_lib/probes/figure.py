"""The figure of a report: the statistics of its streams by depth."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from resnorm_lib.probes.report import Report
from resnorm_lib.probes.rows import Stream

if TYPE_CHECKING:  # matplotlib is imported when something is drawn
    from matplotlib.figure import Figure

__all__ = ["draw"]

COLORS = ("blue", "vermilion", "green")  # more streams than these are left to the table
PANELS = {
    "rms": ("rms of the stream (log)", "log"),
    "gradient_norm": ("gradient norm (log)", "log"),
    "branch_ratio": ("branch / stream (log)", "log"),
    "cosine": ("cosine of branch, stream", "linear"),
    "gradient_correlation": ("gradient correlation", "linear"),
    "token_rank": ("token rank", "linear"),
}


def draw(report: Report) -> "Figure":
    """Return a figure with a panel for every statistic that was measured, a line for every stream."""
    import matplotlib.pyplot as plt

    streams = report.streams[: len(COLORS)]
    shown = [field for field in PANELS if any(_line(stream, field)[0] for stream in streams)]
    if not shown:
        raise ValueError("there is nothing to draw: no residual stream was found (findings() says more).")
    with plt.rc_context():  # the house style is of this figure alone
        fig = _panels(streams, shown)
        fig.draw_without_rendering()  # axes make their ticks when first drawn, in the style of that moment
    return fig


def _panels(streams: Sequence[Stream], shown: list[str]) -> "Figure":
    from resnorm_lib.plot import figure, style_of

    rows = -(-len(shown) // 2)
    fig, axes = figure(rows, 2, size=(7.2, 2.2 * rows), squeeze=False)
    for ax, field in zip(axes.flat, shown):
        label, scale = PANELS[field]
        for stream, color in zip(streams, COLORS):
            depths, values = _line(stream, field)
            ax.plot(depths, values, label=stream.name, markevery=-(-len(depths) // 12) or 1, **style_of(color))
        ax.set(xlabel=r"depth $\ell$ (blocks)", ylabel=label, yscale=scale)
        ax.xaxis.get_major_locator().set_params(integer=True)
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    if len(streams) > 1:
        axes.flat[0].legend(fontsize="small")
    return fig


def _line(stream: Stream, field: str) -> tuple[list[int], list[float]]:
    """Return depths and values of one statistic where it was measured; on a log axis only where it is positive."""
    log = PANELS[field][1] == "log"
    known = [(p.depth, getattr(p, field)) for p in stream.points if getattr(p, field) is not None]
    known = [(depth, value) for depth, value in known if not log or value > 0]
    return [depth for depth, _ in known], [value for _, value in known]
