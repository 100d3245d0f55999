"""What the library costs, as ratios: ours against torch.nn, against textbook networks, and against ``import torch``.

The two of a pair run in turn with one thread, and processor time is what counts, so that whatever else the machine does
falls on both alike. The ratio of a pair is the median over all turns.
"""

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnorm_lib import norms
from resnorm_lib.bench.plain import PlainDecoder, PlainResNet20, copy_state
from resnorm_lib.bench.timing import processor_time, quartiles
from resnorm_lib.engine.fingerprint import of_experiment
from resnorm_lib.engine.machine import machine
from resnorm_lib.models import DecoderLM, cifar_resnet
from resnorm_lib.probes import probe

__all__ = ["GOALS", "report"]

GOALS = {"norm": 1.05, "training step": 1.05, "probe": 2.0, "import": 1.10}
SHORTEST = 0.004  # seconds of one measurement: a call that takes less is repeated
FLOORS = "import resnorm_lib.norms, resnorm_lib.residual, resnorm_lib.models, resnorm_lib.probes"


class Pair(NamedTuple):
    group: str  # a key of GOALS
    name: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    turns: int  # how often the two are compared


# -- the pairs -------------------------------------------------------------------------------------------------------


def norm_pairs() -> Iterator[Pair]:
    """Yield both passes of norms: of large inputs, where memory counts, and of small ones, where Python does."""
    for shape in ((1024, 512), (64, 64, 128), (32, 64)):
        for name in ("LayerNorm", "RMSNorm"):
            yield norm_pair(name, shape, getattr(norms, name)(shape[-1]), getattr(nn, name)(shape[-1]))
    for shape in ((1024, 256), (32, 64)):
        yield norm_pair("BatchNorm", shape, norms.BatchNorm(shape[1]), nn.BatchNorm1d(shape[1]))
    for shape in ((64, 32, 16, 16), (8, 64, 8, 8)):
        yield norm_pair("BatchNorm", shape, norms.BatchNorm(shape[1]), nn.BatchNorm2d(shape[1]))
        yield norm_pair("GroupNorm", shape, norms.GroupNorm(8, shape[1]), nn.GroupNorm(8, shape[1]))


def norm_pair(name: str, shape: tuple[int, ...], ours: nn.Module, theirs: nn.Module) -> Pair:
    x, gradient = torch.randn(shape, requires_grad=True), torch.randn(shape)
    assert torch.equal(ours(x), theirs(x))
    passes = (lambda norm=norm: norm(x).backward(gradient) for norm in (ours, theirs))
    return Pair("norm", f"{name} {by(shape)}", *passes, turns=151)


def step_pairs() -> Iterator[Pair]:
    """Yield training steps of a whole network and of its textbook twin: forward, loss, backward and optimizer."""
    for name, turns, ours, plain, x, target in networks():
        torch.testing.assert_close(ours(x), plain(x))
        yield Pair("training step", name, *(training_step(model, x, target) for model in (ours, plain)), turns)


def probe_pairs() -> Iterator[Pair]:
    """Yield a probe, and a forward and backward pass of the same network."""
    for name, turns, model, _, x, target in networks():
        yield Pair("probe", name, partial(probe, model, (x, target), loss), passes(model, x, target), turns)


def import_pairs() -> Iterator[Pair]:
    """Yield whole processes that import everything a network is built from, and torch alone."""
    both = (partial(subprocess.run, [sys.executable, "-c", code], check=True) for code in (FLOORS, "import torch"))
    yield Pair("import", "norms, residual, models, probes", *both, turns=11)


PAIRS = {"norm": norm_pairs, "training step": step_pairs, "probe": probe_pairs, "import": import_pairs}


# -- what the pairs run ----------------------------------------------------------------------------------------------


