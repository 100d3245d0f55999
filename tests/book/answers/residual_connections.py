"""Right and wrong answers to the exercises of "Residual connections"."""

import torch

from resnorm_lib.checks import residual_connections as checks
from resnorm_lib.residual import residual_add


def concat_weights(dim, growth, depth):
    return sum((dim + step * growth) * growth for step in range(depth))


def backward(dy, x, weight):
    return dy + (dy @ weight) * (x > 0), dy.T @ x.clamp(min=0)


def backward_with(dx=None, dweight=None):
    """The right backward pass, but for one of its two results."""

    def answer(dy, x, weight):
        right = backward(dy, x, weight)
        return (dx or (lambda *_: right[0]))(dy, x, weight), (dweight or (lambda *_: right[1]))(dy, x, weight)

    return answer


def add_in_place(stream, branch):
    stream += branch
    return stream


def compare_last_axis(stream, branch):
    if stream.shape[-1:] != branch.shape[-1:]:
        raise ValueError
    return stream + branch


def compare_with_assert(stream, branch):
    assert stream.shape == branch.shape
    return stream + branch


def compare_sizes(stream, branch):
    if stream.numel() != branch.numel():
        raise ValueError
    return stream + branch


EXERCISES = {
    checks.check_concat_weights: (
        concat_weights,
        {
            lambda dim, growth, depth: depth * dim * growth: "as if it were the first",
            lambda dim, growth, depth: concat_weights(dim + growth, growth, depth): "nothing has been appended yet",
            lambda dim, growth, depth: depth * dim * dim: "is the sum's count",
            lambda dim, growth, depth: concat_weights(dim, growth, depth) + 1: "larger by 1",
        },
    ),
    checks.check_residual_backward: (
        backward,
        {
            backward_with(dx=lambda dy, x, w: (dy @ w) * (x > 0)): "lacks the identity term",
            backward_with(dx=lambda dy, x, w: dy): "the identity term alone",
            backward_with(dx=lambda dy, x, w: dy + dy @ w): "where the ReLU was off",
            backward_with(dx=lambda dy, x, w: dy + (dy @ w.T) * (x > 0)): "dx has the transposed matrix",
            backward_with(dx=lambda dy, x, w: (dy + dy @ w) * (x > 0)): "the identity term has no mask",
            backward_with(dweight=lambda dy, x, w: x.clamp(min=0).T @ dy): "dweight is transposed",
            backward_with(dweight=lambda dy, x, w: dy.T @ x): "dweight is made from x",
            lambda dy, x, w: dy: "must return . values",
        },
    ),
    checks.check_safe_add: (
        residual_add,
        {
            torch.add: "was added to a stream",
            add_in_place: "changes its argument in place",
            compare_last_axis: "was added to a stream",
            compare_with_assert: "must be a ValueError",
            compare_sizes: "changed the shape",
            lambda stream, branch: stream: "The sum of two tensors",
            lambda stream, branch: residual_add(stream, 2 * branch): "The sum of two tensors",
            lambda stream, branch: residual_add(stream, branch).sum(0): "has shape",
            lambda stream, branch: residual_add(stream, branch).relu(): "The sum of two tensors",
            lambda stream, branch: residual_add(*torch.broadcast_tensors(stream, branch)): "was added to a stream",
            lambda stream, branch: torch.cat([stream, branch], -1): "has shape",
        },
    ),
}
