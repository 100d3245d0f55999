"""A norm around a model: what is taken off is put back."""

import pytest
import torch
from torch import nn

from resnorm_lib.models import MLP, ReversibleInstanceNorm


def model(**options):
    torch.manual_seed(0)
    return ReversibleInstanceNorm(MLP(6, 8, 2, out_features=3, norm="layer"), **options).double()


def windows():
    return torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_the_forecast_moves_and_scales_with_the_window():
    x, forecaster = windows(), model(eps=0.0)
    torch.testing.assert_close(forecaster(3 * x + 100), 3 * forecaster(x) + 100, rtol=1e-9, atol=1e-9)


def test_a_layer_norm_in_the_model_bounds_what_it_can_forecast():
    inner = model().model
    assert (inner(1e6 * windows()) - inner(1e5 * windows())).abs().max() < 1e-3


def test_a_model_that_returns_what_it_reads_forecasts_the_window_itself():
    forecaster = ReversibleInstanceNorm(nn.Identity())
    nn.init.constant_(forecaster.weight, 2.0)
    nn.init.constant_(forecaster.bias, -0.5)
    x = windows().float()
    torch.testing.assert_close(forecaster(x), x)


def test_a_constant_window_is_forecast_without_nan():
    assert torch.isfinite(model()(torch.full((1, 6), 5.0, dtype=torch.float64))).all()


def test_a_forecast_in_sixteen_bits_is_as_near_as_they_allow():
    """A window far from zero: its mean and its deviation have digits that bfloat16 has not."""
    x = (370 + windows()).bfloat16()
    forecaster = ReversibleInstanceNorm(nn.Identity()).bfloat16()
    assert forecaster(x).dtype == torch.bfloat16
    torch.testing.assert_close(forecaster(x), x, rtol=0, atol=0)
    deep = model()
    expected, found = deep(x.double()), deep.bfloat16()(x)
    spacing = 2.0  # of the bfloat16 numbers between 256 and 512
    assert (found - expected).abs().max() <= spacing / 2 + 8 * 2**-8 * (expected - 370).abs().max()


def test_a_forecaster_from_the_meta_device_starts_as_a_new_one():
    with torch.device("meta"):
        forecaster = ReversibleInstanceNorm(nn.Identity())
    forecaster.to_empty(device="cpu")
    for parameter in forecaster.parameters():
        parameter.data.fill_(-999)
    forecaster.reset_parameters()
    torch.testing.assert_close(forecaster.state_dict(), ReversibleInstanceNorm(nn.Identity()).state_dict())


def test_its_parameters_can_be_sharded_and_placed():
    """FSDP2 shards no parameter without an axis."""
    forecaster = ReversibleInstanceNorm(nn.Identity(), device="meta", dtype=torch.float64)
    for parameter in forecaster.parameters():
        assert (parameter.shape, parameter.dtype, parameter.device.type) == ((1,), torch.float64, "meta")


@pytest.mark.parametrize("x", [torch.arange(6)[None], torch.tensor(1.0), [1.0, 2.0]], ids=["integers", "0-d", "list"])
def test_windows_that_cannot_be_normalized_are_refused(x):
    with pytest.raises(ValueError, match=r"x (is|has) .*must be"):
        model()(x)


def test_a_negative_eps_is_refused():
    with pytest.raises(ValueError, match="eps"):
        ReversibleInstanceNorm(nn.Identity(), eps=-1.0)
