"""Forward kernels of LayerNorm and RMSNorm, alone or after a residual add. See :mod:`resnorm_lib.ops.norm.launch`.

Both take the same arguments: X (M, N), and optionally R (M, N) the stream, W and B (N,), and S (M, N) where the sum is
to be stored, and STATISTICS where the gradients will want them: M times one over the root, then but for RMSNorm M
means. An argument that is None has no code compiled for it. Strides and sizes but M are constants: the compiler
must know what they are divisible by to load 16 bytes at a time.
"""

import triton
import triton.language as tl

from resnorm_lib.ops.kernel_tools import inverse_root, load_parameter, load_tile, rounded, store, widened


@triton.jit
def stream(
    X, R, rows, cols, mask, X_STRIDE: tl.constexpr, R_STRIDE: tl.constexpr, WIDE_STREAM: tl.constexpr,
    DOUBLE: tl.constexpr,
):  # fmt: skip
    """Return what is normalized: x itself, or r + x, rounded once to the dtype of the stream."""
    s = load_tile(X, rows, cols, mask, X_STRIDE, DOUBLE)
    if R is not None:
        s += load_tile(R, rows, cols, mask, R_STRIDE, DOUBLE)
        if not WIDE_STREAM:
            # Round first: the backward pass differentiates the norm of the stored stream.
            s = widened(rounded(s, R.dtype.element_ty), DOUBLE)
    return s


@triton.jit
def finish(
    Y, s, mean, rstd, W, B, rows, cols, mask, N: tl.constexpr, ZERO_CENTERED: tl.constexpr, DOUBLE: tl.constexpr
):
    """Store y = w * (s - mean) * rstd + b."""
    y = (s - mean[:, None]) * rstd[:, None]
    if W is not None:
        w = load_parameter(W, cols, N, DOUBLE)
        y *= w + 1.0 if ZERO_CENTERED else w
    if B is not None:
        y += load_parameter(B, cols, N, DOUBLE)
    store(Y + rows[:, None] * N + cols[None, :], y, mask)


@triton.jit
def store_statistics(STATISTICS, mean, rstd, rows, M, RMS: tl.constexpr):
    if STATISTICS is not None:
        tl.store(STATISTICS + rows, rstd, mask=rows < M)
        if not RMS:
            tl.store(STATISTICS + M + rows, mean, mask=rows < M)


@triton.jit(do_not_specialize=["M"])
def norm_forward(
    X, R, W, B, Y, S, STATISTICS, M,
    N: tl.constexpr, X_STRIDE: tl.constexpr, R_STRIDE: tl.constexpr, EPS: tl.constexpr, RMS: tl.constexpr,
    ZERO_CENTERED: tl.constexpr, WIDE_STREAM: tl.constexpr, DOUBLE: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Rows that fit into registers: each number is read once, and the second pass runs over what is at hand."""
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    cols = tl.arange(0, BLOCK)
    mask = (rows < M)[:, None] & (cols < N)[None, :]
    s = stream(X, R, rows, cols, mask, X_STRIDE, R_STRIDE, WIDE_STREAM, DOUBLE)
    if S is not None:
        store(S + rows[:, None] * N + cols[None, :], s, mask)
    mean = tl.zeros((ROWS,), s.dtype)
    if RMS:
        square = tl.sum(s * s, axis=1) / N
    else:
        mean = tl.sum(s, axis=1) / N
        centred = tl.where((cols < N)[None, :], s - mean[:, None], 0.0)
        square = tl.sum(centred * centred, axis=1) / N
    rstd = inverse_root(square + EPS)
    store_statistics(STATISTICS, mean, rstd, rows, M, RMS)
    finish(Y, s, mean, rstd, W, B, rows, cols, mask, N, ZERO_CENTERED, DOUBLE)


@triton.jit(do_not_specialize=["M"])
def norm_forward_chunked(
    X, R, W, B, Y, S, STATISTICS, M,
    N: tl.constexpr, X_STRIDE: tl.constexpr, R_STRIDE: tl.constexpr, EPS: tl.constexpr, RMS: tl.constexpr,
    ZERO_CENTERED: tl.constexpr, WIDE_STREAM: tl.constexpr, DOUBLE: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Longer rows: chunk by chunk, twice. Statistics of chunks merge by the rule of Chan, Golub and LeVeque (1983)."""
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    mean = tl.zeros((ROWS,), tl.float64 if DOUBLE else tl.float32)
    squares = tl.zeros((ROWS,), tl.float64 if DOUBLE else tl.float32)  # sum of (s - mean)^2, or of s^2
    for start in tl.range(0, N, BLOCK, num_stages=STAGES):
        cols = start + tl.arange(0, BLOCK)
        mask = (rows < M)[:, None] & (cols < N)[None, :]
        s = stream(X, R, rows, cols, mask, X_STRIDE, R_STRIDE, WIDE_STREAM, DOUBLE)
        if S is not None:
            store(S + rows[:, None] * N + cols[None, :], s, mask)
        if RMS:
            squares += tl.sum(s * s, axis=1)
        else:
            count = tl.minimum(N - start, BLOCK).to(s.dtype)
            total = start + count
            chunk_mean = tl.sum(s, axis=1) / count
            centred = tl.where((cols < N)[None, :], s - chunk_mean[:, None], 0.0)
            delta = chunk_mean - mean
            squares += tl.sum(centred * centred, axis=1) + delta * delta * (start * (count / total))
            mean += delta * (count / total)
    rstd = inverse_root(squares / N + EPS)
    store_statistics(STATISTICS, mean, rstd, rows, M, RMS)
    if S is not None:
        tl.debug_barrier()  # what one thread has stored, another may load below
    for start in tl.range(0, N, BLOCK, num_stages=STAGES):
        cols = start + tl.arange(0, BLOCK)
        mask = (rows < M)[:, None] & (cols < N)[None, :]
        if S is not None:
            s = load_tile(S, rows, cols, mask, N, DOUBLE)
        else:
            s = stream(X, R, rows, cols, mask, X_STRIDE, R_STRIDE, WIDE_STREAM, DOUBLE)
        finish(Y, s, mean, rstd, W, B, rows, cols, mask, N, ZERO_CENTERED, DOUBLE)
