"""The training loop that all experiments share, its evaluation, and the repair of batch-normalization statistics."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from resnorm_lib._arguments import choice, number
from resnorm_lib.norms import BatchNorm, BatchRenorm

__all__ = ["Recipe", "endless", "errors", "evaluate", "fit", "fix_statistics", "make_optimizer", "rate"]

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "cosine", "steps")
AVERAGING = (BatchNorm, nn.modules.batchnorm._BatchNorm)  # with momentum=None these average all batches equally
KEPT = ("momentum", "r_max", "d_max")  # attributes that fix_statistics changes and restores


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, apart from its data."""

    lr: float
    steps: int
    optimizer: str = "sgd"
    momentum: float = 0.9  # of SGD; Adam's first beta
    second: float = 0.98  # Adam's second beta
    weight_decay: float = 0.0
    schedule: str = "constant"  # after the warm-up: constant, cosine to 0, or divided by 10 at 1/2 and at 3/4
    warmup: int = 0  # steps in which the rate rises from 0
    clip: float | None = None  # largest norm of the gradient
    amp: bool = False  # bfloat16 where autocast allows it
    compile: bool = False
    fused: bool = False  # Adam in one kernel, whose last digits differ: many small weights wait less for Python
    channels_last: bool = False


def rate(recipe, step):
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


def make_optimizer(model, recipe):
    """Return the optimizer of a recipe. Weight decay falls on matrices alone for AdamW, on everything for SGD.

    Raises
    ------
    ValueError
        If the recipe names an unknown optimizer.
    """
    choice("optimizer", recipe.optimizer, OPTIMIZERS)
    number("lr", recipe.lr, at_least=0)
    parameters = list(model.parameters())
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)
    matrices = [p for p in parameters if p.dim() > 1]
    others = [p for p in parameters if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    betas = (recipe.momentum, recipe.second)
    return kind([group for group in groups if group["params"]], recipe.lr, betas, fused=recipe.fused)


def endless(epoch):
    """Iterate over the batches of ``epoch()`` (a function that starts an epoch) without end."""
    while True:
        yield from epoch()


def cross_entropy(output, target):
    """Return the mean cross-entropy in nats, of images (N, classes) or tokens (N, T, vocabulary)."""
    return F.cross_entropy(output.flatten(0, -2).float(), target.flatten())


def fit(model, batches, recipe, log, *, loss=cross_entropy, every=10, at=None):
    """Train ``model`` in place for ``recipe.steps`` steps, and note the loss of every ``every``-th.

    Parameters
    ----------
    model : nn.Module
        On the device of the batches.
    batches : iterator of (input, target)
        At least ``recipe.steps`` long; see :func:`endless`.
    recipe : Recipe
    log : TrialLog
        Gets the metric ``loss``, and stops the training where it is no longer finite.
    loss : callable
        Of output and target.
    at : mapping of int to callable, optional
        Called after so many steps, with the model.

    Raises
    ------
    Diverged
        If the loss is no longer finite; the trial ends.
    """
    model.train()
    if recipe.channels_last:
        model.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(model, recipe)
    forward = torch.compile(model) if recipe.compile else model
    for step, (x, target) in zip(log.steps(recipe.steps), batches):
        for group in optimizer.param_groups:
            group["lr"] = rate(recipe, step)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=recipe.amp):
            value = loss(forward(x), target)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        if step % every == every - 1 or step in (0, recipe.steps - 1):
            log.add(step + 1, loss=value)
        if at and step + 1 in at:
            at[step + 1](model)


@torch.no_grad()
def evaluate(model, batches, *, amp=False):
    """Return ``(loss, error)`` over all batches, in evaluation mode: cross-entropy in nats, share of wrong answers.

    Both are tensors on the device, so that asking for them does not make a GPU wait.
    """
    training = model.training
    model.eval()
    total, wrong, count = 0.0, 0, 0
    for x, target in batches:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=amp):
            output = model(x)
        total = total + cross_entropy(output, target) * target.numel()
        wrong = wrong + (output.flatten(0, -2).argmax(-1) != target.flatten()).sum()
        count += target.numel()
    model.train(training)
    return total / count, wrong / count


def errors(model, task, *, amp=False):
    """Return loss (nats) and error (percent) on all of a task's training data and on its test data, by name."""
    found = {}
    for name, data in (("train", task.train_eval), ("test", task.test)):
        loss, error = evaluate(model, data, amp=amp)
        found |= {f"{name}_loss": loss, f"{name}_error": 100 * error}
    return found


@torch.no_grad()
def fix_statistics(model, batches):
    """Give every norm with running statistics their mean over ``batches``, with the weights as they are now.

    A running average lags behind weights that still move, and it is noisy where batches are small ("precise BN", Wu and
    Johnson 2021, arXiv:2105.07576). Meanwhile each layer normalizes with the batch, batch renormalization too, whose
    correction would lead back to what is to be replaced. Momentum and limits of each layer are put back afterwards.

    Parameters
    ----------
    model : nn.Module
    batches : iterable of tensors
        Inputs alone, without targets.
    """
    layers = [layer for layer in model.modules() if getattr(layer, "running_mean", None) is not None]
    settings = [{name: getattr(layer, name) for name in KEPT if hasattr(layer, name)} for layer in layers]
    training = model.training
    for layer in layers:
        layer.reset_running_stats()
        if isinstance(layer, BatchRenorm):
            layer.r_max, layer.d_max = 1.0, 0.0
    model.train()
    for count, x in enumerate(batches, 1):
        for layer in layers:
            layer.momentum = None if isinstance(layer, AVERAGING) else 1 / count
        model(x)
    for layer, kept in zip(layers, settings):
        for name, value in kept.items():
            setattr(layer, name, value)
    model.train(training)
