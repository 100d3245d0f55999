"""Watching one forward pass: every call of torch, and the module in which it was made."""

from contextlib import contextmanager

from torch.overrides import TorchFunctionMode

from resnorm_lib.probes.additions import Additions
from resnorm_lib.probes.lineage import Lineage, part
from resnorm_lib.probes.modules import ModulePath, tensors_in
from resnorm_lib.probes.norm_gains import NORM_CALLS, entrywise_slope, gain
from resnorm_lib.probes.operations import CONCATENATIONS, is_relu, plain_name, takes_no_values
from resnorm_lib.probes.statistics import dead_share, measuring

__all__ = ["Watch"]


class Watch(TorchFunctionMode):
    """Finds residual additions, norms and ReLUs while it is entered, and measures them at once: it keeps no tensor.

    Parameters
    ----------
    model : nn.Module
    inputs : list of tensors
        What the model is called with.
    sample_axis : int
    """

    def __init__(self, model, inputs, sample_axis):
        super().__init__()
        samples = next((x.shape[sample_axis] for x in inputs if x.dim() > sample_axis), None)
        self.lineage = Lineage([*model.parameters(), *model.buffers()])
        self.path = ModulePath(model, self.lineage, self._on_custom_norm)
        self.additions = Additions(self.lineage, self.path, samples, sample_axis)
        self.norms, self.units, self.concatenations = [], [], []

    @contextmanager
    def watching(self):
        with self.path.following(), self:
            yield

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, plain_name(function)
        addition = self._before_addition(args, kwargs) if name == "add" else None
        result = function(*args, **kwargs)
        made = tensors_in(args[:1]) if name == "setitem" else tensors_in(result)
        if made:
            inputs = [] if takes_no_values(name) else tensors_in(args, kwargs)
            self._on_concatenation(name, inputs)
            self.lineage.record(name, inputs, made)
            self.path.note(name, self.lineage.of(made[0]))
        if addition is not None:
            self.additions.after(addition, result)
        elif function in NORM_CALLS:
            self._on_norm_call(function, args, kwargs, result)
        elif is_relu(name, args, kwargs):
            self._on_relu(name, result)
        return result

    def _before_addition(self, args, kwargs):
        both = tensors_in(args, kwargs.get("input"), kwargs.get("other"))
        return self.additions.before(*both, kwargs.get("alpha", 1)) if len(both) == 2 else None

    def _on_concatenation(self, name, inputs):
        if name in CONCATENATIONS and len(inputs) > 1:
            parting = part(self.lineage.of(inputs[0]), self.lineage.of(inputs[-1]))
            if parting is not None and parting.cost == 0:
                self.concatenations.append(self.path.name)

    def _on_norm_call(self, function, args, kwargs, y):
        if "input" in kwargs:
            kwargs = dict(kwargs)
            args = (kwargs.pop("input"), *args)
        self.path.note_norm()
        if not self.lineage.of(args[0]).weight:
            with measuring(y.device):
                facts = {"gain": gain(args[0], y), "slope": NORM_CALLS[function](*args, **kwargs)}
            self.norms.append({"module": self.path.name, "kind": plain_name(function), **facts})

    def _on_custom_norm(self, visit, x, y):
        if y.is_floating_point() and not self.lineage.of(x).weight:
            with measuring(y.device):
                facts = {"gain": gain(x, y), "slope": entrywise_slope(x, y) if visit.scales_only() else None}
            self.norms.append({"module": visit.name, "kind": type(visit.module).__name__, **facts})

    def _on_relu(self, name, y):
        if y.is_floating_point() and y.dim() > 1 and y.numel():
            axis = self.lineage.of(y).feature_axis(y.dim())
            with measuring(y.device):
                dead = dead_share(y, axis)
            self.units.append({"module": self.path.name, "kind": name, "units": y.shape[axis], "dead": dead})
