"""Claims: sentences of the book that a run either upholds or refutes."""

import functools
import itertools
import json
import math
import numbers
import re
from typing import TYPE_CHECKING, NamedTuple

from resnorm_lib.runtime import find

if TYPE_CHECKING:  # whoever reads printed claims needs no torch
    from torch import Tensor

__all__ = ["ClaimError", "Line", "check", "claim", "lines", "parts", "range_of"]


class ClaimError(AssertionError):
    """A claim that did not hold; the message carries the sentence, the measured value and the bound."""


def claim(
    id: str,
    statement: str,
    measured: "float | Tensor",
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    source: str | None = None,
) -> None:
    """Check that ``at_least <= measured <= at_most``, print one line, and raise when it does not hold.

    The bound carries the tolerance: it is chosen from theory or from the paper, wide enough for every seed and
    narrow enough that the sentence could have been false. Where the book's report of ten seeds is at hand, the line
    shows the range of the measured value over the ten runs.

    Parameters
    ----------
    id : str
        Name of the claim, ``part.name``; unique in the book.
    statement : str
        What is claimed, in words.
    measured : number
        What the run gave, in the units that the statement says. NaN never holds.
    at_least, at_most : number
        The bound; at least one of the two.
    source : str, optional
        Key in ``references.bib`` of the paper that says so.

    Raises
    ------
    ClaimError
        If the measured value lies outside the bound.
    ValueError
        If there is no bound, or ``measured`` is no number.

    Examples
    --------
    >>> claim("demo.sum", "one and one are two", 1 + 1, at_least=2, at_most=2)
    holds  demo.sum  one and one are two  2 <= 2 <= 2
    """
    _judge("holds", id, statement, measured, at_least, at_most, source)


def check(
    id: str,
    statement: str,
    measured: "float | Tensor",
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    source: str | None = None,
) -> None:
    """Do the same as :func:`claim` for what no seed can change, and print ``check`` in front of the line.

    An identity that holds up to rounding, a count, or a bound that lies far outside the range over ten seeds: such a
    line can catch a mistake in the code, but it is no evidence about the world.

    Examples
    --------
    >>> check("demo.root", "the root of 2, squared, is 2", 2**0.5 * 2**0.5 - 2, at_most=1e-12)
    check  demo.root  the root of 2, squared, is 2  4.44e-16 <= 1e-12
    """
    _judge("check", id, statement, measured, at_least, at_most, source)


def _judge(
    word: str,
    id: str,
    statement: str,
    measured: "float | Tensor",
    at_least: float | None,
    at_most: float | None,
    source: str | None,
) -> None:
    if at_least is None and at_most is None:
        raise ValueError(f"claim {id!r} has no bound: give at_least, at_most or both.")
    if hasattr(measured, "item"):
        measured = measured.item()
    if not isinstance(measured, numbers.Real):
        raise ValueError(f"claim {id!r} measured {measured!r}, which is no number.")
    low = -math.inf if at_least is None else at_least
    high = math.inf if at_most is None else at_most
    holds = low <= measured <= high
    comparison = _comparison(measured, at_least, at_most, holds)
    if not holds:
        raise ClaimError(f"does not hold: {id}: {statement}: {comparison}")
    cited = f"  [{source}]" if source else ""
    print(f"{word}  {id}  {statement}  {comparison}{range_of(id) if word == 'holds' else ''}{cited}")


def _comparison(measured: float, at_least: float | None, at_most: float | None, holds: bool) -> str:
    low, high = (None if bound is None else _bound(bound, holds) for bound in (at_least, at_most))
    shown = _shown(measured, float(low or -math.inf), float(high or math.inf), holds)
    if low is None:
        return f"{shown} <= {high}"
    if high is None:
        return f"{shown} >= {low}"
    return f"{low} <= {shown} <= {high}"


def _bound(bound: float, holds: bool) -> str:
    """Return a bound in six digits; in all, where it is a whole number or does not hold.

    The digits never follow from the value measured: its last bits differ from machine to machine.
    """
    return f"{bound:g}" if holds and not isinstance(bound, int) else str(bound)


def _shown(measured: float, low: float, high: float, holds: bool) -> str:
    """Return a number in three digits, or in as many more as its comparison with the bounds needs to stay true."""
    texts = [f"{measured:.{digits}g}" for digits in range(3, 18)]
    return next((text for text in texts if (low <= float(text) <= high) == holds), texts[0])


def range_of(id: str) -> str:
    """Return the range of a claim over the seeds of the book's report, as its line shows it.

    It is empty where the report is not at hand, or does not know the claim.
    """
    values = _report().get(id, [None])
    if None in values:
        return ""
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return f"  ({len(values)} seeds: {low if low == high else f'{low} to {high}'})"


@functools.cache
def _report() -> dict[str, list[float | None]]:
    path = find("seeds.json")
    chapters = json.loads(path.read_text(encoding="utf-8"))["chapters"].values() if path else ()
    return {id: values for chapter in chapters for id, values in chapter["claims"].items()}


class Line(NamedTuple):
    """One printed line of a claim or a check."""

    word: str  # "holds" or "check"
    id: str
    statement: str
    at_least: float | None
    measured: float
    at_most: float | None
    comparison: str = ""  # as printed, "0.4 <= 0.5"
    seeds: str | None = None  # "10 seeds: 0.4 to 0.6"
    source: str | None = None


_LINE = re.compile(
    r"^(?P<word>holds|check)  (?P<id>\S+)  (?P<statement>.*)  "
    r"(?P<comparison>(?:(?P<low>\S+) <= )?(?P<measured>\S+) (?P<way>[<>]=) (?P<bound>\S+))"
    r"(?:  \((?P<seeds>\d+ seeds: .*)\))?(?:  \[(?P<source>\S+)\])?$",
    re.MULTILINE,
)


def lines(text: str) -> list[Line]:
    """Return the claims and checks that a text shows, as a list of :class:`Line`.

    Examples
    --------
    >>> lines("holds  demo.half  a half is small  0.5 <= 1  (10 seeds: 0.4 to 0.6)  [he2016]")[0].measured
    0.5
    """
    return [_line(match) for match in _LINE.finditer(text)]


def parts(text: str) -> list[str | list[Line]]:
    """Cut a printed text into what is no claim, strings, and rows of claims, lists of :class:`Line`, in its order.

    Examples
    --------
    >>> [type(part).__name__ for part in parts("depth 2\\ncheck  demo.two  two is small  2 <= 3\\nend")]
    ['str', 'list', 'str']
    """
    rows = [lines(row) or row for row in text.rstrip("\n").split("\n")]
    groups = (list(group) for _, group in itertools.groupby(rows, type))
    return ["\n".join(group) if isinstance(group[0], str) else [*itertools.chain(*group)] for group in groups]


def _line(match: re.Match[str]) -> Line:
    bounds = {"at_least": match["low"], "at_most": None}
    bounds["at_most" if match["way"] == "<=" else "at_least"] = match["bound"]
    bounds = {name: None if value is None else float(value) for name, value in bounds.items()}
    text = {name: match[name] for name in ("word", "id", "statement", "comparison", "seeds", "source")}
    return Line(measured=float(match["measured"]), **bounds, **text)
