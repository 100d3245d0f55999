"""Right and wrong answers to the exercises of "Which shortcut?"."""

import math

from resnorm_lib.checks import which_shortcut


def bias(p, gates, share=lambda p, gates: p ** (1 / gates), sign=1):
    each = share(p, gates)
    return sign * math.log((1 - each) / each)


EXERCISES = {
    which_shortcut.check_gate_bias: (
        bias,
        {
            lambda p, gates: bias(p, gates, sign=-1): "the sign is wrong",
            lambda p, gates: bias(p, gates, lambda p, gates: p): "L of them multiply",
            lambda p, gates: bias(p, gates, lambda p, gates: p / gates): "not the L-th part",
            lambda p, gates: -6.0: r"is \S+, but it must be",
        },
    ),
    which_shortcut.check_dropout_shortcut: (
        lambda p, blocks: ((1 - p) ** blocks, (1 - p) ** -blocks),
        {
            lambda p, blocks: (p**blocks, (1 - p) ** -blocks): "dropped every time",
            lambda p, blocks: ((1 - p) ** blocks, 1.0): "the mean square is not",
            lambda p, blocks: ((1 - p) ** blocks, (1 - p) ** (-2 * blocks)): "only a share is kept",
            lambda p, blocks: (1 - p) ** blocks: "must return . values",
        },
    ),
}
