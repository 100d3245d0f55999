"""From tensors to launches of the GroupNorm kernels: layouts, tiles, chunks. All tensors here are on one device."""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from resnorm_lib._precision import statistics_dtype
from resnorm_lib.ops import launch
from resnorm_lib.ops.launch import dense

__all__ = ["backward", "forward", "like"]


class Slab(NamedTuple):
    """A tile of a group of a sample. It depends on the size of the group and the dtype, never on how many there are."""

    rows: int  # groups of a tile; one in a chunked launch
    channels: int
    positions: int
    num_warps: int
    chunks: int  # into how many tiles a group is cut


def slab(channels: int, positions: int, itemsize: int, tensors: int, channels_last: bool) -> Slab:
    """Return the tile for groups of this size, if ``tensors`` tensors of a group stay in registers."""
    limit = launch._forced.get("block") or (32768 if itemsize <= 4 else 8192) // tensors
    tile = _slab(int(channels), int(positions), limit, tensors, channels_last)
    rows = launch._forced.get("rows") or (max(tile.rows, 8) if launch.dispatch.INTERPRETED else tile.rows)
    return tile if tile.chunks > 1 else tile._replace(rows=rows)


@functools.cache
def _slab(channels: int, positions: int, limit: int, tensors: int, channels_last: bool) -> Slab:
    across, along = launch.next_power_of_two(channels), launch.next_power_of_two(positions)
    size = across * along
    if size <= limit:
        rows = max(1, min(64, 2048 // size))
        return Slab(rows, across, along, max(4, min(32, rows * size * tensors // 1024)), 1)
    size = min(limit, 4096)
    if channels_last:
        across = min(across, 64, size)
        along = min(along, size // across)
        across = min(launch.next_power_of_two(channels), size // along)
    else:
        along = min(along, 2048, size)
        across = min(across, size // along)
    return Slab(1, across, along, 8, -(-channels // across) * -(-positions // along))


def as_samples(x: Tensor, channels_last: bool | None = None) -> Tensor:
    """Return ``x`` as (N, C, S), dense along S or C: a view where the strides allow it, else a copy.

    ``channels_last``, True or False, demands one layout; None takes either.
    """
    n, c = x.shape[:2]
    samples = x.reshape(n, c, x.shape[2:].numel())
    if channels_last is None:
        fits = is_last(samples) or samples.stride(2) == 1 or samples.shape[2] == 1
    else:
        fits = is_last(samples) == channels_last and (channels_last or samples.stride(2) == 1)
    if fits:
        return samples
    return like(samples, bool(channels_last)).copy_(samples)


def is_last(samples: Tensor) -> bool:
    """Return whether the channels of (N, C, S) lie next to each other: at a single position they do in any layout."""
    return bool(samples.stride(1) == 1 and (samples.shape[2] == 1 or samples.stride(2) != 1))


def like(x: Tensor, channels_last: bool) -> Tensor:
    """Return an empty tensor of the shape of ``x``, in one of the two layouts."""
    if channels_last:
        return torch.empty((len(x), *x.shape[2:], x.shape[1]), dtype=x.dtype, device=x.device).movedim(-1, 1)
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def strides(samples: Tensor, channels_last: bool) -> tuple[tuple[int, int], int]:
    """Return the strides of positions (channels-last) or channels, and of samples, in units, and the unit."""
    outer, sample = samples.stride(2 if channels_last else 1), samples.stride(0)
    unit = common_unit(outer, sample)
    return (outer // unit, sample // unit), unit


def common_unit(*numbers: int) -> int:
    """Return the largest power of two up to 16 that divides all."""
    return math.gcd(*(int(number) for number in numbers), 16)


def constants(x: Tensor, num_groups: int, tile: Slab, channels_last: bool) -> tuple[int, dict]:
    """Return S in units, and the constants with which every kernel is compiled."""
    positions = x.shape[2]
    unit = common_unit(positions)
    return positions // unit, {
        "G": num_groups,
        "CG": x.shape[1] // num_groups,
        "LAST": channels_last,
        "S_UNIT": unit,
        "DOUBLE": x.dtype == torch.float64,
        "CHANNELS": tile.channels,
        "SPAN": tile.positions,
        "num_warps": tile.num_warps,
    }


def forward(
    x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y in the layout of x, and mean and one over the root of each group of each sample."""
    from resnorm_lib.ops.group_norm import kernels

    samples = as_samples(x)
    last = is_last(samples)
    n, c, s = samples.shape
    r, weight, bias = n * num_groups, dense(weight), dense(bias)
    y = like(x, last)
    mean, rstd = (torch.empty(r, dtype=statistics_dtype(x), device=x.device) for _ in range(2))
    if not (r and s):
        return y, mean.fill_(math.nan), rstd.fill_(math.nan)
    tile = slab(c // num_groups, s, x.element_size(), 1, last)
    positions, known = constants(samples, num_groups, tile, last)
    x_strides, unit = strides(samples, last)
    y_strides, y_unit = strides(as_samples(y, last), last)
    if tile.chunks == 1:
        launch.run(
            kernels.forward, (-(-r // tile.rows),), x,
            samples, weight, bias, y, mean, rstd, r, positions, *x_strides, *y_strides,
            EPS=eps, UNIT=unit, Y_UNIT=y_unit, ROWS=tile.rows, **known,
        )  # fmt: skip
        return y, mean, rstd
    part = torch.empty((2, r, tile.chunks), dtype=mean.dtype, device=x.device)
    grid = (r * tile.chunks,)
    launch.run(kernels.chunk_statistics, grid, x, samples, part, r, positions, *x_strides, UNIT=unit, **known)
    rows = 8 if launch.dispatch.INTERPRETED else 1
    launch.run(
        kernels.merge_statistics, (-(-r // rows),), x, part, mean, rstd, r, positions, tile.chunks,
        EPS=eps, ROWS=rows, BLOCK=min(1024, launch.next_power_of_two(tile.chunks)),
        **{key: known[key] for key in ("CG", "S_UNIT", "DOUBLE", "CHANNELS", "SPAN")},
    )  # fmt: skip
    launch.run(
        kernels.apply_chunk, grid, x, samples, weight, bias, y, mean, rstd, r, positions, *x_strides, *y_strides,
        UNIT=unit, Y_UNIT=y_unit, **known,
    )  # fmt: skip
    return y, mean, rstd


def backward(
    dy: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor | None, num_groups: int, wanted: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """Return dx in the layout of x, and in the dtype of statistics dw and db, each None where it is not ``wanted``."""
    from resnorm_lib.ops.group_norm import kernels_backward as kernels

    samples = as_samples(x)
    last = is_last(samples)
    n, c, s = samples.shape
    r, weight, wide = n * num_groups, dense(weight), statistics_dtype(x)
    dx = like(x, last)
    if not (r and s):
        return dx, *(torch.zeros(c, dtype=wide, device=x.device) if want else None for want in wanted)
    dys = as_samples(dy, last)
    tile = slab(c // num_groups, s, max(x.element_size(), dy.element_size()), 2, last)
    positions, known = constants(samples, num_groups, tile, last)
    (x_strides, unit), (dy_strides, dy_unit) = strides(samples, last), strides(dys, last)
    dx_strides, dx_unit = strides(as_samples(dx, last), last)
    units = {"UNIT": unit, "DY_UNIT": dy_unit}
    if tile.chunks == 1:
        part = torch.empty((2, n, c), dtype=wide, device=x.device) if any(wanted) else None
        launch.run(
            kernels.backward, (-(-r // tile.rows),), x,
            dys, samples, mean, rstd, weight, dx, part, r, positions, *x_strides, *dy_strides, *dx_strides,
            ROWS=tile.rows, DX_UNIT=dx_unit, **units, **known,
        )  # fmt: skip
    else:
        grid, spans = (r * tile.chunks,), -(-s // tile.positions)
        part = torch.empty((2, spans, n, c), dtype=wide, device=x.device)
        launch.run(
            kernels.chunk_sums, grid, x, dys, samples, mean, rstd, part, r, positions, *x_strides, *dy_strides,
            **units, **known,
        )  # fmt: skip
        part = part.sum(1)
        along, constant = group_means(part, weight, num_groups, s)
        launch.run(
            kernels.apply_chunk, grid, x, dys, samples, mean, rstd, weight, dx, along, constant, r, positions,
            *x_strides, *dy_strides, *dx_strides, DX_UNIT=dx_unit, **units, **known,
        )  # fmt: skip
    if not any(wanted):
        return dx, None, None
    dw, db = launch.sum_programs(part, wide, (True, True))
    return dx, dw if wanted[0] else None, db if wanted[1] else None


def group_means(part: Tensor, weight: Tensor | None, num_groups: int, positions: int) -> tuple[Tensor, Tensor]:
    """Return each group's means of g * x_hat and of g, from the sums of dy * x_hat and of dy over a channel."""
    part = part if weight is None else part * weight.to(part.dtype)
    _, n, c = part.shape
    return (part.view(2, n * num_groups, c // num_groups).sum(2) / (c // num_groups * positions)).unbind()
