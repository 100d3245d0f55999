"""What needs a GPU: shapes as they are trained, rows to 65,536 columns, more than 2^31 entries, graphs, two devices.

And one thing that needs none: the compiler for an H100 runs anywhere, and says what does not fit.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from resnorm_lib.ops import add_norm, kernels, layer_norm, rms_norm
from tests.ops.cases import LOW, assert_as_good_as_torch, gpu, gradients, needs_kernels, random

NORMS = {"layer": layer_norm, "rms": rms_norm}
both = pytest.mark.parametrize("norm", list(NORMS))
SHAPES = [(4096, 768), (1, 4096), (1031, 4096), (257, 5120), (513, 8192), (64, 12289), (300, 16384), (37, 32768),
          (20, 65536), (3, 131072), (100_000, 64), (70_000, 3)]  # fmt: skip
# Three columns: of one, and for LayerNorm of two, the gradient is a difference of two numbers that nearly agree.
# float16 takes the path of bfloat16, and the tables of the other tests have it: each case here is compiled anew.


def inputs(m, n, dtype, count):
    return [random(m, n, dtype=dtype, seed=k) for k in range(count)]


@gpu
@both
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_norms_of_every_size_are_as_good_as_torchs(norm, dtype, shape):
    x, dy = inputs(*shape, dtype, 2)
    w, b = (random(shape[1], dtype=dtype, seed=k) for k in range(2))
    parameters = (x, w, b) if norm == "layer" else (x, w)
    function = NORMS[norm] if norm == "layer" else lambda x, w: rms_norm(x, w, 1e-5)
    assert_as_good_as_torch(function, parameters, [dy], parameters=(1, 2))


@gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_add_norm_of_every_size_is_as_good_as_torchs(dtype, shape):
    x, r, dy, ds = inputs(*shape, dtype, 4)
    w, b = (random(shape[1], dtype=dtype, seed=k) for k in range(2))
    assert_as_good_as_torch(add_norm, (x, r, w, b), [dy, ds], parameters=(2, 3))


@gpu
@both
@pytest.mark.parametrize("n", [768, 4096, 16384, 65536])
def test_a_row_has_the_same_bits_in_a_batch_of_4096(norm, n):
    x, dy = inputs(4096 if n <= 16384 else 512, n, torch.bfloat16, 2)
    with kernels("on"):
        (y,), (dx,) = gradients(NORMS[norm], (x,), [dy])
        for rows in (slice(0, 1), slice(300, 301), slice(17, 130)):
            (part,), (dpart,) = gradients(NORMS[norm], (x[rows],), [dy[rows]])
            assert torch.equal(part, y[rows])
            assert torch.equal(dpart, dx[rows])


@gpu
@pytest.mark.parametrize("n", [4096, 40_000])
def test_offsets_past_two_to_the_31_reach_the_right_rows(n):
    m = 2**31 // n + 100
    if torch.cuda.get_device_properties(0).total_memory < 40 * 2**30:
        pytest.skip("needs 40 GB of memory")
    x = torch.empty(m, n, dtype=torch.bfloat16, device="cuda").normal_()
    with kernels("on"):
        y, s = add_norm(x, x)
        for rows in (slice(0, 4), slice(m - 4, m)):
            assert torch.equal(layer_norm(s[rows]), y[rows])
        tail = x[-8:]
        dx = torch.autograd.grad(rms_norm(x.requires_grad_()), x, x.detach())[0]
        assert torch.equal(dx[-8:], gradients(rms_norm, (tail,), [tail])[1][0])


@gpu
def test_twenty_runs_have_the_same_bits():
    x, dy = inputs(8192, 4096, torch.bfloat16, 2)
    w, b = random(4096, dtype=torch.bfloat16), random(4096, dtype=torch.bfloat16)
    with kernels("on"):
        (first, *others) = (gradients(layer_norm, (x, w, b), [dy]) for _ in range(20))
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first[0] + first[1], other[0] + other[1]))


@gpu
def test_a_cuda_graph_replays_the_kernels():
    x, r = inputs(64, 1024, torch.bfloat16, 2)
    with kernels("on"):
        add_norm(x, r)  # compiled before the capture
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y, s = add_norm(x, r)
        x.copy_(random(64, 1024, dtype=torch.bfloat16, seed=9))
        graph.replay()
        expected = add_norm(x, r)
    assert torch.equal(y, expected[0])
    assert torch.equal(s, expected[1])


@gpu
def test_a_kernel_runs_where_its_tensors_are():
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    x = torch.randn(8, 64, device="cuda:1")
    with kernels("on"):
        torch.testing.assert_close(layer_norm(x), torch.layer_norm(x, (64,)))


@gpu
def test_automatic_means_kernels_on_a_gpu_and_torch_in_float64():
    from resnorm_lib.ops.dispatch import uses_kernels

    assert all(uses_kernels(torch.zeros(2, 3, dtype=dtype, device="cuda")) for dtype in (*LOW, torch.float32))
    assert not uses_kernels(torch.zeros(2, 3, dtype=torch.float64, device="cuda"))


@needs_kernels
@pytest.mark.parametrize(
    "program", [*(("compiled", str(n)) for n in (1000, 16384, 65536, "candidates")), ("compiled_others",)]
)
def test_the_compiler_for_an_h100_takes_the_kernels(program, tmp_path):
    """Their shared memory is within 227 KiB, and they move 16 bytes at a time. A process of its own: see there."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    result = subprocess.run(
        [sys.executable, "-m", f"tests.ops.{program[0]}", *program[1:]],
        cwd=Path(__file__).resolve().parents[2],
        env=environment | {"TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
