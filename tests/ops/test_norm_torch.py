"""The fused norms as operations of torch: registration, compilation, autocast, and the modules that use them."""

import os
import shutil

import pytest
import torch
from torch import nn

from resnorm_lib.norms import LayerNorm, RMSNorm
from resnorm_lib.ops import add_norm, kernels, layer_norm, rms_norm
from resnorm_lib.residual import ResidualStack, fused
from tests.ops.cases import DEVICE, needs_kernels, random

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated:DeprecationWarning")  # of torch, by torch
needs_compiler = pytest.mark.skipif(
    not shutil.which(os.environ.get("CXX", "g++")), reason="this machine has no C++ compiler, which Inductor calls"
)


def calls(dtype):
    """Each registered operation and its arguments, with and without what is optional."""
    from resnorm_lib.ops.norm.add_norm_registered import add_norm
    from resnorm_lib.ops.norm.registered import norm, norm_backward

    x, r = (random(4, 20, dtype=dtype, seed=k, grad=True) for k in range(2))
    w, b = (random(20, dtype=torch.float32, seed=k, grad=True) for k in range(2))
    wide, statistics, bare = random(4, 20, dtype=torch.float32), torch.ones(8, device=DEVICE), x.detach()
    yield norm, (x, w, b, 1e-5, False, False)
    yield norm, (x, None, None, 1e-5, True, False)
    yield add_norm, (x, r.detach().float().requires_grad_(), w, b, 1e-5, False, True, True)
    yield add_norm, (x, r, w, None, 1e-5, True, False, True)
    yield norm_backward, (bare, wide, wide, statistics, w.detach(), False, True, dtype, dtype, True, False)
    yield norm_backward, (bare, None, bare, statistics[:4], None, True, False, dtype, dtype, False, False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("number", range(6))
def test_torchs_own_check_of_an_operation_passes(dtype, number):
    torch.library.opcheck(*list(calls(dtype))[number])


class Graphs:
    """A backend that keeps the names of the operations in each graph."""

    def __init__(self):
        self.names = []

    def __call__(self, graph, inputs):
        self.names.append([str(node.target) for node in graph.graph.nodes if node.op == "call_function"])
        return graph


@needs_kernels
@pytest.mark.parametrize("which", ["layer", "rms", "add"])
def test_the_compiler_sees_one_operation(which):
    torch._dynamo.reset()
    graphs = Graphs()
    functions = {
        "layer": lambda x: layer_norm(x),
        "rms": lambda x: rms_norm(x, x[0]),
        "add": lambda x: add_norm(x, x.double())[0],
    }
    with kernels("on"):
        torch.compile(functions[which], fullgraph=True, backend=graphs)(random(2, 8, dtype=torch.float32))
    (names,) = graphs.names
    own = [name for name in names if "resnorm" in name]
    assert own == [f"resnorm.{'add_norm' if which == 'add' else 'norm'}.default"]
    assert not {"mul", "add", "rsqrt", "mean"} & {name.partition(".")[0] for name in names}


@needs_kernels
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=needs_compiler)])
@pytest.mark.no_cover
def test_compiled_code_gives_what_eager_code_gives(backend):
    torch._dynamo.reset()
    inputs = [random(*s, dtype=torch.float32, seed=k, grad=True) for k, s in enumerate([(6, 40)] * 2 + [(40,)] * 2)]

    def function(x, r, w, b):
        y, s = add_norm(x, r, w, b)
        return layer_norm(y * 2, w) + s

    with kernels("on"):
        results = []
        for run in (function, torch.compile(function, fullgraph=True, backend=backend)):
            y = run(*inputs)
            results.append((y, *torch.autograd.grad(y.square().sum(), inputs)))
    for eager, compiled in zip(*results):
        torch.testing.assert_close(compiled, eager)


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_autocast_leaves_the_dtype_of_the_input_alone(dtype):
    x, w = random(3, 8, dtype=dtype), random(8, dtype=torch.float32)
    with kernels("on"):
        expected = layer_norm(x, w), *add_norm(x, x, w)
        with torch.autocast(DEVICE, torch.bfloat16):
            ours = layer_norm(x, w), *add_norm(x, x, w)
    for a, b in zip(ours, expected):
        assert a.dtype == dtype
        assert torch.equal(a, b)


