"""Compile the kernels of DynamicTanh, Derf and GroupNorm for an H100, on any machine.

python -m tests.ops.compiled_others

It is a process of its own, since Triton either compiles or interprets. What a plan of :mod:`resnorm_lib.ops.launch`
would launch is compiled instead, and what it takes of the chip is looked at.
"""

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from resnorm_lib.ops import launch
from resnorm_lib.ops.elementwise import launch as elementwise_launch
from resnorm_lib.ops.group_norm import launch as group_norm_launch
from tests.ops.compiled_usage import resident, usage

TYPES = {torch.bfloat16: "*bf16", torch.float32: "*fp32", torch.float64: "*fp64"}
made = []


def compile_instead(plan, grid, x, *arguments):
    """Stands in for the launch: 16 divides every address, and of the integers what divides those given."""
    kernel, constants = plan.kernel, dict(plan.options)
    num_warps, maxnreg = constants.pop("num_warps", 4), constants.pop("maxnreg", None)
    signature, values, aligned = {}, {}, {}
    for place, (name, value) in enumerate(zip(kernel.arg_names, arguments)):
        if value is None or (isinstance(value, int) and value == 1):
            signature[name], values[(place,)] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            signature[name] = TYPES[value.dtype]
            aligned[(place,)] = [["tt.divisibility", 16]]
        else:
            signature[name] = "i32"
            if value % 16 == 0 and name not in ("M", "R", "PROGRAMS", "CHUNKS"):
                aligned[(place,)] = [["tt.divisibility", 16]]
    for place, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name], values[(place,)] = "constexpr", constants[name]
    signature = {name: signature[name] for name in kernel.arg_names}
    source = ASTSource(kernel, signature, values, aligned)
    options = {"num_warps": num_warps, "maxnreg": maxnreg}
    made.append((kernel, triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)))


def is_wide(ptx):
    """Return whether some access to memory moves 16 bytes at once."""
    return any(text in ptx for text in ("ld.global.v4", "v4.b32", "v2.b64", "cp.async.cg.shared.global"))


def check(what, wide):
    for kernel, compiled in made:
        name = kernel.fn.__name__
        assert compiled.metadata.shared <= 227 * 1024, (
            f"{what} {name}: {compiled.metadata.shared} bytes of shared memory"
        )
        if wide and name not in ("merge_statistics", "sum_partials"):
            assert is_wide(compiled.asm["ptx"]), f"{what} {name}: no access of 16 bytes"
        registers, spilled = usage(compiled)
        fit = resident(registers, compiled.metadata.shared, compiled.metadata.num_warps)
        print(what, name, registers, spilled, compiled.metadata.shared, fit, flush=True)
        if (
            what.startswith("tanh") and name == "backward" and "float64" not in what
        ):  # the one that is persistent; it starts two of them
            assert fit >= 2, f"{what} {name}: {fit} programs are resident"
            assert spilled <= 32, f"{what} {name}: {spilled} bytes of a thread are spilled"
        if "float64" not in what:
            assert "f64" not in compiled.asm["ptx"], f"{what} {name}: float64 in a kernel of float32"
    made.clear()


def tanhs_and_erfs(n, dtype):
    x, w, a = torch.empty(4096, n, dtype=dtype), torch.empty(n, dtype=dtype), torch.empty(1, dtype=dtype)
    for shift in (None, a):
        elementwise_launch.forward(x, a, shift, w, w)
        elementwise_launch.backward(x, x, a, shift, w, n, (True, shift is not None, True, True))
    check(f"tanh or erf {n} {dtype}", n % 8 == 0)


def groups(shape, dtype, channels_last, num_groups=32):
    x = group_norm_launch.like(torch.empty(shape, dtype=dtype), channels_last)
    w = torch.empty(shape[1], dtype=dtype)
    _, statistics = group_norm_launch.forward(x, num_groups, w, w, 1e-5)
    group_norm_launch.backward(x, x, statistics, w, num_groups, (True, True))
    side_by_side = shape[1] // num_groups if channels_last else shape[2] * shape[3]
    check(f"group norm {shape} {dtype} {'last' if channels_last else 'first'}", side_by_side % 8 == 0)


if __name__ == "__main__":
    launch.Plan.__call__ = compile_instead
    for dtype in (torch.bfloat16, torch.float32):
        for n in (4096, 5120, 1000, 77):
            tanhs_and_erfs(n, dtype)
    tanhs_and_erfs(4096, torch.float64)
    for shape in ((4, 256, 56, 56), (4, 64, 128, 128), (4, 256, 7, 7), (4, 64, 4, 4)):
        for channels_last in (False, True):
            groups(shape, torch.bfloat16, channels_last)
    groups((4, 256, 32, 32), torch.float32, False)
    groups((4, 256, 32, 32), torch.float64, False)
