"""From tensors to launches of the elementwise kernels. All tensors here are on one device."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from resnorm_lib._precision import statistics_dtype
from resnorm_lib.ops import launch
from resnorm_lib.ops.launch import Plan, Sums, as_rows, dense, dtypes, empty, planned

__all__ = ["backward", "columns", "forward", "row_length"]


@functools.cache
def columns(n: int) -> int:
    """Return how many columns a tile has: any number that leaves few lanes idle, since no entry needs its row.

    Examples
    --------
    >>> columns(4096), columns(768), columns(7)
    (512, 256, 16)
    """
    sizes = [size for size in (512, 256, 128) if size <= launch.next_power_of_two(n)]
    if not sizes:
        return max(16, launch.next_power_of_two(n))
    idle = {size: -n % size / n for size in sizes}
    return next((size for size in sizes if idle[size] <= 1 / 16), min(sizes, key=idle.get))


def tile(n: int, itemsize: int, numbers: int) -> launch.Rows:
    """Return a tile of ``numbers`` numbers of four bytes, or of half as many of eight.

    The backward pass keeps four sums: two programs of 256 threads share the registers of a multiprocessor. Tiles are
    small then, so that three are loaded ahead.
    """
    block = columns(int(n))
    rows = max(1, min(64, numbers // block // max(1, itemsize // 4)))
    most = launch.REGISTERS // (2 * 256)
    return launch._adjusted(launch.Rows(rows, block, num_warps=8, num_stages=4, per_sm=2, registers=most))


def row_length(x: Tensor, weight: Tensor | None) -> int:
    """Return N: as many numbers as the gain has. Without one rows do not matter, and the last axis will do."""
    return x.shape[-1] if weight is None else weight.numel()


@planned
def forward_plan(n: int, kinds: tuple, stride: int, erf: bool) -> Plan:
    from resnorm_lib.ops.elementwise import kernels

    config = tile(n, kinds[0].itemsize, 4096)
    return Plan(kernels.forward, config, N=n, X_STRIDE=stride, ERF=erf, DOUBLE=kinds[0] == torch.float64)


def forward(x: Tensor, alpha: Tensor, shift: Tensor | None, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return y, of the shape and dtype of x."""
    n = row_length(x, weight if bias is None else bias)
    (rows, stride), weight, bias, y = as_rows(x, n), dense(weight), dense(bias), empty(x)
    m = x.numel() // n if n else 0
    if m and n:
        plan = forward_plan(int(n), dtypes(x, alpha, shift, weight, bias), int(stride), shift is not None)
        programs = -(-m // plan.config.rows) * -(-n // plan.config.block)
        plan((programs, 1, 1), x, rows, alpha, shift, weight, bias, y, m)
    return y


@planned
def backward_plan(
    n: int, kinds: tuple, strides: tuple[int, ...], erf: bool, wanted: Sequence[bool]
) -> tuple[Plan, Sums, Sums]:
    """Return the plan, and the sums for alpha and shift, and for gain and bias."""
    from resnorm_lib.ops.elementwise import kernels

    config, double = tile(n, kinds[0].itemsize, 2048), kinds[0] == torch.float64
    wants = {f"WANTS_{name}": want for name, want in zip(("ALPHA", "SHIFT", "W", "B"), wanted)}
    place = {"N": n, "DY_STRIDE": strides[0], "X_STRIDE": strides[1]}
    plan, wide = Plan(kernels.backward, config, ERF=erf, DOUBLE=double, **place, **wants), statistics_dtype(kinds[0])
    return plan, Sums(1, wanted[:2], wide, wide), Sums(n, wanted[2:], wide, wide)


def backward(
    dy: Tensor, x: Tensor, alpha: Tensor, shift: Tensor | None, weight: Tensor | None, n: int, wanted: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """Return dx, and in the dtype of statistics dalpha, dshift, dw and db, each None where it is not ``wanted``."""
    (rows, stride), (dys, dy_stride), weight = as_rows(x, n), as_rows(dy, n), dense(weight)
    dx, m = empty(x), x.numel() // n if n else 0
    if not (m and n):
        sizes, wide = (1, 1, n, n), statistics_dtype(x)
        return dx, *(torch.zeros(k, dtype=wide, device=x.device) if w else None for k, w in zip(sizes, wanted))
    kinds, strides = dtypes(x, dy, alpha, shift, weight), (int(dy_stride), int(stride))
    plan, of_numbers, of_vectors = backward_plan(int(n), kinds, strides, shift is not None, wanted)
    blocks = -(-n // plan.config.block)
    # All programs together: as many as fit on the device, whichever way they share rows and columns.
    programs = launch.num_programs(-(-m // plan.config.rows) * blocks, x.device, plan.config.per_sm)
    programs = max(1, programs // blocks)
    numbers, vectors = of_numbers.room(x, programs * blocks), of_vectors.room(x, programs)
    plan((programs * blocks, 1, 1), x, dys, rows, alpha, shift, weight, dx, numbers, vectors, m, programs)
    return dx, *of_numbers.add_up(numbers, programs * blocks), *of_vectors.add_up(vectors, programs)
