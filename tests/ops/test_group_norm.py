"""GroupNorm: kernels against NumPy, against torch in every dtype and layout, hard groups, and as an operation."""

import numpy as np
import pytest
import torch

from resnorm_lib import norms, reference
from resnorm_lib.ops import group_norm, kernels, launch
from resnorm_lib.ops.group_norm.launch import slab
from tests.ops.cases import (
    DEVICE,
    assert_as_good_as_torch,
    gpu,
    gradients,
    name,
    needs_kernels,
    pairwise,
    random,
)
from tests.reference.oracles import standardization_bound

PATHS = {"whole": {}, "chunked": {"rows": 1, "block": 32}}
paths = pytest.mark.parametrize("path", list(PATHS))
ROWS = pairwise(
    shape=[((2, 6, 5), 3), ((3, 4), 2), ((2, 6, 4, 3), 1), ((1, 8, 3, 7), 8), ((2, 4, 1, 1), 2), ((2, 4, 33), 2)],
    layout=["contiguous", "channels_last", "sliced"],
    weight=[True, False],
    bias=[True, False],
    dtype=[torch.float32, torch.bfloat16, torch.float16],
    parameters=["same", "float32"],
    path=list(PATHS),
)


def laid_out(x, layout):
    """The same numbers in another layout; sliced out of NaN, where a layout has a gap."""
    if layout == "channels_last" and x.dim() > 2:
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    if layout == "sliced":
        padded = torch.full((x.shape[0], 2 * x.shape[1], *x.shape[2:]), torch.nan, dtype=x.dtype, device=x.device)
        padded[:, 1 : 1 + x.shape[1]] = x
        return padded[:, 1 : 1 + x.shape[1]]
    return x


def inputs_of(row, dtype=torch.float64, parameters=torch.float64):
    shape, groups = row["shape"]
    x = laid_out(random(*shape, dtype=dtype, seed=1), row["layout"])
    present = row["weight"], row["bias"]
    vectors = [random(shape[1], dtype=parameters, seed=k) if p else None for k, p in zip((4, 5), present)]
    return [x, *vectors], lambda x, w, b: group_norm(x, groups, w, b)


@needs_kernels
@pytest.mark.parametrize("row", ROWS, ids=name)
def test_kernels_are_as_good_as_torch_in_every_dtype(row):
    # torch's GroupNorm takes parameters in the dtype of the input, or in float32 beside 16 bits.
    inputs, function = inputs_of(row, row["dtype"], row["dtype"] if row["parameters"] == "same" else torch.float32)
    dy = laid_out(random(*row["shape"][0], dtype=row["dtype"], seed=9), row["layout"])
    with launch.forced(**PATHS[row["path"]]):
        assert_as_good_as_torch(function, inputs, [dy], parameters=(1, 2))


@needs_kernels
@pytest.mark.parametrize("row", ROWS, ids=name)
def test_kernels_in_float64_are_the_formulas_in_numpy(row):
    inputs, function = inputs_of(row)
    dy = random(*row["shape"][0], seed=9)
    with kernels("on"), launch.forced(**PATHS[row["path"]]):
        (y,), grads = gradients(function, inputs, [dy])
    arrays = [None if x is None else x.cpu().numpy() for x in inputs]
    expected, cache = reference.group_norm_forward(arrays[0], row["shape"][1], *arrays[1:])
    wanted = [g for g, x in zip(reference.group_norm_backward(dy.cpu().numpy(), cache), inputs) if x is not None]
    for ours, right in zip([y, *grads], [expected, *wanted], strict=True):
        # A group of one or two equal entries divides by the root of eps: 1 / sqrt(1e-5) = 316 of amplification.
        np.testing.assert_allclose(ours.cpu().numpy(), right, rtol=0, atol=316**2 * 2.0**-53 * 100)


@needs_kernels
@paths
def test_first_and_second_derivatives_are_right(path):
    inputs = random(2, 4, 3, grad=True), random(4, seed=1, grad=True), random(4, seed=2, grad=True)
    options = PATHS[path] and {"rows": 1, "block": 4}
    with kernels("on"), launch.forced(**options):
        function = lambda x, w, b: group_norm(x, 2, w, b)  # noqa: E731
        assert torch.autograd.gradcheck(function, inputs, fast_mode=True)
        assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


