r"""Backward kernels of LayerNorm and RMSNorm, alone or after a residual add: dx, dw and db from one read.

With :math:`g = w \odot dy` and means over a row,
:math:`ds = (g - \overline g - \hat s\,\overline{g \odot \hat s}) / \sigma + ds_{\text{later}}`,
and :math:`dx = dr = ds`, each in its own dtype. The programs are persistent. Each sums dy * s_hat and dy over
its own rows in float32, and :func:`resnorm_lib.ops.kernel_tools.sum_partials` adds the programs up in a fixed order:
no atomics.
"""

import triton
import triton.language as tl

from resnorm_lib.ops.kernel_tools import load_tile, store, widened


@triton.jit
def load_kept(pointer, mask, DOUBLE: tl.constexpr, KEEP: tl.constexpr):
    return widened(tl.load(pointer, mask=mask, other=0.0, eviction_policy=KEEP), DOUBLE)


@triton.jit
def normalized(S, DY, STATISTICS, W, rows, cols, mask, M, S_STRIDE: tl.constexpr, DY_STRIDE: tl.constexpr,
               N: tl.constexpr, RMS: tl.constexpr, ZERO_CENTERED: tl.constexpr, DOUBLE: tl.constexpr,
               KEEP: tl.constexpr):  # fmt: skip
    """Return s_hat, dy, g and rstd of a tile. ``KEEP`` tells the caches whether it will be loaded again."""
    s_hat = load_kept(S + rows[:, None] * S_STRIDE + cols[None, :], mask, DOUBLE, KEEP)
    dy = load_kept(DY + rows[:, None] * DY_STRIDE + cols[None, :], mask, DOUBLE, KEEP)
    rstd = tl.load(STATISTICS + rows, mask=rows < M, other=0.0)
    if not RMS:
        s_hat -= tl.load(STATISTICS + M + rows, mask=rows < M, other=0.0)[:, None]
    s_hat *= rstd[:, None]
    g = dy
    if W is not None:
        w = load_kept(W + cols, cols < N, DOUBLE, KEEP)[None, :]
        g = dy * (w + 1.0 if ZERO_CENTERED else w)
    return s_hat, dy, g, rstd


@triton.jit
def finish(DX, DR, DS, ds, rows, cols, mask, N: tl.constexpr, DS_STRIDE: tl.constexpr, DOUBLE: tl.constexpr):
    """Add the gradient that reaches the sum through the stream, and store the total as dx and, if it is there, dr."""
    if DS is not None:
        ds += load_tile(DS, rows, cols, mask, DS_STRIDE, DOUBLE)
    if DR is not None:
        store(DR + rows[:, None] * N + cols[None, :], ds, mask)
    store(DX + rows[:, None] * N + cols[None, :], ds, mask)


