"""The rows of a report: a stream at one depth, one call of a norm, the units of one call of a ReLU."""

from typing import NamedTuple

__all__ = ["NormGain", "Point", "Row", "Stream", "Units"]


class Point(NamedTuple):
    r"""A stream :math:`h_\ell` at one depth, and the addition :math:`h_\ell = s + b` that made it.

    A value is ``None`` where it does not exist or could not be measured. Sums run over all entries of the batch, in
    float32, or in float64 for float64.
    """

    depth: int
    r""":math:`\ell`, from 0"""
    module: str
    """where the addition is made; at depth 0, where the first one is"""
    shortcut: str
    """``"identity"``; ``"modified"`` (scaled, gated, pooled, padded, ...); ``"projection"``; ``""`` at depth 0"""
    shape: tuple[int, ...]
    r"""of :math:`h_\ell`"""
    rms: float | None
    r"""root mean square, :math:`\sqrt{\frac1n \sum h^2}`, in the stream's own units"""
    mean: float | None
    r""":math:`\frac1n \sum h`"""
    branch_ratio: float | None
    r""":math:`\lVert b \rVert / \lVert s \rVert`, with s and b as they are added"""
    cosine: float | None
    r""":math:`s \cdot b \,/\, \lVert s \rVert \lVert b \rVert`; 0 if the two are unrelated"""
    gradient_norm: float | None
    r""":math:`\lVert \partial \mathcal{L} / \partial h_\ell \rVert`, of the loss for the whole batch"""
    gradient_correlation: float | None
    r"""mean cosine between the gradients of two different samples,
    :math:`\frac{1}{N(N-1)} \sum_{i \ne j} u_i \cdot u_j` with :math:`u_i = g_i / \lVert g_i \rVert`"""
    token_rank: float | None
    r"""effective rank of the tokens (or pixels) of a sample,
    :math:`(\sum_i \sigma_i^2)^2 / \sum_i \sigma_i^4` of their singular values, the mean over samples: from 1, when all
    point the same way, to at most min(T, d); never below the stable rank"""


class Stream(NamedTuple):
    """A residual stream."""

    name: str
    """what the names of its modules have in common"""
    points: tuple[Point, ...]
    """a :class:`Point` for each depth"""


class NormGain(NamedTuple):
    r"""What one call of a norm does to sizes."""

    module: str
    kind: str
    """name of the function or of the class"""
    gain: float
    r""":math:`\mathrm{rms}(y) / \mathrm{rms}(x)`"""
    slope: float | None
    r"""the root mean square :math:`\sqrt{\overline{w_i^2 / \sigma_r^2}}` of weight over sigma, over features i and rows
    (or channels, or groups) r, with :math:`\sigma_r` what the norm divides by, eps included. A small change of the
    input comes out times this, as long as it leaves the statistics alone. ``None`` for a norm of unknown make that
    centres or shifts"""


class Units(NamedTuple):
    """The units (features or channels) that one call of a ReLU gives out."""

    module: str
    kind: str
    units: int
    dead: float
    """share of the units that are zero for every sample, token and pixel of the batch"""


Row = Point | NormGain | Units  # of one of a report's tables
