"""What a machine with a GPU is to do for the project while it is at hand, most important first.

::

    python -m resnorm_lib.bench.gpu --budget 12m

The tests of the kernels, the benchmark, what a call costs the processor, other launches for long rows, and the suite of
experiments. Each takes its part of what the ones before it have left, and writes its record as soon as it has one. It
needs torch and pytest, and nothing that the book is built with.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from resnorm_lib._pipe import until_the_reader_leaves
from resnorm_lib._processes import finished
from resnorm_lib.engine.config import parse_duration

__all__ = ["STEPS", "Step", "allotted", "main", "run"]

GRACE = 15.0  # seconds for a step that watches its own budget to write its record, before it is stopped
OPERATIONS, HOST, LAUNCHES = (f"book/recorded/fast_on_a_gpu-{name}.json" for name in ("gpu", "host", "launches"))


class Step(NamedTuple):
    """A command, and which part of the time that is left is its own."""

    name: str
    least: float  # seconds; with less it is not begun
    share: float  # of what is left, beyond ``least``
    most: float
    words: Callable[[float], list[str]]  # of the command, after python's name, from the seconds that it may take


def tests(seconds: float) -> list[str]:
    """Return the words that test the kernels, in as many processes as help where pytest-xdist is installed."""
    processes = ["-n", str(min(9, os.cpu_count() or 1))] if importlib.util.find_spec("xdist") else []
    options = ["-q", "-p", "no:cacheprovider", "--noconftest", "-o", "addopts=", "-W", "default"]
    return [
        "-m",
        "pytest",
        *options,
        *processes,
        "tests/ops",
        "tests/bench/test_host.py",
        "tests/engine/test_capture.py",
    ]


STEPS = (
    Step("tests", 30, 0.2, 240, tests),
    Step("operations", 150, 0.3, 540, lambda seconds: [
        "-m", "resnorm_lib.bench", "operations", "--budget", f"{seconds - GRACE:.0f}", "--out", OPERATIONS]),
    Step("host", 20, 0.0, 20, lambda seconds: ["-m", "resnorm_lib.bench", "host", "--device", "cuda", "--out", HOST]),
    Step("launches", 75, 0.1, 120, lambda seconds: [
        "-m", "resnorm_lib.bench", "launches", "--budget", f"{seconds - GRACE:.0f}", "--out", LAUNCHES]),
    Step("suite", 60, 1.0, float("inf"), lambda seconds: [
        "-m", "resnorm_lib.experiments", "suite", "--preset", "gpu", "--budget", f"{seconds - GRACE:.0f}s", "--resume",
        "--out", "book/recorded"]),
)  # fmt: skip


def allotted(step: Step, left: float) -> float:
    """Return the seconds that a step may take of those ``left``: none where they are fewer than its least.

    Examples
    --------
    >>> half = Step("half", 10, 0.5, 100, lambda seconds: [])
    >>> [allotted(half, left) for left in (9, 12, 50, 1000)]
    [0.0, 10.0, 25.0, 100.0]
    """
    return 0.0 if left < step.least else float(min(step.most, max(step.least, step.share * left)))


def run(
    budget: float,
    steps: Iterable[Step] = STEPS,
    start: Callable[[Sequence[str], float], subprocess.CompletedProcess] = finished,
    clock: Callable[[], float] = time.monotonic,
) -> list[str]:
    """Do the steps in their order; one that fails, or is stopped at the end of its time, stops no other.

    Returns
    -------
    list of str
        The names of the steps that did not end well, and why.
    """
    end, missed = clock() + budget, []
    for step in steps:
        left = end - clock()
        seconds = allotted(step, left)
        if not seconds:
            missed.append(f"{step.name} (not begun: {left:.0f} s are left)")
            continue
        print(f"== {step.name}: {seconds:.0f} of {left:.0f} s", flush=True)
        try:
            code = start([sys.executable, *step.words(seconds)], seconds).returncode
        except subprocess.TimeoutExpired:
            missed.append(f"{step.name} (stopped after {seconds:.0f} s)")
        else:
            missed += [f"{step.name} (status {code})"] if code else []
    return missed


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line; end with a sentence that names what is missing."""
    parser = argparse.ArgumentParser(prog="python -m resnorm_lib.bench.gpu", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--budget", default="15m", metavar="TIME", help="90s, 9m, 1h: all steps together")
    os.environ["RESNORM_PRESET"] = "gpu"
    missed = run(parse_duration(parser.parse_args(words).budget))
    if missed:
        sys.exit(f"Not done to the end: {', '.join(missed)}.")


if __name__ == "__main__":
    with until_the_reader_leaves():
        main()
