"""The kernels of layer_norm and rms_norm: values, gradients, second gradients, layouts, repetition, wrong arguments."""

import numpy as np
import pytest
import torch

from resnorm_lib import reference
from resnorm_lib.ops import kernels, launch, layer_norm, rms_norm
from tests.ops.cases import (
    DEVICE,
    LOW,
    assert_as_good_as_torch,
    gradients,
    name,
    needs_kernels,
    pairwise,
    random,
    strided,
)

NORMS = {"layer": layer_norm, "rms": rms_norm}
PATHS = {"whole": {}, "chunked": {"rows": 2, "block": 16, "programs": 2}}  # rows of one tile, or of several chunks
TABLE = pairwise(
    norm=("layer", "rms"),
    affine=("full", "zero_centered_gain", "none", "no_bias"),
    dtype=(*LOW, torch.float32),  # float64 is held to the formula itself, below
    parameters=("own", torch.float32),
    n=(1, 16, 37, 64),
    path=tuple(PATHS),
    layout=("dense", "strided"),
)
both = pytest.mark.parametrize("norm", list(NORMS))
paths = pytest.mark.parametrize("path", list(PATHS))


def case(norm, affine, dtype, parameters, n, layout, path=None):
    """The function and its inputs (x, weight, bias), for a row of the table."""
    dtype_w = dtype if parameters == "own" else parameters
    x, dy = random(2, 5, n, dtype=dtype), random(2, 5, n, dtype=dtype, seed=1)
    w = None if affine == "none" else random(n, dtype=dtype_w, seed=2)
    b = random(n, dtype=dtype_w, seed=3) if affine in ("full", "zero_centered_gain") and norm == "layer" else None
    flags = {"zero_centered_gain": affine == "zero_centered_gain", "eps": 1e-5}
    if norm == "layer":
        inputs = (x, w, b)
        return lambda x, w, b: layer_norm(x, w, b, **flags), _layout(inputs, layout), dy
    return lambda x, w: rms_norm(x, w, **flags), _layout((x, w), layout), dy


def _layout(inputs, layout):
    return inputs if layout == "dense" else (strided(inputs[0]), *inputs[1:])


@needs_kernels
@pytest.mark.parametrize("row", TABLE, ids=name)
def test_a_kernel_is_as_good_as_torch_under_every_pair_of_flags(row):
    function, inputs, dy = case(**row)
    with launch.forced(**PATHS[row["path"]]):
        assert_as_good_as_torch(function, inputs, [dy], parameters=(1, 2))


@needs_kernels
@paths
def test_layer_norm_in_float64_is_the_formula_of_the_book(path):
    x, w, b, dy = random(6, 21), random(21, seed=1), random(21, seed=2), random(6, 21, seed=3)
    with kernels("on"), launch.forced(**PATHS[path]):
        (y,), grads = gradients(layer_norm, (x, w, b), [dy])
    expected, cache = reference.layer_norm_forward(*(t.cpu().numpy() for t in (x, w, b)))
    for ours, right in zip([y, *grads], [expected, *reference.layer_norm_backward(dy.cpu().numpy(), cache)]):
        np.testing.assert_allclose(ours.cpu().numpy(), right, rtol=0, atol=1e-13)  # 21 u, and entries below 10


@needs_kernels
@paths
def test_rms_norm_in_float64_is_the_formula_of_the_book(path):
    x, w, dy = random(6, 21), random(21, seed=1), random(6, 21, seed=3)
    with kernels("on"), launch.forced(**PATHS[path]):
        (y,), grads = gradients(rms_norm, (x, w), [dy])
    expected, cache = reference.rms_norm_forward(*(t.cpu().numpy() for t in (x, w)))
    for ours, right in zip([y, *grads], [expected, *reference.rms_norm_backward(dy.cpu().numpy(), cache)]):
        np.testing.assert_allclose(ours.cpu().numpy(), right, rtol=0, atol=1e-13)


@needs_kernels
@both
@paths
@pytest.mark.parametrize("affine", ["full", "zero_centered_gain", "none"])
def test_gradients_and_their_gradients_are_those_of_the_function(norm, path, affine):
    function, inputs, _ = case(norm, affine, torch.float64, "own", 6, "dense")
    inputs = [x if x is None else x.detach().requires_grad_() for x in (inputs[0][0, :3], *inputs[1:])]
    tile = {} if path == "whole" else {"rows": 2, "block": 4, "programs": 1}  # two tiles of two chunks, one program
    with kernels("on"), launch.forced(**tile):
        assert torch.autograd.gradcheck(function, inputs, fast_mode=path == "chunked")
        assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


@needs_kernels
def test_a_parameter_that_depends_on_the_input_gets_its_own_second_gradient():
    """Through w(x), x is reached twice; a backward pass that differentiates anew must not count that way itself."""
    x = random(1, 5, grad=True)
    with kernels("on"):
        assert torch.autograd.gradgradcheck(lambda x: layer_norm(x, x[0] ** 2), (x,))


