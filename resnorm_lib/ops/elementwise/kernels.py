r"""Kernels of DynamicTanh and Derf. See :mod:`resnorm_lib.ops.elementwise.launch`.

Sizes but M are constants, for the reason given in :mod:`resnorm_lib.ops.norm.kernels`.
"""

import triton
import triton.language as tl

from resnorm_lib.ops.kernel_tools import load_parameter, load_tile, store, widened


@triton.jit
def load_number(pointer, DOUBLE: tl.constexpr):
    return widened(tl.load(pointer), DOUBLE)


@triton.jit
def tanh(z, DOUBLE: tl.constexpr):
    """Return tanh to two units of the last place or so, from one exponential and one quotient.

    (1 - e) / (1 + e) with e = exp(-2|z|) loses digits near 0. There a convergent of Lambert's continued fraction
    z / (1 + z^2 / (3 + z^2 / (5 + ...))) stands in: the fifth up to 0.6, the seventh up to 0.4 for float64.
    """
    e = tl.exp(-2.0 * tl.abs(z))
    s = z * z
    if DOUBLE:
        near = tl.abs(z) < 0.4
        above = z * (135135.0 + s * (17325.0 + s * (378.0 + s)))
        below = 135135.0 + s * (62370.0 + s * (3150.0 + s * 28.0))
    else:
        near = tl.abs(z) < 0.6
        above = z * (945.0 + s * (105.0 + s))
        below = 945.0 + s * (420.0 + s * 15.0)
    far = tl.where(z < 0, e - 1.0, 1.0 - e)
    return tl.where(near, above, far) / tl.where(near, below, 1.0 + e)


@triton.jit
def tanh_or_erf(z, ERF: tl.constexpr, DOUBLE: tl.constexpr):
    if ERF:
        return tl.erf(z)
    else:
        return tanh(z, DOUBLE)


@triton.jit
def slope(z, ERF: tl.constexpr):
    """Return the derivative of :func:`tanh_or_erf`. 1 - tanh^2 would cancel where tanh is near 1."""
    if ERF:
        return 1.1283791670955126 * tl.exp(-z * z)
    else:
        e = tl.exp(-2.0 * tl.abs(z))
        return 4.0 * e / ((1.0 + e) * (1.0 + e))


@triton.jit
def argument(x, ALPHA, SHIFT, DOUBLE: tl.constexpr):
    """Return alpha * x, or alpha * x + s."""
    z = load_number(ALPHA, DOUBLE) * x
    if SHIFT is not None:
        z += load_number(SHIFT, DOUBLE)
    return z


@triton.jit(do_not_specialize=["M"])
def forward(
    X, ALPHA, SHIFT, W, B, Y, M,
    N: tl.constexpr, X_STRIDE: tl.constexpr, ERF: tl.constexpr, DOUBLE: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Store y = w * tanh_or_erf(alpha * x + s) + b, a tile for each program, those of one row next to each other."""
    BLOCKS: tl.constexpr = (N + BLOCK - 1) // BLOCK
    rows = (tl.program_id(0) // BLOCKS).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    cols = tl.program_id(0) % BLOCKS * BLOCK + tl.arange(0, BLOCK)
    mask = (rows < M)[:, None] & (cols < N)[None, :]
    x = load_tile(X, rows, cols, mask, X_STRIDE, DOUBLE)
    y = tanh_or_erf(argument(x, ALPHA, SHIFT, DOUBLE), ERF, DOUBLE)
    if W is not None:
        y *= load_parameter(W, cols, N, DOUBLE)
    if B is not None:
        y += load_parameter(B, cols, N, DOUBLE)
    store(Y + rows[:, None] * N + cols[None, :], y, mask)


@triton.jit(do_not_specialize=["M", "PROGRAMS"])
def backward(
    DY, X, ALPHA, SHIFT, W, DX, NUMBERS, VECTORS, M, PROGRAMS,
    N: tl.constexpr, DY_STRIDE: tl.constexpr, X_STRIDE: tl.constexpr, ERF: tl.constexpr, DOUBLE: tl.constexpr,
    WANTS_ALPHA: tl.constexpr, WANTS_SHIFT: tl.constexpr, WANTS_W: tl.constexpr, WANTS_B: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Store dx and each program's sums, as far as they are wanted: NUMBERS (1 or 2, PROGRAMS * blocks of columns) for
    alpha and s, and VECTORS (1 or 2, PROGRAMS, N) for w and b.

    PROGRAMS persistent programs share the rows of a block of columns. Entry by entry of the tile they add up their
    own rows; the entries of a column, and of the tile, are added at the end.
    """
    BLOCKS: tl.constexpr = (N + BLOCK - 1) // BLOCK
    wide: tl.constexpr = tl.float64 if DOUBLE else tl.float32
    program, block = (tl.program_id(0) // BLOCKS).to(tl.int64), tl.program_id(0) % BLOCKS
    cols = block * BLOCK + tl.arange(0, BLOCK)
    alpha = load_number(ALPHA, DOUBLE)
    if W is not None:
        w = load_parameter(W, cols, N, DOUBLE)
    dalpha, dshift = tl.zeros((ROWS, BLOCK), wide), tl.zeros((ROWS, BLOCK), wide)
    dw, db = tl.zeros((ROWS, BLOCK), wide), tl.zeros((ROWS, BLOCK), wide)
    tiles = tl.cdiv(M, ROWS)
    for tile in tl.range(program * tiles // PROGRAMS, (program + 1) * tiles // PROGRAMS, num_stages=STAGES):
        rows = tile * ROWS + tl.arange(0, ROWS)
        mask = (rows < M)[:, None] & (cols < N)[None, :]
        x = load_tile(X, rows, cols, mask, X_STRIDE, DOUBLE)
        dy = load_tile(DY, rows, cols, mask, DY_STRIDE, DOUBLE)
        z = argument(x, ALPHA, SHIFT, DOUBLE)
        if WANTS_W:
            dw += dy * tanh_or_erf(z, ERF, DOUBLE)
        if WANTS_B:
            db += dy
        g = dy * slope(z, ERF)
        if W is not None:
            g *= w
        if WANTS_ALPHA:
            dalpha += g * x
        if WANTS_SHIFT:
            dshift += g
        store(DX + rows[:, None] * N + cols[None, :], alpha * g, mask)
    if WANTS_W:
        tl.store(VECTORS + program * N + cols, tl.sum(dw, axis=0), mask=cols < N)
    if WANTS_B:
        tl.store(VECTORS + (PROGRAMS * WANTS_W + program) * N + cols, tl.sum(db, axis=0), mask=cols < N)
    if WANTS_ALPHA:
        tl.store(NUMBERS + tl.program_id(0), tl.sum(tl.sum(dalpha, axis=0), axis=0))
    if WANTS_SHIFT:
        tl.store(NUMBERS + tl.num_programs(0) * WANTS_ALPHA + tl.program_id(0), tl.sum(tl.sum(dshift, axis=0), axis=0))
