"""Wrong answers that were written without looking at the checks, and at no theme: by hand, in a review of the course.

They measure how often a mistake is named that nobody had in mind when its check was written.
"""

import math

import torch

from resnorm_lib.checks import (
    agents,
    batch_norm,
    degradation,
    family_of_norms,
    fast_on_a_gpu,
    language,
    layer_norm_mathematics,
    numbers_that_go_wrong,
    on_many_devices,
    placement_and_warmup,
    rank_collapse,
    residual_connections,
    residual_networks,
    small_batches,
    sound_and_time,
    the_two_together,
    vision,
    which_shortcut,
    why_depth_is_hard,
)


def back(dy, x, weight, eps, axis=-1, outside=False):
    mean, var = x.mean(axis, keepdim=True), x.var(axis, correction=0, keepdim=True)
    sigma = var.sqrt() + eps if outside else (var + eps).sqrt()
    x_hat, g = (x - mean) / sigma, dy * weight
    dx = (g - g.mean(axis, keepdim=True) - x_hat * (g * x_hat).mean(axis, keepdim=True)) / sigma
    return dx, (dy * x_hat).sum(0), dy.sum(0)


def gain_in_dweight(dy, x, weight, eps):
    dx, dweight, dbias = back(dy, x, weight, eps)
    return dx, dweight * weight, dbias


def gain_in_dbias(dy, x, weight, eps):
    dx, dweight, dbias = back(dy, x, weight, eps)
    return dx, dweight, dbias * weight


def another_order(dy, x, weight, eps):
    dx, dweight, dbias = back(dy, x, weight, eps)
    return dx, dbias, dweight


def size_one_more(name, depth, v):
    return {"add": (1 + v) ** (depth + 1), "pre_norm": 1 + v * (depth + 1), "post_norm": 1.0, "sandwich": 2.0 + depth,
            "ln_scaling": 1 + v * sum(1 / k for k in range(1, depth + 2))}[name]  # fmt: skip


def size_squared(name, depth, v):
    return {"add": (1 + v * v) ** depth, "pre_norm": 1 + v * v * depth, "post_norm": 1.0, "sandwich": 1.0 + depth,
            "ln_scaling": 1 + v * v * sum(1 / k for k in range(1, depth + 1))}[name]  # fmt: skip


def returned(stream, branch):
    return stream + branch if stream.shape == branch.shape else ValueError("The shapes differ.")


def printed(stream, branch):
    if stream.shape == branch.shape:
        return stream + branch
    print("The shapes differ.")


def asserted(stream, branch):
    assert stream.shape == branch.shape
    return stream + branch


def overwrites_branch(stream, branch):
    if stream.shape != branch.shape:
        raise ValueError
    branch += stream
    return branch


def at_least_one(shallow, deep):
    if deep[0] - shallow[0] >= 1:
        return "degradation"
    return "overfitting" if deep[1] - shallow[1] >= 1 else "neither"


def two_groups(x, kind, num_groups, eps, axes=None, correction=0):
    n, c, h, w = x.shape
    if kind == "group":
        x = x.view(n, 2, -1)
    axes = {"batch": (0, 2, 3), "layer": (1, 2, 3), "rms": (1, 2, 3), "instance": (2, 3), "group": (2,)}[kind]
    mean = 0 if kind == "rms" else x.mean(axes, keepdim=True)
    var = x.square().mean(axes, keepdim=True) if kind == "rms" else x.var(axes, correction=correction, keepdim=True)
    return ((x - mean) / (var + eps).sqrt()).view(n, c, h, w)


def without_eps(x, kind, num_groups, eps):
    return two_groups(x, kind, num_groups, 0.0)


def groups_of_channels(x, kind, num_groups, eps):
    if kind != "group":
        return two_groups(x, kind, num_groups, eps)
    n, _, h, w = x.shape
    return two_groups(x.view(n, -1, num_groups, h, w).transpose(1, 2).reshape(x.shape), kind, num_groups, eps)