HARD = {
    "mean of 1e4": lambda x: x + 1e4,
    "mean of -3e6, variance of 1e6": lambda x: 1e3 * x - 3e6,
    "variance far below eps": lambda x: 1e-6 * x + 1,
    "a constant": lambda x: torch.full_like(x, 0.1),
    "zeros": lambda x: 0 * x,
    "one huge entry": lambda x: torch.where(x == x.max(), 1e9, x),
}


@needs_kernels
@paths
@pytest.mark.parametrize("hard", HARD)
def test_hard_groups_stay_within_what_theory_allows(hard, path):
    """The bound for a variance from two passes, or merged over chunks. One pass over x and x^2 would break it."""
    x = HARD[hard](random(2, 4, 37)).float()
    with kernels("on"), launch.forced(**PATHS[path]):
        y = group_norm(x, 2)
    groups = x.double().cpu().numpy().reshape(4, -1)
    centred = groups - groups.mean(-1, keepdims=True)
    exact = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    error = np.abs(y.double().cpu().numpy().reshape(4, -1) - exact)
    assert (error <= standardization_bound(groups, (1,), 1e-5, torch.float32)).all(), error.max()


@needs_kernels
@paths
def test_the_bound_finds_a_variance_from_one_pass(path):
    x = (random(2, 4, 37) + 1e4).float().reshape(4, -1)
    mean = x.mean(1, keepdim=True)
    one_pass = (x - mean) / ((x.square().mean(1, keepdim=True) - mean.square()).clamp(min=0) + 1e-5).sqrt()
    wide = x.double().cpu().numpy()
    centred = wide - wide.mean(-1, keepdims=True)
    exact = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    bound = standardization_bound(wide, (1,), 1e-5, torch.float32)
    assert (np.abs(one_pass.double().cpu().numpy() - exact) > bound).any()


@needs_kernels
@paths
@pytest.mark.filterwarnings("ignore:(overflow|invalid value|divide by zero) encountered:RuntimeWarning")  # of NumPy
@pytest.mark.parametrize("poison", [torch.inf, torch.nan])
def test_a_group_that_overflows_spoils_no_other(path, poison):
    x, dy = random(3, 4, 20, dtype=torch.float32), random(3, 4, 20, dtype=torch.float32, seed=1)
    spoilt = x.clone()
    spoilt[1, 3, 5] = poison
    function = lambda x: group_norm(x, 2)  # noqa: E731
    with kernels("on"), launch.forced(**PATHS[path]):
        (y,), (dx,) = gradients(function, (x,), [dy])
        (y_spoilt,), (dx_spoilt,) = gradients(function, (spoilt,), [dy])
    same = torch.ones(3, 2, dtype=torch.bool, device=DEVICE)
    same[1, 1] = False
    for a, b in ((y, y_spoilt), (dx, dx_spoilt)):
        assert torch.equal(a.view(3, 2, -1)[same], b.view(3, 2, -1)[same])
    assert not y_spoilt[1, 2:].isfinite().all()


@needs_kernels
@paths
def test_a_sample_has_the_same_bits_alone_and_runs_repeat(path):
    x, dy = random(5, 4, 20, dtype=torch.float32), random(5, 4, 20, dtype=torch.float32, seed=1)
    w, b = (random(4, dtype=torch.float32, seed=k) for k in (2, 3))
    function = lambda x, w, b: group_norm(x, 2, w, b)  # noqa: E731
    with kernels("on"), launch.forced(**PATHS[path]):
        first, again = (gradients(function, (x, w, b), [dy]) for _ in range(2))
        alone = gradients(function, (x[3:4], w, b), [dy[3:4]])
    assert all(torch.equal(a, c) for a, c in zip(first[0] + first[1], again[0] + again[1], strict=True))
    assert torch.equal(alone[0][0], first[0][0][3:4])
    assert torch.equal(alone[1][0], first[1][0][3:4])


@needs_kernels
def test_channels_last_stays_channels_last_without_a_copy():
    x = laid_out(random(2, 4, 3, 5, dtype=torch.float32), "channels_last").requires_grad_()
    with kernels("on"):
        y = group_norm(x, 2)
    (dx,) = torch.autograd.grad(y, x, random(2, 4, 3, 5, dtype=torch.float32, seed=1))
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert dx.is_contiguous(memory_format=torch.channels_last)


@needs_kernels
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("shape", [(0, 4, 3), (0, 4), (2, 4, 0)], ids=str)
def test_nothing_in_nothing_out(shape, create_graph):
    x, w = torch.zeros(shape, device=DEVICE, requires_grad=True), torch.ones(4, device=DEVICE, requires_grad=True)
    with kernels("on"):
        y = group_norm(x, 2, w)
        dx, dw = torch.autograd.grad(y.sum(), (x, w), create_graph=create_graph)
    assert y.shape == dx.shape == shape
    assert not dw.any()


