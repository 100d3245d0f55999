"""What a call costs the processor, beside torch's own layer_norm: in eager mode that is what a small norm costs.

On a GPU the calls are launched one after the other on one row, so that the GPU never keeps the processor waiting.
Without a GPU the launch itself is replaced by nothing, and all else that the library does on a call is timed on a CPU's
tensors.
"""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from resnorm_lib import ops
from resnorm_lib.bench.operations import as_tuple
from resnorm_lib.bench.timing import in_turns
from resnorm_lib.ops import dispatch, launch

__all__ = ["GOAL", "WIDTH", "calls", "measure", "without_launch"]

GOAL = 1.5  # of what F.layer_norm costs
WIDTH = 768


class Nothing:
    """Stands in for what Triton has compiled."""

    function = packed_metadata = None

    @staticmethod
    def run(*arguments: object) -> None:
        pass


@contextlib.contextmanager
def without_launch() -> Iterator[None]:
    """Let the operations do on a CPU's tensors what they do on a GPU's, all but the launch."""
    nothing = Nothing()
    launch.forget_plans()
    with contextlib.ExitStack() as stack:
        for where, name, value in (
            (dispatch, "has_kernels", lambda x: True),
            (dispatch, "INTERPRETED", False),
            (launch, "current_device", lambda: None),
            (launch, "current_stream", lambda index: 0),
            (launch.Plan, "direct", True),
            (launch.Plan, "_launch_by_triton", lambda plan, grid, arguments: nothing),
        ):
            stack.enter_context(mock.patch.object(where, name, value))
        stack.enter_context(ops.kernels("on"))
        yield
    launch.forget_plans()


class Bare(torch.autograd.Function):
    """The least that a norm written in Python costs: it allocates and keeps what a norm does, and computes nothing."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, x.new_empty(2 * len(x)))
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight, _ = ctx.saved_tensors
        return torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)


def calls(device: torch.device | str, rows: int = 1) -> dict[str, tuple[Callable, tuple[Tensor, ...]]]:
    """Return by name a function of nothing that calls an operation on rows, and the tensors that want gradients.

    Beside torch's layer_norm stands ``Bare``, the floor of whatever is written in Python.
    """

    def leaf(*shape: int) -> Tensor:
        return torch.randn(shape, device=device).requires_grad_()

    x, r, w, b, a = leaf(rows, WIDTH), leaf(rows, WIDTH), leaf(WIDTH), leaf(WIDTH), leaf(1)
    image = leaf(rows, WIDTH, 4)
    return {
        "torch": (lambda: F.layer_norm(x, (WIDTH,), w, b, 1e-5), (x, w, b)),
        "bare": (lambda: Bare.apply(x, w, b), (x, w, b)),
        "layer_norm": (lambda: ops.layer_norm(x, w, b, 1e-5), (x, w, b)),
        "rms_norm": (lambda: ops.rms_norm(x, w, 1e-5), (x, w)),
        "add_layer_norm": (lambda: ops.add_norm(x, r, w, b, norm="layer"), (x, r, w, b)),
        "add_rms_norm": (lambda: ops.add_norm(x, r, w, norm="rms"), (x, r, w)),
        "dyt": (lambda: ops.dyt(x, a, w, b), (x, a, w, b)),
        "group_norm": (lambda: ops.group_norm(image, 32, w, b), (image, w, b)),
    }


def forward_and_backward(call: Callable[[], object], inputs: Sequence[Tensor]) -> Callable[[], object]:
    gradients = [torch.ones_like(y) for y in as_tuple(call())]
    return lambda: torch.autograd.grad(call(), inputs, gradients)


def measure(device: torch.device, turns: int = 30, repeats: int = 50) -> list[dict]:
    """Return rows of the record: what each operation costs the processor, and its ratio to torch's layer_norm.

    Parameters
    ----------
    device : torch.device
    turns : int
        Each call is timed that often; all take turns.
    repeats : int
        So many calls are timed as one.

    Returns
    -------
    list of dict
        With the name, ``direction`` (forward, or both), the median seconds of a call, and the ratio of the quickest
        turns, which other programs have disturbed least.
    """

    def seconds(call: Callable[[], object]) -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        spent = (time.perf_counter() - start) / repeats
        torch.cuda.synchronize() if device.type == "cuda" else None
        return spent

    rows = []
    with contextlib.nullcontext() if device.type == "cuda" else without_launch():
        every = calls(device)
        both = {name: forward_and_backward(call, inputs) for name, (call, inputs) in every.items()}
        for direction, functions in (("forward", {name: call for name, (call, _) in every.items()}), ("both", both)):
            times = in_turns(functions, seconds, turns, warm_up=3)
            rows += [
                {
                    "op": name,
                    "direction": direction,
                    "median_s": statistics.median(values),
                    "ratio": min(values) / min(times["torch"]),
                }
                for name, values in times.items()
            ]
    return rows
