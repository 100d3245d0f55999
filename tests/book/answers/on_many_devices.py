"""Right and wrong answers to the exercises of "On many devices"."""

import torch

from resnorm_lib.checks import on_many_devices as checks


def weighted_average(gradients, rows):
    return sum(count * each for count, each in zip(rows, gradients)) / sum(rows)


def sync_backward(dx_hat, x_hat, deviation, first=1, second=1):
    rows = sum(len(part) for part in dx_hat)
    mean = first * sum(part.sum(0) for part in dx_hat) / rows
    both = second * sum((d * x).sum(0) for d, x in zip(dx_hat, x_hat)) / rows
    return [(d - mean - x * both) / deviation for d, x in zip(dx_hat, x_hat)]


def sync_backward_alone(dx_hat, x_hat, deviation):
    return [sync_backward([d], [x], deviation)[0] for d, x in zip(dx_hat, x_hat)]


def sync_backward_of_means(dx_hat, x_hat, deviation):
    mean = sum(d.mean(0) for d in dx_hat) / len(dx_hat)
    both = sum((d * x).mean(0) for d, x in zip(dx_hat, x_hat)) / len(dx_hat)
    return [(d - mean - x * both) / deviation for d, x in zip(dx_hat, x_hat)]


def split_layer_norm(parts, eps, all_reduce, correction=0):
    size = sum(part.shape[1] for part in parts)
    mean = all_reduce([part.sum(1, keepdim=True) for part in parts]) / size
    centred = [part - mean for part in parts]
    squares = all_reduce([part.square().sum(1, keepdim=True) for part in centred])
    return [part / (squares / (size - correction) + eps).sqrt() for part in centred]


def split_layer_norm_one_pass(parts, eps, all_reduce):
    size = sum(part.shape[1] for part in parts)
    both = all_reduce([torch.stack([part.sum(1), part.square().sum(1)], 1) for part in parts]) / size
    mean, var = both[:, :1], both[:, 1:] - both[:, :1].square()
    return [(part - mean) / (var + eps).sqrt() for part in parts]


def split_layer_norm_gathered(parts, eps, all_reduce):
    size = sum(part.shape[1] for part in parts)
    ends = [sum(part.shape[1] for part in parts[:index]) for index in range(len(parts))]
    padded = [torch.nn.functional.pad(part, (end, size - end - part.shape[1])) for part, end in zip(parts, ends)]
    row = torch.nn.functional.layer_norm(all_reduce(padded), (size,), eps=eps)
    return list(row.split([part.shape[1] for part in parts], 1))


EXERCISES = {
    checks.check_weighted_average: (
        weighted_average,
        {
            lambda g, rows: sum(g) / len(g): "one with more rows must count more",
            lambda g, rows: sum(g): "as many times too large",
            lambda g, rows: weighted_average(g, rows) * sum(rows): "number of all rows",
            lambda g, rows: weighted_average(g, rows) * sum(rows) / len(rows): "not of processes|count more",
        },
    ),
    checks.check_sync_backward: (
        sync_backward,
        {
            sync_backward_alone: "rows of all",
            sync_backward_of_means: "A mean of means",
            lambda d, x, s: sync_backward(d, x, s, 0, 0): "two means must be taken off",
            lambda d, x, s: sync_backward(d, x, s, 1, 0): "deviation depends on x",
            lambda d, x, s: sync_backward(d, x, s, 0, 1): "mean depends on x",
            lambda d, x, s: sync_backward(d, x, torch.ones_like(s)): "Divide by the deviation",
            lambda d, x, s: torch.cat(sync_backward(d, x, s)): "list of 2 tensors",
        },
    ),
    checks.check_chunk_to_send: (
        lambda rank, step, processes: (rank - step) % processes,
        {
            lambda rank, step, processes: rank: "after 2 steps|neighbour has",
            lambda rank, step, processes: step % processes: "neighbour has|after",
            lambda rank, step, processes: (rank + step) % processes: "neighbour has|after",
            lambda rank, step, processes: rank - step: "must be from 0",
            lambda rank, step, processes: (rank - min(step, processes - 2)) % processes: "at the end",
        },
    ),
    checks.check_split_layer_norm: (
        split_layer_norm,
        {
            lambda parts, eps, _: [torch.nn.functional.layer_norm(p, p.shape[1:], eps=eps) for p in parts]: "Nothing",
            split_layer_norm_one_pass: "it cancels",
            split_layer_norm_gathered: "two messages of two",
            lambda p, eps, r: split_layer_norm(p, eps, r, correction=1): "divide by n",
            lambda p, eps, r: torch.cat(split_layer_norm(p, eps, r), 1): "list of 2 tensors",
        },
    ),
}
