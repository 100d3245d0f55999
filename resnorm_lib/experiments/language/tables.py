"""Tables of counts: what a language model must beat."""

import torch
from torch import Tensor

from resnorm_lib._arguments import positive_int

__all__ = ["table_losses"]


def table_losses(train: Tensor, x: Tensor, y: Tensor, words: int, longest: int) -> list[float]:
    r"""Return the losses in nats of tables that read 0, 1, ..., ``longest`` - 1 characters to predict the next.

    .. math::

        p_k(w \mid c) = \frac{n(c, w) + \alpha\, p_{k-1}(w \mid c')}{n(c) + \alpha}, \qquad \alpha = 5,

    where :math:`n` counts in the training text and :math:`c'` is the context c without its first character. The
    shorter table fills in what the longer has not seen (MacKay and Peto 1995).

    Parameters
    ----------
    train : tensor (n,)
        The training text as integers.
    x, y : tensor (m, T)
        Windows, and the same one character later. Places before ``longest`` - 1 are not scored, so that all tables
        predict the same characters.
    words, longest : int

    Raises
    ------
    ValueError
        If longest is no positive integer, or the windows are shorter.

    Examples
    --------
    >>> text = torch.tensor([0, 1] * 50)
    >>> unigram, bigram = table_losses(text, text[None, :-1], text[None, 1:], words=2, longest=2)
    >>> round(unigram, 2), bigram < 0.05
    (0.69, True)
    """
    if positive_int("longest", longest) > x.shape[1]:
        raise ValueError(f"longest is {longest}, but windows have {x.shape[1]} characters.")
    asked = torch.cat((x, y[:, -1:]), 1)
    p, losses = torch.full((len(x), x.shape[1] + 1 - longest + 1), 1 / words, dtype=torch.float64), []
    for length in range(1, longest + 1):
        powers = words ** torch.arange(length - 1, -1, -1)
        seen = train.unfold(0, length, 1) @ powers
        wanted = (asked.unfold(1, length, 1) @ powers)[:, longest - length :]
        times, before = _count(seen, wanted), _count(seen // words, wanted // words)
        p = (times + 5 * p) / (before + 5)
        losses.append(-p.log().mean().item())
    return losses


def _count(seen: Tensor, wanted: Tensor) -> Tensor:
    """Return how often each of ``wanted`` occurs in ``seen``."""
    values, counts = seen.unique(return_counts=True)
    place = torch.searchsorted(values, wanted.contiguous()).clamp_max(len(values) - 1)
    return torch.where(values[place] == wanted, counts[place], 0).double()
