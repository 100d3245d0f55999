"""Checks for the exercises of "On many devices"."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from resnorm_lib.checks.judge.answers import Wrong, call, expect_close, shown_wrong, to_array
from resnorm_lib.checks.judge.face import Draw, current
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_chunk_to_send", "check_split_layer_norm", "check_sync_backward", "check_weighted_average"]


def _draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=current().generator(seed))


def _joined(parts: list[Tensor], count: int, owner: str, dim: int = 0) -> Tensor:
    """Put together what an answer gives, in a list, to each process or device."""
    if not isinstance(parts, list | tuple) or len(parts) != count:
        rule = f"one for each {owner}."
        raise shown_wrong(
            f"The answer must be a list of {count} tensors, {rule}", f"A list of tensors was expected, {rule}"
        )
    return torch.cat([torch.from_numpy(to_array(part)) for part in parts], dim)


def _average(gradients: list[Tensor], rows: list[int]) -> Tensor:
    return sum(count * each for count, each in zip(rows, gradients) if count) / sum(rows)


@exercise("exercise-devices-average", points=1, right=_average)
def check_weighted_average(answer: Callable[..., Tensor], face: Draw) -> str:
    """Check ``answer(gradients, rows)``: the gradient of the mean loss over all rows, from those of the processes.

    The verdict is wrong if processes with more rows do not count more, or an idle one spoils the result.
    """
    cases = [4, 4], [5, 5, 6], [1, 9], [3, 0, 5]
    for rows in face.cases(*cases, drawn=lambda: _rows(face)):
        gradients = list(_draw(len(rows), face.size(6), seed=sum(rows)))
        weights = torch.tensor(rows, dtype=torch.float64)
        summed = (weights[:, None] * torch.stack(gradients)).sum(0)
        expect_close(
            call(answer, [each.clone() for each in gradients], list(rows)),
            summed / weights.sum(),
            f"The gradient for {rows} rows",
            mistakes=[
                (sum(gradients) / len(rows), "The processes count alike, but one with more rows must count more."),
                (summed, "Divide by the number of all rows."),
                (summed / len(rows), "Divide by the number of all rows, not of processes."),
                (sum(gradients), "The gradients are of means: a sum of them is as many times too large."),
            ],
            tolerance=1e-6,
        )
    return "each row counts once"


def _rows(face: Draw) -> list[int]:
    return [face.integer(1, 9), 0, *(face.integer(1, 9) for _ in range(face.integer(1, 4)))]


def _back(dx_hat: list[Tensor], x_hat: list[Tensor], deviation: Tensor) -> Tensor:
    d, x = torch.cat(dx_hat), torch.cat(x_hat)
    return (d - d.mean(0) - x * (d * x).mean(0)) / deviation


@exercise("exercise-devices-backward", points=2, right=_back)
def check_sync_backward(answer: Callable[..., list[Tensor]], face: Draw) -> str:
    """Check ``answer(dx_hat, x_hat, deviation)``: dx for the rows of each process, in lists of (n_r, C).

    The verdict is wrong if the means are not over all rows.
    """
    parts = (3, 3), (2, 5, 1)
    for sizes in face.cases(*parts, drawn=lambda: _several(face)):
        channels = face.size(4)
        x = (3 * _draw(sum(sizes), channels, seed=7) + 5).requires_grad_()
        dx_hat = _draw(sum(sizes), channels, seed=8)
        deviation = x.var(0, correction=0).sqrt()
        x_hat = (x - x.mean(0)) / deviation
        (dx,) = torch.autograd.grad(x_hat, x, dx_hat)
        cut = [list(each.detach().split(sizes)) for each in (dx_hat, x_hat)]
        got = call(answer, *cut, deviation.detach())
        expect_close(
            _joined(got, len(sizes), "process"),
            dx,
            f"dx of processes with {', '.join(map(str, sizes))} rows",
            mistakes=_wrong_sums(*cut, deviation.detach()),
            tolerance=1e-6,
        )
    return "two sums over all processes, and dx"


def _several(face: Draw) -> tuple[int, ...]:
    return (face.integer(2, 6), *(face.integer(1, 6) for _ in range(face.integer(1, 4))))


def _wrong_sums(dx_hat: list[Tensor], x_hat: list[Tensor], deviation: Tensor) -> list[tuple[Tensor, str]]:
    both = [d * x for d, x in zip(dx_hat, x_hat)]
    mean, mean_of_both = (torch.cat(parts).mean(0) for parts in (dx_hat, both))
    means_of_means = [torch.stack([part.mean(0) for part in parts]).mean(0) for parts in (dx_hat, both)]

    def less(first: Tensor | int, second: Tensor | int) -> Tensor:
        return torch.cat([d - first - x * second for d, x in zip(dx_hat, x_hat)]) / deviation

    alone = [(d - d.mean(0) - x * (d * x).mean(0)) / deviation for d, x in zip(dx_hat, x_hat)]
    return [
        (torch.cat(alone), "Each process takes the means of its own rows: they must be over the rows of all."),
        (less(0, 0), "The statistics depend on x too: two means must be taken off."),
        (less(mean, 0), "The part along x-hat is missing: the deviation depends on x too."),
        (less(0, mean_of_both), "The mean of dx-hat is missing: the mean depends on x too."),
        (less(*means_of_means), "A mean of means counts processes alike: add up sums, and divide by all rows."),
        (deviation * less(mean, mean_of_both), "Divide by the deviation."),
    ]


@exercise("exercise-devices-ring", points=2)
def check_chunk_to_send(answer: Callable[[int, int, int], int], face: Draw) -> str:
    """Check ``answer(rank, step, processes)``: the chunk that a process of a ring sends on in a step of an all-reduce.

    The verdict is wrong if, after N - 1 steps that add and N - 1 that copy, a process has not the sum of all.
    """
    for processes in face.cases(3, 2, 5, 8, drawn=lambda: face.integer(3, 7), count=2):
        held = [[{(rank, chunk)} for chunk in range(processes)] for rank in range(processes)]
        for step in range(2 * (processes - 1)):
            _pass_on(held, answer, step)
            if step == processes - 2 and not all(any(len(each) == processes for each in chunks) for chunks in held):
                told = "steps each must have the sum of one chunk."
                raise shown_wrong(f"{processes} processes: after {processes - 1} {told}", f"After N - 1 {told}")
        if any(len(each) < processes for chunks in held for each in chunks):
            told = "at the end some have not the sum of every chunk."
            raise shown_wrong(f"{processes} processes: {told}", told.capitalize())
    return "after 2 (N - 1) steps every process has every sum"


def _pass_on(held: list[list[set]], answer: Callable, step: int) -> None:
    """Send one chunk from each process to its right neighbour. What is held is the set of the addends in it."""
    processes = len(held)
    sent = [call(answer, rank, step, processes) for rank in range(processes)]
    for rank, chunk in enumerate(sent):
        number = to_array(chunk)
        if number.size != 1 or number.item() not in range(processes):
            sends = f"Process {rank} sends chunk {chunk!r} in step {step}: it must be from 0 to {processes - 1}."
            raise shown_wrong(sends, "A chunk is sent whose number is not from 0 to N - 1.")
        sent[rank] = int(number.item())
    messages = [set(held[rank][chunk]) for rank, chunk in enumerate(sent)]
    for rank, (chunk, message) in enumerate(zip(sent, messages)):
        right = held[(rank + 1) % processes]
        if step >= processes - 1:
            right[chunk] = message
        elif right[chunk] & message:
            sends = f"{processes} processes, step {step}: process {rank} sends what its neighbour has."
            raise shown_wrong(sends, "A process sends what its neighbour has.")
        else:
            right[chunk] = right[chunk] | message


def _layer_norm(parts: list[Tensor], eps: float, all_reduce: Callable) -> Tensor:
    x = torch.cat(list(parts), 1).double()
    return (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + eps).sqrt()


@exercise("exercise-devices-features", points=3, right=_layer_norm)
def check_split_layer_norm(answer: Callable[..., list[Tensor]], face: Draw) -> str:
    """Check ``answer(parts, eps, all_reduce)``: LayerNorm of rows whose features lie on several devices.

    The verdict is wrong if a result is wrong, cancels at an offset, or takes more than two messages of two numbers.
    """
    cases = ((4, 4), 0.0), ((8, 8, 8, 8), 0.0), ((3, 5), 1.0), ((16, 16), 1e4)
    for sizes, offset in face.cases(*cases, drawn=lambda: _drawn_split(face)):
        rows, eps = face.size(5, 3), face.value(1e-5, 0.05, 1)
        x = (_draw(rows, sum(sizes), seed=9) + offset + torch.arange(sum(sizes)) / 8).float()
        sent: list[float] = []  # numbers a row, of each message

        def all_reduce(
            parts: list[Tensor], sent: list[float] = sent, sizes: tuple[int, ...] = sizes, rows: int = rows
        ) -> Tensor:
            if not isinstance(parts, list | tuple) or len(parts) != len(sizes):
                rule = "one from each device."
                raise shown_wrong(
                    f"all_reduce takes a list of {len(sizes)} tensors, {rule}",
                    f"all_reduce takes a list of tensors, {rule}",
                )
            sent.append(parts[0].numel() / rows)
            return torch.stack(tuple(parts)).sum(0)

        got = call(answer, list(x.split(sizes, 1)), eps, all_reduce)
        _judge_split(got, x, sizes, eps, sent)
    return "LayerNorm over features that no device has together"


def _drawn_split(face: Draw) -> tuple[tuple[int, ...], float]:
    return tuple(face.integer(3, 9) for _ in range(face.integer(2, 4))), face.choice([0.0, 1.0, 1e4])


def _judge_split(got: list[Tensor], x: Tensor, sizes: tuple, eps: float, sent: list[float]) -> None:
    got = _joined(got, len(sizes), "device", dim=1)
    if not sent:
        raise Wrong("Nothing was sent: a device that sees its own features alone knows neither mean nor variance.")
    if len(sent) > 2 or max(sent) > 2:
        sent_ones = f"{len(sent)} messages with up to {max(sent):g} numbers a row"
        raise shown_wrong(f"{sent_ones}: two messages of two will do.", "Two messages of two numbers a row will do.")
    wide = x.double()
    wanted = F.layer_norm(wide, wide.shape[1:], eps=eps)
    if wide.mean() > 1000 and not (got - wanted).abs().max() < 0.02:
        raise Wrong("With an offset of 10,000 it cancels: send sums of squares of what is left after the mean.")
    own = torch.cat([F.layer_norm(part, part.shape[1:], eps=eps) for part in wide.split(sizes, 1)], 1)
    unbiased = (wide - wide.mean(1, keepdim=True)) / (wide.var(1, keepdim=True) + eps).sqrt()
    mistakes = [(own, "Each device normalizes by its own features."), (unbiased, "The biased variance: divide by n.")]
    expect_close(got, wanted, "The row", mistakes, tolerance=1e-2 if wide.mean() > 1000 else 1e-5)
