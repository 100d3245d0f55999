"""Schemes that multiply the branch: by a constant, by something learned, or by the toss of a coin."""

import torch
from torch import Tensor, nn

from resnorm_lib._arguments import flag, number
from resnorm_lib.norms.registry import Norm
from resnorm_lib.ops.elementwise.function import scaled_add
from resnorm_lib.residual.branch import output_projection, scaled_weights
from resnorm_lib.residual.position import BranchPosition
from resnorm_lib.residual.registry import named
from resnorm_lib.residual.scheme import Branch, Scheme, identity, residual_add, same_shape
from resnorm_lib.residual.start import StartsBranch


@named("depth_scaled", r"x + F(N(x)) / \sqrt{L}", "untouched")
class DepthScaled(Scheme):
    r"""A constant factor from the depth: :math:`y = x + \tfrac{1}{\sqrt{L}} F(N(x))`, L = ``num_branches``.

    If each branch adds a variance of at most 1, the whole stack adds at most 1.
    Yang et al. (2024), arXiv:2310.02244 (Depth-muP); Bordelon et al. (2024), arXiv:2309.16620. Identity path:
    untouched. Start: nothing required; with Adam the learning rate of the branches goes with :math:`1/\sqrt{L}` too,
    which is the optimizer's part. Use it to carry learning rates from a shallow network to a deep one whose blocks
    have one layer each.
    """

    exponent = 0.5

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__(dim, norm, position)
        self.scale = 1 / position.required_num_branches**self.exponent

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        read = self.norm(x)
        stream, update = shortcut(x, read), branch(read)
        same_shape(stream, update)
        return scaled_add(stream, update, self.scale)


@named("complete_p", r"x + F(N(x)) / L", "untouched")
class CompleteP(DepthScaled):
    r"""The same with the first power: :math:`y = x + \tfrac1L F(N(x))`.

    Dey et al. (2025), arXiv:2505.01618. Identity path: untouched; a stack is the Euler method for an ordinary
    differential equation with steps of 1/L. Start: nothing required. Use it to carry learning rates across the depth
    of a Transformer. L counts branches here, layers in the paper: a constant factor.
    """

    exponent = 1.0


@named("rezero", r"x + \alpha F(N(x))", "untouched; exact at the start")
class ReZero(Scheme):
    r"""A learned scalar that starts at 0: :math:`y = x + \alpha\,F(N(x))`. The block starts as the identity.

    Bachlechner et al. (2021), arXiv:2003.04887, who use no norm: pass ``norm="none"`` for theirs. Identity path:
    untouched, and at the start all there is. Start: :math:`\alpha = 0`. Use it for very deep networks without norms.
    """

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__(dim, norm, position)
        self.alpha = nn.Parameter(torch.zeros(1))

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.alpha)

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        read = self.norm(x)
        return residual_add(shortcut(x, read), self.alpha * branch(read))


@named("skip_init", r"x + \alpha F(x)", "untouched; exact at the start")
class SkipInit(ReZero):
    r"""ReZero for networks whose norms are taken out: :math:`y = x + \alpha\,F(x)`, without any norm.

    De and Smith (2020), arXiv:2002.10444: batch normalization helps a residual network mostly because it shrinks the
    branch by about :math:`\sqrt{L}`; this scalar does the same. Identity path: untouched. Start: :math:`\alpha = 0`.
    Use it for residual networks that cannot have batch normalization.
    """

    needs_final_norm = False

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__(dim, None, position)


@named("layer_scale", r"x + \lambda \odot F(N(x))", "untouched")
class LayerScale(Scheme):
    r"""A learned gain for each feature, small at the start: :math:`y = x + \lambda \odot F(N(x))`.

    Touvron et al. (2021), arXiv:2103.17239. Identity path: untouched, and nearly all there is at the start. Start:
    :math:`\lambda_i` = 0.1 up to 18 layers, 1e-5 up to 24, and 1e-6 beyond. Use it for deep pre-norm Transformers.

    Parameters
    ----------
    initial : number, optional
        The start of every :math:`\lambda_i`; by default what the paper gives for the depth.
    """

    def __init__(self, dim: int, norm: Norm, position: BranchPosition, *, initial: float | None = None) -> None:
        super().__init__(dim, norm, position)
        if initial is None:
            initial = 0.1 if position.num_layers <= 18 else 1e-5 if position.num_layers <= 24 else 1e-6
        self.initial = number("initial", initial)
        self.gain = nn.Parameter(torch.full((dim,), self.initial))

    def reset_parameters(self) -> None:
        nn.init.constant_(self.gain, self.initial)

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        read = self.norm(x)
        stream, update = shortcut(x, read), branch(read)
        same_shape(stream, update)
        return stream + self.per_feature(self.gain, update) * update


