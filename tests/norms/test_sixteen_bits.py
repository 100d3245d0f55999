"""float16 and bfloat16: statistics in float32, one rounding at the end, and mixtures of dtypes."""

import copy
import math

import pytest
import torch
from torch import nn

from resnorm_lib import norms
from tests.norms.cases import cases
from tests.reference.oracles import UNIT_ROUNDOFF, run


def normal(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@cases(without=("matmul",))
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("parameters", ["16 bits", "32 bits"])
def test_sixteen_bits_cost_one_rounding_of_the_output(case, dtype, parameters):
    """Everything between input and output is computed in float32, even where torch rounds the statistics."""
    module = case.build(dtype if parameters == "16 bits" else torch.float32)
    inputs = case.inputs(dtype, samples=64)
    expected = copy.deepcopy(module).double()
    if isinstance(module, norms.RMSNorm) and module.eps is None:
        expected.eps = torch.finfo(torch.float32).eps  # that of the statistics
    dy = normal(copy.deepcopy(module)(*inputs).shape, seed=5).to(dtype)
    y, grads = run(module, inputs, dy)
    y_exact, grads_exact = run(expected, [x.double() for x in inputs], dy.double())
    float32_part = 960 * 4 * UNIT_ROUNDOFF[torch.float32]  # n u kappa: at most 960 numbers to a mean, kappa below 4
    assert ((y - y_exact).abs() <= UNIT_ROUNDOFF[dtype] * y_exact.abs() + float32_part).all()
    for key, grad in grads.items():
        # Three terms and the result of dx may each be rounded, and a sum over rows at each of its steps.
        terms = 4 if key == "x0" else 1 + math.sqrt(960)
        scale = max(1.0, grads_exact[key].abs().max().item())
        assert ((grad - grads_exact[key]).abs() <= terms * UNIT_ROUNDOFF[dtype] * scale).all(), key


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    ("ours", "theirs", "shape"),
    [
        (norms.LayerNorm(61), nn.LayerNorm(61), (64, 61)),
        (norms.RMSNorm(61, 1e-6), nn.RMSNorm(61, 1e-6), (64, 61)),
        (norms.BatchNorm(5), nn.BatchNorm1d(5), (64, 5)),
        (norms.GroupNorm(1, 8), nn.GroupNorm(1, 8), (64, 8, 4)),
        (norms.InstanceNorm(8), nn.InstanceNorm1d(8), (64, 8, 13)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_sixteen_bits_are_no_worse_than_torch(ours, theirs, shape, dtype):
    x = (normal(shape) + 3).to(dtype)
    expected = copy.deepcopy(theirs).double()(x.double())
    error, torchs = ((copy.deepcopy(m).to(dtype)(x) - expected).abs().max() for m in (ours, theirs))
    assert error <= torchs


@pytest.mark.parametrize("make", [norms.LayerNorm, norms.RMSNorm])
@pytest.mark.parametrize("parameters", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_any_mixture_of_dtypes_computes_in_the_widest_and_returns_that_of_the_input(make, parameters, dtype):
    """torch refuses some mixtures, and warns about others."""
    module, x = make(7, eps=1e-5).to(parameters), normal((5, 7)).to(dtype)
    y = module(x)
    assert y.dtype == dtype
    torch.testing.assert_close(y, module.double()(x.double()).to(dtype))


def test_a_zero_centered_gain_survives_bfloat16():
    """1 + w is 1 for a w below 2^-9 in bfloat16; the gain is formed in float32."""
    norm = norms.RMSNorm(2, zero_centered_gain=True, dtype=torch.bfloat16)
    assert not norm.weight.any()
    nn.init.constant_(norm.weight, 2.0**-9)
    wide = norm(torch.ones(1, 2))
    assert (wide > 1 + 2.0**-10).all()


NORMS_OF_CHANNELS = {
    "batch": norms.BatchNorm,
    "averaging": lambda dim, **o: norms.BatchNorm(dim, momentum=None, **o),
    "ghost_batch": lambda dim, **o: norms.GhostBatchNorm(dim, 4, **o),
    "batch_renorm": norms.BatchRenorm,
    "instance": lambda dim, **o: norms.InstanceNorm(dim, track_running_stats=True, **o),
}


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("name", NORMS_OF_CHANNELS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_default_dtype_of_sixteen_bits_builds_a_norm_that_works(name, dtype, affine):
    x = torch.randn(9, 3, 5, generator=torch.Generator().manual_seed(0))
    expected = NORMS_OF_CHANNELS[name](3, affine=affine)(x)
    torch.set_default_dtype(dtype)
    try:
        norm = NORMS_OF_CHANNELS[name](3, affine=affine)
        y = norm(x.to(dtype))
        evaluated = norm.eval()(x.to(dtype))
    finally:
        torch.set_default_dtype(torch.float32)
    assert {y.dtype, evaluated.dtype, norm.running_mean.dtype} == {dtype}
    torch.testing.assert_close(y.float(), expected, rtol=0.02, atol=0.02)  # x and y are rounded, by 2^-9 of |x| < 4


@pytest.mark.parametrize("name", NORMS_OF_CHANNELS)
def test_parameters_of_sixteen_bits_beside_statistics_in_float32_can_be_trained(name):
    norm = NORMS_OF_CHANNELS[name](3, affine=True)
    norm.weight, norm.bias = (nn.Parameter(p.detach().bfloat16()) for p in (norm.weight, norm.bias))
    wide = copy.deepcopy(norm).float()
    x = torch.randn(9, 3, 5, generator=torch.Generator().manual_seed(0)).bfloat16()
    gradients = []
    for layer, given in ((norm, x), (wide, x.float())):
        leaf = given.requires_grad_()
        (layer(leaf) ** 3).sum().backward()
        gradients.append([leaf.grad.float(), layer.weight.grad.float(), layer.bias.grad.float(), *layer.buffers()])
    assert norm.running_mean.dtype == torch.float32
    for ours, exact in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, exact, rtol=0.02, atol=0.02 * exact.abs().max().item())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_without_an_eps_that_of_float32_holds_for_sixteen_bits(dtype):
    """torch 2.6 took the eps of 16 bits, 0.008 or 0.001, beside which a mean square of 1e-6 is nothing."""
    x = (1e-3 * normal((5, 64))).to(dtype)
    y = norms.RMSNorm(64)(x).double()
    wide = x.double()
    exact = wide / (wide.square().mean(-1, keepdim=True) + torch.finfo(torch.float32).eps).sqrt()
    torch.testing.assert_close(y, exact, rtol=2 * UNIT_ROUNDOFF[dtype], atol=0)
    assert y.square().mean().sqrt() > 0.9
