"""Which module is being called, which calls of torch it makes, and norms that are recognized by their calls."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from resnorm_lib.probes.lineage import Lineage, Node

__all__ = ["ModulePath", "tensors_in"]

STATISTICS = {"rsqrt", "std", "var", "var_mean", "std_mean", "norm", "vector_norm", "linalg_vector_norm", "normalize"}
CENTRING = {"sub", "std", "var", "var_mean", "std_mean"}


def tensors_in(*values: object) -> list[Tensor]:
    """Return the tensors among the values and in lists, tuples and dicts of them, in order."""
    found = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, tuple | list):
            found += tensors_in(*value)
        elif isinstance(value, dict):
            found += tensors_in(*value.values())
    return found


class Visit:
    """One call of one module: the calls of torch that it makes."""

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module, self.name = module, name
        self.calls: set[str] = set()
        self.mixes = self.norm_call = False

    def is_norm(self) -> bool:
        """Return whether a module without children is a norm: by name, or as it takes a size and mixes no features."""
        if self.mixes or self.norm_call or any(True for _ in self.module.children()):
            return False
        return "norm" in type(self.module).__name__.lower() or bool(self.calls & STATISTICS)

    def scales_only(self) -> bool:
        """Return whether the norm neither centres nor shifts: its output over its input is the weight over sigma."""
        shifts = any(part in name for name, _ in self.module.named_parameters() for part in ("bias", "beta", "shift"))
        return not shifts and not self.calls & CENTRING


class ModulePath:
    """Follows the modules that are being called, from the model down.

    The hooks are torch's global ones: no module is touched.

    Parameters
    ----------
    model : nn.Module
    lineage : Lineage
    on_norm : callable
        Called with the visit, the input and the output of a norm that made no norm call of torch.
    """

    def __init__(self, model: nn.Module, lineage: Lineage, on_norm: Callable[[Visit, Tensor, Tensor], None]) -> None:
        self.names = {id(module): name or type(model).__name__ for name, module in model.named_modules()}
        self.lineage, self.on_norm = lineage, on_norm
        self.visits: list[Visit] = []
        self.hidden: list[str] = []  # modules whose calls could not be seen

    @contextmanager
    def following(self) -> Iterator[None]:
        hooks = []
        try:
            hooks.append(register_module_forward_pre_hook(self._enter))
            # Without keyword arguments: of a hook that gets those, torch 2.13 leaves a mark behind when it is removed.
            hooks.append(register_module_forward_hook(self._leave, always_call=True))
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @property
    def name(self) -> str:
        return self.visits[-1].name if self.visits else "?"

    def note(self, call: str, made: Node) -> None:
        if self.visits:
            visit = self.visits[-1]
            visit.calls.add(call)
            visit.mixes |= bool(made.cost)

    def note_norm(self) -> None:
        if self.visits:
            self.visits[-1].norm_call = True

    def _enter(self, module: nn.Module, args: tuple) -> None:
        name = self.names.get(id(module)) or f"{self.name}.{type(module).__name__}"
        self.visits.append(Visit(module, name))

    def _leave(self, module: nn.Module, args: tuple, output: object) -> None:
        while self.visits:  # a module that raised and was forgiven may have left others open
            visit = self.visits.pop()
            if visit.module is module:
                break
        else:
            return
        inputs, outputs = tensors_in(args), tensors_in(output)
        if any(map(torch._C._functorch.is_functorch_wrapped_tensor, inputs + outputs)):
            return
        unknown = [tensor for tensor in outputs if not self.lineage.knows(tensor)]
        if unknown and not any(tensor is x for tensor in unknown for x in inputs):
            self.hidden.append(visit.name)
            parents = tuple({self.lineage.of(x): None for x in inputs})
            for tensor in unknown:
                self.lineage.add(tensor, parents, cost=1)
        elif inputs and outputs and inputs[0].shape == outputs[0].shape and visit.is_norm():
            self.on_norm(visit, inputs[0], outputs[0])
