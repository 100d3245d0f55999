"""Checks for the exercises of "LayerNorm, the mathematics"."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from resnorm_lib import reference
from resnorm_lib.checks.judge.answers import call, expect_close, several, shown_wrong, to_array
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_folded_centring", "check_layer_norm_backward", "check_same_path"]


def _back(dy: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    sigma = (x.var(-1, correction=0, keepdim=True) + eps).sqrt()
    x_hat, g = (x - x.mean(-1, keepdim=True)) / sigma, weight * dy
    dx = (g - g.mean(-1, keepdim=True) - x_hat * (g * x_hat).mean(-1, keepdim=True)) / sigma
    return dx, (dy * x_hat).sum(0), dy.sum(0)


@exercise("exercise-layernorm-backward", points=2, right=_back, without=("autograd",))
def check_layer_norm_backward(answer: Callable, face: Draw) -> str:
    """Check ``answer(dy, x, weight, eps) -> (dx, dweight, dbias)`` for rows ``x`` of shape (n, d).

    The verdict is wrong if a gradient is wrong.
    """
    generator = face.generator(0)
    rows, d, eps = face.size(4, 3), face.size(6, 3, 8), face.value(0.1, 0.2, 0.9)
    dy, x = (torch.randn(rows, d, generator=generator, dtype=torch.float64) for _ in range(2))
    weight = 1 + 0.5 * torch.randn(d, generator=generator, dtype=torch.float64)
    x = 3 * x + 2
    dx, dweight, dbias = several(call(answer, dy, x, weight, eps), "dx", "dweight", "dbias")
    _, cache = reference.layer_norm_forward(x.numpy(), weight.numpy(), eps=eps)
    wanted = reference.layer_norm_backward(dy.numpy(), cache)
    x_hat = torch.from_numpy(cache[0])
    expect_close(dx, wanted[0], "The gradient of x", mistakes=_mistakes_in_dx(dy, x, weight, eps))
    per_row = [(dy * x_hat, "weight"), (dy, "bias")]
    for got, right_one, (terms, name) in zip((dweight, dbias), wanted[1:], per_row):
        mean = f"The gradient of {name} is the sum over the rows, not their mean."
        expect_close(got, right_one, f"The gradient of {name}", mistakes=[(terms.mean(0), mean)])
    return "the backward pass of layer normalization"


def _mistakes_in_dx(dy: Tensor, x: Tensor, weight: Tensor, eps: float) -> list[tuple[Tensor, str]]:
    g = weight * dy

    def parts(g: Tensor, eps: float = eps, correction: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        sigma = (x.var(-1, correction=correction, keepdim=True) + eps).sqrt()
        x_hat = (x - x.mean(-1, keepdim=True)) / sigma
        return g.mean(-1, keepdim=True), x_hat * (g * x_hat).mean(-1, keepdim=True), sigma

    def project(g: Tensor, **options) -> Tensor:
        mean, along, sigma = parts(g, **options)
        return (g - mean - along) / sigma

    mean, along, sigma = parts(g)
    return [
        (project(dy), "The gradient of x lacks the gain: the gradient that reaches x_hat is weight * dy."),
        (weight * project(dy), "The gain comes first on the way back: project weight * dy, not dy."),
        (g / sigma, "The mean and sigma depend on x too: two terms are missing."),
        ((g - mean) / sigma, "sigma depends on x too: the term along x_hat is missing."),
        ((g - along) / sigma, "The mean depends on x too: the mean of weight * dy is not subtracted."),
        (g - mean - along, "The gradient of x is not divided by sigma."),
        ((g - x.shape[-1] * (mean + along)) / sigma, "The two subtracted terms are means over the features, not sums."),
        (project(g, eps=0.0), "sigma must contain eps: it is the root of var + eps."),
        (project(g, correction=1), "The variance is divided by d, not by d - 1: correction=0."),
    ]


@exercise("exercise-layernorm-fold", points=2, right=lambda weight, bias: (weight - weight.mean(0), bias - bias.mean()))
def check_folded_centring(answer: Callable, face: Draw) -> str:
    """Check ``answer(weight, bias) -> (weight, bias)``: with them RMSNorm gives what LN gave before.

    The verdict is wrong if the outputs differ for some input.
    """
    generator = face.generator(1)
    outputs, inputs = face.size(5, 3, 8), face.size(3)
    weight = torch.randn(outputs, inputs, generator=generator, dtype=torch.float64) + 1
    bias = torch.randn(outputs, generator=generator, dtype=torch.float64) + 1
    x = torch.randn(7, inputs, generator=generator, dtype=torch.float64)
    folded = several(call(answer, weight, bias), "weight", "bias")
    for got, original, name in zip(folded, (weight, bias), ("weight", "bias")):
        if to_array(got).shape != tuple(original.shape):
            shapes = f"shape {to_array(got).shape}, but it must be {tuple(original.shape)}"
            raise shown_wrong(f"The folded {name} has {shapes}.", f"The folded {name} has another shape than before.")
    wanted, _ = reference.layer_norm_forward((x @ weight.T + bias).numpy(), eps=0.0)
    centred, centred_bias = weight - weight.mean(0), bias - bias.mean()
    mistakes = [
        (_rms(x, weight, bias), "Nothing is folded: RMSNorm still sees the mean over the units."),
        (_rms(x, centred, bias), "The bias has a mean over the units too, and it must go."),
        (_rms(x, weight, centred_bias), "The weight has a mean over the units too, and it must go."),
        (
            _rms(x, weight - weight.mean(1, keepdim=True), centred_bias),
            "LN takes its mean over the units: subtract the mean of each column of weight, not of each row.",
        ),
    ]
    expect_close(_rms(x, *folded), wanted, "The output of RMSNorm", mistakes=mistakes)
    return "the centring is folded into the weights"


def _rms(x: Tensor, weight: Tensor, bias: Tensor) -> np.ndarray:
    a = to_array(x) @ to_array(weight).T + to_array(bias)
    return reference.rms_norm_forward(a, eps=0.0)[0]


@exercise("exercise-layernorm-path", points=3, right=lambda rate, decay, c: (c**2 * rate, decay / c**2))
def check_same_path(answer: Callable, face: Draw) -> str:
    """Check ``answer(rate, decay, c) -> (rate, decay)``: from c times the weights the direction takes the same path.

    The verdict is wrong if the rate or the decay is wrong.
    """
    cases = ((0.1, 0.01, 3.0), (0.5, 0.2, 0.1))
    for rate, decay, c in face.cases(*cases, drawn=lambda: tuple(face.number(0.01, high) for high in (1, 1, 9))):
        new_rate, new_decay = several(call(answer, rate, decay, c), "rate", "decay")
        expect_close(
            new_rate,
            c**2 * rate,
            f"The rate for c = {c}",
            mistakes=[
                (rate, "The rate must change: the gradient at c W is 1/c of that at W, and W is c times as long."),
                (c * rate, "One c makes up for the smaller gradient; the step must also be c times as long: c^2."),
                (rate / c**2, "The other way around: longer weights need a larger rate."),
            ],
        )
        expect_close(
            new_decay,
            decay / c**2,
            f"The decay for c = {c}",
            mistakes=[
                (decay, "The share that decay removes, rate * decay, must stay as it was, and the rate has changed."),
                (decay * c**2, "rate * decay must stay as it was: the decay changes opposite to the rate."),
            ],
        )
    return "the same path from longer weights"
