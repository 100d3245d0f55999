"""Answers and cases to "Modules with state": residual blocks."""

import torch
from torch import nn
from torch.nn.functional import relu

from resnorm_lib.course.bank import Held, drive

from ._states import linear_state, norm_state


class PreBlock(nn.Module):
    def __init__(self, features, hidden):
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.up, self.down = nn.Linear(features, hidden), nn.Linear(hidden, features)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, x):
        return x + self.down(relu(self.up(self.norm(x))))


class PreBlockBySum(PreBlock):
    def forward(self, x):
        hidden = torch.clamp(nn.functional.linear(self.norm(x), self.up.weight, self.up.bias), min=0)
        return torch.stack([x, hidden @ self.down.weight.T + self.down.bias]).sum(0)


class PostBlock(PreBlock):
    def forward(self, x):
        return self.norm(x + self.down(relu(self.up(x))))


class NormedShortcut(PreBlock):
    def forward(self, x):
        x = self.norm(x)
        return x + self.down(relu(self.up(x)))


class NoReLU(PreBlock):
    def forward(self, x):
        return x + self.down(self.up(self.norm(x)))


class ReLUAfter(PreBlock):
    def forward(self, x):
        return relu(super().forward(x))


class NoShortcut(PreBlock):
    def forward(self, x):
        return self.down(relu(self.up(self.norm(x))))


class RandomStart(PreBlock):
    def __init__(self, features, hidden):
        super().__init__(features, hidden)
        nn.init.ones_(self.down.weight)


class BiasStart(PreBlock):
    def __init__(self, features, hidden):
        super().__init__(features, hidden)
        nn.init.ones_(self.down.bias)


def pre_case(face):
    features, hidden = face.integer(2, 6), face.integer(7, 12)
    state = norm_state(face, "norm", features) | linear_state(face, "up", features, hidden)
    state |= linear_state(face, "down", hidden, features)
    batches = [
        face.normal(face.integer(3, 8), features).float(),
        face.normal(face.integer(2, 5), face.integer(2, 6), features).float(),
    ]
    return (features, hidden), state, batches, batches[0] + 1, ("down.weight", "down.bias")


