"""Which rows a batch normalization sees: parts of the batch, another batch, or all of the training data."""

import copy
from functools import partial

import torch
import torch.nn.functional as F

from resnorm_lib.experiments.training import evaluate, fix_statistics
from resnorm_lib.norms import BatchNorm, GhostBatchNorm

__all__ = ["Ghosts", "in_batches", "replace_norms", "settled"]


class Ghosts(GhostBatchNorm):
    """The same as :class:`resnorm_lib.norms.GhostBatchNorm`, in one call: sixty small ones keep a GPU waiting.

    The channels of each part become channels of their own, and one batch normalization does the rest. Rows that do not
    divide evenly are left to the class above.
    """

    def forward(self, x):
        parts, tracks = x.shape[0] // self.ghost_batch_size, self.running_mean is not None
        if (tracks and not self.training) or parts < 2 or x.shape[0] % parts:
            return super().forward(x)
        rows, rest = x.shape[0] // parts, x.shape[2:]
        apart = x.reshape(parts, rows, *x.shape[1:]).transpose(0, 1).reshape(rows, -1, *rest)
        mean, var = self.weight.new_zeros((2, apart.shape[1]))
        weight, bias = self.weight.repeat(parts), self.bias.repeat(parts)
        y = F.batch_norm(apart, mean, var, weight, bias, True, 1.0, self.eps)
        if tracks:
            self._remember(mean.view(parts, -1), var.view(parts, -1))
        y = y.view(rows, parts, -1, *rest).transpose(0, 1).reshape(x.shape)
        last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
        return y.contiguous(memory_format=torch.channels_last) if last else y

    @torch.no_grad()
    def _remember(self, means, variances):
        """Let the running statistics see one part after the other."""
        parts = len(means)
        if self.momentum is None:
            shares = (1 / (self.num_batches_tracked + parts)).expand(parts)
        else:
            ages = torch.arange(parts - 1, -1, -1, device=means.device)
            shares = self.momentum * (1 - self.momentum) ** ages
        self.num_batches_tracked.add_(parts)
        for running, news in ((self.running_mean, means), (self.running_var, variances)):
            # A sum and no matrix product, which autocast would do in 16 bits.
            running.mul_(1 - shares.sum()).add_((shares[:, None] * news).sum(0))


def replace_norms(model, make):
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


def in_batches(model, data, size, amp=False):
    """Loss and error of the function that was trained: with the statistics of ``size`` rows at a time.

    Rows that are left over at the end of a batch of ``data`` are not counted. The model stays as it is.
    """
    twin = replace_norms(copy.deepcopy(model), partial(Ghosts, ghost_batch_size=size, track_running_stats=False))
    return evaluate(twin, ((x[: len(x) - len(x) % size], y[: len(y) - len(y) % size]) for x, y in data), amp=amp)


def settled(model, data, amp=False):
    """Return a copy whose running statistics are those of ``data`` ("precise BN"), taken in large batches."""
    twin = replace_norms(copy.deepcopy(model), BatchNorm)
    device = next(model.parameters()).device.type
    with torch.autocast(device, torch.bfloat16, enabled=amp):
        fix_statistics(twin, (x for x, _ in data))
    return twin
