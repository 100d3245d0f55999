"""A deep multilayer perceptron, plain or residual: the smallest network in which depth matters."""

from functools import partial

import torch
from torch import Tensor, nn

from resnorm_lib._arguments import positive_int
from resnorm_lib.models._device import meta_at_once
from resnorm_lib.norms.registry import Norm
from resnorm_lib.residual import ResidualStack, branch_widths
from resnorm_lib.residual.branch import output_projection

__all__ = ["MLP"]


class MLP(nn.Module):
    r"""A stack of equal blocks between a linear map in and a linear map out.

    .. math::

        h_0 = W_{\text{in}} x, \qquad
        h_\ell = \mathrm{scheme}(h_{\ell-1}, F_\ell) \text{ with } F_\ell(h) = W_\ell\,\mathrm{ReLU}(h) + b_\ell, \qquad
        \mathrm{logits} = W_{\text{out}} N(h_L)

    With ``scheme="plain"`` a block is :math:`W\,\mathrm{ReLU}(N(h))`, with ``"pre_norm"`` the same plus
    :math:`h`: twins with the same parameters, one with shortcuts and one without. The weights of the blocks start
    as He et al. (2015, arXiv:1502.01852) have it, normal with variance 2/width, and those of :math:`W_{\text{in}}`
    normal with variance 1/in_features, so that features of variance 1 give a stream of variance 1. All biases start
    at 0. The last norm N is left out for ``"post_norm"``, whose blocks end with one.

    Parameters
    ----------
    in_features, width, depth, out_features : int
        Sizes; ``depth`` is the number of blocks.
    scheme, norm, device, dtype
        As for :class:`resnorm_lib.residual.Residual`. Weights are drawn on the CPU, so that a seed gives the same
        model on every device.
    **options
        Of the scheme.

    Raises
    ------
    ValueError
        If an argument does not fit.

    Examples
    --------
    >>> MLP(64, 32, depth=3, out_features=10)(torch.zeros(5, 64)).shape
    torch.Size([5, 10])
    """

    @meta_at_once
    def __init__(
        self,
        in_features: int,
        width: int,
        depth: int,
        *,
        out_features: int,
        scheme: str | type | partial = "pre_norm",
        norm: Norm = "batch",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options,
    ) -> None:
        super().__init__()
        width, depth = positive_int("width", width), positive_int("depth", depth)
        in_features = positive_int("in_features", in_features)
        self.embed = nn.Linear(in_features, width)
        self._start_embedding()
        branches = [_Branch(*widths) for widths in branch_widths(width, scheme, depth, **options)]
        self.blocks = ResidualStack(branches, width, scheme, norm=norm, **options)
        self.final_norm = self.blocks.make_final_norm(norm)
        self.head = nn.Linear(self.blocks.out_dim, positive_int("out_features", out_features))
        self._scale_head()
        self.to(device=device, dtype=dtype)

    def _start_embedding(self) -> None:
        nn.init.normal_(self.embed.weight, std=self.embed.in_features**-0.5)
        nn.init.zeros_(self.embed.bias)

    @torch.no_grad()
    def _scale_head(self) -> None:
        for parameter in self.head.parameters():
            parameter.mul_(self.blocks.head_gain)

    def reset_parameters(self) -> None:
        """Give the outer maps another start. The blocks have theirs before: ``apply`` reaches the inner parts first."""
        self._start_embedding()
        self.head.reset_parameters()
        self._scale_head()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.final_norm(self.blocks(self.embed(x))))


class _Branch(nn.Sequential):
    def __init__(self, reads: int, writes: int) -> None:
        super().__init__(nn.ReLU(), nn.Linear(reads, writes))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        linear = output_projection(self)  # behind whatever norm a scheme may have put before it
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