def running(s, rate):
    mean, out = s[..., 0], []
    for frame in s.unbind(-1):
        mean = 0.75 * mean + 0.25 * frame if rate < 1 else frame
        out.append(frame - mean)
    return torch.stack(out, -1)


def mean_by_time(s):
    return s - s.mean(-1).unsqueeze(1)[:, :1]


def forward_returns(rewards, discount):
    out, total = [], 0
    for reward in rewards.unbind(1):
        total = reward + discount * total
        out.append(total)
    return torch.stack(out, 1)


def twice_discounted(rewards, discount):
    out, total = [], 0
    for reward in reversed(rewards.unbind(1)):
        total = discount * (reward + total)
        out.append(total)
    return torch.stack(out[::-1], 1)


def unmasked(log_p, goal, value, alive):
    return -(log_p * (goal - value).detach()).sum() / alive.sum()


def undetached(log_p, goal, value, alive):
    return -(log_p * (goal - value))[alive].mean()


def reversed_difference(log_p, goal, value, alive):
    return -(log_p * (value - goal).detach())[alive].mean()


def relu_at_the_end(x, bn1, conv1, bn2, conv2):
    return (x + conv2(bn2(conv1(bn1(x).relu())).relu())).relu()


def no_second_relu(x, bn1, conv1, bn2, conv2):
    return x + conv2(bn2(conv1(bn1(x).relu())))


def one_norm_twice(x, bn1, conv1, bn2, conv2):
    return x + conv2(bn1(conv1(bn1(x).relu())).relu())


def zeros_first(x, channels, stride):
    small = x[:, :, ::stride, ::stride]
    new = channels - x.shape[1]
    return torch.cat([torch.zeros(len(x), new, *small.shape[2:], dtype=x.dtype), small], 1)


def pooled_by_average(x, channels, stride):
    small = torch.nn.functional.avg_pool2d(x, stride, ceil_mode=True)
    return torch.cat([small, small.new_zeros(len(x), channels - x.shape[1], *small.shape[2:])], 1)


def folded_without_eps(weight, bias, mean, variance, gain, shift, eps):
    scale = gain / variance.sqrt()
    return scale[:, None] * weight, scale * (bias - mean) + shift


def folded_without_shift(weight, bias, mean, variance, gain, shift, eps):
    scale = gain / (variance + eps).sqrt()
    return scale[:, None] * weight, scale * (bias - mean)


def folded_without_gain(weight, bias, mean, variance, gain, shift, eps):
    scale = 1 / (variance + eps).sqrt()
    return scale[:, None] * weight, scale * (bias - mean) + shift


def backward_of_inputs(dy, x, weight):
    return dy + (dy @ weight) * x.clamp(min=0), dy.T @ x.clamp(min=0)


def mean_over_rows(dy, x, weight):
    return dy + (dy @ weight) * (x > 0), dy.T @ x.clamp(min=0) / len(x)


def whole_mean_loss(logits, target, pad):
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())


def bits(logits, target, pad):
    kept = target != pad
    return torch.nn.functional.cross_entropy(logits[kept], target[kept], reduction="sum")


