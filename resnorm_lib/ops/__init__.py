"""Operations that are bound by memory, as fused Triton kernels with a torch version beside each.

On a GPU the modules of :mod:`resnorm_lib.norms` and :mod:`resnorm_lib.residual` use them without being asked;
:func:`kernels` is the switch. Importing this needs no triton and touches no device: a kernel is imported when it
first runs.
"""

from resnorm_lib.ops.dispatch import KernelsUnavailable, has_kernels, kernels

__all__ = ["KernelsUnavailable", "has_kernels", "kernels"]
