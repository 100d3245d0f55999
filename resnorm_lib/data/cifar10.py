"""CIFAR-10 (Krizhevsky, 2009): 32 x 32 colour photographs in ten classes."""

import io
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from resnorm_lib.data import images
from resnorm_lib.data.files import DataDamaged, DataMissing, find, read_arrays
from resnorm_lib.data.images import Images

__all__ = ["load_cifar10"]

TITLE, FILE, SIZE = "CIFAR-10", "cifar10_jpegbytes.npz", 32
ARRAYS = ("train_bytes", "train_off", "train_y", "test_bytes", "test_off", "test_y")
ORIGINAL = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
COMPRESSED = (0.4913, 0.4821, 0.4465), (0.2452, 0.2428, 0.2606)  # JPEG takes a little of the contrast away


def load_cifar10(generator: torch.Generator | None = None) -> Images:
    """Return CIFAR-10, 50,000 photographs for training and 10,000 for testing.

    Read from ``cifar10_jpegbytes.npz`` in the folder that RESNORM_DATA names: every image as a JPEG file of its own
    (the bytes of image i lie between ``off[i]`` and ``off[i + 1]``). JPEG loses detail, so ``source`` says so. Decoding
    takes a few seconds; a second call in the same process does not decode again. Where that file is absent, the
    original is read through torchvision from the same folder. Classes, the same in both: airplane, automobile, bird,
    cat, deer, dog, frog, horse, ship, truck.

    Parameters
    ----------
    generator : torch.Generator, optional
        On the CPU; decides the order of the images within each part. Left out, the order is random but always the
        same for the same file, so that a slice from the start is a fair sample.

    Returns
    -------
    Images
        x (n, 3, 32, 32) uint8, y (n,) int64.

    Raises
    ------
    DataMissing
        If the data, or Pillow to decode it, is not on this machine; the message says how to get it.
    DataDamaged
        If the file cannot be read, or an image in it.
    SettingError
        If RESNORM_DATA names no folder.
    """
    path = find(FILE)
    if path:
        stamp = path.stat()
        parts = _decoded(path, stamp.st_size, stamp.st_mtime_ns)
        (mean, std), source = COMPRESSED, f"{TITLE}, JPEG-compressed copy (quality 75, 4:2:0)"
    else:
        parts = _from_torchvision()
        (mean, std), source = ORIGINAL, f"{TITLE}, original, by torchvision"
    generator = generator or torch.Generator().manual_seed(0)
    tensors = [tensor for x, y in parts for tensor in images.shuffled(x, y, generator)]
    return Images(*tensors, mean, std, source)


@lru_cache(maxsize=1)
def _decoded(path: Path, size: int, changed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return images and labels for training and for testing. Size and time of change are keys of the cache alone."""
    arrays = read_arrays(path, ARRAYS)
    parts = []
    for encoded, offsets, y in (arrays[:3], arrays[3:]):
        _check_offsets(path, encoded, offsets, y)
        x = _decode(path, encoded, offsets)
        images.check_part(path, x, y, 3, SIZE)
        parts.append((x, y))
    return parts


def _check_offsets(path: Path, encoded: np.ndarray, offsets: np.ndarray, y: np.ndarray) -> None:
    rows = all(array.ndim == 1 for array in (encoded, offsets, y)) and encoded.dtype == np.uint8
    if not rows or offsets.dtype.kind not in "iu" or len(offsets) != len(y) + 1:
        raise DataDamaged(f"{path} has {offsets.size} offsets for {y.size} labels, but it must be a row of one more.")
    steps = np.diff(offsets.astype(np.int64))
    if offsets[0] != 0 or (steps <= 0).any() or offsets[-1] != len(encoded):
        raise DataDamaged(f"{path} has offsets that do not rise from 0 to the {len(encoded)} bytes of its images.")


def _decode(path: Path, encoded: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise DataMissing("The images of CIFAR-10 are JPEG files: pip install Pillow.") from None
    x = np.empty((len(offsets) - 1, 3, SIZE, SIZE), dtype=np.uint8)
    for i in range(len(x)):
        try:
            with Image.open(io.BytesIO(encoded[offsets[i] : offsets[i + 1]]), formats=["JPEG"]) as image:
                x[i] = np.asarray(image).transpose(2, 0, 1)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise DataDamaged(f"{path}: image {i} is no JPEG of {SIZE} x {SIZE} colour pixels ({error}).") from None
    return x


def _from_torchvision() -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    try:
        x_train, y_train, x_test, y_test = images.torchvision_arrays("CIFAR10")
    except DataMissing as reason:
        raise images.missing(TITLE, FILE, ARRAYS, "CIFAR10", reason) from None
    parts = (x_train.transpose(0, 3, 1, 2), y_train), (x_test.transpose(0, 3, 1, 2), y_test)
    for x, y in parts:
        images.check_part("torchvision's folder", x, y, 3, SIZE)
    return parts
