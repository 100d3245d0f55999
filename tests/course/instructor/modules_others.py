"""Answers and cases to "Modules with state": what is drawn, split or taken again."""

import copy
import math

import torch
from torch import nn

from resnorm_lib.checks.answers import call
from resnorm_lib.course.bank import Held, drive


class StochasticDepth(nn.Module):
    def __init__(self, branch, survival):
        super().__init__()
        self.branch, self.survival = branch, survival

    def forward(self, x):
        if not self.training:
            return x + self.survival * self.branch(x)
        kept = torch.rand(len(x), *[1] * (x.ndim - 1)) < self.survival
        return x + kept * self.branch(x)


class StochasticByRows(StochasticDepth):
    def forward(self, x):
        if not self.training:
            return torch.lerp(x, x + self.branch(x), self.survival)
        kept = torch.bernoulli(torch.full((len(x),), self.survival)).bool()
        return torch.where(kept[:, None], x + self.branch(x), x)


class Inverted(StochasticDepth):
    def forward(self, x):
        if not self.training:
            return x + self.branch(x)
        return x + (torch.rand(len(x), 1) < self.survival) / self.survival * self.branch(x)


class Unscaled(StochasticDepth):
    def forward(self, x):
        return super().forward(x) if self.training else x + self.branch(x)


class WholeBatch(StochasticDepth):
    def forward(self, x):
        if not self.training:
            return super().forward(x)
        return x + (torch.rand(()) < self.survival) * self.branch(x)


class EachEntry(StochasticDepth):
    def forward(self, x):
        return x + (torch.rand_like(x) < self.survival) * self.branch(x) if self.training else super().forward(x)


class DropProbability(StochasticDepth):
    def __init__(self, branch, survival):
        super().__init__(branch, 1 - survival)


class AlwaysDrops(StochasticDepth):
    def forward(self, x):
        return x + (torch.rand(len(x), 1) < self.survival) * self.branch(x)


def drop(answer, branch, survival, x):
    """Train a module on samples and evaluate it; tell apart what must be so for every sample and what by chance."""
    module = call(answer, branch, survival)
    module.train()
    full = branch(x).detach()
    shares = ((call(module, x) - x).detach() * full).sum(1) / full.square().sum(1)
    kinds = {round(float(share), 3) for share in shares}
    off = abs(float((shares > 0.01).float().mean()) - survival)
    module.eval()
    evaluated = call(module, x)
    return {
        "The number of different shares that samples get of the branch (3 stands for more)": min(len(kinds), 3),
        "The largest share of the branch that a sample gets in training": max(kinds),
        "Whether samples keep the branch as often as they must (1: yes)": float(off < 6 * math.sqrt(survival / len(x))),
        "Whether evaluation gives the same twice (1: yes)": float(torch.equal(evaluated, call(module, x))),
        "The output in evaluation": evaluated,
    }


def drop_case(face):
    branch = nn.Linear(4, 4)
    branch.load_state_dict({"weight": face.normal(4, 4).float(), "bias": face.normal(4).float()})
    return branch, face.choice([0.25, 0.3, 0.7, 0.75]), face.normal(600, 4).float()


class WeightNormLinear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.direction = nn.Parameter(torch.randn(outputs, inputs))
        self.length, self.bias = nn.Parameter(torch.ones(outputs)), nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        weight = self.length[:, None] * self.direction / self.direction.norm(dim=1, keepdim=True)
        return x @ weight.T + self.bias


class WeightNormAfter(WeightNormLinear):
    def forward(self, x):
        return self.length * (x @ self.direction.T) / self.direction.square().sum(1).sqrt() + self.bias


class WholeLength(WeightNormLinear):
    def forward(self, x):
        return self.length * (x @ self.direction.T) / self.direction.norm() + self.bias


class ColumnLengths(WeightNormLinear):
    def forward(self, x):
        return self.length * (x @ (self.direction / self.direction.norm(dim=0)).T) + self.bias


class NotDivided(WeightNormLinear):
    def forward(self, x):
        return self.length * (x @ self.direction.T) + self.bias


class NoLength(WeightNormLinear):
    def forward(self, x):
        return x @ nn.functional.normalize(self.direction, dim=1).T + self.bias


class ScaledBias(WeightNormLinear):
    def forward(self, x):
        return self.length * (x @ nn.functional.normalize(self.direction, dim=1).T + self.bias)


