"""What a probe costs, against a plain forward and backward pass of the same network."""

import statistics
from collections.abc import Callable

import torch
from torch import nn

from resnorm_lib._arguments import positive_int
from resnorm_lib.bench.timing import Clock, in_turns
from resnorm_lib.probes.call import Call, mean_square
from resnorm_lib.probes.run import probe
from resnorm_lib.probes.untouched import untouched

__all__ = ["price"]


def price(
    model: nn.Module,
    batch: torch.Tensor | tuple | list | dict,
    loss: Callable[..., torch.Tensor] = mean_square,
    *,
    repeats: int = 9,
) -> float:
    """Return the time of a probe over that of a plain forward and backward pass: medians, taken in turns.

    The plain pass computes the gradients of all parameters, as a training step does. A probe pays some 20 microseconds
    for each call of torch and leaves those gradients out, so the price is below 1 for large layers and several times 1
    for layers that take microseconds themselves.

    Parameters
    ----------
    model, batch, loss
        As for :func:`resnorm_lib.probes.probe`.
    repeats : int, default 9
        How often each of the two runs.

    Raises
    ------
    ValueError
        If an argument does not fit, or no parameter requires a gradient.

    Examples
    --------
    >>> 0 < price(torch.nn.Linear(8, 8), torch.randn(4, 8), repeats=1)
    True
    """
    call = Call(model, batch, loss, 0)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters or loss is None:
        raise ValueError("there is no backward pass to compare with: the model needs parameters, and loss must be one.")

    def plain() -> None:
        value = call.loss_of(model(*call.args, **call.kwargs))
        torch.autograd.grad(value, parameters, allow_unused=True)

    ways = {"plain": plain, "probe": lambda: probe(model, batch, loss)}
    clock = Clock(parameters[0].device, cold_bytes=4)
    with untouched(model):
        times = in_turns(ways, clock.once, positive_int("repeats", repeats), warm_up=1)
    return statistics.median(times["probe"]) / statistics.median(times["plain"])
