"""Choose how a kernel is launched: plain functions from row length and dtype to tile, warps and number of programs.

No autotuner: it would measure on the user's first step, choose by the number of rows (so that a row's result would
depend on its batch), and fail in Triton's interpreter. The numbers here were chosen by counting: bytes in flight,
registers for each thread, shared memory for each stage.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from resnorm_lib.ops import dispatch

__all__ = [
    "Plan",
    "Rows",
    "Sums",
    "as_rows",
    "dense",
    "dtypes",
    "empty",
    "forced",
    "forget_plans",
    "next_power_of_two",
    "num_programs",
    "planned",
    "row_backward",
    "row_forward",
]


class Rows(NamedTuple):
    """A launch of a kernel that works on rows. It depends on their length and dtype, never on the number of rows."""

    rows: int  # of a tile
    block: int  # columns of a tile, a power of two
    num_warps: int
    num_stages: int = 1  # of a loop; one less is how many tiles are loaded ahead
    per_sm: int = 1  # programs for each multiprocessor, where a kernel is persistent
    registers: int | None = None  # the most that a thread may have
    again: bool = False  # whether a row is loaded a second time, because it does not fit into registers beside its sums

    def chunked(self, n: int) -> bool:
        """Return whether a row of length n is longer than the tile, so that it is read in chunks."""
        return n > self.block


def next_power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length() if n > 1 else 1


_forced: dict[str, Any] = {}  # fields that tests replace, to reach every path with small tensors
_planners: list[Any] = []  # functions with a cache


def planned(function: Callable) -> Callable:
    """Keep what ``function`` returns for each combination of its arguments: what a launch looks up, not works out."""
    function = functools.cache(function)
    _planners.append(function)
    return function


def forget_plans() -> None:
    """Work every launch out anew."""
    for function in _planners:
        function.cache_clear()


@contextlib.contextmanager
def forced(programs: int | None = None, **fields: Any) -> Iterator[None]:
    """Replace fields of every :class:`Rows`, and the number of programs, within the context. For tests."""
    before = dict(_forced)
    _forced.update(fields, programs=programs)
    forget_plans()
    try:
        yield
    finally:
        _forced.clear()
        _forced.update(before)
        forget_plans()


def _adjusted(config: Rows) -> Rows:
    if dispatch.INTERPRETED:  # its time grows with the number of programs, hardly with that of elements
        config = config._replace(rows=max(config.rows, 8))
    fields = {key: value for key, value in _forced.items() if key in Rows._fields}
    return config._replace(**fields) if fields else config


def row_forward(n: int, itemsize: int) -> Rows:
    """Return the launch of a forward pass over rows of length ``n``, of which the widest tensor has ``itemsize``."""
    return _adjusted(_row_forward(int(n), itemsize))


def row_backward(n: int, itemsize: int, tensors: int = 2, sums: int = 2) -> Rows:
    """Return the launch of a persistent backward pass that reads ``tensors`` tensors of that length in its loop.

    It keeps ``sums`` sums over rows: 2 for LayerNorm with a gain and a bias, 1 for RMSNorm with a gain.
    """
    return _adjusted(_row_backward(int(n), itemsize, tensors, sums))


REGISTERS = 65536  # of 4 bytes, in a multiprocessor of an H100
SHARED = 220 * 1024  # bytes of shared memory there, less a reserve


@functools.cache
def _row_forward(n: int, itemsize: int) -> Rows:
    # A row of at most this length stays in registers between its two passes: 32 numbers a thread.
    block = min(max(16, next_power_of_two(n)), 32768 if itemsize <= 4 else 8192)
    rows = max(1, min(16, 2048 // block))  # short rows share a program, or it would have too few bytes in flight
    if n > block:
        return Rows(1, 8192 if itemsize <= 4 else 4096, 16, num_stages=2)
    num_warps = max(4, min(32, rows * block // 1024))
    # Two programs of 512 threads must share a multiprocessor, so that one loads while the other adds up. For LayerNorm
    # the compiler would take half as many registers again, only to load gain and bias sooner.
    return Rows(rows, block, num_warps, registers=REGISTERS // 1024 if num_warps == 16 else None)


@functools.cache
def _row_backward(n: int, itemsize: int, tensors: int, sums: int) -> Rows:
    block = max(16, next_power_of_two(n))
    wide = max(4, itemsize)
    most = 0.8 * 4 * REGISTERS
    if block > 16384 or block * wide * sums > most:  # the sums alone take all registers: a row is read in chunks
        block = 4096 if n <= 16384 else 2048
        return Rows(2 if n <= 16384 else 4, block * 4 // wide, 16, num_stages=2, registers=REGISTERS // 512)
    if block * (wide * (sums + 1) + itemsize * tensors) > most:  # no room for a row beside its sums
        return Rows(1, block, 8, registers=255, again=True)
    # 16 numbers of each tensor and of each sum for a thread: with more the compiler runs out of registers, and with
    # fewer there would be more programs, whose partial sums are written and read again.
    rows = max(1, min(16, (4096 if block == 2048 else 8192 if block == 4096 else 2048) // block))
    tile = (tensors * rows + 1) * block * itemsize  # bytes that a stage loads ahead: the gain, too
    num_warps = max(4, min(16, rows * block // 512))
    per_sm = max(1, 16 // num_warps)  # 512 threads with 128 registers
    fit = min(3, 1 + SHARED // (tile * per_sm)) if n * itemsize % 4 == 0 else 1  # no less than 4 bytes are copied ahead
    num_stages = 1 if block == 16384 else fit
    return Rows(rows, block, num_warps, num_stages, per_sm, registers=REGISTERS // (32 * num_warps * per_sm))


current_device = getattr(torch._C, "_cuda_getDevice", None)  # a torch without CUDA has neither
current_stream = getattr(torch._C, "_cuda_getCurrentRawStream", None)


def num_programs(tiles: int, device: torch.device, per_sm: int = 1) -> int:
    """Return how many persistent programs share ``tiles`` tiles: at most ``per_sm`` for each multiprocessor."""
    return min(tiles, _most_programs(device, per_sm))


@planned
def _most_programs(device: torch.device, per_sm: int) -> int:
    if _forced.get("programs"):
        return _forced["programs"]
    return per_sm * torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 3


def as_rows(x: Tensor | None, n: int) -> tuple[Tensor | None, int]:
    """Return ``x`` as rows of n numbers that lie next to each other, and the distance of rows: a view, else a copy.

    None gives None and 0.
    """
    if x is None:
        return None, 0
    if x.is_contiguous():
        return x, n
    x = x.reshape(x.numel() // n if n else 0, n)
    x = x if x.stride(1) == 1 or n == 1 else x.contiguous()
    return x, x.stride(0)


def dense(x: Tensor | None) -> Tensor | None:
    """Return ``x`` with its numbers next to each other. None stays None."""
    return None if x is None else x.contiguous()


def empty(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return a tensor of the shape of ``x``, its numbers next to each other."""
    if dtype is None and x.is_contiguous():
        return torch.empty_like(x)  # to name a layout takes half as long again
    return torch.empty_like(x, dtype=dtype, memory_format=torch.contiguous_format)


