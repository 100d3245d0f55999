"""A fully convolutional detector: a residual network whose last map looks at each cell of the image by itself.

One cell, one box: Redmon et al. (2016), arXiv:1506.02640. Each cell of 4 x 4 pixels says whether the centre of a
picture lies in it, where exactly, how large the picture is and which.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from resnorm_lib.experiments.vision.boxes import Found, suppress
from resnorm_lib.experiments.vision.canvases import SIDE, Canvases
from resnorm_lib.models import ResNet
from resnorm_lib.norms.registry import Norm

__all__ = ["CELL", "Detector", "detect", "detection_loss", "targets"]

CELL = 4  # pixels
CLASSES = 10
TYPICAL = 9  # pixels: the size of a box whose third number is 0


class Detector(ResNet):
    """Read canvases (N, 1, 32, 32), write cells (N, 8, 8, 14): object, two offsets, size, ten classes.

    It is a :class:`resnorm_lib.models.ResNet` of one stage that leaves out the mean over the image.

    Parameters
    ----------
    depth, width : int
        Blocks and channels.
    scheme : str
        ``"add"``, or ``"plain"`` without shortcuts.
    norm : str, class, callable or None
        As for :func:`resnorm_lib.norms.make_norm`.

    Examples
    --------
    >>> Detector(1, 8)(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 8, 8, 14])
    """

    def __init__(self, depth: int = 3, width: int = 32, scheme: str = "add", norm: Norm = "group") -> None:
        super().__init__(
            "basic", (depth,), (width,), 4 + CLASSES, in_channels=1, stem="imagenet", scheme=scheme, norm=norm
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in self.stages:
            x = stage(x)
        return self.fc(self.activation(self.final_norm(x)).movedim(1, -1))


def targets(canvases: Canvases) -> Tensor:
    """Return what each cell should say (n, 8, 8, 5): object (0 or 1), x and y of the centre in the cell, size, label.

    Without an object the label is -1. Offsets run from 0 to 1; the size is the logarithm of its ratio to nine pixels.
    """
    cells = SIDE // CELL
    wanted = torch.zeros(len(canvases.x), cells, cells, 5)
    wanted[..., 4] = -1
    centre = (canvases.boxes[..., :2] + canvases.boxes[..., 2:]) / 2 / CELL
    size = ((canvases.boxes[..., 2] - canvases.boxes[..., 0]) / TYPICAL).log()
    row, place = (canvases.labels >= 0).nonzero().T
    column, line = centre[row, place].long().unbind(1)
    inside = centre[row, place] % 1
    label = canvases.labels[row, place].float()
    values = torch.stack((torch.ones_like(label), inside[:, 0], inside[:, 1], size[row, place], label), 1)
    wanted[row, line, column] = values
    return wanted


def detection_loss(output: Tensor, wanted: Tensor) -> Tensor:
    """Return the loss, for each picture: cross-entropy of "object" in all cells; of class and box where an object is.

    Parameters
    ----------
    output : tensor of shape (n, 8, 8, 14)
        Of :class:`Detector`.
    wanted : tensor of shape (n, 8, 8, 5)
        Of :func:`targets`.
    """
    there = wanted[..., 0]
    objects = F.binary_cross_entropy_with_logits(output[..., 0], there, reduction="sum")
    boxes = ((output[..., 1:4] - wanted[..., 1:4]).abs() * there[..., None]).sum()
    classes = F.cross_entropy(output[..., 4:].movedim(-1, 1), wanted[..., 4].long(), ignore_index=-1, reduction="sum")
    return (objects + boxes + classes) / there.sum().clamp(min=1)


@torch.no_grad()
def detect(model: Detector, x: Tensor, threshold: float = 0.5) -> list[Found]:
    """Return what the model finds on each canvas: cells that are surer than ``threshold``, doubles suppressed."""
    output = model.eval()(x).cpu()
    scores = output[..., 0].sigmoid()
    grid = torch.arange(SIDE // CELL, dtype=torch.float32)
    centre = CELL * (output[..., 1:3] + torch.stack(torch.meshgrid(grid, grid, indexing="xy"), -1))
    half = TYPICAL / 2 * output[..., 3:4].exp()
    boxes, labels = torch.cat((centre - half, centre + half), -1), output[..., 4:].argmax(-1)
    sure = scores > threshold
    return [suppress(Found(b[s], y[s], p[s])) for b, y, p, s in zip(boxes, labels, scores, sure)]
