"""The versions that are timed: our kernels, torch in several ways, and other libraries where they are installed.

Each of :data:`VERSIONS` takes a :class:`~resnorm_lib.bench.cases.Case` and returns a function of its inputs, or
raises :class:`Absent` with the reason.
"""

import importlib
from collections.abc import Callable

import torch
from torch import Tensor

from resnorm_lib import ops
from resnorm_lib.bench.cases import EPS, SCALE, Case
from resnorm_lib.bench.torch_versions import (
    Absent,
    Version,
    after_add,
    chain,
    norm_alone,
    torch_compile,
    torch_compile_separate,
    torch_eager,
)

__all__ = ["VERSIONS"]


def ours(case: Case) -> Version:
    """Return our operation."""

    def add(x: Tensor, r: Tensor, w: Tensor, b: Tensor | None = None, **options) -> Tensor | tuple[Tensor, Tensor]:
        norm = "layer" if case.op == "add_layer_norm" else "rms"
        return ops.add_norm(x, r, w, b, norm=norm, eps=EPS, **options)

    return {
        "rms_norm": lambda x, w: ops.rms_norm(x, w, EPS),
        "layer_norm": lambda x, w, b: ops.layer_norm(x, w, b, EPS),
        "add_rms_norm": add,
        "add_layer_norm": add,
        "add_rms_norm_post": lambda *inputs: add(*inputs, prenorm=False),
        "add_rms_norm_fp32": add,
        "dyt": ops.dyt,
        "derf": ops.derf,
        "scaled_add": lambda r, x: ops.scaled_add(r, x, SCALE),
        "group_norm": lambda x, w, b: ops.group_norm(x, case.groups, w, b, EPS),
    }[case.op.removesuffix("_last")]


def ours_separate(case: Case) -> Version:
    """Return torch's add, then our norm: against it one sees what fusing the two gains."""
    return after_add(ours(norm_alone(case)))


def imported(module: str, name: str) -> Callable:
    """Import a function of another library, or raise :class:`Absent`."""
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # other people's modules raise anything at all when they are imported
        raise Absent(f"{module}.{name} cannot be imported: {type(error).__name__}: {error}".splitlines()[0]) from error


def among(table: dict[str, Callable[[], Version]], case: Case, who: str) -> Version:
    """Return the version that the table of the library ``who`` has for the case, or raise :class:`Absent`."""
    if case.op not in table:
        raise Absent(f"{who} has no {case.op}")
    return table[case.op]()


def liger(case: Case) -> Version:
    """Return the operation of Liger-Kernel, told not to overwrite the incoming gradient, as it does by default."""
    functional = "liger_kernel.transformers.functional"

    def rms() -> Version:
        function = imported(functional, "liger_rms_norm")
        return lambda x, w: function(x, w, EPS, in_place=False)

    def layer() -> Version:
        function = imported(functional, "liger_layer_norm")
        return lambda x, w, b: function(x, w, b, EPS)

    def add_rms() -> Version:
        function = imported("liger_kernel.ops.fused_add_rms_norm", "LigerFusedAddRMSNormFunction").apply
        return lambda x, r, w: function(x, r, w, EPS, 0.0, "llama", False)

    def group() -> Version:
        function = imported(functional, "liger_group_norm")
        return lambda x, w, b: function(x, w, b, case.shape[1], case.groups, EPS)

    def dyt() -> Version:
        return imported(functional, "liger_dyt")

    table = {"rms_norm": rms, "layer_norm": layer, "add_rms_norm": add_rms, "group_norm": group, "dyt": dyt}
    return among(table, case, "Liger-Kernel")


def flash_attention(case: Case) -> Version:
    """Return the Triton kernel of flash-attention."""

    def bare(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        return function()(x, w, b, eps=EPS, is_rms_norm="rms" in case.op)

    def add(x: Tensor, r: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        options = {"residual_in_fp32": True} if case.op.endswith("fp32") else {}
        prenorm = not case.op.endswith("post")
        return function()(x, w, b, residual=r, eps=EPS, prenorm=prenorm, is_rms_norm="rms" in case.op, **options)

    def function() -> Callable:
        return imported("flash_attn.ops.triton.layer_norm", "layer_norm_fn")

    def present(version: Version) -> Version:
        function()
        return version

    names = ("add_rms_norm", "add_layer_norm", "add_rms_norm_post", "add_rms_norm_fp32")
    table = dict.fromkeys(("rms_norm", "layer_norm"), lambda: present(bare))
    return among(table | dict.fromkeys(names, lambda: present(add)), case, "flash-attention")


def quack(case: Case) -> Version:
    """Return the operation of quack. Its LayerNorm is left out, because it has no gradient."""

    def rms() -> Version:
        function = imported("quack.rmsnorm", "rmsnorm")
        return lambda x, w: function(x, w, eps=EPS)

    def add() -> Version:
        function = imported("quack.rmsnorm", "rmsnorm")
        return lambda x, r, w: function(x, w, residual=r, eps=EPS, prenorm=not case.op.endswith("post"))

    def fp32() -> Version:
        function = imported("quack.rmsnorm", "rmsnorm")
        wide = torch.float32
        return lambda x, r, w: function(x, w, residual=r, residual_dtype=wide, eps=EPS, prenorm=True)

    table = {"rms_norm": rms, "add_rms_norm": add, "add_rms_norm_post": add, "add_rms_norm_fp32": fp32}
    return among(table, case, "quack")


VERSIONS = {
    "ours": ours,
    "ours, separate": ours_separate,
    "torch": torch_eager,
    "chain": chain,
    "liger": liger,
    "flash_attention": flash_attention,
    "quack": quack,
    "torch.compile": torch_compile,  # last: these take longest to be ready
    "torch.compile, separate": torch_compile_separate,
}
