"""Right and wrong answers to the exercises of "Forward and backward, by hand"."""

import numpy as np

from resnorm_lib import reference
from resnorm_lib.checks import forward_and_backward as checks


def norm_back(dy, x):
    return reference.layer_norm_backward(dy, reference.layer_norm_forward(x, eps=1e-5)[1])[0]


def rms_norm_back(dn, x, w, eps, sign=1, share=1, sums=np.sum):
    s = np.sqrt((x**2).mean(-1, keepdims=True) + eps)
    g = w * dn
    ds = -sign * (x * g).sum(-1, keepdims=True) / s**2
    return g / s + share * 2 / x.shape[-1] * x * ds / (2 * s), sums(dn * x / s, 0)


def rms_norm_back_with_mean(dn, x, w, eps):
    dx, dw = rms_norm_back(dn, x, w, eps)
    s = np.sqrt((x**2).mean(-1, keepdims=True) + eps)
    return dx - (w * dn).mean(-1, keepdims=True) / s, dw


def post_norm_back(dy, x, B, past=None, on=None, read=None):
    r = np.maximum(x, 0)
    ds = norm_back(dy, x + r @ B if read is None else read)
    return (ds if past is None else past) + ds @ B.T * (x > 0 if on is None else on), r.T @ ds


def pre_norm_back(dy, x, B):
    n, _ = reference.layer_norm_forward(x, eps=1e-5)
    return dy + norm_back(dy @ B.T * (n > 0), x), np.maximum(n, 0).T @ dy


def concat_back(dy, x, B):
    d = x.shape[1]
    return dy[:, :d] + dy[:, d:] @ B.T * (x > 0)


def direction_error(loss, x, dx, u, h, apart=2):
    measured = (loss(x + h * u) - loss(x - h * u)) / (apart * h)
    return abs(measured - (dx * u).sum()) / abs((dx * u).sum())


def direction_error_in_place(loss, x, dx, u, h):
    x += h * u
    above = loss(x)
    x -= h * u
    x -= h * u
    return abs((above - loss(x)) / (2 * h) - (dx * u).sum()) / abs((dx * u).sum())


EXERCISES = {
    checks.check_rms_norm_back: (
        rms_norm_back,
        {
            lambda dn, x, w, eps: rms_norm_back(dn, x, w, eps, share=0): "lacks the part",
            rms_norm_back_with_mean: "That is LayerNorm",
            lambda dn, x, w, eps: rms_norm_back(dn, x, w, eps, share=x.shape[-1]): "divide by d",
            lambda dn, x, w, eps: rms_norm_back(dn, x, w, eps, sign=-1): "wrong sign",
            lambda dn, x, w, eps: rms_norm_back(dn, x, 1, eps): "lacks the gain",
            lambda dn, x, w, eps: rms_norm_back(dn, x, w, 0): "eps is missing",
            lambda dn, x, w, eps: rms_norm_back(dn, x, w, eps, sums=np.mean): "not their mean",
            lambda dn, x, w, eps: rms_norm_back(dn, x, w, eps)[0]: "must return . values",
        },
    ),
    checks.check_post_norm_back: (
        post_norm_back,
        {
            lambda dy, x, B: post_norm_back(dy, x, B, past=dy): "ends before the norm",
            lambda dy, x, B: post_norm_back(dy, x, B, past=0): "lacks the shortcut",
            lambda dy, x, B: post_norm_back(dy, x, B, on=1): "ReLU was off",
            lambda dy, x, B: post_norm_back(dy, x, B, read=x): "those of the sum",
            lambda dy, x, B: (dy + dy @ B.T * (x > 0), B): "norm is missing",
            lambda dy, x, B: (post_norm_back(dy, x, B)[0], np.maximum(x, 0).T @ dy): "made from dy",
            lambda dy, x, B: (post_norm_back(dy, x, B)[0], post_norm_back(dy, x, B)[1].T): "transposed",
            pre_norm_back: "norm in the branch",
        },
    ),
    checks.check_concat_back: (
        concat_back,
        {
            lambda dy, x, B: dy[:, : x.shape[1]]: "through the branch is missing",
            lambda dy, x, B: dy[:, x.shape[1] :] @ B.T * (x > 0): "copy in y is missing",
            lambda dy, x, B: concat_back(np.roll(dy, x.shape[1], 1), x, B): "exchanged",
            lambda dy, x, B: np.hstack((dy[:, :3], dy[:, 3:] @ B.T * (x > 0))): r"shape \(4, 6\)",
            lambda dy, x, B: dy[:, :3] + dy[:, 3:] @ B.T: "ReLU was off",
            lambda dy, x, B: concat_back(dy, x, B.T): "transposed",
        },
    ),
    checks.check_direction_error: (
        direction_error,
        {
            lambda loss, x, dx, u, h: direction_error(loss, x, dx, u, h) * abs((dx * u).sum()): "must be relative",
            lambda loss, x, dx, u, h: abs(((loss(x + h * u) - loss(x)) / h) / (dx * u).sum() - 1): "one-sided",
            lambda loss, x, dx, u, h: direction_error(loss, x, dx, u, h, apart=1): "2 h apart",
            lambda loss, x, dx, u, h: direction_error(loss, x, dx, u, h, apart=1 / h): "divided by 2 h",
            lambda loss, x, dx, u, h: direction_error(loss, x, dx, u / np.linalg.norm(u), h): "along u itself",
            direction_error_in_place: "changes its argument in place",
        },
    ),
}
