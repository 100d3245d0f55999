"""The training loop that all experiments share, its evaluation, and the repair of batch-normalization statistics."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from resnorm_lib.engine.capture import WARM_UP, CapturedStep
from resnorm_lib.engine.datasets import Task
from resnorm_lib.engine.recipe import Recipe, make_optimizer, rate, set_rate
from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.norms import BatchNorm, BatchRenorm

__all__ = ["endless", "errors", "evaluate", "fit", "fix_statistics"]

AVERAGING = (BatchNorm, nn.modules.batchnorm._BatchNorm)  # with momentum=None these average all batches equally
KEPT = ("momentum", "r_max", "d_max")  # attributes that fix_statistics changes and restores


def endless(epoch: Callable[[], Iterable]) -> Iterator:
    """Iterate over the batches of ``epoch()`` (a function that starts an epoch) without end."""
    while True:
        yield from epoch()


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean cross-entropy in nats, of images (N, classes) or tokens (N, T, vocabulary)."""
    return F.cross_entropy(output.flatten(0, -2).float(), target.flatten())


def fit(
    model: nn.Module,
    batches: Iterator[tuple[Tensor, Tensor]],
    recipe: Recipe,
    log: TrialLog,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    every: int = 10,
    at: Mapping[int, Callable[[nn.Module], object]] | None = None,
) -> None:
    """Train ``model`` in place for ``recipe.steps`` steps, and note the loss of every ``every``-th.

    Parameters
    ----------
    model : nn.Module
        On the device of the batches.
    batches : iterator of (input, target)
        At least ``recipe.steps`` long, on a GPU all of one shape; see :func:`endless`.
    recipe : Recipe
    log : TrialLog
        Gets the metric ``loss``, and stops the training where it is no longer finite.
    loss : callable
        Of output and target.
    at : mapping of int to callable, optional
        Called after so many steps, with the model. One that changes a setting of the model, not weights alone, returns
        True: a captured step is then captured anew.

    Raises
    ------
    Diverged
        If the loss is no longer finite; the trial ends.
    """
    model.train()
    if recipe.channels_last:
        model.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(model, recipe)
    step = make_step(model, optimizer, recipe, loss)
    captured = isinstance(step, CapturedStep)
    first = WARM_UP + 1 if recipe.compile or captured else 0
    for number, (x, target) in zip(log.steps(recipe.steps), batches):
        log.begin("train" if number >= first else "compile")
        set_rate(optimizer, rate(recipe, number))
        value = step(x, target)
        if number % every == every - 1 or number in (0, recipe.steps - 1):
            log.add(number + 1, loss=value)
        if at and number + 1 in at:
            log.begin("evaluate")
            if at[number + 1](model) is True and captured:
                step.forget()
    log.begin("evaluate")


def make_step(model: nn.Module, optimizer: Optimizer, recipe: Recipe, loss: Callable) -> Callable[..., Tensor]:
    """Return a function that takes a training step on a batch and returns its loss; on a GPU it is captured."""
    forward = torch.compile(model) if recipe.compile else model

    def step(x: Tensor, target: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=recipe.amp):
            value = loss(forward(x), target)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        return value.detach()

    on_gpu = next(model.parameters()).device.type == "cuda"
    return CapturedStep(step, optimizer) if recipe.capture and on_gpu else step


@torch.no_grad()
def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, amp: bool = False) -> tuple[Tensor, Tensor]:
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


def errors(model: nn.Module, task: Task, *, amp: bool = False) -> dict[str, Tensor]:
    """Return loss (nats) and error (percent), by name, on all data of a task: for training, for test, and set apart."""
    found: dict[str, Tensor] = {}
    parts = {"train": task.train_eval, "test": task.test} | ({"val": task.val} if task.val else {})
    for name, data in parts.items():
        loss, error = evaluate(model, data, amp=amp)
        found |= {f"{name}_loss": loss, f"{name}_error": 100 * error}
    return found


@torch.no_grad()
def fix_statistics(model: nn.Module, batches: Iterable[Tensor]) -> None:
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
