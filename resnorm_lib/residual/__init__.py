r"""How a branch joins the residual stream: one switchboard for all schemes.

``Residual(branch, dim, scheme="pre_norm")`` wraps any module F, ``ResidualStack(branches, dim, scheme=...)`` a row of
them. The *stream* x is what is handed from block to block; the *branch* F reads it and computes an update. A scheme
says where the norm stands, what multiplies the branch, how the branch starts, and what else is carried along.

================================  =============================================  ====================================
scheme                            formula                                        identity path
================================  =============================================  ====================================
``plain``                         :math:`F(N(x))`                                none
``add``                           :math:`x + F(x)`                               untouched
``pre_norm``                      :math:`x + F(N(x))`                            untouched
``post_norm``                     :math:`N(x + F(x))`                            rescaled in every block
``sandwich``                      :math:`x + N_2(F(N_1(x)))`                     untouched
``peri_ln``                       the same after :math:`N_0(x)`                  untouched after the first norm
``sub_ln``                        :math:`x + W_2 N_2(g(N_1(x)))`                 untouched
``deep_norm``                     :math:`N(\alpha x + F(x))`                     rescaled, but heavy
``ln_scaling``                    :math:`x + F(N(x) / \sqrt{\ell})`              untouched
``mix_ln``                        post-norm, then pre-norm                       rescaled in the first blocks
``resi_dual``                     :math:`N(x + F(x))` and :math:`s + F(x)`       untouched in s
``depth_scaled``                  :math:`x + F(N(x)) / \sqrt{L}`                 untouched
``complete_p``                    :math:`x + F(N(x)) / L`                        untouched
``rezero``                        :math:`x + \alpha F(N(x))`                     untouched; exact at the start
``skip_init``                     :math:`x + \alpha F(x)`                        untouched; exact at the start
``layer_scale``                   :math:`x + \lambda \odot F(N(x))`              untouched
``fixup``                         :math:`x + a F(x + b) + c`                     untouched; exact at the start
``t_fixup``                       :math:`x + F(x)`                               untouched
``stochastic_depth``              :math:`x + b F(N(x))`, b = 0 or 1              untouched
``highway``                       :math:`T F(N(x)) + (1 - T) x`                  multiplied by a gate
``gru``                           :math:`(1 - z) x + z \tanh(\dots)`             multiplied by a gate
``concat``                        :math:`[x, F(N(x))]`                           untouched, and never added to
``dense_former``                  averages of all layers' outputs                mixed after each layer
``value_residual``                pre-norm, and values keep those of layer 1     untouched
``reversible``                    :math:`(b, a + F(N(b)))`                       untouched in both streams
``hyper_connections``             :math:`R H + w F(N(r H))`                      a product of matrices
``stochastic_hyper_connections``  the same, R doubly stochastic                  a product that cannot grow
================================  =============================================  ====================================
"""

from resnorm_lib.residual.block import Block, Residual, ResidualStack, Stack, make_scheme, out_dim
from resnorm_lib.residual.hyper import sinkhorn
from resnorm_lib.residual.norm_axis import feature_norm
from resnorm_lib.residual.position import BranchPosition
from resnorm_lib.residual.registry import SCHEMES
from resnorm_lib.residual.scheme import Scheme, residual_add

__all__ = [
    "SCHEMES",
    "Block",
    "BranchPosition",
    "Residual",
    "ResidualStack",
    "Scheme",
    "Stack",
    "feature_norm",
    "make_scheme",
    "out_dim",
    "residual_add",
    "sinkhorn",
]
