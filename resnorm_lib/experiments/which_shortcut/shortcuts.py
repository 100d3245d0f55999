"""What may stand on a shortcut, and how much of its input it lets through."""

import math
from functools import partial

import torch
from torch import Tensor, nn

from resnorm_lib.models.resnet_blocks import convolution
from resnorm_lib.residual import residual_blocks
from resnorm_lib.residual.gates import FeatureLinear, Highway

__all__ = ["MAKE", "Factor", "Gate", "log_product", "mean_factors"]


class Factor(nn.Module):
    r""":math:`\lambda x`."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


class Gate(nn.Module):
    r""":math:`(1 - g(x)) \odot x` with :math:`g(x) = \sigma(W x + b)`: a gate on the shortcut alone."""

    def __init__(self, dim: int, axis: int | None, bias: float) -> None:
        super().__init__()
        self.gate = FeatureLinear(dim, axis, bias)

    def forward(self, x: Tensor) -> Tensor:
        return (1 - torch.sigmoid(self.gate(x))) * x


def matrix(dim: int, axis: int | None, start: str | None) -> nn.Module:
    """Return a learned map of the features, whose start keeps the norm of its input or is the identity."""
    layer = convolution(dim, dim, 1) if axis == 1 else nn.Linear(dim, dim, bias=False)
    with torch.no_grad():
        if start == "identity":
            layer.weight.copy_(torch.eye(dim).reshape(layer.weight.shape))
        elif axis != 1:  # a convolution starts as all others do; behind a ReLU that keeps the size
            nn.init.normal_(layer.weight, std=dim**-0.5)
    return layer


MAKE = {
    "factor": lambda dim, axis, number: Factor(number),
    "gate": Gate,
    "matrix": matrix,
    "dropout": lambda dim, axis, number: nn.Dropout(number),
}


@torch.no_grad()
def mean_factors(model: nn.Module, x: Tensor) -> list[float] | None:
    r"""Return the mean factor :math:`\lambda_\ell` on the shortcut of each block for this input.

    Parameters
    ----------
    model : a network of :func:`build` whose shortcuts are factors or gates
    x : tensor
        A batch; norms use its statistics, since before training they have no others.

    Returns
    -------
    list of float, or None where some shortcut is neither factor nor gate
    """
    factors, hooks = [], []
    found = [[m for m in block.modules() if isinstance(m, (Factor, Gate, Highway))] for block in residual_blocks(model)]
    if not all(found):
        return None
    for place, (one, *_) in enumerate(found):
        factors.append(getattr(one, "factor", None))
        if factors[place] is None:
            hooks.append(one.gate.register_forward_hook(partial(_note, factors, place)))
    training = model.training
    model.train()(x)
    model.train(training)
    for hook in hooks:
        hook.remove()
    return factors


def _note(factors: list, place: int, gate: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    factors[place] = (1 - torch.sigmoid(output)).mean().item()


def log_product(factors: list) -> float:
    """Return the base-10 logarithm of their product, which itself may be too small for a number."""
    return sum(math.log10(factor) for factor in factors)
