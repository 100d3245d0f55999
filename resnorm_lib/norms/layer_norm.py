"""Layer normalization."""

from resnorm_lib._arguments import number
from resnorm_lib.norms._shared import RowNorm
from resnorm_lib.norms.registry import named

__all__ = ["LayerNorm"]


@named("layer")
class LayerNorm(RowNorm):
    r"""Layer normalization: mean and variance over the features of each row.

    .. math:: y = w \odot \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + b

    with :math:`\mu, \sigma^2` the mean and the (biased) variance over the last axes. A row's output depends on that
    row alone, in training and in evaluation alike. Takes and gives the state dict of :class:`torch.nn.LayerNorm`.

    Parameters
    ----------
    normalized_shape : int or tuple of ints
        The sizes of the last axes, d or (..., d); x has shape (..., \*normalized_shape).
    eps : float, default 1e-5
        Inside the root. Keras has 1e-3, and many BERT-like models have 1e-12.
    elementwise_affine : bool, default True
        Learn a gain ``weight`` and an offset ``bias``, both of the normalized shape. False: affine-free.
    bias : bool, default True
        Learn the offset as well as the gain.
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
    first and second derivatives; its third ones are wrong (torch 2.13). Write the formula in elementary operations
    where you need them.

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
        normalized_shape,
        eps=1e-5,
        elementwise_affine=True,
        bias=True,
        device=None,
        dtype=None,
        *,
        zero_centered_gain=False,
    ):
        eps = number("eps", eps, at_least=0)
        super().__init__(normalized_shape, eps, elementwise_affine, bias, zero_centered_gain, device, dtype)
