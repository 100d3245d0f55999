"""The torch versions of each operation: elementary operations, its own fused kernels, and its compiler."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from resnorm_lib._precision import upcast
from resnorm_lib.bench.cases import EPS, SCALE, Case

__all__ = ["Absent", "chain", "torch_compile", "torch_compile_separate", "torch_eager"]


Version = Callable[..., Tensor | tuple[Tensor, ...]]  # a function of the inputs of a case


class Absent(Exception):
    """Says why a version cannot be timed here."""


def layer_norm_chain(x: Tensor, w: Tensor, b: Tensor, eps: float = EPS) -> Tensor:
    """Compute LayerNorm step by step, one torch operation for each operation of the formula, in float32 at least."""
    s = upcast(x)
    centred = s - s.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return (centred / (variance + eps).sqrt() * w + b).to(x.dtype)


def rms_norm_chain(x: Tensor, w: Tensor, eps: float = EPS) -> Tensor:
    """Compute RMSNorm in the same way."""
    s = upcast(x)
    return (s / (s.square().mean(-1, keepdim=True) + eps).sqrt() * w).to(x.dtype)


def after_add(norm: Version, add: Version = torch.add) -> Version:
    """Return a function that adds and then normalizes, in two operations. It returns the norm and the sum."""

    def add_norm(x: Tensor, r: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        s = add(r, x)
        return norm(s, *parameters), s

    return add_norm


def norm_alone(case: Case) -> Case:
    """Return the case of the norm alone, for an add with a norm whose two parts are also timed separately."""
    if case.op not in ("add_rms_norm", "add_layer_norm"):
        raise Absent(f"nothing of {case.op} is timed apart")
    return case._replace(op=case.op.removeprefix("add_"))


CHAINS = {
    "rms_norm": rms_norm_chain,
    "layer_norm": layer_norm_chain,
    "add_rms_norm": after_add(rms_norm_chain),
    "add_layer_norm": after_add(layer_norm_chain),
}


def chain(case: Case) -> Version:
    """Return the formula as unfused torch operations."""
    if case.op not in CHAINS:
        raise Absent(f"no chain is timed for {case.op}")
    return CHAINS[case.op]


def torch_eager(case: Case) -> Version:
    """Return what one writes in torch, with its own fused norms."""

    def rms(x: Tensor, w: Tensor) -> Tensor:
        return F.rms_norm(x, w.shape, w, EPS)

    def layer(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.layer_norm(x, w.shape, w, b, EPS)

    def fp32(x: Tensor, r: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        s = r + x
        return F.rms_norm(s, w.shape, w.to(s.dtype), EPS).to(x.dtype), s

    return {
        "rms_norm": rms,
        "layer_norm": layer,
        "add_rms_norm": after_add(rms),
        "add_layer_norm": after_add(layer),
        "add_rms_norm_post": lambda x, r, w: rms(r + x, w),
        "add_rms_norm_fp32": fp32,
        "dyt": lambda x, a, w, b: torch.tanh(a * x) * w + b,
        "derf": lambda x, a, s, w, b: torch.erf(a * x + s) * w + b,
        "scaled_add": lambda r, x: torch.add(r, x, alpha=SCALE),
        "group_norm": lambda x, w, b: F.group_norm(x, case.groups, w, b, EPS),
    }[case.op.removesuffix("_last")]


def compiled(function: Version) -> Version:
    """Compile a function by Inductor, for fixed shapes."""
    from torch._functorch import config

    config.donated_buffer = False  # or a compiled backward pass could run only once
    return torch.compile(function, fullgraph=True, dynamic=False)


def torch_compile(case: Case) -> Version:
    """Return the torch version compiled by Inductor, so that add and norm are fused."""
    torch._dynamo.reset()
    return compiled(torch_eager(case))


def torch_compile_separate(case: Case) -> Version:
    """Return the add and the norm, each compiled by itself: good kernels that are not fused with each other."""
    norm = norm_alone(case)
    torch._dynamo.reset()
    return after_add(compiled(torch_eager(norm)), compiled(torch.add))
