"""Right and wrong answers to the exercises of "Residual networks"."""

import copy

import torch
from torch import nn
from torch.nn.functional import relu

from resnorm_lib.checks import residual_networks as checks


def cifar_parameters(n, norms=True, bias=True, projections=False, equal=False):
    total = 27 * 16 + 640 + 10 * bias + 32 * norms
    for reads, width in ((16, 16), (16, 32), (32, 64)):
        total += 9 * (2 * n - 1) * width**2 + 9 * width * (width if equal else reads)
        total += 4 * n * width * norms
        total += projections * reads * width * (reads != width)
    return total


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, reads, width, stride=1):
        super().__init__()
        writes = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(reads, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, writes, 1, bias=False), nn.BatchNorm2d(writes)
        self.downsample = None
        if stride > 1 or reads != writes:
            projection = nn.Conv2d(reads, writes, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(writes))

    def parts(self, x):
        branch = relu(self.bn1(self.conv1(x)))
        branch = relu(self.bn2(self.conv2(branch)))
        return x if self.downsample is None else self.downsample(x), self.bn3(self.conv3(branch))

    def forward(self, x):
        shortcut, branch = self.parts(x)
        return relu(shortcut + branch)


class NoExpansion(Bottleneck):
    expansion = 1


class EarlyStride(Bottleneck):
    def __init__(self, reads, width, stride=1):
        super().__init__(reads, width, stride)
        self.conv1.stride, self.conv2.stride = self.conv2.stride, self.conv1.stride


class NoLastReLU(Bottleneck):
    def forward(self, x):
        return sum(self.parts(x))


class TwoReLUs(Bottleneck):
    def forward(self, x):
        shortcut, branch = self.parts(x)
        return relu(shortcut + relu(branch))


class EarlyReLU(Bottleneck):
    def forward(self, x):
        shortcut, branch = self.parts(x)
        return shortcut + relu(branch)


class Plain(Bottleneck):
    def forward(self, x):
        return relu(self.parts(x)[1])


class WithBias(Bottleneck):
    def __init__(self, reads, width, stride=1):
        super().__init__(reads, width, stride)
        self.conv1 = nn.Conv2d(reads, width, 1)


class ClippedBranch(Bottleneck):
    def forward(self, x):
        shortcut, branch = self.parts(x)
        return relu(shortcut) + relu(branch)


class Halved(Bottleneck):
    def forward(self, x):
        shortcut, branch = self.parts(x)
        return relu((shortcut + branch) / 2)


class NoProjection(Bottleneck):
    def __init__(self, reads, width, stride=1):
        super().__init__(reads, width, stride)
        self.downsample = None


class BareProjection(Bottleneck):
    def __init__(self, reads, width, stride=1):
        super().__init__(reads, width, stride)
        if self.downsample is not None:
            self.downsample = self.downsample[:1]


def padded(x, channels, stride, first):
    small = x[:, :, ::stride, ::stride]
    out = small.new_zeros(len(x), channels, *small.shape[2:])
    out[:, first : first + x.shape[1]] = small
    return out


def pad_shortcut(x, channels, stride):
    return padded(x, channels, stride, 0)


def pad_before(x, channels, stride):
    return padded(x, channels, stride, channels - x.shape[1])


def repeat(x, channels, stride):
    small = x[:, :, ::stride, ::stride]
    return torch.cat((small, small), 1)[:, :channels]


def pre_activation(x, bn1, conv1, bn2, conv2):
    return x + conv2(relu(bn2(conv1(relu(bn1(x))))))


def block_of_2015(x, bn1, conv1, bn2, conv2):
    return relu(x + bn2(conv2(relu(bn1(conv1(x))))))


def activated_shortcut(x, bn1, conv1, bn2, conv2):
    return pre_activation(x, bn1, conv1, bn2, conv2) - x + relu(bn1(x))


def relu_first(x, bn1, conv1, bn2, conv2):
    return x + conv2(bn2(relu(conv1(bn1(relu(x))))))


@torch.no_grad()
def fold(conv, bn, mean=True, bias=True, root=0.5, scale_mean=True):
    gain = bn.weight / (bn.running_var + bn.eps) ** root
    folded = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
    folded.weight.copy_(conv.weight * gain.view(-1, 1, 1, 1))
    right = bn.weight / (bn.running_var + bn.eps).sqrt()
    folded.bias.copy_(bias * (bn.bias - mean * bn.running_mean * (right if scale_mean else 1)))
    return folded


