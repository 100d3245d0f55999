"""From tensors to launches of the GroupNorm kernels: layouts, tiles, chunks. All tensors here are on one device."""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from resnorm_lib._precision import statistics_dtype
from resnorm_lib.ops import launch
from resnorm_lib.ops.launch import Plan, Sums, dense, dtypes, empty, planned

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


class Layout(NamedTuple):
    """How a tensor (N, C, S) lies in memory: dense along its positions or, channels-last, along its channels."""

    channels: int
    positions: int
    channels_last: bool
    outer: int  # the distance of channels, or channels-last of positions
    sample: int  # the distance of samples

    def in_units(self) -> tuple[tuple[int, int], int]:
        """Return both distances in units, and the unit."""
        unit = common_unit(self.outer, self.sample)
        return (self.outer // unit, self.sample // unit), unit

    def without_gaps(self) -> "Layout":
        """Return the layout of a new tensor of the same shape, dense along the same axis."""
        return without_gaps(self.channels, self.positions, self.channels_last)


@functools.cache
def without_gaps(channels: int, positions: int, channels_last: bool) -> Layout:
    """Return the layout of a tensor whose numbers all lie next to each other."""
    return Layout(channels, positions, channels_last, channels if channels_last else positions, channels * positions)


def as_samples(x: Tensor, channels_last: bool | None = None) -> tuple[Tensor, Layout]:
    """Return the numbers of ``x`` (N, C, ...) dense along positions or channels, and their layout.

    A tensor without gaps stays as it is; else it is a view as (N, C, S) where the strides allow it, or a copy.
    ``channels_last``, True or False, demands one layout; None takes either.
    """
    n, channels, positions = x.shape[0], int(x.shape[1]), int(x.shape[2:].numel())
    is_point = positions == 1  # channels then lie next to each other in any layout
    if channels_last in (None, is_point) and x.is_contiguous():
        return x, without_gaps(channels, positions, is_point)
    if channels_last is not False and x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return x, without_gaps(channels, positions, True)
    samples = x.reshape(n, channels, positions)
    last = samples.stride(1) == 1 and (is_point or samples.stride(2) != 1)
    dense = last or is_point or samples.stride(2) == 1
    if not dense or channels_last not in (None, last):
        last = bool(channels_last)
        samples = like(samples, last).copy_(samples)
    outer, sample = samples.stride(2 if last else 1), samples.stride(0)
    return samples, Layout(channels, positions, last, int(outer), int(sample))


def like(x: Tensor, channels_last: bool) -> Tensor:
    """Return an empty tensor of the shape of ``x``, in one of the two layouts."""
    if not channels_last:
        return empty(x)
    if x.dim() == 4:
        return torch.empty_like(x, memory_format=torch.channels_last)
    return torch.empty((len(x), *x.shape[2:], x.shape[1]), dtype=x.dtype, device=x.device).movedim(-1, 1)


def common_unit(*numbers: int) -> int:
    """Return the largest power of two up to 16 that divides all."""
    return math.gcd(*numbers, 16)


def constants(layout: Layout, num_groups: int, tile: Slab, dtype: torch.dtype) -> dict:
    """Return the constants with which every kernel is compiled."""
    return {
        "G": num_groups,
        "CG": layout.channels // num_groups,
        "LAST": layout.channels_last,
        "S_UNIT": common_unit(layout.positions),
        "DOUBLE": dtype == torch.float64,
        "CHANNELS": tile.channels,
        "SPAN": tile.positions,
        "num_warps": tile.num_warps,
    }


@planned
def forward_plans(
    layout: Layout, num_groups: int, kinds: tuple[torch.dtype | None, ...], eps: float, statistics: bool
) -> tuple[Slab, list[Plan], tuple[int, ...], tuple[int, int]]:
    """Return the tile, the kernels in their order, S and the distances of x in units, and those of y."""
    from resnorm_lib.ops.group_norm import kernels

    tile = slab(layout.channels // num_groups, layout.positions, kinds[0].itemsize, 1, layout.channels_last)
    known = constants(layout, num_groups, tile, kinds[0])
    (x_place, unit), (y_place, y_unit) = layout.in_units(), layout.without_gaps().in_units()
    place = (layout.positions // known["S_UNIT"], *x_place)
    if tile.chunks == 1:
        plans = [Plan(kernels.forward, EPS=eps, UNIT=unit, Y_UNIT=y_unit, ROWS=tile.rows, **known)]
        return tile, plans, place, y_place
    merged = {key: known[key] for key in ("CG", "S_UNIT", "DOUBLE", "CHANNELS", "SPAN")}
    block = min(1024, launch.next_power_of_two(tile.chunks))
    plans = [
        Plan(kernels.chunk_statistics, UNIT=unit, **known),
        Plan(kernels.merge_statistics, EPS=eps, ROWS=MERGED_ROWS, BLOCK=block, **merged),
        Plan(kernels.apply_chunk, UNIT=unit, Y_UNIT=y_unit, **known),
    ]
    return tile, plans, place, y_place


MERGED_ROWS = 8 if launch.dispatch.INTERPRETED else 1


def forward(
    x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float, statistics: bool = True
) -> tuple[Tensor, Tensor | None]:
    """Return y in the layout of x, and the statistics: one over the root of each group of each sample, then the means.

    They may be None where no ``statistics`` are wanted.
    """
    (samples, layout), weight, bias = as_samples(x), dense(weight), dense(bias)
    r, wide = x.shape[0] * num_groups, statistics_dtype(x)
    y = like(x, layout.channels_last)
    if not (r and layout.positions):
        return y, x.new_full((2 * r,), math.nan, dtype=wide)
    kinds = dtypes(x, weight, bias)
    tile, plans, place, y_place = forward_plans(layout, num_groups, kinds, eps, statistics)
    kept = x.new_empty(2 * r, dtype=wide) if statistics or tile.chunks > 1 else None
    if tile.chunks == 1:
        plans[0]((-(-r // tile.rows), 1, 1), x, samples, weight, bias, y, kept, r, *place, *y_place)
        return y, kept
    chunk_statistics, merge, apply = plans
    part = x.new_empty((2, r, tile.chunks), dtype=wide)
    chunk_statistics((r * tile.chunks, 1, 1), x, samples, part, r, *place)
    merge((-(-r // MERGED_ROWS), 1, 1), x, part, kept, r, place[0], tile.chunks)
    apply((r * tile.chunks, 1, 1), x, samples, weight, bias, y, kept, r, *place, *y_place)
    return y, kept


@planned
def backward_plans(
    layout: Layout, dys: Layout, num_groups: int, kinds: tuple[torch.dtype | None, ...], wanted: bool
) -> tuple[Slab, list[Plan], Sums, tuple[int, ...], tuple[int, int]]:
    """Return the tile, the kernels in their order, the sums, S and the distances of x and dy in units, those of dx."""
    from resnorm_lib.ops.group_norm import kernels_backward as kernels

    itemsize = max(dtype.itemsize for dtype in kinds[:2])
    tile = slab(layout.channels // num_groups, layout.positions, itemsize, 2, layout.channels_last)
    known = constants(layout, num_groups, tile, kinds[0])
    (x_place, unit), (dy_place, dy_unit) = layout.in_units(), dys.in_units()
    dx_place, dx_unit = layout.without_gaps().in_units()
    known |= {"UNIT": unit, "DY_UNIT": dy_unit}
    if tile.chunks == 1:
        plans = [Plan(kernels.backward, ROWS=tile.rows, DX_UNIT=dx_unit, **known)]
    else:
        plans = [Plan(kernels.chunk_sums, **known), Plan(kernels.apply_chunk, DX_UNIT=dx_unit, **known)]
    wide = statistics_dtype(kinds[0])
    sums = Sums(layout.channels, (True, True), wide, wide)
    return tile, plans, sums, (layout.positions // known["S_UNIT"], *x_place, *dy_place), dx_place


def backward(
    dy: Tensor, x: Tensor, statistics: Tensor, weight: Tensor | None, num_groups: int, wanted: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """Return dx in the layout of x, and in the dtype of statistics dw and db, each None where it is not ``wanted``."""
    samples, layout = as_samples(x)
    n, c, s, wide = x.shape[0], layout.channels, layout.positions, statistics_dtype(x)
    r, weight, dx = n * num_groups, dense(weight), like(x, layout.channels_last)
    if not (r and s):
        return dx, *(torch.zeros(c, dtype=wide, device=x.device) if want else None for want in wanted)
    dys, dy_layout = as_samples(dy, layout.channels_last)
    kinds = dtypes(x, dy, weight)
    tile, plans, sums, place, dx_place = backward_plans(layout, dy_layout, num_groups, kinds, any(wanted))
    inputs = dys, samples, statistics
    if tile.chunks == 1:
        part = sums.room(x, n) if any(wanted) else None
        plans[0]((-(-r // tile.rows), 1, 1), x, *inputs, weight, dx, part, r, *place, *dx_place)
    else:
        chunk_sums, apply = plans
        part = x.new_empty((2, -(-s // tile.positions), n, c), dtype=wide)
        chunk_sums((r * tile.chunks, 1, 1), x, *inputs, part, r, *place)
        part = part.sum(1)
        means = group_means(part, weight, num_groups, s)
        apply((r * tile.chunks, 1, 1), x, *inputs, weight, dx, *means, r, *place, *dx_place)
    if not any(wanted):
        return dx, None, None
    dw, db = sums.add_up(part, n)
    return dx, dw if wanted[0] else None, db if wanted[1] else None


def group_means(part: Tensor, weight: Tensor | None, num_groups: int, positions: int) -> tuple[Tensor, Tensor]:
    """Return each group's means of g * x_hat and of g, from the sums of dy * x_hat and of dy over a channel."""
    part = part if weight is None else part * weight.to(part.dtype)
    _, n, c = part.shape
    return (part.view(2, n * num_groups, c // num_groups).sum(2) / (c // num_groups * positions)).unbind()
