"""Answers and cases to "Find the bug": layers and blocks."""

import torch
from torch import nn
from torch.nn import functional as F

from resnorm_lib.course.bank import Held, drive

from ._states import linear_state, norm_state


class Block(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(features), nn.Linear(features, features)

    def forward(self, x):
        return x + self.linear(torch.relu(self.norm(x)))


class BlockByNames(Block):
    def forward(self, x):
        normed = self.norm(x)
        hidden = normed.clamp(min=0)
        return F.linear(hidden, self.linear.weight, self.linear.bias) + x


class NormedShortcut(Block):
    def forward(self, x):
        x = self.norm(x)
        return x + self.linear(torch.relu(x))


class NormAfterSum(Block):
    def forward(self, x):
        return self.norm(x + self.linear(torch.relu(x)))


class NoNorm(Block):
    def forward(self, x):
        return x + self.linear(torch.relu(x))


class NoReLU(Block):
    def forward(self, x):
        return x + self.linear(self.norm(x))


class NoShortcut(Block):
    def forward(self, x):
        return self.linear(torch.relu(self.norm(x)))


def block_case(face):
    features = face.integer(3, 8)
    state = norm_state(face, "norm", features) | linear_state(face, "linear", features, features)
    x = 3 * face.normal(face.integer(3, 8), features).float() + 1
    return (features,), state, [x], x.flip(0) - 2


class Norm(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x):
        if self.training:
            mean, var = x.mean(0), x.var(0, correction=0)
            self.running_mean.lerp_(mean.detach(), 0.1)
            self.running_var.lerp_(x.var(0).detach(), 0.1)
        else:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / (var + 1e-5).sqrt()


class NormOfTorch(Norm):
    def forward(self, x):
        return F.batch_norm(x, self.running_mean, self.running_var, training=self.training)


class NormAsGiven(Norm):
    correction, in_training, in_evaluation = 0, "batch", "batch"

    def forward(self, x):
        seen = {"batch": (x.mean(0), x.var(0, correction=0))}
        if self.training:
            self.running_mean.lerp_(x.mean(0).detach(), 0.1)
            self.running_var.lerp_(x.var(0, correction=self.correction).detach(), 0.1)
        seen["stored"] = self.running_mean.clone(), self.running_var.clone()
        mean, var = seen[self.in_training if self.training else self.in_evaluation]
        return (x - mean) / (var + 1e-5).sqrt()


class StoredMended(NormAsGiven):
    correction = 1


class EvaluationMended(NormAsGiven):
    in_evaluation = "stored"


class StoredInTraining(StoredMended):
    in_training = in_evaluation = "stored"


def norm_case(face):
    features = face.integer(2, 7)
    state = {"running_mean": face.normal(features).float(), "running_var": face.normal(features).float() ** 2 + 1}
    return (
        (features,),
        state,
        [face.normal(face.integer(3, 8), features).float() * 2 for _ in range(2)],
        face.normal(face.integer(2, 7), features).float(),
    )


class Network(nn.Module):
    def __init__(self, features, depth):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(features, features) for _ in range(depth))

    def forward(self, x):
        for linear in self.blocks:
            x = x + torch.relu(linear(x))
        return x


class NetworkByNumbers(Network):
    def forward(self, x):
        for number in range(len(self.blocks)):
            h = self.blocks[number](x)
            x = torch.where(h > 0, x + h, x)
        return x


class NetworkInList(Network):
    def __init__(self, features, depth):
        super().__init__(features, depth)
        kept = list(self.blocks)
        del self.blocks
        self.blocks = kept


class NetworkShared(Network):
    def __init__(self, features, depth):
        super().__init__(features, depth)
        self.blocks = nn.ModuleList([self.blocks[0]] * depth)


class OneTooFew(Network):
    def forward(self, x):
        for linear in list(self.blocks)[:-1]:
            x = x + torch.relu(linear(x))
        return x


class OppositeOrder(Network):
    def forward(self, x):
        for linear in reversed(list(self.blocks)):
            x = x + torch.relu(linear(x))
        return x


class PlainNetwork(Network):
    def forward(self, x):
        for linear in self.blocks:
            x = torch.relu(linear(x))
        return x


class ReLUOfTheSum(Network):
    def forward(self, x):
        for linear in self.blocks:
            x = torch.relu(x + linear(x))
        return x


class FromTheInput(Network):
    def forward(self, x):
        return x + sum(torch.relu(linear(x)) for linear in self.blocks)


def network_case(face):
    features, depth = face.integer(2, 7), face.integer(3, 4)
    state = {}
    for number in range(depth):
        state |= linear_state(face, f"blocks.{number}", features, features)
    x = face.normal(face.integer(3, 8), features).float()
    return (features, depth), state, [x], -x


