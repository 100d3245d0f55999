"""Root mean square normalization."""

from resnorm_lib.norms._shared import RowNorm
from resnorm_lib.norms.registry import named

__all__ = ["RMSNorm"]


@named("rms")
class RMSNorm(RowNorm):
    r"""Root mean square normalization: layer normalization without centring and without an offset.

    .. math:: y = w \odot \frac{x}{\sqrt{\frac1d \sum_i x_i^2 + \varepsilon}}

    Takes and gives the state dict of :class:`torch.nn.RMSNorm`.

    Parameters
    ----------
    normalized_shape : int or tuple of ints
        The sizes of the last axes, d or (..., d); x has shape (..., \*normalized_shape).
    eps : float, optional
        Inside the root. ``None`` means, as in torch, the machine epsilon of the dtype that holds the statistics:
        float32 for float16, bfloat16 and float32, float64 for float64. Llama has 1e-5 or 1e-6.
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

    is_rms = True

    def __init__(
        self,
        normalized_shape,
        eps=None,
        elementwise_affine=True,
        device=None,
        dtype=None,
        *,
        zero_centered_gain=False,
    ):
        super().__init__(normalized_shape, eps, elementwise_affine, False, zero_centered_gain, device, dtype)
