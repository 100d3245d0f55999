r"""Flow matching with a condition: a network turns noise into a picture of a class, and is told in five ways which.

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
from resnorm_lib.norms import AdaptiveLayerNorm, LayerNorm

__all__ = ["WAYS", "ConditionedBlock", "FlowNet", "flow_batches", "flow_pairs", "sample"]

CLASSES, WAVES = 10, 8
# How the condition c reaches a block, from the plainest to DiT's choice; then the last but one without a shortcut.
WAYS = ("input", "added", "adaLN", "adaLN-Zero", "adaLN, plain")


class ConditionedBlock(nn.Module):
    r"""One residual block, F a map to twice the width, GELU, and a map back.

    ============  ==========================================================================================
    ``way``       the block
    ============  ==========================================================================================
    input         :math:`h + F(\mathrm{LN}(h))`: the condition was added to h once, before the first block
    added         :math:`h + F(\mathrm{LN}(h) + W c')`
    adaLN         :math:`h + F((1 + a) \odot \mathrm{LN}(h) + s)`, :math:`(s, a) = W c' + v`
    adaLN-Zero    :math:`h + g \odot F((1 + a) \odot \mathrm{LN}(h) + s)`, :math:`(s, a, g) = W c' + v`
    adaLN, plain  :math:`F((1 + a) \odot \mathrm{LN}(h) + s)`: no shortcut
    ============  ==========================================================================================

    with :math:`c' = \mathrm{SiLU}(c)`. W and v of the last three start at 0.

    Parameters
    ----------
    dim : int
        Features of h and of c.
    way : str
        One of ``WAYS``.

    Raises
    ------
    ValueError
        If there is no such way.
    """

    def __init__(self, dim: int, way: str) -> None:
        super().__init__()
        self.way = choice("way", way, WAYS)
        self.norm = AdaptiveLayerNorm(dim, dim) if way.startswith("adaLN") else LayerNorm(dim)
        self.shift = nn.Linear(dim, dim) if way == "added" else None
        self.branch = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        if isinstance(self.norm, AdaptiveLayerNorm):
            y, gate = self.norm(h, c)
        else:
            y = self.norm(h)
        if self.shift is not None:
            y = y + self.shift(F.silu(c))
        update = self.branch(y)
        if self.way == "adaLN-Zero":
            update = gate * update
        return update if self.way == "adaLN, plain" else h + update


class FlowNet(nn.Module):
    r"""The velocity of a flow from noise to pictures of a class.

    It reads rows of pixels :math:`x_t`, time t and one-hot label, as :func:`flow_pairs` makes them. The condition is
    :math:`c = W_2\,\mathrm{SiLU}(W_1\,e(t)) + W_y\,\mathrm{onehot}(y)` with sines and cosines :math:`e(t)`. The last
    map starts at 0: the first velocity is 0, whatever the blocks do.

    Parameters
    ----------
    pixels, dim, depth : int
        Of a picture; of the stream; blocks.
    way : str
        One of ``WAYS``.

    Examples
    --------
    >>> FlowNet(64, 16, 2, "adaLN-Zero")(torch.zeros(5, 64 + 1 + 10)).shape
    torch.Size([5, 64])
    """

    def __init__(self, pixels: int, dim: int, depth: int, way: str) -> None:
        super().__init__()
        self.pixels, self.way = pixels, way
        self.embed = nn.Linear(pixels, dim)
        self.time = nn.Sequential(nn.Linear(2 * WAVES, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.label = nn.Linear(CLASSES, dim, bias=False)
        self.blocks = nn.ModuleList(ConditionedBlock(dim, way) for _ in range(depth))
        self.final_norm = LayerNorm(dim)
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
