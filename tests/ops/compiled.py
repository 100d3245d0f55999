"""Compile the norm kernels for an H100 on any machine: what they take of the chip, and whether loads are wide.

python -m tests.ops.compiled 4096

It is a process of its own, since Triton either compiles or interprets.
"""

import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from resnorm_lib.ops import launch, norm_kernels, norm_kernels_backward

POINTERS = {"fp32": "*fp32", "bf16": "*bf16"}
FLAGS = {"EPS": 1e-5, "ZERO_CENTERED": True, "ROUNDS": 7, "DOUBLE": False, "WIDE_STREAM": False}


def compiled(kernel, config, dtype, absent, constants):
    """The kernel for these dtypes; arguments in ``absent`` are None."""
    given = constants | FLAGS | dict.fromkeys(absent)
    given |= {"ROWS": config.rows, "BLOCK": config.block, "STAGES": config.num_stages}
    signature, values, aligned = {}, {}, {}
    for place, name in enumerate(kernel.arg_names):
        if name in given:
            signature[name], values[(place,)] = "constexpr", given[name]
        elif name == "M":
            signature[name] = "i32"
        else:
            wide = name in ("MEAN", "RSTD", "C", "DW", "DB")
            signature[name] = "*i64" if name == "SEED" else "*fp32" if wide else dtype
            aligned[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, values, aligned)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": config.num_warps})


def forward(n, dtype, rms, add, drop):
    config = launch.row_forward(n, torch.float32.itemsize if dtype == "*fp32" else 2)
    kernel = norm_kernels.norm_forward_chunked if config.chunked(n) else norm_kernels.norm_forward
    absent = ([] if add else ["R", "S"]) + ([] if drop else ["SEED", "C"]) + (["B", "MEAN"] if rms else [])
    constants = {"N": n, "X_STRIDE": n, "R_STRIDE": n, "RMS": rms, "THRESHOLD": 1 << 28, "KEEP_SCALE": 8 / 7}
    return compiled(kernel, config, dtype, absent, constants)


def backward(n, dtype, rms, add, drop):
    config = launch.row_backward(n, torch.float32.itemsize if dtype == "*fp32" else 2, 2 + add, 1 if rms else 2)
    kernels = norm_kernels_backward
    kernel = kernels.norm_backward_chunked if config.chunked(n) else kernels.norm_backward
    absent = ([] if add else ["DS"]) + ([] if drop else ["SEED", "C", "DR"]) + (["DB", "MEAN"] if rms else [])
    constants = {"N": n, "DY_STRIDE": n, "DS_STRIDE": n, "S_STRIDE": n, "THRESHOLD": 1 << 28, "KEEP_SCALE": 8 / 7}
    return compiled(kernel, config, dtype, absent, constants)


def check(n):
    for make in (forward, backward):
        for dtype in ("*bf16", "*fp32"):
            for rms, add, drop in ((False, False, False), (True, True, True), (False, True, False)):
                made = make(n, dtype, rms, add, drop)
                what = f"{make.__name__} {n} {dtype} rms={rms} add={add} drop={drop}"
                assert made.metadata.shared <= 227 * 1024, f"{what}: {made.metadata.shared} bytes of shared memory"
                ptx = made.asm["ptx"]
                wide = "ld.global.v4" in ptx or "v4.b32" in ptx or "cp.async.cg.shared.global" in ptx
                assert wide, f"{what}: no load of 16 bytes"
                print(what, made.metadata.shared)


if __name__ == "__main__":
    check(int(sys.argv[1]))
