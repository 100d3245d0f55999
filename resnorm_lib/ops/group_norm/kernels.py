r"""Kernels of GroupNorm. See :mod:`resnorm_lib.ops.group_norm.launch`.

A group of a sample is a slab of CG channels and S positions, at rows r = n G + g. A tile is (rows, channels,
positions). The last axis of the layout is that of the positions, or, channels last, that of the channels; the strides
of the other two come as multiples of UNIT, and S as one of S_UNIT. So the compiler learns what they are divisible by,
and loads up to 16 bytes at a time, without a compilation for every size of an image. STATISTICS are R times one over
the root, then R means.
"""

import triton
import triton.language as tl

from resnorm_lib.ops.kernel_tools import inverse_root, load, store


@triton.jit
def offsets(rows, channels, positions, OUTER, SAMPLE, UNIT: tl.constexpr, G: tl.constexpr, CG: tl.constexpr,
            LAST: tl.constexpr):  # fmt: skip
    """Return where the entries of a tile lie in memory. LAST: the layout is channels-last."""
    channel = ((rows % G) * CG)[:, None, None] + channels[None, :, None]
    position = positions.to(tl.int64)[None, None, :]
    sample = (rows // G)[:, None, None] * SAMPLE * UNIT
    if LAST:
        return sample + channel + position * OUTER * UNIT
    else:
        return sample + channel * OUTER * UNIT + position


@triton.jit
def inside(rows, channels, positions, R, S, CG: tl.constexpr):
    return (rows < R)[:, None, None] & (channels < CG)[None, :, None] & (positions < S)[None, None, :]


@triton.jit
def load_parameter(pointer, rows, channels, G: tl.constexpr, CG: tl.constexpr, DOUBLE: tl.constexpr):
    """Return gain or bias of the channels of each row, widened."""
    where = ((rows % G) * CG)[:, None] + channels[None, :]
    return load(pointer + where, (channels < CG)[None, :], DOUBLE)[:, :, None]


@triton.jit
def load_rows(pointer, rows, R):
    return tl.load(pointer + rows, mask=rows < R, other=0.0)[:, None, None]


@triton.jit
def total(tile):
    """Return the sum over channels and positions."""
    return tl.sum(tl.sum(tile, axis=2), axis=1)


@triton.jit
def finish(Y, where, mask, centred, rstd, W, B, rows, channels, G: tl.constexpr, CG: tl.constexpr,
           DOUBLE: tl.constexpr):  # fmt: skip
    """Store y = w * centred * rstd + b."""
    y = centred * rstd
    if W is not None:
        y *= load_parameter(W, rows, channels, G, CG, DOUBLE)
    if B is not None:
        y += load_parameter(B, rows, channels, G, CG, DOUBLE)
    store(Y + where, y, mask)


@triton.jit(do_not_specialize=["R"])
def forward(
    X, W, B, Y, STATISTICS, R, POSITIONS, OUTER, SAMPLE, Y_OUTER, Y_SAMPLE,
    EPS: tl.constexpr, G: tl.constexpr, CG: tl.constexpr, LAST: tl.constexpr, S_UNIT: tl.constexpr,
    UNIT: tl.constexpr, Y_UNIT: tl.constexpr, DOUBLE: tl.constexpr,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Normalize slabs that fit into registers: each number is read once."""
    S = POSITIONS * S_UNIT
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channels, positions = tl.arange(0, CHANNELS), tl.arange(0, SPAN)
    mask = inside(rows, channels, positions, R, S, CG)
    x = load(X + offsets(rows, channels, positions, OUTER, SAMPLE, UNIT, G, CG, LAST), mask, DOUBLE)
    mean = total(x) / (CG * S)
    centred = tl.where(mask, x - mean[:, None, None], 0.0)
    rstd = inverse_root(total(centred * centred) / (CG * S) + EPS)
    if STATISTICS is not None:
        tl.store(STATISTICS + rows, rstd, mask=rows < R)
        tl.store(STATISTICS + R + rows, mean, mask=rows < R)
    where = offsets(rows, channels, positions, Y_OUTER, Y_SAMPLE, Y_UNIT, G, CG, LAST)
    finish(Y, where, mask, centred, rstd[:, None, None], W, B, rows, channels, G, CG, DOUBLE)


@triton.jit
def place(S, CG: tl.constexpr, CHANNELS: tl.constexpr, SPAN: tl.constexpr):
    """Return row, channels and positions of a program of a chunked launch, its chunk, and the number of chunks."""
    across, along = (CG + CHANNELS - 1) // CHANNELS, tl.cdiv(S, SPAN)
    chunk = tl.program_id(0) % (across * along)
    row = (tl.program_id(0) // (across * along)).to(tl.int64) + tl.arange(0, 1)
    channels = chunk // along * CHANNELS + tl.arange(0, CHANNELS)
    positions = chunk % along * SPAN + tl.arange(0, SPAN)
    return row, channels, positions, chunk, across * along


@triton.jit
def entries(chunk, S, CG: tl.constexpr, CHANNELS: tl.constexpr, SPAN: tl.constexpr):
    """Return how many entries a chunk has."""
    along = tl.cdiv(S, SPAN)
    return tl.minimum(CG - chunk // along * CHANNELS, CHANNELS) * tl.minimum(S - chunk % along * SPAN, SPAN)


@triton.jit(do_not_specialize=["R"])
def chunk_statistics(
    X, PART, R, POSITIONS, OUTER, SAMPLE, G: tl.constexpr, CG: tl.constexpr, LAST: tl.constexpr, S_UNIT: tl.constexpr,
    UNIT: tl.constexpr, DOUBLE: tl.constexpr, CHANNELS: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Store mean and sum of squared deviations of each chunk of a slab in PART (2, R, chunks)."""
    S = POSITIONS * S_UNIT
    row, channels, positions, chunk, chunks = place(S, CG, CHANNELS, SPAN)
    mask = inside(row, channels, positions, R, S, CG)
    x = load(X + offsets(row, channels, positions, OUTER, SAMPLE, UNIT, G, CG, LAST), mask, DOUBLE)
    mean = total(x) / entries(chunk, S, CG, CHANNELS, SPAN)
    centred = tl.where(mask, x - mean[:, None, None], 0.0)
    tl.store(PART + row * chunks + chunk, mean)
    tl.store(PART + (R + row) * chunks + chunk, total(centred * centred))


@triton.jit(do_not_specialize=["R", "CHUNKS"])
def merge_statistics(
    PART, STATISTICS, R, POSITIONS, CHUNKS, EPS: tl.constexpr, CG: tl.constexpr, S_UNIT: tl.constexpr,
    DOUBLE: tl.constexpr, CHANNELS: tl.constexpr, SPAN: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Merge the statistics of chunks to those of slabs: the mean first, then the squared deviations around it."""
    S = POSITIONS * S_UNIT
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    mean = tl.zeros((ROWS,), tl.float64 if DOUBLE else tl.float32)
    squares = tl.zeros((ROWS,), tl.float64 if DOUBLE else tl.float32)
    for start in range(0, CHUNKS, BLOCK):
        chunk = start + tl.arange(0, BLOCK)
        mask = (rows < R)[:, None] & (chunk < CHUNKS)[None, :]
        share = entries(chunk, S, CG, CHANNELS, SPAN).to(mean.dtype) / CG / S  # CG * S may pass 2^31
        means = tl.load(PART + rows[:, None] * CHUNKS + chunk[None, :], mask=mask, other=0.0)
        mean += tl.sum(means * share[None, :], axis=1)
    for start in range(0, CHUNKS, BLOCK):
        chunk = start + tl.arange(0, BLOCK)
        mask = (rows < R)[:, None] & (chunk < CHUNKS)[None, :]
        count = entries(chunk, S, CG, CHANNELS, SPAN).to(mean.dtype)
        means = tl.load(PART + rows[:, None] * CHUNKS + chunk[None, :], mask=mask, other=0.0)
        inner = tl.load(PART + (R + rows)[:, None] * CHUNKS + chunk[None, :], mask=mask, other=0.0)
        delta = tl.where(mask, means - mean[:, None], 0.0)
        squares += tl.sum(inner + delta * delta * count[None, :], axis=1)
    tl.store(STATISTICS + rows, inverse_root(squares / CG / S + EPS), mask=rows < R)
    tl.store(STATISTICS + R + rows, mean, mask=rows < R)


@triton.jit(do_not_specialize=["R"])
def apply_chunk(
    X, W, B, Y, STATISTICS, R, POSITIONS, OUTER, SAMPLE, Y_OUTER, Y_SAMPLE, G: tl.constexpr, CG: tl.constexpr,
    LAST: tl.constexpr, S_UNIT: tl.constexpr, UNIT: tl.constexpr, Y_UNIT: tl.constexpr, DOUBLE: tl.constexpr,
    CHANNELS: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Normalize a chunk, once the statistics of its slab are known."""
    S = POSITIONS * S_UNIT
    row, channels, positions, _, _ = place(S, CG, CHANNELS, SPAN)
    mask = inside(row, channels, positions, R, S, CG)
    x = load(X + offsets(row, channels, positions, OUTER, SAMPLE, UNIT, G, CG, LAST), mask, DOUBLE)
    where = offsets(row, channels, positions, Y_OUTER, Y_SAMPLE, Y_UNIT, G, CG, LAST)
    centred = x - load_rows(STATISTICS + R, row, R)
    finish(Y, where, mask, centred, load_rows(STATISTICS, row, R), W, B, row, channels, G, CG, DOUBLE)
