"""Rounding errors, held to derived bounds, and the inputs on which normalization goes wrong."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resnorm_lib import norms, reference
from tests.norms.cases import cases
from tests.reference.oracles import UNIT_ROUNDOFF, run, standardization_bound

CENTRED = {  # norm, shape, and the axes that share a mean
    "layer": (lambda: norms.LayerNorm(61, elementwise_affine=False), (5, 61), (1,)),
    "ada": (lambda: norms.AdaNorm(61, k=0), (5, 61), (1,)),
    "batch_1d": (lambda: norms.BatchNorm(5, affine=False), (61, 5), (0,)),
    "batch_2d": (lambda: norms.BatchNorm(5, affine=False), (7, 5, 3, 3), (0, 2, 3)),
    "ghost_batch": (lambda: norms.GhostBatchNorm(5, 40, affine=False), (61, 5), (0,)),
    "batch_renorm": (lambda: norms.BatchRenorm(5, r_max=1, d_max=0, affine=False), (61, 5), (0,)),
    "group": (lambda: norms.GroupNorm(1, 5, affine=False), (3, 5, 13), (1, 2)),
    "instance": (lambda: norms.InstanceNorm(5), (3, 5, 61), (2,)),
    "weight_standardization": (lambda: norms.WeightStandardization(), (5, 61), (1,)),
}
centred = pytest.mark.parametrize("name", CENTRED)


def exact(x, axes, eps=1e-5):
    return (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + eps)


def normal(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def one_pass(x, axes, eps=1e-5):
    """Standardize with the mean of squares minus the square of the mean as variance, which no norm here may do."""
    mean = x.mean(axes, keepdim=True)
    return (x - mean) / ((x * x).mean(axes, keepdim=True) - mean * mean + eps).sqrt()


@centred
@pytest.mark.parametrize("offset", [0.0, 1.0, 100.0, 1e4])
def test_an_offset_costs_no_more_than_its_condition_number(name, offset):
    make, shape, axes = CENTRED[name]
    x = normal(shape) + offset
    expected = exact(x.double().numpy(), axes)
    bound = standardization_bound(x.double().numpy(), axes, 1e-5, torch.float32)
    assert (np.abs(make()(x).double().numpy() - expected) <= bound).all()


@centred
def test_the_bound_refuses_a_one_pass_variance(name):
    _, shape, axes = CENTRED[name]
    x = normal(shape) + 1e4
    bound = standardization_bound(x.double().numpy(), axes, 1e-5, torch.float32)
    assert not (np.abs(one_pass(x, axes).double().numpy() - exact(x.double().numpy(), axes)) <= bound).all()


@centred
@pytest.mark.parametrize("spread", [0.0, 1e-4, 1e-40], ids=["constant", "below_eps", "subnormal"])
@pytest.mark.parametrize("offset", [0.0, 3.7])
def test_a_spread_below_eps_stays_small_and_finite(name, spread, offset):
    make, shape, axes = CENTRED[name]
    x = normal(shape) * spread + offset
    expected = exact(x.double().numpy(), axes)
    bound = standardization_bound(x.double().numpy(), axes, 1e-5, torch.float32)
    smallest = 2.0**-149 * 1e3  # subnormal numbers have an absolute spacing, not a relative one
    assert (np.abs(make()(x).double().numpy() - expected) <= bound + smallest).all()


@pytest.mark.parametrize("make", [lambda: norms.RMSNorm(61), lambda: norms.ScaleNorm(61)], ids=["rms", "scale"])
@pytest.mark.parametrize("offset", [0.0, 1e4, 1e-40])
def test_without_a_mean_nothing_cancels(make, offset):
    """The relative error of a sum of squares is at most n u, whatever the offset."""
    module, x = make(), normal((5, 61)) * (1 if offset != 1e-40 else 1e-40) + offset
    y = copy.deepcopy(module).double()
    if isinstance(y, norms.RMSNorm):
        y.eps = torch.finfo(torch.float32).eps
    y = y(x.double())
    assert ((module(x) - y).abs() <= (61 + 8) * UNIT_ROUNDOFF[torch.float32] * y.abs() + 1e3 * 2.0**-149).all()


@cases("rows")
@pytest.mark.parametrize(("dtype", "huge"), [(torch.float32, 1e18), (torch.float16, 6e4), (torch.bfloat16, 1e18)])
def test_one_huge_element_does_not_spoil_its_row(case, dtype, huge):
    """The square of the element fits into float32, and not into the 16 bits of the input."""
    x = case.inputs(dtype)[0]
    x[..., 2] = huge
    module = case.build(dtype)
    expected = copy.deepcopy(module).double()(x.double())
    bound = 2 * UNIT_ROUNDOFF[dtype] * expected.abs() + 1e-5
    assert ((module(x).double() - expected).abs() <= bound).all()


@pytest.mark.parametrize("make", [norms.RMSNorm, norms.ScaleNorm, norms.DynamicTanh, norms.Derf])
def test_a_square_beyond_the_range_gives_no_nan_without_a_mean(make):
    x = normal((2, 61))
    x[0, 2] = 1e30
    assert make(61)(x).isfinite().all()


@cases("rows")
@pytest.mark.parametrize("poison", [math.nan, math.inf], ids=str)
def test_a_poisoned_row_keeps_it_to_itself(case, poison):
    module, (x,) = case.build(torch.float32), case.inputs(torch.float32)
    spoiled = x.clone()
    spoiled[1, ..., 0] = poison
    y, y_spoiled = module(x), module(spoiled)
    others = [row for row in range(len(x)) if row != 1]
    assert torch.equal(y_spoiled[others], y[others])


@cases("channels", where=lambda case: not case.own_rows)
def test_a_poisoned_sample_takes_its_channel_in_training_and_only_itself_in_evaluation(case):
    module, (x,) = case.build(torch.float32), case.inputs(torch.float32)
    x[1, 2] = math.nan
    spoiled = copy.deepcopy(module)(x).isnan()
    assert spoiled[: 3 if case.name == "ghost_batch" else None, 2].all()
    assert not spoiled[:, [0, 1, 3, 4]].any()
    if case.name != "batch_untracked":
        spoiled = module.eval()(x).isnan()
        assert spoiled[1, 2].all()
        spoiled[1, 2] = False
        assert not spoiled.any()


@pytest.mark.parametrize("name", ["layer", "rms", "scale", "ada"])
def test_a_fresh_norm_gives_rows_of_mean_square_one(name):
    y = norms.make_norm(name, 64, **({"k": 0} if name == "ada" else {}))(3 * normal((5, 64)))
    torch.testing.assert_close(y.square().mean(-1), torch.ones(5))


@pytest.mark.parametrize("name", ["layer", "rms", "scale", "ada", "dyt", "derf"])
def test_one_feature_is_a_row_too(name):
    x = torch.tensor([[3.0], [-2.0], [0.5]])
    y = norms.make_norm(name, 1)(x).detach()
    expected = {"layer": 0 * x, "ada": 0 * x, "rms": x.sign(), "scale": x.sign()}
    expected |= {"dyt": (x / 2).tanh(), "derf": (x / 2).erf()}
    torch.testing.assert_close(y, expected[name], rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["layer", "rms"])
def test_a_weight_gradient_over_many_rows_is_off_by_the_root_of_their_number(name):
    """The rounding error of a sum of M terms grows like sqrt(M) u sum|terms| (Higham and Mary, 2019, lambda = 4)."""
    rows, d = 4096, 61
    x, dy = normal((rows, d)), normal((rows, d), seed=1)
    _, grads = run(norms.make_norm(name, d, eps=1e-5), [x], dy)
    forward, backward = getattr(reference, f"{name}_norm_forward"), getattr(reference, f"{name}_norm_backward")
    y, cache = forward(x.numpy(), eps=1e-5)
    _, dweight, *_ = backward(dy.numpy(), cache)
    bound = 4 * math.sqrt(rows) * UNIT_ROUNDOFF[torch.float32] * np.abs(dy.numpy() * y).sum(axis=0)
    assert (np.abs(grads["weight"].numpy() - dweight) <= bound).all()


@settings(max_examples=60, deadline=None)
@given(
    leading=st.lists(st.integers(0, 5), max_size=3),
    d=st.sampled_from([1, 2, 3, 7, 16, 31, 61, 64, 67]),
    dtype=st.sampled_from(list(UNIT_ROUNDOFF)),
    offset=st.sampled_from([0.0, 1.0, 30.0]),
    spread=st.sampled_from([1e-3, 1.0, 100.0]),
    seed=st.integers(0, 2**16),
)
def test_layer_and_rms_norm_hold_their_bounds_for_any_shape_and_dtype(leading, d, dtype, offset, spread, seed):
    x = (normal((*leading, d), seed) * spread + offset).to(dtype)
    wide = x.double().numpy()
    statistics = torch.promote_types(dtype, torch.float32)
    rounding = UNIT_ROUNDOFF[dtype] if dtype != statistics else 0.0
    y = norms.LayerNorm(d, elementwise_affine=False)(x)
    assert (y.dtype, y.shape) == (dtype, x.shape)
    expected, _ = reference.layer_norm_forward(wide)
    bound = standardization_bound(wide, (-1,), 1e-5, statistics)
    # Half a unit below float16's normal numbers, which are spaced by 2^-24.
    assert (np.abs(y.double().numpy() - expected) <= bound + rounding * (np.abs(expected) + bound) + 2.0**-25).all()
    y = norms.RMSNorm(d, 1e-5, elementwise_affine=False)(x)
    expected, _ = reference.rms_norm_forward(wide, eps=1e-5)
    bound = (d + 8) * UNIT_ROUNDOFF[statistics] * np.abs(expected)
    assert (np.abs(y.double().numpy() - expected) <= bound + rounding * (np.abs(expected) + bound) + 2.0**-25).all()


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 6),
    groups=st.integers(1, 3),
    width=st.integers(1, 3),
    space=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    dtype=st.sampled_from(list(UNIT_ROUNDOFF)),
    offset=st.sampled_from([0.0, 1.0, 30.0]),
    seed=st.integers(0, 2**16),
)
def test_channel_norms_hold_their_bounds_for_any_shape_and_dtype(n, groups, width, space, dtype, offset, seed):
    channels = groups * width
    x = (normal((n, channels, *space), seed) + offset).to(dtype)
    shape = (n, groups, width, *space)
    views = {
        norms.BatchNorm(channels, affine=False): ((n, channels, *space), (0, *range(2, 2 + len(space)))),
        norms.InstanceNorm(channels): ((n, channels, *space), tuple(range(2, 2 + len(space)))),
        norms.GroupNorm(groups, channels, affine=False): (shape, tuple(range(2, 3 + len(space)))),
    }
    statistics = torch.promote_types(dtype, torch.float32)
    rounding = UNIT_ROUNDOFF[dtype] if dtype != statistics else 0.0
    for module, (view, axes) in views.items():
        if math.prod(view[axis] for axis in axes) < 2:
            continue
        wide = x.double().numpy().reshape(view)
        expected, bound = exact(wide, axes), standardization_bound(wide, axes, 1e-5, statistics)
        y = (module.double() if dtype == torch.float64 else module)(x).double().numpy().reshape(view)
        assert (np.abs(y - expected) <= bound + rounding * (np.abs(expected) + bound) + 2.0**-25).all()


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("space", [(), (1, 1)])
def test_a_group_of_one_element_gives_its_bias(samples, space):
    """x - mean is 0, in a batch of one as in any other. torch's layer refuses the batch of one alone."""
    norm = norms.GroupNorm(4, 4)
    torch.nn.init.constant_(norm.bias, 3.0)
    x = torch.randn(samples, 4, *space, generator=torch.Generator().manual_seed(0))
    # The kernel computes x a + (b - mean a) with a = 1/sqrt(eps), so that roundings of x a stay.
    torch.testing.assert_close(norm(x), torch.full_like(x, 3.0), rtol=0, atol=4 * 2**-24 * 4 / norm.eps**0.5)
