"""The data that networks are trained on: built-in data for a CPU, the paper's data for a GPU, with one interface."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from resnorm_lib._arguments import choice
from resnorm_lib.data import (
    ImageBatches,
    batches,
    load_cifar10,
    load_digits,
    load_fashion_mnist,
    load_mnist,
    load_spirals,
    load_text,
    text_batches,
)
from resnorm_lib.engine.trial_log import TrialLog

__all__ = ["Task", "TextTask", "image_task", "set_apart", "text_task"]

VECTORS = {
    "digits": (load_digits, "the 1,797 handwritten digits of scikit-learn"),
    "spirals": (load_spirals, "1,797 points of ten spirals in 64 dimensions"),
}
IMAGES = {"mnist": load_mnist, "fashion": load_fashion_mnist, "cifar10": load_cifar10}
EVALUATION_BATCH = 2000
DATA, ORDER = 1, 2  # random streams of a trial; 0 is for weights


@dataclass(frozen=True)
class Task:
    """A classification: each iteration over ``train`` is one epoch in a new random order."""

    train: Iterable  # of (x, y), augmented where images are photographs
    train_eval: Iterable  # all of the training data as it is, for evaluation
    test: Iterable
    shape: tuple  # of one x: (64,) for digits, (channels, height, width) for images
    steps: int  # in one epoch
    source: str
    val: Iterable = ()  # of the training images, where no network learns: there a rate is chosen


class _Epochs:
    """Batches of vectors. Each iteration is one epoch in a new random order."""

    def __init__(self, x: Tensor, y: Tensor, batch_size: int, generator: torch.Generator) -> None:
        self.data = x, y, batch_size, generator

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return batches(*self.data, drop_last=True)

    def __len__(self) -> int:
        return len(self.data[0]) // self.data[2]


def set_apart(x: Tensor, y: Tensor, share: float) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Split training data in two: what is learnt from, and the last ``share`` of it, where a rate is chosen.

    Examples
    --------
    >>> (x, _), (held, _) = set_apart(torch.arange(10), torch.arange(10), 0.2)
    >>> len(x), held
    (8, tensor([8, 9]))
    """
    kept = len(x) - round(share * len(x))
    return (x[:kept], y[:kept]), (x[kept:], y[kept:])


def image_task(
    name: str,
    batch_size: int,
    log: TrialLog,
    *,
    augment: bool = True,
    size: int = 0,
    held: float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> Task:
    """Return the :class:`Task` of a data set, on the device of the trial.

    Parameters
    ----------
    name : {"digits", "spirals", "mnist", "fashion", "cifar10"}
        ``"digits"`` and ``"spirals"`` give vectors of 64 features, shuffled or drawn anew for each seed; the others
        images, in the split that they come with.
    batch_size : int
    log : TrialLog
        Gives the device and the random order.
    augment : bool
        Crop (zeros around, 4 pixels) and, for CIFAR-10, mirror; digits are left as they are.
    size : int
        Use so many training images alone; 0 means all.
    held : float
        Share of the training images that is set apart as ``val``, before ``size`` counts.

    Raises
    ------
    ValueError
        If there is no such data set.
    DataMissing
        If it is not on this machine.
    """
    choice("data", name, (*VECTORS, *IMAGES))
    if name in VECTORS:
        return _vectors(*VECTORS[name], batch_size, log, size, held)
    images = IMAGES[name]()
    learnt, val = set_apart(images.x_train, images.y_train, held)
    x, y = (part[: size or None] for part in learnt)
    common = {"mean": images.mean, "std": images.std, "device": log.device, "dtype": dtype}
    common["channels_last"] = log.device.type == "cuda"
    order = log.generator(ORDER, log.device)
    moved = {"crop": 4 if augment else 0, "flip": augment and name == "cifar10"}
    train = ImageBatches(x, y, batch_size, order, **moved, drop_last=True, **common)
    still = {"generator": None, "crop": 0, "flip": False, "drop_last": False, **common}
    evaluated = (x, y), (images.x_test, images.y_test), *([val] if held else ())
    train_eval, test, *val = (ImageBatches(*data, EVALUATION_BATCH, **still) for data in evaluated)
    return Task(train, train_eval, test, tuple(x.shape[1:]), len(train), images.source, *val)


def _vectors(load: Callable, source: str, batch_size: int, log: TrialLog, size: int, held: float) -> Task:
    split = load(log.generator(DATA))
    x, y, x_test, y_test = (part.to(log.device) for part in split)
    learnt, val = set_apart(x, y, held)
    x, y = (part[: size or None] for part in learnt)
    train = _Epochs(x, y, batch_size, log.generator(ORDER))
    return Task(train, [(x, y)], [(x_test, y_test)], (x.shape[1],), len(train), source, [val] if held else ())


@dataclass(frozen=True)
class TextTask:
    """Predict the next character: ``train`` never ends, ``test`` is a fixed set of windows."""

    train: Iterable  # of (x, y), tokens (batch, length) and the same shifted by one
    test: list
    vocab_size: int
    source: str


def text_task(
    name: str, batch_size: int, length: int, log: TrialLog, *, max_chars: int | None = None, test_batches: int = 8
) -> TextTask:
    """Return the :class:`TextTask` of a text, on the device of the trial.

    Parameters
    ----------
    name : {"pydoc", "shakespeare"}
    batch_size, length : int
        Windows in a batch, characters in a window.
    max_chars : int, optional
        Use the beginning of the text alone.
    test_batches : int
        Batches of validation windows; the same for every trial.

    Raises
    ------
    ValueError
        If there is no such text.
    DataMissing
        If it is not on this machine.
    """
    text = load_text(name, max_chars)
    train = text_batches(text.train.to(log.device), batch_size, length, log.generator(ORDER, log.device))
    fixed = torch.Generator(log.device).manual_seed(0)
    windows = text_batches(text.val.to(log.device), batch_size, length, fixed)
    test = [batch for batch, _ in zip(windows, range(test_batches))]
    return TextTask(train, test, len(text.vocabulary), text.source)
