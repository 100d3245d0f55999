"""The torch version of DynamicTanh and Derf."""

import torch

from resnorm_lib._precision import upcast

__all__ = ["squash_torch"]


def squash_torch(x, alpha, shift, weight, bias):
    """The torch version, in elementary operations that can be differentiated any number of times."""
    z = alpha * upcast(x)
    y = torch.tanh(z) if shift is None else torch.erf(z + shift)
    if weight is not None:
        y = weight * y
    return (y if bias is None else y + bias).to(x.dtype)
