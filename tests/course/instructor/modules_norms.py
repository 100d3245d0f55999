"""Answers and cases to "Modules with state": norms."""

import math

import torch
from torch import nn

from resnorm_lib.course.bank import Held, drive


class RMSNorm(nn.Module):
    def __init__(self, features, eps):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(features))

    def forward(self, x):
        return self.weight * x / (x.square().mean(-1, keepdim=True) + self.eps).sqrt()


class RMSByLength(RMSNorm):
    def forward(self, x):
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x * torch.rsqrt(length**2 / x.shape[-1] + self.eps) * self.weight


class RMSCentred(RMSNorm):
    def forward(self, x):
        return super().forward(x - x.mean(-1, keepdim=True))


class RMSOutside(RMSNorm):
    def forward(self, x):
        return self.weight * x / (x.square().mean(-1, keepdim=True).sqrt() + self.eps)


class RMSNoGain(RMSNorm):
    def forward(self, x):
        return x / (x.square().mean(-1, keepdim=True) + self.eps).sqrt()


class RMSSum(RMSNorm):
    def forward(self, x):
        return self.weight * x / (x.square().sum(-1, keepdim=True) + self.eps).sqrt()


class RMSBatch(RMSNorm):
    def forward(self, x):
        return self.weight * x / (x.square().mean(0, keepdim=True) + self.eps).sqrt()


class RMSZero(RMSNorm):
    def __init__(self, features, eps):
        super().__init__(features, eps)
        nn.init.zeros_(self.weight)


def rms_case(face):
    features, eps = face.integer(3, 8), face.number(0.1, 0.5)
    batches = [
        face.normal(face.integer(3, 8), face.integer(2, 6), features).float(),
        face.normal(face.integer(4, 9), features).float(),
    ]
    return (features, eps), {"weight": face.normal(features).float()}, batches, batches[0] + 1, ("weight",)


class BatchNorm(nn.Module):
    def __init__(self, features, eps, momentum):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(features)), nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(0), x.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(x.var(0), self.momentum)
        return self.weight * (x - mean) / (var + self.eps).sqrt() + self.bias


class BatchNormOfTorch(BatchNorm):
    def forward(self, x):
        return nn.functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum, self.eps
        )


class BatchNormWith(BatchNorm):
    """A BatchNorm with a fault: what it stores, and what it uses, as functions of the batch."""

    stored = staticmethod(lambda x: (x.mean(0), x.var(0)))
    used = staticmethod(lambda self, x: (x.mean(0), x.var(0, correction=0)))
    kept = staticmethod(lambda momentum: 1 - momentum)

    def forward(self, x):
        mean, var = self.used(self, x) if self.training else (self.running_mean, self.running_var)
        if self.training:
            kept, (new_mean, new_var) = self.kept(self.momentum), self.stored(x)
            self.running_mean.copy_((kept * self.running_mean + (1 - kept) * new_mean).detach())
            self.running_var.copy_((kept * self.running_var + (1 - kept) * new_var).detach())
        return self.weight * (x - mean) / (var + self.eps).sqrt() + self.bias


class StoresBiased(BatchNormWith):
    stored = staticmethod(lambda x: (x.mean(0), x.var(0, correction=0)))


class UsesUnbiased(BatchNormWith):
    used = staticmethod(lambda self, x: (x.mean(0), x.var(0)))


class KeepsMomentum(BatchNormWith):
    kept = staticmethod(lambda momentum: momentum)


class UsesStored(BatchNormWith):
    used = staticmethod(lambda self, x: (self.running_mean.clone(), self.running_var.clone()))


class StoresDeviation(BatchNormWith):
    stored = staticmethod(lambda x: (x.mean(0), x.std(0)))


class AlwaysBatch(BatchNorm):
    def forward(self, x):
        self.training, mode = True, self.training
        saved = self.running_mean.clone(), self.running_var.clone()
        y = super().forward(x)
        self.training = mode
        if not mode:
            self.running_mean, self.running_var = saved
        return y


class MovesInEvaluation(BatchNorm):
    def forward(self, x):
        y = super().forward(x)
        if not self.training:
            self.running_mean.lerp_(x.mean(0), self.momentum)
        return y


def batch_case(face):
    features, eps, momentum = face.integer(2, 7), face.number(0.1, 0.5), face.number(0.1, 0.4)
    weight, bias, mean = face.normal(3, features).float()
    state = {
        "weight": weight,
        "bias": bias,
        "running_mean": mean,
        "running_var": 0.5 + face.normal(features).float() ** 2,
    }
    batches = [face.normal(face.integer(4, 7), features).float() for _ in range(2)]
    start = ("weight", "bias", "running_mean", "running_var")
    return (features, eps, momentum), state, batches, 2 * face.normal(face.integer(2, 7), features).float(), start


