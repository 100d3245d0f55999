"""Right answers written in other ways, where lists and arrays in the place of tensors do not fit: three to a check."""

import copy
import itertools

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from resnorm_lib.checks import (
    agents,
    batch_norm,
    bias_to_the_identity,
    degradation,
    numbers_that_go_wrong,
    probing_a_network,
    residual_connections,
    residual_networks,
    transformer_block_by_block,
    why_depth_is_hard,
)
from resnorm_lib.models import ResNet
from resnorm_lib.residual import residual_add
from tests.book.answers import batch_norm as batch_norm_answers
from tests.book.answers import why_depth_is_hard as why_depth_answers


def actor_by_mask(log_p, goal, value, alive):
    return -(log_p * (goal - value.detach()))[alive].mean()


def actor_by_where(log_p, goal, value, alive):
    advantage = torch.where(alive, (goal - value).detach(), 0.0)
    return -(log_p * advantage).sum() / alive.count_nonzero()


def actor_by_rows(log_p, goal, value, alive):
    terms = [p[on] * (g - v)[on].detach() for p, g, v, on in zip(log_p, goal, value, alive)]
    return torch.cat(terms).neg().mean()


def fold_by_matrices(weight, bias, mean, variance, gain, shift, eps):
    scale = torch.diag(gain * (variance + eps).rsqrt())
    return scale @ weight, scale @ (bias - mean) + shift


def fold_by_probes(weight, bias, mean, variance, gain, shift, eps):
    """Ask the two layers what they do to 0 and to each unit vector."""
    probes = torch.cat([torch.zeros(1, len(weight)), torch.eye(len(weight))]).to(weight.dtype)
    out = F.batch_norm(F.linear(probes, weight, bias), mean, variance, gain, shift, eps=eps)
    return (out[1:] - out[0]).T, out[0]


def fixup_by_powers(branches, head):
    depth = len(branches)
    scaled = [torch.stack(branch) for branch in branches]
    for branch in scaled:
        branch[:-1] *= depth ** (-0.5 / (len(branch) - 1))
        branch[-1] = 0
    return scaled, torch.zeros_like(head)


def fixup_in_a_copy(branches, head):
    mine = copy.deepcopy(branches)
    for *first, last in mine:
        for matrix in first:
            matrix.mul_(len(branches) ** (-1 / (2 * len(first))))
        last.zero_()
    return mine, head * 0


def fixup_as_arrays(branches, head):
    mine, head = fixup_by_powers(branches, head)
    return [branch.numpy() for branch in mine], head.numpy()


def verdict_by_differences(shallow, deep):
    training, test = (after - before for before, after in zip(shallow, deep))
    if training > 1:
        return "degradation"
    return "overfitting" if test > 1 else "neither"


def verdict_by_table(shallow, deep):
    training, test = (np.subtract(deep, shallow) > 1).tolist()
    return {(False, False): "neither", (False, True): "overfitting"}.get((training, test), "degradation")


def verdict_in_words(shallow, deep):
    found = "neither"
    if deep[1] - shallow[1] > 1:
        found = "overfitting"
    if deep[0] - shallow[0] > 1:
        found = "degradation"
    return found


def rms_by_norm(x, eps):
    top = x.abs().amax(-1, keepdim=True).clamp(min=eps**0.5)
    z, small = x / top, eps**0.5 / top
    return z / (z.pow(2).mean(-1, keepdim=True) + small * small).sqrt()


def rms_row_by_row(x, eps):
    return torch.stack([rms_by_norm(row[None], eps)[0] for row in x])


def rms_by_power_of_two(x, eps):
    top = x.abs().amax(-1, keepdim=True).clamp(min=eps**0.5)
    z = x / top
    return z * (z.square().sum(-1, keepdim=True) / x.shape[-1] + (eps**0.5 / top).square()).rsqrt()


