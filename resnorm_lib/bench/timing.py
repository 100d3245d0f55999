"""How a call is timed: many times, each with a cold cache, median and quartiles.

On a GPU two events on its stream stand around a call. Before them a buffer larger than the L2 cache is read: it takes
the place of the inputs there. (Written, it would leave lines that have to go to memory while the call runs.) Reading
takes longer than Python needs to launch the call, so that launches do not count, unless there are too many of them;
``graph`` times the replay of a CUDA graph, where they never do, and ``host`` what one call takes of the processor.
"""

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch

__all__ = ["Clock", "in_turns", "processor_time", "quartiles", "summary"]


def quartiles(values: Sequence[float]) -> list[float]:
    """Return lower quartile, median and upper quartile."""
    return statistics.quantiles(values, n=4)


def summary(times: Sequence[float]) -> dict:
    """Return the quartiles of times in seconds, and the number of times, by the names of a record."""
    low, median, high = quartiles(times)
    return {"median_s": median, "lower_quartile_s": low, "upper_quartile_s": high, "runs": len(times)}


def processor_time() -> float:
    """Return the seconds that this process, and those it has waited for, have spent on a processor."""
    waited_for = os.times()  # in ticks of about 10 ms; 0 on Windows
    return time.process_time() + waited_for.children_user + waited_for.children_system


def in_turns(
    calls: Mapping[str, Callable[[], object]],
    seconds: Callable[[Callable[[], object]], float],
    turns: int,
    warm_up: int,
) -> dict[str, list[float]]:
    """Return the ``seconds`` of each call, a list by name: in each turn each runs once, so that drift falls on all."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(warm_up + turns):
        for name, call in calls.items():
            times[name].append(seconds(call))
    return {name: values[warm_up:] for name, values in times.items()}


class Clock:
    """Times calls on a device.

    Parameters
    ----------
    device : torch.device
    runs : int
        How many calls are timed at most.
    seconds : float
        After this time no further call is begun; five are timed in any case.
    cold_bytes : int, optional
        Size of the buffer that is read between calls.
    """

    def __init__(
        self, device: torch.device | str, runs: int = 100, seconds: float = 0.5, cold_bytes: int | None = None
    ) -> None:
        self.device, self.runs, self.seconds = torch.device(device), runs, seconds
        cold_bytes = cold_bytes or (512 * 2**20 if self.is_cuda else 32 * 2**20)
        self.cold = torch.zeros(cold_bytes // 4, dtype=torch.int32, device=self.device)

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    def synchronize(self) -> None:
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def once(self, call: Callable[[], object]) -> float:
        """Return the seconds of one call, from the first to the last thing that the device does for it."""
        self.synchronize()
        start = time.perf_counter()
        call()
        self.synchronize()
        return time.perf_counter() - start

    def time(self, call: Callable[[], object], warm_up: int = 3) -> dict:
        """Return the :func:`summary` of the times of many calls."""
        for _ in range(warm_up):
            call()
        self.synchronize()
        times = self._cuda_times(call) if self.is_cuda else self._cpu_times(call)
        return summary(times)

    def _cpu_times(self, call: Callable[[], object]) -> list[float]:
        times: list[float] = []
        end = time.perf_counter() + self.seconds
        while len(times) < 5 or (len(times) < self.runs and time.perf_counter() < end):
            self.cold.max()
            times.append(self.once(call))
        return times

    def _cuda_times(self, call: Callable[[], object]) -> list[float]:
        pairs, end = [], time.perf_counter() + self.seconds
        while len(pairs) < 5 or (len(pairs) < self.runs and time.perf_counter() < end):
            before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            self.cold.max()
            before.record()
            call()
            after.record()
            pairs.append((before, after))
            if len(pairs) % 10 == 0:  # or the processor would run far ahead, and memory with it
                self.synchronize()
        self.synchronize()
        return [before.elapsed_time(after) / 1e3 for before, after in pairs]

    def host(self, call: Callable[[], object], calls: int = 20) -> float | None:
        """Return the median seconds that the processor needs to launch one call on a GPU; None on a CPU."""
        if not self.is_cuda:
            return None
        times = []
        for _ in range(calls):
            self.synchronize()
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    def graph(self, make: Callable[[], Callable[[], object]]) -> dict:
        """Return what :meth:`time` returns, for the replay of a CUDA graph of the call that ``make()`` returns.

        ``make`` runs on the stream of the capture, where autograd then runs the backward pass. If the call cannot be
        captured, the dict holds a ``reason`` alone.
        """
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        try:
            with torch.cuda.stream(stream):
                call = make()
                for _ in range(3):
                    call()
                self.synchronize()
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, stream=stream):
                    kept = call()
            measured = self.time(graph.replay)
            del kept
        except RuntimeError as error:
            self.synchronize()
            self._leave_capture()
            return {"reason": str(error).splitlines()[0]}
        return measured

    def _leave_capture(self) -> None:
        """Give torch's generator a state of its own: a capture that fails leaves it waiting for the graph's end."""
        if self.is_cuda:
            index = torch.cuda.current_device() if self.device.index is None else self.device.index
            torch.cuda.default_generators[index].graphsafe_set_state(torch.Generator(self.device))
