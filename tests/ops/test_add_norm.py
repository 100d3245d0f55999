"""The kernels of add_norm: values, gradients, second gradients, the stream, wrong arguments."""

import numpy as np
import pytest
import torch

from resnorm_lib import reference
from resnorm_lib.ops import add_norm, kernels, launch
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

PATHS = {"whole": {}, "chunked": {"rows": 2, "block": 16, "programs": 2}}
TABLE = pairwise(
    norm=("layer", "rms"),
    prenorm=(True, False),
    affine=("full", "zero_centered_gain", "none", "no_bias"),
    dtype=(*LOW, torch.float32),
    stream=("same", "fp32"),
    n=(1, 16, 37),
    path=tuple(PATHS),
    layout=("dense", "strided"),
)
paths = pytest.mark.parametrize("path", list(PATHS))


def case(norm, prenorm, affine, dtype, stream, n, layout="dense", path=None):
    """The function of (x, residual, weight, bias), these, and upstream gradients, for a row of the table."""
    x, r = random(2, 5, n, dtype=dtype), random(2, 5, n, dtype=torch.float32 if stream == "fp32" else dtype, seed=1)
    w = None if affine == "none" else random(n, dtype=dtype, seed=2)
    b = random(n, dtype=dtype, seed=3) if norm == "layer" and affine in ("full", "zero_centered_gain") else None
    zero_centered_gain = affine == "zero_centered_gain"
    flags = {"norm": norm, "prenorm": prenorm, "zero_centered_gain": zero_centered_gain, "eps": 1e-5}
    if layout == "strided":
        x, r = strided(x), strided(r)
    dys = [random(2, 5, n, dtype=dtype, seed=4)]
    if prenorm:
        dys.append(random(2, 5, n, dtype=torch.float32 if stream == "fp32" else dtype, seed=5))
    return lambda x, r, w, b: add_norm(x, r, w, b, **flags), (x, r, w, b), dys


@needs_kernels
@pytest.mark.parametrize("row", TABLE, ids=name)
def test_a_kernel_is_as_good_as_torch_under_every_pair_of_flags(row):
    function, inputs, dys = case(**row)
    with launch.forced(**PATHS[row["path"]]):
        assert_as_good_as_torch(function, inputs, dys, parameters=(2, 3))


@needs_kernels
@paths
@pytest.mark.parametrize("prenorm", [True, False])
def test_add_and_layer_norm_in_float64_are_the_formula_of_the_book(path, prenorm):
    x, r, w, b, dy, ds = (random(*s, seed=k) for k, s in enumerate([(6, 21)] * 2 + [(21,)] * 2 + [(6, 21)] * 2))
    with kernels("on"), launch.forced(**PATHS[path]):
        outputs, (dx, dr, dw, db) = gradients(
            lambda *a: add_norm(*a, prenorm=prenorm), (x, r, w, b), [dy, ds][: 1 + prenorm]
        )
    s, w, b, dy, ds = (t.cpu().numpy() for t in (x + r, w, b, dy, ds))
    y, cache = reference.layer_norm_forward(s, w, b)
    total, *right = reference.layer_norm_backward(dy, cache)
    total = total + ds if prenorm else total
    for ours, expected in zip([outputs[0], dx, dr, dw, db], [y, total, total, *right]):
        np.testing.assert_allclose(ours.cpu().numpy(), expected, rtol=0, atol=1e-13)  # 21 u, and entries below 10
    assert not prenorm or (outputs[1].cpu().numpy() == s).all()


@needs_kernels
@paths
@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("prenorm", [True, False])
def test_gradients_and_their_gradients_are_those_of_the_function(path, norm, prenorm):
    tile = {} if path == "whole" else {"rows": 1, "block": 4, "programs": 1}
    x, r, w = random(2, 6, grad=True), random(2, 6, seed=1, grad=True), random(6, seed=2, grad=True)
    flags = {"norm": norm, "prenorm": prenorm, "eps": 1e-5, "zero_centered_gain": norm == "rms"}
    inputs = (x, r, w, random(6, seed=3, grad=True)) if norm == "layer" else (x, r, w)

    with kernels("on"), launch.forced(**tile):
        assert torch.autograd.gradcheck(lambda *a: add_norm(*a, **flags), inputs, fast_mode=True)
        assert torch.autograd.gradgradcheck(lambda *a: add_norm(*a, **flags), inputs, fast_mode=True)


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_what_is_normalized_is_the_stored_stream(dtype):
    """Also where it is not stored: evaluation and training give the same bits, and so do an add and a norm apart."""
    x, r = random(4, 33, dtype=dtype), random(4, 33, dtype=dtype, seed=1)
    with kernels("on"):
        y, s = add_norm(x, r)
        assert torch.equal(s, r + x)
        assert torch.equal(add_norm(x, r, prenorm=False), y)
        assert torch.equal(add_norm(x.clone().requires_grad_(), r, prenorm=False), y)
        assert torch.equal(add_norm(s, torch.zeros_like(s))[0], y)


