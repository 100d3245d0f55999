"""Right and wrong answers to the exercises of "Numbers that go wrong"."""

import torch

from resnorm_lib.checks import numbers_that_go_wrong as checks


def lost_share(stream, branch):
    given = branch != 0
    return ((stream + branch == stream) & given).double().sum() / given.sum()


def lost_share_wide(stream, branch):
    return lost_share(stream.double(), branch.double())


def shifted_variance(x):
    shifted = x - x[:, :1]
    return shifted.square().mean(-1) - shifted.mean(-1).square()


def scaled_rms_norm(x, eps, scale_eps=True, floor=True, own=True):
    scale = x.abs().amax(-1, keepdim=True) if own else x.abs().max()
    if floor:
        scale = scale.clamp(min=eps**0.5)
    z = x / scale
    small = (eps**0.5 / scale) ** 2 if scale_eps else eps
    return z / (z.square().mean(-1, keepdim=True) + small).sqrt()


def rms_norm(x, eps):
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()


def stochastic_round(x, noise):
    return ((x.view(torch.int32) + noise) & -65536).view(torch.float32).bfloat16()


EXERCISES = {
    checks.check_lost_share: (
        lost_share,
        {
            lambda s, b: (s + b == s).double().mean(): "increment of 0 is not lost",
            lambda s, b: ((s + b == s) & (b != 0)).double().mean(): "number of increments that are not 0",
            lambda s, b: 1 - lost_share(s, b): "share that arrives",
            lost_share_wide: "in a wider format",
        },
    ),
    checks.check_shifted_variance: (
        shifted_variance,
        {
            lambda x: x.square().mean(-1) - x.mean(-1).square(): "it still cancels",
            lambda x: (x - x[0, 0]).square().mean(-1) - (x - x[0, 0]).mean(-1).square(): "a number of its own",
            lambda x: (x - x[:, :1]).square().mean(-1): "mean of the shifted numbers is missing",
            lambda x: (x.double() ** 2).mean(-1) - x.double().mean(-1) ** 2: "in float64 too",
            lambda x: (x - x.mean(-1, keepdim=True)).square().mean(-1): "a mean of x is rounded",
            lambda x: x.var(-1): "not by n - 1",
            lambda x: shifted_variance(x).sqrt(): "standard deviation",
        },
    ),
    checks.check_scaled_rms_norm: (
        scaled_rms_norm,
        {
            rms_norm: "its square overflows",
            lambda x, eps: rms_norm(x.float(), eps).half(): "float16 alone",
            lambda x, eps: scaled_rms_norm(x, eps, scale_eps=False): "eps was not",
            lambda x, eps: scaled_rms_norm(x, eps, own=False): "each scaled by its own t",
            lambda x, eps: scaled_rms_norm(x, eps, floor=False): "divided by 0",
        },
    ),
    checks.check_stochastic_round: (
        stochastic_round,
        {
            lambda x, noise: x: "dtype bfloat16",
            lambda x, noise: x.bfloat16(): "no random rounding",
            lambda x, noise: stochastic_round(x, 0 * noise): "no random rounding",
            lambda x, noise: (x.view(torch.int32) + noise).view(torch.float32).bfloat16(): "one of its|as it is",
            lambda x, noise: stochastic_round(x, noise | 32768): "mean over all noise",
            lambda x, noise: stochastic_round(x, noise + 1): "must stay as it is",
        },
    ),
}
