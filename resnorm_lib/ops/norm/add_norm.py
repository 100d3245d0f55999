"""A residual add and the norm after it in one operation: what is added is normalized while it is still at hand."""

import torch

from resnorm_lib._arguments import choice, flag, number
from resnorm_lib.ops.dispatch import uses_kernels
from resnorm_lib.ops.norm.dropout import check_probability, make_seed
from resnorm_lib.ops.norm.function import as_eps, check_rows, normalize_rows
from resnorm_lib.ops.norm.torch_version import stream, stream_dtype

__all__ = ["add_norm"]


def add_norm(
    x, residual, weight=None, bias=None, *, norm="layer", eps=None, prenorm=True, zero_centered_gain=False,
    dropout_p=0.0, row_scale=None, residual_in_fp32=False, seed=None,
):  # fmt: skip
    r"""Add a branch to the stream and normalize the sum.

    .. math:: s = r + c \odot \operatorname{dropout}_p(x), \qquad y = N(s)

    The next branch of a pre-norm network reads y and the stream goes on as s; a post-norm network needs y alone. With
    all tensors of one dtype the kernel moves 4 MN numbers forward (3 MN for y alone without gradients) and 4 MN back,
    where an add and a norm that are each as fast as memory move 5 MN and 6 MN.

    The sum is formed in float32 and rounded once, to the dtype of the stream; what is normalized is the rounded sum,
    so that the result is that of ``norm(residual + x)`` and the gradient is that of the function computed.

    Parameters
    ----------
    x : tensor, shape (..., N)
        What the branch wrote.
    residual : tensor of the same shape
        The stream, of the dtype of x or a wider one.
    weight, bias : tensor, shape (N,), optional
    norm : {"layer", "rms"}
    eps : float, optional
        By default 1e-5 for LayerNorm, and for RMSNorm the machine epsilon of the dtype of the statistics.
    prenorm : bool
        Return s, too.
    zero_centered_gain : bool
        The gain is 1 + weight.
    dropout_p : float, 0 to below 1
        Of the branch. The mask follows from the seed, the row and the column, so that it is not stored.
    row_scale : tensor of the shape of x without its last axis, optional
        c, a scale for each row that is not learned: of stochastic depth.
    residual_in_fp32 : bool
        Keep the stream in float32 from here on, also where ``residual`` is narrower.
    seed : int or int64 tensor (1,), optional
        Of the dropout; drawn from torch's generator when left out. The same seed gives the same mask on every device
        and in every version.

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
    check_stream(x, residual, row_scale)
    flag("prenorm", prenorm)
    wide_stream = flag("residual_in_fp32", residual_in_fp32)
    dropout_p = check_probability(dropout_p)
    eps = number("eps", eps, at_least=0) if eps is not None else None if rms else 1e-5
    seed = make_seed(seed, x.device) if dropout_p else None
    if uses_kernels(x):
        import resnorm_lib.ops.norm.add_norm_registered  # noqa: F401

        inputs = (x, residual, weight, bias)
        keep = prenorm or (torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs))
        y, s, _, _ = torch.ops.resnorm.add_norm(
            *inputs, row_scale, seed, as_eps(eps, x), rms, zero_centered_gain, dropout_p, wide_stream, keep
        )
    else:
        s = plain_stream(x, residual, row_scale, seed, dropout_p, wide_stream)
        y = normalize_rows(s, s.shape[-1:], weight, bias, eps, rms, zero_centered_gain).to(x.dtype)
    return (y, s) if prenorm else y


def plain_stream(x, residual, row_scale, seed, dropout_p, wide_stream):
    """The sum by torch, without a detour where torch rounds once by itself."""
    if seed is None and row_scale is None and stream_dtype(residual, wide_stream) == residual.dtype:
        return residual + x
    return stream(x, residual, row_scale, seed, dropout_p, wide_stream)


def check_stream(x, residual, row_scale):
    if residual.shape != x.shape or residual.device != x.device:
        raise ValueError(
            f"x has shape {tuple(x.shape)} on {x.device}, but residual has {tuple(residual.shape)} on "
            f"{residual.device}: a residual add never broadcasts."
        )
    if torch.promote_types(x.dtype, residual.dtype) != residual.dtype or (
        residual.dtype == torch.float64 and x.dtype != torch.float64
    ):
        raise ValueError(
            f"residual has {residual.dtype}, but x has {x.dtype}: the stream must be of the same dtype, or float32."
        )
    if row_scale is None:
        return
    if row_scale.shape != x.shape[:-1] or row_scale.device != x.device or not row_scale.is_floating_point():
        raise ValueError(
            f"row_scale has shape {tuple(row_scale.shape)}, {row_scale.dtype} and lies on {row_scale.device}, "
            f"but it must be a floating point tensor {tuple(x.shape[:-1])} on {x.device}."
        )
    if row_scale.requires_grad:
        raise ValueError("row_scale requires a gradient, but it is not learned: multiply x by it before.")
