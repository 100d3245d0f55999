"""From tensors to launches of the elementwise kernels. All tensors here are on one device."""

import functools

import torch

from resnorm_lib._precision import statistics_dtype
from resnorm_lib.ops import launch
from resnorm_lib.ops.launch import as_rows, dense

__all__ = ["backward", "columns", "forward", "row_length"]


@functools.cache
def columns(n):
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


def tile(n, itemsize, numbers):
    """Return a tile of ``numbers`` numbers of four bytes, or of half as many of eight.

    The backward pass keeps four sums: two programs of 256 threads share the registers of a multiprocessor. Tiles are
    small then, so that three are loaded ahead.
    """
    block = columns(int(n))
    rows = max(1, min(64, numbers // block // max(1, itemsize // 4)))
    most = launch.REGISTERS // (2 * 256)
    return launch._adjusted(launch.Rows(rows, block, num_warps=8, num_stages=4, per_sm=2, registers=most))


def row_length(x, weight):
    """Return N: as many numbers as the gain has. Without one rows do not matter, and the last axis will do."""
    return x.shape[-1] if weight is None else weight.numel()


def forward(x, alpha, shift, weight, bias):
    """Return y, of the shape and dtype of x."""
    from resnorm_lib.ops.elementwise import kernels

    n = row_length(x, weight if bias is None else bias)
    rows, y = as_rows(x, n), torch.empty(x.shape, dtype=x.dtype, device=x.device)
    m = rows.shape[0]
    config = tile(n, x.element_size(), 4096)
    if m and n:
        programs = -(-m // config.rows) * -(-n // config.block)
        launch.start(
            kernels.forward, programs, config, x,
            rows, alpha, shift, dense(weight), dense(bias), y, m,
            N=n, X_STRIDE=rows.stride(0), ERF=shift is not None, DOUBLE=x.dtype == torch.float64,
        )  # fmt: skip
    return y


def backward(dy, x, alpha, shift, weight, n, wanted):
    """Return dx, and in the dtype of statistics dalpha, dshift, dw and db, each None where it is not ``wanted``."""
    from resnorm_lib.ops.elementwise import kernels

    rows, dys, dx = as_rows(x, n), as_rows(dy, n), torch.empty(x.shape, dtype=x.dtype, device=x.device)
    m, wide = rows.shape[0], statistics_dtype(x)
    if not (m and n):
        sizes = (1, 1, n, n)
        return dx, *(torch.zeros(k, dtype=wide, device=x.device) if w else None for k, w in zip(sizes, wanted))
    config = tile(n, x.element_size(), 2048)
    blocks = -(-n // config.block)
    # All programs together: as many as fit on the device, whichever way they share rows and columns.
    programs = launch.num_programs(-(-m // config.rows) * blocks, x.device, config.per_sm)
    programs = max(1, programs // blocks)
    scalars = torch.empty((sum(wanted[:2]), programs * blocks, 1), dtype=wide, device=x.device)
    vectors = torch.empty((sum(wanted[2:]), programs, n), dtype=wide, device=x.device)
    parts = [part for pair, two in ((scalars, wanted[:2]), (vectors, wanted[2:])) for part in launch.halves(pair, two)]
    launch.start(
        kernels.backward, programs * blocks, config, x,
        dys, rows, alpha, shift, dense(weight), dx, *parts, m, programs,
        N=n, DY_STRIDE=dys.stride(0), X_STRIDE=rows.stride(0), ERF=shift is not None, DOUBLE=wide == torch.float64,
    )  # fmt: skip
    return dx, *launch.sum_programs(scalars, wide, wanted[:2]), *launch.sum_programs(vectors, wide, wanted[2:])
