"""The numbers of a report as text."""

from resnorm_lib.probes.records import NormGain, Point, Units

__all__ = ["report_as_text"]

TITLES = {
    "branch_ratio": "branch/stream",
    "gradient_norm": "gradient",
    "gradient_correlation": "grad. corr.",
    "token_rank": "token rank",
    "slope": "|w|/sigma",
    "gain": "gain (rms)",
    "dead": "dead share",
}


def report_as_text(report):
    parts = [
        f"Stream {stream.name}, {len(stream.points) - 1} blocks\n" + _columns(stream.points, Point._fields)
        for stream in report.streams
    ]
    if report.norms:
        parts.append("Norms\n" + _columns(report.norms, NormGain._fields))
    if report.units:
        parts.append("ReLUs\n" + _columns(report.units, Units._fields))
    return "\n\n".join(parts) or "No residual stream, no norm and no ReLU was found."


def _columns(rows, fields):
    cells = [[TITLES.get(field, field) for field in fields], *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    words = [isinstance(value, str) for value in rows[0]]
    lines = ("  ".join(c.ljust(w) if left else c.rjust(w) for c, w, left in zip(line, widths, words)) for line in cells)
    return "\n".join(line.rstrip() for line in lines)


def _cell(value):
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}"
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
