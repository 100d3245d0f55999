"""What the library costs, as ratios: ours against torch.nn, against textbook networks, and against ``import torch``.

python -m resnorm_lib.bench.ratios

The two of a pair run in turn with one thread, and processor time is what counts, so that whatever else the machine does
falls on both alike. The ratio of a pair is the median over all turns.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import NamedTuple

import numpy
import torch
import torch.nn.functional as F
from torch import nn

import resnorm_lib
from resnorm_lib import norms
from resnorm_lib.bench.plain import PlainDecoder, PlainResNet20, copy_state
from resnorm_lib.models import DecoderLM, cifar_resnet
from resnorm_lib.probes import probe

REPORT = Path("book/recorded/bench.json")  # in the folder of the project, where `make bench` starts it
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


def norm_pairs():
    """Forward and backward of one norm: large inputs, where memory counts, and small ones, where Python does."""
    for shape in ((1024, 512), (64, 64, 128), (32, 64)):
        for name in ("LayerNorm", "RMSNorm"):
            yield norm_pair(name, shape, getattr(norms, name)(shape[-1]), getattr(nn, name)(shape[-1]))
    for shape in ((1024, 256), (32, 64)):
        yield norm_pair("BatchNorm", shape, norms.BatchNorm(shape[1]), nn.BatchNorm1d(shape[1]))
    for shape in ((64, 32, 16, 16), (8, 64, 8, 8)):
        yield norm_pair("BatchNorm", shape, norms.BatchNorm(shape[1]), nn.BatchNorm2d(shape[1]))
        yield norm_pair("GroupNorm", shape, norms.GroupNorm(8, shape[1]), nn.GroupNorm(8, shape[1]))


def norm_pair(name, shape, ours, theirs):
    x, gradient = torch.randn(shape, requires_grad=True), torch.randn(shape)
    assert torch.equal(ours(x), theirs(x))
    passes = (lambda norm=norm: norm(x).backward(gradient) for norm in (ours, theirs))
    return Pair("norm", f"{name} {by(shape)}", *passes, turns=151)


def step_pairs():
    """Forward, loss, backward and optimizer of a whole network and of its textbook twin."""
    for name, turns, ours, plain, x, target in networks():
        torch.testing.assert_close(ours(x), plain(x))
        yield Pair("training step", name, *(training_step(model, x, target) for model in (ours, plain)), turns)


def probe_pairs():
    """A probe, and a forward and backward pass of the same network."""
    for name, turns, model, _, x, target in networks():
        yield Pair("probe", name, partial(probe, model, (x, target), loss), passes(model, x, target), turns)


def import_pairs():
    """Whole processes that import everything a network is built from, and torch alone."""
    both = (partial(subprocess.run, [sys.executable, "-c", code], check=True) for code in (FLOORS, "import torch"))
    yield Pair("import", "norms, residual, models, probes", *both, turns=11)


PAIRS = (norm_pairs, step_pairs, probe_pairs, import_pairs)


# -- what the pairs run ----------------------------------------------------------------------------------------------


def by(shape):
    return "x".join(map(str, shape))


def networks():
    """Yield name, turns, our network, its twin, input and target: large, and small enough for Python to count."""
    for images, turns in ((128, 15), (16, 41)):
        x, target = torch.randn(images, 3, 32, 32), torch.randint(10, (images,))
        yield f"ResNet-20 {by(x.shape)}", turns, *resnets(), x, target
    for rows, turns in ((16, 31), (4, 101)):
        words = torch.randint(256, (rows, 65))
        yield f"6-layer decoder {rows}x64 tokens", turns, *decoders(), words[:, :-1], words[:, 1:].flatten()


def resnets():
    ours = cifar_resnet(20)
    return ours, copy_state(ours, PlainResNet20())


def decoders(words=256, dim=128, depth=6, heads=4, longest=64):
    ours = DecoderLM(words, dim, depth, heads, longest)
    return ours, copy_state(ours, PlainDecoder(words, dim, depth, heads, longest))


def loss(output, target):
    return F.cross_entropy(output.flatten(0, -2), target)


def passes(model, x, target):
    def forward_and_backward():
        model.zero_grad()
        loss(model(x), target).backward()

    return forward_and_backward


def training_step(model, x, target):
    optimizer, forward_and_backward = torch.optim.SGD(model.parameters(), lr=1e-3), passes(model, x, target)

    def step():
        forward_and_backward()
        optimizer.step()

    return step


# -- measuring and reporting -----------------------------------------------------------------------------------------


def processor_time():
    """Seconds that this process, and those it has waited for, have spent on a processor."""
    return sum(usage.ru_utime + usage.ru_stime for usage in map(getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN)))


def seconds(function, calls):
    start = processor_time()
    for _ in range(calls):
        function()
    return (processor_time() - start) / calls


def turn(ours, theirs, calls):
    """Ours, theirs, theirs, ours: what drifts, and what the first leaves to the second, falls on both alike."""
    a, b, c, d = (seconds(function, calls) for function in (ours, theirs, theirs, ours))
    return (a + d) / 2, (b + c) / 2


def measure(pair):
    """Compare the two in turns, and return the row of the report."""
    pair.ours(), pair.theirs()
    calls = max(1, round(SHORTEST / seconds(pair.theirs, 1)))
    turns = [turn(pair.ours, pair.theirs, calls) for _ in range(pair.turns)]
    low, median, high = statistics.quantiles([ours / theirs for ours, theirs in turns], n=4)
    numbers = {"ratio": median, "lower_quartile": low, "upper_quartile": high}
    numbers |= {f"{who}_ms": 1e3 * statistics.median(times) for who, times in zip(("ours", "theirs"), zip(*turns))}
    rounded = {key: float(f"{value:.4g}") for key, value in numbers.items()}
    return {"group": pair.group, "name": pair.name, "goal": GOALS[pair.group], "turns": pair.turns} | rounded


def environment():
    """Where and how the ratios were measured."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    versions = {module.__name__: module.__version__ for module in (torch, numpy, resnorm_lib)}
    return {
        "command": "make bench",
        "date": date.today().isoformat(),
        "machine": {"processor": names[0] if names else platform.processor(), "cores": os.cpu_count()},
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version()} | versions,
    }


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{'':49} ratio    quartiles    goal")
    rows = []
    for pair in (pair for pairs in PAIRS for pair in pairs()):
        rows.append(row := measure(pair))
        verdict = "" if row["ratio"] <= row["goal"] else "  missed"
        line = "{group:14} {name:33} {ratio:6.3f}  {lower_quartile:.3f} {upper_quartile:.3f}  {goal:.2f}"
        print(line.format(**row) + verdict, flush=True)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(environment() | {"pairs": rows}, indent=1) + "\n")
    if any(row["ratio"] > row["goal"] for row in rows):
        sys.exit("A ratio is above its goal.")


if __name__ == "__main__":
    main()
