"""Right and wrong answers to the exercises of "Trends, tried"."""

import itertools

import torch

from resnorm_lib.checks import trends_tried as checks


def folded(weight, bias, gain, shift):
    return weight * gain, bias + weight @ shift


def mixed(logits, n):
    orders = torch.tensor(list(itertools.permutations(range(n))))
    return (logits.softmax(0)[:, None, None] * torch.eye(n, dtype=logits.dtype)[orders]).sum(0)


def lens(streams, norm, head):
    return torch.stack([head(norm(stream)) for stream in streams])


def totals(streams):
    return list(torch.stack(streams).cumsum(0))


EXERCISES = {
    checks.check_folded: (
        folded,
        {
            lambda weight, bias, gain, shift: (weight / gain, bias): "A gain multiplies",
            lambda weight, bias, gain, shift: (gain[: len(weight), None] * weight, bias): "scales the rows",
            lambda weight, bias, gain, shift: (weight * gain, bias): "norm's bias is lost",
            lambda weight, bias, gain, shift: (weight * gain, bias + (weight * gain) @ shift): "not the norm's bias",
            lambda weight, bias, gain, shift: (weight * gain, bias + shift[: len(bias)]): "goes through the matrix",
            lambda weight, bias, gain, shift: weight * gain: "must return 2 values: weight, bias",
        },
    ),
    checks.check_mixed: (
        mixed,
        {
            lambda logits, n: mixed(logits.exp().log(), n).T: "Transposed",
            lambda logits, n: mixed(0 * logits, n): "no effect",
            lambda logits, n: mixed(logits, n) * logits.exp().sum(): "take the softmax",
        },
    ),
    checks.check_lens: (
        lens,
        {
            lambda streams, norm, head: lens(streams, lambda x: x, head): "last norm is missing",
            lambda streams, norm, head: lens(streams, norm, lambda x: x): "head is missing",
            lambda streams, norm, head: lens(totals(streams), norm, head): "already the sum",
            lambda streams, norm, head: torch.cat(list(lens(streams, norm, head))): "new first axis",
            lambda streams, norm, head: lens(streams, norm, head)[-1]: "not only the last",
        },
    ),
}
