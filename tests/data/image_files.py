"""Small data files in the formats of the real ones, filled with images that say who they are."""

import io

import numpy as np
from PIL import Image

from resnorm_lib.data import load_cifar10, load_fashion_mnist, load_mnist

GREY = {"mnist.npz": load_mnist, "fashion.npz": load_fashion_mnist}
LOADERS = {**GREY, "cifar10_jpegbytes.npz": load_cifar10}
CIFAR = "cifar10_jpegbytes.npz"


def grey(n, first=0):
    """Images of one shade each, and labels that the shade determines."""
    shades = np.arange(first, first + n, dtype=np.uint8)
    return np.broadcast_to(shades[:, None, None], (n, 28, 28)), shades % 10


def grey_arrays():
    (x_train, y_train), (x_test, y_test) = grey(30), grey(7, first=100)
    return {"Xt": x_train, "yt": y_train, "Xe": x_test, "ye": y_test}


def colours(n):
    """Colours that differ in each channel, and labels that the colour determines."""
    i = np.arange(n)
    return np.stack([8 * i + 4, 250 - 8 * i, 40 + 5 * (i % 10)], axis=1).astype(np.uint8), (i % 10).astype(np.uint8)


def jpeg(colour, size=(32, 32), mode="RGB"):
    file = io.BytesIO()
    Image.new(mode, size, tuple(map(int, colour)) if mode == "RGB" else 7).save(file, "JPEG", quality=95)
    return file.getvalue()


def cifar_arrays(n=25, encode=jpeg):
    shades, y = colours(n)
    files = [encode(shade) for shade in shades]
    joined = np.frombuffer(b"".join(files), dtype=np.uint8)
    offsets = np.cumsum([0, *map(len, files)]).astype(np.int64)
    return {
        f"{part}_{name}": a
        for part in ("train", "test")
        for name, a in zip(("bytes", "off", "y"), (joined, offsets, y))
    }


def arrays_of(file):
    return cifar_arrays() if file == CIFAR else grey_arrays()


def half_lit(colour):
    """A black image whose right half has the colour; its edge is sharp, between blocks, with no colour shared."""
    file, image = io.BytesIO(), Image.new("RGB", (32, 32))
    image.paste(tuple(map(int, colour)), (16, 0, 32, 32))
    image.save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()
