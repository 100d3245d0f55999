"""Sharded training (FSDP2): each process keeps a part of every parameter, and gathers a block while it works.

Zhao et al. (2023), arXiv:2304.11277; the idea is stage 3 of ZeRO, Rajbhandari et al. (2020), arXiv:1910.02054.
"""

from argparse import Namespace
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from resnorm_lib import runtime
from resnorm_lib.models import DecoderLM
from resnorm_lib.parallel.comparison import close, distance
from resnorm_lib.parallel.data_parallel import share
from resnorm_lib.parallel.launch import home
from resnorm_lib.parallel.traffic import Traffic

__all__ = ["describe", "language_model", "measure", "shard"]

VOCABULARY, DIM, DEPTH, TOKENS = 16, 16, 2, 6


def language_model() -> nn.Module:
    with runtime.seeded(3):
        return DecoderLM(VOCABULARY, DIM, depth=DEPTH, num_heads=2, context_length=TOKENS).double().to(home())


def shard(model: nn.Module) -> nn.Module:
    """Shard each block as a unit of its own, then what is left: embeddings, last norm and head."""
    mesh = init_device_mesh(home().type, (dist.get_world_size(),))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def gradients(model: nn.Module, tokens: Tensor) -> dict[str, Tensor]:
    nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def measure(options: Namespace) -> dict[str, object]:
    """Compare the gradients with those of one process, count the messages, and what each process keeps."""
    if not hasattr(torch.cpu.Stream, "record_event") and home().type == "cpu":
        raise ValueError(
            f"torch is {torch.__version__}, whose fully_shard needs GPUs: take --device cuda or a newer torch."
        )
    tokens = torch.randint(VOCABULARY, (options.rows, TOKENS + 1), generator=runtime.generator(3)).to(home())
    whole, model = gradients(language_model(), tokens), shard(language_model())
    kept = sum(parameter.to_local().numel() for parameter in model.parameters())
    with Traffic() as traffic:
        parts = gradients(model, share(tokens))
    return {
        "gradients": max(distance(parts[name].full_tensor(), grad) for name, grad in whole.items()),
        "parameters": sum(grad.numel() for grad in whole.values()),
        "kept": kept,
        "calls": dict(traffic.calls),
        "bytes": dict(traffic.bytes),
    }


def describe(found: dict) -> Iterator[str]:
    """Say what :func:`measure` has found."""
    yield f"parameters: {found['kept']} of {found['parameters']} kept by process 0"
    yield f"gradients:  {close(found['gradients'])}"
    for kind, count in sorted(found["calls"].items()):
        yield f"{kind}: {count}, of {found['bytes'][kind]} bytes in all"
