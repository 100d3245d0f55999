"""From tensors to launches of the elementwise kernels. All tensors here are on one device."""

import functools
import math

import torch

from resnorm_lib.ops import launch

__all__ = ["columns", "scaled_add", "squash_backward", "squash_forward"]


@functools.cache
def columns(n):
    """How many columns a tile has: entries are alone, so that any number will do that leaves few lanes idle.

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
    """Columns, and as many rows as make ``numbers`` numbers of four bytes, half as many of eight.

    The backward pass keeps four sums: two programs of 256 threads share the registers of a multiprocessor. Tiles are
    small then, so that three are loaded ahead.
    """
    block = columns(int(n))
    rows = max(1, min(64, numbers // block // max(1, itemsize // 4)))
    most = launch.REGISTERS // (2 * 256)
    return launch._adjusted(launch.Rows(rows, block, num_warps=8, num_stages=4, per_sm=2, registers=most))


def as_rows(x, n):
    """``x`` as (M, n) with its numbers next to each other: a view where the strides allow it, else a copy."""
    x = x.reshape(x.numel() // n if n else 0, n)
    return x if x.stride(1) == 1 or n == 1 else x.contiguous()


def flat(parameter):
    return None if parameter is None else parameter.contiguous()


def row_length(x, weight):
    """N: as many numbers as the gain has. Without one, rows do not matter, and the last axis will do."""
    return x.shape[-1] if weight is None else weight.numel()


def wide_of(x):
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def squash_forward(x, alpha, shift, weight, bias):
    from resnorm_lib.ops.elementwise import kernels

    n = row_length(x, weight if bias is None else bias)
    rows, y = as_rows(x, n), torch.empty(x.shape, dtype=x.dtype, device=x.device)
    m = rows.shape[0]
    config = tile(n, x.element_size(), 4096)
    if m and n:
        programs = -(-m // config.rows) * -(-n // config.block)
        launch.start(
            kernels.squash_forward, programs, config, x,
            rows, alpha, shift, flat(weight), flat(bias), y, m,
            N=n, X_STRIDE=rows.stride(0), ERF=shift is not None, DOUBLE=x.dtype == torch.float64,
        )  # fmt: skip
    return y


def squash_backward(dy, x, alpha, shift, weight, n, wanted):
    """dx, dalpha, dshift, dw and db, the last four wide, or None where ``wanted`` says so."""
    from resnorm_lib.ops.elementwise import kernels

    rows, dys, dx = as_rows(x, n), as_rows(dy, n), torch.empty(x.shape, dtype=x.dtype, device=x.device)
    m, wide = rows.shape[0], wide_of(x)
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
    parts = [part for pair, two in ((scalars, wanted[:2]), (vectors, wanted[2:])) for part in split(pair, two)]
    launch.start(
        kernels.squash_backward, programs * blocks, config, x,
        dys, rows, alpha, shift, flat(weight), dx, *parts, m, programs,
        N=n, DY_STRIDE=dys.stride(0), X_STRIDE=rows.stride(0), ERF=shift is not None, DOUBLE=wide == torch.float64,
    )  # fmt: skip
    return dx, *launch.sum_programs(scalars, wide, wanted[:2]), *launch.sum_programs(vectors, wide, wanted[2:])


def split(pair, wanted):
    """The two halves of a buffer of which one or both may be unwanted, and then are not there."""
    return pair[0] if wanted[0] else None, pair[-1] if wanted[1] else None


def scaled_add(residual, x, scale):
    from resnorm_lib.ops.elementwise import kernels

    y = torch.empty(residual.shape, dtype=residual.dtype, device=residual.device)
    block, size = 4096, residual.numel()
    unit = math.gcd(int(size), 16)
    if size:
        launch.run(
            kernels.scaled_add_forward, (-(-size // block),), residual,
            residual.contiguous(), x.contiguous(), y, size // unit,
            UNIT=unit, SCALE=scale, DOUBLE=residual.dtype == torch.float64, BLOCK=block, num_warps=8,
        )  # fmt: skip
    return y
