"""Checks for the exercises of "The Transformer, block by block"."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from resnorm_lib.checks.judge.answers import Wrong, call, expect_close, shown_wrong
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.given import Ahead
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_causal_mask", "check_first_leak", "check_layer_weights", "check_parallel"]


@exercise("exercise-transformer-count", points=1, right=lambda d, m: 4 * d * d + 2 * d * m + 9 * d + m)
def check_layer_weights(answer: Callable[[int, int], int], face: Draw) -> str:
    """Check ``answer(d, m)``: the number of weights of an encoder layer, biases and norms included.

    The verdict is wrong if a count is wrong, with 4 d hidden features or another number.
    """
    cases = ((8, 40), (12, 20), (2, 3))
    for d, m in face.cases(*cases, drawn=lambda: (face.integer(3, 40), face.integer(3, 90))):
        layer = nn.TransformerEncoderLayer(d, 1, m, device="meta")
        norms, biases = 4 * d, 4 * d + m + d
        wanted = sum(weight.numel() for weight in layer.parameters())
        expect_close(
            call(answer, d, m),
            wanted,
            f"The count for d = {d}, m = {m}",
            mistakes=[
                (wanted - norms, "The gains and biases of the two norms are missing."),
                (wanted - norms // 2, "A norm has a gain and a bias, and a layer has two norms."),
                (wanted - biases, "The biases of the linear maps are missing."),
                (wanted - biases - norms, "Biases and norms are missing."),
                (wanted - d * d - d, "Attention has four maps: queries, keys, values, and the output."),
            ],
            tolerance=1e-12,
        )
    return "the weights of a layer"


@exercise("exercise-transformer-mask", points=1)
def check_causal_mask(answer: Callable[..., Tensor], face: Draw) -> str:
    """Check ``answer(t, window=None)``: a bool tensor (t, t), True where a token may look.

    The verdict is wrong if a mask is wrong, with a window or without.
    """
    cases = ((5, None), (6, 1), (7, 3), (4, 9))
    for t, window in face.cases(*cases, drawn=lambda: (face.integer(5, 12), face.choice([None, 2, 3, 4]))):
        back = torch.arange(t)[:, None] - torch.arange(t)
        wanted = (back >= 0) & (back < (t if window is None else window))
        got = call(answer, t, window) if window else call(answer, t)
        if not isinstance(got, Tensor) or got.dtype != torch.bool:
            raise Wrong("The mask must be a tensor of bools.")
        what = f"The mask for t = {t}" + (f", window = {window}" if window else "")
        expect_close(
            got.double(),
            wanted.double(),
            what,
            mistakes=[
                ((~wanted).double(), "True must say where a token may look, not where it may not."),
                (wanted.T.double(), "Rows look, columns are looked at: transpose it."),
                ((back >= 0).double(), "The window is ignored."),
                ((back > 0) & wanted, "A token may look at itself."),
                (((back >= 0) & (back <= (window or t))).double(), "The token itself is one of the window's tokens."),
                ((back.abs() < (window or t)).double(), "It may not look at later tokens."),
            ],
            tolerance=1e-12,
        )
    return "where a token may look"


@exercise("exercise-transformer-causal", points=2)
def check_first_leak(answer: Callable[[nn.Module, Tensor], int | None], face: Draw) -> str:
    """Check ``answer(model, tokens)``: the first position whose output depends on a later token, or None.

    The verdict is wrong if a leak is missed, or found where there is none.
    """
    tokens = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1, 8, 2, 8, 1, 8]])
    if face.hidden:
        tokens = torch.randint(10, (face.size(2), face.size(8, 7, 10)), generator=face.generator(7))
    if (got := _leak(answer, Ahead(0, 0), tokens)) is not None:
        raise shown_wrong(f"A model that looks at the token itself is causal, but position {got} is named.")
    cases = ((0, 1, "by one token"), (3, 1, "from position 3 on"), (2, 4, "by four tokens"))
    for first, ahead, where in face.cases(*cases, drawn=lambda: (face.integer(0, 3), face.integer(1, 3), "")):
        got = _leak(answer, Ahead(first, ahead), tokens)
        if got is None:
            raise shown_wrong(f"A model that looks ahead {where} passes as causal: change all tokens after a position.")
        if got != first:
            raise shown_wrong(f"A model that looks ahead {where} leaks first at position {first}, not {got}.")
    return "the first position that knows the future"


def _leak(answer: Callable, model: nn.Module, tokens: Tensor) -> int | None:
    """Return the answer's position, where None is a valid one."""
    found = call(lambda tokens: (answer(model, tokens),), tokens)[0]
    return None if found is None else int(found)


def _parallel(x: Tensor, see: Callable, think: Callable, n: Callable) -> Tensor:
    z = n(x)
    return x + see(z) + think(z)


@exercise("exercise-transformer-parallel", points=2, right=_parallel)
def check_parallel(answer: Callable[..., Tensor], face: Draw) -> str:
    """Check ``answer(x, see, think, n)``: x + see(n(x)) + think(n(x)), with the norm computed once.

    The verdict is wrong if the value is wrong, or the norm is called more than once.
    """
    shape, draw = (face.size(2), face.size(3), face.size(4)), face.generator(7)
    x, a, b = (torch.randn(shape, generator=draw, dtype=torch.float64) for _ in range(3))
    calls, size = [], face.value(1.0, 0.5, 2)

    def see(h: Tensor) -> Tensor:
        return h * a

    def think(h: Tensor) -> Tensor:
        return h.square() * b

    def norm(h: Tensor) -> Tensor:
        calls.append(h)
        return size * h / h.square().mean(-1, keepdim=True).sqrt()

    got, count, z = call(answer, x, see, think, norm), len(calls), norm(x)
    expect_close(
        got,
        x + see(z) + think(z),
        "The output",
        mistakes=[
            (see(z) + think(z), "The shortcut is missing."),
            (x + see(x) + think(x), "The branches read the normed input."),
            (z + see(z) + think(z), "The shortcut carries x itself, not the normed input."),
            (x + think(see(z)), "One branch does not read the other: both read the normed input."),
            (x + see(z) + think(norm(x + see(z))), "That is one after the other: both read the same input."),
        ],
    )
    if count > 1:
        raise Wrong(f"The norm is computed {count} times: keep its result.")
    return "two branches, one norm"