@needs_kernels
def test_the_operations_keep_the_rules_of_torch():
    from resnorm_lib.ops.group_norm import registered

    for layout in ("contiguous", "channels_last"):
        x = laid_out(random(2, 4, 3, 2), layout).requires_grad_()
        w = random(4, seed=2, grad=True)
        torch.library.opcheck(registered.group_norm, (x, 2, w, w, 1e-5))
        y, statistics = registered.group_norm(x.detach(), 2, None, None, 1e-5)
        arguments = (y, x.detach(), statistics, w.detach(), 2, True, False)
        torch.library.opcheck(registered.group_norm_backward, arguments)


@needs_kernels
def test_a_compiled_graph_is_whole():
    x, w, b = random(2, 4, 3, grad=True), random(4, seed=2, grad=True), random(4, seed=3)
    function = lambda x, w, b: group_norm(x, 2, w, b)  # noqa: E731
    with kernels("on"):
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        ours, plain = (gradients(f, (x, w, b), [x.detach()]) for f in (compiled, function))
    for a, c in zip(ours[0] + ours[1], plain[0] + plain[1], strict=True):
        torch.testing.assert_close(a, c)


@needs_kernels
def test_the_module_takes_the_kernel_when_told_and_gives_the_same():
    module, x = norms.GroupNorm(2, 4).to(DEVICE), random(3, 4, 5, dtype=torch.float32)
    results = []
    for mode in ("off", "on"):
        with kernels(mode):
            results.append(module(x))
    torch.testing.assert_close(*results)
    assert type(results[0].grad_fn) is not type(results[1].grad_fn)


@pytest.mark.parametrize("itemsize", [2, 4, 8])
@pytest.mark.parametrize("tensors", [1, 2])
@pytest.mark.parametrize("last", [False, True])
def test_tiles_cover_their_group_and_fit_into_registers(itemsize, tensors, last):
    for channels in (1, 2, 3, 8, 10, 64, 333):
        for positions in (1, 4, 49, 784, 3136, 16384, 65536):
            tile = slab(channels, positions, itemsize, tensors, last)
            cut = -(-channels // tile.channels) * -(-positions // tile.positions)
            assert cut == tile.chunks
            size = tile.channels * tile.positions
            assert size <= (32768 if itemsize <= 4 else 8192) // tensors
            assert all(n & (n - 1) == 0 for n in (tile.channels, tile.positions, tile.num_warps, tile.rows))


X = torch.zeros(3, 4, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: group_norm(X, 3), "num_groups is 3"),
        (lambda: group_norm(X, 0), "num_groups is 0"),
        (lambda: group_norm(X[0, 0], 1), "x has shape"),
        (lambda: group_norm([1.0], 1), r"x is \[1.0\]"),
        (lambda: group_norm(X.int(), 2), "x has shape .* torch.int32"),
        (lambda: group_norm(X, 2, torch.ones(5)), "weight has shape"),
        (lambda: group_norm(X, 2, bias=torch.ones(4, dtype=torch.int32)), "bias has shape"),
        (lambda: group_norm(X, 2, eps=-1.0), "eps is -1.0"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize(
    "shape", [(8, 256, 56, 56), (4, 320, 64, 64), (2, 128, 256, 256), (64, 1024, 7, 7), (512, 64)], ids=str
)
def test_every_size_is_as_good_as_torchs(shape, layout, dtype):
    x, dy = (laid_out(random(*shape, dtype=dtype, seed=k), layout) for k in (0, 1))
    w, b = (random(shape[1], dtype=dtype, seed=k) for k in (2, 3))
    assert_as_good_as_torch(lambda x, w, b: group_norm(x, 32, w, b), (x, w, b), [dy], parameters=(1, 2))


@gpu
def test_offsets_past_two_to_the_31_reach_the_right_samples():
    if torch.cuda.get_device_properties(0).total_memory < 40 * 2**30:
        pytest.skip("needs 40 GB of memory")
    x = torch.empty(2**31 // (64 * 4096) + 2, 64, 4096, dtype=torch.bfloat16, device="cuda").normal_()
    with kernels("on"):
        assert torch.equal(group_norm(x, 32)[-2:], group_norm(x[-2:], 32))
