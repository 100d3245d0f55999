"""Compare an answer with a right one, and with wrong ones that are run to find out which mistake it makes."""

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from resnorm_lib.checks.judge import themes
from resnorm_lib.checks.judge.answers import TOLERANCE, Wrong, agree, call, expect_close, several
from resnorm_lib.checks.judge.face import Draw, shown

__all__ = ["expect"]


def expect(
    answer: Callable,
    right: Callable,
    *arguments: Any,
    what: str | tuple[str, ...],
    mistakes: Iterable[tuple[Callable, str]] = (),
    use: Callable | None = None,
    tolerance: float = TOLERANCE,
) -> None:
    """Compare an answer with a right one on the same arguments, and with wrong ones that name its mistake.

    Beside ``mistakes`` those are tried that any answer may contain (:mod:`resnorm_lib.checks.judge.themes`).

    Parameters
    ----------
    what : str or tuple of str
        What the answer returns, as the subject of a sentence: "The output"; a name for each of several results.
    mistakes : iterable of (function, str)
        Wrong answers, and the sentence that names the mistake of each.
    use : function, optional
        For answers that are classes: ``use(answer, *arguments)`` works with one and returns results by name.

    Raises
    ------
    Wrong
        If the results differ.

    Examples
    --------
    >>> expect(lambda n: n - 1, lambda n: n, 5, what="The count")
    Traceback (most recent call last):
        ...
    resnorm_lib.checks.judge.answers.Wrong: The count is that of n - 1: one step fewer.
    """
    used, tried = use or _by_name(what), []
    got = used(answer, *arguments)
    with shown(Draw()):
        wanted = used(right, *arguments)
        if _same(got, wanted, tolerance):
            return
        for results, sentence in _known(right, arguments, what, mistakes, use):
            if _same(got, results, tolerance) and not _same(results, wanted, tolerance):
                raise Wrong(sentence)
            tried.append((results, sentence))
    for name, result in wanted.items():
        of_this = [(results[name], sentence) for results, sentence in tried]
        expect_close(got[name], result, name, of_this, tolerance)


def _by_name(what: str | tuple[str, ...]) -> Callable[..., dict[str, Any]]:
    """Return what calls a function and gives its results their names."""

    def used(function: Callable, *arguments: Any) -> dict[str, Any]:
        result = call(function, *arguments)
        return {what: result} if isinstance(what, str) else dict(zip(what, several(result, *what)))

    return used


def _known(
    right: Callable, arguments: tuple, what: str | tuple, mistakes: Iterable, use: Callable | None
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the results of wrong answers, without those that raise an error on these arguments."""
    for wrong, sentence in mistakes:
        try:
            yield (use or _by_name(what))(wrong, *copy.deepcopy(arguments)), sentence
        except Exception:
            continue
    if use is None:
        subject = what if isinstance(what, str) else "The result"
        for result, sentence in themes.wrong_results(right, copy.deepcopy(arguments), subject):
            yield _by_name(what)(lambda *_, result=result: result), sentence


def _same(one: dict[str, Any], other: dict[str, Any], tolerance: float) -> bool:
    return one.keys() == other.keys() and all(agree(one[name], other[name], tolerance) for name in one)
