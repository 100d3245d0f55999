"""Residual networks for images: those of ImageNet, of CIFAR, wide ones, and their plain twins."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from resnorm_lib._arguments import choice, number, positive_int
from resnorm_lib.models._device import meta_at_once
from resnorm_lib.models.resnet_blocks import BLOCKS, convolution, scheme_norm, without
from resnorm_lib.norms.registry import Norm
from resnorm_lib.residual import BranchPosition, Stack, branch_widths, feature_norm, out_dim

__all__ = ["ResNet", "cifar_resnet", "resnet18", "resnet34", "resnet50", "wide_resnet"]


class ResNet(nn.Module):
    r"""A residual network: a stem, stages of blocks at falling resolution, the mean over the image, a linear map.

    With the defaults of ``scheme`` and ``norm``, the state dict of a v1 network has torchvision's keys and shapes.

    Parameters
    ----------
    block : {"basic", "bottleneck", "pre_basic", "pre_bottleneck"}
        Two convolutions or three; v1 (arXiv:1512.03385) or pre-activation (arXiv:1603.05027).
    layers, widths : sequences of int
        Blocks in each stage, and their width (a bottleneck's output is four times as wide).
    num_classes, in_channels : int
    stem : {"imagenet", "cifar"}
        A 7x7 convolution with stride 2 and a max-pooling, or a 3x3 convolution; in a v1 network with a norm and a
        ReLU, which with pre-activation are the first block's.
    stem_width : int, optional
        What the stem writes; by default the first of ``widths``.
    shortcut : {"B", "A"}
        Where the shape changes: a projection, or zeros for the new channels. With pre-activation the projection
        reads what the branch's first convolution reads; in schemes with several streams it reads each stream as it is.
    scheme : str, class or partial, optional
        As for :class:`resnorm_lib.residual.Residual`; by default ``"add"`` for v1 and ``"pre_norm"`` for
        pre-activation. ``"plain"`` gives the plain twin, without any shortcut. A v1 branch brings norms of its
        own, so only a scheme that is about the place of norms adds more.
    norm : str, class, callable or None, default "batch"
        Whatever :func:`resnorm_lib.norms.make_norm` takes, for a number of channels.
        A norm of rows (``"layer"``, ``"rms"``) is applied to
        the channels of each pixel.
    inner_width : number, default 0.25
        Channels in the middle of a bottleneck, as a share of those that it writes; 0.5 in the wide networks of
        torchvision (``resnet50(inner_width=0.5)`` is its ``wide_resnet50_2``).
    dropout : number, default 0
        Before the last convolution of each branch.
    device, dtype : optional
        Of all parameters; weights are drawn on the CPU.
    **options
        Of the scheme.

    Raises
    ------
    ValueError
        If an argument does not fit, or the input is no (N, in_channels, height, width).

    Examples
    --------
    >>> model = ResNet("basic", (1, 1), (8, 16), num_classes=10, stem="cifar", scheme="rezero")
    >>> model(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    @meta_at_once
    def __init__(
        self,
        block: str = "basic",
        layers: Sequence[int] = (2, 2, 2, 2),
        widths: Sequence[int] = (64, 128, 256, 512),
        num_classes: int = 1000,
        *,
        in_channels: int = 3,
        stem: str = "imagenet",
        stem_width: int | None = None,
        shortcut: str = "B",
        scheme: str | type | partial | None = None,
        norm: Norm = "batch",
        inner_width: float = 0.25,
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options,
    ) -> None:
        super().__init__()
        kind = BLOCKS[choice("block", block, BLOCKS)]
        if scheme is None:
            scheme = "add" if kind.activates else "pre_norm"
        choice("shortcut", shortcut, ("A", "B"))
        if len(layers) != len(widths) or not len(layers):
            raise ValueError(
                f"layers is {layers!r} and widths is {widths!r}, but both must have an entry for each stage."
            )
        self.in_channels = positive_int("in_channels", in_channels)
        stem_width = positive_int("stem_width", widths[0] if stem_width is None else stem_width)
        self.build_stem(kind, choice("stem", stem, ("imagenet", "cifar")), stem_width, norm)
        common = {"norm": norm, "shortcut": shortcut, "scheme": scheme, "options": options}
        common["dropout"] = number("dropout", dropout, at_least=0, at_most=1)
        common["inner_width"] = number("inner_width", inner_width, at_least=0, at_most=1)
        dim = self.build_stages(kind, layers, widths, stem_width, common)
        last = self.stages[-1]
        final = scheme_norm(kind, scheme, norm) if last.needs_final_norm else None
        self.final_norm = feature_norm(final, dim, 1)
        self.activation = nn.Identity() if kind.activates else nn.ReLU()
        self.fc = nn.Linear(dim, positive_int("num_classes", num_classes))
        self._scale_head()
        self.to(device=device, dtype=dtype)

    @torch.no_grad()
    def _scale_head(self) -> None:
        for parameter in self.fc.parameters():
            parameter.mul_(self.stages[-1].head_gain)

    def reset_parameters(self) -> None:
        """Give the last map another start. All else resets itself, before this: ``apply`` reaches inner parts first."""
        self.fc.reset_parameters()
        self._scale_head()

    def build_stem(self, kind: type, stem: str, width: int, norm: Norm) -> None:
        large = stem == "imagenet"
        self.conv1 = convolution(self.in_channels, width, *((7, 2) if large else (3, 1)), bias=without(norm))
        # With pre-activation the first block normalizes what comes from here.
        self.bn1 = feature_norm(norm, width, 1) if kind.activates else nn.Identity()
        self.relu = nn.ReLU() if kind.activates else nn.Identity()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1) if large else nn.Identity()

    def build_stages(
        self, kind: type, layers: Sequence[int], widths: Sequence[int], arriving: int, common: dict
    ) -> int:
        scheme, options = common["scheme"], common["options"]
        layers = [positive_int(f"layers[{i}]", count) for i, count in enumerate(layers)]
        index = 0
        for stage, (count, width) in enumerate(zip(layers, widths), 1):
            dim, blocks = positive_int(f"widths[{stage - 1}]", width) * kind.expansion, []
            for step, (reads, writes) in enumerate(branch_widths(dim, scheme, count, **options)):
                stride = 2 if stage > 1 and step == 0 else 1
                in_dim = arriving if step == 0 and (stride == 2 or arriving != dim) else None
                position = BranchPosition(
                    index, sum(layers), stage_index=step, stage_branches=count, feature_axis=1, in_dim=in_dim
                )
                blocks.append(kind(in_dim or reads, writes, dim, stride, position=position, **common))
                index += 1
            setattr(self, f"layer{stage}", Stack(*blocks))
            arriving = out_dim(dim, scheme, count, **options)
        self.num_stages = len(layers)
        return arriving

    @property
    def stages(self) -> list[Stack]:
        """Return the stacks of blocks, in order."""
        return [getattr(self, f"layer{stage}") for stage in range(1, self.num_stages + 1)]

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"x has shape {tuple(x.shape)}, but it must be (N, {self.in_channels}, height, width).")
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in self.stages:
            x = stage(x)
        return self.fc(self.activation(self.final_norm(x)).mean((2, 3)))