def dtypes(*tensors: Tensor | None) -> tuple[torch.dtype | None, ...]:
    """Return the dtype of each tensor, None for None: by them a plan is looked up."""
    return tuple([None if x is None else x.dtype for x in tensors])  # of a list: a generator takes twice the time


class Plan:
    """A kernel, its constants, and what Triton has compiled of them. Calling it launches a grid of programs.

    Triton's own launch looks at every argument anew, on each call, to find the code that fits: 100 us of the processor
    or more. That code depends on whether pointers are divisible by 16, and integers below 2^31; on nothing else, since
    constants, dtypes, which arguments are None, and the integers that Triton specializes are those of the plan. So
    where both hold it is kept and run at once, in the versions of Triton in which that has been tried, unless a
    profiler has hooked itself into launches.
    """

    direct: bool | None = None  # whether kept code is run; unknown until the first launch

    def __init__(self, kernel: Any, config: Rows | None = None, **constants: Any) -> None:
        if config is not None:
            constants.update(ROWS=config.rows, BLOCK=config.block, STAGES=config.num_stages)
            constants.update(num_warps=config.num_warps, maxnreg=config.registers)
        self.kernel, self.config, self.options = kernel, config, constants
        self.constants = tuple(constants[name] for name in kernel.arg_names if name in constants)
        self.kept: dict[int, tuple] = {}  # by device

    def __call__(self, grid: tuple[int, int, int], x: Tensor, *arguments: Any) -> None:
        """Launch on the device of ``x``. A traced operation gets the kernel as a node of its graph."""
        if dispatch.INTERPRETED:
            self.kernel[grid](*arguments, **self.options)
        elif dispatch.is_traced(x):  # torch's tracer knows no maxnreg; it changes nothing but the speed
            options = {name: value for name, value in self.options.items() if name != "maxnreg"}
            torch.library.wrap_triton(self.kernel)[grid](*arguments, **options)
        elif (index := x.device.index) == current_device():
            self._launch(grid, index, arguments)
        else:  # Triton launches on the current device, wherever its arguments are
            with torch.cuda.device(index):
                self._launch(grid, index, arguments)

    def _launch(self, grid: tuple[int, int, int], index: int, arguments: tuple) -> None:
        bits, places = 0, []
        for argument in arguments:
            if argument is None:
                places.append(None)
            elif argument.__class__ is int:
                bits |= argument >= 2**31
                places.append(argument)
            else:
                place = argument.data_ptr()  # which the launch would ask for, and the driver whose it is
                bits |= place
                places.append(place)
        if bits % 16 or not (self.direct or runs_kept_code()) or is_observed():
            self._launch_by_triton(grid, arguments)
        elif index not in self.kept:
            compiled = self._launch_by_triton(grid, arguments)
            # Triton unloads code from the device (3.8 on) when nothing holds ``compiled`` any more.
            self.kept[index] = compiled.run, compiled.function, compiled.packed_metadata, compiled
        else:
            run, function, packed, _ = self.kept[index]
            try:
                run(*grid, current_stream(index), function, packed, None, None, None, *places, *self.constants)
            except TypeError:
                Plan.direct = False
                self.kept.clear()
                self._launch_by_triton(grid, arguments)

    def _launch_by_triton(self, grid: tuple[int, ...], arguments: tuple) -> Any:
        return self.kernel[grid](*arguments, **self.options)


