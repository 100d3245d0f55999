"""Checks for the exercises of "Forward and backward, by hand"."""

from collections.abc import Callable

import numpy as np
from numpy import ndarray
from torch import Tensor

from resnorm_lib import reference
from resnorm_lib.checks.judge.answers import call, expect_close, several
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_concat_back", "check_direction_error", "check_post_norm_back", "check_rms_norm_back"]

EPS = 1e-5


def _rms_back(dn: Tensor, x: Tensor, w: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    s = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    x_hat, g = x / s, w * dn
    return (g - x_hat * (g * x_hat).mean(-1, keepdim=True)) / s, (dn * x_hat).sum(0)


@exercise("exercise-hand-rms", points=2, right=_rms_back)
def check_rms_norm_back(answer: Callable[..., tuple[ndarray, ndarray]], face: Draw) -> str:
    """Check ``answer(dn, x, w, eps) -> (dx, dw)``: the backward pass of RMSNorm with a gain.

    The verdict is wrong if a gradient is wrong.
    """
    draw = face.numpy(0)
    rows, d = face.size(5, 3), face.size(6, 3)
    dn, x = draw.normal(size=(2, rows, d))
    w, eps = draw.normal(size=d), face.number(0.05, 0.5) if face.hidden else 0.1
    dx, dw = several(call(answer, dn, x, w, eps), "dx", "dw")
    _, cache = reference.rms_norm_forward(x, w, eps)
    wanted, wanted_w = reference.rms_norm_backward(dn, cache)
    x_hat, s, _ = cache
    g = w * dn
    along = x_hat * (g * x_hat).mean(-1, keepdims=True)
    bare = np.sqrt((x**2).mean(-1, keepdims=True))
    without_gain, _ = reference.rms_norm_backward(dn, (x_hat, s, np.ones(d)))
    without_eps, _ = reference.rms_norm_backward(dn, (x / bare, bare, w))
    mistakes = [
        (g / s, "The root depends on x too: dx lacks the part that comes back through it."),
        ((g - along - g.mean(-1, keepdims=True)) / s, "That is LayerNorm: RMSNorm subtracts no mean, on neither way."),
        ((g - x.shape[-1] * along) / s, "The mean square hands each entry 1/d of its gradient: divide by d."),
        ((g + along) / s, "The part through the root has the wrong sign: a larger root makes n smaller."),
        (without_gain, "dx lacks the gain: what reaches x_hat is w * dn."),
        (without_eps, "eps is missing: the root is of the mean square + eps."),
    ]
    expect_close(dx, wanted, "dx", mistakes)
    terms = dn * x_hat
    expect_close(
        dw,
        wanted_w,
        "dw",
        mistakes=[
            (terms.mean(0), "dw is a sum over the rows, not their mean."),
            (terms, "The gain served all rows: dw must be summed over them."),
            ((dn * x).sum(0), "The gain multiplies x_hat, not x."),
        ],
    )
    return "the backward pass of RMSNorm"


def _post_back(dy: Tensor, x: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    total = x + x.relu() @ B
    sigma = (total.var(-1, correction=0, keepdim=True) + EPS).sqrt()
    x_hat = (total - total.mean(-1, keepdim=True)) / sigma
    ds = (dy - dy.mean(-1, keepdim=True) - x_hat * (dy * x_hat).mean(-1, keepdim=True)) / sigma
    return ds + ds @ B.T * (x > 0), x.relu().T @ ds


@exercise("exercise-hand-post", points=2, right=_post_back)
def check_post_norm_back(answer: Callable[..., tuple[ndarray, ndarray]], face: Draw) -> str:
    """Check ``answer(dy, x, B) -> (dx, dB)`` for ``y = LN(x + ReLU(x) B)`` without gain, with eps 0.00001.

    The verdict is wrong if a gradient is wrong.
    """
    draw = face.numpy(1)
    rows, d = face.size(4, 3), face.size(5, 4)
    dy, x = draw.normal(size=(2, rows, d))
    matrix = draw.normal(size=(d, d))
    dx, d_matrix = several(call(answer, dy, x, matrix), "dx", "dB")
    relu, on = np.maximum(x, 0), x > 0
    total = x + relu @ matrix
    ds = _norm_back(dy, total)
    branch = ds @ matrix.T * on
    expect_close(
        dx,
        ds + branch,
        "dx",
        mistakes=[
            (dy + branch, "The shortcut ends before the norm: what it brings back has gone through the norm too."),
            (branch, "dx lacks the shortcut: x reaches the sum past the branch as well."),
            (dy + dy @ matrix.T * on, "The norm is missing: the gradient of the sum is normalize_back of dy."),
            (ds + ds @ matrix.T, "dx lets a gradient through where the ReLU was off: multiply by x > 0."),
            (ds + ds @ matrix * on, "The matrix must be transposed: f = r B, so dr is df B'."),
            (_pre_norm(dy, x, matrix), "That is the block with the norm in the branch: here it reads the sum."),
            (
                _norm_back(dy, x) + _norm_back(dy, x) @ matrix.T * on,
                "The norm reads x + ReLU(x) B: its mean and deviation are those of the sum, not of x.",
            ),
        ],
    )
    expect_close(
        d_matrix,
        relu.T @ ds,
        "dB",
        mistakes=[
            (relu.T @ dy, "dB is made from dy, but the norm stands between the matrix and y."),
            (ds.T @ relu, "dB is transposed: row i of B belongs to feature i of the ReLU."),
            (x.T @ ds, "dB is made from x, but the matrix multiplies ReLU(x)."),
        ],
    )
    return "the backward pass of a block with its norm after the sum"


def _concat_back(dy: Tensor, x: Tensor, B: Tensor) -> Tensor:
    return dy[:, : x.shape[1]] + dy[:, x.shape[1] :] @ B.T * (x > 0)


@exercise("exercise-hand-concat", points=1, right=_concat_back)
def check_concat_back(answer: Callable[..., ndarray], face: Draw) -> str:
    """Check ``answer(dy, x, B) -> dx`` for ``y = (x, ReLU(x) B)``, joined along the features.

    The verdict is wrong if the gradient is wrong.
    """
    draw = face.numpy(2)
    rows, d = face.size(4), face.size(3)
    x, matrix, dy = draw.normal(size=(rows, d)), draw.normal(size=(d, d)), draw.normal(size=(rows, 2 * d))
    first, last, on = dy[:, :d], dy[:, d:], x > 0
    through = last @ matrix.T * on
    expect_close(
        call(answer, dy, x, matrix),
        first + through,
        "dx",
        mistakes=[
            (first, "x is read twice: the part that comes back through the branch is missing."),
            (through, "x is read twice: the part that comes back from its copy in y is missing."),
            (last + first @ matrix.T * on, "The halves are exchanged: x comes first in y."),
            (first + last @ matrix.T, "dx lets a gradient through where the ReLU was off: multiply by x > 0."),
            (first + last @ matrix * on, "The matrix must be transposed: f = r B, so dr is df B'."),
        ],
    )
    return "two gradients, added at the fork"


def _direction_error(loss: Callable, x: Tensor, dx: Tensor, u: Tensor, h: float) -> Tensor:
    slope = (dx * u).sum()
    return abs((loss(x + h * u) - loss(x - h * u)) / (2 * h) - slope) / abs(slope)


@exercise("exercise-hand-direction", points=2, right=_direction_error)
def check_direction_error(answer: Callable[..., float], face: Draw) -> str:
    """Check ``answer(loss, x, dx, u, h)``: the relative error of a gradient along a direction.

    The verdict is wrong if the error is wrong, for a right gradient or a wrong one, or if x is changed.
    """
    draw = face.numpy(3)
    rows, d = face.size(3, high=5), face.size(4, high=5)
    x, u = draw.normal(size=(2, rows, d))
    h, a = face.value(0.3, 0.2, 0.5), face.value(1.0, 0.5, 3)  # the loss is the sum of a x^3
    exact, cubes = 3 * a * x**2, a * h**2 * (u**3).sum()
    for dx, what in ((exact, "of a right gradient"), (exact + u, "of a wrong gradient")):
        slope = (dx * u).sum()
        measured = (exact * u).sum() + cubes
        ahead = a * (((x + h * u) ** 3).sum() - (x**3).sum()) / h
        unit = u / np.linalg.norm(u)
        along = a * ((x + h * unit) ** 3 - (x - h * unit) ** 3).sum() / (2 * h)
        got = call(answer, lambda z: a * (z**3).sum(), x, dx, u, h)
        expect_close(
            got,
            abs(measured - slope) / abs(slope),
            f"The error {what}",
            mistakes=[
                ((measured - slope) / slope, "The error must not have a sign: take the absolute value."),
                (abs(measured - slope), "The error must be relative: divide by the size of the slope."),
                (abs(ahead - slope) / abs(slope), "That is a one-sided difference: move x in both directions."),
                (abs(2 * measured - slope) / abs(slope), "The two points are 2 h apart: divide by 2 h."),
                (abs(2 * h * measured - slope) / abs(slope), "The difference of the losses must be divided by 2 h."),
                (abs(along - (dx * unit).sum()) / abs((dx * unit).sum()), "Move along u itself, not along u / |u|."),
            ],
            tolerance=5e-4,  # the difference of two losses in float32
        )
    return "a gradient, checked with two losses"


def _norm_back(dy: ndarray, x: ndarray) -> ndarray:
    """Return the gradient of LayerNorm of ``x``, without gain."""
    return reference.layer_norm_backward(dy, reference.layer_norm_forward(x, eps=EPS)[1])[0]


def _pre_norm(dy: ndarray, x: ndarray, matrix: ndarray) -> ndarray:
    """Return dx for ``y = x + ReLU(LN(x)) B``."""
    n, _ = reference.layer_norm_forward(x, eps=EPS)
    return dy + _norm_back(dy @ matrix.T * (n > 0), x)
