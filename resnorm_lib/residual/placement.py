"""Schemes that differ in where the norm stands."""

import math

from torch import Tensor, nn

from resnorm_lib._arguments import number
from resnorm_lib.norms.registry import Norm
from resnorm_lib.residual.branch import put_inner_norm, scaled_weights
from resnorm_lib.residual.fused import add_then_norm, look_ahead, may_look_ahead
from resnorm_lib.residual.position import BranchPosition
from resnorm_lib.residual.registry import named
from resnorm_lib.residual.scheme import Branch, Scheme, State, identity, residual_add, same_shape
from resnorm_lib.residual.start import StartsBranch


@named("plain", r"F(N(x))", "none")
class Plain(Scheme):
    r"""No shortcut, the twin to compare with: :math:`y = F(N(x))`.

    Identity path: none. Start: nothing required. Use it to see what the shortcut does, and for nothing else.
    """

    has_shortcut = False

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        return branch(self.norm(x))


@named("add", r"x + F(x)", "untouched")
class Add(Scheme):
    r"""The residual connection itself: :math:`y = x + F(x)`. If there are norms, they belong to the branch.

    He et al. (2016), arXiv:1512.03385. Identity path: untouched. Start: nothing required; with a branch that
    preserves variance the stream's variance doubles in each block. Use it where F brings its own norm, as in a ResNet.
    """

    needs_final_norm = False

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__(dim, None, position)

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        return residual_add(shortcut(x, x), branch(x))


@named("pre_norm", r"x + F(N(x))", "untouched")
class PreNorm(Scheme):
    r"""Normalize what the branch reads: :math:`y = x + F(N(x))`. The stream itself is never normalized.

    He et al. (2016), arXiv:1603.05027, for convolutional networks; Xiong et al. (2020), arXiv:2002.04745, for
    Transformers. Identity path: untouched. Start: nothing required. The stream grows with depth, so a model needs
    one more norm after the last block. The first choice for a deep network: it trains without warm-up.
    """

    places_norm = True

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        read = self.norm(x)
        return residual_add(shortcut(x, read), branch(read))

    def run(self, blocks: nn.Module, state: State, context: dict) -> State:
        if may_look_ahead(blocks, state, PRE_NORM):
            return look_ahead(list(blocks), state, context)
        return super().run(blocks, state, context)


PRE_NORM = PreNorm.forward  # as it is written above, whatever somebody puts into the class


@named("post_norm", r"N(x + F(x))", "rescaled in every block")
class PostNorm(Scheme):
    r"""Normalize the sum: :math:`y = N(x + F(x))`. Every block rescales the identity path.

    Vaswani et al. (2017), arXiv:1706.03762. Start: small learning rates (warm-up), or gradients near the output are
    too large. Use it for shallow Transformers, and to reproduce old ones.
    """

    needs_final_norm = False
    places_norm = True

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__(dim, None, position)
        self.norm = self.make_norm(norm, dim)

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        return add_then_norm(self.norm, shortcut(x, x), branch(x))


@named("res_post_norm", r"x + N(F(x))", "untouched")
class ResPostNorm(PostNorm):
    r"""Normalize what the branch writes: :math:`y = x + N(F(x))`.

    Liu et al. (2022), arXiv:2111.09883 (Swin Transformer V2); OLMo 2 (2025), arXiv:2501.00656, orders its norms so.
    Identity path: untouched. Start: nothing required. A branch adds a bounded amount, and reads a stream that
    is not normalized. Use it where activations of a large pre-norm network grow too fast with depth.
    """

    needs_final_norm = True

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        stream, update = shortcut(x, x), branch(x)
        same_shape(stream, update)
        return stream + self.norm(update)


@named("sandwich", r"x + N_2(F(N_1(x)))", "untouched")
class Sandwich(PreNorm):
    r"""A norm on either side of the branch: :math:`y = x + N_2(F(N_1(x)))`.

    Ding et al. (2021), arXiv:2105.13290. Identity path: untouched. Start: nothing required. A branch adds a bounded
    amount, whatever its weights: use it where activations overflow in half precision.
    """

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__(dim, norm, position)
        self.norm_out = self.make_norm(norm, dim)

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        read = self.norm(x)
        stream, update = shortcut(x, read), branch(read)
        same_shape(stream, update)
        return stream + self.norm_out(update)


