"""Post-norm schemes that give the shortcut more weight than the branch."""

from typing import Any

import torch
from torch import Tensor, nn

from resnorm_lib.norms.registry import Norm
from resnorm_lib.residual.block import residual_blocks
from resnorm_lib.residual.branch import scaled_weights
from resnorm_lib.residual.fused import add_then_norm
from resnorm_lib.residual.placement import PostNorm
from resnorm_lib.residual.position import BranchPosition
from resnorm_lib.residual.registry import named
from resnorm_lib.residual.scheme import Branch, Scheme, identity
from resnorm_lib.residual.start import StartsBranch

__all__ = ["Admin", "DeepNorm", "profile_admin"]


@named("deep_norm", r"N(\alpha x + F(x))", "rescaled, but heavy")
class DeepNorm(StartsBranch, PostNorm):
    r"""Post-norm with a heavier shortcut and a lighter branch: :math:`y = N(\alpha x + F(x))`.

    Wang et al. (2022), arXiv:2203.00555. Identity path: rescaled in every block, but the branch weighs little in it.
    Start: the weights on the way through the branch (values and output of an attention, both of a feed-forward, not
    queries and keys) are multiplied by :math:`\beta`. With N encoder and M decoder layers,

    ==========================  ========================================  ========================================
    network                     :math:`\alpha`                            :math:`\beta`
    ==========================  ========================================  ========================================
    encoder alone               :math:`(2N)^{1/4}`                        :math:`(8N)^{-1/4}`
    decoder alone               :math:`(2M)^{1/4}`                        :math:`(8M)^{-1/4}`
    encoder of both             :math:`0.81 (N^4 M)^{1/16}`               :math:`0.87 (N^4 M)^{-1/16}`
    decoder of both             :math:`(3M)^{1/4}`                        :math:`(12M)^{-1/4}`
    ==========================  ========================================  ========================================

    In all rows but the third these are :math:`L^{1/4}` and :math:`(4L)^{-1/4}` of the number of branches L. Use it
    where post-norm is wanted and the network is deep.
    """

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__(dim, norm, position)
        branches = position.required_num_branches
        self.alpha, self.beta = branches**0.25, (4 * branches) ** -0.25
        if position.role == "encoder":
            both = (position.num_layers**4 * position.other_depth) ** (1 / 16)
            self.alpha, self.beta = 0.81 * both, 0.87 / both

    def start(self, branch: nn.Module) -> None:
        for weight in scaled_weights(branch):
            weight.mul_(self.beta)

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        return add_then_norm(self.norm, self.alpha * shortcut(x, x), branch(x))


@named("admin", r"N(\omega \odot x + F(x))", "rescaled, but heavy")
class Admin(PostNorm):
    r"""Post-norm whose shortcut starts as heavy as all earlier branches: :math:`y = N(\omega \odot x + F(x))`.

    Liu et al. (2020), arXiv:2004.08249. Identity path: rescaled in every block, but the branch weighs little in it.
    Start: :math:`\omega = 1`, which is post-norm, until ``profile_admin`` has measured the branches on a batch.
    Training then changes :math:`\omega`. Use it where post-norm is wanted and the network is deep.
    """

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__(dim, norm, position)
        self.omega = nn.Parameter(torch.ones(dim))

    def reset_parameters(self) -> None:
        nn.init.ones_(self.omega)

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        stream = shortcut(x, x)
        return add_then_norm(self.norm, self.per_feature(self.omega, stream) * stream, branch(x))


@torch.no_grad()
def profile_admin(model: nn.Module, *args: Any, **kwargs) -> None:
    r"""Set :math:`\omega` of every Admin block by one forward pass, before training.

    .. math::

        \omega_1 &= 1 \\
        \omega_{\ell+1}^2 &= \omega_\ell^2 \operatorname{Var} x_\ell + \operatorname{Var} F_\ell(x_\ell)

    as the authors' code has it. From the second block on, the norm before it gives
    :math:`\operatorname{Var} x_\ell = 1`, so that :math:`\omega^2` grows by the variance of each branch, like the sum
    in the paper. The two halves of an encoder-decoder are measured separately.

    Parameters
    ----------
    model : nn.Module
        A model or stack with ``scheme="admin"``.
    *args, **kwargs
        What the model is called with: a batch of training data.

    Raises
    ------
    ValueError
        If no block of the model has the scheme.

    Examples
    --------
    >>> from resnorm_lib.models import DecoderLM
    >>> model = DecoderLM(20, 8, depth=2, num_heads=2, context_length=4, scheme="admin")
    >>> profile_admin(model, torch.arange(4)[None])
    >>> omegas = [block.scheme.omega[0].item() for block in model.blocks]
    >>> omegas[0], omegas[1:] == sorted(omegas[1:])
    (1.0, True)
    """
    schemes = [block.scheme for block in residual_blocks(model) if isinstance(block.scheme, Admin)]
    if not schemes:
        raise ValueError("model has no block with scheme='admin', so that there is nothing to profile.")
    variance: dict[str, float] = {}  # of the weighted sum before the norm, in each half of the network

    def measure(scheme: Scheme, args: tuple) -> tuple[Tensor, Branch, Branch]:
        x, branch, shortcut = args
        before = variance.get(scheme.position.role, 1.0)
        scheme.omega.fill_(before**0.5)

        def measured(read: Tensor) -> Tensor:
            update = branch(read)
            variance[scheme.position.role] = (before * x.var(correction=0) + update.var(correction=0)).item()
            return update

        return x, measured, shortcut

    handles = [scheme.register_forward_pre_hook(measure) for scheme in schemes]
    try:
        model(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
