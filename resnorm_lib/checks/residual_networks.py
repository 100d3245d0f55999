"""Checks for the exercises of "Residual networks"."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from resnorm_lib.checks.judge.answers import Wrong, call, expect_close, shown_wrong
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise
from resnorm_lib.models import ResNet

__all__ = [
    "check_bottleneck",
    "check_cifar_parameters",
    "check_fold",
    "check_pad_shortcut",
    "check_pre_activation",
    "check_snapshot",
]


def _parameters(n: int) -> int:
    stages = ((16, 16), (16, 32), (32, 64))
    weights = sum(9 * (reads * width + (2 * n - 1) * width**2) for reads, width in stages)
    return weights + 4 * n * (16 + 32 + 64) + 27 * 16 + 32 + 650


@exercise("exercise-resnets-parameters", points=1, right=_parameters)
def check_cifar_parameters(answer: Callable[[int], int], face: Draw) -> str:
    """Check ``answer(n)``: the parameters of the CIFAR network of 6n + 2 layers, with padded shortcuts.

    The verdict is wrong if a count is wrong.
    """
    for n in face.cases(3, 1, 9, drawn=lambda: face.integer(2, 30)):
        stages = ((16, 16), (16, 32), (32, 64))
        weights = sum(9 * (reads * width + (2 * n - 1) * width**2) for reads, width in stages)
        norms, ends = 4 * n * (16 + 32 + 64), 27 * 16 + 32 + 650
        right = weights + norms + ends
        expect_close(
            call(answer, n),
            right,
            f"The count for n={n}",
            mistakes=[
                (right - norms - 32, "The gains and biases of the BN layers are missing: two numbers a channel."),
                (right - 10, "The classifier has a bias: ten numbers."),
                (right + 16 * 32 + 32 * 64, "Padded shortcuts have no weights: there is nothing to project with."),
                (right + 16 * 32 + 32 * 64 + 192, "Padded shortcuts have no weights, and no BN."),
                (
                    right + 9 * (16 * 32 + 32 * 64),
                    "The first convolution of stages 2 and 3 reads half as many channels as it writes.",
                ),
            ],
            tolerance=0,
        )
    return "the parameters of the CIFAR family"


@exercise("exercise-resnets-bottleneck", points=2)
def check_bottleneck(answer: type[nn.Module], face: Draw) -> str:
    """Check a class ``answer(reads, width, stride)``: the block of three convolutions, with the library's names.

    The verdict is wrong if the attribute ``expansion``, a name, a shape or an output differs.
    """
    thin, wide = face.size(4, 2, 6), face.size(8, 3, 9)
    right = ResNet("bottleneck", (2, 1), (thin, wide), stem="cifar", stem_width=4)
    draw = face.generator(5)
    cases = (right.layer2[0], (4 * thin, wide, 2)), (right.layer1[1], (4 * thin, thin, 1))
    for block, (reads, width, stride) in cases:
        mine = call(answer, reads, width, stride)
        if getattr(answer, "expansion", None) != 4:
            raise Wrong("The class needs the attribute expansion = 4: the block writes four times its width.")
        if not isinstance(mine, nn.Module):
            raise Wrong("A class was expected whose objects are nn.Modules.")
        _expect_same_entries(mine, block)
        mine.load_state_dict(block.state_dict())
        x = torch.randn(face.size(5), reads, 6, 6, generator=draw)
        expect_close(
            call(mine, x),
            block(x),
            f"The output of a block of width {width} with stride {stride}",
            mistakes=_mistaken_bottlenecks(block, x),
            tolerance=1e-5,
        )
    return "the block of ResNet-50"


def _expect_same_entries(mine: nn.Module, block: nn.Module) -> None:
    """Raise unless both have the same names and shapes."""
    got = {name: tuple(value.shape) for name, value in mine.state_dict().items()}
    wanted = {name: tuple(value.shape) for name, value in block.state_dict().items()}
    for name in sorted(wanted.keys() | got.keys()):
        if got.get(name) != wanted.get(name):
            has, needs = got.get(name, "of nothing"), wanted.get(name, "none")
            raise shown_wrong(f"{name} has the shape {has}, but it must have {needs}.")


def _mistaken_bottlenecks(block: nn.Module, x: Tensor) -> list[tuple[Tensor, str]]:
    """Return what a ResNet block with a known mistake gives, and the sentence that names the mistake."""
    shortcut = x if block.downsample is None else block.downsample(x)
    branch = block.branch(x)
    moved = copy.deepcopy(block)
    moved.conv1.stride, moved.conv2.stride = moved.conv2.stride, moved.conv1.stride
    return [
        (moved(x), "The stride stands in the 1 x 1 convolution, where it throws three pixels of four away."),
        (shortcut + branch, "The ReLU after the sum is missing."),
        (relu(shortcut + relu(branch)), "There is a ReLU too many: the branch must be able to subtract."),
        (shortcut + relu(branch), "The last ReLU stands before the sum: the branch must be able to subtract."),
        (branch, "The shortcut is missing."),
        (relu(branch), "The shortcut is missing."),
    ]


def _padded(x: Tensor, channels: int, stride: int) -> Tensor:
    return pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, channels - x.shape[1]))


@exercise("exercise-resnets-pad", points=1, right=_padded, without=("pad",))
def check_pad_shortcut(answer: Callable[[Tensor, int, int], Tensor], face: Draw) -> str:
    """Check ``answer(x, channels, stride)``: every stride-th pixel, and zeros for the new channels.

    The verdict is wrong if an entry is wrong.
    """
    own = face.size(3, high=5)
    x = torch.randn(face.size(2), own, face.size(6, 5, 8), face.size(5, 4), generator=face.generator(6))
    for channels, stride in face.cases(
        (6, 2), (3, 1), (4, 2), drawn=lambda: (own + face.integer(0, 4), face.integer(1, 3))
    ):
        small, more = x[:, :, ::stride, ::stride], channels - own
        expect_close(
            call(answer, x, channels, stride),
            pad(small, (0, 0, 0, 0, 0, more)),
            f"The shortcut to {channels} channels with stride {stride}",
            mistakes=[
                (pad(small, (0, 0, 0, 0, more, 0)), "The zeros must come after the old channels, not before them."),
                (
                    torch.cat((small, small), 1)[:, :channels],
                    "The new channels hold copies: they must hold zeros.",
                ),
            ],
            tolerance=0,
        )
    return "the shortcut without a weight"


def _pre_activation(x: Tensor, bn1: nn.Module, conv1: nn.Module, bn2: nn.Module, conv2: nn.Module) -> Tensor:
    return x + conv2(bn2(conv1(bn1(x).relu())).relu())


@exercise("exercise-resnets-pre", points=2, right=_pre_activation)
def check_pre_activation(answer: Callable[..., Tensor], face: Draw) -> str:
    """Check ``answer(x, bn1, conv1, bn2, conv2)``: the block of 2016, with nothing after the sum.

    The verdict is wrong if the output or the order of the layers is wrong.
    """
    draw = face.generator(7)
    channels, side = face.size(3), face.size(5, 4)
    bn1, bn2, conv1, conv2 = _layers(draw, channels)
    x = torch.randn(face.size(4), channels, side, side, generator=draw)
    branch = conv2(relu(bn2(conv1(relu(bn1(x))))))
    late = bn2(conv2(relu(bn1(conv1(x)))))
    expect_close(
        call(answer, x, bn1, conv1, bn2, conv2),
        x + branch,
        "The output",
        mistakes=[
            (relu(x + branch), "The stream must come out as it is: nothing follows the sum."),
            (branch, "The shortcut is missing."),
            (relu(bn1(x)) + branch, "The shortcut must carry x itself, not what the first convolution reads."),
            (relu(x + late), "That is the block of 2015: norm and ReLU must come before each convolution."),
            (x + late, "The norms come after the convolutions: they must come before."),
            (x + conv2(bn2(relu(conv1(bn1(relu(x)))))), "ReLU and norm have changed places: first the norm."),
        ],
        tolerance=1e-5,
    )
    return "the block with an untouched stream"


def _layers(draw: torch.Generator, channels: int) -> tuple[nn.BatchNorm2d, nn.BatchNorm2d, nn.Conv2d, nn.Conv2d]:
    """Return two norms and two convolutions, drawn from one generator."""
    norms = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
    convolutions = [nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2)]
    for layer in (*norms, *convolutions):
        layer.weight.data = torch.randn(layer.weight.shape, generator=draw)
    for norm in norms:
        norm.bias.data = torch.randn(channels, generator=draw)
        norm.running_mean = torch.randn(channels, generator=draw)
        norm.running_var = torch.rand(channels, generator=draw) + 0.5
    return *norms, *convolutions


@exercise("exercise-resnets-fold", points=2)
def check_fold(answer: Callable[[nn.Conv2d, nn.BatchNorm2d], nn.Conv2d], face: Draw) -> str:
    """Check ``answer(conv, bn)``: one convolution with a bias that computes both, as in eval mode.

    The verdict is wrong if the outputs differ, or if the layers given were changed.
    """
    draw = face.generator(8)
    channels, eps = face.size(3), face.value(1e-5, 0.01, 0.5)
    bn, _, conv, _ = _layers(draw, channels)
    conv.stride, bn.eps = (face.choice([1, 3]) if face.hidden else 2,) * 2, eps
    conv.eval(), bn.eval()
    x = torch.randn(2, channels, 7, 7, generator=draw)
    got = call(answer, conv, bn)
    if not isinstance(got, nn.Conv2d):
        raise Wrong(f"The answer returns a {type(got).__name__}, but it must be one nn.Conv2d.")
    gain = bn.weight / (bn.running_var + bn.eps).sqrt()
    scaled = conv(x) * gain.view(1, -1, 1, 1)
    shift = bn.bias - bn.running_mean * gain
    expect_close(
        got(x),
        bn(conv(x)),
        "The output",
        mistakes=[
            (scaled, "The bias is missing: what BN subtracts and adds is left."),
            (scaled + bn.bias.view(1, -1, 1, 1), "The running mean is missing from the bias."),
            (
                scaled + (bn.bias - bn.running_mean).view(1, -1, 1, 1),
                "The running mean is divided by the standard deviation and multiplied by the gain, too.",
            ),
            (
                conv(x) * (bn.weight / (bn.running_var + bn.eps)).view(1, -1, 1, 1) + shift.view(1, -1, 1, 1),
                "BN divides by the root of the variance.",
            ),
        ],
        tolerance=1e-5,
    )
    return "two layers in one"


@exercise("exercise-resnets-snapshot", points=2)
def check_snapshot(answer: Callable[..., dict[str, Any]], face: Draw) -> str:
    """Check ``answer(model, optimizer, order)``: a dict of three states from which training goes on to the same bits.

    The verdict is wrong if a part is missing or follows the training that goes on.
    """
    reads, d = face.size(3), face.size(4)
    model = nn.Sequential(nn.Linear(reads, d), nn.BatchNorm1d(d), nn.Linear(d, 2))
    optimizer = torch.optim.SGD(model.parameters(), face.value(0.1, 0.02, 0.2), momentum=face.value(0.9, 0.5, 0.95))
    order = face.generator(9)
    _train(model, optimizer, order)
    taken = call(answer, model, optimizer, order)
    if not isinstance(taken, dict) or set(taken) != {"model", "optimizer", "order"}:
        raise Wrong("The answer must return a dict with the keys model, optimizer, order.")
    _train(model, optimizer, order)
    wanted = copy.deepcopy(model.state_dict())
    if missing := [name for name in wanted if name not in taken["model"]]:
        raise Wrong(f"The snapshot has no {missing[0]}: BN's running statistics are part of the model.")
    if torch.equal(taken["model"]["0.weight"], wanted["0.weight"]):
        raise Wrong("The snapshot went on training: a state dict holds the weights themselves. Copy it.")
    try:
        model.load_state_dict(taken["model"])
        optimizer.load_state_dict(taken["optimizer"])
        order.set_state(taken["order"])
    except Exception as error:
        raise Wrong(f"The snapshot cannot be loaded: {type(error).__name__}: {error}") from error
    _train(model, optimizer, order)
    if not all(torch.equal(value, wanted[name]) for name, value in model.state_dict().items()):
        raise Wrong("Training goes on from the snapshot to other weights: is the momentum a copy, too?")
    return "a snapshot that stands still"


def _train(model: nn.Module, optimizer: torch.optim.Optimizer, order: torch.Generator) -> None:
    """Take three steps on batches that the generator draws."""
    for _ in range(3):
        loss = model(torch.randn(5, model[0].in_features, generator=order)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
