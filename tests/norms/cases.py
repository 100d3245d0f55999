"""The table of norms for the tests that all norms share, each norm with its formula in NumPy."""

from inspect import signature

import numpy as np
import pytest
import torch
from torch import nn

from resnorm_lib import norms, reference
from tests.reference.oracles import Case


class Logits(nn.Module):
    """Return the logits of attention for queries and keys that a query-key norm has normalized."""

    def __init__(self, norm, scale):
        super().__init__()
        self.norm, self.scale = norm, scale

    def forward(self, q, k):
        q, k = self.norm(q, k)
        return self.scale * (q @ k.transpose(-1, -2))


class WithGate(nn.Module):
    """Return the output and the gate of an adaptive norm as one tensor."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x, condition):
        y, gate = self.norm(x, condition)
        return torch.cat([y, gate.expand_as(y)], dim=-1)


def without_bias(norm):
    """Return torch's norm without its bias. Its constructor has an argument for that in newer versions alone."""
    norm.register_parameter("bias", None)
    return norm


def formula(name, axes=1, zero_centered=False, **settings):
    """Return output and gradients by ``reference.<name>_forward`` and ``_backward``, given the parameters they name.

    The last ``axes`` axes are flattened. A setting that is a function is called with the parameters.
    """
    forward, backward = getattr(reference, f"{name}_forward"), getattr(reference, f"{name}_backward")
    names = [key for key in signature(forward).parameters if key in ("alpha", "shift", "scale", "weight", "bias")]

    def flat(x):
        return x.reshape(*x.shape[: x.ndim - axes], -1)

    def twin(p, inputs, dy):
        given = {key: p[key].item() if p[key].size == 1 else p[key].ravel() for key in names if key in p}
        if zero_centered:
            given["weight"] = 1 + given["weight"]
        own = {key: value(p) if callable(value) else value for key, value in settings.items()}
        y, cache = forward(flat(inputs[0]), **given, **own)
        grads = backward(flat(dy), cache)
        dx, *others = grads if isinstance(grads, tuple) else (grads,)
        found = {key: np.reshape(grad, p[key].shape) for key, grad in zip(names, others) if key in p}
        return y.reshape(dy.shape), found | {"x0": dx.reshape(dy.shape)}

    return twin


def adaptive(p, inputs, dy):
    weight, bias = p["norm.modulation.weight"], p["norm.modulation.bias"]
    y, gate, cache = reference.adaptive_layer_norm_forward(*inputs, weight, bias)
    dy, dgate = np.split(dy, 2, axis=-1)
    grads = reference.adaptive_layer_norm_backward(dy, dgate.sum(axis=1, keepdims=True), cache)
    gates = np.broadcast_to(gate, y.shape)
    names = ("x0", "x1", "norm.modulation.weight", "norm.modulation.bias")
    return np.concatenate([y, gates], axis=-1), dict(zip(names, grads))


def qk(p, inputs, dy):
    y, cache = reference.qk_norm_forward(*inputs, p["norm.q_norm.weight"], p["norm.k_norm.weight"])
    names = ("x0", "x1", "norm.q_norm.weight", "norm.k_norm.weight")
    return y, dict(zip(names, reference.qk_norm_backward(dy, cache)))


def cosine_qk(p, inputs, dy):
    y, cache = reference.cosine_qk_norm_forward(*inputs, p["norm.gain"].item())
    dq, dk, dgain = reference.cosine_qk_norm_backward(dy, cache)
    return y, {"x0": dq, "x1": dk, "norm.gain": np.reshape(dgain, 1)}


def weight_normed(p, inputs, dy):
    g, v = p["parametrizations.weight.original0"], p["parametrizations.weight.original1"]
    w, cache = reference.weight_norm_forward(g, v)
    dg, dv = reference.weight_norm_backward(dy.T @ inputs[0], cache)
    grads = {"parametrizations.weight.original0": dg, "parametrizations.weight.original1": dv}
    return inputs[0] @ w.T + p["bias"], grads | {"x0": dy @ w, "bias": dy.sum(axis=0)}


