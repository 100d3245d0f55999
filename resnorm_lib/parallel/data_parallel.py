"""Data parallel training: each process has the whole model and its part of the batch, and gradients are averaged."""

from argparse import Namespace
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from resnorm_lib import runtime
from resnorm_lib.models import MLP
from resnorm_lib.norms.registry import Norm
from resnorm_lib.parallel.comparison import close, distance
from resnorm_lib.parallel.launch import home
from resnorm_lib.parallel.traffic import Traffic

__all__ = ["average_gradients", "batch", "describe", "flat", "gradients", "measure", "network", "share"]

FEATURES, WIDTH, BLOCKS, CLASSES = 16, 32, 4, 4
Batch = tuple[Tensor, Tensor]


def network(norm: Norm = "layer") -> nn.Module:
    """Return the residual MLP of these scripts, float64, with the same weights in every process."""
    with runtime.seeded(0):
        return MLP(FEATURES, WIDTH, BLOCKS, out_features=CLASSES, norm=norm).double().to(home())


def batch(rows: int, generator: torch.Generator | None = None) -> Batch:
    """Return rows and their labels, the same in every process: the largest of four features says the class."""
    x = torch.randn(rows, FEATURES, dtype=torch.float64, generator=generator or runtime.generator(1))
    x = x.to(home())
    return x, x[:, :CLASSES].argmax(1)


def share(whole: Tensor) -> Tensor:
    """Return this process's part of the rows.

    Raises
    ------
    ValueError
        If the rows cannot be shared out evenly.
    """
    processes = dist.get_world_size()
    if len(whole) % processes:
        raise ValueError(f"rows is {len(whole)}, but it must be a multiple of the {processes} processes.")
    return whole.chunk(processes)[dist.get_rank()]


def gradients(model: nn.Module, x: Tensor, y: Tensor, weight: float = 1.0) -> Tensor:
    """Return the gradients of the mean loss times the weight as one vector; they also stay in the parameters."""
    model.zero_grad()
    (weight * F.cross_entropy(model(x), y)).backward()
    return flat(model)


def flat(model: nn.Module) -> Tensor:
    """Return the gradients of all parameters as one vector."""
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def average_gradients(model: nn.Module) -> None:
    """Replace the gradient of each parameter by its mean over the processes."""
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)
        parameter.grad /= dist.get_world_size()


def measure(options: Namespace) -> dict[str, object]:
    """Compare the gradients of the parts with those of the whole batch, and count the messages."""
    (x, y), model = batch(options.rows), network()
    whole = gradients(model, x, y)
    mine = gradients(model, share(x), share(y))
    with Traffic() as by_hand:
        average_gradients(model)
    found = {"parameters": len(whole), "own": distance(mine, whole), "averaged": distance(flat(model), whole)}
    parallel = DistributedDataParallel(network())
    with Traffic() as by_torch:
        of_parts = gradients(parallel, share(x), share(y))
    found["DDP"] = distance(of_parts, whole)
    return found | uneven(x, y, whole) | {"by hand": repr(by_hand), "by DDP": repr(by_torch)}


def uneven(x: Tensor, y: Tensor, whole: Tensor) -> dict[str, float]:
    """Let the parts of the processes be as 1 : 2 : 3 ...; average, and average weighted by rows."""
    rank, processes, model = dist.get_rank(), dist.get_world_size(), network()
    begin, end = (len(x) * each * (each + 1) // (processes * (processes + 1)) for each in (rank, rank + 1))
    found = {}
    for name, weight in {"uneven": 1.0, "weighted": processes * (end - begin) / len(x)}.items():
        gradients(model, x[begin:end], y[begin:end], weight)
        average_gradients(model)
        found[name] = distance(flat(model), whole)
    return found


def describe(found: dict) -> Iterator[str]:
    """Say what :func:`measure` has found."""
    yield f"each its own:              {found['own']:.2f} from the gradients of the whole batch"
    yield f"averaged by hand:          {close(found['averaged'])}; {found['by hand']}"
    yield f"DistributedDataParallel:   {close(found['DDP'])}; {found['by DDP']}"
    yield f"uneven parts, averaged:    {close(found['uneven'])}"
    yield f"uneven parts, weighted:    {close(found['weighted'])}"