class CumulativeNorm(nn.Module):
    def __init__(self, features, eps):
        super().__init__()
        self.eps = eps
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))
        self.register_buffer("batches", torch.tensor(0))

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(0), x.var(0, correction=0)
            self.batches += 1
            self.running_mean += (mean.detach() - self.running_mean) / self.batches
            self.running_var += (x.var(0).detach() - self.running_var) / self.batches
        return (x - mean) / (var + self.eps).sqrt()


class CumulativeOfTorch(CumulativeNorm):
    def forward(self, x):
        if self.training:
            self.batches += 1
        share = 1 / max(1, int(self.batches))
        return nn.functional.batch_norm(
            x, self.running_mean, self.running_var, training=self.training, momentum=share, eps=self.eps
        )


class CumulativeWith(CumulativeNorm):
    share, steps, correction = staticmethod(lambda batches: 1 / batches), 1, 1

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        self.batches += self.steps
        share = self.share(max(1, int(self.batches)))
        self.running_mean += share * (x.mean(0).detach() - self.running_mean)
        self.running_var += share * (x.var(0, correction=self.correction).detach() - self.running_var)
        return (x - x.mean(0)) / (x.var(0, correction=0) + self.eps).sqrt()


class LateCount(CumulativeWith):
    share = staticmethod(lambda batches: 1 / max(1, batches - 1))


class ConstantShare(CumulativeWith):
    share = staticmethod(lambda batches: 0.1)


class NeverCounts(CumulativeWith):
    steps = 0


class AveragesBiased(CumulativeWith):
    correction = 0


class CountsInEvaluation(CumulativeNorm):
    def forward(self, x):
        self.batches += not self.training
        return super().forward(x)


def cumulative_case(face):
    arguments, state, batches, probe, _ = batch_case(face)
    state = {name: state[name] for name in ("running_mean", "running_var")} | {
        "batches": torch.tensor(face.integer(2, 5))
    }
    return arguments[:2], state, batches, probe, ("batches",)


class GroupNorm(nn.Module):
    def __init__(self, groups, channels, eps):
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        z = x.reshape(len(x), self.groups, -1)
        z = (z - z.mean(-1, keepdim=True)) / (z.var(-1, correction=0, keepdim=True) + self.eps).sqrt()
        shape = (-1,) + (1,) * (x.ndim - 2)
        return self.weight.reshape(shape) * z.reshape(x.shape) + self.bias.reshape(shape)


class GroupNormOfTorch(GroupNorm):
    def forward(self, x):
        return nn.functional.group_norm(x, self.groups, self.weight, self.bias, self.eps)


class GroupsInterleaved(GroupNorm):
    def normalized(self, x):
        z = x.reshape(len(x), -1, self.groups, *x.shape[2:]).transpose(1, 2)
        flat = z.reshape(len(x), self.groups, -1)
        flat = (flat - flat.mean(-1, keepdim=True)) / (flat.var(-1, correction=0, keepdim=True) + self.eps).sqrt()
        return flat.reshape(z.shape).transpose(1, 2).reshape(x.shape)

    def forward(self, x):
        shape = (-1,) + (1,) * (x.ndim - 2)
        return self.weight.reshape(shape) * self.normalized(x) + self.bias.reshape(shape)


class OneGroup(GroupNorm):
    def __init__(self, groups, channels, eps):
        super().__init__(1, channels, eps)


class GroupPerChannel(GroupNorm):
    def __init__(self, groups, channels, eps):
        super().__init__(channels, channels, eps)