STRANGERS = {
    agents.check_actor: (unmasked, undetached, reversed_difference),
    agents.check_returns: (forward_returns, twice_discounted),
    batch_norm.check_fold: (folded_without_eps, folded_without_shift, folded_without_gain),
    batch_norm.check_batches_until: (
        lambda momentum, share: math.log(share) / math.log(1 - momentum),
        lambda momentum, share: math.ceil(math.log(momentum) / math.log(1 - share)),
    ),
    degradation.check_length_after: (
        lambda g, lr, steps: (1 + steps * (lr * g) ** 2) ** 0.5,
        lambda g, lr, steps: 1 + (lr * g) ** 2 * steps,
    ),
    degradation.check_verdict: (at_least_one,),
    family_of_norms.check_family: (two_groups, without_eps, groups_of_channels),
    fast_on_a_gpu.check_backward_bytes: (
        lambda rows, columns, itemsize, programs: 3 * rows * columns * itemsize + 4 * rows + 16 * programs * columns,
        lambda rows, columns, itemsize, programs: 3 * rows * columns + 8 * rows + 16 * programs * columns,
    ),
    language.check_token_loss: (whole_mean_loss, bits),
    layer_norm_mathematics.check_layer_norm_backward: (
        lambda *arguments: back(*arguments, outside=True),
        lambda *arguments: back(*arguments, axis=0),
        lambda dy, x, weight, eps: back(dy, x, weight, 0.0),
        gain_in_dweight,
        gain_in_dbias,
        another_order,
    ),
    layer_norm_mathematics.check_same_path: (
        lambda rate, decay, c: (decay / c**2, c**2 * rate),
        lambda rate, decay, c: (c**2 * rate, decay / c),
    ),
    numbers_that_go_wrong.check_shifted_variance: (
        lambda x: x.double().std(-1, correction=0),
        lambda x: x.double().var(0, correction=0),
    ),
    on_many_devices.check_weighted_average: (
        lambda gradients, rows: sum(gradients) / sum(rows),
        lambda gradients, rows: max(zip(rows, gradients), key=lambda pair: pair[0])[1],
    ),
    placement_and_warmup.check_warmup_rate: (
        lambda step, rate, warmup: 0.1 * min(1, (step + 1) / warmup) if warmup else 0.1,
        lambda step, rate, warmup: rate * min(1, (step + 1) / warmup),
        lambda step, rate, warmup: rate * min(1, (step + 1) / warmup) if warmup else 0.0,
        lambda step, rate, warmup: rate * min(1, (step + 2) / warmup) if warmup else rate,
    ),
    rank_collapse.check_distance: (
        lambda x: (x - x[0]).norm() / x.norm(),
        lambda x: (x - x.mean(0)).norm() / x.mean(0).norm(),
        lambda x: (x - x.mean(0)).norm() / (x - x.mean(0)).norm(),
        lambda x: (x - x.mean(0)).abs().sum() / x.abs().sum(),
    ),
    rank_collapse.check_post_norm_share: (
        lambda depth, tokens: 1 / (1 + (tokens - 1) / 2 ** (depth - 1)),
        lambda depth, tokens: 1 / (1 + tokens / 2**depth),
    ),
    residual_connections.check_residual_backward: (backward_of_inputs, mean_over_rows),
    residual_connections.check_safe_add: (returned, printed, asserted, overwrites_branch),
    residual_networks.check_pad_shortcut: (zeros_first, pooled_by_average),
    residual_networks.check_pre_activation: (relu_at_the_end, no_second_relu, one_norm_twice),
    small_batches.check_pooled: (
        lambda means, variances: (means.mean(1), variances.mean(1)),
        lambda means, variances: (means.mean(0), variances.mean(0) + means.std(0, correction=0)),
        lambda means, variances: (means.mean(0), variances.mean(0) + means.square().mean(0)),
    ),
    sound_and_time.check_mean_off: (mean_by_time, lambda s: s - s.median(-1, keepdim=True).values),
    sound_and_time.check_running_mean_off: (running,),
    the_two_together.check_stream_size: (size_one_more, size_squared),
    vision.check_flow_pair: (
        lambda noise, x, t: (noise + t * (x - noise), (x - noise) * t),
        lambda noise, x, t: (x - noise, (1 - t) * noise + t * x),
    ),
    which_shortcut.check_dropout_shortcut: (
        lambda p, L: ((1 - p) ** L, (1 - p) ** -L - 1),
        lambda p, L: ((1 - p) ** L, (1 - p) ** (-L / 2)),
        lambda p, L: (1 - p**L, (1 - p) ** -L),
    ),
    why_depth_is_hard.check_end_to_end_slopes: (
        lambda f, depth: (0.0 if abs(f) < 1 else f**depth, (1 + f) ** depth),
        lambda f, depth: ((1 + f) ** depth, f**depth),
        lambda f, depth: (f ** (depth + 1), (1 + f) ** (depth + 1)),
    ),
}
