r"""How a branch joins the residual stream: one switchboard for all schemes.

``Residual(branch, dim, scheme="pre_norm")`` wraps any module F, ``ResidualStack(branches, dim, scheme=...)`` a row of
them. The *stream* x is what is handed from block to block; the *branch* F reads it and computes an update. A scheme
says where the norm stands, what multiplies the branch, how the branch starts, and what else is carried along:
"""

from importlib import import_module

from resnorm_lib.residual.block import Block, Residual, make_scheme, residual_blocks
from resnorm_lib.residual.heavy_shortcut import profile_admin
from resnorm_lib.residual.hyper import sinkhorn
from resnorm_lib.residual.norm_axis import feature_norm
from resnorm_lib.residual.position import BranchPosition
from resnorm_lib.residual.registry import SCHEMES, named, scheme_table
from resnorm_lib.residual.scheme import Scheme, residual_add
from resnorm_lib.residual.stack import ResidualStack, Stack, branch_widths, out_dim

FAMILIES = (
    "placement",
    "heavy_shortcut",
    "parallel_branches",
    "scaling",
    "gates",
    "earlier_layers",
    "reversible",
    "hyper",
)
for family in FAMILIES:  # a scheme enters SCHEMES when its file is imported
    import_module(f"{__name__}.{family}")

__all__ = [
    "SCHEMES",
    "Block",
    "BranchPosition",
    "Residual",
    "ResidualStack",
    "Scheme",
    "Stack",
    "branch_widths",
    "feature_norm",
    "make_scheme",
    "named",
    "out_dim",
    "profile_admin",
    "residual_add",
    "residual_blocks",
    "sinkhorn",
]

if __doc__:  # python -OO leaves none
    __doc__ += f"\n{scheme_table()}\n"