@pytest.mark.parametrize("mode", ["off", pytest.param("on", marks=needs_kernels)])
def test_a_stream_in_float32_keeps_what_sixteen_bits_lose(mode):
    x, r = torch.full((2, 8), 2.0**-9, dtype=torch.bfloat16, device=DEVICE), torch.ones(2, 8, device=DEVICE)
    with kernels(mode):
        y, s = add_norm(x, r)
        _, narrow = add_norm(x, r.bfloat16())
    assert (y.dtype, s.dtype, narrow.dtype) == (torch.bfloat16, torch.float32, torch.bfloat16)
    assert (s == 1 + 2.0**-9).all()
    assert (narrow == 1).all()


@needs_kernels
@pytest.mark.parametrize(
    ("branch", "stream"), [("float32", "bfloat16"), ("bfloat16", "float16"), ("float32", "float64")]
)
def test_the_sum_has_the_wider_dtype_of_the_two_whichever_is_wider(branch, stream):
    x, r = (random(3, 8, dtype=getattr(torch, dtype), seed=k) for k, dtype in enumerate((branch, stream)))
    results = []
    for mode in ("off", "on"):
        with kernels(mode):
            outputs, grads = gradients(add_norm, (x, r), [random(3, 8, seed=2), random(3, 8, seed=3)])
        results.append([*outputs, *grads])
    wider = torch.promote_types(x.dtype, r.dtype)
    assert [t.dtype for t in results[1]] == [x.dtype, wider, x.dtype, r.dtype]
    assert torch.equal(results[1][1], r + x)
    for plain, ours in zip(*results):
        torch.testing.assert_close(ours, plain)


@needs_kernels
def test_gradients_keep_the_dtypes_of_their_inputs():
    x, r = random(3, 8, dtype=torch.bfloat16), random(3, 8, dtype=torch.float32, seed=1)
    w, b = random(8, dtype=torch.float32), random(8, dtype=torch.bfloat16)
    with kernels("on"):
        outputs, grads = gradients(add_norm, (x, r, w, b), [x, r])
    assert [t.dtype for t in (*outputs, *grads)] == [x.dtype, r.dtype, x.dtype, r.dtype, w.dtype, b.dtype]


@needs_kernels
def test_the_stream_alone_or_the_norm_alone_may_be_used():
    x, r, w = random(3, 8, grad=True), random(3, 8, seed=1, grad=True), random(8, grad=True)
    for used in (0, 1):
        expected = []
        for mode in ("off", "on"):
            with kernels(mode):
                result = add_norm(x, r, w)[used].square().sum()
                expected.append(torch.autograd.grad(result, [x, r, w], allow_unused=True, materialize_grads=True))
        for a, b in zip(*expected):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_row_has_the_same_bits_alone_and_in_any_batch(dtype):
    x, r, dy, ds = (random(37, 40, dtype=dtype, seed=k) for k in range(4))
    with kernels("on"):
        outputs, grads = gradients(add_norm, (x, r), [dy, ds])
        for rows in (slice(0, 1), slice(36, 37), slice(5, 22)):
            parts, dparts = gradients(add_norm, (x[rows], r[rows]), [dy[rows], ds[rows]])
            for part, whole in zip([*parts, *dparts], [*outputs, *grads]):
                assert torch.equal(part, whole[rows])


@needs_kernels
def test_no_rows_give_no_rows():
    x = random(0, 8)
    with kernels("on"):
        (y, s), (dx, dr) = gradients(add_norm, (x, x), [x, x])
    assert y.shape == s.shape == dx.shape == dr.shape == (0, 8)


@pytest.mark.parametrize("mode", ["off", pytest.param("on", marks=needs_kernels)])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"residual": torch.zeros(2, 1)}, "x has shape .2, 3.* but residual has .2, 1.*never broadcasts"),
        ({"residual": torch.zeros(3)}, "never broadcasts"),
        ({"residual": [1.0]}, r"residual is \[1.0\], but it must be a floating point tensor of the shape of x"),
        ({"norm": "batch"}, "norm is 'batch', but it must be one of 'layer', 'rms'"),
        ({"weight": torch.zeros(2)}, r"weight has shape \(2,\)"),
        ({"prenorm": 1}, "prenorm is 1, but it must be True or False"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_wrong_arguments_are_named(mode, changes, message):
    with kernels(mode), pytest.raises(ValueError, match=message):
        add_norm(**({"x": torch.zeros(2, 3), "residual": torch.zeros(2, 3)} | changes))
