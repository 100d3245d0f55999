"""Answers and cases to "Modules with state": what is drawn, split or taken again."""

import copy
import math
import random

import torch
from torch import nn

from resnorm_lib.checks import Wrong
from resnorm_lib.checks.judge.answers import call
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


class StochasticByDropout(StochasticDepth):
    def forward(self, x):
        if not self.training:
            return x + self.survival * self.branch(x)
        kept = nn.functional.dropout(torch.ones(len(x), 1), 1 - self.survival) * self.survival
        return x + kept * self.branch(x)


class StochasticBySamples(StochasticDepth):
    def forward(self, x):
        branch = self.branch(x)
        if not self.training:
            return x + self.survival * branch
        return torch.stack([a + b if random.random() < self.survival else a for a, b in zip(x, branch)])


class Inverted(StochasticDepth):
    def forward(self, x):
        if not self.training:
            return x + self.branch(x)
        return x + (torch.rand(len(x), 1) < self.survival) / self.survival * self.branch(x)


class Unscaled(StochasticDepth):
    def forward(self, x):
        return super().forward(x) if self.training else x + self.branch(x)


class Evaluated(StochasticDepth):
    scale = staticmethod(lambda survival: survival)
    scale_of_x = staticmethod(lambda survival: 1)

    def forward(self, x):
        if self.training:
            return super().forward(x)
        return self.scale_of_x(self.survival) * x + self.scale(self.survival) * self.branch(x)


class EvaluatedDivided(Evaluated):
    scale = staticmethod(lambda survival: 1 / survival)


class EvaluatedByDrop(Evaluated):
    scale = staticmethod(lambda survival: 1 - survival)


class EvaluatedWithoutBranch(Evaluated):
    scale = staticmethod(lambda survival: 0)


class EvaluatedScaled(Evaluated):
    scale_of_x = staticmethod(lambda survival: survival)


class ScaledTwice(StochasticDepth):
    def forward(self, x):
        return x + self.survival * (super().forward(x) - x) if self.training else super().forward(x)


class NeverDrops(StochasticDepth):
    def forward(self, x):
        return x + self.survival * self.branch(x)


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
    features = face.integer(3, 8)
    branch = nn.Linear(features, features)
    branch.load_state_dict({"weight": face.normal(features, features).float(), "bias": face.normal(features).float()})
    return branch, face.choice([0.25, 0.3, 0.7, 0.75]), face.normal(face.integer(600, 700), features).float()


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
    inputs, outputs = face.integer(2, 7), face.integer(8, 12)
    length, bias = face.normal(2, outputs).float()
    state = {"direction": face.normal(outputs, inputs).float(), "length": length, "bias": bias}
    batches = [face.normal(face.integer(2, 7), inputs).float()]
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


def recalibrate_by_sums(model, batches):
    norms = [each for each in model.modules() if isinstance(each, nn.BatchNorm1d)]
    means, variances = [[0.0] * len(norms) for _ in range(2)]
    model.train()
    for x in batches:
        for layer in model:
            if isinstance(layer, nn.BatchNorm1d):
                place = norms.index(layer)
                means[place], variances[place] = means[place] + x.mean(0), variances[place] + x.var(0)
            x = layer(x)
    for norm, mean, variance in zip(norms, means, variances):
        norm.running_mean.copy_(mean.detach() / len(batches))
        norm.running_var.copy_(variance.detach() / len(batches))
    return model


def recalibrate_in_a_copy(model, batches):
    other = recalibrate(copy.deepcopy(model), batches)
    model.load_state_dict(other.state_dict())
    return model


