"""One Transformer layer on several devices: matrices cut by columns and rows, and the stream cut along the sequence.

Tensor parallel (Shoeybi et al., 2019, arXiv:1909.08053): the maps into a branch are cut by columns, the map out of it
by rows, so that a branch needs one all-reduce at its end. Stream and norms are whole, and the same, on every device.
Sequence parallel (Korthikanti et al., 2022, arXiv:2205.05198): the all-reduce is cut in its two halves. A
reduce-scatter leaves each device its tokens of the stream, where it adds and normalizes them; an all-gather puts the
tokens together at the beginning of a branch. As many bytes travel, and a device keeps a part of the stream alone.
"""

from argparse import Namespace
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from torch.nn import functional as F

from resnorm_lib import runtime
from resnorm_lib.parallel.comparison import close, distance
from resnorm_lib.parallel.launch import home
from resnorm_lib.parallel.traffic import Traffic

__all__ = ["Layer", "describe", "measure", "sequence_parallel", "tensor_parallel"]

DIM, HEAD_DIM, TOKENS = 32, 8, 12
CUT = {"attention.q": "columns", "attention.k": "columns", "attention.v": "columns", "attention.out": "rows",
       "feed_forward.up": "columns", "feed_forward.down": "rows"}  # fmt: skip


class Attention(nn.Module):
    """Self-attention with one map each for queries, keys and values, so that their columns can be cut by heads."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (each(x).unflatten(-1, (-1, HEAD_DIM)).transpose(1, 2) for each in (self.q, self.k, self.v))
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(heads.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x)))


class Layer(nn.Module):
    """A pre-norm Transformer layer, (N, T, dim) to the same."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(dim), Attention(dim)
        self.norm2, self.feed_forward = nn.LayerNorm(dim), FeedForward(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


def tensor_parallel(layer: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Cut the matrices of the branches; stream and norms stay whole."""
    return parallelize_module(layer, mesh, plan(Replicate()))


def sequence_parallel(layer: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Cut the matrices, and between the branches the tokens: norms and additions see T/N of them."""
    norms = {name: SequenceParallel() for name in ("norm1", "norm2")}
    return parallelize_module(layer, mesh, plan(Shard(1)) | norms)


def plan(stream: Placement) -> dict[str, ParallelStyle]:
    """Say how each part of a layer is cut, if the stream between the branches has this placement."""
    styles = {"columns": ColwiseParallel(), "rows": RowwiseParallel(output_layouts=stream)}
    whole = PrepareModuleInput(input_layouts=stream, desired_input_layouts=Replicate())
    return {"attention": whole, "feed_forward": whole} | {name: styles[cut] for name, cut in CUT.items()}


def measure(options: Namespace) -> dict[str, object]:
    """Compare both ways with one process, forward and backward, and count their messages."""
    processes = dist.get_world_size()
    heads = DIM // HEAD_DIM
    if heads % processes:
        raise ValueError(f"processes is {processes}, but it must divide the {heads} heads of the layer.")
    x, dy = torch.randn(2, options.rows, TOKENS, DIM, dtype=torch.float64, generator=runtime.generator(2)).to(home())
    whole = one_layer()
    y = whole(x)
    y.backward(dy)
    mesh = init_device_mesh(home().type, (processes,))
    ways = {"tensor parallel": (tensor_parallel, lambda t: t),
            "sequence parallel": (sequence_parallel, lambda t: t.chunk(processes, 1)[dist.get_rank()])}  # fmt: skip
    found = {}
    for name, (cut, part) in ways.items():
        found[name] = compare(cut(one_layer(), mesh), whole, *map(part, (x, y.detach(), dy)))
    return found


def one_layer() -> nn.Module:
    with runtime.seeded(2):
        return Layer(DIM).double().to(home())


def compare(layer: nn.Module, whole: nn.Module, x: Tensor, y: Tensor, dy: Tensor) -> dict[str, object]:
    with Traffic() as forward:
        found = layer(x)
    with Traffic() as backward:
        found.backward(dy)
    own = layer.norm1.weight.grad
    own = own.to_local() if isinstance(own, DTensor) else own
    return {
        "tokens": x.shape[1],
        "output": distance(found.detach(), y),
        "gradients": distance(*map(flat, (layer, whole))),
        "gain, before the sum": distance(own, whole.norm1.weight.grad),
        "forward": dict(forward.calls),
        "backward": dict(backward.calls),
        "bytes": dict(forward.bytes + backward.bytes),
    }


def flat(layer: nn.Module) -> Tensor:
    """Return all gradients as one vector, each put together from its parts."""
    grads = [parameter.grad for parameter in layer.parameters()]
    return torch.cat([(grad.full_tensor() if isinstance(grad, DTensor) else grad).flatten() for grad in grads])


def describe(found: dict) -> Iterator[str]:
    """Say what :func:`measure` has found."""
    for name, one in found.items():
        yield f"{name}: {one['tokens']} of {TOKENS} tokens of the stream on each device"
        yield f"  output {close(one['output'])}, gradients {close(one['gradients'])}"
        yield f"  gradient of the norm's gain before it is summed: {close(one['gain, before the sum'])}"
        for way in ("forward", "backward"):
            yield f"  {way}: " + ", ".join(f"{count} {kind}s" for kind, count in sorted(one[way].items()))
