"""MNIST (LeCun et al., 1998) and Fashion-MNIST (Xiao et al., 2017): 28 x 28 grey images in ten classes."""

import numpy as np
import torch

from resnorm_lib.data import images
from resnorm_lib.data.files import DataMissing, find, read_arrays
from resnorm_lib.data.images import Images

__all__ = ["load_fashion_mnist", "load_mnist"]

SIZE = 28
ARRAYS = ("Xt", "yt", "Xe", "ye")
KERAS_ARRAYS = ("x_train", "y_train", "x_test", "y_test")  # the mnist.npz that Keras downloads


def load_mnist(generator: torch.Generator | None = None) -> Images:
    """Return MNIST, 60,000 handwritten digits for training and 10,000 for testing.

    Read from ``mnist.npz`` in the folder that RESNORM_DATA names (arrays Xt, yt, Xe, ye, or x_train, y_train, x_test,
    y_test as in the file that Keras downloads), or else through torchvision from the same folder.

    Parameters
    ----------
    generator : torch.Generator, optional
        On the CPU; decides the order of the images within each part. Left out, the order is random but always the
        same for the same file, so that a slice from the start is a fair sample.

    Returns
    -------
    Images
        x (n, 1, 28, 28) uint8, y (n,) int64.

    Raises
    ------
    DataMissing
        If the data is not on this machine; the message says how to get it.
    DataDamaged
        If the file cannot be read or does not hold what it must.
    SettingError
        If RESNORM_DATA names no folder.
    """
    return _load("MNIST", "mnist.npz", "MNIST", (0.1307,), (0.3081,), generator)


def load_fashion_mnist(generator: torch.Generator | None = None) -> Images:
    """Return Fashion-MNIST, 60,000 pictures of clothes for training and 10,000 for testing.

    Read from ``fashion.npz`` (arrays Xt, yt, Xe, ye) in the folder that RESNORM_DATA names, or else through torchvision
    from the same folder. Classes: T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot.
    Argument, result and errors are those of :func:`load_mnist`.
    """
    return _load("Fashion-MNIST", "fashion.npz", "FashionMNIST", (0.2860,), (0.3530,), generator)


def _load(
    title: str, file: str, name: str, mean: tuple[float, ...], std: tuple[float, ...], generator: torch.Generator | None
) -> Images:
    path = find(file)
    if path:
        where, arrays = str(path), read_arrays(path, ARRAYS, KERAS_ARRAYS)
        source = f"{title}, {file}"
    else:
        where, arrays = "torchvision's folder", _from_torchvision(title, file, name)
        source = f"{title}, by torchvision"
    generator = generator or torch.Generator().manual_seed(0)
    parts = []
    for x, y in (arrays[:2], arrays[2:]):
        x = x[:, None] if x.ndim == 3 else x
        images.check_part(where, x, y, 1, SIZE)
        parts += images.shuffled(x, y, generator)
    return Images(*parts, mean, std, source)


def _from_torchvision(title: str, file: str, name: str) -> list[np.ndarray]:
    try:
        return images.torchvision_arrays(name)
    except DataMissing as reason:
        raise images.missing(title, file, ARRAYS, name, reason) from None
