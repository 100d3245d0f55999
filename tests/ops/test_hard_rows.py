"""Rows on which norms go wrong: large means, tiny variances, constants, infinities, and lengths without factors."""

import numpy as np
import pytest
import torch

from resnorm_lib.ops import add_norm, kernels, launch, layer_norm, rms_norm
from tests.ops.cases import DEVICE, gradients, needs_kernels, random
from tests.reference.oracles import standardization_bound

pytestmark = needs_kernels
PATHS = {"whole": {}, "chunked": {"rows": 2, "block": 16}}
paths = pytest.mark.parametrize("path", list(PATHS))
NORMS = {"layer": layer_norm, "rms": rms_norm}
both = pytest.mark.parametrize("norm", list(NORMS))


def normal(n=127):
    return random(4, n)


HARD = {
    "mean of 1e4": lambda: normal() + 1e4,
    "mean of -3e6, variance of 1e6": lambda: 1e3 * normal() - 3e6,
    "variance far below eps": lambda: 1e-6 * normal() + 1,
    "a constant": lambda: torch.full((4, 127), 3.7, dtype=torch.float64, device=DEVICE),
    "a constant with no binary fraction": lambda: torch.full((4, 127), 0.1, dtype=torch.float64, device=DEVICE),
    "zeros": lambda: torch.zeros(4, 127, dtype=torch.float64, device=DEVICE),
    "subnormal": lambda: 1e-40 * normal(),
    "one huge entry": lambda: torch.cat([normal(126), torch.full((4, 1), 1e9, dtype=torch.float64, device=DEVICE)], 1),
    "one entry": lambda: normal(1),
    "two entries": lambda: normal(2),
    "a prime number of entries": lambda: normal(1009),
    "rising": lambda: torch.arange(508, dtype=torch.float64, device=DEVICE).reshape(4, 127) ** 2,
}


@paths
@pytest.mark.parametrize("rows", HARD)
def test_layer_norm_of_hard_rows_stays_within_what_theory_allows(rows, path):
    """The bound for a variance from two passes, or merged over chunks: n u kappa. One pass would have kappa squared."""
    x = HARD[rows]().float()
    with kernels("on"), launch.forced(**PATHS[path]):
        y = layer_norm(x)
    wide = x.double().cpu().numpy()
    centred = wide - wide.mean(-1, keepdims=True)
    exact = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    error = np.abs(y.double().cpu().numpy() - exact)
    assert (error <= standardization_bound(wide, (1,), 1e-5, torch.float32)).all(), error.max()


@paths
@pytest.mark.parametrize("rows", HARD)
def test_rms_norm_of_hard_rows_is_right_to_n_roundings(rows, path):
    """Squares have one sign, so that their sum is off by at most n u, relatively; half of it after the root."""
    x = HARD[rows]().float()
    with kernels("on"), launch.forced(**PATHS[path]):
        y = rms_norm(x, eps=1e-6)
    wide = x.double()
    exact = wide / (wide.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    assert ((y.double() - exact).abs() <= (x.shape[1] / 2 + 8) * 2.0**-24 * exact.abs() + 2.0**-149).all()


@paths
def test_a_variance_from_one_pass_would_have_been_found_out(path):
    """At a mean of 1e4 the mean of squares less the square of the mean keeps no digit of a variance of 1."""
    x = (normal() + 1e4).float()
    one_pass = (x - x.mean(-1, keepdim=True)) / (
        (x.square().mean(-1, keepdim=True) - x.mean(-1, keepdim=True).square()).clamp(min=0) + 1e-5
    ).sqrt()
    wide = x.double().cpu().numpy()
    bound = standardization_bound(wide, (1,), 1e-5, torch.float32)
    centred = wide - wide.mean(-1, keepdims=True)
    exact = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    assert (np.abs(one_pass.double().cpu().numpy() - exact) > bound).any()


@both
@paths
@pytest.mark.filterwarnings("ignore:(overflow|invalid value|divide by zero) encountered:RuntimeWarning")  # of NumPy
@pytest.mark.parametrize("poison", [torch.inf, torch.nan, 1e30])
def test_a_row_that_overflows_spoils_no_other(norm, path, poison):
    x, dy = random(9, 33, dtype=torch.float32), random(9, 33, dtype=torch.float32, seed=1)
    spoilt = x.clone()
    spoilt[4, 7] = poison
    with kernels("on"), launch.forced(**PATHS[path]):
        (y,), (dx,) = gradients(NORMS[norm], (x,), [dy])
        (y_spoilt,), (dx_spoilt,) = gradients(NORMS[norm], (spoilt,), [dy])
    others = torch.arange(9, device=DEVICE) != 4
    assert torch.equal(y_spoilt[others], y[others])
    assert torch.equal(dx_spoilt[others], dx[others])
    if poison != 1e30:
        assert not y_spoilt[4].isfinite().all()


@both
@paths
def test_a_gain_of_zero_gives_zeros_and_no_gradient_to_the_input(norm, path):
    x, w, dy = random(5, 33), torch.zeros(33, dtype=torch.float64, device=DEVICE), random(5, 33, seed=1)
    with kernels("on"), launch.forced(**PATHS[path]):
        (y,), (dx, dw) = gradients(NORMS[norm], (x, w), [dy])
    assert not y.any()
    assert not dx.any()
    assert dw.all()


@paths
def test_gradients_of_a_row_far_from_zero_are_those_of_the_row_at_zero(path):
    """LayerNorm does not see a constant added to a row; 2^12 costs as many bits of the gradient, and no more."""
    x, dy = random(4, 127, dtype=torch.float32), random(4, 127, dtype=torch.float32, seed=1)
    shifted = x + 4096
    x = shifted - 4096  # what is left of x, exactly
    with kernels("on"), launch.forced(**PATHS[path]):
        near, far = (gradients(layer_norm, (rows,), [dy])[1][0] for rows in (x, shifted))
    kappa = 1 + 4096 / x.std(-1, keepdim=True)
    assert ((near - far).abs() <= 127 * 2.0**-24 * kappa * (1 + dy.abs().amax(-1, keepdim=True)) * 4).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_sixteen_bits_hold_what_sixteen_bits_can(dtype):
    """Sums of squares that float16 cannot hold, and subnormal entries."""
    x = random(4, 64, dtype=dtype) * 1000
    tiny = random(4, 64) * torch.finfo(dtype).tiny
    with kernels("on"):
        y, s = rms_norm(x), add_norm(tiny.to(dtype), torch.zeros_like(x))[1]
    torch.testing.assert_close(y.float(), rms_norm(x.float()), rtol=torch.finfo(dtype).eps, atol=0)
    assert torch.equal(s, tiny.to(dtype))
