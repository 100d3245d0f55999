"""Other launches of the norms' backward kernels for long rows, timed beside the library's own.

Above 8,192 columns the two sums of LayerNorm take so many registers that a row is read twice: whole, or in chunks.
Which launch is best only a GPU can say. ``CANDIDATES`` holds launches that spill nothing, or next to nothing, when
ptxas compiles them for an H100 (``tests/ops/compiled.py`` looks), and :func:`bound` says how much of the peak the bytes
of each allow.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import torch

from resnorm_lib.bench import memory
from resnorm_lib.bench.floors import FLOORS
from resnorm_lib.bench.timing import Clock
from resnorm_lib.ops import launch
from resnorm_lib.ops.launch import Rows
from resnorm_lib.ops.norm import launch as norm_launch
from resnorm_lib.ops.norm.torch_version import Settings

__all__ = ["CANDIDATES", "bound", "measure"]

LONG = (
    Rows(2, 4096, 16, num_stages=2, registers=128),  # the fewer rows, the more of them fit into the L2 cache
    Rows(2, 4096, 16, num_stages=2, per_sm=2, registers=64),
    Rows(8, 2048, 16, num_stages=2, registers=128),  # the more rows, the fewer times their sums are stored
    Rows(16, 1024, 16, num_stages=2, registers=128),
)
CANDIDATES: dict[tuple[str, int], tuple[Rows, ...]] = {
    ("layer_norm", 16384): (Rows(1, 16384, 16, registers=128, again=True), *LONG),
    ("layer_norm", 65536): LONG,
    ("layer_norm", 32768): LONG,
    ("rms_norm", 65536): LONG,
    ("rms_norm", 32768): LONG,
}
L2_BYTES = 50 * 2**20  # of an H100


def bound(op: str, m: int, n: int, config: Rows, programs: int, itemsize: int = 2) -> float:
    """Return the share of the peak that a launch reaches at most, if it waits for the device's memory alone.

    The floor counts each number once. What a chunked launch reads a second time comes from the memory where the rows
    that all programs hold do not fit into the L2 cache; so do the sums of a program, which it stores and loads for
    each tile.

    Examples
    --------
    >>> rows = Rows(4, 2048, 16)
    >>> [round(bound("layer_norm", 2**26 // n, n, rows, 132), 2) for n in (16384, 65536)]
    [1.0, 0.5]
    """
    floor = FLOORS[op](m, n, itemsize, itemsize, programs).backward
    if not config.chunked(n):
        return 1.0
    held, sums = 2 * programs * config.rows * n * itemsize, (2 if op == "layer_norm" else 1) * n * 4
    again = 2 * m * n * itemsize if held > L2_BYTES else 0
    again += 2 * sums * (m // config.rows) if sums * programs > L2_BYTES else 0
    return floor / (floor + again)


def measure(
    clock: Clock,
    candidates: Mapping[tuple[str, int], Sequence[Rows]] = CANDIDATES,
    entries: int = 2**26,
    budget: float = float("inf"),
    on_row: Callable[[dict], object] = lambda row: None,
) -> list[dict]:
    """Return a row of the record for the library's launch and for each candidate, as far as the budget reaches.

    Parameters
    ----------
    clock : Clock
    candidates : mapping
        Launches by operation and length of a row.
    entries : int
        Numbers of a tensor.
    budget : float
        Seconds after which no further launch is begun.
    on_row : callable
        Called with each row.

    Returns
    -------
    list of dict
        With the operation, the shape, the launch (None: the library's), the quartiles of its time, its share of the
        peak, the ``bound`` of that, and how far its gradient of x is from the library's.
    """
    rows: list[dict] = []
    end, peak = time.monotonic() + budget, memory.peak_bandwidth(clock.device)
    for (op, n), configs in candidates.items():
        call = backward_of(op, entries // n, n, clock.device)
        expected = call()[0].double()
        own = launch.row_backward(n, 2, 2, 2 if op == "layer_norm" else 1)
        for config in (None, *configs):
            if time.monotonic() > end:
                return rows
            programs = memory.processors(clock.device) * (config or own).per_sm
            row = {"op": op, "shape": [entries // n, n], "launch": config and config._asdict()}
            row["bound"] = bound(op, entries // n, n, config or own, programs)
            with launch.forced(**(config or own)._asdict()):
                try:
                    row["error"] = ((call()[0].double() - expected).norm() / expected.norm()).item()
                    row |= clock.time(call)
                except RuntimeError as error:  # a launch that the chip refuses ends no other
                    row["reason"] = str(error).splitlines()[0]
            size = FLOORS[op](entries // n, n, 2, 2, memory.processors(clock.device)).backward
            row["share_of_peak"] = size / row["median_s"] / peak if peak and "median_s" in row else None
            rows.append(row)
            on_row(row)
    return rows


def backward_of(op: str, m: int, n: int, device: torch.device) -> Callable[[], tuple]:
    """Return the backward pass of a norm of bfloat16 alone, as a function of nothing."""
    generator = torch.Generator(device).manual_seed(0)
    x, dy, w = (torch.randn(s, generator=generator, device=device).bfloat16() for s in ((m, n), (m, n), (n,)))
    rms = op == "rms_norm"
    settings, dtype = Settings(1e-5, rms, False), x.dtype
    statistics = norm_launch.forward(x, None, w, None, settings)[2]
    return lambda: norm_launch.backward(dy, None, x, statistics, w, settings, dtype, dtype, (True, not rms))
