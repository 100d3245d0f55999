"""The two tasks: which word is spoken, and what the next year of a series brings."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Generator, Tensor, nn

from resnorm_lib.data import batches, load_co2, load_words
from resnorm_lib.data.words import spectrogram, through_filter
from resnorm_lib.engine.training import endless
from resnorm_lib.residual import BranchPosition, ResidualStack

__all__ = ["SoundNet", "Windows", "Words", "co2_windows", "make_words", "shuffled"]

WINDOW, HORIZON = 36, 12  # months read, months forecast
TRAIN_SHARE = 0.65  # of the series; what is forecast in the test lies behind it
HELD = 48  # of its last windows, from which no network learns


class Words(NamedTuple):
    """Spectrograms (n, bands, frames) without their loudness; each band has mean 0 and deviation 1 in training."""

    x_train: Tensor
    y_train: Tensor
    x_val: Tensor  # where the rate is chosen
    y_val: Tensor
    x_test: Tensor
    y_test: Tensor
    x_other: Tensor  # the test recordings through another microphone


def make_words(generator: Generator | None, train: int = 400, noise: float = 0.7, slope: float = 0.7) -> Words:
    """Return the words as spectrograms, and the test words through a microphone that favours high frequencies."""
    generator = generator or Generator().manual_seed(0)
    split, (held, y_held, *_) = load_words(generator, train, 300, noise), load_words(generator, 300, 1, noise)
    sounds = split.x_train, held, split.x_test, through_filter(split.x_test, slope)
    x, val, test, other = (_without_loudness(spectrogram(sound)) for sound in sounds)
    mean, std = x.mean((0, 2), keepdim=True), x.std((0, 2), keepdim=True)
    x, val, test, other = ((part - mean) / std for part in (x, val, test, other))
    return Words(x, split.y_train, val, y_held, test, split.y_test, other)


def _without_loudness(spectrograms: Tensor) -> Tensor:
    """Subtract from each recording its mean over bands and time, one number."""
    return spectrograms - spectrograms.mean((1, 2), keepdim=True)


class Windows(NamedTuple):
    """Windows of a series and what follows each, in the units of the series."""

    x_train: Tensor  # (n, 36)
    y_train: Tensor  # (n, 12)
    x_val: Tensor  # where the rate is chosen
    y_val: Tensor
    x_test: Tensor
    y_test: Tensor
    mean: float  # of the training windows: by these two a model's numbers are scaled
    std: float


def co2_windows() -> Windows:
    """Return three years of carbon dioxide and the year after them.

    Training ends with June 1982, the months forecast for validation with July 1986; those of the test follow.
    """
    series = load_co2()
    pieces = series.unfold(0, WINDOW + HORIZON, 1)
    end = int(TRAIN_SHARE * len(series)) - WINDOW - HORIZON
    parts = slice(end - HELD), slice(end - HELD + HORIZON, end), slice(end + HORIZON, None)
    split = [part for at in parts for part in (pieces[at, :WINDOW], pieces[at, WINDOW:])]
    return Windows(*split, split[0].mean().item(), split[0].std().item())


class SoundNet(nn.Module):
    r"""Map spectrograms (N, bands, T) to logits: branches ReLU, convolution over time, between a convolution in and the
    mean over time.

    Parameters
    ----------
    bands, classes, width, depth : int
        ``depth`` counts branches.
    scheme, norm : str
        As for :class:`resnorm_lib.residual.Residual`; features are the channels.
    """

    def __init__(self, bands: int, classes: int, width: int, depth: int, scheme: str, norm: str) -> None:
        super().__init__()
        self.embed = nn.Conv1d(bands, width, 5, stride=2, padding=2)
        branches = [_branch(width) for _ in range(depth)]
        position = BranchPosition(feature_axis=1)
        self.blocks = ResidualStack(branches, width, scheme, norm=norm, position=position)
        self.final_norm = self.blocks.make_final_norm(norm)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.final_norm(self.blocks(self.embed(x))).relu().mean(-1))


def _branch(width: int) -> nn.Sequential:
    convolution = nn.Conv1d(width, width, 3, padding=1)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    nn.init.zeros_(convolution.bias)
    return nn.Sequential(nn.ReLU(), convolution)


def shuffled(x: Tensor, y: Tensor, batch_size: int, generator: Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over batches without end, each epoch in a new random order."""
    return endless(lambda: batches(x, y, min(batch_size, len(x)), generator, drop_last=True))
