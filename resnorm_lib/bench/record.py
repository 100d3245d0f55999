"""The record of the benchmark of operations: a document in memory, and the file that holds it."""

import importlib.metadata
import time
from pathlib import Path

import torch

from resnorm_lib.bench import memory
from resnorm_lib.bench.cases import Case
from resnorm_lib.bench.schema import VERSION
from resnorm_lib.bench.steps import Size
from resnorm_lib.bench.timing import Clock
from resnorm_lib.engine.documents import write_document
from resnorm_lib.engine.fingerprint import of_experiment
from resnorm_lib.engine.machine import machine

__all__ = ["Record", "which"]

CACHE = {
    "cuda": "cold: a buffer larger than the L2 cache is read before each call",
    "cpu": "a buffer of 32 MiB is read before each call; freed memory is kept and handed out again, where glibc is",
}
PACKAGES = {"triton": "triton", "liger": "liger-kernel", "flash_attention": "flash-attn", "quack": "quack-kernels"}


class Record:
    """The document, which is on disk and whole after every row."""

    def __init__(self, path: str | Path, device: torch.device, clock: Clock, command: str) -> None:
        self.path, self.start = path, time.monotonic()
        self.document = {
            "version": VERSION,
            "status": "running",
            "seconds": 0.0,
            "cache": CACHE[device.type],
            "machine": machine(command) | memory.describe(device, clock),
            "packages": {name: installed(package) for name, package in PACKAGES.items()},
            "code": of_experiment(__package__),
            "steps": [],
            "rows": [],
            "absent": [],
            "left_out": [],
        }
        self.write()

    def write(self, **changes) -> None:
        self.document.update(changes, seconds=round(time.monotonic() - self.start, 1))
        write_document(self.document, self.path, indent=1)

    def add(self, row: dict) -> None:
        self.document["rows"].append(row)
        self.write()

    def add_steps(self, size: Size, times: dict[str, dict]) -> None:
        """Add what :func:`~resnorm_lib.bench.steps.time_steps` returned for a model of that size."""
        self.document["steps"] += [{"model": str(size), "way": way} | time for way, time in times.items()]
        self.write()

    def add_absent(self, case: Case, version: str, reason: str) -> None:
        self.document["absent"].append(which(case, version) | {"reason": reason})
        self.write()

    def shares(self, size: int, seconds: float) -> dict[str, float | None]:
        """Return the bytes per second of a call that moves ``size`` bytes, and their share of both bandwidths."""
        peak, copy = (self.document["machine"][name] for name in ("peak_bytes_per_s", "copy_bytes_per_s"))
        speed = size / seconds
        return {"bytes_per_s": speed, "share_of_peak": speed / peak if peak else None, "share_of_copy": speed / copy}


def which(case: Case, version: str) -> dict:
    """Return the entries by which a row of the record says what was timed."""
    return {"op": case.op, "shape": list(case.shape), "dtype": case.dtype, "version": version}


def installed(package: str) -> str | None:
    """Return the version of a package, or None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
