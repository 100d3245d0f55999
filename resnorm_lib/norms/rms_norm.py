"""Root mean square normalization."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from resnorm_lib._arguments import flag, number
from resnorm_lib.norms._checks import as_shape
from resnorm_lib.norms.registry import named
from resnorm_lib.ops.norm.add_norm import add_norm
from resnorm_lib.ops.norm.function import normalize_rows

__all__ = ["RMSNorm"]


@named("rms")
class RMSNorm(nn.RMSNorm):
    r"""Root mean square normalization: layer normalization without centring and without a bias.

    .. math:: y = w \odot \frac{x}{\sqrt{\frac1d \sum_i x_i^2 + \varepsilon}}

    It is a :class:`torch.nn.RMSNorm`, with the same state dict.

    Parameters
    ----------
    normalized_shape : int or tuple of ints
        The sizes of the last axes, d or (..., d); x has shape (..., \*normalized_shape).
    eps : float, optional
        Added to the mean square, inside the square root. ``None`` means, as in torch, the machine epsilon of the dtype
        of the statistics: of float64 for float64, of float32 for all others. Llama has 1e-5 or 1e-6.
    elementwise_affine : bool, default True
        Learn a gain ``weight`` of the normalized shape. False: affine-free.
    device, dtype : optional
        Of the parameters.
    zero_centered_gain : bool, default False
        Store :math:`w - 1`, starting at 0, as Gemma does. The gain is formed in float32, since 1 + w would round a
        small w away in bfloat16. Such a state dict is not torch's.

    Raises
    ------
    ValueError
        If an argument or the last axes of the input do not fit.

    References
    ----------
    Zhang and Sennrich (2019), arXiv:1910.07467.

    Examples
    --------
    >>> import torch
    >>> RMSNorm(3)(torch.tensor([[1.0, 2.0, 2.0]])).detach().round(decimals=3)
    tensor([[0.5770, 1.1550, 1.1550]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        zero_centered_gain: bool = False,
    ) -> None:
        self.zero_centered_gain = flag("zero_centered_gain", zero_centered_gain)
        shape, eps = as_shape("normalized_shape", normalized_shape), eps if eps is None else number("eps", eps, 0)
        super().__init__(shape, eps, flag("elementwise_affine", elementwise_affine), device, dtype)

    def reset_parameters(self) -> None:
        """Put the gain back to 1."""
        super().reset_parameters()
        if self.zero_centered_gain and self.weight is not None:
            nn.init.zeros_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return normalize_rows(
            x, self.normalized_shape, self.weight, None, self.eps, rms=True, zero_centered_gain=self.zero_centered_gain
        )

    def after_add(self, x: Tensor, residual: Tensor, prenorm: bool) -> Tensor | tuple[Tensor, Tensor]:
        """Return y = self(s) of the sum s = residual + x, as the pair (y, s) if ``prenorm``. One axis is normalized."""
        return add_norm(
            x,
            residual,
            self.weight,
            norm="rms",
            eps=self.eps,
            prenorm=prenorm,
            zero_centered_gain=self.zero_centered_gain,
        )

    def extra_repr(self) -> str:
        return super().extra_repr() + ", zero_centered_gain=True" * self.zero_centered_gain
