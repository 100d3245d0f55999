"""A residual add and the norm after it in one operation: what is added is normalized while it is still at hand."""

import torch
from torch import Tensor

from resnorm_lib._arguments import choice, flag, number
from resnorm_lib.ops._checks import check_same_shape
from resnorm_lib.ops.dispatch import is_eager, uses_kernels
from resnorm_lib.ops.norm.eager import fused_norm
from resnorm_lib.ops.norm.function import check_rows, kernel_eps, normalize_rows
from resnorm_lib.ops.norm.torch_version import Settings

__all__ = ["add_norm"]


def add_norm(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    norm: str = "layer",
    eps: float | None = None,
    prenorm: bool = True,
    zero_centered_gain: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Add a branch to the stream and normalize the sum.

    .. math:: s = r + x, \qquad y = N(s)

    The next branch of a pre-norm network reads y and the stream goes on as s; a post-norm network needs y alone. With
    all tensors of one dtype the kernel moves 4 MN numbers forward (3 MN for y alone without gradients) and 4 MN back,
    where an add and a norm that are each as fast as memory move 5 MN and 6 MN.

    The sum is formed in float32 and rounded once, to the wider dtype of the two: a stream in float32
    stays in float32 beside branches of 16 bits. What is normalized is the rounded sum,
    so that the result is that of ``norm(residual + x)`` and the gradient is that of the function computed.

    Parameters
    ----------
    x : tensor, shape (..., N)
        What the branch wrote.
    residual : tensor of the same shape
        The stream.
    weight, bias : tensor, shape (N,), optional
    norm : {"layer", "rms"}
    eps : float, optional
        By default 1e-5 for LayerNorm, and for RMSNorm the machine epsilon of the dtype of the statistics.
    prenorm : bool
        Return s, too.
    zero_centered_gain : bool
        The gain is 1 + weight.

    Returns
    -------
    ``(y, s)``, or y alone if not ``prenorm``. y has the dtype of x.

    Raises
    ------
    ValueError
        If shapes differ (an add never broadcasts), or an argument does not fit.

    Examples
    --------
    >>> y, s = add_norm(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 2.0, 3.0]]))
    >>> s
    tensor([[1., 2., 3.]])
    >>> y.round(decimals=3)
    tensor([[-1.2250,  0.0000,  1.2250]])
    """
    rms = choice("norm", norm, ("layer", "rms")) == "rms"
    check_rows(x, weight, bias, zero_centered_gain)
    check_same_shape(x, residual)
    flag("prenorm", prenorm)
    eps = number("eps", eps, at_least=0) if eps is not None else None if rms else 1e-5
    if uses_kernels(x):
        inputs = (x, residual, weight, bias)
        keep = prenorm or (torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs))
        y, s = _kernel(inputs, Settings(kernel_eps(eps, x), rms, zero_centered_gain), keep)
    else:
        s = residual + x
        y = normalize_rows(s, s.shape[-1:], weight, bias, eps, rms=rms, zero_centered_gain=zero_centered_gain).to(
            x.dtype
        )
    return (y, s) if prenorm else y


def _kernel(inputs: tuple, settings: Settings, keep: bool) -> tuple[Tensor, Tensor | None]:
    """Return y and the sum, which is None unless ``keep``."""
    if is_eager(*inputs):
        fused = fused_norm(*inputs, settings, keep)
        return fused if keep else (fused, None)
    from resnorm_lib.ops.norm.add_norm_registered import add_norm as fused

    return fused(*inputs, *settings, keep)[:2]
