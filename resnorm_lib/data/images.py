"""Sets of images: what every loader returns, and the steps that all of them share."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from resnorm_lib import runtime
from resnorm_lib.data.files import DataDamaged, DataMissing

__all__ = ["Images"]

NUM_CLASSES = 10


class Images(NamedTuple):
    """Training and test images as they are stored: whole numbers from 0 to 255, not yet normalized."""

    x_train: torch.Tensor  # (n, c, h, w) uint8
    y_train: torch.Tensor  # (n,) int64, 0 to 9
    x_test: torch.Tensor  # (m, c, h, w) uint8
    y_test: torch.Tensor  # (m,) int64
    mean: tuple  # c floats: mean of a channel over all training pixels, divided by 255
    std: tuple  # c floats: standard deviation of a channel, divided by 255
    source: str  # what was read, to print beside every number that comes from it


def torchvision_arrays(name: str) -> list[np.ndarray]:
    """Return train images, train labels, test images, test labels as torchvision keeps them; nothing is downloaded.

    Raises
    ------
    DataMissing
        If RESNORM_DATA is not set, torchvision is not installed, or it does not find the data there.
    """
    folder = runtime.data_folder()
    if folder is None:
        raise DataMissing("RESNORM_DATA is not set")
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        raise DataMissing(f"torchvision cannot be imported: {error}") from None
    try:
        parts = [getattr(datasets, name)(root=str(folder), train=train, download=False) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        raise DataMissing(f"torchvision says: {str(error).partition('.')[0]}") from None
    return [np.asarray(array) for part in parts for array in (part.data, part.targets)]


def missing(title: str, file: str, arrays: Sequence[str], name: str, reason: object) -> DataMissing:
    """Return the error for a set of images that is not on this machine."""
    return DataMissing(
        f"{title} is not on this machine ({reason}): set the environment variable RESNORM_DATA to a folder that holds "
        f"{file} (arrays {', '.join(arrays)}), or to one that torchvision.datasets.{name}(folder, download=True) has "
        f"filled, with torchvision installed."
    )


def check_part(where: str | Path, images: np.ndarray, labels: np.ndarray, channels: int, size: int) -> None:
    """Raise :class:`DataDamaged` unless images are (n, c, size, size) uint8 with n labels from 0 to 9."""
    shape = (len(labels), channels, size, size)
    if images.shape != shape or images.dtype != np.uint8:
        raise DataDamaged(
            f"{where} holds images of shape {images.shape} and type {images.dtype}, but {len(labels)} labels want "
            f"{shape} and uint8."
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
        raise DataDamaged(
            f"{where} holds labels of shape {labels.shape} and type {labels.dtype}, not a row of integers."
        )
    if labels.min() < 0 or labels.max() >= NUM_CLASSES:
        raise DataDamaged(f"{where} holds labels from {labels.min()} to {labels.max()}, but they must be 0 to 9.")


def shuffled(images: np.ndarray, labels: np.ndarray, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return copies in random order as tensors: files may be sorted by class, and then a slice shows one class only."""
    order = torch.randperm(len(labels), generator=generator).numpy()
    copies = np.ascontiguousarray(images[order]), labels[order].astype(np.int64)
    return tuple(map(torch.from_numpy, copies))
