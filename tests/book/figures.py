"""Compare the figures stored in a notebook with those that a new run draws: nbval never looks at them."""

import base64
import io

import numpy as np
from PIL import Image

# Root mean square over all pixels and channels, 0 to 255. With one matplotlib and its own fonts an unchanged figure
# gives 0.0, one changed digit in a label about 1.5, a curve that moved by a hundredth of the axis about 10.
LARGEST_RMS = 0.5

# The types whose content nbval skips.
TYPES = ("image/png", "image/jpeg")


def figure_problems(stored, fresh):
    """Say how the pictures of two lists of cell outputs differ."""
    old, new = pictures(stored), pictures(fresh)
    if len(old) != len(new):
        return [f"{len(old)} figures are stored, but the code draws {len(new)}."]
    return [
        problem
        for number, (before, after) in enumerate(zip(old, new), start=1)
        if (problem := _difference(f"figure {number}", before, after))
    ]


def pictures(outputs):
    """Return the pictures among cell outputs as float arrays, shape (height, width, 4)."""
    return [_decode(output["data"][mime]) for output in outputs for mime in TYPES if mime in output.get("data", {})]


def root_mean_square(before, after):
    """Return the root mean square difference of two pictures of one size, 0 to 255."""
    return float(np.sqrt(np.mean((before - after) ** 2)))


def _difference(name, before, after):
    if before.shape != after.shape:
        return f"{name} is stored as {_size(before)} pixels, but the code draws {_size(after)}."
    rms = root_mean_square(before, after)
    if rms > LARGEST_RMS:
        return f"{name} differs from the stored one by {rms:.1f} (RMS of 255)."
    return None


def _size(picture):
    height, width = picture.shape[:2]
    return f"{width} x {height}"


def _decode(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGBA"), dtype=float)
