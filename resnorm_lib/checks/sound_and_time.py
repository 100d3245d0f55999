"""Checks for the exercises of "Sound and time"."""

from collections.abc import Callable

import torch
from torch import Tensor

from resnorm_lib.checks.judge.answers import call, expect_close
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_mean_off", "check_reversible", "check_running_mean_off", "check_seasonal_last"]


def _numbers(face: Draw, number: int, *shape: int) -> Tensor:
    return 3 + torch.randn(shape, generator=face.generator(number), dtype=torch.float64)


@exercise("exercise-sound-mean", points=1, right=lambda s: s - s.mean(2, keepdim=True))
def check_mean_off(answer: Callable[[Tensor], Tensor], face: Draw) -> str:
    """Check ``answer(s)``: spectrograms (n, bands, frames) less the mean over time of each band of each recording.

    The verdict is wrong if a mean is taken over something else.
    """
    s = _numbers(face, 1, face.size(3), face.size(4), face.size(6, 3, 9))
    expect_close(
        call(answer, s.clone()),
        s - s.mean(2, keepdim=True),
        "The spectrogram",
        mistakes=[
            (s - s.mean(1, keepdim=True), "The mean is over the bands of a frame, as in LN: it must be over time."),
            (s - s.mean((1, 2), keepdim=True), "One mean a recording takes off the loudness: each band has its own."),
            (s - s.mean((0, 2), keepdim=True), "The mean is over all recordings, as in BN: each has its own."),
            (s - s.mean(), "One mean for everything: each band of each recording has its own."),
            (
                (s - s.mean(2, keepdim=True)) / s.std(2, keepdim=True),
                "Only the mean is to be taken off, nothing divided.",
            ),
            (s.mean(2, keepdim=True).expand_as(s), "That is the mean: subtract it."),
        ],
    )
    return "the microphone taken off"


@exercise("exercise-sound-stream", points=2, right=lambda s, rate: s - _running(s, rate))
def check_running_mean_off(answer: Callable[[Tensor, float], Tensor], face: Draw) -> str:
    """Check ``answer(s, rate)``: each frame less a running mean that has seen no later frame.

    The verdict is wrong if the mean starts elsewhere, moves otherwise, or looks ahead.
    """
    s = _numbers(face, 2, face.size(2), face.size(3), face.size(7, 3, 9))
    for rate in (face.value(0.25, 0.05, 0.45), face.value(1.0, 0.55, 0.95)):
        expect_close(
            call(answer, s.clone(), rate),
            s - _running(s, rate),
            f"The stream with the rate {rate}",
            mistakes=[
                (s - s.mean(2, keepdim=True), "It looks ahead: at a frame only this one and those before are known."),
                (s - _running(s, 1 - rate), "The rate is the share of the new frame, 1 - rate that of the old mean."),
                (s - _running(s, rate, zero=True), "The mean must start at the first frame, not at 0."),
                (s - _running(s, rate, late=True), "Move the mean first, then subtract it."),
                (_running(s, rate), "That is the running mean: subtract it from the frame."),
            ],
        )
    return "a mean that does not look ahead"


def _running(s: Tensor, rate: float, zero: bool = False, late: bool = False) -> Tensor:
    """Return the running mean at each frame; ``late``: as it was before the frame."""
    mean, means = (torch.zeros_like(s[..., 0]) if zero else s[..., 0]), []
    for frame in s.unbind(-1):
        moved = (1 - rate) * mean + rate * frame
        means.append(mean if late else moved)
        mean = moved
    return torch.stack(means, -1)


def _seasonal(x: Tensor, horizon: int, period: int) -> Tensor:
    return x[:, x.shape[1] - period + torch.arange(horizon) % period]


@exercise("exercise-time-seasonal", points=1, right=_seasonal)
def check_seasonal_last(answer: Callable[[Tensor, int, int], Tensor], face: Draw) -> str:
    """Check ``answer(x, horizon, period)``: windows (n, T) continued by their last period, again and again.

    The verdict is wrong if a step is wrong, with a horizon longer than the period too.
    """
    places = face.size(9, 6, 12)
    x = _numbers(face, 3, face.size(2), places)
    cases = (4, 4), (3, 4), (7, 3), (2, 1)
    for horizon, period in face.cases(*cases, drawn=lambda: (face.integer(2, 12), face.integer(2, 5))):
        steps = torch.arange(horizon)
        expect_close(
            call(answer, x.clone(), horizon, period),
            _seasonal(x, horizon, period),
            f"The forecast of {horizon} steps with the period {period}",
            mistakes=[
                (x[:, -1:].expand(-1, horizon), "That is the last value: the one a period ago is asked for."),
                (x[:, steps % period], "These are the first values of the window: take its last period."),
                (x[:, -horizon:], "It goes back by the horizon: go back by the period."),
                (x[:, places - 1 - steps % period], "The last period comes in the opposite order."),
            ],
        )
    return "the last season once more"


def _reversible(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    mean, std = x.mean(1, keepdim=True), x.std(1, correction=0, keepdim=True)
    return model((x - mean) / std) * std + mean


@exercise("exercise-time-reversible", points=2, right=_reversible)
def check_reversible(answer: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor], face: Draw) -> str:
    """Check ``answer(model, x)``: forecast standardized windows (n, T), and put mean and deviation back.

    The verdict is wrong if something is taken off and not put back, or taken from the wrong numbers.
    """
    places = face.size(5, 3)
    weight, x = _numbers(face, 4, places, face.size(3)) - 3, _numbers(face, 5, face.size(4), places)

    def model(z: Tensor) -> Tensor:
        return torch.tanh(z @ weight.to(z.dtype))

    mean, std = x.mean(1, keepdim=True), x.std(1, correction=0, keepdim=True)
    inner = model((x - mean) / std)
    unbiased = x.std(1, keepdim=True)
    expect_close(
        call(answer, model, x.clone()),
        inner * std + mean,
        "The forecast",
        mistakes=[
            (inner, "What is taken off must be put back: the forecast has neither level nor scale."),
            (inner + mean, "The standard deviation must be put back, too."),
            (inner * std, "The mean must be put back, too."),
            ((inner + mean) * std, "The order is reversed: first times the standard deviation, then plus the mean."),
            (model(x), "The model must read the standardized window."),
            (model(x - mean) + mean, "Divide by the standard deviation, and multiply by it afterwards."),
            (model((x - mean) / unbiased) * unbiased + mean, "The biased standard deviation was asked for."),
            (
                model((x - x.mean()) / x.std(correction=0)) * x.std(correction=0) + x.mean(),
                "Each window has a mean and a standard deviation of its own.",
            ),
        ],
    )
    return "taken off and put back"