class GroupsOfThatMany(GroupNorm):
    def __init__(self, groups, channels, eps):
        super().__init__(channels // groups, channels, eps)


class GroupNoAffine(GroupNorm):
    def forward(self, x):
        return nn.functional.group_norm(x, self.groups, eps=self.eps)


class GroupUnbiased(GroupNorm):
    def forward(self, x):
        z = x.reshape(len(x), self.groups, -1)
        z = (z - z.mean(-1, keepdim=True)) / (z.var(-1, keepdim=True) + self.eps).sqrt()
        shape = (-1,) + (1,) * (x.ndim - 2)
        return self.weight.reshape(shape) * z.reshape(x.shape) + self.bias.reshape(shape)


def group_case(face):
    groups, each, eps = face.choice([2, 3]), face.choice([4, 5]), face.number(0.1, 0.5)
    weight, bias = face.normal(2, groups * each).float()
    batches = [
        face.normal(face.integer(2, 6), groups * each, *shape).float() for shape in ((), (face.integer(3, 7),), (2, 3))
    ]
    return (groups, groups * each, eps), {"weight": weight, "bias": bias}, batches, batches[1] + 1, ("weight", "bias")


class ScaleNorm(nn.Module):
    def __init__(self, features, eps):
        super().__init__()
        self.eps, self.scale = eps, nn.Parameter(torch.tensor(math.sqrt(features)))

    def forward(self, x):
        return self.scale * x / x.norm(dim=-1, keepdim=True).clamp(min=self.eps)


class ScaleNormOfTorch(ScaleNorm):
    def forward(self, x):
        return self.scale * nn.functional.normalize(x, dim=-1, eps=self.eps)


class ScaleOne(ScaleNorm):
    def __init__(self, features, eps):
        super().__init__(features, eps)
        nn.init.ones_(self.scale)


class ScaleRMS(ScaleNorm):
    def forward(self, x):
        return self.scale * x / x.square().mean(-1, keepdim=True).sqrt().clamp(min=self.eps)


class ScaleAll(ScaleNorm):
    def forward(self, x):
        return self.scale * x / x.norm().clamp(min=self.eps)


class ScaleAdded(ScaleNorm):
    def forward(self, x):
        return self.scale * x / (x.norm(dim=-1, keepdim=True) + self.eps)


class ScaleCentred(ScaleNorm):
    def forward(self, x):
        return super().forward(x - x.mean(-1, keepdim=True))


class ScaleSquared(ScaleNorm):
    def forward(self, x):
        return self.scale * x / x.square().sum(-1, keepdim=True).clamp(min=self.eps)


def scale_case(face):
    features = face.integer(3, 8)
    batches = [
        face.normal(face.integer(3, 8), features).float(),
        0.1 * face.normal(face.integer(2, 7), face.integer(2, 5), features).float(),
    ]
    scale = torch.tensor(face.number(0.5, 3.0))
    return (features, face.number(0.3, 0.6)), {"scale": scale}, batches, batches[0] + 1, ("scale",)


BANK = [
    Held("bank-rms-module", 1, "The output", (RMSNorm, RMSByLength), {
        RMSCentred: "RMSNorm subtracts no mean.",
        RMSOutside: "eps belongs under the root, beside the mean square.",
        RMSNoGain: "The weight is not used.",
        RMSSum: "The mean of the squares is wanted, not their sum.",
        RMSBatch: "The squares are averaged over the first axis, but must be over the last.",
        RMSZero: "The weight starts at 0: nothing would pass. It must start at 1.",
    }, rms_case, drive),
    Held("bank-batch-norm", 2, "The output", (BatchNorm, BatchNormOfTorch, BatchNormWith), {
        StoresBiased: "The stored variance is the biased one; it must be divided by m - 1.",
        UsesUnbiased: "In training the biased variance is used, divided by m.",
        KeepsMomentum: "The momentum is the share of the new batch, not of the old value.",
        UsesStored: "In training the statistics of the batch are used, not the stored ones.",
        StoresDeviation: "A standard deviation is stored in the place of the variance.",
        AlwaysBatch: "In evaluation the stored statistics must be used, and the batch's are.",
        MovesInEvaluation: "The stored mean moves in evaluation, too.",
    }, batch_case, drive),
    Held("bank-cumulative-norm", 2, "The output", (CumulativeNorm, CumulativeOfTorch, CumulativeWith), {
        LateCount: "One step off: the new batch is one of the batches that it is averaged with.",
        ConstantShare: "A constant momentum forgets old batches; all must count alike.",
        NeverCounts: "The count of batches does not move.",
        AveragesBiased: "The unbiased variances are averaged, divided by m - 1.",
        CountsInEvaluation: "Batches in evaluation are counted.",
    }, cumulative_case, drive),
    Held("bank-group-module", 2, "The output", (GroupNorm, GroupNormOfTorch), {
        GroupsInterleaved: "Neighbouring channels form a group; here every so-manieth channel does.",
        OneGroup: "The number of groups is ignored: all channels are one group.",
        GroupPerChannel: "Each channel is normalized by itself, which is InstanceNorm.",
        GroupsOfThatMany: "The first argument is the number of groups, not the channels of one.",
        GroupNoAffine: "Weight and bias are not used.",
        GroupUnbiased: "The biased variance is used, divided by the number of entries.",
    }, group_case, drive),
    Held("bank-scale-norm", 1, "The output", (ScaleNorm, ScaleNormOfTorch), {
        ScaleOne: "The scale starts at 1; it must start at the root of the number of features.",
        ScaleRMS: "The length is wanted, not the root mean square.",
        ScaleAll: "Each token has its own length; here all tokens share one.",
        ScaleAdded: "eps is a lower bound of the length; it is not added.",
        ScaleCentred: "ScaleNorm subtracts no mean.",
        ScaleSquared: "The squared length is in the denominator: a root is missing.",
    }, scale_case, drive),
]  # fmt: skip
