"""The report of a probe: its numbers as rows, as text, as a figure, and in sentences."""

import math
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from torch import Tensor

from resnorm_lib.probes.rows import NormGain, Point, Row, Stream, Units
from resnorm_lib.probes.streams import Addition, Record
from resnorm_lib.probes.watch import Watch

if TYPE_CHECKING:  # matplotlib is imported when something is drawn
    from matplotlib.figure import Figure

__all__ = ["Report", "make_report"]

TITLES = {
    "branch_ratio": "branch/stream",
    "gradient_norm": "gradient",
    "gradient_correlation": "grad. corr.",
    "token_rank": "token rank",
    "slope": "|w|/sigma",
    "gain": "gain (rms)",
    "dead": "dead share",
}


class Report:
    """Holds what :func:`resnorm_lib.probes.probe` found.

    Attributes
    ----------
    streams : tuple of Stream
        The longest first.
    skips : tuple of str
        The modules of residual additions that stand alone beside longer streams.
    norms : tuple of NormGain
        In the order of the calls.
    units : tuple of Units
        In the order of the calls.
    loss : float or None
    missing : str
        Why there are no gradients; empty if there are.
    concatenations : tuple of str
        Modules that concatenate a value with what was computed from it.
    hidden : tuple of str
        Modules whose calls could not be seen.
    unfollowed : dict
        From a reason why calls could not be followed to the modules that made them.
    turned : tuple of str
        Modules that subtract a value from what was computed from it.
    """

    def __init__(
        self,
        streams: tuple[Stream, ...],
        skips: tuple[str, ...],
        norms: tuple[NormGain, ...],
        units: tuple[Units, ...],
        loss: float | None,
        missing: str,
        concatenations: tuple[str, ...],
        hidden: tuple[str, ...],
        unfollowed: dict[str, tuple[str, ...]],
        turned: tuple[str, ...] = (),
    ) -> None:
        self.streams, self.skips, self.norms, self.units = streams, skips, norms, units
        self.loss, self.missing, self.concatenations = loss, missing, concatenations
        self.hidden, self.unfollowed, self.turned = hidden, unfollowed, turned

    def rows(self) -> list[dict[str, Any]]:
        """Return the points of all streams as dicts, each with the name of its stream."""
        return [{"stream": stream.name} | point._asdict() for stream in self.streams for point in stream.points]

    def table(self) -> str:
        """Return all numbers as text."""
        parts = [
            f"Stream {stream.name}, {len(stream.points) - 1} blocks\n" + _columns(stream.points)
            for stream in self.streams
        ]
        others: dict[str, Sequence[Row]] = {"Norms": self.norms, "ReLUs": self.units}
        parts += [f"{title}\n" + _columns(rows) for title, rows in others.items() if rows]
        return "\n\n".join(parts) or "No residual stream, no norm and no ReLU was found."

    def findings(self) -> list[str]:
        """Return what stands out, and what could not be found, as a list of sentences.

        Reported are sizes of the stream and of its gradients that change by 1.1 or more per block (least squares in
        logarithms) and by 2 in all; gradient correlation that is halved on the way back; branches below 1 % or above
        10 times the stream, or with a cosine beyond 0.5 either way; tokens whose rank falls below 1.5; norms with a
        slope below 0.1 or above 10; ReLUs with 10 % of dead units; numbers that are not finite.
        """
        from resnorm_lib.probes.findings import sentences

        return sentences(self)

    def plot(self) -> "Figure":
        """Return a matplotlib figure: every statistic of the streams by depth."""
        from resnorm_lib.probes.figure import draw

        return draw(self)

    def __repr__(self) -> str:
        lengths = ", ".join(str(len(stream.points) - 1) for stream in self.streams)
        return f"Report({len(self.streams)} streams of {lengths or 'no'} blocks, {len(self.norms)} norms)"


def make_report(watch: Watch, streams: list[list[Addition]], loss: Tensor | None, missing: str) -> Report:
    """Read the numbers off their devices and name the streams."""
    long = [stream for stream in streams if len(stream) > 1] or streams
    skips = [stream[0].module for stream in streams if stream not in long]
    return Report(
        streams=tuple(_stream(additions) for additions in long),
        skips=tuple(skips),
        norms=tuple(NormGain(**_numbers(norm)) for norm in watch.norms),
        units=tuple(Units(**_numbers(unit)) for unit in watch.units),
        loss=None if loss is None else loss.item(),
        missing=missing,
        concatenations=tuple(watch.concatenations),
        hidden=tuple(dict.fromkeys(watch.path.hidden)),
        unfollowed={reason: tuple(modules) for reason, modules in watch.unfollowed.items()},
        turned=tuple(dict.fromkeys(watch.turned)),
    )


def _stream(additions: list[Addition]) -> Stream:
    names = [addition.module for addition in additions]
    levels = takewhile(lambda level: len(set(level)) == 1, zip(*(name.split(".") for name in names)))
    points = [_point(0, names[0], "", additions[0].start)]
    points += [_point(depth, a.module, a.shortcut, a.end) for depth, a in enumerate(additions, 1)]
    return Stream(".".join(level[0] for level in levels) or "model", tuple(points))


def _point(depth: int, module: str, shortcut: str, record: Record) -> Point:
    facts: dict[str, Any] = dict.fromkeys(Point._fields) | _numbers(record)
    facts |= {"depth": depth, "module": module, "shortcut": shortcut}
    if facts["branch_ratio"] in (0, math.inf):  # a side of length 0 has no direction
        facts["cosine"] = None
    if facts["gradient_correlation"] is not None and math.isnan(facts["gradient_correlation"]):
        facts["gradient_correlation"] = None  # fewer than two samples have a gradient
    return Point(**facts)


def _numbers(record: Mapping[str, object]) -> dict[str, Any]:
    return {key: value.item() if hasattr(value, "item") else value for key, value in record.items()}


def _columns(rows: Sequence[Row]) -> str:
    """Return rows of one kind as text, words on the left and numbers on the right of their columns."""
    fields = rows[0]._fields
    cells = [[TITLES.get(field, field) for field in fields], *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    words = [isinstance(value, str) for value in rows[0]]
    lines = ("  ".join(c.ljust(w) if left else c.rjust(w) for c, w, left in zip(line, widths, words)) for line in cells)
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}"
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
