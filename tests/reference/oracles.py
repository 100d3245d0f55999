"""A norm with its formula in NumPy, and bounds on the rounding errors of norms."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

UNIT_ROUNDOFF = {dtype: torch.finfo(dtype).eps / 2 for dtype in (torch.float64, torch.float32)} | {
    torch.bfloat16: 2.0**-8,
    torch.float16: 2.0**-11,
}


@dataclass(frozen=True)
class Case:
    """A norm, shapes of its inputs, and ``reference(parameters, inputs, dy)``, which returns output and gradients."""

    name: str
    make: Callable[[], nn.Module]
    shapes: tuple
    reference: Callable
    twin: Callable | None = None  # the same layer in torch.nn
    own_rows: bool = True  # in training, a sample's result is its own
    true_gradient: bool = True  # the backward is the derivative of the forward
    traits: frozenset = field(default_factory=frozenset)

    def __str__(self):
        return self.name

    def build(self, dtype=torch.float64, seed=0):
        """Return the norm with parameters and running statistics moved away from their starting values."""
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            module = self.make().to(dtype)
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point():
                noise = torch.empty(tensor.shape, dtype=torch.float64).uniform_(-0.4, 0.4, generator=generator)
                tensor.data.add_(noise.to(dtype))
        return module

    def inputs(self, dtype=torch.float64, seed=1, samples=None):
        generator = torch.Generator().manual_seed(seed)
        shapes = [shape if samples is None else (samples, *shape[1:]) for shape in self.shapes]
        return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def parameters(module):
    """Return parameters and running statistics as NumPy arrays, by name."""
    return {name: tensor.detach().double().numpy().copy() for name, tensor in module.state_dict().items()}


def run(module, inputs, dy):
    """Return the output and the gradients of a module by name; the inputs are called x0, x1, ..."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    y = module(*inputs)
    y.backward(dy)
    grads = {f"x{i}": x.grad for i, x in enumerate(inputs)} | {n: p.grad for n, p in module.named_parameters()}
    return y.detach(), grads


def upstream(y, seed=2):
    """Return a random gradient for ``y``."""
    return torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(y.dtype)


def standardization_bound(x, axes, eps, dtype):
    """Return a bound on the error of each entry of a computed (x - mean) / sqrt(var + eps).

    A mean of n numbers, in any order of summation, is off by at most n u mean|x|; a variance found by two passes or
    by updating is off by n u kappa relatively, with kappa = sqrt(1 + mean^2 / sigma^2) its condition number (Chan,
    Golub and LeVeque, 1983), while the mean of squares minus the square of the mean is off by n u kappa^2. The
    constant 8 counts the operations after the sums: difference, product, root, quotient, gain, bias.
    """
    n = np.prod([x.shape[axis] for axis in axes])
    mean, sigma = x.mean(axis=axes, keepdims=True), np.sqrt(x.var(axis=axes, keepdims=True) + eps)
    kappa = (np.abs(x) + np.abs(x).mean(axis=axes, keepdims=True)) / sigma
    return (n + 8) * UNIT_ROUNDOFF[dtype] * (kappa + 1) * (1 + np.abs(x - mean) / sigma)
