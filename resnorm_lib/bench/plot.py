"""The roofline plot of a record: the share of the memory's bandwidth that each operation reaches, by bytes moved."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # matplotlib is imported when something is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


__all__ = ["draw"]


def draw(path: str | Path, png: str | Path) -> "Figure":
    """Draw the record at ``path`` into the file ``png``: our forward passes on the left, backward ones on the right.

    Shares are of the nominal bandwidth, or, on a CPU, which has no such number here, of the measured copy.

    Raises
    ------
    ValueError
        If the record holds none of our rows.
    """
    import matplotlib

    matplotlib.use("Agg")
    from resnorm_lib.plot import figure

    document = json.loads(Path(path).read_text())
    rows = [row for row in document["rows"] if row["version"] == "ours"]
    if not rows:
        raise ValueError(f"{path} holds no row of ours, so that there is nothing to draw.")
    peak = document["machine"]["peak_bytes_per_s"]
    copy = document["machine"]["copy_bytes_per_s"]
    ceiling = copy / peak if peak else 1.0
    fig, panels = figure(1, 2, size=(9.6, 4.4), sharey=True)
    for ax, direction in zip(panels, ("forward", "backward")):
        draw_panel(ax, [row for row in rows if row["direction"] == direction], peak, ceiling)
        ax.set_title(direction)
        ax.set_xlabel("bytes that must move (MB)")
    panels[0].set_ylabel("share of " + ("peak bandwidth (%)" if peak else "a copy's bandwidth (%)"))
    handles = {line.get_label(): line for ax in panels for line in ax.get_lines()}
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize="small")
    title = f"{document['machine']['device']}, {document['machine']['date'][:10]}: " + " and ".join(
        sorted({row["dtype"] for row in rows})
    )
    fig.suptitle(title, fontsize="medium")
    fig.savefig(png)
    return fig


def draw_panel(ax: "Axes", rows: list[dict], peak: float | None, ceiling: float) -> None:
    """Draw one pass: a mark for each shape and dtype, hollow once the colours begin again."""
    from resnorm_lib.bench.cases import OPS
    from resnorm_lib.plot import COLORS, style_of

    names = list(COLORS)
    for place, op in enumerate(op for op in OPS if any(row["op"] == op for row in rows)):
        points = sorted((row["floor_bytes"] / 1e6, 100 * share(row, peak)) for row in rows if row["op"] == op)
        style = style_of(names[place % len(names)])
        hollow = {"markerfacecolor": "none"} if place >= len(names) else {}
        ax.plot(*zip(*points), **style | {"linestyle": "none"}, **hollow, label=op)
    ax.axhline(100 * ceiling, color=COLORS["ink"], linewidth=1, marker="none", linestyle="-", label="measured copy")
    ax.set_xscale("log")
    ax.set_ylim(bottom=0)


def share(row: dict, peak: float | None) -> float:
    """Return the share that a row reaches, by its CUDA graph if there is one: at small sizes a launch takes longest."""
    best = row["graph"] if row["graph"] and "median_s" in row["graph"] else row
    return best["share_of_peak" if peak else "share_of_copy"]