class ParallelBlock(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.first, self.second = nn.Linear(features, features), nn.Linear(features, features)

    def forward(self, x):
        n = self.norm(x)
        return x + relu(self.first(n)) + self.second(n)


class ParallelStacked(ParallelBlock):
    def forward(self, x):
        n = self.norm(x)
        return sum((torch.where(self.first(n) > 0, self.first(n), 0.0), self.second(n)), start=x)


class Sequential(ParallelBlock):
    def forward(self, x):
        x = x + relu(self.first(self.norm(x)))
        return x + self.second(self.norm(x))


class ParallelNormed(ParallelBlock):
    def forward(self, x):
        n = self.norm(x)
        return n + relu(self.first(n)) + self.second(n)


class ParallelTwice(ParallelBlock):
    def forward(self, x):
        n = self.norm(x)
        return (x + relu(self.first(n))) + (x + self.second(n))


class ParallelReLUs(ParallelBlock):
    def forward(self, x):
        n = self.norm(x)
        return x + relu(self.first(n)) + relu(self.second(n))


class ParallelUnnormed(ParallelBlock):
    def forward(self, x):
        return x + relu(self.first(self.norm(x))) + self.second(x)


def parallel_case(face):
    features = face.integer(3, 8)
    state = norm_state(face, "norm", features)
    for name in ("first", "second"):
        state |= linear_state(face, name, features, features)
    batches = [
        face.normal(face.integer(3, 8), features).float(),
        face.normal(face.integer(2, 5), face.integer(2, 6), features).float(),
    ]
    return (features,), state, batches, batches[0] + 1


class LayerScale(nn.Module):
    def __init__(self, branch, features, start):
        super().__init__()
        self.branch, self.gain = branch, nn.Parameter(torch.full((features,), start))

    def forward(self, x):
        return x + self.gain * self.branch(x)


class LayerScaleByMatrix(LayerScale):
    def forward(self, x):
        return torch.addcmul(x, self.branch(x), self.gain)


class ScalesShortcut(LayerScale):
    def forward(self, x):
        return self.gain * (x + self.branch(x))


class ScalesInput(LayerScale):
    def forward(self, x):
        return x + self.branch(self.gain * x)


class NoGain(LayerScale):
    def forward(self, x):
        return x + self.branch(x)


class GainPlusOne(LayerScale):
    def forward(self, x):
        return x + (1 + self.gain) * self.branch(x)


class StartsAtOne(LayerScale):
    def __init__(self, branch, features, start):
        super().__init__(branch, features, 1.0)


class NoStream(LayerScale):
    def forward(self, x):
        return self.gain * self.branch(x)


def layer_scale_case(face):
    features, start = face.integer(2, 7), face.number(0.01, 0.2)
    state = linear_state(face, "branch", features, features) | {"gain": face.normal(features).float()}
    batches = [face.normal(face.integer(3, 8), features).float()]
    return (nn.Linear(features, features), features, start), state, batches, batches[0] + 1, ("gain",)


class Highway(nn.Module):
    def __init__(self, features, carry):
        super().__init__()
        self.transform, self.gate = nn.Linear(features, features), nn.Linear(features, features)
        nn.init.constant_(self.gate.bias, carry)

    def forward(self, x):
        t = torch.sigmoid(self.gate(x))
        return t * relu(self.transform(x)) + (1 - t) * x


class HighwayByLerp(Highway):
    def forward(self, x):
        return torch.lerp(x, relu(self.transform(x)), 1 / (1 + torch.exp(-self.gate(x))))


class HighwayExchanged(Highway):
    def forward(self, x):
        t = torch.sigmoid(self.gate(x))
        return (1 - t) * relu(self.transform(x)) + t * x


class HighwaySum(Highway):
    def forward(self, x):
        return torch.sigmoid(self.gate(x)) * relu(self.transform(x)) + x


class HighwayNoReLU(Highway):
    def forward(self, x):
        t = torch.sigmoid(self.gate(x))
        return t * self.transform(x) + (1 - t) * x


class HighwayTanh(Highway):
    def forward(self, x):
        t = torch.tanh(self.gate(x))
        return t * relu(self.transform(x)) + (1 - t) * x


class HighwayOpen(Highway):
    def __init__(self, features, carry):
        super().__init__(features, -carry)


class HighwayZero(Highway):
    def __init__(self, features, carry):
        super().__init__(features, 0.0)


def highway_case(face):
    features = face.integer(2, 7)
    state = linear_state(face, "transform", features, features) | linear_state(face, "gate", features, features)
    batches = [face.normal(face.integer(4, 9), features).float()]
    return (features, -face.number(1.0, 3.0)), state, batches, batches[0] + 1, ("gate.bias",)


BANK = [
    Held("bank-pre-block", 2, "The output", (PreBlock, PreBlockBySum), {
        PostBlock: "That is post-norm: the norm belongs into the branch, before its first layer.",
        NormedShortcut: "The shortcut carries the normalized stream; it must carry x.",
        NoReLU: "The ReLU between the two layers is missing.",
        ReLUAfter: "There is a ReLU after the sum: the stream could never fall.",
        NoShortcut: "The shortcut is missing.",
        RandomStart: "A new block is not the identity: the last weight must start at 0.",
        BiasStart: "A new block is not the identity: the last bias must start at 0.",
    }, pre_case, drive),
    Held("bank-parallel-block", 2, "The output", (ParallelBlock, ParallelStacked), {
        Sequential: "The second branch reads what the first has written; both must read the same.",
        ParallelNormed: "The shortcut carries the normalized stream; it must carry x.",
        ParallelTwice: "x is added twice.",
        ParallelReLUs: "Only the first branch has a ReLU.",
        ParallelUnnormed: "The second branch reads the stream without the norm.",
    }, parallel_case, drive),
    Held("bank-layer-scale", 2, "The output", (LayerScale, LayerScaleByMatrix), {
        ScalesShortcut: "The shortcut is scaled, too: the gain belongs to the branch alone.",
        ScalesInput: "The input of the branch is scaled; its output must be.",
        NoGain: "The gain is not used.",
        GainPlusOne: "One is added to the gain.",
        StartsAtOne: "The gain does not start at the value that is given.",
        NoStream: "The shortcut is missing.",
    }, layer_scale_case, drive),
    Held("bank-highway", 2, "The output", (Highway, HighwayByLerp), {
        HighwayExchanged: "Gate and carry are exchanged: t belongs to the transformed input.",
        HighwaySum: "x is added whole; it must be weighted with 1 - t.",
        HighwayNoReLU: "The ReLU of the transformed input is missing.",
        HighwayTanh: "The gate is a sigmoid: a share between 0 and 1.",
        HighwayOpen: "The gate's bias has the wrong sign: the layer starts open.",
        HighwayZero: "The gate's bias does not start at the value that is given.",
    }, highway_case, drive),
]  # fmt: skip
