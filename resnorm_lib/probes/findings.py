"""The findings of a report, in sentences: what is unusual, what is missing, and which chapter explains it."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from resnorm_lib.probes.report import Report
from resnorm_lib.probes.rows import NormGain, Point, Units

__all__ = ["CHAPTERS", "sentences"]

# Subject of a finding: label and title of the chapter that explains it. A subject without a line carries no link.
CHAPTERS = {
    "gradient size": ("why-depth-is-hard", "Why depth is hard"),
    "gradient correlation": ("why-depth-is-hard", "Why depth is hard"),
    "branch ratio": ("residual-connections", "Residual connections"),
    "cosine": ("residual-connections", "Residual connections"),
    "norm slope": ("layernorm-mathematics", "LayerNorm, the mathematics"),
    "stream size": ("the-two-together", "The two together"),
    "bad numbers": ("numbers-that-go-wrong", "Numbers that go wrong"),
    "dead units": ("probing-a-network", "Probing a network"),
    "token rank": ("rank-collapse", "When all tokens become one"),
}
PER_BLOCK, IN_ALL = 1.1, 2  # a trend is reported from these factors on, per block and over all blocks
SILENT, LOUD = 0.01, 10  # branch-to-stream ratios
ALONG = 0.5  # cosine of branch and stream, either way
FLAT, STEEP = 0.1, 10  # slopes of norms
DEAD = 0.1  # share of dead units

Findings = Iterator[tuple[str, str]]  # the subject of each, and its sentence without the full stop


def sentences(report: Report) -> list[str]:
    """Return the findings as a list of sentences."""
    found = list(_about_the_search(report))
    for stream in report.streams:
        name = f"{stream.name}: " if len(report.streams) > 1 else ""
        found += [(subject, name + text) for rule in RULES for subject, text in rule(stream.points)]
    found += [*_about_norms(report.norms), *_about_units(report.units)]
    return [_ended(*finding) for finding in found] or ["Nothing stands out."]


def _ended(subject: str, text: str) -> str:
    label, title = CHAPTERS.get(subject, (None, None))
    return f'{text}: see "{title}" ({label}).' if label else f"{text}."


def _about_the_search(report: Report) -> Findings:
    if not report.streams:
        followed = " in what could be followed" if report.unfollowed or report.hidden else ""
        yield (
            "search",
            f"No residual stream was found{followed}: no + or - adds to a value what layers that mix features or "
            "tokens have computed from it",
        )
    if report.turned and not report.streams:
        some = ", ".join(report.turned[:3])
        yield (
            "search",
            f"A value is subtracted from what layers have computed from it (in {some}): F(x) - x turns the stream "
            "round in every block, and is not taken for one",
        )
    if report.concatenations:
        some = ", ".join(dict.fromkeys(report.concatenations[:3]))
        yield (
            "concatenation",
            f"A value is concatenated with what was computed from it (in {some}; {len(report.concatenations)} times in "
            "all), as in a DenseNet: that is a shortcut. If a later call adds the parts, it is not followed",
        )
    for reason, modules in report.unfollowed.items():
        more = f" and {len(modules) - 3} more" if len(modules) > 3 else ""
        yield "search", f"Not all of {', '.join(modules[:3])}{more} could be followed: {reason}"
    if report.hidden:
        yield "search", f"What happens inside {', '.join(report.hidden)} could not be seen, and is taken for one call"
    if report.skips:
        some = ", ".join(dict.fromkeys(report.skips))
        yield "search", f"Residual additions that stand alone are left out of the streams: {some}"
    if report.missing:
        yield "search", f"There are no gradients: {report.missing}"


def _about_gradients(points: Sequence[Point]) -> Findings:
    trend = _trend(points, "gradient_norm")
    if trend is not None:
        rate, first, last = trend
        word, factor = ("grow", 1 / rate) if rate < 1 else ("shrink", rate)
        way = f"from {_block(last)} to {_block(points[first.depth + 1])}"
        yield "gradient size", f"Gradients {word} {factor:.2g}x per block on the way back, {way}"


def _about_correlation(points: Sequence[Point]) -> Findings:
    known = [p for p in points if p.gradient_correlation is not None]
    if len(known) > 1 and known[-1].gradient_correlation > max(0.1, 2 * known[0].gradient_correlation):
        first, last = known[0], known[-1]
        yield (
            "gradient correlation",
            "Gradients of different samples lose their common direction on the way back: their mean cosine is "
            f"{last.gradient_correlation:.2g} at depth {last.depth} and {first.gradient_correlation:.2g} at depth "
            f"{first.depth}",
        )


def _about_size(points: Sequence[Point]) -> Findings:
    trend = _trend(points, "rms")
    if trend is not None:
        rate, first, last = trend
        word, factor = ("grows", rate) if rate > 1 else ("shrinks", 1 / rate)
        span = f"from rms {first.rms:.2g} at depth {first.depth} to {last.rms:.2g} at depth {last.depth}"
        yield "stream size", f"The stream {word} {factor:.2g}x per block, {span}"


def _about_branches(points: Sequence[Point]) -> Findings:
    rules = (
        ("branch_ratio", lambda value: value < SILENT, f"adds less than {SILENT:.0%} to the stream"),
        ("branch_ratio", lambda value: value > LOUD, f"adds more than {LOUD} times what the stream holds"),
        ("cosine", lambda value: value > ALONG, f"writes along the stream (cosine above {ALONG})"),
        ("cosine", lambda value: value < -ALONG, f"writes against the stream (cosine below {-ALONG})"),
    )
    for field, strange, text in rules:
        depths = [p.depth for p in points if getattr(p, field) is not None and strange(getattr(p, field))]
        if depths:
            yield field.replace("_", " "), f"The branch {text} in block{'s' * (len(depths) > 1)} {_ranges(depths)}"


def _about_tokens(points: Sequence[Point]) -> Findings:
    known = [p for p in points if p.token_rank is not None]
    if len(known) > 1 and known[-1].token_rank < 1.5 < 2 < known[0].token_rank:
        first, last = known[0], known[-1]
        yield (
            "token rank",
            f"The tokens of a sample become one: their rank falls from {first.token_rank:.2g} to {last.token_rank:.2g}",
        )


def _about_bad_numbers(points: Sequence[Point]) -> Findings:
    for field, name in (("rms", "The stream"), ("gradient_norm", "The gradient")):
        depths = [p.depth for p in points if not math.isfinite(getattr(p, field) or 0)]
        if depths:
            yield "bad numbers", f"{name} is not finite at depth {_ranges(depths)}"


def _about_gaps(points: Sequence[Point]) -> Findings:
    gaps = [p.depth for p in points[1:] if p.gradient_norm is None]  # what reaches depth 0 may have nothing to learn
    if gaps and any(p.gradient_norm is not None for p in points):
        yield (
            "search",
            f"There are no gradients at depth {_ranges(gaps)}: its sums are frozen, unused by the loss, or made inside "
            "a function with a backward of its own",
        )


RULES: list[Callable[[Sequence[Point]], Findings]] = [
    *(_about_gaps, _about_bad_numbers, _about_gradients, _about_correlation),
    *(_about_size, _about_branches, _about_tokens),
]


def _about_norms(norms: Sequence[NormGain]) -> Findings:
    known = sorted((norm for norm in norms if norm.slope is not None), key=lambda norm: norm.slope)
    flat = [norm for norm in known if norm.slope < FLAT]
    steep = [norm for norm in known if norm.slope > STEEP]
    for some, text in ((flat, f"less than {FLAT}"), (steep[::-1], f"more than {STEEP}")):
        if some:
            extreme = f"the extreme is {some[0].module}, {some[0].slope:.2g} times"
            yield (
                "norm slope",
                f"In {len(some)} of {len(known)} norms small changes come out {text} times as large; {extreme}",
            )


def _about_units(units: Sequence[Units]) -> Findings:
    dead = [unit for unit in units if unit.dead >= DEAD]
    if dead:
        most = max(dead, key=lambda unit: unit.dead)
        where = f"most in {most.module}, {most.dead:.0%} of {most.units}"
        yield (
            "dead units",
            f"In {len(dead)} of {len(units)} ReLUs {DEAD:.0%} of the units or more are always zero, {where}",
        )


def _trend(points: Sequence[Point], field: str) -> tuple[float, Point, Point] | None:
    """Return the factor per block (least squares in logarithms), first and last point; None if it is near 1."""
    known = [(p, getattr(p, field)) for p in points if getattr(p, field) and math.isfinite(getattr(p, field))]
    if len(known) < 2:
        return None
    depths, logs = [p.depth for p, _ in known], [math.log(value) for _, value in known]
    middle, mean = sum(depths) / len(depths), sum(logs) / len(logs)
    slope = sum((d - middle) * (y - mean) for d, y in zip(depths, logs)) / sum((d - middle) ** 2 for d in depths)
    blocks = depths[-1] - depths[0]
    worth = abs(slope) >= math.log(PER_BLOCK) and abs(slope) * blocks >= math.log(IN_ALL)
    return (math.exp(slope), known[0][0], known[-1][0]) if worth else None


def _block(point: Point) -> str:
    return f"block {point.depth} ({point.module})"


def _ranges(depths: list[int]) -> str:
    """Write 1, 2, 3, 7 as "1 to 3, 7"."""
    runs = [[depths[0]]]
    for before, depth in pairwise(depths):
        runs.append([depth]) if depth > before + 1 else runs[-1].append(depth)
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
