"""Compile the norm kernels for an H100 on any machine: what they take of the chip, and what they do there.

python -m tests.ops.compiled 4096
python -m tests.ops.compiled candidates

It is a process of its own, since Triton either compiles or interprets.
"""

import itertools
import re
import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from resnorm_lib.bench import launches
from resnorm_lib.ops import launch
from resnorm_lib.ops.norm import kernels, kernels_backward
from tests.ops.compiled_usage import resident, usage

SIZES = {"*fp32": torch.float32.itemsize, "*bf16": torch.bfloat16.itemsize}
FLAGS = {"EPS": 1e-5, "ZERO_CENTERED": True, "DOUBLE": False, "WIDE_STREAM": False}


def compiled(kernel, config, dtype, absent, constants, capped):
    """The kernel for these dtypes; arguments in ``absent`` are None. Without its cap it is as under torch.compile."""
    given = constants | FLAGS | dict.fromkeys(absent)
    given |= {"ROWS": config.rows, "BLOCK": config.block, "STAGES": config.num_stages}
    signature, values, aligned = {}, {}, {}
    for place, name in enumerate(kernel.arg_names):
        if name in given:
            signature[name], values[(place,)] = "constexpr", given[name]
        elif name == "M":
            signature[name] = "i32"
        else:
            signature[name] = "*fp32" if name in ("STATISTICS", "PART") else dtype
            aligned[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, values, aligned)
    options = {"num_warps": config.num_warps, "maxnreg": config.registers if capped else None}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


def forward(n, dtype, rms, add, capped=True):
    """The launch and what it compiles to."""
    config = launch.row_forward(n, SIZES[dtype])
    kernel = kernels.norm_forward_chunked if config.chunked(n) else kernels.norm_forward
    absent = ([] if add else ["R", "S"]) + (["B"] if rms else [])
    constants = {"N": n, "X_STRIDE": n, "R_STRIDE": n, "RMS": rms}
    return config, compiled(kernel, config, dtype, absent, constants, capped)


def backward(n, dtype, rms, add, capped=True):
    config = launch.row_backward(n, SIZES[dtype], 2 + add, 1 if rms else 2)
    return config, backward_as(config, n, dtype, rms, add, capped)


def backward_as(config, n, dtype, rms, add, capped=True):
    kernel = kernels_backward.norm_backward_chunked if config.chunked(n) else kernels_backward.norm_backward
    absent = ([] if add else ["DS"]) + ["DR"]
    constants = {"N": n, "DY_STRIDE": n, "DS_STRIDE": n, "S_STRIDE": n}
    constants |= {"RMS": rms, "WANTS_W": True, "WANTS_B": not rms}
    constants |= {} if config.chunked(n) else {"AGAIN": config.again}
    return compiled(kernel, config, dtype, absent, constants, capped)


def most_spilled(n):
    """Bytes a thread may spill. A few, of which the compiler thinks that they are worth it, cost nothing.

    Where a row of 16,384 is loaded again beside its sums, what 256 threads spill must fit into the first cache (256 KB)
    with three tensors of it in float32: 256 bytes of each are the 64 KB that are left.
    """
    return 256 if n > 8192 else 32


def check(n):
    for make, dtype in itertools.product((forward, backward), SIZES):
        for rms, add in ((False, False), (True, True), (False, True)):
            for capped in (True, False) if make is backward else (True,):
                config, made = make(n, dtype, rms, add, capped)
                what = f"{make.__name__} {n} {dtype} rms={rms} add={add} capped={capped}"
                check_one(what, n, config, made, capped)


def check_one(what, n, config, made, capped):
    registers, spilled = usage(made)
    fit = resident(registers, made.metadata.shared, config.num_warps)
    print(f"{what}: {registers} registers, {spilled} bytes spilled, {made.metadata.shared} shared, {fit} resident")
    code = made.asm["ptx"]
    assert made.metadata.shared <= 227 * 1024, f"{what}: {made.metadata.shared} bytes of shared memory"
    wanted = launch.REGISTERS // (32 * config.num_warps * config.registers) if capped and config.registers else 1
    assert fit >= max(config.per_sm, wanted), f"{what}: {fit} programs are resident of {config.per_sm} or {wanted}"
    assert spilled <= most_spilled(n), f"{what}: {spilled} bytes of a thread are spilled"
    assert re.search(r"ld\.global\S*\.v4|cp\.async\.cg\.shared\.global", code), f"{what}: no load of 16 bytes"
    assert "st.global.v4" in code, f"{what}: no store of 16 bytes"
    assert "f64" not in code, f"{what}: float64 in a kernel of float32"


def check_candidates():
    """Of the launches that only a GPU can choose between. LayerNorm needs the most registers."""
    for (op, n), configs in launches.CANDIDATES.items():
        for config in configs if op == "layer_norm" else ():
            made = backward_as(config, n, "*bf16", False, False)
            check_one(f"{op} {n} {config}", n, config, made, True)
            assert usage(made)[1] <= 32, f"{op} {n} {config}: more than a few bytes of a thread are spilled"


if __name__ == "__main__":
    check_candidates() if sys.argv[1] == "candidates" else check(int(sys.argv[1]))
