"""Where the times were taken: device, versions, and two ceilings of the memory, one nominal and one measured."""

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import torch

import resnorm_lib

__all__ = ["copy_bandwidth", "describe", "keep_memory", "peak_bandwidth", "processors"]

PACKAGES = {"triton": "triton", "liger": "liger-kernel", "flash_attention": "flash-attn", "quack": "quack-kernels"}


def processors(device):
    """Multiprocessors of a GPU; 1 for a CPU."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def peak_bandwidth(device):
    """Bytes per second of the device's memory: clock, twice for both edges, times the width of the bus. None on a CPU.

    That is 3.35e12 for an H100 with HBM3: 2619 MHz and 5120 bits.
    """
    if device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(device)
    clock, width = (getattr(properties, name, 0) for name in ("memory_clock_rate", "memory_bus_width"))
    return 2 * clock * 1e3 * width / 8 or None


def copy_bandwidth(clock):
    """Bytes per second, read and written, of a copy within the memory of the device that is far larger than a cache."""
    size = 2**30 if clock.is_cuda else 30 * 2**20
    source = torch.ones(size // 4, dtype=torch.float32, device=clock.device)
    target = torch.empty_like(source)
    return 2 * size / clock.time(lambda: target.copy_(source))["median_s"]


def keep_memory():
    """Let the C library keep what is freed and hand it out again, as torch does on a GPU.

    Otherwise each large tensor gets new pages from the system, which clears every one of them when it is first
    touched: that takes longer than the norms that are to be timed. It holds for the whole process, from now on, and
    for tensors of less than 32 MiB: of larger ones glibc never keeps the memory.

    Returns
    -------
    bool
        Whether it could be told: glibc can.
    """
    mmap_threshold, trim_threshold = (-3, 32 * 2**20), (-1, 2**31 - 1)  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of malloc.h
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if platform.system() == "Linux" else None
    done = mallopt is not None and all(mallopt(*option) == 1 for option in (mmap_threshold, trim_threshold))
    # Half a GiB at once: a freed piece may be a little short for the next tensor, for the sake of its alignment.
    [torch.ones(30 * 2**20, dtype=torch.uint8) for _ in range(18)]
    return done


def driver():
    """The version of NVIDIA's driver, if its tool is there and answers."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.splitlines()
        return lines[0].strip() if lines else None
    return None


def processor_name():
    if platform.system() == "Linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(": ")[2]
    return platform.processor() or platform.machine()


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def describe(device, clock):
    """What the record says about the machine."""
    is_cuda = device.type == "cuda"
    properties = torch.cuda.get_device_properties(device) if is_cuda else None
    return {
        "device": properties.name if is_cuda else processor_name(),
        "kind": device.type,
        "processors": processors(device) if is_cuda else os.cpu_count(),
        "l2_bytes": getattr(properties, "L2_cache_size", None),
        "peak_bytes_per_s": peak_bandwidth(device),
        "copy_bytes_per_s": copy_bandwidth(clock),
        "driver": driver() if is_cuda else None,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "resnorm_lib": resnorm_lib.__version__,
        "packages": {name: version(package) for name, package in PACKAGES.items()},
        "threads": None if is_cuda else torch.get_num_threads(),
    }
