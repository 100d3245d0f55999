"""Rotary positions: turned by its own position, a query meets a key at an angle that says how far apart they stand."""

import torch
from torch import Tensor

from resnorm_lib._precision import statistics_dtype

__all__ = ["rotate"]


def rotate(x: Tensor, base: float = 10_000.0) -> Tensor:
    r"""Turn the queries or keys (..., T, e) of a head, each by an angle that grows with its position.

    Features i and i + e/2 are a point of a plane, which position t turns by :math:`t\,\theta_i`:

    .. math:: (a_i, b_i) \mapsto (a_i \cos t\theta_i - b_i \sin t\theta_i,\; a_i \sin t\theta_i + b_i \cos t\theta_i),
       \qquad \theta_i = \text{base}^{-2i/e}

    Two such vectors have a scalar product in which only the difference of their positions is left. The angles are
    computed in float32 (float64 for float64).

    Su et al. (2024), arXiv:2104.09864; in which features make a pair is a matter of the program, and it is LLaMA's of
    the transformers package here.

    Raises
    ------
    ValueError
        If e is odd.

    Examples
    --------
    >>> rotate(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))  # position 0 stays, position 1 turns by 1
    tensor([[1.0000, 0.0000],
            [0.5403, 0.8415]])
    """
    length, width = x.shape[-2:]
    if width % 2:
        raise ValueError(f"a head has {width} features, but rotary positions turn pairs of them: it must be even.")
    exact = {"dtype": statistics_dtype(x), "device": x.device}
    theta = base ** (-torch.arange(0, width, 2, **exact) / width)  # (e/2,)
    angle = torch.arange(length, **exact)[:, None] * theta  # (T, e/2)
    cos, sin = angle.cos(), angle.sin()
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1).to(x.dtype)
