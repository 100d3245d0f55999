"""Layer normalization."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from resnorm_lib._arguments import flag, number
from resnorm_lib.norms._checks import as_shape
from resnorm_lib.norms.registry import named
from resnorm_lib.ops.norm.add_norm import add_norm
from resnorm_lib.ops.norm.function import normalize_rows

__all__ = ["LayerNorm"]


@named("layer")
class LayerNorm(nn.LayerNorm):
    r"""Layer normalization: mean and variance over the features of each row.

    .. math:: y = w \odot \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + b

    with :math:`\mu, \sigma^2` the mean and the (biased) variance over the last axes. The output of a row depends on
    that row alone, in training and in evaluation alike. It is a :class:`torch.nn.LayerNorm`, with the same state dict.

    Parameters
    ----------
    normalized_shape : int or tuple of ints
        The sizes of the last axes, d or (..., d); x has shape (..., \*normalized_shape).
    eps : float, default 1e-5
        Added to the variance, inside the square root. Keras has 1e-3, and many BERT-like models have 1e-12.
    elementwise_affine : bool, default True
        Learn a gain ``weight`` and a ``bias``, both of the normalized shape. False: learn neither.
    bias : bool, default True
        Learn the bias as well as the gain.
    device, dtype : optional
        Of the parameters.
    zero_centered_gain : bool, default False
        Store :math:`w - 1`, starting at 0, so that weight decay pulls the gain to 1 and not to 0. Such a state dict
        is not torch's.

    Raises
    ------
    ValueError
        If an argument or the last axes of the input do not fit.

    Notes
    -----
    On a GPU this is :func:`resnorm_lib.ops.layer_norm`. Elsewhere it calls the fused kernel of torch, which has right
    first and second derivatives; its third ones are wrong (torch 2.13). Forward-mode differentiation goes through the
    formula, right to any order.

    References
    ----------
    Ba, Kiros and Hinton (2016), arXiv:1607.06450.

    Examples
    --------
    >>> import torch
    >>> LayerNorm(3)(torch.tensor([[1.0, 2.0, 3.0]])).detach().round(decimals=3)
    tensor([[-1.2250,  0.0000,  1.2250]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        zero_centered_gain: bool = False,
    ) -> None:
        self.zero_centered_gain = flag("zero_centered_gain", zero_centered_gain)
        shape, eps = as_shape("normalized_shape", normalized_shape), number("eps", eps, at_least=0)
        affine, bias = flag("elementwise_affine", elementwise_affine), flag("bias", bias)
        super().__init__(shape, eps, affine, bias, device, dtype)

    def reset_parameters(self) -> None:
        """Put the gain back to 1 and the bias to 0."""
        super().reset_parameters()
        if self.zero_centered_gain and self.weight is not None:
            nn.init.zeros_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return normalize_rows(
            x,
            self.normalized_shape,
            self.weight,
            self.bias,
            self.eps,
            rms=False,
            zero_centered_gain=self.zero_centered_gain,
        )

    def after_add(self, x: Tensor, residual: Tensor, prenorm: bool) -> Tensor | tuple[Tensor, Tensor]:
        """Return y = self(s) of the sum s = residual + x, as the pair (y, s) if ``prenorm``. One axis is normalized."""
        return add_norm(
            x,
            residual,
            self.weight,
            self.bias,
            norm="layer",
            eps=self.eps,
            prenorm=prenorm,
            zero_centered_gain=self.zero_centered_gain,
        )

    def extra_repr(self) -> str:
        return super().extra_repr() + ", zero_centered_gain=True" * self.zero_centered_gain