class LengthSquared(WeightNormLinear):
    def forward(self, x):
        return self.length * (x @ self.direction.T) / self.direction.square().sum(1) + self.bias


def weight_norm_case(face):
    inputs, outputs = face.integer(2, 4), face.integer(5, 6)
    length, bias = face.normal(2, outputs).float()
    state = {"direction": face.normal(outputs, inputs).float(), "length": length, "bias": bias}
    batches = [face.normal(3, inputs).float()]
    return (inputs, outputs), state, batches, batches[0] + 1


def recalibrate(model, batches):
    norms = [each for each in model.modules() if isinstance(each, nn.BatchNorm1d)]
    momenta = [norm.momentum for norm in norms]
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch averages all batches alike
    with torch.no_grad():
        for x in batches:
            model(x)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    return model


def recalibrate_by_momentum(model, batches):
    norms = [each for each in model.modules() if isinstance(each, nn.BatchNorm1d)]
    momenta = [norm.momentum for norm in norms]
    model.train()
    for number, x in enumerate(batches, 1):
        for norm in norms:
            norm.momentum = 1 / number
        model(x)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    return model


def recalibrated(reset=True, momentum=None, train=True, once=False, restore=True):
    """Return a wrong answer."""

    def answer(model, batches):
        norms = [each for each in model.modules() if isinstance(each, nn.BatchNorm1d)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            if reset:
                norm.reset_running_stats()
            norm.momentum = momentum or (None if reset else norm.momentum)
        model.train(train)
        for x in [torch.cat(batches)] if once else batches:
            model(x)
        for norm, before in zip(norms, momenta):
            norm.momentum = before
        return model

    return answer


def first_norm_alone(model, batches):
    model.train()
    kept = {name: value.clone() for name, value in model[4].state_dict().items()}
    recalibrate(model, batches)
    model[4].load_state_dict(kept)
    return model


def take_again(answer, model, batches):
    """Have the statistics of a copy taken again, and return them."""
    model = copy.deepcopy(model)
    parameters = {name: value.clone() for name, value in model.named_parameters()}
    call(answer, model, batches, changes=(0,))
    moved = sum(float((value - parameters[name]).abs().sum().detach()) for name, value in model.named_parameters())
    statistics = {name: value.clone() for name, value in model.state_dict().items() if "running" in name}
    return {
        "The change of all parameters": moved,
        **{f"{name} of the model": each for name, each in statistics.items()},
    }


def recalibrate_case(face):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.copy_(face.normal(*value.shape).abs() + 0.1 * face.normal(*value.shape))
    return model, [(1 + number) * face.normal(6, 3).float() + number for number in range(3)]


BANK = [
    Held("bank-stochastic-depth", 3, "The output", (StochasticDepth, StochasticByRows), {
        Inverted: "A kept branch is divided by the survival in training; here evaluation does the scaling.",
        Unscaled: "In evaluation the branch must be multiplied by the survival.",
        WholeBatch: "The whole batch lives or dies together; each sample must by itself.",
        EachEntry: "Entries are dropped one by one; a sample must lose its whole branch.",
        DropProbability: "The argument is the probability to keep the branch, not to drop it.",
        AlwaysDrops: "Evaluation drops branches, too.",
    }, drop_case, drop),
    Held("bank-weight-norm", 2, "The output", (WeightNormLinear, WeightNormAfter), {
        WholeLength: "The length is that of the whole matrix; each row has its own.",
        ColumnLengths: "Columns are divided by their lengths; rows must be.",
        NotDivided: "The direction is not divided by its length.",
        NoLength: "The learned length is not used.",
        ScaledBias: "The bias is multiplied by the length, too.",
        LengthSquared: "A row is divided by its squared length: a root is missing.",
    }, weight_norm_case, drive),
    Held("bank-recalibrate", 3, "The model", (recalibrate, recalibrate_by_momentum), {
        recalibrated(reset=False): "The old statistics are still in the new ones, and late batches count more.",
        recalibrated(momentum=0.1): "With a momentum the last batches count more, and the reset value stays in.",
        recalibrated(train=False): "In evaluation mode the statistics do not move.",
        recalibrated(once=True): "One large batch has other statistics than the average over the batches.",
        first_norm_alone: "Only the first BatchNorm was taken again.",
    }, recalibrate_case, take_again),
]  # fmt: skip
