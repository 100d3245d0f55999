"""Canvases with several pictures each: where to put them, and how to draw them at any size."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from resnorm_lib.experiments.vision.boxes import Found, iou

__all__ = ["SIDE", "Canvases", "make_canvases"]

SIDE = 32  # pixels of a canvas
SIZES = (8, 10)  # of a picture on it: smallest and largest
COUNTS = (2, 4)  # pictures on a canvas
PROPOSALS = 16  # places tried for each canvas
NOISE = 0.05  # standard deviation; ink is at most 1


class Canvases(NamedTuple):
    """Canvases and what is on them; a place that holds nothing has the label -1."""

    x: Tensor  # (n, 1, SIDE, SIDE)
    boxes: Tensor  # (n, 4, 4): x0, y0, x1, y1 in pixels
    labels: Tensor  # (n, 4), 0 to 9 or -1

    def truth(self) -> list[Found]:
        """Return the true boxes of each canvas."""
        there = self.labels >= 0
        return [Found(b[t], y[t], torch.ones(int(t.sum()))) for b, y, t in zip(self.boxes, self.labels, there)]


def make_canvases(
    pictures: Tensor, labels: Tensor, count: int, generator: torch.Generator, *, noise: float = NOISE
) -> Canvases:
    """Return canvases of two to four pictures each, of random size, place and contrast, which do not overlap.

    Parameters
    ----------
    pictures : tensor of shape (n, side * side)
        One row a picture; the smallest value is taken as the paper.
    labels : tensor of shape (n,)
    count : int
        Canvases.
    generator : torch.Generator
    noise : float
        Standard deviation of what is added to each pixel; ink is at most 1.
    """
    boxes, there = _places(count, generator)
    drawn = torch.randint(len(labels), there.shape, generator=generator)
    side = round(pictures.shape[1] ** 0.5)
    ink = pictures[drawn.flatten()].view(-1, 1, side, side)
    ink = (ink - pictures.min()) / (pictures.max() - pictures.min())
    contrast = 0.5 + 0.5 * torch.rand(count, 1, 1, 1, generator=generator)
    layers = _draw(ink, boxes.flatten(0, 1)).view(count, -1, SIDE, SIDE) * there[..., None, None]
    x = contrast * layers.sum(1, keepdim=True)
    x = x + noise * torch.randn(x.shape, generator=generator)
    return Canvases(x, boxes, torch.where(there, labels[drawn], -1))


def _places(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return boxes (count, 4, 4), and which of them are used.

    Places are drawn at random and tried in turn; a place is kept if it is free and another picture is wanted.
    """
    low, high = SIZES
    size = low + (high - low) * torch.rand(count, PROPOSALS, 1, generator=generator)
    corner = torch.rand(count, PROPOSALS, 2, generator=generator) * (SIDE - size)
    boxes = torch.cat((corner, corner + size), 2)
    wanted = torch.randint(COUNTS[0], COUNTS[1] + 1, (count,), generator=generator)
    kept = torch.zeros(count, PROPOSALS, dtype=torch.bool)
    for place in range(PROPOSALS):
        taken = (iou(boxes[:, place : place + 1], boxes) > 0) & kept
        kept[:, place] = ~taken.any(1) & (kept.sum(1) < wanted)
    first = kept.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, : COUNTS[1]]
    rows = torch.arange(count)[:, None]
    return boxes[rows, first], kept[rows, first]


def _draw(ink: Tensor, boxes: Tensor) -> Tensor:
    """Return one canvas a box, the picture (n, 1, side, side) drawn into it, 0 elsewhere."""
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    grid = torch.arange(SIDE) + 0.5  # centres of pixels
    x, y = (((grid - centre[:, axis, None]) / half[:, axis, None]) for axis in (0, 1))  # -1 to 1 inside the box
    where = torch.stack((x[:, None, :].expand(-1, SIDE, -1), y[:, :, None].expand(-1, -1, SIDE)), -1)
    return F.grid_sample(ink, where, align_corners=False)
