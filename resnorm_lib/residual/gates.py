"""Schemes that decide with a learned gate how much of the stream and how much of the branch goes on."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnorm_lib._arguments import number
from resnorm_lib.norms.registry import Norm
from resnorm_lib.residual.position import BranchPosition
from resnorm_lib.residual.registry import named
from resnorm_lib.residual.scheme import Branch, Scheme, identity, same_shape


class FeatureLinear(nn.Linear):
    """Apply a linear map to the features, on whichever axis they are. ``bias`` is the start of its bias."""

    def __init__(self, dim: int, axis: int | None, bias: float | None = None) -> None:
        self.start_of_bias = bias
        super().__init__(dim, dim, bias=bias is not None)
        self.axis = -1 if axis is None else axis

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.bias is not None:
            nn.init.constant_(self.bias, self.start_of_bias)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(self.axis, -1)).movedim(-1, self.axis)


@named("highway", r"T F(N(x)) + (1 - T) x", "multiplied by a gate")
class Highway(Scheme):
    r"""A gate between branch and stream: :math:`y = T \odot F(N(x)) + (1 - T) \odot x`, :math:`T = \sigma(Wx + b)`.

    Srivastava, Greff and Schmidhuber (2015), arXiv:1505.00387. Identity path: multiplied by 1 - T in every block, so
    that its share falls with depth unless the gates stay shut. Start: b negative (here -2), so that most goes on
    unchanged. The forerunner of the residual connection; use it to see why the shortcut is best left alone. The
    paper has no norm: F reads :math:`N(x)`, so pass ``norm="none"`` for theirs.

    Parameters
    ----------
    bias : number, default -2
        Start of b.
    """

    def __init__(self, dim: int, norm: Norm, position: BranchPosition, *, bias: float = -2.0) -> None:
        super().__init__(dim, norm, position)
        self.gate = FeatureLinear(dim, position.feature_axis, number("bias", bias))

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        read = self.norm(x)
        stream, update = shortcut(x, read), branch(read)
        same_shape(stream, update)
        gate = torch.sigmoid(self.gate(stream))
        return (1 - gate) * stream + gate * update


@named("gru", r"(1 - z) x + z \tanh(\dots)", "multiplied by a gate")
class GRUGate(Scheme):
    r"""The gated recurrent unit in place of the sum: state x, input :math:`u = \mathrm{ReLU}(F(N(x)))`.

    .. math::

        r &= \sigma(W_r u + U_r x), \qquad z = \sigma(W_z u + U_z x - b) \\
        y &= (1 - z) \odot x + z \odot \tanh(W_g u + U_g (r \odot x))

    Parisotto et al. (2020), arXiv:1910.06764 (GTrXL). Identity path: multiplied by 1 - z. Start: b = 2, so that z is
    small and the block near the identity. Use it for Transformers in reinforcement learning, where plain ones
    often fail to train; it costs six matrices a block.

    Parameters
    ----------
    bias : number, default 2
        Start of b.
    """

    def __init__(self, dim: int, norm: Norm, position: BranchPosition, *, bias: float = 2.0) -> None:
        super().__init__(dim, norm, position)
        self.of_branch = nn.ModuleList(FeatureLinear(dim, position.feature_axis) for _ in range(3))
        self.of_stream = nn.ModuleList(FeatureLinear(dim, position.feature_axis) for _ in range(3))
        self.start_of_bias = number("bias", bias)
        self.bias = nn.Parameter(torch.full((dim,), self.start_of_bias))

    def reset_parameters(self) -> None:
        nn.init.constant_(self.bias, self.start_of_bias)

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        read = self.norm(x)
        stream, u = shortcut(x, read), F.relu(branch(read))
        same_shape(stream, u)
        r = torch.sigmoid(self.of_stream[0](stream) + self.of_branch[0](u))
        z = torch.sigmoid(self.of_stream[1](stream) + self.of_branch[1](u) - self.per_feature(self.bias, u))
        candidate = torch.tanh(self.of_branch[2](u) + self.of_stream[2](r * stream))
        return (1 - z) * stream + z * candidate
