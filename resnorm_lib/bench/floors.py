r"""The fewest bytes that each operation must move through the memory of the device: each input once, each output once.

Throughout, A = M N e is the size of one tensor, of M rows with N numbers of e bytes; parameters have numbers of ew
bytes. Statistics and partial sums are float32. In a backward pass, p programs each write their partial sums of a
parameter's gradient, and these are read again: 8 p N bytes for a parameter. The forward pass is that of training: what
the backward pass needs is written.
"""

from typing import NamedTuple

__all__ = ["FLOORS", "ON_CHIP", "Floor"]

# Bytes of one group that 16 multiprocessors in a cluster can hold in shared memory; a larger one is read twice.
ON_CHIP = 16 * 227 * 1024


class Floor(NamedTuple):
    """Count the bytes of both passes. ``partial`` says how many bytes of the backward pass are partial sums."""

    forward: int
    backward: int
    partial: int


def rms_norm(m: int, n: int, e: int, ew: int, p: int) -> Floor:
    """Count RMSNorm: x, w -> y, rstd; then dy, x, w, rstd -> dx, dw."""
    a, partial = m * n * e, 8 * p * n
    return Floor(2 * a + n * ew + 4 * m, 3 * a + n * ew + 4 * m + partial + n * ew, partial)


def layer_norm(m: int, n: int, e: int, ew: int, p: int) -> Floor:
    """Count LayerNorm: x, w, b -> y, mean, rstd; then dy, x, w, mean, rstd -> dx, dw, db."""
    a, partial = m * n * e, 16 * p * n
    return Floor(2 * a + 2 * n * ew + 8 * m, 3 * a + n * ew + 8 * m + partial + 2 * n * ew, partial)


def add_rms_norm(m: int, n: int, e: int, ew: int, p: int) -> Floor:
    """Count RMSNorm after an add: x, r -> s, y; then dy, ds, s -> d, which is the gradient of x and of r."""
    a, alone = m * n * e, rms_norm(m, n, e, ew, p)
    return Floor(alone.forward + 2 * a, alone.backward + a, alone.partial)


def add_layer_norm(m: int, n: int, e: int, ew: int, p: int) -> Floor:
    """Count LayerNorm after an add."""
    a, alone = m * n * e, layer_norm(m, n, e, ew, p)
    return Floor(alone.forward + 2 * a, alone.backward + a, alone.partial)


def add_rms_norm_post(m: int, n: int, e: int, ew: int, p: int) -> Floor:
    """Count post-norm: x, r -> y and s, which the backward pass reads; then dy, s -> d. Nothing reads s, so no ds."""
    fused = add_rms_norm(m, n, e, ew, p)
    return Floor(fused.forward, fused.backward - m * n * e, fused.partial)


def add_rms_norm_fp32(m: int, n: int, e: int, ew: int, p: int) -> Floor:
    """Count a stream in float32: numbers of r, s, ds, dr have 4 bytes, those of x, y, dy, dx have e; dx is not dr."""
    wide, alone = 4 * m * n, rms_norm(m, n, e, ew, p)
    narrow = m * n * e
    return Floor(alone.forward + 2 * wide, alone.backward - narrow + 3 * wide, alone.partial)


def dyt(m: int, n: int, e: int, ew: int, p: int) -> Floor:
    """Count DynamicTanh: x, w, b -> y; then dy, x, w -> dx, dw, db, dalpha. Single numbers are not counted."""
    a, partial = m * n * e, 16 * p * n
    return Floor(2 * a + 2 * n * ew, 3 * a + n * ew + partial + 2 * n * ew, partial)


def scaled_add(m: int, n: int, e: int, ew: int, p: int) -> Floor:
    """Count a scaled add: r, x -> y; then dy -> dx. The gradient of r is dy itself."""
    a = m * n * e
    return Floor(3 * a, 2 * a, 0)


def group_norm(samples: int, channels: int, positions: int, groups: int, e: int, ew: int) -> Floor:
    """Count GroupNorm: x -> y and two statistics for each group of each sample; then dy, x -> dx, dw, db.

    The partial sums are those of each channel of each sample. A group larger than :data:`ON_CHIP` is read twice.
    """
    a, statistics, partial = samples * channels * positions * e, 8 * samples * groups, 16 * samples * channels
    again = channels // groups * positions * e > ON_CHIP
    forward = (3 if again else 2) * a + 2 * channels * ew + statistics
    return Floor(forward, (5 if again else 3) * a + 3 * channels * ew + statistics + partial, partial)


FLOORS = {
    "rms_norm": rms_norm,
    "layer_norm": layer_norm,
    "add_rms_norm": add_rms_norm,
    "add_layer_norm": add_layer_norm,
    "add_rms_norm_post": add_rms_norm_post,
    "add_rms_norm_fp32": add_rms_norm_fp32,
    "dyt": dyt,
    "derf": dyt,
    "scaled_add": scaled_add,
    "group_norm": group_norm,
    "group_norm_last": group_norm,  # channels last
}
