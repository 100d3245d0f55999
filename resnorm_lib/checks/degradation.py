"""Checks for the exercises of "Degradation, measured"."""

from collections.abc import Callable

from resnorm_lib.checks.judge.answers import call, expect_close, shown_wrong
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_length_after", "check_verdict"]

VERDICTS = ("degradation", "overfitting", "neither")
CASES = (  # shallow, deep, verdict, why
    ((0.0, 2.4), (55.9, 57.5), "degradation", "it fits its training data worse, whatever the test error does"),
    ((0.1, 6.4), (0.1, 7.9), "overfitting", "it fits the training data as well, and new data worse"),
    ((5.0, 9.0), (1.0, 7.0), "neither", "it is better on both"),
    ((3.0, 9.0), (1.0, 12.0), "overfitting", "it is better on the training data and worse on new data"),
    ((2.0, 8.0), (2.9, 8.9), "neither", "less than a point is no difference here"),
    ((2.0, 8.0), (3.0, 9.0), "neither", "one point is not more than one point"),
    ((10.0, 12.0), (13.0, 12.0), "degradation", "only the training error decides"),
)


def _drawn(face: Draw) -> tuple[tuple[float, float], tuple[float, float], str, str]:
    """Return a case of a drawn kind, with differences of exactly a point among them."""
    verdict = face.choice(VERDICTS)
    training, test = float(face.integer(1, 20)), float(face.integer(21, 40))
    worse, same = face.number(1.6, 9), face.number(-0.5, 0.5)
    more = {
        "degradation": (worse, face.choice([-worse, same, worse])),
        "overfitting": (face.choice([-0.5, same]), worse),
        "neither": (face.choice([1.0, same]), face.choice([1.0, -worse, same])),
    }[verdict]
    return (training, test), (training + more[0], test + more[1]), verdict, "see the definitions in the text"


@exercise("exercise-degr-verdict", points=1)
def check_verdict(answer: Callable, face: Draw) -> str:
    """Check ``answer(shallow, deep)``: pairs of training and test error to one of three words.

    The verdict is wrong if a verdict is wrong.
    """
    for shallow, deep, expected, why in face.cases(*CASES, drawn=lambda: _drawn(face), count=20):
        got = call(answer, shallow, deep)
        if got not in VERDICTS:
            words = f"The verdict must be one of {', '.join(VERDICTS)}"
            raise shown_wrong(f"{words}, but it is {got!r}.", f"{words}.")
        if got != expected:
            raise shown_wrong(f"For shallow {shallow} and deep {deep} the verdict is {expected!r}, not {got!r}: {why}.")
    return "the verdict"


def _length(g: float, lr: float, steps: int) -> float:
    square = 1.0
    for _ in range(steps):
        square += (lr * g) ** 2 / square
    return square**0.5


@exercise("exercise-degr-length", points=2, right=_length)
def check_length_after(answer: Callable, face: Draw) -> str:
    """Check ``answer(g, lr, steps)``: the length of a scale-invariant matrix that starts with length 1.

    The verdict is wrong if a length is wrong.
    """
    cases = ((3.0, 0.5, 1), (3.0, 0.5, 2), (100.0, 0.05, 20))
    for g, lr, steps in face.cases(*cases, drawn=lambda: (face.number(1, 9), face.number(0.1, 2), face.integer(2, 9))):
        step, square, same = lr * g, 1.0, 1.0
        for _ in range(steps):
            square += step**2 / square
            same += step**2
        mistakes = [(1 + steps * step, "A gradient at right angles does not add its length: use Pythagoras.")]
        if steps > 1:
            mistakes += [
                (same**0.5, "The gradient must get smaller as the matrix gets longer."),
                (1.0, "The matrix does not keep its length."),
            ]
        mistakes += [(square, "That is the square of the length.")]
        expect_close(
            call(answer, g, lr, steps),
            square**0.5,
            f"The length for g = {g}, lr = {lr}, steps = {steps}",
            mistakes=mistakes,
        )
    return "the length of the matrix"
