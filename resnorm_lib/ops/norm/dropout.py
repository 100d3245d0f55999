"""The random bits of the fused dropout: Philox, in torch, the same bits as in the kernels."""

import torch

from resnorm_lib._arguments import number

__all__ = ["ROUNDS", "drop", "dropout_mask", "keep_scale", "make_seed", "philox", "threshold"]

ROUNDS = 7  # the fewest for which Salmon et al. (2011) found no failure in TestU01's BigCrush
MULTIPLIERS, WEYL = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)
LOW = 0xFFFFFFFF


def threshold(p):
    """Of 31 random bits: those below it are dropped."""
    return round(p * 2**31)


def keep_scale(p):
    return 1.0 / (1.0 - p)


def check_probability(p):
    p = number("dropout_p", p, at_least=0)
    if p >= 1:
        raise ValueError(f"dropout_p is {p}, but it must be less than 1.")
    return p


def make_seed(seed, device):
    """A tensor (1,) on the device: from an int, or drawn from torch's generator, without waiting for the device."""
    if seed is None:
        return torch.randint(0, 2**62, (1,), dtype=torch.int64, device=device)
    if isinstance(seed, torch.Tensor):
        if seed.numel() != 1 or seed.dtype != torch.int64 or seed.device != device:
            raise ValueError(f"seed is {seed!r}, but it must be an int, or one int64 on {device}.")
        return seed.reshape(1)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ValueError(f"seed is {seed!r}, but it must be an int from 0 to 2^63 - 1.")
    return torch.full((1,), seed, dtype=torch.int64, device=device)


def philox(key, counter, rounds=ROUNDS):
    """Four times 32 random bits, as int64, for a key of two words and a counter of four.

    Philox4x32 of Salmon, Moraes, Dror and Shaw (2011), *Parallel random numbers: as easy as 1, 2, 3*. A product of two
    words of 32 bits fills 64: in int64 its sign is wrong, its bits are right.
    """
    k0, k1 = key
    c0, c1, c2, c3 = counter
    for _ in range(rounds):
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> 32 & LOW) ^ c1 ^ k0, p1 & LOW, (p0 >> 32 & LOW) ^ c3 ^ k1, p0 & LOW
        k0, k1 = (k0 + WEYL[0]) & LOW, (k1 + WEYL[1]) & LOW
    return c0, c1, c2, c3


def dropout_mask(seed, shape, p):
    """Which numbers of a tensor of this shape the fused dropout keeps, in every version of it.

    The mask of a number follows from the seed, its row and its column alone, so that the backward pass makes it again
    and nothing is stored.

    Parameters
    ----------
    seed : int64 tensor, shape (1,)
        It says on which device the mask is made.
    shape : tuple of ints
        (..., N); rows are counted through all leading axes.
    p : float
        The probability of being dropped, rounded to a multiple of 2^-31.

    Returns
    -------
    A tensor of bool of this shape.
    """
    *leading, n = shape
    m = 1
    for size in leading:
        m *= size
    rows = torch.arange(m, device=seed.device)[:, None]
    quads = torch.arange(-(-n // 4), device=seed.device)[None, :]
    zero = torch.zeros((m, quads.shape[1]), dtype=torch.int64, device=seed.device)
    key = (seed & LOW, seed >> 32 & LOW)
    bits = torch.stack(philox(key, (zero + quads, zero + (rows & LOW), zero + (rows >> 32), zero)), dim=-1)
    return (bits.reshape(m, -1)[:, :n] >> 1 >= threshold(p)).reshape(shape)


def drop(x, seed, p):
    """Dropout with this mask; a dropped infinity is 0, too."""
    return x if seed is None else torch.where(dropout_mask(seed, x.shape, p), x * keep_scale(p), 0.0)
