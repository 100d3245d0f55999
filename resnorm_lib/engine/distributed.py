"""The share of this process in a sweep over several devices: torchrun starts one process a device.

``torchrun --nproc-per-node 8 -m resnorm_lib.experiments run NAME --preset gpu --seeds 8 --out runs``
"""

import atexit
import os
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist

from resnorm_lib import runtime
from resnorm_lib.engine.records import Run, write

__all__ = ["Worker", "here"]


@dataclass(frozen=True)
class Worker:
    """One of ``world`` processes: the only one if torchrun did not start it."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @property
    def suffix(self) -> str:
        """Return the ending of the name of this process's own record."""
        return "" if self.world == 1 else f".rank{self.rank}"

    def share(self, items: list) -> list:
        """Return every ``world``-th item, beginning with the ``rank``-th."""
        return items[self.rank :: self.world]

    def device(self, asked: torch.device | str | None = None) -> torch.device:
        device = runtime.device() if asked is None else torch.device(asked)
        if device.type == "cuda" and self.world > 1:
            torch.cuda.set_device(self.local_rank)
            device = torch.device("cuda", self.local_rank)
        return device

    def gather(self, run: Run, path: Path | None) -> Run:
        """Return the run with the trials of all processes in the first one, and write it to ``path``."""
        if self.world > 1:
            if not dist.is_initialized():
                dist.init_process_group("gloo")
                atexit.register(_leave)
            shares = [None] * self.world if self.rank == 0 else None
            dist.gather_object(run.trials, shares)
            if self.rank == 0:
                merged = {(trial.seed, trial.arm): trial for share in shares for trial in share}
                run.trials = [merged[key] for key in sorted(merged, key=lambda key: key[0])]
        if path is not None and self.rank == 0:
            write(run, path)
        return run


def here() -> Worker:
    """Return the :class:`Worker` that this process is, from the variables that torchrun sets."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    return Worker(*(int(os.environ[name]) for name in names)) if all(name in os.environ for name in names) else Worker()


def _leave() -> None:
    """Leave the group, whose threads may otherwise abort the process that ends."""
    if dist.is_initialized():
        dist.destroy_process_group()
