r"""Flow matching with a condition: a network turns noise into a picture of a class, and is told in four ways which.

Lipman et al. (2023), arXiv:2210.02747, with straight paths: :math:`x_t = (1-t)\,x_0 + t\,x_1` from noise
:math:`x_0` to a picture :math:`x_1`. The network learns the velocity :math:`x_1 - x_0`. Blocks as in Peebles and Xie
(2023), arXiv:2212.09748.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnorm_lib._arguments import choice
from resnorm_lib.norms import AdaptiveLayerNorm, make_norm

__all__ = ["WAYS", "ConditionedBlock", "FlowNet", "flow_batches", "flow_pairs", "sample"]

CLASSES, WAVES = 10, 8
WAYS = ("input", "added", "adaLN", "adaLN-Zero")  # how the condition c reaches a block: the last is DiT's choice
SCHEMES = ("add", "plain")


class ConditionedBlock(nn.Module):
    r"""One residual block, F a map to twice the width, GELU, and a map back.

    ============  ==========================================================================================
    ``way``       the block
    ============  ==========================================================================================
    input         :math:`h + F(\mathrm{LN}(h))`: the condition was added to h once, before the first block
    added         :math:`h + F(\mathrm{LN}(h) + W c')`
    adaLN         :math:`h + F((1 + a) \odot \mathrm{LN}(h) + s)`, :math:`(s, a) = W c' + v`
    adaLN-Zero    :math:`h + g \odot F((1 + a) \odot \mathrm{LN}(h) + s)`, :math:`(s, a, g) = W c' + v`
    ============  ==========================================================================================

    with :math:`c' = \mathrm{SiLU}(c)`. W and v of the last two start at 0. Another norm, or none, may stand in place
    of LN; without the shortcut, the block returns what is added to h.

    Parameters
    ----------
    dim : int
        Features of h and of c.
    way : str
        One of ``WAYS``.
    scheme : str
        ``"add"``, or ``"plain"`` without the shortcut.
    norm : str
        ``"layer"``, ``"batch"`` or ``"none"``.

    Raises
    ------
    ValueError
        If there is no such way, scheme or norm.
    """

    def __init__(self, dim: int, way: str, scheme: str = "add", norm: str = "layer") -> None:
        super().__init__()
        self.way, self.scheme = choice("way", way, WAYS), choice("scheme", scheme, SCHEMES)
        if not way.startswith("adaLN"):
            self.norm = make_norm(norm, dim)
        else:
            self.norm = AdaptiveLayerNorm(dim, dim) if norm == "layer" else _AdaptiveNorm(dim, norm)
        self.shift = nn.Linear(dim, dim) if way == "added" else None
        self.branch = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        if self.way.startswith("adaLN"):
            y, gate = self.norm(h, c)
        else:
            y = self.norm(h)
        if self.shift is not None:
            y = y + self.shift(F.silu(c))
        update = self.branch(y)
        if self.way == "adaLN-Zero":
            update = gate * update
        return h + update if self.scheme == "add" else update


class _AdaptiveNorm(AdaptiveLayerNorm):
    """Another norm, or none, in place of LN."""

    def __init__(self, dim: int, norm: str) -> None:
        super().__init__(dim, dim)
        self.norm = make_norm(norm, dim, **{"affine": False} if norm == "batch" else {})

    def normalize(self, x: Tensor) -> Tensor:
        return self.norm(x)


class FlowNet(nn.Module):
    r"""The velocity of a flow from noise to pictures of a class.

    It reads rows of pixels :math:`x_t`, time t and one-hot label, as :func:`flow_pairs` makes them. The condition is
    :math:`c = W_2\,\mathrm{SiLU}(W_1\,e(t)) + W_y\,\mathrm{onehot}(y)` with sines and cosines :math:`e(t)`. The last
    map starts at 0: the first velocity is 0, whatever the blocks do.

    Parameters
    ----------
    pixels, dim, depth : int
        Of a picture; of the stream; blocks.
    way, scheme, norm : str
        As for :class:`ConditionedBlock`; the same norm stands before the last map.

    Examples
    --------
    >>> FlowNet(64, 16, 2, "adaLN-Zero")(torch.zeros(5, 64 + 1 + 10)).shape
    torch.Size([5, 64])
    """

    def __init__(self, pixels: int, dim: int, depth: int, way: str, scheme: str = "add", norm: str = "layer") -> None:
        super().__init__()
        self.pixels, self.way = pixels, way
        self.embed = nn.Linear(pixels, dim)
        self.time = nn.Sequential(nn.Linear(2 * WAVES, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.label = nn.Linear(CLASSES, dim, bias=False)
        self.blocks = nn.ModuleList(ConditionedBlock(dim, way, scheme, norm) for _ in range(depth))
        self.final_norm = make_norm(norm, dim)
        self.head = nn.Linear(dim, pixels)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, row: Tensor) -> Tensor:
        x, t, label = row.split((self.pixels, 1, CLASSES), 1)
        angles = t * torch.arange(1, WAVES + 1, device=t.device) * (math.pi / 2)
        c = self.time(torch.cat((angles.sin(), angles.cos()), 1)) + self.label(label)
        h = self.embed(x)
        if self.way == "input":
            h = h + c
        for block in self.blocks:
            h = block(h, c)
        return self.head(self.final_norm(h))


def flow_pairs(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    r"""Return what the network reads, rows of :math:`(x_t, t, \text{one-hot label})`, and the velocity it must give.

    Parameters
    ----------
    x : tensor of shape (n, pixels)
        Pictures.
    y : tensor of shape (n,)
        Their labels, 0 to 9.
    generator : torch.Generator
        On the device of x; draws noise and time.
    """
    noise = torch.randn(x.shape, generator=generator, device=x.device)
    t = torch.rand(len(x), 1, generator=generator, device=x.device)
    return torch.cat(((1 - t) * noise + t * x, t, F.one_hot(y, CLASSES)), 1), x - noise


def flow_batches(x: Tensor, y: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield :func:`flow_pairs` of pictures drawn at random, without end."""
    while True:
        drawn = torch.randint(len(x), (batch_size,), generator=generator, device=x.device)
        yield flow_pairs(x[drawn], y[drawn], generator)


@torch.no_grad()
def sample(model: FlowNet, y: Tensor, generator: torch.Generator, steps: int = 16) -> Tensor:
    """Return a picture of each label: start from noise, and follow the velocity from t = 0 to 1 by the midpoint method.

    Parameters
    ----------
    model : FlowNet
    y : tensor of shape (n,)
        Labels.
    generator : torch.Generator
        On the device of y; draws the noise.
    steps : int
        Each asks the network twice.
    """
    label = F.one_hot(y, CLASSES).float()
    x = torch.randn(len(y), model.pixels, generator=generator, device=y.device)

    def velocity(x: Tensor, t: float) -> Tensor:
        return model(torch.cat((x, torch.full_like(label[:, :1], t), label), 1))

    for step in range(steps):
        middle = x + velocity(x, step / steps) / (2 * steps)
        x = x + velocity(middle, (step + 0.5) / steps) / steps
    return x