@needs_kernels
@pytest.mark.parametrize("make", [LayerNorm, RMSNorm])
@pytest.mark.parametrize("shape", [(12,), (3, 4)])
@pytest.mark.parametrize("zero_centered_gain", [False, True])
def test_modules_give_the_same_with_kernels(make, shape, zero_centered_gain):
    module = make(shape, zero_centered_gain=zero_centered_gain).to(DEVICE)
    for k, parameter in enumerate(module.parameters()):
        parameter.data += random(*shape, dtype=torch.float32, seed=k)
    x, results = random(5, *shape, dtype=torch.float32, grad=True), []
    for mode in ("off", "on"):
        with kernels(mode):
            y = module(x)
        results.append((y, *torch.autograd.grad(y.square().sum(), [x, *module.parameters()])))
    for plain, ours in zip(*results):
        torch.testing.assert_close(ours, plain)


def stack(scheme, norm="layer"):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        branches = [nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)) for _ in range(4)]
        return ResidualStack(branches, 8, scheme, norm=norm).to(DEVICE)


FUSED = {
    "pre_norm": 3,
    "post_norm": 4,
    "deep_norm": 4,
    "resi_dual": 4,
    "sub_ln": 3,
    "mix_ln": 1,
    "sandwich": 0,
    "rezero": 0,
}


@needs_kernels
@pytest.mark.parametrize("scheme", FUSED)
@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_schemes_give_the_same_with_kernels_and_fuse_what_can_be(scheme, norm, monkeypatch):
    model, x = stack(scheme, norm), random(5, 8, dtype=torch.float32)
    fused_adds, results = [], []
    for make in (LayerNorm, RMSNorm):
        original = make.after_add
        monkeypatch.setattr(make, "after_add", lambda *a, o=original, **k: (fused_adds.append(1), o(*a, **k))[1])
    for mode in ("off", "on"):
        with kernels(mode):
            y = model(x)
        results.append((y, *torch.autograd.grad(y.square().sum(), list(model.parameters()))))
    for plain, ours in zip(*results):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)  # u kappa over 4 blocks: 1e-5, and a margin
    assert len(fused_adds) == FUSED[scheme]


@needs_kernels
@pytest.mark.parametrize("where", ["norm", "block", "scheme", "global"])
def test_whoever_watches_a_module_still_sees_it(where):
    """A hook on what a fused kernel would pass by keeps the two apart."""
    model, seen = stack("pre_norm"), []
    modules = {"norm": model[2].scheme.norm, "block": model[2], "scheme": model[2].scheme}

    def hook(module, *_):
        seen.append(module)

    if where == "global":
        handle = nn.modules.module.register_module_forward_hook(hook)
    else:
        handle = modules[where].register_forward_hook(hook)
    try:
        with kernels("on"):
            model(random(5, 8, dtype=torch.float32))
    finally:
        handle.remove()
    expected = set(modules.values()) if where == "global" else {modules[where]}
    assert expected <= set(seen)


@needs_kernels
def test_a_branch_of_another_dtype_or_shape_is_not_fused():
    norm, x = LayerNorm(8).to(DEVICE), random(5, 8, dtype=torch.float32)
    with kernels("on"):
        assert fused.fuses(norm, x, x)
        assert not fused.fuses(norm, x, x.bfloat16())
        assert not fused.fuses(LayerNorm((5, 8)).to(DEVICE), x, x)
        with pytest.raises(ValueError, match="a residual add never broadcasts"):
            fused.add_then_norm(norm, x, x[:1])
    with kernels("off"):
        assert not fused.fuses(norm, x, x)