@needs_kernels
@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("n", [16, 37, 1000])
def test_a_row_has_the_same_bits_alone_and_in_any_batch(norm, dtype, n):
    x, dy, w = random(37, n, dtype=dtype), random(37, n, dtype=dtype, seed=1), random(n, dtype=dtype, seed=2)
    with kernels("on"):
        (y,), (dx, _) = gradients(NORMS[norm], (x, w), [dy])
        for rows in (slice(0, 1), slice(36, 37), slice(5, 22)):
            (part,), (dpart, _) = gradients(NORMS[norm], (x[rows], w), [dy[rows]])
            assert torch.equal(part, y[rows])
            assert torch.equal(dpart, dx[rows])


@needs_kernels
@both
@paths
def test_two_runs_have_the_same_bits(norm, path):
    x, w, dy = random(19, 33, dtype=torch.float32), random(33, dtype=torch.float32), random(19, 33, seed=1)
    with kernels("on"), launch.forced(**PATHS[path]):
        first, second = (gradients(NORMS[norm], (x, w), [dy]) for _ in range(2))
    for a, b in zip(first[0] + first[1], second[0] + second[1]):
        assert torch.equal(a, b)


@needs_kernels
@both
def test_the_number_of_programs_changes_no_row(norm):
    """And the gradients of parameters by no more than another order of summation does: M u times the sum of sizes."""
    x, w, dy = random(19, 33, dtype=torch.float32), random(33, dtype=torch.float32), random(19, 33, seed=1)
    runs = []
    for programs in (1, 2, 5):
        with kernels("on"), launch.forced(rows=2, programs=programs):
            runs.append(gradients(NORMS[norm], (x, w), [dy])[1])
    for dx, dw in runs[1:]:
        assert torch.equal(dx, runs[0][0])
        size = (dy.float() * NORMS[norm](x)).abs().sum(0)
        assert ((dw - runs[0][1]).abs() <= 19 * 2 * 2.0**-24 * size).all()


@needs_kernels
@both
def test_no_rows_give_no_rows_and_zero_gradients(norm):
    x, w = random(0, 3, 8), random(8)
    with kernels("on"):
        (y,), (dx, dw) = gradients(NORMS[norm], (x, w), [x])
    assert y.shape == dx.shape == (0, 3, 8)
    assert torch.equal(dw, torch.zeros_like(w))


@needs_kernels
@both
def test_gradients_of_any_strides_are_read_right(norm):
    """To the last bits: strides are constants of a kernel, and another kernel may contract other products."""
    x, w = random(4, 9), random(9)
    every = {
        "expanded": torch.ones((), device=DEVICE, dtype=torch.float64).expand(4, 9),
        "one row": random(1, 9, seed=4).expand(4, 9),
        "transposed": random(9, 4, seed=5).t(),
        "rows apart": strided(random(4, 9, seed=6)),
    }
    for kind, dy in every.items():
        with kernels("on"):
            ours = gradients(NORMS[norm], (x, w), [dy])[1]
            right = gradients(NORMS[norm], (x, w), [dy.contiguous()])[1]
        for a, b in zip(ours, right):  # a wrong stride is off by as much as dy itself; sums of 9 and 4 numbers are not
            assert (a - b).abs().max() <= 32 * 2.0**-53 * b.abs().max(), kind


@needs_kernels
@both
def test_nothing_is_written_to_what_was_given(norm):
    x, w, dy = random(4, 9), random(9), random(4, 9, seed=1)
    before = [t.clone() for t in (x, w, dy)]
    with kernels("on"):
        gradients(NORMS[norm], (x, w), [dy])
    assert all(torch.equal(a, b) for a, b in zip(before, (x, w, dy)))


@needs_kernels
def test_only_the_gradients_that_are_asked_for_are_made():
    x, w, b = random(4, 9), random(9, grad=True), random(9)
    with kernels("on"):
        (dw,) = torch.autograd.grad(layer_norm(x, w, b).square().sum(), [w])
        assert torch.equal(dw, gradients(layer_norm, (x, w, b), [2 * layer_norm(x, w, b).detach()])[1][1])
        layer_norm(x.requires_grad_(), w, b).sum().backward()
    assert b.grad is None
    assert x.grad is not None


@pytest.mark.parametrize("mode", ["off", pytest.param("on", marks=needs_kernels)])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(2, 3, dtype=torch.int64),), "x has shape .2, 3., torch.int64 .* but it must be a floating"),
        (([1.0],), r"x is \[1.0\]"),
        ((torch.zeros(()),), r"x has shape \(\)"),
        ((torch.zeros(2, 0),), r"x has shape \(2, 0\)"),
        ((torch.zeros(2, 3), torch.zeros(2)), r"weight has shape \(2,\).* must be a floating point tensor \(3,\)"),
        ((torch.zeros(2, 3), torch.zeros(3), torch.zeros(1, 3)), r"bias has shape \(1, 3\)"),
        ((torch.zeros(2, 3), torch.zeros(3, device="meta")), "lies on meta, but it must be"),
        ((torch.zeros(2, 3), None, None, -1.0), "eps is -1.0, but it must be at least 0"),
        ((torch.zeros(2, 8), (8,), torch.ones(8), torch.zeros(8)), r"weight is \(8,\), but .* no shape is taken"),
    ],
)
def test_wrong_arguments_are_named(mode, arguments, message):
    with kernels(mode), pytest.raises(ValueError, match=message):
        layer_norm(*arguments)