@torch.no_grad()
def fold_in_place(conv, bn):
    folded = fold(conv, bn)
    conv.weight.copy_(folded.weight)
    return folded


def fold_as_in_training(conv, bn):
    same = copy.deepcopy(bn)
    same.running_mean.zero_(), same.running_var.fill_(1.0)
    return fold(conv, same)


def fold_with_the_old_stride(conv, bn):
    folded = fold(conv, bn)
    folded.stride = (1, 1)
    return folded


def snapshot(model, optimizer, order):
    return copy.deepcopy(live(model, optimizer, order))


def live(model, optimizer, order):
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "order": order.get_state()}


def parameters_only(model, optimizer, order):
    return snapshot(model, optimizer, order) | {"model": copy.deepcopy(dict(model.named_parameters()))}


def live_momentum(model, optimizer, order):
    return live(model, optimizer, order) | {"model": copy.deepcopy(model.state_dict())}


EXERCISES = {
    checks.check_cifar_parameters: (
        cifar_parameters,
        {
            lambda n: cifar_parameters(n, norms=False): "gains and biases of the BN",
            lambda n: cifar_parameters(n, bias=False): "classifier has a bias",
            lambda n: cifar_parameters(n, projections=True): "no weights: there is nothing",
            lambda n: cifar_parameters(n) + 16 * 32 + 32 * 64 + 192: "and no BN",
            lambda n: cifar_parameters(n, equal=True): "half as many channels",
        },
    ),
    checks.check_bottleneck: (
        Bottleneck,
        {
            NoExpansion: "expansion = 4",
            EarlyStride: "throws three pixels of four",
            NoLastReLU: "after the sum is missing",
            TwoReLUs: "ReLU too many",
            EarlyReLU: "stands before the sum",
            Plain: "shortcut is missing",
            WithBias: "conv1.bias",
            BareProjection: "downsample.1",
            NoProjection: "downsample.0",
            Halved: "half as large",
            ClippedBranch: "The output of a block",
        },
    ),
    checks.check_pad_shortcut: (
        pad_shortcut,
        {
            pad_before: "after the old channels",
            repeat: "hold copies",
            lambda x, channels, stride: x[:, :, ::stride, ::stride]: "has shape",
        },
    ),
    checks.check_pre_activation: (
        pre_activation,
        {
            lambda *layers: relu(pre_activation(*layers)): "nothing follows the sum",
            lambda x, *layers: pre_activation(x, *layers) - x: "shortcut is missing",
            activated_shortcut: "x itself",
            block_of_2015: "block of 2015",
            relu_first: "changed places",
        },
    ),
    checks.check_fold: (
        fold,
        {
            lambda conv, bn: nn.Sequential(conv, bn): "must be one nn.Conv2d",
            fold_in_place: "changes its argument in place",
            lambda conv, bn: fold(conv, bn, bias=False): "bias is missing",
            lambda conv, bn: fold(conv, bn, mean=False): "running mean is missing",
            lambda conv, bn: fold(conv, bn, scale_mean=False): "divided by the standard deviation",
            lambda conv, bn: fold(conv, bn, root=1): "root of the variance",
            lambda conv, bn: conv: "The output is",
            lambda conv, bn: fold(conv, bn).weight: "must be one nn.Conv2d",
            fold_as_in_training: "The output is",
            fold_with_the_old_stride: "has shape",
        },
    ),
    checks.check_snapshot: (
        snapshot,
        {
            live: "went on training",
            parameters_only: "running statistics",
            live_momentum: "momentum",
            lambda model, optimizer, order: {"model": model.state_dict()}: "with the keys",
            lambda model, optimizer, order: list(snapshot(model, optimizer, order).values()): "with the keys",
            lambda *a: snapshot(*a) | {"model": dict(a[0].state_dict())}: "went on training",
            lambda *a: snapshot(*a) | {"optimizer": a[1].state_dict()}: "momentum",
            lambda *a: snapshot(*a) | {"optimizer": torch.optim.SGD(a[0].parameters(), 0.1).state_dict()}: "momentum",
            lambda *a: snapshot(*a) | {"order": torch.Generator().manual_seed(0).get_state()}: "Training goes on",
            lambda *a: snapshot(*a) | {"optimizer": {}}: "cannot be loaded",
        },
    ),
}
