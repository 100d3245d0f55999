"""Norms under data parallel training: whose statistics depend on the process, and what it costs to share them."""

from argparse import Namespace
from collections.abc import Iterator
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn

from resnorm_lib.norms import BatchNorm, GhostBatchNorm, LayerNorm
from resnorm_lib.norms.registry import Norm
from resnorm_lib.parallel.comparison import close, distance
from resnorm_lib.parallel.costs import sync_norm_bytes
from resnorm_lib.parallel.data_parallel import average_gradients, batch, flat, gradients, network, share
from resnorm_lib.parallel.sync_batch_norm import SyncBatchNorm
from resnorm_lib.parallel.traffic import Traffic

__all__ = ["describe", "measure"]

NORMS = {"BatchNorm": BatchNorm, "SyncBatchNorm": SyncBatchNorm, "LayerNorm": LayerNorm}
FLOAT64, FLOAT32 = 8, 4


def measure(options: Namespace) -> dict[str, object]:
    """Compare averaged gradients with those of the whole batch for each norm, and what ghost batches would give."""
    x, y = batch(options.rows)
    found = {name: averaged(norm, x, y) for name, norm in NORMS.items()}
    ghosts = partial(GhostBatchNorm, ghost_batch_size=options.rows // dist.get_world_size())
    on_one_device = gradients(network(ghosts), x, y)
    model = network(BatchNorm)
    gradients(model, share(x), share(y))
    average_gradients(model)
    return {"norms": found, "ghosts": distance(flat(model), on_one_device), "statistics": first_means(x)}


def averaged(norm: Norm, x: Tensor, y: Tensor) -> dict[str, object]:
    """Return how far the averaged gradients are from those of the whole batch, and which messages the norms sent."""
    alone = BatchNorm if norm is SyncBatchNorm else norm
    whole, model = gradients(network(alone), x, y), network(norm)
    with Traffic() as traffic:
        gradients(model, share(x), share(y))
    average_gradients(model)
    return {"distance": distance(flat(model), whole), "bytes": dict(traffic.bytes), "calls": dict(traffic.calls),
            "said": repr(traffic), "formula": expected_bytes(model)}  # fmt: skip


def expected_bytes(model: nn.Module) -> dict[str, int]:
    """Return what :func:`resnorm_lib.parallel.costs.sync_norm_bytes` says for all synchronized norms, in float64."""
    layers = [part.num_features for part in model.modules() if isinstance(part, SyncBatchNorm)]
    sizes = [sync_norm_bytes(channels, dist.get_world_size()) for channels in layers]
    return {kind: sum(size[kind] for size in sizes) * FLOAT64 // FLOAT32 for kind in (sizes[0] if sizes else ())}


def first_means(x: Tensor) -> list[list[float]]:
    """Return the means of the channels that the first norm sees: over each process's rows, and over all."""
    with torch.no_grad():
        channels = network().embed(x)
    mine = share(channels).mean(0)
    parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, mine)
    return torch.stack([*parts, channels.mean(0)]).tolist()


def describe(found: dict) -> Iterator[str]:
    """Say what :func:`measure` has found."""
    names = [*(f"process {rank}" for rank in range(len(found["statistics"]) - 1)), "all rows"]
    for name, means in zip(names, found["statistics"]):
        yield f"means of four channels, {name + ':':11}" + "".join(f"{mean:7.2f}" for mean in means[:4])
    for name, one in found["norms"].items():
        yield f"{name + ':':15}gradients {close(one['distance'])}; {one['said']}"
    yield f"BatchNorm against GhostBatchNorm on one device: gradients {close(found['ghosts'])}"