def recalibrated(reset="statistics", momentum=None, train=True, once=False, restore=True, returns=True):
    """Return a wrong answer."""

    def answer(model, batches):
        norms = [each for each in model.modules() if isinstance(each, nn.BatchNorm1d)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            if reset:
                (norm.reset_parameters if reset == "all" else norm.reset_running_stats)()
            norm.momentum = momentum or (None if reset else norm.momentum)
        model.train(train)
        for x in [torch.cat(batches)] if once else batches:
            model(x)
        for norm, before in zip(norms, momenta if restore else ()):
            norm.momentum = before
        return model if returns else None

    return answer


def averaged_biased(model, batches):
    recalibrate(model, batches)
    for norm in (each for each in model.modules() if isinstance(each, nn.BatchNorm1d)):
        norm.running_var *= (len(batches[0]) - 1) / len(batches[0])
    return model


def forgotten(model, batches):
    for norm in (each for each in model.modules() if isinstance(each, nn.BatchNorm1d)):
        norm.reset_running_stats()
    return model


def first_norm_alone(model, batches):
    model.train()
    kept = {name: value.clone() for name, value in model[4].state_dict().items()}
    recalibrate(model, batches)
    model[4].load_state_dict(kept)
    return model


def take_again(answer, model, batches):
    """Have the statistics of a copy taken again, and return them, with all that must stay."""
    model = copy.deepcopy(model)
    parameters = {name: value.clone() for name, value in model.named_parameters()}
    returned = call(answer, model, batches, changes=(0,))
    if returned is None:
        raise Wrong("The answer returns nothing: does it end with return?")
    momenta = {number: layer.momentum for number, layer in enumerate(returned) if isinstance(layer, nn.BatchNorm1d)}
    moved = sum(float((value - parameters[name]).abs().sum().detach()) for name, value in model.named_parameters())
    statistics = {name: value.clone() for name, value in model.state_dict().items() if "running" in name}
    return {
        "The change of all parameters": moved,
        **{
            f"The momentum of layer {number} (-1: None)": -1.0 if each is None else each
            for number, each in momenta.items()
        },
        **{f"{name} of the model": each for name, each in statistics.items()},
    }


def recalibrate_case(face):
    inputs, hidden, outputs = face.integer(2, 6), face.integer(3, 7), face.integer(2, 6)
    first, last = nn.BatchNorm1d(hidden), nn.BatchNorm1d(outputs)
    model = nn.Sequential(nn.Linear(inputs, hidden), first, nn.ReLU(), nn.Linear(hidden, outputs), last)
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.copy_(face.normal(*value.shape).abs() + 0.1 * face.normal(*value.shape))
    return model, [(1 + number) * face.normal(6, inputs).float() + number for number in range(face.integer(3, 5))]


BANK = [
    Held("bank-stochastic-depth", 3, "The output", (StochasticDepth, StochasticByRows, StochasticByDropout, StochasticBySamples), {
        Inverted: "A kept branch is divided by the survival in training; here evaluation does the scaling.",
        Unscaled: "In evaluation the branch must be multiplied by the survival.",
        WholeBatch: "The whole batch lives or dies together; each sample must by itself.",
        EachEntry: "Entries are dropped one by one; a sample must lose its whole branch.",
        DropProbability: "The argument is the probability to keep the branch, not to drop it.",
        AlwaysDrops: "Evaluation drops branches, too.",
        NeverDrops: "Training drops nothing: every sample gets a share of its branch.",
        ScaledTwice: "A kept branch is multiplied by the survival in training, too.",
        EvaluatedDivided: "In evaluation the branch is divided by the survival; it must be multiplied.",
        EvaluatedByDrop: "In evaluation the branch is multiplied by the probability to lose it.",
        EvaluatedWithoutBranch: "In evaluation the branch is lost.",
        EvaluatedScaled: "In evaluation x is scaled, too: only the branch is.",
    }, drop_case, drop),
    Held("bank-weight-norm", 2, "The output", (WeightNormLinear, WeightNormAfter), {
        WholeLength: "The length is that of the whole matrix; each row has its own.",
        ColumnLengths: "Columns are divided by their lengths; rows must be.",
        NotDivided: "The direction is not divided by its length.",
        NoLength: "The learned length is not used.",
        ScaledBias: "The bias is multiplied by the length, too.",
        LengthSquared: "A row is divided by its squared length: a root is missing.",
    }, weight_norm_case, drive),
    Held("bank-recalibrate", 3, "The model", (recalibrate, recalibrate_by_momentum, recalibrate_by_sums, recalibrate_in_a_copy), {
        recalibrated(reset=""): "The old statistics are still in the new ones, and late batches count more.",
        recalibrated(momentum=0.1): "With a momentum the last batches count more, and the reset value stays in.",
        recalibrated(train=False): "The statistics do not move: does the model train, and does it see the batches?",
        recalibrated(momentum=1.0): "Only the last batch counts.",
        recalibrated(reset="all"): "Gains and biases were reset, too: no parameter changes.",
        recalibrated(restore=False): "The momentum is not what it was.",
        recalibrated(returns=False): "The answer returns nothing: does it end with return?",
        averaged_biased: "The biased variances are averaged; the unbiased ones are wanted.",
        forgotten: "The statistics do not move: does the model train, and does it see the batches?",
        recalibrated(once=True): "One large batch has other statistics than the average over the batches.",
        first_norm_alone: "Only the first BatchNorm was taken again.",
    }, recalibrate_case, take_again),
]  # fmt: skip