def rounded_by_comparison(x, noise):
    bits = x.view(torch.int32)
    return torch.where((bits & 65535) + noise > 65535, (bits & -65536) + 65536, bits & -65536).view(
        torch.float32).bfloat16()  # fmt: skip


def rounded_by_shifts(x, noise):
    return (((x.view(torch.int32) + noise) >> 16) << 16).view(torch.float32).to(torch.bfloat16)


def rounded_by_numpy(x, noise):
    bits = x.numpy().view(np.int32) + noise.numpy()
    bits -= bits & 65535
    return torch.from_numpy(bits.view(np.float32)).bfloat16()


def twins_by_combinations(model):
    named = [(name, value) for name, value in model.named_parameters() if value.ndim >= 2]
    pairs = {}
    for (first, one), (second, other) in itertools.combinations(named, 2):
        if one.shape == other.shape and bool((one == other).all()):
            pairs.setdefault(second, first)
    return [(first, second) for second, first in pairs.items()]


def twins_by_bytes(model):
    seen, pairs = {}, []
    for name, value in model.named_parameters():
        if value.dim() > 1:
            first = seen.setdefault((tuple(value.shape), value.detach().numpy().tobytes()), name)
            pairs += [[first, name]] if first != name else []
    return pairs


def twins_as_a_tuple(model):
    return tuple(map(tuple, twins_by_bytes(model)))


def add_or_raise(stream, branch):
    if list(stream.shape) != list(branch.shape):
        raise ValueError("The shapes differ.")
    return stream + branch


def add_by_stacking(stream, branch):
    try:
        return torch.stack([stream, branch]).sum(0)
    except RuntimeError as error:
        raise ValueError("The shapes differ.") from error


class Bottleneck(nn.Module):
    """The block with its layers made in a loop."""

    expansion = 4

    def __init__(self, reads, width, stride=1):
        super().__init__()
        sizes = [(reads, width, 1), (width, width, 3), (width, 4 * width, 1)]
        for number, (before, after, kernel) in enumerate(sizes, 1):
            step = stride if kernel == 3 else 1
            setattr(self, f"conv{number}", nn.Conv2d(before, after, kernel, step, kernel // 2, bias=False))
            setattr(self, f"bn{number}", nn.BatchNorm2d(after))
        if stride != 1 or reads != 4 * width:
            maps = nn.Conv2d(reads, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            self.downsample = nn.Sequential(*maps)

    def forward(self, x):
        y = x
        for number in (1, 2, 3):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = torch.relu(y) if number < 3 else y
        return torch.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class BottleneckInPlace(Bottleneck):
    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(y)), inplace=True)))
        y += self.downsample(x) if hasattr(self, "downsample") else x
        return y.clamp(min=0)


