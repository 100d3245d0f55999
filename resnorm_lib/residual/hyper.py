"""Hyper-connections: n streams, and a learned way between them and each branch."""

import torch
from torch import nn
from torch.nn import functional as F

from resnorm_lib._arguments import flag, positive_int
from resnorm_lib.residual.registry import named
from resnorm_lib.residual.scheme import Scheme, identity, same_shape

__all__ = ["HyperConnections", "StochasticHyperConnections", "sinkhorn"]


def sinkhorn(logits, iterations=20):
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
    log = logits.to(torch.promote_types(logits.dtype, torch.float32))
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
    put together in every block they would be one stream again. Use it in pre-training, where the shortcut's
    strength is to be learned.

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

    def __init__(self, dim, norm, position, *, streams=4, dynamic=True):
        super().__init__(dim, norm, position)
        n = self.streams = positive_int("streams", streams)
        self.dynamic = flag("dynamic", dynamic)
        self.start(n, position.required_index % n)
        if dynamic:
            self.theta = nn.Parameter(torch.zeros(n + 2, dim))
            self.strength = nn.Parameter(torch.full((3,), 0.01))

    def start(self, n, favourite):
        self.reads = nn.Parameter(torch.eye(n)[favourite])
        self.writes = nn.Parameter(torch.ones(n))
        self.mixes = nn.Parameter(torch.eye(n))

    def open(self, x):
        return (x.expand(self.streams, *x.shape),)

    def map_streams(self, state, function):
        return (torch.stack([function(stream) for stream in state[0].unbind(0)]),)

    def close(self, state):
        return state[0].mean(0)

    def forward(self, state, branch, shortcut=identity):
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

    def maps(self, streams):
        """Return r and w as (n, ...) and R as (n, n, ...), to be multiplied with streams ``(n, *x.shape)``."""
        fixed = self.fixed(streams)
        if not self.dynamic:
            return self.constrain(*fixed)
        return self.constrain(*(one + other for one, other in zip(fixed, self.decided(streams))))

    def fixed(self, streams):
        ones = (1,) * (streams.dim() - 1)
        n = self.streams
        return self.reads.view(n, *ones), self.writes.view(n, *ones), self.mixes.view(n, n, *ones)

    def constrain(self, reading, writing, mixing):
        return reading, writing, mixing

    def decided(self, streams):
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

    Xie et al. (2025), arXiv:2512.24880 (mHC), with 20 iterations of :func:`sinkhorn`; the dynamic part is
    that of :class:`HyperConnections` (the paper's reads all streams at once). Identity path: a product of doubly
    stochastic matrices is one again, so that neither the forward nor the backward pass can grow through it. Start:
    :math:`R \approx I` (:math:`\tilde R_{ij} = -8` off the diagonal), w = 1, and r sums to 1, with almost all of it on
    the stream (block mod n). Use it where hyper-connections are unstable.
    """

    def start(self, n, favourite):
        reads = torch.full((n,), 0.03 / max(n - 1, 1))
        reads[favourite] = 0.97
        self.reads = nn.Parameter(torch.logit(reads))
        self.writes = nn.Parameter(torch.zeros(n))
        self.mixes = nn.Parameter(-8 * (1 - torch.eye(n)))

    def constrain(self, reading, writing, mixing):
        mixing = sinkhorn(mixing.movedim((0, 1), (-2, -1))).movedim((-2, -1), (0, 1))
        return torch.sigmoid(reading), 2 * torch.sigmoid(writing), mixing
