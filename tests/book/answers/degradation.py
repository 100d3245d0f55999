"""Right and wrong answers to the exercises of "Degradation, measured"."""

from resnorm_lib.checks import degradation


def verdict(shallow, deep, margin=1, training_first=True):
    worse = [after > before + margin for before, after in zip(shallow, deep)]
    words = ("degradation", "overfitting") if training_first else ("overfitting", "degradation")
    if not training_first:
        worse = worse[::-1]
    return words[0] if worse[0] else words[1] if worse[1] else "neither"


def length(g, lr, steps, shrinks=True, power=0.5):
    square = 1.0
    for _ in range(steps):
        square += (lr * g) ** 2 / (square if shrinks else 1)
    return square**power


EXERCISES = {
    degradation.check_verdict: (
        verdict,
        {
            lambda shallow, deep: verdict(shallow, deep, training_first=False): "whatever the test error does",
            lambda shallow, deep: verdict(shallow, deep, margin=0): "less than a point",
            lambda shallow, deep: "degradation" if deep[1] > shallow[1] + 1 else "neither": "as well, and new data",
            lambda shallow, deep: "Overfitting": "must be one of",
            lambda shallow, deep: verdict(shallow, deep, margin=0.999): "one point is not more than one point",
            lambda shallow, deep: verdict(deep, shallow): "not 'neither'",
            lambda shallow, deep: "degradation": "the verdict is 'overfitting', not 'degradation'",
        },
    ),
    degradation.check_length_after: (
        length,
        {
            lambda g, lr, steps: length(g, lr, steps, shrinks=False): "smaller as the matrix gets longer",
            lambda g, lr, steps: length(g, lr, steps, power=1): "the square of the length",
            lambda g, lr, steps: 1 + steps * lr * g: "use Pythagoras",
            lambda g, lr, steps: 2.0: r"is \S+, but it must be",
        },
    ),
}