def by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def networks() -> Iterator[tuple]:
    """Yield name, turns, our network, its twin, input and target: large, and small enough for Python to count."""
    for images, turns in ((128, 15), (16, 41)):
        x, target = torch.randn(images, 3, 32, 32), torch.randint(10, (images,))
        yield f"ResNet-20 {by(x.shape)}", turns, *resnets(), x, target
    for rows, turns in ((16, 31), (4, 101)):
        words = torch.randint(256, (rows, 65))
        yield f"6-layer decoder {rows}x64 tokens", turns, *decoders(), words[:, :-1], words[:, 1:].flatten()


def resnets() -> tuple[nn.Module, nn.Module]:
    ours = cifar_resnet(20)
    return ours, copy_state(ours, PlainResNet20())


def decoders(
    vocab_size: int = 256, dim: int = 128, depth: int = 6, heads: int = 4, context_length: int = 64
) -> tuple[nn.Module, nn.Module]:
    ours = DecoderLM(vocab_size, dim, depth=depth, num_heads=heads, context_length=context_length)
    return ours, copy_state(ours, PlainDecoder(vocab_size, dim, depth, heads, context_length))


def loss(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(0, -2), target)


def passes(model: nn.Module, x: Tensor, target: Tensor) -> Callable[[], object]:
    def forward_and_backward() -> None:
        model.zero_grad()
        loss(model(x), target).backward()

    return forward_and_backward


def training_step(model: nn.Module, x: Tensor, target: Tensor) -> Callable[[], object]:
    optimizer, forward_and_backward = torch.optim.SGD(model.parameters(), lr=1e-3), passes(model, x, target)

    def step() -> None:
        forward_and_backward()
        optimizer.step()

    return step


# -- measuring and reporting -----------------------------------------------------------------------------------------


def seconds(function: Callable[[], object], calls: int) -> float:
    start = processor_time()
    for _ in range(calls):
        function()
    return (processor_time() - start) / calls


def turn(ours: Callable[[], object], theirs: Callable[[], object], calls: int) -> tuple[float, float]:
    """Run ours, theirs, theirs, ours, so that drift and a warm cache fall on both alike; return the seconds of both."""
    a, b, c, d = (seconds(function, calls) for function in (ours, theirs, theirs, ours))
    return (a + d) / 2, (b + c) / 2


def measure(pair: Pair) -> dict:
    """Compare the two in turns, and return the row of the report."""
    pair.ours(), pair.theirs()
    calls = max(1, round(SHORTEST / seconds(pair.theirs, 1)))
    turns = [turn(pair.ours, pair.theirs, calls) for _ in range(pair.turns)]
    low, median, high = quartiles([ours / theirs for ours, theirs in turns])
    numbers = {"ratio": median, "lower_quartile": low, "upper_quartile": high}
    numbers |= {f"{who}_ms": 1e3 * statistics.median(times) for who, times in zip(("ours", "theirs"), zip(*turns))}
    rounded = {key: float(f"{value:.4g}") for key, value in numbers.items()}
    return {"group": pair.group, "name": pair.name, "goal": GOALS[pair.group], "turns": pair.turns} | rounded


def report(groups: Sequence[str] = tuple(GOALS), command: str = "make bench") -> dict:
    """Measure all pairs of the groups with one thread, print a line for each, and return the document of the record.

    Parameters
    ----------
    groups : sequence of str
        Keys of ``GOALS``.
    command : str
        What a reader types for the same.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{'':49} ratio    quartiles    goal")
    rows = []
    for pair in (pair for group in groups for pair in PAIRS[group]()):
        rows.append(row := measure(pair))
        verdict = "" if row["ratio"] <= row["goal"] else "  missed"
        line = "{group:14} {name:33} {ratio:6.3f}  {lower_quartile:.3f} {upper_quartile:.3f}  {goal:.2f}"
        print(line.format(**row) + verdict, flush=True)
    return {"machine": machine(command), "threads": 1, "code": of_experiment(__name__), "pairs": rows}
