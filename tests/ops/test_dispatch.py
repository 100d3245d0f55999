"""The switch between kernels and torch, what an import costs, and how launches are chosen."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from resnorm_lib.ops import (
    KernelsUnavailable,
    add_norm,
    dyt,
    group_norm,
    has_kernels,
    kernels,
    launch,
    layer_norm,
    rms_norm,
)  # fmt: skip
from resnorm_lib.ops.dispatch import uses_kernels
from tests.ops.cases import DEVICE, needs_kernels, random

ROOT = Path(__file__).resolve().parents[2]
LENGTHS = [*range(1, 40), 768, 1000, 1024, 4096, 5120, 12288, 16384, 16385, 65536, 262144]


def run(code, **environment):
    """The words that the code prints in a fresh process."""
    import os

    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | environment
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_the_switch_is_a_call_and_a_context():
    assert kernels.mode() == "auto"
    with kernels("off"):
        kernels("on")
        assert kernels.mode() == "on"
        with pytest.raises(ZeroDivisionError), kernels("auto"):
            raise ZeroDivisionError
        assert kernels.mode() == "on"
    assert kernels.mode() == "auto"


def test_another_mode_is_an_error_that_changes_nothing():
    with pytest.raises(ValueError, match=r"mode is 'of', but it must be .*'off'\. Did you mean 'off'"):
        kernels("of")
    assert kernels.mode() == "auto"


def test_automatic_means_torch_on_a_cpu_even_where_the_interpreter_could_run():
    assert not uses_kernels(torch.zeros(2, 3))


def test_off_means_torch_everywhere():
    with kernels("off"):
        assert not uses_kernels(torch.zeros(2, 3, device=DEVICE))


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64, torch.bool], ids=str)
def test_there_are_kernels_for_floating_point_alone(dtype):
    assert not has_kernels(torch.zeros(2, device=DEVICE, dtype=dtype))


def test_on_is_an_error_where_no_kernel_can_run():
    """A meta tensor has no numbers, so that no kernel can."""
    with (
        kernels("on"),
        pytest.raises(KernelsUnavailable, match=r"no kernel can run on a tensor of torch\.float32 on meta"),
    ):
        layer_norm(torch.zeros(2, 3, device="meta"))


def test_without_triton_torch_does_everything():
    code = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "triton" else find(name, *a)
sys.modules["triton"] = None
import torch
from resnorm_lib.ops import KernelsUnavailable, add_norm, kernels, layer_norm
x = torch.ones(2, 3, requires_grad=True)
add_norm(x, layer_norm(x))[0].sum().backward()
try:
    with kernels("on"):
        layer_norm(x)
except KernelsUnavailable:
    print("unavailable")
"""
    assert run(code, TRITON_INTERPRET="1") == ["unavailable"]


@pytest.mark.parametrize("use", ["", "resnorm_lib.norms.LayerNorm(3)(torch.ones(2, 3)).sum().backward()"])
def test_neither_import_nor_use_on_a_cpu_brings_triton_or_the_compiler(use):
    code = f"import sys, torch, resnorm_lib.ops, resnorm_lib.norms, resnorm_lib.residual\n{use}\nprint(*sys.modules)"
    after = set(run(code))
    assert "resnorm_lib.ops.norm.function" in after
    assert not after & {"triton", "torch._inductor", "torch._dynamo", "resnorm_lib.ops.norm.registered"}


def test_switching_compiles_anew():
    torch._dynamo.reset()
    seen = []

    def backend(graph, inputs):
        seen.append([str(node.target) for node in graph.graph.nodes if node.op == "call_function"])
        return graph

    x = random(2, 8, dtype=torch.float32)
    compiled = torch.compile(lambda x: layer_norm(x), fullgraph=True, backend=backend)
    modes = ["off", "on", "off"] if has_kernels(x) else ["off", "auto"]
    for mode in modes:
        with kernels(mode):
            compiled(x)
    assert any("resnorm" in name for graph in seen for name in graph) == has_kernels(x)
    assert len(seen) == (2 if has_kernels(x) else 1) + (DEVICE == "cuda" and not has_kernels(x))


