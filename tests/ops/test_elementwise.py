"""DynamicTanh, Derf and the scaled add: kernels against NumPy, against torch in every dtype, and as operations."""

import math

import numpy as np
import pytest
import torch

from resnorm_lib import norms, reference
from resnorm_lib.ops import derf, dyt, kernels, launch, scaled_add
from tests.ops.cases import (
    DEVICE,
    ROUNDOFF,
    assert_as_good_as_torch,
    gpu,
    gradients,
    name,
    needs_kernels,
    pairwise,
    random,
    strided,
)

ROWS = pairwise(
    erf=[False, True],
    shape=[(5, 7), (3, 2, 33), (9, 300), (1, 1), (0, 4), (4,)],
    weight=[True, False],
    bias=[True, False],
    dtype=[torch.float32, torch.bfloat16, torch.float16],
    parameters=["same", "float32"],
    strided=[False, True],
)


def function_of(row):
    return derf if row["erf"] else dyt


def inputs_of(row, dtype=torch.float64, parameters=torch.float64):
    """x, alpha, the shift of Derf, weight and bias; what is left out is None."""
    shape = row["shape"]
    x = random(*shape, dtype=dtype, seed=1)
    x = strided(x) if row["strided"] and len(shape) > 1 else x
    numbers = [random(1, dtype=parameters, seed=k) for k in (2, 3)[: 1 + row["erf"]]]
    present = row["weight"], row["bias"]
    vectors = [random(shape[-1], dtype=parameters, seed=k) if p else None for k, p in zip((4, 5), present)]
    return [x, *numbers, *vectors]


@needs_kernels
@pytest.mark.parametrize("row", ROWS, ids=name)
def test_kernels_are_as_good_as_torch_in_every_dtype(row):
    parameters = row["dtype"] if row["parameters"] == "same" else torch.float32
    inputs = inputs_of(row, row["dtype"], parameters)
    if not inputs[0].numel():
        return
    dy = random(*row["shape"], dtype=row["dtype"], seed=9)
    assert_as_good_as_torch(function_of(row), inputs, [dy], parameters=(1, 2, 3, 4))


@needs_kernels
@pytest.mark.parametrize("row", ROWS, ids=name)
def test_kernels_in_float64_are_the_formulas_in_numpy(row):
    inputs, dy = inputs_of(row), random(*row["shape"], seed=9)
    with kernels("on"):
        (y,), grads = gradients(function_of(row), inputs, [dy])
    arrays = [None if x is None else x.detach().cpu().numpy() for x in inputs]
    numbers = [array.item() for array in arrays[1 : 2 + row["erf"]]]
    forward, backward = (
        (reference.derf_forward, reference.derf_backward)
        if row["erf"]
        else (reference.dynamic_tanh_forward, reference.dynamic_tanh_backward)
    )
    expected, cache = forward(arrays[0], *numbers, *arrays[-2:])
    wanted = [g for g, x in zip(backward(dy.cpu().numpy(), cache), inputs) if x is not None]
    size = max(1, y.numel())
    for ours, right in zip([y, *grads], [expected, *wanted], strict=True):
        # Sums of at most ``size`` terms, each off by the few roundings of tanh or erf and of a product.
        bound = (size + 16) * 2.0**-53 * (1 + np.abs(right).max(initial=0)) * (1 + abs(numbers[0])) * 4
        np.testing.assert_allclose(ours.cpu().numpy().reshape(right.shape if np.ndim(right) else ()), right, 0, bound)


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_tanh_keeps_its_relative_precision_from_the_smallest_numbers_to_one(dtype):
    """Near 0 and where the two formulas meet; a difference of exponentials alone would lose all digits near 0."""
    z = torch.cat([torch.logspace(-30, 1.5, 3000, dtype=torch.float64), torch.linspace(0.3, 0.7, 2000).double()])
    z = torch.cat([z, -z]).to(DEVICE, dtype)
    with kernels("on"):
        t = dyt(z, torch.ones(1, dtype=dtype, device=DEVICE))
    exact = z.double().tanh()
    # float64 is held to torch's own tanh, which is off by a unit too.
    assert ((t.double() - exact).abs() <= 8 * ROUNDOFF[dtype] * exact.abs()).all()


@needs_kernels
@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")  # of NumPy
@pytest.mark.parametrize("function", [dyt, derf])
def test_the_ends_are_one_and_infinities_and_nan_stay_where_they_are(function):
    x = torch.tensor([[0.0, torch.inf, -torch.inf, torch.nan, 1e30, -1e30, 1.0]], device=DEVICE)
    one = torch.ones(1, device=DEVICE)
    with kernels("on"):
        y = function(x, one) if function is dyt else function(x, one, 0 * one)
    assert y[0, [1, 2, 4, 5]].tolist() == [1, -1, 1, -1]
    assert y[0, 3].isnan()
    assert y[0, [0, 6]].isfinite().all()


@needs_kernels
def test_the_gradient_of_a_saturated_tanh_is_not_a_difference_of_ones():
    """1 - tanh(9)^2 is 6e-8 to one digit in float32; the kernel has six.

    The slope is 4 e / (1 + e)^2 with e = exp(-2 |z|). A GPU computes exp as a power of two: the rounded exponent is off
    by up to 2 |z| u, and so is e, relatively (u is the unit roundoff). The other operations add 8 u at most.
    """
    x = torch.tensor([9.0, 12.0], device=DEVICE)
    with kernels("on"):
        _, (dx, _) = gradients(dyt, (x, torch.ones(1, device=DEVICE)), [torch.ones_like(x)])
    exact = 1 / x.double().cosh() ** 2
    off = ((dx.double() - exact) / exact).abs()
    assert (off <= (2 * x.double().abs() + 8) * ROUNDOFF[torch.float32]).all(), off


@needs_kernels
@pytest.mark.parametrize("function", [dyt, derf])
def test_first_and_second_derivatives_are_right(function):
    inputs = [random(3, 4, grad=True), random(1, seed=2, grad=True)]
    inputs += [random(1, seed=3, grad=True)] if function is derf else []
    inputs += [random(4, seed=4, grad=True), random(4, seed=5, grad=True)]
    with kernels("on"):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


@needs_kernels
@pytest.mark.parametrize("programs", [1, 2, 5])
def test_any_number_of_programs_sums_to_the_same_gradients(programs):
    x, dy = random(21, 40), random(21, 40, seed=1)
    alpha, shift, w, b = random(1, seed=2), random(1, seed=3), random(40, seed=4), random(40, seed=5)
    with kernels("off"):
        expected = gradients(derf, (x, alpha, shift, w, b), [dy])[1]
    with kernels("on"), launch.forced(programs=programs, rows=2, block=16):
        ours = gradients(derf, (x, alpha, shift, w, b), [dy])[1]
    for a, c in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, c)


@needs_kernels
def test_an_entry_does_not_depend_on_its_neighbours_and_runs_repeat():
    x, dy = random(9, 300, dtype=torch.float32), random(9, 300, dtype=torch.float32, seed=1)
    parameters = [random(1, dtype=torch.float32, seed=2), *(random(300, dtype=torch.float32, seed=k) for k in (3, 4))]
    with kernels("on"):
        (y,), (dx, *others) = gradients(dyt, (x, *parameters), [dy])
        (again,), (dx_again, *others_again) = gradients(dyt, (x, *parameters), [dy])
        (alone,), (dx_alone, *_) = gradients(dyt, (x[4:5], *parameters), [dy[4:5]])
    assert torch.equal(y, again)
    assert torch.equal(dx, dx_again)
    assert all(torch.equal(a, b) for a, b in zip(others, others_again, strict=True))
    assert torch.equal(alone, y[4:5])
    assert torch.equal(dx_alone, dx[4:5])


@pytest.mark.parametrize("dtypes", [(torch.float32,) * 2, (torch.float32, torch.bfloat16), (torch.bfloat16,) * 2],
                         ids=str)  # fmt: skip
@pytest.mark.parametrize("shape", [(5, 7), (0, 3)], ids=str)
def test_scaled_add_is_the_sum_to_its_roundings(shape, dtypes):
    r, x = (random(*shape, dtype=dtype, seed=k) for k, dtype in enumerate(dtypes))
    (y,), (dr, dx) = gradients(lambda r, x: scaled_add(r, x, 0.3), (r, x), [r])
    exact = r.double() + 0.3 * x.double()
    # One rounding of the result to its dtype; those of scale, product and sum in float32, where terms may cancel.
    bound = ROUNDOFF[y.dtype] * exact.abs()
    bound += 3 * 2.0**-24 * (r.double().abs() + x.double().abs())
    assert y.dtype == r.dtype
    assert ((y.double() - exact).abs() <= bound).all()
    assert torch.equal(dr, r)
    # The product is rounded, and before or after it the gradient to the dtype of x; 0.3 itself is off by 2^-24.
    assert (
        (dx.double() - 0.3 * r.double()).abs() <= (2.1 * ROUNDOFF[x.dtype] + 2.0**-23) * 0.3 * r.double().abs()
    ).all()


@needs_kernels
def test_the_operations_keep_the_rules_of_torch():
    from resnorm_lib.ops.elementwise import registered

    x, a, w = random(3, 4, grad=True), random(1, seed=1, grad=True), random(4, seed=2, grad=True)
    for shift in (None, a):
        torch.library.opcheck(registered.tanh_or_erf, (x, a, shift, w, w))
    flat = x.detach(), x.detach(), a.detach(), None, w.detach(), 4, True, False, True, False
    torch.library.opcheck(registered.tanh_or_erf_backward, flat)


@needs_kernels
@pytest.mark.parametrize("function", [dyt, derf])
def test_a_compiled_graph_is_whole(function):
    x, a, w, b = random(3, 4, grad=True), random(1, seed=1), random(4, seed=2, grad=True), random(4, seed=3)
    inputs = (x, a, w, b) if function is dyt else (x, a, 0 * a, w, b)
    with kernels("on"):
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        ours, plain = (gradients(f, inputs, [x.detach()]) for f in (compiled, function))
    for a, c in zip(ours[0] + ours[1], plain[0] + plain[1], strict=True):
        torch.testing.assert_close(a, c)


