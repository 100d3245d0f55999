"""Measuring cases one by one, and a record on disk that is whole after every row."""

import contextlib
import gc
import json
import os
import time
from datetime import date
from pathlib import Path

import torch

from resnorm_lib.bench import machine
from resnorm_lib.bench.schema import VERSION
from resnorm_lib.bench.torch_versions import Absent, torch_eager
from resnorm_lib.bench.versions import VERSIONS

__all__ = ["Record", "measure"]

CACHE = {
    "cuda": "cold: a buffer larger than the L2 cache is read before each call",
    "cpu": "a buffer of 32 MiB is read before each call; freed memory is kept and handed out again, where glibc is",
}


class Record:
    """The document, and the file that holds it. Every change goes to a second file first, and then takes its place."""

    def __init__(self, path, device, clock, command):
        self.path, self.start = Path(path), time.monotonic()
        self.document = {
            "schema": VERSION,
            "command": command,
            "date": date.today().isoformat(),
            "status": "running",
            "seconds": 0.0,
            "cache": CACHE[device.type],
            "machine": machine.describe(device, clock),
            "steps": [],
            "rows": [],
            "absent": [],
            "left_out": [],
        }
        self.write()

    def write(self, **changes):
        self.document.update(changes, seconds=round(time.monotonic() - self.start, 1))
        beside = self.path.with_name(self.path.name + ".part")
        beside.write_text(json.dumps(self.document, indent=1) + "\n")
        os.replace(beside, self.path)

    def add(self, row):
        self.document["rows"].append(row)
        self.write()

    def add_steps(self, size, summary):
        """What :func:`~resnorm_lib.bench.steps.time_steps` returns."""
        self.document["steps"] += [{"model": str(size), "way": way} | times for way, times in summary.items()]
        self.write()

    def add_absent(self, case, version, reason):
        self.document["absent"].append(which(case, version) | {"reason": reason})
        self.write()

    def shares(self, size, seconds):
        peak, copy = (self.document["machine"][name] for name in ("peak_bytes_per_s", "copy_bytes_per_s"))
        speed = size / seconds
        return {"bytes_per_s": speed, "share_of_peak": speed / peak if peak else None, "share_of_copy": speed / copy}


def which(case, version):
    return {"op": case.op, "shape": list(case.shape), "dtype": case.dtype, "version": version}


def measure(case, clock, record, versions, graphs=True, on_row=lambda row: None):
    """Time both passes of all versions of a case; a version that fails is noted, and the next one follows."""
    for version in versions:
        try:
            for row in rows_of(case, version, clock, record, graphs):
                record.add(row)
                on_row(row)
        except Absent as reason:
            record.add_absent(case, version, str(reason))
        except Exception as error:  # other people's kernels, compilers, memory: one failure must not end the run
            text = str(error).splitlines() or [""]
            record.add_absent(case, version, f"{type(error).__name__}: {text[0]}"[:300])
        gc.collect()
        if clock.is_cuda:
            with contextlib.suppress(RuntimeError):
                torch.cuda.empty_cache()


def rows_of(case, version, clock, record, graphs):
    """The forward row and the backward row of one version."""
    function = VERSIONS[version](case)
    inputs = case.inputs(clock.device)
    floor = case.floor(machine.processors(clock.device))
    outputs = as_tuple(function(*inputs))
    error = relative_error(case, inputs, outputs)
    dys = [torch.randn_like(y) for y in outputs]
    forward = lambda: function(*inputs)  # noqa: E731
    yield row_of(case, version, "forward", clock, record, lambda: forward, floor.forward, 0, graphs) | {"error": error}

    def make_backward():
        ys = as_tuple(function(*inputs))
        return lambda: torch.autograd.grad(ys, inputs, dys, retain_graph=True)

    del outputs
    row = row_of(case, version, "backward", clock, record, make_backward, floor.backward, floor.partial, graphs)
    yield row | {"error": None}


def row_of(case, version, direction, clock, record, make, size, partial, graphs):
    call = make()
    timed = clock.time(call)
    row = which(case, version) | {"direction": direction} | timed
    row |= {"floor_bytes": size, "partial_bytes": partial} | record.shares(size, timed["median_s"])
    row["host_s"], graph = clock.host(call), None
    if graphs and clock.is_cuda:
        graph = clock.graph(make)
        graph |= record.shares(size, graph["median_s"]) if "median_s" in graph else {}
    return row | {"graph": graph}


def as_tuple(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)


def relative_error(case, inputs, outputs, rows=16):
    """||y - y64|| / ||y64|| of the first rows: that all versions compute the same. None where dropout is random."""
    if case.op.endswith("dropout"):
        return None
    shape = case.shape
    narrow = [(x[:rows] if x.shape == shape else x).detach().double() for x in inputs]
    exact = as_tuple(torch_eager(case)(*narrow))[0]
    y = outputs[0].detach()[:rows].double()
    return ((y - exact).norm() / exact.norm()).item()
