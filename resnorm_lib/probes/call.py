"""The arguments of the model, and those of the loss beside the output, both taken from the batch."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from resnorm_lib._arguments import positive_int
from resnorm_lib.probes.modules import tensors_in

__all__ = ["Batch", "Call", "Loss", "mean_square"]

Batch = Tensor | tuple | list | dict  # what the model and the loss are called with
Loss = Callable[..., Tensor]  # of the output, and of the targets


def mean_square(output: Any) -> Tensor:
    r"""Return the mean square of all numbers in the output: a loss for a model that has none.

    Parameters
    ----------
    output : tensor, or tuple, list or dict of tensors
        Tensors that hold no floating point numbers are left out.

    Returns
    -------
    tensor without axes

    Raises
    ------
    ValueError
        If the output holds no floating point number, or none at all.

    Examples
    --------
    >>> mean_square((torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])))
    tensor(7.5000)
    """
    parts = [x if x.dtype == torch.float64 else x.float() for x in tensors_in(output) if x.is_floating_point()]
    if parts and not sum(part.numel() for part in parts):
        raise ValueError("the output is empty, but it must hold a number: give a batch with a sample in it, or a loss.")
    if not parts:
        raise ValueError(f"the output is {type(output).__name__} without a floating point number: give a loss.")
    return sum(part.square().sum() for part in parts) / sum(part.numel() for part in parts)


class Call:
    """One validated call of a model: its arguments, the loss, and the targets that the loss takes."""

    def __init__(self, model: nn.Module, batch: Batch, loss: Loss | None, sample_axis: int) -> None:
        if not isinstance(model, nn.Module):
            raise ValueError(f"model is {model!r}, but it must be an nn.Module.")
        if any(torch.nn.parameter.is_lazy(tensor) for tensor in [*model.parameters(), *model.buffers()]):
            raise ValueError("model has lazy layers that have not run yet, and running would change it: call it once.")
        if not isinstance(batch, torch.Tensor | tuple | list | dict):
            raise ValueError(
                f"batch is {type(batch).__name__}, but it must be a tensor, a tuple or list of arguments, or a dict of "
                "keyword arguments."
            )
        if loss is not None and not callable(loss):
            raise ValueError(f"loss is {loss!r}, but it must be callable, or None for a forward pass alone.")
        self.sample_axis = positive_int("sample_axis", sample_axis, at_least=0)
        self.args, self.kwargs, self.targets = _divide(batch, () if loss is None else _wanted(loss))
        self.loss = loss
        tensors = tensors_in(self.args, self.kwargs)
        if not tensors:
            raise ValueError("batch holds no tensor for the model.")
        if any(tensor.is_nested for tensor in tensors):
            raise ValueError("batch holds a nested tensor, which has no shape, but it must hold plain ones: pad it.")

    def loss_of(self, output: Any) -> Tensor:
        value = self.loss(output, *self.targets)
        if not isinstance(value, torch.Tensor) or value.numel() != 1 or value.is_complex():
            got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)
            raise ValueError(f"loss returned {got}, but it must return one number in a tensor.")
        return value


def _wanted(loss: Loss) -> list[str]:
    """Return the names of the arguments that the loss needs beside the output."""
    try:
        parameters = inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss).parameters.values()
    except (TypeError, ValueError):  # a function written in C may have no signature
        return []
    needed = [
        p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return needed[1:]


def _divide(batch: Batch, wanted: Sequence[str]) -> tuple[tuple, dict[str, Any], list]:
    """Split the batch into what the model gets and what the loss gets."""
    if isinstance(batch, dict):
        if missing := [name for name in wanted if name not in batch]:
            raise ValueError(f"loss needs {', '.join(missing)}, but batch has only {', '.join(map(str, batch))}.")
        return (), {k: v for k, v in batch.items() if k not in wanted}, [batch[name] for name in wanted]
    parts = (batch,) if isinstance(batch, torch.Tensor) else tuple(batch)
    if wanted and len(parts) <= len(wanted):
        raise ValueError(
            f"loss needs {', '.join(wanted)} after the output, but batch has {len(parts)} part(s), and the model needs "
            "one at least: give (input, target)."
        )
    return parts[: len(parts) - len(wanted)], {}, list(parts[len(parts) - len(wanted) :])
