"""Answers and cases to "Find the bug": functions."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from resnorm_lib.checks.judge.answers import call
from resnorm_lib.course.bank import Held


def block(x, weight):
    return x + torch.relu(x @ weight)


def block_as_given(x, weight):
    y = x
    y += torch.relu(x @ weight)
    return y


def layer_norm(x, weight, bias, eps):
    mean = x.mean(-1, keepdim=True)
    var = x.var(-1, correction=0, keepdim=True)
    return weight * (x - mean) / (var + eps).sqrt() + bias


def layer_norm_with(axis=-1, outside=False, correction=0, affine=True):
    """Return a wrong answer."""

    def answer(x, weight, bias, eps):
        var = x.var(axis, correction=correction, keepdim=True)
        sigma = var.sqrt() + eps if outside else (var + eps).sqrt()
        y = (x - x.mean(axis, keepdim=True)) / sigma
        return weight * y + bias if affine else y

    return answer


def layer_norm_case(face):
    features = face.integer(4, 8)
    weight, bias = face.normal(2, features)
    return face.normal(face.integer(2, 5), face.integer(2, 5), features), weight, bias, face.number(0.1, 0.5)


def group_norm(x, groups):
    z = x.reshape(len(x), groups, -1)
    z = (z - z.mean(-1, keepdim=True)) / (z.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    return z.reshape(x.shape)


def groups_as_given(x, groups):
    z = x.reshape(len(x), x.shape[1] // groups, groups, x.shape[2])
    mean, var = z.mean((1, 3), keepdim=True), z.var((1, 3), correction=0, keepdim=True)
    return ((z - mean) / (var + 1e-5).sqrt()).reshape(x.shape)


def group_case(face):
    channels = face.choice([12, 24, 48, 60, 72, 84])
    return face.normal(face.integer(2, 6), channels, face.integer(3, 8)) + 1, face.choice([2, 3, 4, 6])


def decaying(model):
    return [name for name, value in model.named_parameters() if value.ndim > 1]


def decaying_by_layer(model):
    kinds = nn.Linear | nn.Conv1d | nn.Conv2d
    weights = {each.weight for each in model.modules() if isinstance(each, kinds)}
    return [name for name, value in model.named_parameters() if value in weights]


def decaying_as_given(model):
    return [name for name, _ in model.named_parameters() if "norm" not in name and not name.endswith("bias")]


def decaying_but_norms(model):
    kinds = nn.LayerNorm | nn.BatchNorm1d | nn.PReLU
    kept = {value for each in model.modules() if isinstance(each, kinds) for value in each.parameters()}
    return tuple(n for n, value in model.named_parameters() if value not in kept and not n.endswith("bias"))


def decaying_one_by_one(model):
    names = []
    for name, value in model.named_parameters():
        if len(value.shape) >= 2:
            names.append(name)
    return names


def names_alone(model):
    return [name for name, _ in model.named_parameters() if not name.endswith("bias")]


def of_layers(kinds, *names):
    """Return a wrong answer."""

    def answer(model):
        found = {getattr(each, name) for each in model.modules() if isinstance(each, kinds) for name in names}
        return [name for name, value in model.named_parameters() if value in found]

    return answer


def with_biases(model):
    return [name for name, value in model.named_parameters() if value.ndim > 1 or name.endswith("bias")]


def matrices_not_called_norm(model):
    return [name for name, value in model.named_parameters() if value.ndim > 1 and "norm" not in name]


def the_others(model):
    return [name for name, value in model.named_parameters() if value.ndim <= 1]


def last_parts(model):
    return [name.split(".")[-1] for name in decaying(model)]


def all_decay(model):
    return [name for name, _ in model.named_parameters()]


def one_by_one(answer, model):
    """Say for each parameter whether it decays, and whether those that do come in order."""
    names, known = list(call(answer, model)), [name for name, _ in model.named_parameters()]
    return {
        **{f"Whether {name} decays (1: yes)": float(name in names) for name in known},
        "Whether the names are in order (1: yes)": float(names == [name for name in known if name in names]),
    }


def decay_case(face):
    width = face.integer(2, 5)
    parts = {
        "stem": nn.Conv1d(width, width, 3), "bn": nn.BatchNorm1d(width), "normal_head": nn.Linear(width, width),
        "norm": nn.LayerNorm(width), "scale": nn.PReLU(), "conv": nn.Conv2d(width, width, 1, bias=False),
    }  # fmt: skip
    order = [*parts]
    return (nn.ModuleDict({name: parts[name] for name in order[face.integer(0, 5) :] + order[: face.integer(3, 6)]}),)


def rms_norm(x):
    wide = x.float()
    return (wide / (wide.square().mean(-1, keepdim=True) + 1e-6).sqrt()).half()


def rms_in_double(x):
    wide = x.double()
    return (wide * torch.rsqrt((wide * wide).mean(-1, keepdim=True) + 1e-6)).to(torch.float16)


def rms_by_torch(x):
    return F.rms_norm(x.float(), x.shape[-1:], eps=1e-6).half()


def rms_divided_in_half(x):
    return x / (x.float().square().mean(-1, keepdim=True) + 1e-6).sqrt().half()


def rms_with(reduce=torch.mean, axis=-1, outside=False, power=0.5):
    """Return a wrong answer."""

    def answer(x):
        square = reduce(x.double().square(), axis, keepdim=True)
        size = square.sqrt() + 1e-6 if outside else (square + 1e-6) ** power
        return (x.double() / size).half()

    return answer


def rms_as_given(x):
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()


def rms_mean_alone(x):
    return x / (x.square().float().mean(-1, keepdim=True) + 1e-6).sqrt().half()


def rms_without_eps(x):
    return (x.float() / x.float().square().mean(-1, keepdim=True).sqrt()).half()


def rms_clamped(x):
    return x / (x.clamp(-255, 255).float().square().mean(-1, keepdim=True) + 1e-6).sqrt().half()


def in_half(answer, x):
    """Return the output and whether it is float16."""
    y = call(answer, x)
    finite = y.double().nan_to_num(nan=-7.0, posinf=-8.0, neginf=-9.0)
    return {"Whether the output is float16 (1: yes)": float(y.dtype == torch.float16), "The output": finite}


def half_case(face):
    rows = face.integer(2, 5)
    x = face.normal(rows + 4, face.integer(6, 12))
    large, small, tiny = face.number(300.0, 900.0), face.number(0.8e-3, 1.6e-3), face.number(1e-4, 2e-4)
    scales = [[large], *[[1.0]] * rows, [small], [small], [tiny]]
    scales = torch.tensor(scales, dtype=torch.float64)
    return ((x * scales).half(),)


def backward(dy, x, eps):
    centred = x - x.mean(-1, keepdim=True)
    sigma = (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    normed = centred / sigma
    along = (dy * normed).mean(-1, keepdim=True)
    return (dy - dy.mean(-1, keepdim=True) - normed * along) / sigma


def backward_by_autograd(dy, x, eps):
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        return torch.autograd.grad(F.layer_norm(x, x.shape[-1:], eps=eps), x, dy)[0]


def backward_with(mean=True, sigma=1, along="mean", eps_used=True, sign=1):
    """Return a wrong answer."""

    def answer(dy, x, eps):
        centred = x - x.mean(-1, keepdim=True)
        size = (centred.square().mean(-1, keepdim=True) + eps * eps_used).sqrt()
        normed = centred / size
        part = dy * normed
        taken = {"none": 0.0, "mean": part.mean(-1, keepdim=True), "sum": part.sum(-1, keepdim=True)}[along]
        return (dy - mean * dy.mean(-1, keepdim=True) - sign * normed * taken) / size**sigma

    return answer


def backward_case(face):
    shape = face.integer(2, 6), face.integer(4, 8)
    return face.normal(*shape), 2 * face.normal(*shape), face.number(0.1, 0.5)


def rate(step, warmup, peak):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * math.sqrt(warmup / (step + 1))


def rate_by_least(step, warmup, peak):
    return peak * min((step + 1) / warmup, (warmup / (step + 1)) ** 0.5)


def rate_in_one_line(step, warmup, peak):
    return peak * ((step + 1) / warmup if step < warmup else (warmup / (step + 1)) ** 0.5)


def rate_as_tensor(step, warmup, peak):
    share = torch.tensor((step + 1) / warmup, dtype=torch.float64)
    return peak * torch.minimum(share, share**-0.5)


def rate_with(rise=lambda step, warmup: (step + 1) / warmup, fall=lambda step, warmup: math.sqrt(warmup / (step + 1))):
    """Return a wrong answer."""
    return lambda step, warmup, peak: peak * (rise(step, warmup) if step < warmup else fall(step, warmup))


def rate_as_given(step, warmup, peak):
    return peak * step / warmup if step < warmup else peak * math.sqrt(1 / (step + 1))


def falls_without_peak(step, warmup, peak):
    return peak * (step + 1) / warmup if step < warmup else math.sqrt(warmup / (step + 1))


def follow(answer, warmup, peak, late):
    """Ask for the rates of four steps."""
    steps = {"of the first step": 0, "in the rise": warmup // 2, "behind the rise": warmup, "long after it": late}
    return {f"The rate {place}": call(answer, step, warmup, peak) for place, step in steps.items()}


def rate_case(face):
    warmup = face.integer(5, 20)
    return warmup, face.number(0.1, 3.0), warmup + face.integer(3, 50)


def statistics(x, mask):
    real = x[mask > 0]
    return real.mean(0), real.var(0, correction=0)


def statistics_by_weights(x, mask):
    weight = mask[..., None]
    count = weight.sum()
    mean = (x * weight).sum((0, 1)) / count
    return mean, ((x - mean).square() * weight).sum((0, 1)) / count


def statistics_as_given(x, mask):
    x = x * mask[..., None]
    mean = x.mean((0, 1))
    return mean, (x - mean).square().mean((0, 1))


def mean_mended(x, mask):
    x = x * mask[..., None]
    mean = x.sum((0, 1)) / mask.sum()
    return mean, (x - mean).square().mean((0, 1))


def padding_in_variance(x, mask):
    x = x * mask[..., None]
    mean = x.sum((0, 1)) / mask.sum()
    return mean, (x - mean).square().sum((0, 1)) / mask.sum()


def by_sentence(x, mask):
    weight = mask[..., None]
    means = (x * weight).sum(1) / weight.sum(1)
    squares = (x.square() * weight).sum(1) / weight.sum(1)
    return means.mean(0), squares.mean(0) - means.mean(0).square()


def unbiased(x, mask):
    return statistics(x, mask)[0], x[mask > 0].var(0)


def no_mask(x, mask):
    return x.mean((0, 1)), x.var((0, 1), correction=0)


def in_place_case(face):
    features = face.integer(2, 6)
    return face.normal(face.integer(2, 7), features), face.normal(features, features)


def padding_case(face):
    batch, time, features = face.integer(3, 6), face.integer(4, 8), face.integer(2, 6)
    mask = torch.ones(batch, time, dtype=torch.float64)
    mask[0, 2:] = 0
    mask[1, face.integer(3, time - 1) :] = 0
    return face.normal(batch, time, features) * (1 + mask[..., None]) + 2, mask


BANK = [
    Held("bank-bug-in-place", 1, "The output", (block, lambda x, w: (x @ w).clamp(min=0) + x), {
        block_as_given: "The answer changes its argument in place: whoever still needs it finds another one.",
        lambda x, w: torch.relu(x @ w): "The shortcut is lost.",
        lambda x, w: x + torch.relu(x @ w.T): "The weight is transposed.",
        lambda x, w: x + x @ w: "The ReLU is lost.",
        lambda x, w: torch.relu(x + x @ w): "The ReLU belongs to the branch, not to the sum.",
        lambda x, w: 2 * x + torch.relu(x @ w): "x is added twice.",
    }, in_place_case),
    Held("bank-bug-axis", 1, "The output", (layer_norm, lambda x, w, b, eps: F.layer_norm(x, x.shape[-1:], w, b, eps)), {
        layer_norm_with(0, outside=True): "Both faults are still there.",
        layer_norm_with(0): "The statistics are still those of the first axis.",
        layer_norm_with(outside=True): "eps is still outside the root: it is added to the variance.",
        layer_norm_with((1, 2)): "Each token has its own mean; here a sentence has one.",
        layer_norm_with(correction=1): "The biased variance is used, divided by the number of features.",
        layer_norm_with(affine=False): "Weight and bias are lost.",
    }, layer_norm_case),
    Held("bank-bug-groups", 2, "The output", (group_norm, lambda x, groups: F.group_norm(x, groups)), {
        groups_as_given: "The fault is still there: a group takes every so-manieth channel.",
        lambda x, groups: F.group_norm(x, x.shape[1] // groups): "The number of groups has become the channels of one.",
        lambda x, groups: F.group_norm(x, 1): "All channels are one group.",
        lambda x, groups: F.group_norm(x, x.shape[1]): "Each channel is normalized by itself.",
        lambda x, groups: F.layer_norm(x, x.shape[-1:]) * groups / groups + 0 * x.mean(0): "Each channel is normalized by itself.",
    }, group_case),
    Held("bank-bug-decay", 2, "The list", (decaying, decaying_by_layer, decaying_but_norms, decaying_one_by_one), {
        decaying_as_given: "The fault is still there: names do not tell what a parameter is.",
        names_alone: "Gains decay: they are no matrices.",
        of_layers(nn.Linear, "weight"): "Kernels of convolutions do not decay.",
        of_layers(nn.Linear | nn.Conv2d, "weight"): "Kernels of one-dimensional convolutions do not decay.",
        of_layers((nn.Linear, nn.Conv1d, nn.BatchNorm1d), "weight"): "Gains of BatchNorm decay, and kernels of Conv2d do not.",
        with_biases: "Biases decay.",
        matrices_not_called_norm: "A matrix whose name holds norm does not decay: names do not tell what a parameter is.",
        the_others: "The list holds what does not decay.",
        last_parts: "Nothing decays: the names are those of named_parameters(), with the names of the modules before them.",
        lambda model: sorted(decaying(model)): "The names are in another order than in named_parameters().",
        all_decay: "All parameters decay.",
    }, decay_case, one_by_one),
    Held("bank-bug-half", 2, "The output", (rms_norm, rms_in_double, rms_by_torch, rms_divided_in_half), {
        rms_as_given: "The fault is still there: squares in float16 overflow and underflow.",
        rms_mean_alone: "The square is still taken in float16; only its mean is not.",
        rms_with(outside=True): "eps is outside the root: it is added to the mean of the squares.",
        rms_without_eps: "eps is lost.",
        rms_with(torch.sum): "The squares are summed; their mean is wanted.",
        rms_with(axis=(0, 1)): "All rows share one root mean square; each has its own.",
        rms_with(power=1): "The root is lost.",
        rms_with(axis=0): "The mean is taken over the rows; it is over the last axis.",
        rms_clamped: "Large entries are cut off: their size is lost.",
        lambda x: rms_norm(x).float(): "The output is not float16.",
        lambda x: F.layer_norm(x.float(), x.shape[-1:], eps=1e-6).half(): "RMSNorm subtracts no mean.",
    }, half_case, in_half, 2e-3),
    Held("bank-bug-backward", 3, "The gradient", (backward, backward_by_autograd), {
        backward_with(along="none"): "The fault is still there: the part along the normalized x must go.",
        backward_with(along="sum"): "The part along the normalized x is a mean over the features, not a sum.",
        backward_with(sign=-1): "The part along the normalized x is added; it must be taken off.",
        backward_with(mean=False): "The mean of dy is not taken off any more.",
        backward_with(eps_used=False): "eps is lost.",
        backward_with(sigma=2): "It is divided by the variance; the deviation is right.",
        backward_with(sigma=0): "It is not divided by the deviation.",
    }, backward_case),
    Held("bank-bug-warmup", 1, "The rate", (rate, rate_by_least, rate_in_one_line, rate_as_tensor), {
        rate_as_given: "Both faults are still there.",
        rate_with(fall=lambda step, warmup: math.sqrt(1 / (step + 1))): "The rate still jumps at the end of the rise.",
        rate_with(rise=lambda step, warmup: step / warmup): "The first step still has the rate 0.",
        rate_with(rise=lambda step, warmup: step / (warmup - 1)): "The first step still has the rate 0, though the last of the rise has the peak.",
        rate_with(rise=lambda step, warmup: (step + 1) / (warmup + 1)): "The rise reaches the peak one step too late.",
        rate_with(rise=lambda step, warmup: math.sqrt((step + 1) / warmup)): "The rise is a root; it must be a straight line.",
        rate_with(fall=lambda step, warmup: warmup / (step + 1)): "The fall goes as a root.",
        rate_with(fall=lambda step, warmup: math.sqrt(warmup / step)): "After the rise the step is counted from 0, but must be from 1.",
        rate_with(fall=lambda step, warmup: 1.0): "After the rise the rate stays at the peak; it must fall.",
        rate_with(fall=lambda step, warmup: (step - warmup + 1) ** -0.5): "The fall counts steps from the end of the rise; it must from the first step.",
        falls_without_peak: "The fall has lost the peak.",
    }, rate_case, follow),
    Held("bank-bug-padding", 2, ("mean", "variance"), (statistics, statistics_by_weights), {
        statistics_as_given: "Both faults are still there: padding counts as tokens of zeros.",
        mean_mended: "The variance still takes padding for tokens, and divides by all places.",
        padding_in_variance: "In the variance padding still counts, with its distance from the mean.",
        by_sentence: "All real tokens count alike; here short sentences count more.",
        unbiased: "The biased variance is wanted.",
        no_mask: "The mask is not used.",
    }, padding_case),
]  # fmt: skip
