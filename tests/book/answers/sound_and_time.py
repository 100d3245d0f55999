"""Right and wrong answers to the exercises of "Sound and time"."""

import torch

from resnorm_lib.checks import sound_and_time as checks


def mean_off(s, over=2):
    return s - s.mean(over, keepdim=True)


def running_mean_off(s, rate, start=1.0, late=False):
    mean, out = start * s[..., 0], []
    for frame in s.unbind(-1):
        moved = (1 - rate) * mean + rate * frame
        out.append(frame - (mean if late else moved))
        mean = moved
    return torch.stack(out, -1)


def seasonal_last(x, horizon, period):
    season = x[:, -period:]
    return season.repeat(1, -(-horizon // period))[:, :horizon]


def reversible(model, x, correction=0, level=True, scale=True):
    mean, std = x.mean(1, keepdim=True), x.std(1, correction=correction, keepdim=True)
    y = model((x - mean) / std)
    return (y * std if scale else y) + (mean if level else 0)


EXERCISES = {
    checks.check_mean_off: (
        mean_off,
        {
            lambda s: mean_off(s, 1): "as in LN",
            lambda s: mean_off(s, (1, 2)): "loudness",
            lambda s: mean_off(s, (0, 2)): "as in BN",
            lambda s: mean_off(s) / s.std(2, keepdim=True): "nothing divided",
            lambda s: s - s.mean(): "One mean for everything",
            lambda s: s - mean_off(s): "subtract it",
        },
    ),
    checks.check_running_mean_off: (
        running_mean_off,
        {
            lambda s, rate: mean_off(s): "looks ahead",
            lambda s, rate: running_mean_off(s, 1 - rate): "share of the new frame",
            lambda s, rate: running_mean_off(s, rate, start=0.0): "start at the first frame",
            lambda s, rate: running_mean_off(s, rate, late=True): "Move the mean first",
            lambda s, rate: s - running_mean_off(s, rate): "subtract it from the frame",
        },
    ),
    checks.check_seasonal_last: (
        seasonal_last,
        {
            lambda x, horizon, period: x[:, -1:].repeat(1, horizon): "the last value",
            lambda x, horizon, period: x[:, :period].repeat(1, horizon)[:, :horizon]: "first values",
            lambda x, horizon, period: x[:, -horizon:]: "back by the period",
            lambda x, horizon, period: seasonal_last(x[:, -period:].flip(1), horizon, period): "opposite order",
        },
    ),
    checks.check_reversible: (
        reversible,
        {
            lambda model, x: reversible(model, x, level=False, scale=False): "put back",
            lambda model, x: reversible(model, x, scale=False): "standard deviation must be put back",
            lambda model, x: reversible(model, x, level=False): "mean must be put back",
            lambda model, x: reversible(model, x, correction=1): "biased",
            lambda model, x: model(x): "read the standardized",
        },
    ),
}
