"""How a network is trained, apart from its data: optimizer, learning rate, precision."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer

from resnorm_lib._arguments import choice, number

__all__ = ["Recipe", "make_optimizer", "rate", "set_rate"]

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "cosine", "steps")


@dataclass(frozen=True)
class Recipe:
    """The settings of one training."""

    lr: float
    steps: int
    optimizer: str = "sgd"
    momentum: float = 0.9  # of SGD; Adam's first beta
    beta2: float = 0.98  # Adam's second beta
    weight_decay: float = 0.0
    schedule: str = "constant"  # after the warm-up: constant, cosine to 0, or divided by 10 at 1/2 and at 3/4
    warmup: int = 0  # steps in which the rate rises from 0
    clip: float | None = None  # largest norm of the gradient
    amp: bool = False  # bfloat16 where autocast allows it
    compile: bool = False
    capture: bool = True  # on a GPU: the whole step as one CUDA graph
    fused: bool = False  # on a CPU: the step in one kernel, whose last digits differ; on a GPU it is fused always
    channels_last: bool = False


def rate(recipe: Recipe, step: int) -> float:
    r"""Return the learning rate at a step, counted from 0.

    .. math::

        \eta_t = \eta \cdot \min\left(1, \frac{t+1}{\text{warmup}}\right) \cdot s(t), \qquad
        s_{\text{cosine}}(t) = \tfrac12 \left(1 + \cos \pi \frac{t - \text{warmup}}{\text{steps} - \text{warmup}}\right)

    Examples
    --------
    >>> [rate(Recipe(lr=1.0, steps=8, warmup=4), step) for step in (0, 3, 7)]
    [0.25, 1.0, 1.0]
    """
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    progress = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    factors = {
        "constant": 1.0,
        "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
        "steps": 0.1 ** ((progress >= 0.5) + (progress >= 0.75)),
    }
    return recipe.lr * factors[choice("schedule", recipe.schedule, SCHEDULES)]


def make_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """Return the optimizer of a recipe. Weight decay falls on matrices alone for AdamW, on everything for SGD.

    On a GPU it is fused, and its rate is a tensor: a captured step reads it from memory, see :func:`set_rate`.

    Raises
    ------
    ValueError
        If the recipe names an unknown optimizer.
    """
    choice("optimizer", recipe.optimizer, OPTIMIZERS)
    number("lr", recipe.lr, at_least=0)
    parameters = list(model.parameters())
    on_gpu = parameters[0].device.type == "cuda"
    lr = torch.tensor(recipe.lr, device=parameters[0].device) if on_gpu else recipe.lr
    fused = on_gpu or recipe.fused or None
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr, recipe.momentum, weight_decay=recipe.weight_decay, fused=fused)
    matrices = [p for p in parameters if p.dim() > 1]
    others = [p for p in parameters if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    betas = (recipe.momentum, recipe.beta2)
    return kind([group for group in groups if group["params"]], lr, betas, fused=fused)


def set_rate(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of all groups; a rate that is a tensor stays at its place in memory."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr
