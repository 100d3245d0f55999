"""How good are pictures that a network made? Right class, fidelity and diversity, beside held-out pictures."""

import torch
from torch import Tensor

__all__ = ["nearest_label", "precision_recall"]


def nearest_label(x: Tensor, real: Tensor, labels: Tensor) -> Tensor:
    """Return for each row of x the label of the nearest real row: the judge that needs no training.

    Examples
    --------
    >>> nearest_label(torch.tensor([[0.9]]), torch.tensor([[0.0], [1.0]]), torch.tensor([7, 3]))
    tensor([3])
    """
    return labels[torch.cdist(x, real).argmin(1)]


def precision_recall(made: Tensor, real: Tensor, k: int = 3) -> tuple[float, float]:
    r"""Return precision and recall of made pictures: Kynkäänniemi et al. (2019), arXiv:1904.06991, on pixels.

    A picture counts as covered by a set if, for some member of the set, it is no farther away than the k-th nearest
    other member. Precision: the share of made pictures that the real ones cover (fidelity). Recall: the share of real
    pictures that the made ones cover (diversity). Compare sets of equal size.

    Parameters
    ----------
    made, real : tensors of shape (n, pixels)
    k : int

    Examples
    --------
    >>> points = torch.arange(8.0)[:, None]
    >>> precision_recall(points + 0.5, points), precision_recall(points[:4] / 100, points)
    ((1.0, 1.0), (1.0, 0.125))
    """
    distance = torch.cdist(made, real)
    precision = (distance <= _radius(real, k)).any(1).double().mean()
    recall = (distance <= _radius(made, k)[:, None]).any(0).double().mean()
    return precision.item(), recall.item()


def _radius(x: Tensor, k: int) -> Tensor:
    """Return the distance of each row to its k-th nearest other row."""
    return torch.cdist(x, x).kthvalue(k + 1, dim=1).values
