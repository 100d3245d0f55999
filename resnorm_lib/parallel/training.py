"""A data parallel training that survives: its checkpoint lets the next run go on where this one was killed."""

import os
import signal
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from resnorm_lib import runtime
from resnorm_lib.parallel.data_parallel import batch, network, share

__all__ = ["Training", "describe", "measure", "steps_in"]


class Training:
    """Model, optimizer, the generator that draws the data, and the losses so far: all that the next step depends on."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.losses: list[float] = []
        self.model = network("layer")
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-3)
        self.generator = runtime.generator(4)
        self.parallel: nn.Module = DistributedDataParallel(self.model)

    def step(self) -> None:
        x, y = batch(self.rows, self.generator)
        loss = F.cross_entropy(self.parallel(share(x)), share(y))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        mean = loss.detach()
        dist.all_reduce(mean)
        self.losses.append(mean.item() / dist.get_world_size())

    def save(self, path: Path) -> None:
        """Write the checkpoint, by process 0: a file beside it first, then renamed, so that no half file is left."""
        if dist.get_rank() == 0:
            new = path.with_name(f"{path.name}.new")
            state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
            torch.save(state | {"generator": self.generator.get_state(), "losses": self.losses}, new)
            os.replace(new, path)
        dist.barrier()

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True, map_location="cpu")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.losses = state["losses"]


def steps_in(path: Path) -> int:
    """Return how many steps a checkpoint has behind it."""
    return len(torch.load(path, weights_only=True)["losses"])


def measure(options: Namespace) -> dict[str, object]:
    """Train to ``steps`` in all, from the checkpoint if there is one; with ``kill``, one process dies before a step."""
    training, checkpoint = Training(options.rows), options.checkpoint
    if checkpoint and checkpoint.exists():
        training.load(checkpoint)
    begun = len(training.losses)
    for number in range(begun + 1, options.steps + 1):
        if options.kill == (dist.get_rank(), number):
            os.kill(os.getpid(), signal.SIGKILL)
        training.step()
        if checkpoint and number % options.every == 0:
            training.save(checkpoint)
    return {"begun": begun, "losses": training.losses}


def describe(found: dict) -> Iterator[str]:
    """Say what :func:`measure` has found."""
    if found["begun"]:
        yield f"resumed after step {found['begun']}"
    for number, loss in enumerate(found["losses"], start=1):
        if number > found["begun"] and number % 3 == 0:
            yield f"step {number}: loss {loss:.4f}"
