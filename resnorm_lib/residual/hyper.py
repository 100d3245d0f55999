"""Hyper-connections: n streams, and a learned way between them and each branch."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnorm_lib._arguments import flag, positive_int
from resnorm_lib._precision import statistics_dtype
from resnorm_lib.norms.registry import Norm
from resnorm_lib.residual.position import BranchPosition
from resnorm_lib.residual.registry import named
from resnorm_lib.residual.scheme import Branch, Scheme, identity, same_shape

__all__ = ["HyperConnections", "StochasticHyperConnections", "sinkhorn"]


def sinkhorn(logits: Tensor, iterations: int = 20) -> Tensor:
    r"""Return a matrix with positive entries whose rows and columns all sum to 1, as nearly as the iterations get.

    From :math:`e^{A}`, divide the columns by their sums, then the rows, and again (in logarithms, so that nothing
    overflows). The rows sum to 1 up to rounding, because they come last; the columns approach it.

    Parameters
    ----------
    logits : tensor (..., n, n)
        A.
    iterations : int, default 20

    Raises
    ------
    ValueError
        If the last two axes differ or ``iterations`` is less than 1.

    References
    ----------
    Sinkhorn and Knopp (1967), Pacific Journal of Mathematics 21(2), 343-348.

    Examples
    --------
    >>> sinkhorn(torch.zeros(2, 2))
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    if logits.dim() < 2 or logits.shape[-1] != logits.shape[-2]:
        raise ValueError(f"logits has shape {tuple(logits.shape)}, but the last two axes must be equal.")
    log = logits.to(statistics_dtype(logits))
    for _ in range(positive_int("iterations", iterations)):
        log = log - log.logsumexp(-2, keepdim=True)
        log = log - log.logsumexp(-1, keepdim=True)
    return log.exp().to(logits.dtype)


