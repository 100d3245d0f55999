"""The memory of a device: its two ceilings, one nominal and one measured, and how a processor's is kept warm."""

import ctypes
import os
import platform

import torch

from resnorm_lib.bench.timing import Clock

__all__ = ["copy_bandwidth", "describe", "keep_memory", "peak_bandwidth", "processors"]


def processors(device: torch.device) -> int:
    """Return the number of multiprocessors of a GPU, and 1 for a CPU."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def peak_bandwidth(device: torch.device) -> float | None:
    """Return the nominal bandwidth of a GPU's memory in bytes per second, or None for a CPU.

    It is the memory clock, twice for both edges, times the width of the bus: 3.35e12 for an H100 with HBM3, which has
    2619 MHz and 5120 bits.
    """
    if device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(device)
    clock, width = (getattr(properties, name, 0) for name in ("memory_clock_rate", "memory_bus_width"))
    return 2 * clock * 1e3 * width / 8 or None


def copy_bandwidth(clock: Clock) -> float:
    """Measure a copy that is far larger than any cache, and return the bytes per second that it reads and writes."""
    size = 2**30 if clock.is_cuda else 30 * 2**20
    source = torch.ones(size // 4, dtype=torch.float32, device=clock.device)
    target = torch.empty_like(source)
    return 2 * size / clock.time(lambda: target.copy_(source))["median_s"]


def keep_memory() -> bool:
    """Let the C library keep what is freed and hand it out again, as torch does on a GPU.

    Otherwise each large tensor gets new pages from the system, which clears every page when it is first touched: that
    takes longer than the norms that are to be timed. The change holds for the rest of the process, and for tensors of
    less than 32 MiB: glibc never keeps the memory of larger ones.

    Returns
    -------
    bool
        Whether the C library could be told, which is so for glibc.
    """
    mmap_threshold, trim_threshold = (-3, 32 * 2**20), (-1, 2**31 - 1)  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of malloc.h
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if platform.system() == "Linux" else None
    done = mallopt is not None and all(mallopt(*option) == 1 for option in (mmap_threshold, trim_threshold))
    # Half a GiB at once: a freed piece may be a little short for the next tensor, for the sake of its alignment.
    [torch.ones(30 * 2**20, dtype=torch.uint8) for _ in range(18)]
    return done


def describe(device: torch.device, clock: Clock) -> dict:
    """Return what a record says of the device's memory, beside :func:`resnorm_lib.engine.machine.machine`."""
    is_cuda = device.type == "cuda"
    properties = torch.cuda.get_device_properties(device) if is_cuda else None
    return {
        "kind": device.type,
        "processors": processors(device) if is_cuda else os.cpu_count(),
        "threads": None if is_cuda else torch.get_num_threads(),
        "l2_bytes": getattr(properties, "L2_cache_size", None),
        "peak_bytes_per_s": peak_bandwidth(device),
        "copy_bytes_per_s": copy_bandwidth(clock),
    }
