r"""The statistics of a report, each computed from one tensor or two, in float32 (float64 for float64).

Call them inside :func:`measuring`. Every function returns tensors without axes, on the device of its input: reading a
number off a GPU makes the processor wait, so that is left for the end.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from resnorm_lib._precision import upcast

__all__ = ["dead_share", "gradient_correlation", "measuring", "moments", "norm", "rms", "sides", "token_rank"]


@contextmanager
def measuring(device: torch.device) -> Iterator[None]:
    """Measure without building a graph, and in full precision where autocast would lower it."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


def dot(x: Tensor, y: Tensor) -> Tensor:
    """Return the sum of the products of all entries."""
    # BLAS sums in many lanes: ten times as exact in float32 as torch's vector_norm on a CPU, and much faster.
    x, y = x.reshape(-1), y.reshape(-1)
    return torch.dot(x, y) if x.numel() < 2**31 else (x * y).sum()


def norm(x: Tensor) -> Tensor:
    r"""Return the Euclidean norm of all entries, :math:`\lVert x \rVert`."""
    x = upcast(x)
    return dot(x, x).sqrt()


def rms(x: Tensor) -> Tensor:
    r"""Return the root mean square of all n entries, :math:`\lVert x \rVert / \sqrt n`."""
    x = upcast(x)
    return dot(x, x).div(x.numel()).sqrt()


def moments(x: Tensor) -> dict[str, Tensor]:
    """Return root mean square and mean of all entries."""
    return {"rms": rms(x), "mean": upcast(x).mean()}


def sides(stream: Tensor, branch: Tensor) -> dict[str, Tensor]:
    r"""Return the branch-to-stream ratio :math:`\lVert b \rVert / \lVert s \rVert` and the cosine of the two."""
    stream, branch = upcast(stream), upcast(branch)
    stream, branch = (x.to(torch.promote_types(stream.dtype, branch.dtype)) for x in (stream, branch))
    inner, s, b = dot(stream, branch), dot(stream, stream).sqrt(), dot(branch, branch).sqrt()
    return {"branch_ratio": b / s, "cosine": inner / (s * b)}


def token_rank(x: Tensor, sample_axis: int, feature_axis: int) -> Tensor:
    r"""Return the effective rank of a sample's tokens, the mean over samples.

    With :math:`\sigma_i` the singular values of a sample's matrix X, tokens (or pixels) by features,

    .. math:: \frac{(\sum_i \sigma_i^2)^2}{\sum_i \sigma_i^4}
        = \frac{\lVert X \rVert_F^4}{\lVert X X^\top \rVert_F^2} \;\in\; [1, \min(T, d)].

    It is 1 when all tokens point the same way, and never below the stable rank
    :math:`\lVert X \rVert_F^2 / \sigma_1^2`.
    """
    x = upcast(x).movedim((sample_axis, feature_axis), (0, -1)).flatten(1, -2)
    tokens, features = x.shape[1:]
    gram = x @ x.mT if tokens <= features else x.mT @ x
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
    return (trace.square() / gram.square().sum((-2, -1))).mean()


def gradient_correlation(gradient: Tensor, sample_axis: int) -> Tensor:
    r"""Return the mean cosine between the gradients of two different samples.

    .. math:: \frac{1}{N(N-1)} \sum_{i \ne j} u_i \cdot u_j = \frac{\lVert \sum_i u_i \rVert^2 - N}{N(N-1)},
        \qquad u_i = g_i / \lVert g_i \rVert

    with :math:`g_i` all entries of sample i. Samples without any gradient are left out; of fewer than two it is nan.
    """
    rows = upcast(gradient).movedim(sample_axis, 0).flatten(1)
    sizes = torch.linalg.vector_norm(rows, dim=1)
    total = torch.where(sizes > 0, 1 / sizes, 0.0) @ rows
    count = (sizes > 0).sum()
    pairs = count * (count - 1)
    return torch.where(pairs > 0, (dot(total, total) - count) / pairs, math.nan)


def dead_share(x: Tensor, feature_axis: int) -> Tensor:
    """Return the share of a ReLU's units (features) that are zero everywhere: for each row, token and pixel."""
    others = tuple(axis for axis in range(x.dim()) if axis != feature_axis)
    return (x.detach().amax(others) == 0).float().mean()
