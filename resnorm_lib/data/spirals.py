"""Ten spirals in a plane of a space with 64 dimensions: a task that no linear map can do, and on which depth pays."""

import math

import torch

from resnorm_lib.data.digits import NUM_TRAIN, Split

__all__ = ["load_spirals"]

CLASSES, FEATURES, IMAGES = 10, 64, 1797


def load_spirals(generator: torch.Generator | None = None, turns: float = 0.5, noise: float = 0.05) -> Split:
    r"""Return points on ten spirals, split into 1,297 for training and 500 for testing, like the digits.

    A point of class :math:`k` at the radius :math:`r` has the angle

    .. math:: \varphi = 2\pi\left(\frac{k}{10} + \text{turns} \cdot r\right) + \text{noise} \cdot \xi, \qquad
              \xi \sim \mathcal{N}(0, 1),

    with :math:`r^2` uniform between 0 and 1. The plane lies at random in 64 dimensions, and the mean square of a
    feature is 1, as for the digits.

    Parameters
    ----------
    generator : torch.Generator, optional
        Draws the points and the plane. Left out, they are the same everywhere.
    turns : float
        By how many turns a spiral winds from the centre to the edge.
    noise : float
        Standard deviation of the angle, in radians.

    Examples
    --------
    >>> split = load_spirals()
    >>> split.x_train.shape, split.x_test.shape, round(split.x_train.square().mean().item(), 6)
    (torch.Size([1297, 64]), torch.Size([500, 64]), 1.0)
    """
    generator = generator or torch.Generator().manual_seed(0)
    y = torch.randint(CLASSES, (IMAGES,), generator=generator)
    radius = torch.rand(IMAGES, generator=generator).sqrt()
    angle = 2 * math.pi * (y / CLASSES + turns * radius) + noise * torch.randn(IMAGES, generator=generator)
    plane, _ = torch.linalg.qr(torch.randn(FEATURES, 2, generator=generator))
    x = torch.stack((radius * angle.cos(), radius * angle.sin()), 1) @ plane.T
    x = x / x[:NUM_TRAIN].square().mean().sqrt()
    return Split(x[:NUM_TRAIN], y[:NUM_TRAIN], x[NUM_TRAIN:], y[NUM_TRAIN:])
