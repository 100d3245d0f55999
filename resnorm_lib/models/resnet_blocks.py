"""The blocks of residual networks for images. Their layers have torchvision's names."""

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from resnorm_lib._arguments import choice
from resnorm_lib.norms.registry import Norm
from resnorm_lib.residual import Block, BranchPosition, feature_norm
from resnorm_lib.residual.registry import resolve_scheme

__all__ = ["BLOCKS", "convolution", "scheme_norm", "without"]

SHORTCUTS = ("A", "B")


def convolution(reads: int, writes: int, size: int = 3, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """Return a convolution that keeps the image's size (but for the stride), initialised as by He et al. (2015)."""
    return Conv2d(reads, writes, size, stride, padding=size // 2, bias=bias)


class Conv2d(nn.Conv2d):
    """A convolution that starts, and is reset, as He et al. (2015) have it."""

    def reset_parameters(self) -> None:
        super().reset_parameters()  # drawn and overwritten, so that a seed gives the weights that it always gave
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class PadChannels(nn.Module):
    """Take every other pixel and fill new channels with zeros: option A of He et al. (2016)."""

    def __init__(self, more: int, stride: int) -> None:
        super().__init__()
        self.more, self.stride = more, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))


class ImageBlock(Block):
    """The base of all blocks: the shortcut past the branch, the scheme, and what the scheme may ask of the branch."""

    expansion = 1
    activates = True  # whether a ReLU follows the join (v1) or stands in the branch (pre-activation)

    def __init__(
        self,
        reads: int,
        writes: int,
        dim: int,
        stride: int,
        *,
        norm: Norm,
        shortcut: str,
        scheme: str | type | partial,
        position: BranchPosition,
        options: dict,
        dropout: float = 0.0,
        inner_width: float = 0.25,
    ) -> None:
        super().__init__()
        self.inner_width = inner_width  # of a bottleneck, as a share of what it writes
        self.build(reads, writes, stride, norm, dropout)
        self.inner_norm = nn.Identity()
        if position.in_dim is not None and resolve_scheme(scheme, options)[0].has_shortcut:
            self.downsample = self.make_shortcut(reads, dim, stride, norm, choice("shortcut", shortcut, SHORTCUTS))
        self.activation = nn.ReLU() if self.activates else None
        self.join(dim, scheme, scheme_norm(type(self), scheme, norm), position, options)

    def make_shortcut(self, reads: int, dim: int, stride: int, norm: Norm, shortcut: str) -> nn.Module:
        if shortcut == "A" and dim >= reads:
            return PadChannels(dim - reads, stride)
        projection = convolution(reads, dim, 1, stride, bias=without(norm))
        return nn.Sequential(projection, feature_norm(norm, dim, 1)) if self.activates else projection

    def scaled_weights(self) -> list[Tensor]:
        branch = (layer for layer in self.children() if layer is not self.downsample)
        return [layer.weight for layer in branch if isinstance(layer, nn.Conv2d)]


def without(norm: Norm) -> bool:
    """Return whether there is no norm, so that a convolution needs a bias."""
    return norm in (None, "none")


def scheme_norm(block: type, scheme: str | type | partial, norm: Norm) -> Norm:
    """Return the scheme's norm: a v1 branch brings its own, so only a scheme that places norms adds another."""
    return None if block.activates and not resolve_scheme(scheme, {})[0].places_norm else norm


class BasicBlock(ImageBlock):
    r"""v1: :math:`\mathrm{ReLU}(\mathrm{scheme}(x, F))`, F = conv 3x3, N, ReLU, conv 3x3, N. arXiv:1512.03385."""

    def build(self, reads: int, writes: int, stride: int, norm: Norm, dropout: float) -> None:
        self.conv1 = convolution(reads, writes, 3, stride, bias=without(norm))
        self.bn1 = feature_norm(norm, writes, 1)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = convolution(writes, writes, bias=without(norm))
        self.bn2 = feature_norm(norm, writes, 1)

    @property
    def output_projection(self) -> nn.Conv2d:
        return self.conv2

    def branch(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(self.inner_norm(self.dropout(x))))


class Bottleneck(ImageBlock):
    r"""v1: F = conv 1x1, N, ReLU, conv 3x3 (with the stride, as in torchvision), N, ReLU, conv 1x1, N."""

    expansion = 4

    def build(self, reads: int, writes: int, stride: int, norm: Norm, dropout: float) -> None:
        inner, bias = max(int(writes * self.inner_width), 1), without(norm)
        self.conv1 = convolution(reads, inner, 1, bias=bias)
        self.bn1 = feature_norm(norm, inner, 1)
        self.conv2 = convolution(inner, inner, 3, stride, bias=bias)
        self.bn2 = feature_norm(norm, inner, 1)
        self.dropout = nn.Dropout(dropout)
        self.conv3 = convolution(inner, writes, 1, bias=bias)
        self.bn3 = feature_norm(norm, writes, 1)

    @property
    def output_projection(self) -> nn.Conv2d:
        return self.conv3

    def branch(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(self.inner_norm(self.dropout(x))))


class PreActivation(ImageBlock):
    r"""F = ReLU, conv 3x3, N, ReLU, conv 3x3; with the scheme ``pre_norm`` that is arXiv:1603.05027.

    A projection reads what the first convolution reads, :math:`\mathrm{ReLU}(N(x))`, as in the authors' program
    (github.com/KaimingHe/resnet-1k-layers) and in that of arXiv:1605.07146.
    """

    activates = False

    def past(self, x: Tensor, read: Tensor | None = None) -> Tensor:
        pads = isinstance(self.downsample, PadChannels)
        return self.downsample(x if pads or read is None else F.relu(read))

    def build(self, reads: int, writes: int, stride: int, norm: Norm, dropout: float) -> None:
        self.conv1 = convolution(reads, writes, 3, stride, bias=without(norm))
        self.bn2 = feature_norm(norm, writes, 1)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = convolution(writes, writes, bias=without(norm))

    @property
    def output_projection(self) -> nn.Conv2d:
        return self.conv2

    def branch(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn2(self.conv1(F.relu(x))))
        return self.conv2(self.inner_norm(self.dropout(x)))


class PreActivationBottleneck(PreActivation):
    r"""F = ReLU, conv 1x1, N, ReLU, conv 3x3, N, ReLU, conv 1x1."""

    expansion = 4

    def build(self, reads: int, writes: int, stride: int, norm: Norm, dropout: float) -> None:
        inner, bias = max(int(writes * self.inner_width), 1), without(norm)
        self.conv1 = convolution(reads, inner, 1, bias=bias)
        self.bn2 = feature_norm(norm, inner, 1)
        self.conv2 = convolution(inner, inner, 3, stride, bias=bias)
        self.bn3 = feature_norm(norm, inner, 1)
        self.dropout = nn.Dropout(dropout)
        self.conv3 = convolution(inner, writes, 1, bias=bias)

    @property
    def output_projection(self) -> nn.Conv2d:
        return self.conv3

    def branch(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn2(self.conv1(F.relu(x))))
        x = F.relu(self.bn3(self.conv2(x)))
        return self.conv3(self.inner_norm(self.dropout(x)))


BLOCKS = {
    "basic": BasicBlock,
    "bottleneck": Bottleneck,
    "pre_basic": PreActivation,
    "pre_bottleneck": PreActivationBottleneck,
}
