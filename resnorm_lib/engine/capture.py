"""A training step as one CUDA graph: the processor starts it with one call instead of a thousand launches.

Kernels of a small network are shorter than the time that Python needs to launch the next one, so that the GPU waits. A
graph records the launches once and replays them. What it may contain follows from that: the same kernels each time, on
the same memory, and no number that the processor reads back.
"""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["WARM_UP", "CapturedStep"]

WARM_UP = 3  # first calls, not captured: they allocate, compile kernels and choose algorithms


class CapturedStep:
    """A function of tensors that is recorded as a CUDA graph at its fourth call, and replayed from then on.

    The calls before are ordinary ones, so that all calls together do what the function alone would do. Inputs are
    copied to fixed places, and what is returned is a copy. Where the capture fails, a warning says why, and the calls
    stay ordinary.

    Parameters
    ----------
    step : callable
        Of tensors; returns a tensor without a gradient. It keeps all else in place: weights, optimizer states.
        Random numbers come from the default generator of the GPU, which a graph advances as the function does.
    optimizer : torch.optim.Optimizer
        What the function updates; its rate must be a tensor.

    Raises
    ------
    ValueError
        If an input has another shape than at the first call.
    """

    def __init__(self, step: Callable[..., Tensor], optimizer: Optimizer) -> None:
        self.step, self.optimizer, self.calls = step, optimizer, 0
        self.stream = torch.cuda.Stream()  # of the first calls and of the capture: autograd binds leaves to a stream
        self.inputs: list[Tensor] | None = None
        self.output: Tensor | None = None
        self.graph: torch.cuda.CUDAGraph | None = None
        self.failed = False

    def __call__(self, *inputs: Tensor) -> Tensor:
        self._place(inputs)
        self.calls += 1
        if self.calls > WARM_UP and self.graph is None and not self.failed:
            self._capture()
        if self.graph is None:
            return self._call()
        self.graph.replay()
        return self.output.clone()

    def forget(self) -> None:
        """Drop the graph: the next call records the function as it is then. The weights stay."""
        self.graph, self.output = None, None

    def _place(self, inputs: tuple[Tensor, ...]) -> None:
        if self.inputs is None:
            self.inputs = [x.clone() for x in inputs]
        for fixed, x in zip(self.inputs, inputs, strict=True):
            if x.shape != fixed.shape:
                raise ValueError(
                    f"a batch has shape {tuple(x.shape)}, but it must have {tuple(fixed.shape)} as the first."
                )
            fixed.copy_(x)

    def _call(self) -> Tensor:
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            output = self.step(*self.inputs)
        torch.cuda.current_stream().wait_stream(self.stream)
        return output.clone()

    def _capture(self) -> None:
        for group in self.optimizer.param_groups:
            if "capturable" in group:  # Adam asks for it; set earlier it would warn in the first calls
                group["capturable"] = True
        graph, generator = torch.cuda.CUDAGraph(), torch.cuda.default_generators[torch.cuda.current_device()]
        state = generator.clone_state()
        try:
            with torch.cuda.graph(graph, stream=self.stream):
                self.output = self.step(*self.inputs)
            self.graph = graph
        except RuntimeError as error:  # a capture executes nothing, so that the step can still be taken without it
            self.failed, self.output = True, None
            generator.graphsafe_set_state(state)  # the old one believes that it is being captured, and draws no more
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            warnings.warn(f"The training step goes on without a CUDA graph, slowly: {reason}", stacklevel=3)
