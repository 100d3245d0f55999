"""The log of a trial: it collects the numbers, and supplies the device and the random generators."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress

import torch

from resnorm_lib import runtime
from resnorm_lib._arguments import positive_int
from resnorm_lib.engine.records import Trial, finite

__all__ = ["Diverged", "TrialLog"]

STREAMS = 10  # random streams of a trial; runtime.SHIFT leaves room for 100 seeds
CHECK = 50  # steps between two looks at the loss: a look makes a GPU wait


class Diverged(Exception):
    """The loss is no longer finite: the trial ends here, and says so in its record."""


class TrialLog:
    """The notes of one trial.

    Numbers are kept as tensors on the device until the trial ends, so that writing one down does not make a GPU wait.

    Parameters
    ----------
    arm : str
    seed : int
        From 0; RESNORM_SEED shifts it as it shifts all seeds of the book.
    device : torch.device
    on_step : callable, optional
        Called with (step, steps) as the trial goes on.
    """

    def __init__(
        self, arm: str, seed: int, device: torch.device, on_step: Callable[[int, int], None] | None = None
    ) -> None:
        self.base = positive_int("seed", seed, at_least=0) * STREAMS
        self.arm, self.seed, self.device, self.on_step = arm, runtime.seed(seed), device, on_step
        self.points: dict[str, list[tuple[int, float | torch.Tensor]]] = {}  # step and value
        self.numbers: dict[str, float | torch.Tensor] = {}
        self.last_loss: float | torch.Tensor | None = None
        self.diverged: int | None = None  # at which step
        self.peak: int | None = None  # bytes
        self.phases: dict[str, float] = {}  # seconds
        self.phase: str | None = None
        self.since = 0.0

    def generator(self, stream: int, device: torch.device | str = "cpu") -> torch.Generator:
        """Return a generator of its own for one of ten uses: data, weights, batches, noise."""
        return runtime.generator(self.base + stream, device)

    def seeded(self, stream: int) -> AbstractContextManager:
        """Seed as :func:`resnorm_lib.runtime.seeded` does, for weights and others that take no generator."""
        return runtime.seeded(self.base + stream)

    def steps(self, count: int) -> Iterator[int]:
        """Count from 0 to ``count - 1``; every 50 steps look whether the last loss was finite.

        Raises
        ------
        Diverged
            If it was not.
        """
        for step in range(count):
            yield step
            if step % CHECK == CHECK - 1 or step == count - 1:
                self.check(step)
            if self.on_step:
                self.on_step(step + 1, count)

    def check(self, step: int) -> None:
        if self.last_loss is not None and not math.isfinite(float(self.last_loss)):
            self.diverged = step
            raise Diverged

    def add(self, step: int, **values) -> None:
        """Write down metrics of this step, numbers or tensors with one element; ``loss`` is watched."""
        for name, value in values.items():
            value = value.detach() if isinstance(value, torch.Tensor) else value
            self.points.setdefault(name, []).append((step, value))
        self.last_loss = self.points["loss"][-1][1] if "loss" in values else self.last_loss

    def summary(self, **values) -> None:
        """Write down numbers of the whole trial."""
        self.numbers |= values

    def begin(self, phase: str | None) -> None:
        """Count the time from now on as that of ``phase``: build, compile, train, evaluate. None: of no phase.

        A GPU is waited for where the phase changes, so that its work belongs to the phase that asked for it.
        """
        if phase == self.phase:
            return
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        if self.phase is not None:
            self.phases[self.phase] = self.phases.get(self.phase, 0.0) + now - self.since
        self.phase, self.since = phase, now

    def record(self, work: Callable[["TrialLog"], None]) -> Trial:
        """Call ``work`` with this log and return its :class:`resnorm_lib.engine.records.Trial`."""
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        start = time.perf_counter()
        self.begin("build")
        with suppress(Diverged):
            work(self)
        self.begin(None)
        if on_gpu:
            self.peak = torch.cuda.max_memory_allocated(self.device)
        else:
            self.peak = _peak_of_process()
        return self.trial(time.perf_counter() - start)

    def trial(self, seconds: float) -> Trial:
        metrics = {
            name: {"step": [step for step, _ in points], "value": _numbers([value for _, value in points])}
            for name, points in self.points.items()
        }
        summary = dict(zip(self.numbers, _numbers(list(self.numbers.values()))))
        phases = {name: round(value, 3) for name, value in self.phases.items()}
        return Trial(self.arm, self.seed, metrics, summary, seconds, self.peak, self.diverged, phases)


def _peak_of_process() -> int | None:
    """Return the most memory that this process has held, in bytes; None on Windows, where Python does not know."""
    try:
        import resource
    except ModuleNotFoundError:
        return None
    return (1 if sys.platform == "darwin" else 1024) * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _numbers(values: list) -> list[float | None]:
    """Return plain numbers, None where a value is not finite. Tensors are fetched from the device together."""
    if values and all(isinstance(value, torch.Tensor) for value in values):
        values = torch.stack([value.reshape(()).double() for value in values]).tolist()
    return [finite(value) for value in values]
