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


def test_a_negative_eps_is_refused():
    with pytest.raises(ValueError, match="eps"):
        ReversibleInstanceNorm(nn.Identity(), eps=-1.0)
