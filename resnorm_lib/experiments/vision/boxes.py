"""Boxes (x0, y0, x1, y1): how much two overlap, which of several stay, and how many of the true ones were found."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Found", "count_found", "iou", "precision_recall_f1", "suppress", "without_labels"]


class Found(NamedTuple):
    """What a detector says of one canvas, or what is true of it (then all scores are 1)."""

    boxes: Tensor  # (n, 4), in pixels
    labels: Tensor  # (n,)
    scores: Tensor  # (n,), 0 to 1


def iou(a: Tensor, b: Tensor) -> Tensor:
    r"""Return intersection over union, :math:`|A \cap B| / |A \cup B|`, of boxes that broadcast against each other.

    Examples
    --------
    >>> iou(torch.tensor([0.0, 0.0, 2.0, 2.0]), torch.tensor([1.0, 0.0, 3.0, 2.0]))
    tensor(0.3333)
    """
    corner, other = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    common = (other - corner).clamp(min=0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(-1) for box in (a, b)]
    return common / (areas[0] + areas[1] - common)


def suppress(found: Found, overlap: float = 0.3) -> Found:
    """Return the boxes that overlap with no better-scored one by more than ``overlap``, the best first.

    This is greedy non-maximum suppression: several windows fire at one object, and one box shall stay.
    """
    order = found.scores.argsort(descending=True, stable=True)
    boxes, kept = found.boxes[order], []
    overlaps = (iou(boxes[:, None], boxes[None]) > overlap).tolist()
    for place, row in enumerate(overlaps):
        if not any(row[better] for better in kept):
            kept.append(place)
    return Found(*(part[order[kept]] for part in found))


def count_found(found: Found, truth: Found, overlap: float = 0.5) -> int:
    """Return how many true boxes were found.

    Each is found by one box of its label that overlaps with it at least so much; the best score chooses first.
    """
    matches = (iou(found.boxes[:, None], truth.boxes[None]) >= overlap) & (found.labels[:, None] == truth.labels)
    free = [True] * len(truth.labels)
    for place in found.scores.argsort(descending=True, stable=True).tolist():
        for true, match in enumerate(matches[place].tolist()):
            if match and free[true]:
                free[true] = False
                break
    return free.count(False)


def precision_recall_f1(found: list[Found], truth: list[Found], overlap: float = 0.5) -> tuple[float, float, float]:
    r"""Return precision, recall and F1 over all canvases.

    .. math::

        P = \frac{\text{right boxes}}{\text{boxes}}, \qquad R = \frac{\text{right boxes}}{\text{true boxes}}, \qquad
        F_1 = \frac{2PR}{P+R}

    Parameters
    ----------
    found, truth : lists of Found
        One entry a canvas.
    overlap : float
        A box is right if it has the label of a true one and an IoU of at least this, and no better box took it.
    """
    right = sum(count_found(*pair, overlap) for pair in zip(found, truth))
    given, true = (sum(len(entry.labels) for entry in entries) for entries in (found, truth))
    return right / max(1, given), right / max(1, true), 2 * right / max(1, given + true)


def without_labels(entries: list[Found]) -> list[Found]:
    """Return the same boxes, all of one label, to ask whether something was found and not what."""
    return [entry._replace(labels=torch.zeros_like(entry.labels)) for entry in entries]