@named("hyper_connections", r"R H + w F(N(r H))", "a product of matrices")
class HyperConnections(Scheme):
    r"""n streams; a branch reads a mixture of them and writes to all, and they mix with each other.

    .. math::

        H_i \leftarrow \sum_j R_{ij} H_j + w_i\, F\Big(N\Big(\sum_j r_j H_j\Big)\Big), \qquad y = \tfrac1n \sum_i H_i

    Zhu et al. (2025), arXiv:2409.19606, who write the sum for y; before a norm the mean is the same. Identity path:
    the product of all R, which nothing keeps near 1. Start: n copies of x; R = I, :math:`w_i = 1`, and :math:`r`
    reads the stream number (block mod n), so that it begins as pre-norm. The streams live through the whole stack:
    put together in every block they would be one stream again. The parameter ``mixes`` is :math:`R - I`, so that weight
    decay draws R to the identity and not to 0. Use it in pre-training, where the shortcut's strength is to be
    learned.

    Parameters
    ----------
    streams : int, default 4
        n.
    dynamic : bool, default True
        Add to each of r, w, R a part that the streams decide, :math:`s \tanh(\hat H_j \theta)` with :math:`\hat
        H_j` the stream divided by its root mean square, :math:`\theta = 0` at the start, so that the size of s (0.01
        here) sets only how fast this part learns.
    """

    carries_state = True
    least_streams = 1

    def __init__(
        self, dim: int, norm: Norm, position: BranchPosition, *, streams: int = 4, dynamic: bool = True
    ) -> None:
        super().__init__(dim, norm, position)
        n = self.streams = positive_int("streams", streams, at_least=self.least_streams)
        self.dynamic, self.favourite = flag("dynamic", dynamic), position.required_index % n
        self.reads, self.writes = nn.Parameter(torch.empty(n)), nn.Parameter(torch.empty(n))
        self.mixes = nn.Parameter(torch.empty(n, n))
        if dynamic:
            self.theta = nn.Parameter(torch.empty(n + 2, dim))
            self.strength = nn.Parameter(torch.empty(3))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Put the ways back to their start."""
        favourite, others, writes = self.starts()
        nn.init.constant_(self.reads, others)
        nn.init.constant_(self.reads[self.favourite], favourite)
        nn.init.constant_(self.writes, writes)
        nn.init.zeros_(self.mixes)
        if self.dynamic:
            nn.init.zeros_(self.theta)
            nn.init.constant_(self.strength, 0.01)

    def starts(self) -> tuple[float, float, float]:
        """Return the start of the favourite entry of ``reads``, of the others, and of ``writes``."""
        return 1.0, 0.0, 1.0

    def start_of_mixing(self, eye: Tensor) -> Tensor:
        return eye

    def open(self, x: Tensor) -> tuple[Tensor]:
        return (x.expand(self.streams, *x.shape),)

    def map_streams(self, state: tuple, function: Branch) -> tuple[Tensor]:
        return (torch.stack([function(stream) for stream in state[0].unbind(0)]),)

    def close(self, state: tuple) -> Tensor:
        return state[0].mean(0)

    def forward(self, state: tuple, branch: Branch, shortcut: Branch = identity) -> tuple[Tensor]:
        streams = state[0]
        inside = streams if shortcut is identity else self.map_streams(state, shortcut)[0]
        reading, writing, mixing = self.maps(inside)
        if inside is not streams:  # the shortcut changed the shape, so only the fixed part of r fits the old one
            reading = self.constrain(*self.fixed(streams))[0]
        update = branch(self.norm((reading * streams).sum(0)))
        same_shape(inside[0], update)
        # No einsum: under autocast it would round the streams to half precision in every block.
        mixed = sum(mixing[:, j] * inside[j] for j in range(self.streams))
        return (mixed + writing * update,)

    def maps(self, streams: Tensor) -> tuple[Tensor, ...]:
        """Return r and w as (n, ...) and R as (n, n, ...), to be multiplied with streams ``(n, *x.shape)``."""
        fixed = self.fixed(streams)
        if not self.dynamic:
            return self.constrain(*fixed)
        return self.constrain(*(one + other for one, other in zip(fixed, self.decided(streams))))

    def fixed(self, streams: Tensor) -> tuple[Tensor, ...]:
        ones, n = (1,) * (streams.dim() - 1), self.streams
        eye = torch.eye(n, dtype=self.mixes.dtype, device=self.mixes.device)
        mixes = self.start_of_mixing(eye) + self.mixes
        return self.reads.view(n, *ones), self.writes.view(n, *ones), mixes.view(n, n, *ones)

    def constrain(self, reading: Tensor, writing: Tensor, mixing: Tensor) -> tuple[Tensor, ...]:
        return reading, writing, mixing

    def decided(self, streams: Tensor) -> tuple[Tensor, ...]:
        """Return what the streams add to r, w and R; the feature axis has one entry."""
        axis = 2 if self.position.feature_axis == 1 else -1
        unit = F.rms_norm(streams.movedim(axis, -1), (streams.shape[axis],), eps=1e-6)
        said = torch.tanh(F.linear(unit, self.theta)).movedim(-1, 0).unsqueeze(-1 if axis == -1 else axis + 1)
        # said: (n + 2, n, ...): the dynamic part of r_j, w_j and the column R_ij, from stream j
        return self.strength[0] * said[0], self.strength[1] * said[1], self.strength[2] * said[2:]


@named("stochastic_hyper_connections", r"R H + w F(N(r H))\text{, R doubly stochastic}", "a product that cannot grow")
class StochasticHyperConnections(HyperConnections):
    r"""Hyper-connections whose mixing keeps the mean of the streams: R is doubly stochastic.

    .. math:: r = \sigma(\tilde r), \qquad w = 2\sigma(\tilde w), \qquad R = \mathrm{Sinkhorn}(\tilde R)

    Xie et al. (2025), arXiv:2512.24880 (mHC), with 20 iterations of :func:`sinkhorn`; two streams at least. The
    dynamic part is that of :class:`HyperConnections` (the paper's reads all streams at once). Identity path: a product
    of doubly stochastic matrices is one again, so that neither the forward nor the backward pass can grow through it.
    Start: :math:`R \approx I` (:math:`\tilde R_{ij} = -8` off the diagonal, to which the parameter ``mixes`` is
    added), w = 1, and r sums to 1, with almost all of it on the stream (block mod n). Use it where hyper-connections
    are unstable.
    """

    least_streams = 2  # one stream has nothing to mix, and its r could not be 1

    def starts(self) -> tuple[float, float, float]:
        others = 0.03 / (self.streams - 1)
        return math.log(0.97 / 0.03), math.log(others / (1 - others)), 0.0

    def start_of_mixing(self, eye: Tensor) -> Tensor:
        return -8 * (1 - eye)

    def constrain(self, reading: Tensor, writing: Tensor, mixing: Tensor) -> tuple[Tensor, ...]:
        mixing = sinkhorn(mixing.movedim((0, 1), (-2, -1))).movedim((-2, -1), (0, 1))
        return torch.sigmoid(reading), 2 * torch.sigmoid(writing), mixing
