"""Schemes in which a branch also sees what earlier blocks made: the state is more than x."""

import torch
from torch import Tensor, nn

from resnorm_lib._arguments import number, positive_int
from resnorm_lib.norms.registry import Norm
from resnorm_lib.residual.fused import add_then_norm
from resnorm_lib.residual.position import BranchPosition
from resnorm_lib.residual.registry import named
from resnorm_lib.residual.scheme import Branch, Scheme, identity, residual_add


@named("resi_dual", r"N(x + F(x)) \text{ and } s + F(x)", "untouched in s")
class ResiDual(Scheme):
    r"""Post-norm and pre-norm side by side: a stream x that is normalized and a stream s that is not.

    .. math:: x \leftarrow N(x + F(x)), \qquad s \leftarrow s + F(x), \qquad \text{at the end } y = x + N(s)

    Xie et al. (2023), arXiv:2304.14802; both streams start as the input. Identity path: rescaled in x, untouched in
    s. Start: nothing required. Use it where post-norm's quality is wanted and its vanishing gradients are not.
    """

    needs_final_norm = False
    places_norm = True
    carries_state = True

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__(dim, None, position)
        self.norm = self.make_norm(norm, dim)
        self.norm_sum = self.make_norm(norm, dim) if position.is_last else nn.Identity()

    def open(self, x: Tensor) -> tuple:
        return x, x

    def forward(self, state: tuple, branch: Branch, shortcut: Branch = identity) -> tuple[Tensor, Tensor]:
        (x, total), update = map(shortcut, state), branch(state[0])
        return add_then_norm(self.norm, x, update), self.norm_sum(total + update)

    def close(self, state: tuple) -> Tensor:
        return residual_add(*state)


@named("concat", r"[x, F(N(x))]", "untouched, and never added to")
class Concat(Scheme):
    r"""Concatenation, which is not a residual connection: :math:`y = [x, F(N(x))]`, wider with every block.

    Huang et al. (2017), arXiv:1608.06993 (DenseNet). Identity path: untouched, but nothing is ever added to it: a
    branch sees all earlier outputs side by side. Start: nothing required. The stream grows by ``growth`` a block,
    and branch i must map ``dim + i * growth`` features to ``growth``. Use it to save parameters in small image
    networks, at the price of memory.

    Parameters
    ----------
    growth : int, default 12
        Width that each branch adds.
    """

    def __init__(self, dim: int, norm: Norm, position: BranchPosition, *, growth: int = 12) -> None:
        self.growth = positive_int("growth", growth)
        super().__init__(dim, norm, position)

    def read_dim(self, dim: int) -> int:
        return self.position.in_dim or dim + self.position.local_index * self.growth

    @classmethod
    def widths(cls, dim: int, index: int, growth: int = 12, **options) -> tuple[int, int]:
        growth = positive_int("growth", growth)
        return dim + index * growth, growth

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        read, axis = self.norm(x), self.position.feature_axis or -1
        stream, update = shortcut(x, read), branch(read)
        expected = (*stream.movedim(axis, -1).shape[:-1], self.growth)
        if update.movedim(axis, -1).shape != expected:
            raise ValueError(
                f"the branch has shape {tuple(update.shape)}, but the stream has {tuple(stream.shape)}: a branch "
                f"to be concatenated has growth={self.growth} features, and is equal to the stream on all other axes."
            )
        return torch.cat((stream, update), axis)


@named("dense_former", r"\text{averages of all layers' outputs}", "mixed after each layer")
class DenseFormer(Scheme):
    r"""After each layer, a learned weighted average of all layers' outputs goes on.

    .. math:: X_0 = x, \qquad X_\ell = \mathrm{layer}_\ell(Y_{\ell-1}), \qquad Y_\ell = \sum_{j=0}^{\ell} a_{\ell j} X_j

    where a layer's branches join by pre-norm, :math:`x + F(N(x))`. Pagliardini et al. (2024), arXiv:2402.02622.
    Identity path: mixed with earlier outputs after each layer. Start: :math:`a_{\ell\ell} = 1`, all others 0, so
    that it begins as pre-norm. Use it to let late layers read early ones; it keeps every layer's output in memory.
    """

    carries_state = True

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__(dim, norm, position)
        self.ends_layer = (position.local_index + 1) % position.branches_per_layer == 0
        if self.ends_layer:
            earlier = (position.local_index + 1) // position.branches_per_layer
            self.average = nn.Parameter(torch.empty(earlier + 1))
            self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.ends_layer:
            nn.init.zeros_(self.average)
            nn.init.ones_(self.average[-1])

    def open(self, x: Tensor) -> tuple:
        return x, x

    def forward(self, state: tuple, branch: Branch, shortcut: Branch = identity) -> tuple[Tensor, ...]:
        x, *outputs = map(shortcut, state)
        x = residual_add(x, branch(self.norm(state[0])))
        if not self.ends_layer:
            return x, *outputs
        outputs = (*outputs, x)
        return sum(weight * output for weight, output in zip(self.average, outputs, strict=True)), *outputs

    def close(self, state: tuple) -> Tensor:
        return state[0]


@named("value_residual", r"x + F(N(x); V_1)", "untouched")
class ValueResidual(Scheme):
    r"""Attention's values keep a shortcut to those of the first layer; the stream itself is pre-norm's.

    .. math:: y = x + F(N(x);\, V_\ell \to \lambda_1 V_1 + \lambda_2 V_\ell)

    Zhou et al. (2025), arXiv:2410.17897. Identity path: untouched. Start: the two scalars at 1/2, the plain mean. A
    branch with values has ``mixes_values = True`` and takes the keyword ``mix_values``, a function that it applies
    to them; branches without values join as in pre-norm. Use it in deep Transformers whose attention gathers on few
    tokens.

    Parameters
    ----------
    initial : number, default 0.5
        Start of both scalars.
    """

    carries_state = True

    def __init__(self, dim: int, norm: Norm, position: BranchPosition, *, initial: float = 0.5) -> None:
        super().__init__(dim, norm, position)
        self.initial, self.mixes = number("initial", initial), False
        self.weights = nn.Parameter(torch.full((2,), self.initial))

    def reset_parameters(self) -> None:
        if self.weights is not None:
            nn.init.constant_(self.weights, self.initial)

    def initialise(self, branch: nn.Module) -> None:
        self.mixes = getattr(branch, "mixes_values", False)
        if not self.mixes or self.position.index == 0:
            self.weights = None  # layer 1 has no earlier values to mix with

    def check(self, blocks: nn.Module) -> None:
        if not any(block.scheme.mixes for block in blocks):
            raise ValueError(
                "value_residual mixes the values of an attention, but no branch of this stack has mixes_values=True: "
                "it would be pre_norm. Choose that, or a network with attention."
            )

    def open(self, x: Tensor) -> tuple:
        return x, None

    def map_streams(self, state: tuple, function: Branch) -> tuple:
        return function(state[0]), state[1]

    def forward(self, state: tuple, branch: Branch, shortcut: Branch = identity) -> tuple:
        x, first = self.map_streams(state, shortcut)
        if not self.mixes:
            return residual_add(x, branch(self.norm(state[0]))), first
        seen = []

        def mix(values: Tensor) -> Tensor:
            seen.append(values)
            if first is None:
                return values.clone()  # the branch may write into it, and later layers read these
            return self.weights[0] * first + self.weights[1] * values

        update = branch(self.norm(state[0]), mix_values=mix)
        return residual_add(x, update), seen[0] if first is None else first

    def close(self, state: tuple) -> Tensor:
        return state[0]
