r"""Backward kernels of GroupNorm.

With :math:`g = w\,dy` and means over a slab, :math:`dx = (g - \overline g - \hat x\,\overline{g \hat x}) / \sigma`.
Both means follow from the sums over the positions of each channel, :math:`\sum dy` and :math:`\sum dy\,\hat x`, and so
do the gradients of gain and bias: PART (2, N, C), or (2, spans, N, C) in chunks.
"""

import triton
import triton.language as tl

from resnorm_lib.ops.group_norm.kernels import inside, load_parameter, load_rows, offsets, place
from resnorm_lib.ops.kernel_tools import load, store


@triton.jit
def normalized(X, DY, STATISTICS, W, rows, channels, x_where, dy_where, mask, R, G: tl.constexpr, CG: tl.constexpr,
               DOUBLE: tl.constexpr):  # fmt: skip
    """Return x_hat, dy, rstd and the gain of a tile."""
    dy = load(DY + dy_where, mask, DOUBLE)
    rstd = load_rows(STATISTICS, rows, R)
    x_hat = tl.where(mask, (load(X + x_where, mask, DOUBLE) - load_rows(STATISTICS + R, rows, R)) * rstd, 0.0)
    w = tl.full((1, 1, 1), 1.0, x_hat.dtype)
    if W is not None:
        w = load_parameter(W, rows, channels, G, CG, DOUBLE)
    return x_hat, dy, rstd, w


@triton.jit(do_not_specialize=["R"])
def backward(
    DY, X, STATISTICS, W, DX, PART, R, POSITIONS, OUTER, SAMPLE, DY_OUTER, DY_SAMPLE, DX_OUTER, DX_SAMPLE,
    G: tl.constexpr, CG: tl.constexpr, LAST: tl.constexpr, S_UNIT: tl.constexpr, UNIT: tl.constexpr,
    DY_UNIT: tl.constexpr, DX_UNIT: tl.constexpr, DOUBLE: tl.constexpr,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Differentiate slabs that fit into registers: x and dy are read once."""
    S = POSITIONS * S_UNIT
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channels, positions = tl.arange(0, CHANNELS), tl.arange(0, SPAN)
    mask = inside(rows, channels, positions, R, S, CG)
    x_where = offsets(rows, channels, positions, OUTER, SAMPLE, UNIT, G, CG, LAST)
    dy_where = offsets(rows, channels, positions, DY_OUTER, DY_SAMPLE, DY_UNIT, G, CG, LAST)
    x_hat, dy, rstd, w = normalized(X, DY, STATISTICS, W, rows, channels, x_where, dy_where, mask, R, G, CG, DOUBLE)
    along, constant = tl.sum(dy * x_hat, axis=2), tl.sum(dy, axis=2)  # (rows, channels)
    if PART is not None:
        valid = (rows < R)[:, None] & (channels < CG)[None, :]
        here = rows[:, None] * CG + channels[None, :]
        tl.store(PART + here, along, mask=valid)
        tl.store(PART + R * CG + here, constant, mask=valid)
    size = CG * S
    along = tl.sum(along * tl.reshape(w, (w.shape[0], w.shape[1])), axis=1) / size
    constant = tl.sum(constant * tl.reshape(w, (w.shape[0], w.shape[1])), axis=1) / size
    dx = (w * dy - constant[:, None, None] - x_hat * along[:, None, None]) * rstd
    store(DX + offsets(rows, channels, positions, DX_OUTER, DX_SAMPLE, DX_UNIT, G, CG, LAST), dx, mask)


@triton.jit(do_not_specialize=["R"])
def chunk_sums(
    DY, X, STATISTICS, PART, R, POSITIONS, OUTER, SAMPLE, DY_OUTER, DY_SAMPLE,
    G: tl.constexpr, CG: tl.constexpr, LAST: tl.constexpr, S_UNIT: tl.constexpr, UNIT: tl.constexpr,
    DY_UNIT: tl.constexpr, DOUBLE: tl.constexpr, CHANNELS: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Store the sums of dy * x_hat and dy over the positions of a chunk."""
    S = POSITIONS * S_UNIT
    row, channels, positions, chunk, _ = place(S, CG, CHANNELS, SPAN)
    mask = inside(row, channels, positions, R, S, CG)
    x_where = offsets(row, channels, positions, OUTER, SAMPLE, UNIT, G, CG, LAST)
    dy_where = offsets(row, channels, positions, DY_OUTER, DY_SAMPLE, DY_UNIT, G, CG, LAST)
    x_hat, dy, _, _ = normalized(X, DY, STATISTICS, None, row, channels, x_where, dy_where, mask, R, G, CG, DOUBLE)
    spans = tl.cdiv(S, SPAN)
    here = ((chunk % spans) * R + row)[:, None] * CG + channels[None, :]
    valid = (channels < CG)[None, :]
    tl.store(PART + here, tl.sum(dy * x_hat, axis=2), mask=valid)
    tl.store(PART + spans * R * CG + here, tl.sum(dy, axis=2), mask=valid)


@triton.jit(do_not_specialize=["R"])
def apply_chunk(
    DY, X, STATISTICS, W, DX, ALONG, CONSTANT, R, POSITIONS, OUTER, SAMPLE, DY_OUTER, DY_SAMPLE, DX_OUTER, DX_SAMPLE,
    G: tl.constexpr, CG: tl.constexpr, LAST: tl.constexpr, S_UNIT: tl.constexpr, UNIT: tl.constexpr,
    DY_UNIT: tl.constexpr, DX_UNIT: tl.constexpr, DOUBLE: tl.constexpr, CHANNELS: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Store dx of a chunk, once both means of its slab are known."""
    S = POSITIONS * S_UNIT
    row, channels, positions, _, _ = place(S, CG, CHANNELS, SPAN)
    mask = inside(row, channels, positions, R, S, CG)
    x_where = offsets(row, channels, positions, OUTER, SAMPLE, UNIT, G, CG, LAST)
    dy_where = offsets(row, channels, positions, DY_OUTER, DY_SAMPLE, DY_UNIT, G, CG, LAST)
    x_hat, dy, rstd, w = normalized(X, DY, STATISTICS, W, row, channels, x_where, dy_where, mask, R, G, CG, DOUBLE)
    dx = (w * dy - load_rows(CONSTANT, row, R) - x_hat * load_rows(ALONG, row, R)) * rstd
    store(DX + offsets(row, channels, positions, DX_OUTER, DX_SAMPLE, DX_UNIT, G, CG, LAST), dx, mask)