def weight_standardized(p, inputs, dy):
    w, cache = reference.weight_standardization_forward(p["parametrizations.weight.original"])
    dw = reference.weight_standardization_backward(dy.T @ inputs[0], cache)
    grads = {"parametrizations.weight.original": dw, "x0": dy @ w, "bias": dy.sum(axis=0)}
    return inputs[0] @ w.T + p["bias"], grads


def _running(p):
    return p["running_mean"], p["running_std"]


ROWS = frozenset({"rows"})  # works on the last axis of any number of leading ones
BATCH = {"own_rows": False, "traits": frozenset({"channels"})}
SAMPLE = {"traits": frozenset({"channels"})}
MATMUL = frozenset({"matmul"})
PARAMETRIZED = frozenset({"matmul", "parametrized"})

N = norms
CASES = [
    Case("layer", lambda: N.LayerNorm(7), ((3, 5, 7),), formula("layer_norm"), lambda: nn.LayerNorm(7), traits=ROWS),
    Case("layer_of_two_axes", lambda: N.LayerNorm((3, 4)), ((5, 3, 4),), formula("layer_norm", axes=2),
         lambda: nn.LayerNorm((3, 4))),
    Case("layer_without_bias", lambda: N.LayerNorm(7, bias=False), ((5, 7),), formula("layer_norm"),
         lambda: nn.LayerNorm(7, bias=False), traits=ROWS),
    Case("layer_affine_free", lambda: N.LayerNorm(7, 1e-3, elementwise_affine=False), ((5, 7),),
         formula("layer_norm", eps=1e-3), lambda: nn.LayerNorm(7, 1e-3, elementwise_affine=False), traits=ROWS),
    Case("layer_zero_centered", lambda: N.LayerNorm(7, zero_centered_gain=True), ((5, 7),),
         formula("layer_norm", zero_centered=True), traits=ROWS),
    Case("rms", lambda: N.RMSNorm(7), ((3, 5, 7),), formula("rms_norm"), lambda: nn.RMSNorm(7), traits=ROWS),
    Case("rms_of_two_axes", lambda: N.RMSNorm((3, 4), 1e-5), ((5, 3, 4),), formula("rms_norm", axes=2, eps=1e-5),
         lambda: nn.RMSNorm((3, 4), 1e-5)),
    Case("rms_affine_free", lambda: N.RMSNorm(7, elementwise_affine=False), ((5, 7),), formula("rms_norm"),
         lambda: nn.RMSNorm(7, elementwise_affine=False), traits=ROWS),
    Case("rms_zero_centered", lambda: N.RMSNorm(7, 1e-6, zero_centered_gain=True), ((5, 7),),
         formula("rms_norm", zero_centered=True, eps=1e-6), traits=ROWS),
    Case("scale", lambda: N.ScaleNorm(7), ((3, 5, 7),), formula("scale_norm"), traits=ROWS),
    Case("ada", lambda: N.AdaNorm(7, scale=1.3, k=0.2), ((3, 5, 7),),
         formula("ada_norm", scale=1.3, k=0.2), true_gradient=False, traits=ROWS),
    Case("dyt", lambda: N.DynamicTanh(7), ((3, 5, 7),), formula("dynamic_tanh"), traits=ROWS),
    Case("derf", lambda: N.Derf(7), ((3, 5, 7),), formula("derf"), traits=ROWS),
    Case("derf_affine_free", lambda: N.Derf(7, elementwise_affine=False), ((3, 5, 7),), formula("derf"), traits=ROWS),
    Case("batch_1d", lambda: N.BatchNorm(5), ((6, 5),), formula("batch_norm"), lambda: nn.BatchNorm1d(5), **BATCH),
    Case("batch_2d", lambda: N.BatchNorm(5), ((4, 5, 3, 2),), formula("batch_norm"),
         lambda: nn.BatchNorm2d(5), **BATCH),
    Case("batch_affine_free", lambda: N.BatchNorm(5, affine=False), ((6, 5, 2),), formula("batch_norm"),
         lambda: nn.BatchNorm1d(5, affine=False), **BATCH),
    Case("batch_averaging", lambda: N.BatchNorm(5, momentum=None), ((6, 5),), formula("batch_norm"),
         lambda: nn.BatchNorm1d(5, momentum=None), **BATCH),
    Case("batch_untracked", lambda: N.BatchNorm(5, track_running_stats=False), ((6, 5),), formula("batch_norm"),
         lambda: nn.BatchNorm1d(5, track_running_stats=False), **BATCH),
    Case("batch_without_bias", lambda: N.BatchNorm(5, bias=False), ((6, 5),), formula("batch_norm"),
         lambda: without_bias(nn.BatchNorm1d(5)), **BATCH),
    Case("ghost_batch", lambda: N.GhostBatchNorm(5, 3), ((7, 5, 2),),
         formula("ghost_batch_norm", ghost_batch_size=3), **BATCH),
    Case("batch_renorm", lambda: N.BatchRenorm(5), ((6, 5, 2),), formula("batch_renorm", running=_running),
         true_gradient=False, **BATCH),
    Case("batch_renorm_affine_free", lambda: N.BatchRenorm(5, r_max=1.1, d_max=0.1, affine=False), ((6, 5),),
         formula("batch_renorm", running=_running, r_max=1.1, d_max=0.1),
         true_gradient=False, **BATCH),
    Case("batch_renorm_without_bias", lambda: N.BatchRenorm(5, bias=False), ((6, 5),),
         formula("batch_renorm", running=_running), true_gradient=False, **BATCH),
    Case("batch_renorm_closed", lambda: N.BatchRenorm(5, r_max=1, d_max=0), ((6, 5),), formula("batch_norm"), **BATCH),
    Case("group", lambda: N.GroupNorm(2, 6), ((3, 6, 2, 2),), formula("group_norm", num_groups=2),
         lambda: nn.GroupNorm(2, 6), **SAMPLE),
    Case("group_affine_free", lambda: N.GroupNorm(2, 8, affine=False), ((3, 8),), formula("group_norm", num_groups=2),
         lambda: nn.GroupNorm(2, 8, affine=False), **SAMPLE),
    Case("group_without_bias", lambda: N.GroupNorm(2, 6, bias=False), ((3, 6, 2),), formula("group_norm", num_groups=2),
         lambda: without_bias(nn.GroupNorm(2, 6)), **SAMPLE),
    Case("instance", lambda: N.InstanceNorm(4), ((3, 4, 5),), formula("instance_norm"),
         lambda: nn.InstanceNorm1d(4), **SAMPLE),
    Case("instance_tracking", lambda: N.InstanceNorm(4, affine=True, track_running_stats=True), ((3, 4, 3, 2),),
         formula("instance_norm"), lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True), **SAMPLE),
    Case("adaptive", lambda: WithGate(N.AdaptiveLayerNorm(4, 3)), ((2, 5, 4), (2, 3)), adaptive, traits=MATMUL),
    Case("qk", lambda: Logits(N.QKNorm(4), 0.5), ((5, 4), (3, 4)), qk, traits=MATMUL | {"pairs"}),
    Case("cosine_qk", lambda: Logits(N.CosineQKNorm(4), 1.0), ((5, 4), (3, 4)), cosine_qk, traits=MATMUL | {"pairs"}),
    Case("weight_norm", lambda: N.weight_norm(nn.Linear(4, 3)), ((5, 4),), weight_normed,
         lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), traits=PARAMETRIZED),
    Case("weight_standardization", lambda: N.weight_standardization(nn.Linear(4, 3)), ((5, 4),), weight_standardized,
         traits=PARAMETRIZED),
]  # fmt: skip


def cases(*traits, without=(), where=lambda case: True):
    """Parametrize a test over the cases that have all of the traits and none of ``without``."""
    chosen = [c for c in CASES if c.traits.issuperset(traits) and not c.traits.intersection(without) and where(c)]
    return pytest.mark.parametrize("case", chosen, ids=str)
