"""Schemes that differ in where the norm stands."""

import math

import torch
from torch import nn

from resnorm_lib._arguments import number
from resnorm_lib.residual.branch import put_inner_norm, scaled_weights
from resnorm_lib.residual.fused import add_then_norm, look_ahead, may_look_ahead
from resnorm_lib.residual.scheme import Scheme, residual_add


class Plain(Scheme):
    r"""No shortcut, the twin to compare with: :math:`y = F(N(x))`.

    Identity path: none. Start: nothing required. Use it to see what the shortcut does, and for nothing else.
    """

    has_shortcut = False

    def forward(self, state, branch, shortcut=None):
        return branch(self.read(state))


class Add(Scheme):
    r"""The residual connection itself: :math:`y = x + F(x)`. If there are norms, they belong to the branch.

    He et al. (2016), arXiv:1512.03385. Identity path: untouched. Start: nothing required; with a branch that
    preserves variance the stream's variance doubles in each block. Use it where F brings its own norm, as in a ResNet.
    """

    needs_final_norm = False

    def __init__(self, dim, norm, position):
        super().__init__(dim, "none", position)

    def write(self, state, update):
        return residual_add(state, update)


class PreNorm(Scheme):
    r"""Normalize what the branch reads: :math:`y = x + F(N(x))`. The stream itself is never normalized.

    He et al. (2016), arXiv:1603.05027, for convolutional networks; Xiong et al. (2020), arXiv:2002.04745, for
    Transformers. Identity path: untouched. Start: nothing required. The stream grows with depth, so a model needs
    one more norm after the last block. The first choice for a deep network: it trains without warm-up.
    """

    places_norm = True

    def write(self, state, update):
        return residual_add(state, update)

    def run(self, blocks, state, context):
        if may_look_ahead(blocks, state, PreNorm.write):
            return look_ahead(list(blocks), state, context)
        return super().run(blocks, state, context)


class PostNorm(Scheme):
    r"""Normalize the sum: :math:`y = N(x + F(x))`. Every block rescales the identity path.

    Vaswani et al. (2017), arXiv:1706.03762. Start: small learning rates (warm-up), or gradients near the output are
    too large. Use it for shallow Transformers, and to reproduce old ones.
    """

    needs_final_norm = False
    places_norm = True

    def __init__(self, dim, norm, position):
        super().__init__(dim, "none", position)
        self.norm = self.make_norm(norm, dim)

    def read(self, state):
        return state

    def write(self, state, update):
        return add_then_norm(self.norm, state, update)


class Sandwich(PreNorm):
    r"""A norm on either side of the branch: :math:`y = x + N_2(F(N_1(x)))`.

    Ding et al. (2021), arXiv:2105.13290. Identity path: untouched. Start: nothing required. A branch adds a bounded
    amount, whatever its weights: use it where activations overflow in half precision.
    """

    def __init__(self, dim, norm, position):
        super().__init__(dim, norm, position)
        self.norm_out = self.make_norm(norm, dim)

    def write(self, state, update):
        return residual_add(state, self.norm_out(update))


class PeriLN(Sandwich):
    r"""A norm around everything: :math:`x_0 = N_0(x)`, then :math:`y = x + N_2(F(N_1(x)))`, and a norm at the end.

    Kim et al. (2025), arXiv:2502.02732. Identity path: untouched after the first norm. Start: nothing required. What
    is added to :class:`Sandwich` is the norm of the embeddings: all that the stream sums up has one scale.
    """

    def __init__(self, dim, norm, position):
        super().__init__(dim, norm, position)
        self.norm_in = self.make_norm(norm, self.read_dim(dim)) if position.index == 0 else nn.Identity()

    def open(self, x):
        return self.norm_in(x)


class SubLN(PreNorm):
    r"""A second norm inside the branch, before its last linear map: :math:`y = x + W_2 N_2(g(N_1(x)))`.

    Wang et al. (2022), arXiv:2210.06423. Identity path: untouched. Start: the weights on the way through the branch
    are multiplied by :math:`\gamma = \sqrt{\ln L}` (L = 2N branches of N layers, or 3M in the decoder of an
    encoder-decoder), in the encoder of an encoder-decoder by :math:`\sqrt{\ln(3M) \ln(2N) / 3}`. The
    branch needs ``inner_norm``. Use it for deep Transformers of all kinds with one recipe.
    """

    def __init__(self, dim, norm, position):
        super().__init__(dim, norm, position)
        self.norm_name = norm
        if position.num_branches < 2:
            raise ValueError(
                "num_branches is 1, but sub_ln multiplies weights by sqrt(ln L), so that L must be 2 or more."
            )
        self.gain = math.sqrt(math.log(position.num_branches))
        if position.role == "encoder":
            self.gain = math.sqrt(math.log(3 * position.other_depth) * math.log(position.num_branches) / 3)

    @torch.no_grad()
    def initialise(self, branch):
        put_inner_norm(branch, lambda dim: self.make_norm(self.norm_name, dim))
        for weight in scaled_weights(branch):
            weight.mul_(self.gain)


class DeepNorm(PostNorm):
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

    def __init__(self, dim, norm, position):
        super().__init__(dim, norm, position)
        self.alpha, self.beta = position.num_branches**0.25, (4 * position.num_branches) ** -0.25
        if position.role == "encoder":
            both = (position.num_layers**4 * position.other_depth) ** (1 / 16)
            self.alpha, self.beta = 0.81 * both, 0.87 / both

    @torch.no_grad()
    def initialise(self, branch):
        for weight in scaled_weights(branch):
            weight.mul_(self.beta)

    def write(self, state, update):
        return add_then_norm(self.norm, self.alpha * state, update)


class LNScaling(PreNorm):
    r"""Pre-norm whose norms speak softer with depth: :math:`y = x + F(N(x) / \sqrt{\ell})`, :math:`\ell` = 1, 2, ...

    Sun et al. (2025), arXiv:2502.05795, where all branches of one Transformer layer share :math:`\ell`. Identity path:
    untouched. Start: nothing required; do not also shrink the output projections with depth, which is the same cure
    twice. Use it where the last layers of a deep pre-norm network do nothing.
    """

    def __init__(self, dim, norm, position):
        super().__init__(dim, norm, position)
        self.scale = position.layer**-0.5

    def read(self, state):
        return self.scale * self.norm(state)


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

    def __init__(self, dim, norm, position, *, share=0.25):
        super().__init__(dim, norm, position)
        self.is_post = position.layer <= number("share", share, at_least=0, at_most=1) * position.num_layers
        self.needs_final_norm = not self.is_post
        if self.is_post:
            self.norm = self.make_norm(norm, dim)

    def read(self, state):
        return state if self.is_post else self.norm(state)

    def write(self, state, update):
        return add_then_norm(self.norm, state, update) if self.is_post else residual_add(state, update)
