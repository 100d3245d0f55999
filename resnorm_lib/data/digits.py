"""The handwritten digits that come with scikit-learn: 1,797 real images of 8 x 8 pixels."""

from typing import NamedTuple

import torch

from resnorm_lib.data.files import DataMissing

__all__ = ["Split", "load_digits"]

NUM_TRAIN = 1297


class Split(NamedTuple):
    """Training and test data."""

    x_train: torch.Tensor  # (1297, 64) float32, standardized by one mean and one deviation
    y_train: torch.Tensor  # (1297,) int64, 0 to 9
    x_test: torch.Tensor  # (500, 64)
    y_test: torch.Tensor  # (500,)


def load_digits(generator: torch.Generator | None = None) -> Split:
    """Return the digits, shuffled and split into 1,297 for training and 500 for testing.

    Pixels run from 0 to 16; they are divided by 16, and the mean and the standard deviation of the training pixels
    are taken off: one number each for all pixels, so that the corners, which never vary, stay finite.

    Parameters
    ----------
    generator : torch.Generator, optional
        Decides the shuffle. Left out, the split is the same everywhere.

    Raises
    ------
    DataMissing
        If scikit-learn is not installed.

    Examples
    --------
    >>> split = load_digits()
    >>> split.x_train.shape, split.x_test.shape
    (torch.Size([1297, 64]), torch.Size([500, 64]))
    """
    try:
        from sklearn import datasets
    except ModuleNotFoundError:
        raise DataMissing("The digits come with scikit-learn: pip install scikit-learn.") from None

    raw = datasets.load_digits()
    generator = generator or torch.Generator().manual_seed(0)
    order = torch.randperm(len(raw.target), generator=generator)
    x = torch.tensor(raw.data, dtype=torch.float32)[order] / 16
    y = torch.tensor(raw.target, dtype=torch.int64)[order]
    x = (x - x[:NUM_TRAIN].mean()) / x[:NUM_TRAIN].std()
    return Split(x[:NUM_TRAIN], y[:NUM_TRAIN], x[NUM_TRAIN:], y[NUM_TRAIN:])