class PreActivation(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.first, self.second = nn.Linear(features, features), nn.Linear(features, features)

    def forward(self, x):
        return x + self.second(torch.relu(self.first(torch.relu(x))))


class PreActivationBySteps(PreActivation):
    def forward(self, x):
        h = x.clamp(min=0)
        h = self.first(h).clamp(min=0)
        return torch.add(self.second(h), x)


class ReLUAfterSum(PreActivation):
    def forward(self, x):
        return torch.relu(super().forward(x))


class ReLUOnBranch(PreActivation):
    def forward(self, x):
        return x + torch.relu(super().forward(x) - x)


class ReLUOnShortcut(PreActivation):
    def forward(self, x):
        return super().forward(x) - x + torch.relu(x)


class NoFirstReLU(PreActivation):
    def forward(self, x):
        return x + self.second(torch.relu(self.first(x)))


class NoSecondReLU(PreActivation):
    def forward(self, x):
        return x + self.second(self.first(torch.relu(x)))


def pre_activation_case(face):
    features = face.integer(3, 8)
    state = linear_state(face, "first", features, features) | linear_state(face, "second", features, features)
    x = face.normal(face.integer(4, 9), features).float()
    return (features,), state, [x], -x


class Transformer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.norm1, self.mix = nn.LayerNorm(features), nn.Linear(features, features)
        self.norm2, self.mlp = nn.LayerNorm(features), nn.Linear(features, features)

    def forward(self, x):
        h = x + self.mix(self.norm1(x))
        return h + self.mlp(self.norm2(h))


class TransformerByParts(Transformer):
    def forward(self, x):
        for norm, branch in ((self.norm1, self.mix), (self.norm2, self.mlp)):
            x = x + branch(norm(x))
        return x


class SecondShortcutEarly(Transformer):
    def forward(self, x):
        return x + self.mlp(self.norm2(x + self.mix(self.norm1(x))))


class BothReadX(Transformer):
    def forward(self, x):
        return x + self.mix(self.norm1(x)) + self.mlp(self.norm2(x))


class StreamTwice(Transformer):
    def forward(self, x):
        h = x + self.mix(self.norm1(x))
        return x + h + self.mlp(self.norm2(h))


class NormsExchanged(Transformer):
    def forward(self, x):
        h = x + self.mix(self.norm2(x))
        return h + self.mlp(self.norm1(h))


class NormedStream(Transformer):
    def forward(self, x):
        h = x + self.mix(self.norm1(x))
        return self.norm2(h) + self.mlp(self.norm2(h))


class NoFirstShortcut(Transformer):
    def forward(self, x):
        h = self.mix(self.norm1(x))
        return h + self.mlp(self.norm2(h))


def transformer_case(face):
    features = face.integer(3, 8)
    state = {}
    for norm, branch in (("norm1", "mix"), ("norm2", "mlp")):
        state |= norm_state(face, norm, features) | linear_state(face, branch, features, features)
    x = 2 * face.normal(face.integer(2, 5), face.integer(2, 6), features).float()
    return (features,), state, [x], x.flip(0) + 1


BANK = [
    Held("bank-bug-shortcut", 1, "The output", (Block, BlockByNames), {
        NormedShortcut: "The fault is still there: the shortcut carries norm(x).",
        NormAfterSum: "The norm is behind the sum; it must be in front of the branch.",
        NoNorm: "The norm is lost.",
        NoReLU: "The ReLU is lost.",
        NoShortcut: "The shortcut is lost.",
    }, block_case, drive),
    Held("bank-bug-evaluation", 2, "The output", (Norm, NormOfTorch), {
        NormAsGiven: "Both faults are still there.",
        StoredMended: "In evaluation the statistics of the batch are still used.",
        EvaluationMended: "The stored variance is still the biased one.",
        StoredInTraining: "In training the batch's statistics are used; now the stored ones are.",
    }, norm_case, drive),
    Held("bank-bug-list", 1, "The output", (Network, NetworkByNumbers), {
        NetworkInList: "The state of the module holds nothing",
        NetworkShared: "All blocks are one now: each needs a layer of its own.",
        OneTooFew: "The last block is not used.",
        OppositeOrder: "The blocks run in the opposite order.",
        PlainNetwork: "The shortcuts are lost.",
    }, network_case, drive),
    Held("bank-bug-shared", 2, "The output", (Network, NetworkByNumbers), {
        NetworkShared: "The fault is still there: all entries of the list are the same layer.",
        NetworkInList: "The state of the module holds nothing",
        ReLUOfTheSum: "The ReLU belongs to the branch, not to the sum.",
        FromTheInput: "Every block reads the input; each must read what the one before has written.",
        PlainNetwork: "The shortcuts are lost.",
    }, network_case, drive),
    Held("bank-bug-relu", 1, "The output", (PreActivation, PreActivationBySteps), {
        ReLUAfterSum: "The fault is still there: a ReLU after the sum.",
        ReLUOnBranch: "The end of the branch has a ReLU: it can only add.",
        ReLUOnShortcut: "The shortcut has a ReLU.",
        NoFirstReLU: "The ReLU at the beginning of the branch is lost.",
        NoSecondReLU: "The ReLU between the layers is lost.",
    }, pre_activation_case, drive),
    Held("bank-bug-second-shortcut", 2, "The output", (Transformer, TransformerByParts), {
        SecondShortcutEarly: "The fault is still there: the second shortcut carries x.",
        BothReadX: "The second branch reads x; it must read h.",
        StreamTwice: "x is added twice: it is in h already.",
        NormsExchanged: "The norms are exchanged.",
        NormedStream: "The second shortcut carries the normalized stream.",
        NoFirstShortcut: "The first shortcut is lost.",
    }, transformer_case, drive),
]  # fmt: skip
