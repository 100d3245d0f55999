"""What a compiled kernel takes of a multiprocessor of an H100, read from its machine code by the tools in Triton."""

import re
import subprocess
import tempfile
from pathlib import Path

import triton

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
REGISTERS, SHARED, THREADS, BLOCKS = 65536, 228 * 1024, 2048, 32  # of a multiprocessor; CUDA Programming Guide


def usage(compiled):
    """Registers of a thread, and bytes of its stack: what did not fit into registers, and is stored and read again."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        command = [TOOLS / "cuobjdump", "--dump-resource-usage", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return tuple(int(re.search(rf"{what}:(\d+)", text)[1]) for what in ("REG", "STACK"))


def resident(registers, shared, num_warps):
    """How many programs one multiprocessor holds at a time.

    Registers are dealt out by 8 to a thread, from four files, one for each fourth of the warps; a program takes a
    kilobyte of shared memory for itself.
    """
    warps = 4 * (REGISTERS // 4 // (32 * 8 * -(-registers // 8)))
    return min(warps // num_warps, SHARED // (shared + 1024), THREADS // (32 * num_warps), BLOCKS)
