"""Finds residual additions as they are made, and measures them before and after."""

from functools import partial

import torch
from torch.autograd.graph import get_gradient_edge

from resnorm_lib.probes.lineage import carried, part
from resnorm_lib.probes.statistics import gradient_correlation, measuring, moments, norm, sides, token_rank
from resnorm_lib.probes.streams import Addition

__all__ = ["Additions"]


class Additions:
    """The residual additions of a forward pass. Statistics are kept, and autograd's edges; tensors are not.

    Parameters
    ----------
    lineage : Lineage
    path : ModulePath
    samples : int or None
        How many samples the batch has.
    sample_axis : int
        The axis of tensors that counts them.
    """

    def __init__(self, lineage, path, samples, sample_axis):
        self.lineage, self.path = lineage, path
        self.samples, self.sample_axis = samples, sample_axis
        self.found, self.ends, self.hooks = [], {}, []

    def before(self, a, b, alpha=1):
        """Return the addition if a + alpha b is a residual one, with branch and stream measured; otherwise None.

        They are measured before the sum is made, because an addition in place overwrites one of them.
        """
        if a.shape != b.shape or a.dim() < 2 or not (a.is_floating_point() and b.is_floating_point()):
            return None
        nodes = self.lineage.of(a), self.lineage.of(b)
        parting = part(*nodes)
        if parting is None or (alpha < 0 and not parting.first):  # f(x) - x turns the stream round
            return None
        before = self._before(parting)
        addition = Addition(self.path.name, parting, before)
        with measuring(a.device):
            b = b if alpha == 1 else alpha * b
            stream, branch = (a, b) if parting.first else (b, a)
            addition.end |= sides(stream, branch)
        if before is None:
            start = parting.fork.tensor()
            self._measure(addition, addition.start, stream if start is None else start, parting.fork)
        return addition

    def _before(self, parting):
        """Return the addition before this one: the shortcut passes its sum, or the fork was computed from it."""
        end = next((node for node in parting.way if node in self.ends), None)
        end = carried(parting.fork, self.ends) if end is None else end
        return None if end is None else self.ends[end]

    def after(self, addition, total):
        """Measure the sum."""
        addition.out = self.lineage.of(total)
        self.ends[addition.out] = addition
        self.found.append(addition)
        self._measure(addition, addition.end, total, addition.out)

    def _measure(self, addition, record, x, node):
        record["shape"] = tuple(x.shape)
        samples, features = self._axis_of_samples(x.shape), node.feature_axis(x.dim())
        with measuring(x.device):
            record |= moments(x)
            if x.dim() > 2 and samples not in (None, features) and x.numel():
                record["token_rank"] = token_rank(x, samples, features)
        if _has_edge(x):
            addition.edges.append(get_gradient_edge(x))
            self.hooks.append(x.register_hook(partial(_measure_gradient, record, samples)))

    def _axis_of_samples(self, shape):
        """Return the axis that counts samples: another than asked for if several streams are stacked in front."""
        if len(shape) > self.sample_axis and shape[self.sample_axis] == self.samples:
            return self.sample_axis
        places = [axis for axis, size in enumerate(shape) if size == self.samples]
        return places[0] if len(places) == 1 else None


def _has_edge(x):
    """Whether autograd can give the gradient of x: not if x is a view, taken without gradients, of what has one."""
    if not x.requires_grad:
        return False
    return x.grad_fn is not None or not (x._is_view() or torch.is_inference_mode_enabled())


def _measure_gradient(record, samples, gradient):
    with measuring(gradient.device):
        record["gradient_norm"] = norm(gradient)
        if samples is not None and gradient.shape[samples] > 1:
            record["gradient_correlation"] = gradient_correlation(gradient, samples)
