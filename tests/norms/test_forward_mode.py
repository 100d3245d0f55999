"""Forward-mode differentiation, alone and nested with itself and with the backward pass, gives the same derivatives."""

import copy

import pytest
import torch
from torch.autograd import forward_ad, grad
from torch.func import functional_call, jvp

from resnorm_lib.norms import BatchNorm, BatchRenorm, GhostBatchNorm, InstanceNorm
from tests.norms.cases import cases
from tests.reference.oracles import upstream

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # which forward_ad itself calls


def function_of(case):
    """Return the norm as a scalar function of its inputs and parameters, a point, and two directions there."""
    module, inputs = case.build(), case.inputs()
    weights = dict(module.named_parameters())
    start = [tensor.detach() for tensor in (*inputs, *weights.values())]
    dy = upstream(case.build()(*inputs))

    def function(*tensors):
        given = dict(zip(weights, tensors[len(inputs) :]))
        return (functional_call(copy.deepcopy(module), given, tensors[: len(inputs)]) * dy).sum()

    directions = [tuple(upstream(tensor, seed) for tensor in start) for seed in (7, 8)]
    return function, tuple(start), *directions


def along(gradients, direction):
    return sum((g * v).sum() for g, v in zip(gradients, direction) if g is not None)


def backward_derivatives(function, start, v, w):
    """Return the derivative along v, and that of this one along v and along w, by two backward passes."""
    leaves = [tensor.clone().requires_grad_() for tensor in start]
    first = along(grad(function(*leaves), leaves, create_graph=True, allow_unused=True), v)
    again = grad(first, leaves, allow_unused=True)
    return first.detach(), along(again, v), along(again, w)


@cases()
def test_a_forward_derivative_is_the_backward_one(case):
    function, start, v, _ = function_of(case)
    leaves = [tensor.clone().requires_grad_() for tensor in start]
    expected = along(grad(function(*leaves), leaves), v)
    torch.testing.assert_close(jvp(function, start, v)[1], expected)
    with forward_ad.dual_level():
        y = function(*(forward_ad.make_dual(tensor, tangent) for tensor, tangent in zip(start, v)))
        torch.testing.assert_close(forward_ad.unpack_dual(y).tangent, expected)


@cases(where=lambda case: case.true_gradient)
def test_a_forward_derivative_can_be_differentiated_again_in_either_mode(case):
    function, start, v, w = function_of(case)
    _, twice, mixed = backward_derivatives(function, start, v, w)

    def derivative(*tensors):
        return jvp(function, tensors, v)[1]

    leaves = [tensor.clone().requires_grad_() for tensor in start]
    torch.testing.assert_close(jvp(derivative, start, v)[1], twice)
    torch.testing.assert_close(jvp(derivative, start, w)[1], mixed)
    torch.testing.assert_close(along(grad(derivative(*leaves), leaves, allow_unused=True), w), mixed)
    torch.testing.assert_close(along(jvp(torch.func.grad(function, tuple(range(len(start)))), start, v)[1], w), mixed)


@pytest.mark.parametrize(
    "make",
    [
        BatchNorm,
        lambda dim: BatchNorm(dim, momentum=None),
        lambda dim: GhostBatchNorm(dim, 3),
        BatchRenorm,
        lambda dim: InstanceNorm(dim, track_running_stats=True),
    ],
    ids=["batch", "averaging", "ghost_batch", "batch_renorm", "instance"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_running_statistics_move_by_the_values_alone(make, dtype):
    x = 3 + torch.randn(8, 4, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    norms = [make(4).to(dtype) for _ in range(2)]
    y = norms[0](x)
    with forward_ad.dual_level():
        dual = norms[1](forward_ad.make_dual(x, torch.ones_like(x)))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).primal, y.detach())
        assert all(forward_ad.unpack_dual(buffer).tangent is None for buffer in norms[1].buffers())
    torch.testing.assert_close(*(dict(norm.named_buffers()) for norm in norms))
