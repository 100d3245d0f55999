"""Operations that are bound by memory, as fused Triton kernels with a torch version beside each.

On a GPU the modules of :mod:`resnorm_lib.norms` and :mod:`resnorm_lib.residual` use them without being asked;
:class:`kernels` is the switch. Importing this needs no triton and touches no device: a kernel is imported when it
first runs.
"""

from resnorm_lib.ops.dispatch import KernelsUnavailable, has_kernels, kernels
from resnorm_lib.ops.elementwise.function import derf, dyt, scaled_add
from resnorm_lib.ops.group_norm.function import group_norm
from resnorm_lib.ops.norm.add_norm import add_norm
from resnorm_lib.ops.norm.function import layer_norm, rms_norm

__all__ = [
    "KernelsUnavailable",
    "add_norm",
    "derf",
    "dyt",
    "group_norm",
    "has_kernels",
    "kernels",
    "layer_norm",
    "rms_norm",
    "scaled_add",
]
