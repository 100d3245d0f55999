"""Timing the operations, case by case: each version, forward and backward."""

import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from resnorm_lib.bench import memory
from resnorm_lib.bench.cases import Case
from resnorm_lib.bench.record import Record, which
from resnorm_lib.bench.timing import Clock
from resnorm_lib.bench.torch_versions import Absent, torch_eager
from resnorm_lib.bench.versions import VERSIONS

__all__ = ["measure"]


def measure(
    case: Case,
    clock: Clock,
    record: Record,
    versions: Sequence[str],
    graphs: bool = True,
    on_row: Callable[[dict], object] = lambda row: None,
) -> None:
    """Time both passes of all versions of a case; note a version that fails, and go on with the next one."""
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


def rows_of(case: Case, version: str, clock: Clock, record: Record, graphs: bool) -> Iterator[dict]:
    """Yield the row of the forward pass and the row of the backward pass of one version."""
    function = VERSIONS[version](case)
    inputs = case.inputs(clock.device)
    floor = case.floor(memory.processors(clock.device))
    outputs = as_tuple(function(*inputs))
    error = relative_error(case, inputs, outputs)
    generator = torch.Generator(clock.device).manual_seed(1)  # torch's own cannot be used after a capture that failed
    dys = [torch.randn(y.shape, generator=generator, dtype=y.dtype, device=y.device) for y in outputs]
    forward = lambda: function(*inputs)  # noqa: E731
    yield row_of(case, version, "forward", clock, record, lambda: forward, floor.forward, 0, graphs) | {"error": error}

    def make_backward() -> Callable[[], object]:
        leaves = [x.detach().requires_grad_() for x in inputs]  # new ones: a leaf keeps the stream of its first use
        ys = as_tuple(function(*leaves))
        return lambda: torch.autograd.grad(ys, leaves, dys, retain_graph=True)

    del outputs
    row = row_of(case, version, "backward", clock, record, make_backward, floor.backward, floor.partial, graphs)
    yield row | {"error": None}


def row_of(
    case: Case,
    version: str,
    direction: str,
    clock: Clock,
    record: Record,
    make: Callable[[], Callable[[], object]],
    size: int,
    partial: int,
    graphs: bool,
) -> dict:
    call = make()
    timed = clock.time(call)
    row = which(case, version) | {"direction": direction} | timed
    row |= {"floor_bytes": size, "partial_bytes": partial} | record.shares(size, timed["median_s"])
    row["host_s"], graph = clock.host(call), None
    if graphs and clock.is_cuda:
        graph = clock.graph(make)
        graph |= record.shares(size, graph["median_s"]) if "median_s" in graph else {}
    return row | {"graph": graph}


def as_tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def relative_error(case: Case, inputs: Sequence[Tensor], outputs: tuple[Tensor, ...], rows: int = 16) -> float:
    """Return ||y - y64|| / ||y64|| of the first rows, which shows that all versions compute the same."""
    shape = case.shape
    narrow = [(x[:rows] if x.shape == shape else x).detach().double() for x in inputs]
    exact = as_tuple(torch_eager(case)(*narrow))[0]
    y = outputs[0].detach()[:rows].double()
    return ((y - exact).norm() / exact.norm()).item()
