"""Finds residual additions as they are made, and measures them before and after."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge
from torch.utils.hooks import RemovableHandle

from resnorm_lib.probes.lineage import Lineage, Node
from resnorm_lib.probes.modules import ModulePath
from resnorm_lib.probes.operations import AVERAGE
from resnorm_lib.probes.parting import Parting, carried, part
from resnorm_lib.probes.statistics import gradient_correlation, measuring, moments, norm, sides, token_rank
from resnorm_lib.probes.streams import Addition, Record

__all__ = ["Additions"]

# Why a sum of a value and of what was computed from it is not counted.
AVERAGED = "a value is added to an average of itself alone, which is not told from a statistic"
GATED = "where a branch also hands its input on (a gate), only an identity shortcut is counted"
REPEATED = "a shortcut is repeated along an axis that the branch brings in, so that no stream goes on"
MASKED = "an addend was computed by way of truth values or integers, which no gradient passes"
INTEGER = "the addends are integers, which no gradient passes"
COMPLEX = "the addends are complex, and the statistics are of real numbers"
ONE_AXIS = "the addends have one axis, and a stream needs one for samples and one for features"


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
    on_unfollowed : callable
        Called with the reason why a sum that may be a residual one is not counted.
    """

    def __init__(
        self,
        lineage: Lineage,
        path: ModulePath,
        samples: int | None,
        sample_axis: int,
        on_unfollowed: Callable[[str], None],
    ) -> None:
        self.lineage, self.path, self.on_unfollowed = lineage, path, on_unfollowed
        self.samples, self.sample_axis = samples, sample_axis
        self.found: list[Addition] = []
        self.ends: dict[Node, Addition] = {}  # by the node of the sum
        self.hooks: list[RemovableHandle] = []

    def before(self, a: Tensor, b: Tensor, alpha: float = 1) -> Addition | None:
        """Return the addition if a + alpha b is a residual one, with branch and stream measured; otherwise None.

        They are measured before the sum is made, because an addition in place overwrites one of them. Of a sum that may
        be a residual one and is not counted, ``on_unfollowed`` is told.
        """
        nodes = self.lineage.of(a), self.lineage.of(b)
        shape = _joint_shape(a, b)
        if shape is None or any(node.weight for node in nodes):
            return None
        parting = part(*nodes)
        reason = _beyond_gradients(a, b, nodes) if parting is None else _doubt(a, b, alpha, parting, shape)
        if reason:
            self.on_unfollowed(reason)
        if parting is None or reason is not None:
            return None
        before = self._before(parting)
        addition = Addition(self.path.name, parting, before)
        with measuring(a.device):
            b = b if alpha == 1 else alpha * b
            stream, branch = (a, b) if parting.first else (b, a)
            addition.end |= sides(stream, branch.expand_as(stream))
        if before is None:
            start = parting.fork.tensor()
            self._measure(addition, addition.start, stream if start is None else start, parting.fork)
        return addition

    def _before(self, parting: Parting) -> Addition | None:
        """Return the addition before this one: the shortcut passes its sum, or the fork was computed from it."""
        end = next((node for node in parting.way if node in self.ends), None)
        end = carried(parting.fork, self.ends) if end is None else end
        return None if end is None else self.ends[end]

    def after(self, addition: Addition, total: Tensor) -> None:
        """Measure the sum."""
        addition.out = self.lineage.of(total)
        self.ends[addition.out] = addition
        self.found.append(addition)
        self._measure(addition, addition.end, total, addition.out)

    def _measure(self, addition: Addition, record: Record, x: Tensor, node: Node) -> None:
        record["shape"] = tuple(x.shape)
        samples, features = self._axis_of_samples(x.shape), node.feature_axis(x.dim())
        with measuring(x.device):
            record |= moments(x)
            if x.dim() > 2 and samples not in (None, features) and x.numel():
                record["token_rank"] = token_rank(x, samples, features)
        if _has_edge(x):
            addition.edges.append(get_gradient_edge(x))
            self.hooks.append(x.register_hook(partial(_measure_gradient, record, samples)))

    def _axis_of_samples(self, shape: torch.Size) -> int | None:
        """Return the axis that counts samples: another than asked for if several streams are stacked in front."""
        if len(shape) > self.sample_axis and shape[self.sample_axis] == self.samples:
            return self.sample_axis
        places = [axis for axis, size in enumerate(shape) if size == self.samples]
        return places[0] if len(places) == 1 else None


def _joint_shape(a: Tensor, b: Tensor) -> torch.Size | None:
    """Return the shape of the sum, or ``None`` if there is none, and the model is about to raise."""
    try:
        return torch.broadcast_shapes(a.shape, b.shape)
    except RuntimeError:
        return None


def _doubt(a: Tensor, b: Tensor, alpha: float, parting: Parting, shape: torch.Size) -> str | None:
    """Return ``None`` if a + alpha b is counted, "" if it is no residual sum, and a reason if it may be one."""
    stream, sure = (a if parting.first else b), not (parting.cost or parting.work)
    if alpha < 0 and (not parting.first or parting.work == AVERAGE):
        return ""  # f(x) - x turns the stream round, and x - mean(x) is centred
    if a.is_complex() or b.is_complex():
        return COMPLEX
    if not (a.is_floating_point() and b.is_floating_point()):
        return INTEGER
    if len(shape) < 2:
        return ONE_AXIS if sure and stream.numel() > 1 else ""
    if stream.shape != shape:
        return REPEATED if sure else ""
    if a.shape != b.shape and parting.cost:
        return ""
    if parting.is_sure():
        return None
    return AVERAGED if parting.work == AVERAGE else GATED


def _beyond_gradients(a: Tensor, b: Tensor, nodes: tuple[Node, Node]) -> str | None:
    """Return the reason why a + b is not counted if it were a residual sum with masks and indices followed."""
    if not any(node.cut for node in nodes):
        return None
    parting = part(*nodes, loosely=True)
    if parting is None or parting.cost or parting.work == AVERAGE:
        return None
    if not (a.is_floating_point() or b.is_floating_point()):
        return INTEGER
    kept = all(earlier in later.parents for later, earlier in pairwise(parting.way))
    return MASKED if kept else None


def _has_edge(x: Tensor) -> bool:
    """Return whether autograd can give the gradient of x.

    It cannot if x is a view that was taken without gradients of a tensor that has one.
    """
    if not x.requires_grad:
        return False
    return x.grad_fn is not None or not (x._is_view() or torch.is_inference_mode_enabled())


def _measure_gradient(record: Record, samples: int | None, gradient: Tensor) -> None:
    with measuring(gradient.device):
        record["gradient_norm"] = norm(gradient)
        if samples is not None and gradient.shape[samples] > 1:
            record["gradient_correlation"] = gradient_correlation(gradient, samples)
