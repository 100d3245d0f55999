"""Branches and stacks for the tests of the residual schemes, in float64 and from seeds of their own."""

import torch
from torch import nn

from resnorm_lib.residual import ResidualStack, branch_widths


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def linear(dim, seed=0, writes=None):
    """A linear map with weights of its own for each seed."""
    layer = nn.Linear(dim, writes or dim, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(draw(*layer.weight.shape, seed=seed) / dim**0.5)
        layer.bias.copy_(draw(layer.out_features, seed=seed + 1000))
    return layer


def two_layers(dim, seed=0, writes=None):
    return nn.Sequential(linear(dim, 2 * seed), nn.Tanh(), linear(dim, 2 * seed + 1, writes))


class Valued(nn.Module):
    """A branch with values, as an attention has them: W2 mix(W1 x)."""

    mixes_values = True

    def __init__(self, dim, seed):
        super().__init__()
        self.value, self.output_projection = linear(dim, 2 * seed), linear(dim, 2 * seed + 1)

    def forward(self, x, mix_values=None):
        values = self.value(x)
        return self.output_projection(values if mix_values is None else mix_values(values))


def make_stack(scheme, dim=4, blocks=4, norm="layer", **options):
    """A stack of two-layer branches, in float64."""
    options = ({"growth": 3} if scheme == "concat" else {}) | options
    branches = []
    for step, (reads, writes) in enumerate(branch_widths(dim, scheme, blocks, **options)):
        branches.append(Valued(dim, step) if scheme == "value_residual" else two_layers(reads, step, writes))
    return ResidualStack(branches, dim, scheme, norm=norm, **options).double()


def disturb(module, seed=0):
    """Move every parameter off its start, where zeros and ones would hide mistakes."""
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.add_(0.3 * draw(*parameter.shape, seed=seed + number).to(parameter.dtype))
    return module