# Versions of Triton whose launcher has brought the same to the driver for what was kept as for a launch by Triton. That
# was tried with every kernel and 3.6.0, 3.7.1, 3.8.0 and 3.9.0, on a driver that stands in for a GPU's
# (tests/ops/launched.py); 3.6.0 has run what was kept on an H100, too. In any other version Triton launches itself.
TRIED = ("3.6.", "3.7.", "3.8.", "3.9.")


def runs_kept_code() -> bool:
    """Return whether compiled code is kept and run at once, in this version of Triton."""
    if Plan.direct is None:
        import triton

        Plan.direct = triton.__version__.startswith(TRIED)
    return Plan.direct


def is_observed() -> bool:
    """Return whether somebody, a profiler say, is to be told of each launch."""
    runtime = sys.modules["triton"].knobs.runtime
    return bool(runtime.launch_enter_hook.calls or runtime.launch_exit_hook.calls)


class Sums:
    """Sums over rows, of which the ``wanted`` of two are formed: room for those of each program, and what adds them up.

    ``wide`` is the dtype of statistics, in which a program sums; ``dtype`` that of the result.
    """

    def __init__(self, n: int, wanted: Sequence[bool], wide: torch.dtype, dtype: torch.dtype) -> None:
        from resnorm_lib.ops.kernel_tools import sum_partials

        # The interpreter of Triton 3.2 stores a block of one number whatever its mask says.
        block = 32 if not dispatch.INTERPRETED else min(1024, max(32, next_power_of_two(n)))
        self.n, self.wide, self.dtype = n, wide, dtype
        self.first, self.count = bool(wanted[0]), wanted[0] + wanted[1]
        self.grid = (-(-n // block), self.count, 1)
        self.plan = Plan(sum_partials, N=n, BLOCK=block, STEP=32)

    def room(self, x: Tensor, programs: int) -> Tensor | None:
        """Return an empty tensor of 1 or 2 times programs times n numbers, or None where no sum is wanted."""
        return x.new_empty(self.count * programs * self.n, dtype=self.wide) if self.count else None

    def add_up(self, part: Tensor | None, programs: int) -> tuple[Tensor | None, Tensor | None]:
        """Return both sums over the programs, each None where it is not wanted."""
        if part is None:
            return None, None
        total = part.new_empty(self.n, dtype=self.dtype)
        second = part.new_empty(self.n, dtype=self.dtype) if self.count == 2 else None
        self.plan(self.grid, part, part, total, second, programs)
        return (total, second) if self.first else (None, total)
