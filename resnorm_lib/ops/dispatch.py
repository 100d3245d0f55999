"""Which version of an operation runs: a Triton kernel, or the torch version.

One switch for the whole library, :func:`kernels`, and the two questions that an operation asks before it runs. The hot
path reads a global variable and the device of the tensor, no more.
"""

import importlib.util
import os

import torch
from torch import Tensor
from torch.autograd import forward_ad

from resnorm_lib._arguments import choice

__all__ = ["KernelsUnavailable", "has_kernels", "is_transformed", "kernels", "uses_kernels"]

MODES = ("auto", "on", "off")
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
PLAIN = (torch.Tensor, torch.nn.Parameter)  # types of tensors that have numbers of their own

is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor  # by a transform of torch.func, also one that has ended
is_batched = torch._C._functorch.is_legacy_batchedtensor  # by torch.autograd, for is_grads_batched

# Both are read once, at import: Triton reads its variable when a kernel is defined, and a later change has no effect.
HAS_TRITON = importlib.util.find_spec("triton") is not None
INTERPRETED = HAS_TRITON and os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes", "y")

chosen = "auto"  # what kernels.mode() says; read, not called, where a call would cost time
_capable: dict[int, bool] = {}  # device index -> whether its chip is new enough


class KernelsUnavailable(RuntimeError):
    """``kernels("on")`` asked for a kernel that cannot run here."""


class kernels:
    """Choose between the Triton kernels and the torch versions: a call, or a context that puts the old choice back.

    ==========  ======================================================================================================
    ``"auto"``  (at the start) the kernel for float32, bfloat16 and float16 on a GPU of NVIDIA's from Ampere on, and
                torch everywhere else
    ``"on"``    the kernel wherever one can run: on CUDA in float64 too, and on a CPU if ``TRITON_INTERPRET=1`` was
                set before the import (slow; for tests). Where none can run, an operation raises.
    ``"off"``   torch
    ==========  ======================================================================================================

    The choice does not depend on how many rows there are: a row's result is the same alone and in a batch. It holds
    for all threads. Code under :func:`torch.compile` is compiled anew when it changes. Inside the transforms of
    :mod:`torch.func` and in forward-mode differentiation, ``"auto"`` takes the torch versions, which can do both.

    Parameters
    ----------
    mode : {"auto", "on", "off"}

    Raises
    ------
    ValueError
        If the mode is another.

    Examples
    --------
    >>> with kernels("off"):
    ...     kernels.mode()
    'off'
    >>> kernels.mode()
    'auto'
    """

    def __init__(self, mode: str) -> None:
        global chosen
        choice("mode", mode, MODES)
        self._before, chosen = chosen, mode

    def __enter__(self) -> "kernels":
        return self

    def __exit__(self, *exception: object) -> None:
        global chosen
        chosen = self._before

    @staticmethod
    def mode() -> str:
        """Return the choice that holds now."""
        return chosen


def _is_capable(device: torch.device) -> bool:
    """Return whether the chip has bfloat16 arithmetic (compute capability 8.0). A compiler has checked that already."""
    if torch.compiler.is_compiling():
        return True
    index = device.index
    if index not in _capable:
        _capable[index] = torch.version.hip is None and torch.cuda.get_device_capability(device) >= (8, 0)
    return _capable[index]


def has_kernels(x: Tensor) -> bool:
    """Return whether a kernel can run on tensor ``x``: compiled on a GPU, interpreted on a CPU."""
    if not HAS_TRITON or x.dtype not in DTYPES:
        return False
    if x.is_cuda:
        return not INTERPRETED and _is_capable(x.device)
    return INTERPRETED and x.device.type == "cpu"


def is_transformed() -> bool:
    """Return whether torch.func or forward-mode differentiation is active: a registered operation supports neither."""
    if torch.compiler.is_compiling():
        return False
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def uses_kernels(x: Tensor) -> bool:
    """Return whether an operation on ``x`` runs its kernel now, by the switch and by the device and dtype of ``x``.

    Raises
    ------
    KernelsUnavailable
        If the switch is ``"on"`` and no kernel can run on ``x``.
    """
    if chosen == "off":
        return False
    if chosen == "auto":
        return x.is_cuda and x.dtype is not torch.float64 and has_kernels(x) and not is_transformed()
    if not has_kernels(x):
        raise KernelsUnavailable(
            f'kernels("on") was chosen, but no kernel can run on a tensor of {x.dtype} on {x.device}: '
            "that takes triton, and an NVIDIA GPU from Ampere on or TRITON_INTERPRET=1 set before the import."
        )
    return True


def is_eager(*tensors: Tensor | None) -> bool:
    """Return whether an operation on these tensors, or None, may launch its kernel at once.

    Not where somebody must see it as one operation: a compiler, an export, a dispatch mode, a subclass of tensors; nor
    where a tensor stands for a batch of them, as a gradient does under ``is_grads_batched``.
    """
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return False
    for x in tensors:  # noqa: SIM110  all() over a generator takes twice the time
        if x is not None and (type(x) not in PLAIN or is_wrapped(x) or is_batched(x)):
            return False
    return True


def needs_gradients(*inputs: Tensor | None) -> bool:
    """Return whether autograd is to know of an operation on these tensors, or None."""
    if torch.is_grad_enabled():
        for x in inputs:
            if x is not None and x.requires_grad:
                return True
    return False


def is_traced(x: object) -> bool:
    """Return whether the body of an operation is being traced: its tensors then have shapes and no numbers."""
    return type(x) not in PLAIN


def runs_kernel(x: Tensor) -> bool:
    """Return whether the body of a registered operation runs the kernel, and not the torch version.

    The interpreter needs numbers: in a traced graph the torch version stands in for it.
    """
    return has_kernels(x) and not (INTERPRETED and is_traced(x))
