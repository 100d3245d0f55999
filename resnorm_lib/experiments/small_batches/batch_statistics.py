"""Which rows a batch normalization sees: parts of the batch, another batch, or all of the training data."""

import copy
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn

from resnorm_lib.engine.training import evaluate, fix_statistics
from resnorm_lib.norms import BatchNorm, GhostBatchNorm

__all__ = ["evaluate_in_batches", "replace_norms", "with_precise_statistics"]


class _AlwaysInTraining(GhostBatchNorm):
    """Statistics of the parts in evaluation too, to measure the function that was trained."""

    def train(self, mode: bool = True) -> "_AlwaysInTraining":
        return super().train()


def replace_norms(model: nn.Module, make: Callable[[int], nn.Module]) -> nn.Module:
    """Replace every batch normalization of ``model`` by ``make(channels)`` with its gain, offset, statistics and eps.

    The model is changed, and returned.
    """
    for name, old in list(model.named_modules()):
        if isinstance(old, BatchNorm):
            parent, _, last = name.rpartition(".")
            new = make(old.num_features).to(old.weight.device)
            new.eps, known = old.eps, new.state_dict()
            new.load_state_dict(known | {key: value for key, value in old.state_dict().items() if key in known})
            setattr(model.get_submodule(parent), last, new)
    return model


def evaluate_in_batches(model: nn.Module, data: Iterable, size: int, amp: bool = False) -> tuple[Tensor, Tensor]:
    """Return loss and error of the function that was trained: with the statistics of ``size`` rows at a time.

    Rows that are left over at the end of a batch of ``data`` are not counted. The model stays as it is.
    """
    twin = replace_norms(
        copy.deepcopy(model), partial(_AlwaysInTraining, ghost_batch_size=size, track_running_stats=False)
    )
    return evaluate(twin, ((x[: len(x) - len(x) % size], y[: len(y) - len(y) % size]) for x, y in data), amp=amp)


def with_precise_statistics(model: nn.Module, data: Iterable, amp: bool = False) -> nn.Module:
    """Return a copy whose running statistics are those of ``data`` ("precise BN"), taken in large batches."""
    twin = replace_norms(copy.deepcopy(model), BatchNorm)
    device = next(model.parameters()).device.type
    with torch.autocast(device, torch.bfloat16, enabled=amp):
        fix_statistics(twin, (x for x, _ in data))
    return twin