@named("fixup", r"x + a F(x + b) + c", "untouched; exact at the start")
class Fixup(StartsBranch):
    r"""Residual learning without norms, by initialisation: :math:`y = x + a\,F(x + b) + c`, scalars a, b, c.

    Zhang, Dauphin and Ma (2019), arXiv:1901.09321. Identity path: untouched, and at the start all there is. Start:
    a = 1, b = c = 0; of the m linear maps in the branch the last is 0, and the others, which must come with the
    initialisation of He et al. (2015), are multiplied by :math:`L^{-1/(2m-2)}`. The last linear map of the model
    starts at 0 too (``head_gain``), and biases in the branch play the part of the paper's inner scalars. Use it where
    no norm is wanted and the branch has two maps or more.
    """

    head_gain = 0.0
    needs_final_norm = False

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__(dim, None, position)
        self.bias_in = nn.Parameter(torch.zeros(1))
        self.gain = nn.Parameter(torch.ones(1))
        self.bias_out = nn.Parameter(torch.zeros(1))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.ones_(self.gain)
        for bias in (self.bias_in, self.bias_out):
            nn.init.zeros_(bias)

    def start(self, branch: nn.Module) -> None:
        *others, last = scaled_weights(branch)
        for weight in others:
            weight.mul_(self.position.required_num_branches ** (-1 / (2 * len(others))))
        last.zero_()
        bias = output_projection(branch).bias
        if bias is not None:
            bias.zero_()

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        read = x + self.bias_in
        return residual_add(shortcut(x, read), self.gain * branch(read) + self.bias_out)


@named("t_fixup", r"x + F(x)", "untouched")
class TFixup(StartsBranch):
    r"""A Transformer without norms, by initialisation: :math:`y = x + F(x)`.

    Huang et al. (2020), proceedings.mlr.press/v119/huang20f.html. Identity path: untouched. Start, on top of that
    of Glorot and Bengio: the weights on the way through the branch (values and output of an attention, both of a
    feed-forward) are multiplied by :math:`0.67 N^{-1/4}`, in the decoder of an encoder-decoder by :math:`(9M)^{-1/4}`;
    embeddings, normal with standard deviation :math:`d^{-1/2}`, by :math:`(9M)^{-1/4}`: ``embedding_gain``.
    Use it to train a Transformer with Adam without warm-up and without norms.
    """

    needs_final_norm = False

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__(dim, None, position)
        decoder_layers = position.other_depth if position.role == "encoder" else position.num_layers
        self.embedding_gain = (9 * decoder_layers) ** -0.25
        self.gain = self.embedding_gain if position.role == "decoder" else 0.67 * position.num_layers**-0.25

    def start(self, branch: nn.Module) -> None:
        for weight in scaled_weights(branch):
            weight.mul_(self.gain)

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        return residual_add(shortcut(x, x), branch(x))


@named("stochastic_depth", r"x + b F(N(x)),\ b \in \{0, 1\}", "untouched")
class StochasticDepth(Scheme):
    r"""In training, leave out branches at random: :math:`y = x + b\,F(N(x))`, b = 1 with probability :math:`p_\ell`.

    .. math:: p_\ell = 1 - \tfrac{\ell}{L} (1 - p_L), \qquad \text{in evaluation } y = x + p_\ell F(N(x))

    Huang et al. (2016), arXiv:1603.09382, who toss one coin a batch. Here as there the branch is scaled in evaluation;
    torchvision and timm scale it in training. Identity path: untouched; in training it is all
    that is left of some blocks. Start: nothing required. Use it as a regularizer for long training on small data.

    Parameters
    ----------
    survival : number, default 0.5
        :math:`p_L`, the probability that the last branch is kept.
    per_sample : bool, default True
        Toss a coin for each row of the batch, as most code does today, and not one for all.
    """

    def __init__(
        self, dim: int, norm: Norm, position: BranchPosition, *, survival: float = 0.5, per_sample: bool = True
    ) -> None:
        super().__init__(dim, norm, position)
        survival = number("survival", survival, at_least=0, at_most=1)
        self.keep = 1 - (position.required_index + 1) / position.required_num_branches * (1 - survival)
        self.per_sample = flag("per_sample", per_sample)

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        read = self.norm(x)
        return residual_add(shortcut(x, read), self.drop(branch(read)))

    def drop(self, update: Tensor) -> Tensor:
        if not self.training:
            return self.keep * update
        rows = update.shape[0] if self.per_sample else 1
        coins = torch.rand(rows, *(1,) * (update.dim() - 1), device=update.device) < self.keep
        return torch.where(coins, update, torch.zeros_like(update))