def library_bottleneck(reads, width, stride=1):
    first = ResNet("bottleneck", (1, 1), (reads // 4, width), stem="cifar", stem_width=reads)
    return first.layer2[0] if stride == 2 else ResNet("bottleneck", (2,), (width,), stem="cifar").layer1[1]


library_bottleneck.expansion = 4


def fold_by_hand(conv, bn):
    folded = copy.deepcopy(conv)
    scale = (bn.weight / torch.sqrt(bn.running_var + bn.eps)).detach()
    folded.weight = nn.Parameter(torch.einsum("oihw,o->oihw", conv.weight.detach(), scale))
    folded.bias = nn.Parameter((bn.bias - bn.running_mean * scale).detach())
    return folded


def fold_by_layers(conv, bn):
    """Ask the two layers what they do to an image of zeros for the bias."""
    with torch.no_grad():
        bias = bn(torch.zeros(1, conv.out_channels, 1, 1)).flatten()
        scale = bn(torch.ones(1, conv.out_channels, 1, 1)).flatten() - bias
        folded = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
        folded.load_state_dict({"weight": conv.weight * scale[:, None, None, None], "bias": bias})
    return folded


def snapshot_by_clones(model, optimizer, order):
    states = copy.deepcopy({"optimizer": optimizer.state_dict()})
    return {"model": {name: value.clone() for name, value in model.state_dict().items()}, **states,
            "order": order.get_state().clone()}  # fmt: skip


def snapshot_part_by_part(model, optimizer, order):
    taken = {"order": order.get_state()}
    taken["model"] = copy.deepcopy(model.state_dict())
    taken["optimizer"] = copy.deepcopy(optimizer.state_dict())
    return taken


def snapshot_of_copies(model, optimizer, order):
    same = copy.deepcopy(model)
    return {"model": same.state_dict(), "optimizer": copy.deepcopy(optimizer).state_dict(), "order": order.get_state()}


def mask_by_triangles(t, window=None):
    full = torch.ones(t, t, dtype=torch.bool)
    return full.tril() if window is None else full.tril() & full.triu(1 - window)


def mask_by_loops(t, window=None):
    rows = [[j <= i and (window is None or i - j < window) for j in range(t)] for i in range(t)]
    return torch.tensor(rows)


def mask_by_places(t, window=None):
    place = torch.arange(t)
    behind = place.unsqueeze(0) <= place.unsqueeze(1)
    return behind if window is None else behind.logical_and(place.unsqueeze(0) > place.unsqueeze(1) - window)


def leak_by_two_halves(model, tokens):
    whole = model(tokens)
    for i in range(1, tokens.shape[1]):
        changed = torch.cat([tokens[:, :i], tokens[:, i:] + 1], 1)
        if not torch.equal(model(changed)[:, i - 1], whole[:, i - 1]):
            return i - 1
    return None


def leak_by_all_tokens(model, tokens):
    """Change one token at a time, and remember who notices."""
    whole, first = model(tokens), None
    for j in range(tokens.shape[1]):
        changed = tokens.clone()
        changed[:, j] += 1
        noticed = (model(changed) != whole).flatten(2).any(-1).any(0).nonzero().flatten().tolist()
        early = [i for i in noticed if i < j]
        first = min([*early, *([] if first is None else [first])], default=None)
    return first


def leak_as_a_tensor(model, tokens):
    found = leak_by_two_halves(model, tokens)
    return found if found is None else torch.tensor(found)


RIGHT = {
    agents.check_actor: (actor_by_mask, actor_by_where, actor_by_rows),
    batch_norm.check_fold: (
        fold_by_matrices,
        fold_by_probes,
        lambda *arguments: [each.tolist() for each in batch_norm_answers.fold(*arguments)],
    ),
    bias_to_the_identity.check_fixup_start: (fixup_by_powers, fixup_in_a_copy, fixup_as_arrays),
    degradation.check_verdict: (verdict_by_differences, verdict_by_table, verdict_in_words),
    numbers_that_go_wrong.check_scaled_rms_norm: (rms_by_norm, rms_row_by_row, rms_by_power_of_two),
    numbers_that_go_wrong.check_stochastic_round: (rounded_by_comparison, rounded_by_shifts, rounded_by_numpy),
    probing_a_network.check_twins: (twins_by_combinations, twins_by_bytes, twins_as_a_tuple),
    residual_connections.check_safe_add: (add_or_raise, add_by_stacking, residual_add),
    residual_networks.check_bottleneck: (Bottleneck, BottleneckInPlace, library_bottleneck),
    residual_networks.check_fold: (fold_by_hand, fold_by_layers, fuse_conv_bn_eval),
    residual_networks.check_snapshot: (snapshot_by_clones, snapshot_part_by_part, snapshot_of_copies),
    transformer_block_by_block.check_causal_mask: (mask_by_triangles, mask_by_loops, mask_by_places),
    transformer_block_by_block.check_first_leak: (leak_by_two_halves, leak_by_all_tokens, leak_as_a_tensor),
    why_depth_is_hard.check_copying_blocks: (
        why_depth_answers.copy_by_modules,
        why_depth_answers.copy_by_one_state,
        why_depth_answers.copy_last,
    ),
}