def test_a_switch_inside_of_compiled_code_holds():
    torch._dynamo.reset()

    def function(x):
        with kernels("off"):
            return layer_norm(x)

    x = random(2, 8, dtype=torch.float32)
    y = torch.compile(function, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(y, torch.layer_norm(x, (8,)))
    assert kernels.mode() == "auto"


@needs_kernels
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # torch's own forward mode
@pytest.mark.parametrize("transform", ["vmap", "jvp", "forward mode"])
def test_what_a_registered_operation_cannot_do_torch_does(transform):
    """In automatic mode; modules that use kernels without being asked must not take away what torch can."""
    x = random(3, 4, 8, dtype=torch.float32)
    if transform == "vmap":
        y = torch.vmap(lambda x: layer_norm(x))(x)
    elif transform == "jvp":
        y, _ = torch.func.jvp(lambda x: layer_norm(x), (x,), (x,))
    else:
        with torch.autograd.forward_ad.dual_level():
            y = torch.autograd.forward_ad.unpack_dual(layer_norm(torch.autograd.forward_ad.make_dual(x, x))).primal
    torch.testing.assert_close(y, torch.layer_norm(x, (8,)))


@pytest.mark.parametrize("itemsize", [2, 4, 8])
@pytest.mark.parametrize("n", LENGTHS)
def test_every_launch_fits_the_chip(n, itemsize):
    """Threads and shared memory of an H100, of all programs that shall share a multiprocessor."""
    forward = launch._row_forward(n, itemsize)  # these, and not those for the interpreter
    every = itertools.product((2, 3), (0, 1, 2))
    backwards = {flags: launch._row_backward(n, itemsize, *flags) for flags in every}
    for config in (forward, *backwards.values()):
        for size in (config.rows, config.block, config.num_warps):
            assert size & (size - 1) == 0
        assert 4 <= config.block < max(2 * n, 32)
        assert config.chunked(n) == (n > config.block)
        assert 32 * config.num_warps <= 1024
        assert 32 * config.num_warps * config.per_sm <= 2048
        numbers = 64 if config.again else 32  # for a thread; twice as many where they are not all held at once
        assert config.rows * config.block <= numbers * 32 * config.num_warps
        assert config.registers is None or 32 * config.num_warps * config.per_sm * config.registers <= 65536
    for (tensors, *_), config in backwards.items():
        if not config.chunked(n):
            loaded_ahead = (tensors * config.rows + 1) * config.block * itemsize  # with the gain
            assert (config.num_stages - 1) * loaded_ahead * config.per_sm <= 227 * 1024


def test_programs_are_never_more_than_tiles_and_at_least_one():
    device = torch.device(DEVICE)
    assert launch.num_programs(1, device, 8) == 1
    assert 1 <= launch.num_programs(10**9, device, 2) <= 10**9


def test_forced_launches_end_with_their_context():
    before = launch.row_forward(64, 4)
    with launch.forced(rows=2, block=16):
        assert launch.row_forward(64, 4)[:2] == (2, 16)
        with launch.forced(rows=4):
            assert launch.row_forward(64, 4)[:2] == (4, 16)
    assert launch.row_forward(64, 4) == before


def test_functions_are_exported():
    import resnorm_lib.ops as ops

    assert {"add_norm", "layer_norm", "rms_norm", "kernels"} <= set(ops.__all__)
    assert add_norm is ops.add_norm


@needs_kernels
@pytest.mark.parametrize(
    "function", [layer_norm, rms_norm, lambda x: dyt(x, x.new_ones(1)), lambda x: group_norm(x, 2)]
)
def test_a_batch_of_gradients_is_the_gradients_one_by_one(function):
    x = random(3, 8, grad=True)
    dys = torch.stack([random(3, 8, seed=seed) for seed in range(4)])
    with kernels("on"):
        y = function(x)
        (batch,) = torch.autograd.grad(y, x, dys, is_grads_batched=True, retain_graph=True)
        one_by_one = [torch.autograd.grad(y, x, dy, retain_graph=True)[0] for dy in dys]
    torch.testing.assert_close(batch, torch.stack(one_by_one))


@needs_kernels
@pytest.mark.parametrize("block", [None, 8], ids=["whole", "chunked"])
@pytest.mark.parametrize("function", [layer_norm, rms_norm, lambda x: add_norm(x, x), lambda x: group_norm(x, 2)])
def test_without_gradients_the_numbers_are_the_same(function, block):
    """No statistics are stored then, and autograd does not hear of it."""
    x = random(3, 8, 20, dtype=torch.float32, grad=True)
    with kernels("on"), launch.forced(rows=1, block=block) if block else launch.forced():
        wanted = function(x)
        with torch.no_grad():
            every = function(x), function(x.detach())
    for ys in every:
        for y, right in zip(ys, wanted, strict=True):
            assert torch.equal(y, right)
            assert not y.requires_grad


@needs_kernels
def test_a_tensor_that_has_left_a_transform_is_normalized():
    kept = []
    torch.func.grad(lambda x: (kept.append(x), x.sum())[1])(random(3, 8, dtype=torch.float32))
    with kernels("on"):
        torch.testing.assert_close(layer_norm(kept[0]), layer_norm(random(3, 8, dtype=torch.float32)))