@named("peri_ln", r"N_0(x)\text{, then } x + N_2(F(N_1(x)))", "untouched after the first norm")
class PeriLN(Sandwich):
    r"""A norm around everything: :math:`x_0 = N_0(x)`, then :math:`y = x + N_2(F(N_1(x)))`, and a norm at the end.

    Kim et al. (2025), arXiv:2502.02732. Identity path: untouched after the first norm. Start: nothing required. What
    is added to :class:`Sandwich` is the norm of the embeddings: all that the stream sums up has one scale.
    """

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__(dim, norm, position)
        self.norm_in = self.make_norm(norm, self.read_dim(dim)) if position.required_index == 0 else nn.Identity()

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        return super().forward(self.norm_in(x), branch, shortcut)


@named("sub_ln", r"x + W_2 N_2(g(N_1(x)))", "untouched")
class SubLN(StartsBranch, PreNorm):
    r"""A second norm inside the branch, before its last linear map: :math:`y = x + W_2 N_2(g(N_1(x)))`.

    Wang et al. (2022), arXiv:2210.06423. Identity path: untouched. Start: the weights on the way through the branch
    are multiplied by :math:`\gamma = \sqrt{\ln L}` (L = 2N branches of N layers, or 3M in the decoder of an
    encoder-decoder), in the encoder of an encoder-decoder by :math:`\sqrt{\ln(3M) \ln(2N) / 3}`. The
    branch needs ``inner_norm``. Use it for deep Transformers of all kinds with one recipe.
    """

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__(dim, norm, position)
        self.inner_norm = norm
        branches = position.required_num_branches
        if branches < 2:
            raise ValueError(
                "num_branches is 1, but sub_ln multiplies weights by sqrt(ln L), so that L must be 2 or more."
            )
        self.gain = math.sqrt(math.log(branches))
        if position.role == "encoder":
            self.gain = math.sqrt(math.log(3 * position.other_depth) * math.log(branches) / 3)

    def prepare(self, branch: nn.Module) -> None:
        put_inner_norm(branch, lambda dim: self.make_norm(self.inner_norm, dim))

    def start(self, branch: nn.Module) -> None:
        for weight in scaled_weights(branch):
            weight.mul_(self.gain)


@named("ln_scaling", r"x + F(N(x) / \sqrt{\ell})", "untouched")
class LNScaling(PreNorm):
    r"""Pre-norm whose norms shrink with depth: :math:`y = x + F(N(x) / \sqrt{\ell})`, :math:`\ell` = 1, 2, ...

    Sun et al. (2025), arXiv:2502.05795, where all branches of one Transformer layer share :math:`\ell`. Identity path:
    untouched. Start: nothing required; do not also shrink the output projections with depth, which is the same cure
    twice. Use it where the last layers of a deep pre-norm network do nothing.
    """

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__(dim, norm, position)
        self.scale = position.layer**-0.5

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        read = self.norm(x)
        return residual_add(shortcut(x, read), branch(self.scale * read))


@named("mix_ln", r"\text{post-norm, then pre-norm}", "rescaled in the first blocks")
class MixLN(PreNorm):
    r"""Post-norm in the first layers, pre-norm in the rest.

    .. math:: y = N(x + F(x)) \text{ for } \ell \le a L, \qquad y = x + F(N(x)) \text{ after that}

    Li et al. (2025), arXiv:2412.13795. Identity path: rescaled in the first blocks, untouched after
    them. Start: nothing required. Use it where late layers of a pre-norm network learn too little.

    Parameters
    ----------
    share : float, default 0.25
        The share a of layers with post-norm.
    """

    def __init__(self, dim: int, norm: Norm, position: BranchPosition, *, share: float = 0.25) -> None:
        super().__init__(dim, norm, position)
        self.is_post = position.layer <= number("share", share, at_least=0, at_most=1) * position.num_layers
        self.needs_final_norm = not self.is_post
        if self.is_post:
            self.norm = self.make_norm(norm, dim)

    def forward(self, x: Tensor, branch: Branch, shortcut: Branch = identity) -> Tensor:
        formula = PostNorm if self.is_post else PreNorm
        return formula.forward(self, x, branch, shortcut)
