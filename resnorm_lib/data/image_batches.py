"""Batches of images, cropped and flipped at random on the device where they live."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from resnorm_lib import _arguments
from resnorm_lib.data.batches import check_pair, epoch_order, parts

__all__ = ["ImageBatches"]

PADDINGS = ("zero", "reflect")


class ImageBatches:
    r"""A training set as batches: shuffled, cropped, flipped and normalized anew in every epoch.

    He et al. (2016, section 4.2) pad each side of an image by 4 pixels, cut a window of the old size out of it at
    random, and mirror every second image on average. Here the padded set lies on the device, as many bytes as it has
    pixels, and a batch is one indexing operation:

    .. math:: \text{batch}_i = \big(\text{window}_{t_i, l_i}(\text{image}_{p_i}) / 255 - \text{mean}) / \text{std}

    with an order p, rows t and columns l drawn for the whole epoch at once, where the generator is, so that a generator
    on the CPU gives the same batches on every device. ``for x, y in batches`` is one epoch.

    Parameters
    ----------
    x : torch.Tensor
        (n, c, h, w), uint8 from 0 to 255; or floating point, then taken as it is and never divided by 255.
    y : torch.Tensor
        (n,) or longer.
    batch_size : int
    generator : torch.Generator, optional
        Left out, images come in their own order, and crop must be 0 and flip False: so a test set is read.
    mean, std : sequence of float, optional
        One number a channel, as a part of 255. Left out, pixels are only divided by 255. Not for floating-point x.
    crop : int
        Pixels of padding on each side; 0 leaves the images as they are.
    flip : bool
        Mirror left and right with probability 1/2.
    padding : str
        "zero", which is black for uint8, or "reflect", which mirrors the image at its edge.
    drop_last : bool
        Leave out the last batch where it is smaller than the others.
    device : torch.device or str, optional
        Where the set lives and batches are made; by default where x is.
    dtype : torch.dtype
        Of the batches; floating point. Normalization is computed in float32 and rounded once.
    channels_last : bool
        Keep memory in the order (n, h, w, c), which convolutions on a GPU prefer; shapes stay the same.

    Raises
    ------
    ValueError
        If an argument has a wrong shape, type or value; the message names it.

    Examples
    --------
    >>> x = torch.arange(10 * 64, dtype=torch.int32).remainder(256).to(torch.uint8).reshape(10, 1, 8, 8)
    >>> train = ImageBatches(x, torch.arange(10), 4, torch.Generator().manual_seed(0), mean=(0.5,), std=(0.25,), crop=2)
    >>> [tuple(images.shape) for images, labels in train]
    [(4, 1, 8, 8), (4, 1, 8, 8), (2, 1, 8, 8)]
    >>> len(train)
    3
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        batch_size: int,
        generator: torch.Generator | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        crop: int = 4,
        flip: bool = True,
        padding: str = "zero",
        drop_last: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
    ) -> None:
        device = x.device if device is None else torch.device(device)
        self.batch_size = _arguments.positive_int("batch_size", batch_size)
        self.crop = _arguments.positive_int("crop", crop, at_least=0)
        self.flip = _arguments.flag("flip", flip)
        self.drop_last = _arguments.flag("drop_last", drop_last)
        self.generator, self.dtype = generator, dtype
        _arguments.choice("padding", padding, PADDINGS)
        _check_images(x, dtype)
        if generator is None and (crop or flip):
            raise ValueError(f"generator is None, but crop={crop} and flip={flip} need one to draw from.")
        self.scale, self.shift = _affine(x, mean, std, device)
        self.y = y.to(device)
        layout = torch.channels_last if _arguments.flag("channels_last", channels_last) else torch.contiguous_format
        padded = _padded(x.to(device), self.crop, padding).contiguous(memory_format=layout)
        # (n, 2 crop + 1, 2 crop + 1, c, h, w): every window of every image, as a view of the padded set
        self.windows = padded.unfold(2, x.shape[2], 1).unfold(3, x.shape[3], 1).permute(0, 2, 3, 1, 4, 5)
        check_pair(self.windows, self.y)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        full, rest = divmod(len(self.y), self.batch_size)
        return full + bool(rest and not self.drop_last)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield x (b, c, h, w) of the chosen dtype and y (b, ...) until every image was seen once."""
        n, device = len(self.y), self.y.device
        order = epoch_order(n, self.generator, device)
        top, left = self._draw(n, 2 * self.crop + 1), self._draw(n, 2 * self.crop + 1)
        mirrored = self._draw(n, 2 if self.flip else 1).bool().view(n, 1, 1, 1)
        pieces = (parts(drawn, self.batch_size, self.drop_last) for drawn in (order, top, left, mirrored))
        for index, rows, columns, mirror in zip(*pieces):
            x = self.windows[index, rows, columns]
            if self.flip:
                x = torch.where(mirror, x.flip(3), x)
            yield self._normalized(x), self.y[index]

    def _draw(self, n: int, below: int) -> Tensor:
        """Return n integers from 0 to below - 1 on the device of the images."""
        if below == 1:
            return torch.zeros(n, dtype=torch.int64, device=self.y.device)
        drawn = torch.randint(below, (n,), generator=self.generator, device=self.generator.device)
        return drawn.to(self.y.device)

    def _normalized(self, x: Tensor) -> Tensor:
        if self.scale is None:
            return x.to(self.dtype)
        return x.float().mul_(self.scale).add_(self.shift).to(self.dtype)


def _check_images(x: Tensor, dtype: torch.dtype) -> None:
    if x.ndim != 4 or not (x.dtype == torch.uint8 or x.is_floating_point()):
        raise ValueError(
            f"x has shape {tuple(x.shape)} and type {x.dtype}, but it must be (n, c, h, w), uint8 or floating point."
        )
    if not dtype.is_floating_point:
        raise ValueError(f"dtype is {dtype}, but it must be a floating-point type.")


def _affine(
    x: Tensor, mean: Sequence[float] | None, std: Sequence[float] | None, device: torch.device
) -> tuple[Tensor | None, Tensor | None]:
    """Return scale and shift with (x / 255 - mean) / std = scale x + shift, or twice None for floating-point x."""
    if x.is_floating_point():
        if mean is not None or std is not None:
            raise ValueError("mean and std are given, but x is floating point, which is taken as normalized already.")
        return None, None
    channels = x.shape[1]
    mean = torch.tensor([0.0] * channels if mean is None else list(mean), dtype=torch.float64)
    std = torch.tensor([1.0] * channels if std is None else list(std), dtype=torch.float64)
    if len(mean) != channels or len(std) != channels or not (std > 0).all():
        raise ValueError(
            f"mean is {mean.tolist()} and std {std.tolist()}, but x has {channels} channels, each with std > 0."
        )
    affine = torch.stack([1 / (255 * std), -mean / std]).view(2, channels, 1, 1)
    return affine.float().to(device).unbind()


def _padded(x: Tensor, crop: int, padding: str) -> Tensor:
    if padding == "zero" or not crop:
        return functional.pad(x, (crop,) * 4)
    height, width = x.shape[2:]
    if crop >= min(height, width):
        raise ValueError(
            f"crop is {crop}, but to reflect it must be less than the size of an image, {height} x {width}."
        )
    rows, columns = (_reflected(size, crop).to(x.device) for size in (height, width))
    return x[:, :, rows[:, None], columns]


def _reflected(size: int, crop: int) -> Tensor:
    """Return the indices crop, ..., 1, 0, 1, ..., size - 1, size - 2, ..., size - 1 - crop."""
    return (size - 1) - ((size - 1) - torch.arange(-crop, size + crop).abs()).abs()
