"""Right and wrong answers to the exercises of "Small batches"."""

import torch

from resnorm_lib.checks import small_batches


def ghosts(x, size, eps, axes=1, correction=0):
    parts = x.reshape(-1, size, x.shape[1])
    var, mean = torch.var_mean(parts, axes, correction=correction, keepdim=True)
    return ((parts - mean) / (var + eps).sqrt()).reshape(x.shape)


def by_rows(x, size, eps):
    var, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
    return (x - mean) / (var + eps).sqrt()


def every_other(x, size, eps):
    parts = x.reshape(size, -1, x.shape[1])
    var, mean = torch.var_mean(parts, 0, correction=0, keepdim=True)
    return ((parts - mean) / (var + eps).sqrt()).reshape(x.shape)


def eps_outside(x, size, eps):
    parts = x.reshape(-1, size, x.shape[1])
    mean, deviation = parts.mean(1, keepdim=True), parts.std(1, correction=0, keepdim=True)
    return ((parts - mean) / (deviation + eps)).reshape(x.shape)


def pooled(means, variances):
    return means.mean(0), variances.mean(0) + means.var(0, correction=0)


EXERCISES = {
    small_batches.check_ghosts: (
        ghosts,
        {
            lambda x, size, eps: ghosts(x, len(x), eps): "statistics of the whole batch",
            by_rows: "that is layer normalization",
            every_other: "rows that follow each other",
            lambda x, size, eps: ghosts(x, size, eps, axes=(1, 2)): "Features share a mean",
            lambda x, size, eps: ghosts(x, size, eps, correction=1): "a norm divides by m",
            eps_outside: "under it",
            lambda x, size, eps: ghosts(x, size, eps)[:size]: "has shape",
        },
    ),
    small_batches.check_pooled: (
        pooled,
        {
            lambda means, variances: (means.mean(0), variances.mean(0)): "their variance is missing",
            lambda means, variances: (means.mean(0), variances.mean(0) + means.var(0)): "one less than the number",
            lambda means, variances: (means.mean(0), means.var(0, correction=0)): "of the means alone",
            lambda means, variances: (means.mean(0), pooled(means, variances)[1].sqrt()): "leave the root out",
            lambda means, variances: (means.sum(0), variances.mean(0)): "average them",
            lambda means, variances: means.mean(0): "must return . values",
        },
    ),
}
