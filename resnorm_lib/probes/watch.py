"""Watching one forward pass: every call of torch, and the module in which it was made."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from resnorm_lib.probes.additions import Additions
from resnorm_lib.probes.lineage import Lineage
from resnorm_lib.probes.modules import ModulePath, Visit, tensors_in
from resnorm_lib.probes.norm_gains import NORM_CALLS, entrywise_slope, gain
from resnorm_lib.probes.operations import (
    CONCATENATIONS,
    as_torch,
    hides_a_sum,
    is_neutral,
    is_relu,
    plain_name,
    values_of,
)
from resnorm_lib.probes.parting import carried, part
from resnorm_lib.probes.statistics import dead_share, measuring
from resnorm_lib.probes.streams import Addition

__all__ = ["Watch"]

UNSEEN = (
    "an addend was made by calls that torch does not show, such as autograd.grad, NumPy, Python's numbers or code in C"
)


def _out_of_reach(tensor: Tensor) -> str | None:
    """Return why nothing can be measured of the tensor, or ``None``."""
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return "inside torch.func (vmap, grad, jvp) a value stands for many, or for a function of it"
    return "a nested tensor has no shape" if tensor.is_nested else None


class Watch(TorchFunctionMode):
    """Finds residual additions, norms and ReLUs while it is entered, and measures them at once: it keeps no tensor.

    Parameters
    ----------
    model : nn.Module
    inputs : list of tensors
        What the model is called with.
    sample_axis : int
    """

    def __init__(self, model: nn.Module, inputs: list[Tensor], sample_axis: int) -> None:
        super().__init__()
        samples = next((x.shape[sample_axis] for x in inputs if x.dim() > sample_axis), None)
        self.lineage = Lineage([*model.parameters(), *model.buffers()], inputs)
        self.path = ModulePath(model, self.lineage, self._on_custom_norm)
        self.additions = Additions(self.lineage, self.path, samples, sample_axis, self._on_unfollowed)
        self.norms: list[dict[str, str | Tensor | None]] = []
        self.units: list[dict[str, str | int | Tensor]] = []
        self.concatenations: list[str] = []
        self.turned: list[str] = []  # modules that subtract a value from what was computed from it
        self.unfollowed: dict[str, dict[str, None]] = {}  # reason: the modules in which a call could not be followed

    @contextmanager
    def watching(self) -> Iterator[None]:
        with self.path.following(), self:
            yield

    def __torch_function__(
        self, function: Callable, types: Sequence[type], args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, known = kwargs or {}, as_torch(function)
        name = plain_name(known, args)
        name = "identity" if is_neutral(name, args, kwargs) else name
        inputs = tensors_in(args, kwargs)
        if reason := next(filter(None, map(_out_of_reach, inputs)), None):
            self._on_unfollowed(reason)
            return function(*args, **kwargs)
        addition = self._before_addition(name, args, kwargs) if name in ("add", "sub") else None
        result = function(*args, **kwargs)
        made = tensors_in(args[:1]) if name == "setitem" else tensors_in(result)
        if not made and isinstance(result, float | list | np.ndarray):
            self.lineage.spoken |= not all(self.lineage.of(tensor).weight for tensor in inputs)
        if made:
            inputs = values_of(name, inputs)
            self._on_concatenation(name, inputs)
            self._on_sum_inside(name, inputs)
            for node in self.lineage.record(name, inputs, made)[:1]:
                self.path.note(name, node)
        if addition is not None:
            self.additions.after(addition, result)
        elif known in NORM_CALLS:
            self._on_norm_call(known, args, kwargs, result)
        elif is_relu(name, args, kwargs):
            self._on_relu(name, result)
        return result

    def _before_addition(self, name: str, args: tuple, kwargs: dict[str, Any]) -> Addition | None:
        both = tensors_in(args, kwargs.get("input"), kwargs.get("other"))
        if len(both) != 2:
            return None
        if both[0].shape == both[1].shape and both[0].dim() > 1 and any(map(self.lineage.strange, both)):
            self._on_unfollowed(UNSEEN)
        sign = 1 if name == "add" else -1
        alpha = sign * kwargs.get("alpha", 1)
        if alpha < 0:
            parting = part(*map(self.lineage.of, both))
            self.turned += [self.path.name] if parting and not parting.first and not parting.work else []
        return self.additions.before(*both, alpha)

    def _on_unfollowed(self, reason: str) -> None:
        self.unfollowed.setdefault(reason, {})[self.path.name] = None

    def _on_sum_inside(self, name: str, inputs: list[Tensor]) -> None:
        if hides_a_sum(name) and len(inputs) > 1:
            first, *others = map(self.lineage.of, inputs)
            if any(part(first, other) or carried(other, {first.value()}, math.inf) for other in others):
                self._on_unfollowed(f"{name} adds inside one call, and additions are looked for in + and - alone")

    def _on_concatenation(self, name: str, inputs: list[Tensor]) -> None:
        if name in CONCATENATIONS and len(inputs) > 1:
            parting = part(self.lineage.of(inputs[0]), self.lineage.of(inputs[-1]))
            if parting is not None and parting.cost == parting.work == 0:
                self.concatenations.append(self.path.name)

    def _on_norm_call(self, function: Callable, args: tuple, kwargs: dict[str, Any], y: Tensor) -> None:
        if "input" in kwargs:
            kwargs = dict(kwargs)
            args = (kwargs.pop("input"), *args)
        self.path.note_norm()
        if not self.lineage.of(args[0]).weight:
            with measuring(y.device):
                facts = {"gain": gain(args[0], y), "slope": NORM_CALLS[function](*args, **kwargs)}
            self.norms.append({"module": self.path.name, "kind": plain_name(function), **facts})

    def _on_custom_norm(self, visit: Visit, x: Tensor, y: Tensor) -> None:
        if y.is_floating_point() and not self.lineage.of(x).weight:
            with measuring(y.device):
                facts = {"gain": gain(x, y), "slope": entrywise_slope(x, y) if visit.scales_only() else None}
            self.norms.append({"module": visit.name, "kind": type(visit.module).__name__, **facts})

    def _on_relu(self, name: str, y: Tensor) -> None:
        if y.is_floating_point() and y.dim() > 1 and y.numel():
            axis = self.lineage.of(y).feature_axis(y.dim())
            with measuring(y.device):
                dead = dead_share(y, axis)
            self.units.append({"module": self.path.name, "kind": name, "units": y.shape[axis], "dead": dead})