def test_torch_takes_over_where_parameters_are_wider_than_the_input():
    x, a = random(3, 4, dtype=torch.float32), random(1, seed=1)
    with kernels("auto"):
        assert dyt(x, a).dtype == torch.float32
        assert torch.equal(dyt(x, a), torch.tanh(a * x).float())


X = torch.zeros(3, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dyt(X, torch.ones(2)), "alpha has shape"),
        (lambda: dyt(X, 0.5), "alpha is 0.5"),
        (lambda: dyt(X, torch.ones(1), torch.ones(3)), "weight has shape"),
        (lambda: dyt(X, torch.ones(1), (4,)), r"weight is \(4,\)"),
        (lambda: dyt(X, torch.ones(1), torch.ones(4), torch.ones(3, 4)), "weight has shape"),
        (lambda: dyt(X.int(), torch.ones(1)), "x has shape .3, 4., torch.int32"),
        (lambda: derf(X, torch.ones(1), 0.0), "shift is 0.0"),
        (lambda: derf([1.0], torch.ones(1), torch.ones(1)), r"x is \[1.0\]"),
        (lambda: scaled_add(X, torch.zeros(3, 1), 0.5), "never broadcasts"),
        (lambda: scaled_add(X, X, "a"), "scale is 'a'"),
        (lambda: scaled_add(X, 1.0, 0.5), "x is 1.0"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@needs_kernels
@pytest.mark.parametrize("make", [norms.DynamicTanh, norms.Derf])
def test_modules_take_the_kernel_when_told_and_give_the_same(make):
    module, x = make((3, 4)).to(DEVICE), random(5, 3, 4, dtype=torch.float32)
    results = []
    for mode in ("off", "on"):
        with kernels(mode):
            results.append(module(x))
    torch.testing.assert_close(*results)
    assert ["TanhOrErf" in type(y.grad_fn).__name__ for y in results] == [False, True]


def test_a_wider_branch_widens_the_sum_as_in_torch():
    r, x = torch.ones(2, dtype=torch.bfloat16), torch.ones(2)
    assert scaled_add(r, x, 0.5).dtype == torch.float32


@gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("shape", [(4096, 768), (1031, 4096), (257, 5120), (20, 65536), (70_000, 1)], ids=str)
@pytest.mark.parametrize("function", [dyt, derf])
def test_every_size_is_as_good_as_torchs(function, shape, dtype):
    x, dy = (random(*shape, dtype=dtype, seed=k) for k in (0, 1))
    numbers = [random(1, dtype=dtype, seed=k) for k in (2, 3)[: 1 + (function is derf)]]
    vectors = [random(shape[1], dtype=dtype, seed=k) for k in (4, 5)]
    places = tuple(range(1, 3 + len(numbers)))
    assert_as_good_as_torch(function, (x, *numbers, *vectors), [dy], parameters=places)


@gpu
def test_offsets_past_two_to_the_31_reach_the_right_rows():
    if torch.cuda.get_device_properties(0).total_memory < 40 * 2**30:
        pytest.skip("needs 40 GB of memory")
    m, one = 2**31 // 4096 + 100, torch.ones(1, device="cuda")
    x = torch.empty(m, 4096, dtype=torch.bfloat16, device="cuda").normal_()
    with kernels("on"):
        assert torch.equal(dyt(x, one)[-4:], dyt(x[-4:], one))


def test_the_bound_of_the_fractions_is_where_the_two_formulas_are_equally_good():
    """The fifth convergent of the continued fraction at 0.6 and the seventh at 0.4, against tanh."""
    near, wide = 0.6, 0.4
    fifth = near * (945 + near**2 * (105 + near**2)) / (945 + near**2 * (420 + 15 * near**2))
    assert abs(fifth / math.tanh(near) - 1) < 2.0**-24
    s = wide**2
    seventh = wide * (135135 + s * (17325 + s * (378 + s))) / (135135 + s * (62370 + s * (3150 + s * 28)))
    assert abs(seventh / math.tanh(wide) - 1) < 4 * 2.0**-53


REPLACED = [(norms.DynamicTanh, "alpha"), (norms.Derf, "alpha"), (norms.Derf, "shift")]


@needs_kernels
@pytest.mark.parametrize("length", [0, 4])
@pytest.mark.parametrize(("norm", "number"), REPLACED)
def test_a_module_whose_number_was_replaced_by_others_says_so_and_reads_no_memory_behind_it(norm, number, length):
    module = norm(8).to(DEVICE)
    setattr(module, number, torch.nn.Parameter(torch.zeros(length, device=DEVICE)))
    with kernels("on"), pytest.raises(ValueError, match=f"{number} has shape .* a floating point tensor of one number"):
        module(torch.ones(2, 8, device=DEVICE))