@triton.jit(do_not_specialize=["M"])
def norm_backward(
    DY, DS, S, STATISTICS, W, DX, DR, PART, M,
    N: tl.constexpr, DY_STRIDE: tl.constexpr, DS_STRIDE: tl.constexpr, S_STRIDE: tl.constexpr,
    RMS: tl.constexpr, ZERO_CENTERED: tl.constexpr, DOUBLE: tl.constexpr,
    WANTS_W: tl.constexpr, WANTS_B: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, STAGES: tl.constexpr, AGAIN: tl.constexpr,
):  # fmt: skip
    """Rows that fit into registers. PART is (1 or 2, programs, N), for dw and db as far as they are
    wanted; a program's share lies in its registers.

    Where it takes so many that a row does not fit beside it, the row is loaded ``AGAIN`` for the gradients, from the
    first cache, which holds it.
    """
    program, programs = tl.program_id(0).to(tl.int64), tl.num_programs(0)
    tiles = tl.cdiv(M, ROWS)
    cols = tl.arange(0, BLOCK)
    dw = tl.zeros((ROWS, BLOCK), tl.float64 if DOUBLE else tl.float32)
    db = tl.zeros((ROWS, BLOCK), tl.float64 if DOUBLE else tl.float32)
    for tile in tl.range(program * tiles // programs, (program + 1) * tiles // programs, num_stages=STAGES):
        rows = (tile * ROWS + tl.arange(0, ROWS)).to(tl.int64)  # int32 in the interpreter
        mask = (rows < M)[:, None] & (cols < N)[None, :]
        s_hat, dy, g, rstd = normalized(S, DY, STATISTICS, W, rows, cols, mask, M, S_STRIDE, DY_STRIDE, N, RMS,
                                        ZERO_CENTERED, DOUBLE, "evict_last" if AGAIN else "")  # fmt: skip
        along = (tl.sum(g * s_hat, axis=1) / N)[:, None]
        if not RMS:
            constant = (tl.sum(g, axis=1) / N)[:, None]
        if AGAIN:
            s_hat, dy, g, rstd = normalized(S, DY, STATISTICS, W, rows, cols, mask, M, S_STRIDE, DY_STRIDE, N, RMS,
                                            ZERO_CENTERED, DOUBLE, "evict_first")  # fmt: skip
        if WANTS_W:
            dw += dy * s_hat
        if WANTS_B:
            db += dy
        ds = g - s_hat * along
        if not RMS:
            ds -= constant
        finish(DX, DR, DS, ds * rstd[:, None], rows, cols, mask, N, DS_STRIDE, DOUBLE)
    if WANTS_W:
        tl.store(PART + program * N + cols, tl.sum(dw, axis=0), mask=cols < N)
    if WANTS_B:
        tl.store(PART + (programs * WANTS_W + program) * N + cols, tl.sum(db, axis=0), mask=cols < N)


@triton.jit
def add_to(pointer, value, mask, has_stored):
    """Add to what this program has stored there."""
    tl.store(pointer, value + tl.load(pointer, mask=mask & has_stored, other=0.0), mask=mask)


@triton.jit(do_not_specialize=["M"])
def norm_backward_chunked(
    DY, DS, S, STATISTICS, W, DX, DR, PART, M,
    N: tl.constexpr, DY_STRIDE: tl.constexpr, DS_STRIDE: tl.constexpr, S_STRIDE: tl.constexpr,
    RMS: tl.constexpr, ZERO_CENTERED: tl.constexpr, DOUBLE: tl.constexpr,
    WANTS_W: tl.constexpr, WANTS_B: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Longer rows: both means chunk by chunk, then the gradients, with a second read that mostly meets the L2 cache.

    The sums over rows stay in memory, in this program's lines of PART; several rows at once make that cheap.
    """
    program, programs = tl.program_id(0).to(tl.int64), tl.num_programs(0)
    tiles = tl.cdiv(M, ROWS)
    first = program * tiles // programs
    for tile in range(first, (program + 1) * tiles // programs):
        rows = (tile * ROWS + tl.arange(0, ROWS)).to(tl.int64)  # int32 in the interpreter
        along = tl.zeros((ROWS,), tl.float64 if DOUBLE else tl.float32)
        constant = tl.zeros((ROWS,), tl.float64 if DOUBLE else tl.float32)
        for start in tl.range(0, N, BLOCK, num_stages=STAGES):
            cols = start + tl.arange(0, BLOCK)
            mask = (rows < M)[:, None] & (cols < N)[None, :]
            s_hat, dy, g, rstd = normalized(S, DY, STATISTICS, W, rows, cols, mask, M, S_STRIDE, DY_STRIDE, N, RMS,
                                            ZERO_CENTERED, DOUBLE, "")  # fmt: skip
            along += tl.sum(g * s_hat, axis=1)
            if not RMS:
                constant += tl.sum(g, axis=1)
        tl.debug_barrier()  # the sums of the last tile are stored before any thread loads them
        for start in tl.range(0, N, BLOCK, num_stages=STAGES):
            cols = start + tl.arange(0, BLOCK)
            mask = (rows < M)[:, None] & (cols < N)[None, :]
            s_hat, dy, g, rstd = normalized(S, DY, STATISTICS, W, rows, cols, mask, M, S_STRIDE, DY_STRIDE, N, RMS,
                                            ZERO_CENTERED, DOUBLE, "")  # fmt: skip
            if WANTS_W:
                add_to(PART + program * N + cols, tl.sum(dy * s_hat, axis=0), cols < N, tile > first)
            if WANTS_B:
                add_to(PART + (programs * WANTS_W + program) * N + cols, tl.sum(dy, axis=0), cols < N, tile > first)
            ds = (g - s_hat * (along / N)[:, None] - (constant / N)[:, None]) * rstd[:, None]
            finish(DX, DR, DS, ds, rows, cols, mask, N, DS_STRIDE, DOUBLE)
