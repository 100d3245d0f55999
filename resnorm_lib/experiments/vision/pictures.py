"""The pictures of the experiment: rows of pixels with labels, digits of 8 x 8 or larger ones from RESNORM_DATA."""

from typing import NamedTuple

import torch
from torch import Tensor

from resnorm_lib._arguments import choice
from resnorm_lib.data import load_digits, load_fashion_mnist, load_mnist
from resnorm_lib.engine.datasets import set_apart

__all__ = ["HELD", "Pictures", "load_pictures"]

HELD = 0.2  # share of the training pictures from which no network learns: there its rate is chosen
LARGER = {"mnist": load_mnist, "fashion": load_fashion_mnist}


class Pictures(NamedTuple):
    """Pictures of one channel, standardized by one mean and one standard deviation for all pixels."""

    x_train: Tensor  # (n, side * side)
    y_train: Tensor  # (n,), 0 to 9
    x_val: Tensor
    y_val: Tensor
    x_test: Tensor
    y_test: Tensor
    side: int


def load_pictures(
    name: str = "digits", generator: torch.Generator | None = None, device: torch.device | str = "cpu"
) -> Pictures:
    """Return the pictures of a data set on a device.

    Parameters
    ----------
    name : {"digits", "mnist", "fashion"}
    generator : torch.Generator, optional
        Decides the split of the digits; the others come split.
    device : torch.device, optional

    Raises
    ------
    ValueError
        If there is no such data set.
    DataMissing
        If it is not on this machine.

    Examples
    --------
    >>> pictures = load_pictures()
    >>> pictures.x_train.shape, pictures.side
    (torch.Size([1038, 64]), 8)
    """
    if choice("data", name, ("digits", *LARGER)) == "digits":
        parts, side = load_digits(generator), 8
    else:
        images = LARGER[name]()
        x, x_test = (
            (part.flatten(1) / 255 - images.mean[0]) / images.std[0] for part in (images.x_train, images.x_test)
        )
        parts, side = (x, images.y_train, x_test, images.y_test), images.x_train.shape[-1]
    x, y, *test = (part.to(device) for part in parts)
    learnt, val = set_apart(x, y, HELD)
    return Pictures(*learnt, *val, *test, side)