def resnet18(num_classes: int = 1000, *, block: str = "basic", **options) -> ResNet:
    """Return ResNet-18 (11,689,512 parameters); ``options`` are those of :class:`ResNet`, here and below."""
    return ResNet(block, (2, 2, 2, 2), (64, 128, 256, 512), num_classes, **options)


def resnet34(num_classes: int = 1000, *, block: str = "basic", **options) -> ResNet:
    """Return ResNet-34 (21,797,672 parameters)."""
    return ResNet(block, (3, 4, 6, 3), (64, 128, 256, 512), num_classes, **options)


def resnet50(num_classes: int = 1000, *, block: str = "bottleneck", **options) -> ResNet:
    """Return ResNet-50 (25,557,032 parameters), with the stride in the 3x3 convolution."""
    return ResNet(block, (3, 4, 6, 3), (64, 128, 256, 512), num_classes, **options)


def cifar_resnet(depth: int, num_classes: int = 10, *, block: str = "basic", shortcut: str = "A", **options) -> ResNet:
    """Return a network of He et al. (2016) for CIFAR-10: 3 stages of n blocks, depth 6n + 2 (20, 32, 44, 56, 110).

    Raises
    ------
    ValueError
        If the depth is not 6n + 2.

    Examples
    --------
    >>> sum(parameter.numel() for parameter in cifar_resnet(20).parameters())
    269722
    """
    if positive_int("depth", depth, at_least=8) % 6 != 2:
        raise ValueError(f"depth is {depth}, but it must be 6n + 2, for instance 20, 32, 44, 56 or 110.")
    blocks = (depth - 2) // 6
    return ResNet(block, (blocks,) * 3, (16, 32, 64), num_classes, stem="cifar", shortcut=shortcut, **options)


def wide_resnet(depth: int, width: int, num_classes: int = 10, *, block: str = "pre_basic", **options) -> ResNet:
    """Return WRN-depth-width of Zagoruyko and Komodakis (2016), arXiv:1605.07146: few, wide blocks.

    Raises
    ------
    ValueError
        If the depth is not 6n + 4.

    Examples
    --------
    >>> wide_resnet(10, 1)(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 10])
    """
    if positive_int("depth", depth, at_least=10) % 6 != 4:
        raise ValueError(f"depth is {depth}, but it must be 6n + 4, for instance 16, 28 or 40.")
    k, blocks = positive_int("width", width), (depth - 4) // 6
    return ResNet(block, (blocks,) * 3, (16 * k, 32 * k, 64 * k), num_classes, stem="cifar", stem_width=16, **options)
