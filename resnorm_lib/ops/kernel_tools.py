"""Triton functions that several kernels share. Import this only where a kernel is launched: it needs triton."""

import triton
import triton.language as tl

from resnorm_lib.ops import dispatch

INTERPRETED = tl.constexpr(dispatch.INTERPRETED)


@triton.jit
def rounded(value, dtype: tl.constexpr):
    """Return ``value`` in ``dtype``, rounded to nearest, ties to even.

    That is what a GPU does. The interpreter cuts bits off when it makes a bfloat16, and changes subnormal
    numbers, so that there the bits are rounded: adding just under half of the last bit that stays, or half where that
    bit is odd, carries into it. A NaN stays NaN.
    """
    if INTERPRETED and dtype == tl.bfloat16:
        value = value.to(tl.float32)
        bits = value.to(tl.uint32, bitcast=True)
        carried = tl.where(value == value, bits + 0x7FFF + ((bits >> 16) & 1), bits | 0x400000)
        return (carried >> 16).to(tl.uint16).to(tl.bfloat16, bitcast=True)
    else:
        return value.to(dtype)


@triton.jit
def widened(value, DOUBLE: tl.constexpr):
    """Return ``value`` in float32, or float64: sixteen bits are for storage alone.

    The interpreter errs where it widens bfloat16, so that there it is done on the bits.
    """
    if INTERPRETED and value.dtype == tl.bfloat16:
        value = (value.to(tl.uint16, bitcast=True).to(tl.uint32) << 16).to(tl.float32, bitcast=True)
    return value.to(tl.float64 if DOUBLE else tl.float32)


@triton.jit
def load(pointer, mask, DOUBLE: tl.constexpr):
    """Return what ``pointer`` points to, widened; 0 outside of the mask."""
    return widened(tl.load(pointer, mask=mask, other=0.0), DOUBLE)


@triton.jit
def load_tile(pointer, rows, cols, mask, STRIDE: tl.constexpr, DOUBLE: tl.constexpr):
    """Return a tile of rows, widened."""
    return load(pointer + rows[:, None] * STRIDE + cols[None, :], mask, DOUBLE)


@triton.jit
def load_parameter(pointer, cols, N: tl.constexpr, DOUBLE: tl.constexpr):
    """Return a gain or a bias, widened, to be used with a tile of rows."""
    return load(pointer + cols, cols < N, DOUBLE)[None, :]


@triton.jit
def store(pointer, value, mask):
    """Store ``value``, rounded to the dtype that ``pointer`` points to."""
    tl.store(pointer, rounded(value, pointer.dtype.element_ty), mask=mask)


@triton.jit
def inverse_root(x):
    """Return ``1 / sqrt(x)`` with both operations rounded correctly: one number for each row costs nothing."""
    if x.dtype == tl.float32:
        return tl.div_rn(1.0, tl.sqrt_rn(x))
    else:
        return 1.0 / tl.sqrt(x)


@triton.jit(do_not_specialize=["P"])
def sum_partials(part, first, second, P, N: tl.constexpr, BLOCK: tl.constexpr, STEP: tl.constexpr):
    """Sum ``part`` (1 or 2, P, N) over P in a fixed order into ``first`` (N,) and, if there is one, ``second``."""
    which = tl.program_id(1)
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((STEP, BLOCK), part.dtype.element_ty)
    for start in range(0, P, STEP):
        rows = start + tl.arange(0, STEP)
        mask = (rows < P)[:, None] & (cols < N)[None, :]
        total += tl.load(part + (which * P + rows).to(tl.int64)[:, None] * N + cols[None, :], mask=mask, other=0.0)
    result = tl.sum(total, axis=0)
    if second is None:
        store(first + cols, result, cols < N)
    else:
        store(first + cols, result, (cols < N) & (which == 0))
        store(second + cols, result, (cols < N) & (which == 1))
