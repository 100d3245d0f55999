"""Checks for the exercises of "The family of normalizations"."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from resnorm_lib.checks.judge.answers import call, expect_close, shown_wrong
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_family", "check_moved_gain", "check_pixel_norm"]

EPS = 1e-3  # large enough to tell whether it stands inside the root


@exercise(
    "exercise-norms-function",
    points=2,
    right=lambda x, kind, num_groups, eps: _norm(x, kind, num_groups, eps),
    without=("layers",),
)
def check_family(answer: Callable, face: Draw) -> str:
    """Check ``answer(x, kind, num_groups, eps)`` for x of shape (N, C, H, W) and each of five kinds.

    The verdict is wrong if a norm is wrong; the message names the set that was averaged, where it can be told.
    """
    x = torch.linspace(-1, 1, 288, dtype=torch.float64).pow(3).add(0.4)
    x = x[torch.arange(288).mul(37) % 288].view(3, 6, 4, 4)
    groups, eps = 2, EPS
    if face.hidden:
        groups, eps = face.size(2, high=4), face.number(0.01, 0.5)
        x = 2 * face.normal(face.integer(2, 4), groups * face.integer(2, 3), face.integer(2, 5), face.integer(2, 5)) + 1
    for kind in ("batch", "layer", "instance", "group", "rms"):
        got = call(answer, x, kind, groups, eps)
        if hasattr(got, "shape") and tuple(got.shape) != tuple(x.shape):
            shape = f"{kind}: the output has shape {tuple(got.shape)}, but a norm keeps that of x."
            raise shown_wrong(shape, f"{kind}: a norm keeps the shape of x.")
        norm = functools.partial(_norm, x, kind=kind, groups=groups, eps=eps)
        expect_close(got, norm(), f"{kind}: the output", mistakes=_mistakes(norm, kind))
    return "the family in one function"


def _sets(x: Tensor, kind: str, groups: int) -> Tensor:
    """The same numbers, with the entries that share a mean along the last axis."""
    n, c = x.shape[:2]
    if kind == "batch":
        return x.transpose(0, 1).reshape(c, -1)
    groups = {"layer": 1, "rms": 1, "group": groups, "instance": c}[kind]
    return x.reshape(n, groups, -1)


def _back(rows: Tensor, x: Tensor, kind: str) -> Tensor:
    n, c, h, w = x.shape
    return rows.view(c, n, h, w).transpose(0, 1) if kind == "batch" else rows.view(x.shape)


def _norm(
    x: Tensor,
    kind: str,
    groups: int,
    eps: float,
    sets: str | None = None,
    correction: int = 0,
    power: float = 0.5,
    outside: bool = False,
) -> Tensor:
    """The norm ``kind``, or what one of the usual mistakes makes of it."""
    rows = _sets(x, sets or kind, groups)
    if kind == "rms":
        centre, spread = 0.0, rows.square().mean(-1, keepdim=True)
    else:
        centre, spread = rows.mean(-1, keepdim=True), rows.var(-1, correction=correction, keepdim=True)
    below = spread**power + eps if outside else (spread + eps) ** power
    return _back((rows - centre) / below, x, sets or kind)


def _mistakes(norm: Callable[..., Tensor], kind: str) -> list[tuple[Tensor, str]]:
    others = [other for other in ("batch", "layer", "instance", "group") if other != kind]
    mistakes = [
        (norm(power=1), f"{kind}: divide by the root, not by the variance or the mean square itself."),
        (norm(outside=True), f"{kind}: eps belongs inside the root."),
    ]
    if kind == "rms":
        mistakes.append((norm(kind="layer"), "rms: nothing is subtracted; this is layer normalization."))
    else:
        sentence = f"{kind}: the variance is the biased one: divide by the number of entries, not by one less."
        mistakes.append((norm(correction=1), sentence))
        mistakes += [(norm(sets=o), f"{kind}: the mean runs over the set of {o!r}.") for o in others]
    return mistakes


def _pixel_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    centred, spread = x - x.mean(1, keepdim=True), x.var(1, correction=0, keepdim=True)
    return weight.view(-1, 1, 1) * centred / (spread + eps).sqrt() + bias.view(-1, 1, 1)


@exercise("exercise-norms-pixel", points=2, right=_pixel_norm)
def check_pixel_norm(answer: Callable, face: Draw) -> str:
    """Check ``answer(x, weight, bias, eps)`` for x of shape (N, C, H, W): LN over the channels of each pixel.

    The verdict is wrong if the set, the gain or the bias are wrong; images have as many columns as channels, so that a
    gain on the wrong axis raises no error.
    """
    x = torch.linspace(-1, 1, 96, dtype=torch.float64).pow(3).add(0.3)
    x = x[torch.arange(96).mul(37) % 96].view(2, 4, 3, 4)
    weight, bias = torch.tensor([[1.0, -2.0, 0.5, 3.0], [0.0, 1.0, -1.0, 0.5]], dtype=torch.float64)
    eps = EPS
    if face.hidden:
        channels, eps = face.integer(3, 6), face.number(0.01, 0.5)
        x = 2 * face.normal(face.integer(2, 4), channels, face.integer(2, 5), channels) + 1
        weight, bias = face.normal(2, channels)

    def norm(axes: int | tuple[int, ...], correction: int = 0, columns: bool = False) -> Tensor:
        spread, centred = x.var(axes, correction=correction, keepdim=True), x - x.mean(axes, keepdim=True)
        w, b = (weight, bias) if columns else (weight.view(-1, 1, 1), bias.view(-1, 1, 1))
        return w * centred / (spread + eps).sqrt() + b

    expect_close(
        call(answer, x, weight, bias, eps),
        norm(1),
        "The output",
        mistakes=[
            (
                norm(1, columns=True),
                "The gain met the columns: it belongs to the channels, two axes before the last.",
            ),
            (norm((1, 2, 3)), "The mean runs over the whole image, not over the channels of one pixel."),
            (norm((2, 3)), "The mean runs over the pixels of a channel: that is instance normalization."),
            (norm(3), "The mean runs over the last axis, a line of pixels; the channels are the second axis."),
            (norm(1, correction=1), "The variance is the biased one: divide by the number of channels, not one less."),
        ],
    )
    return "a norm for each pixel"


def _moved(weight: Tensor, running_var: Tensor, eps_from: float, eps_to: float) -> Tensor:
    return weight * ((running_var + eps_to) / (running_var + eps_from)).sqrt()


@exercise("exercise-norms-move", points=2, right=_moved)
def check_moved_gain(answer: Callable, face: Draw) -> str:
    """Check ``answer(weight, running_var, eps_from, eps_to)``: the gain that keeps the output of BN in evaluation.

    The verdict is wrong if the output changes.
    """
    weight = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    variance = torch.tensor([1.0, 1e-4, 1e-2], dtype=torch.float64)
    if face.hidden:
        weight, variance = face.normal(2, face.integer(2, 6))
        variance = 0.01 * variance.square()
    cases = ((1e-3, 1e-5), (1e-5, 1e-3), (1e-5, 1e-5))
    for eps_from, eps_to in face.cases(*cases, drawn=lambda: (face.number(1e-4, 0.1), face.number(1e-4, 0.1))):
        ratio = (variance + eps_to) / (variance + eps_from)
        expect_close(
            call(answer, weight, variance, eps_from, eps_to),
            weight * ratio.sqrt(),
            f"The gain from eps {eps_from:g} to {eps_to:g}",
            mistakes=[
                (weight / ratio.sqrt(), "The ratio stands upside down: a larger eps divides by more, so w must grow."),
                (weight * ratio, "The root is missing: the norm divides by the deviation, not by the variance."),
                (weight, "The gain is unchanged, and the output is not."),
            ],
        )
    return "the gain that moves eps"
