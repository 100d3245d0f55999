"""Checks for the exercises of "Probing a network"."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from resnorm_lib.checks.judge.answers import Wrong, call, expect_close, shown_wrong
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["check_branch_shares", "check_dead_share", "check_twins"]


def _ratios(stream: list[Tensor]) -> list[Tensor]:
    return [(after - before).norm() / before.norm() for before, after in pairwise(stream)]


@exercise("exercise-probing-shares", points=1, right=_ratios)
def check_branch_shares(answer: Callable[[list[Tensor]], Sequence[float]], face: Draw) -> str:
    """Check ``answer(stream)``: the L ratios of branch to shortcut of a stream of L + 1 tensors.

    The verdict is wrong if there are not L ratios, or one is wrong.
    """
    draw, scales = face.generator(5), (2.0, 0.5, 1.0, 0.1)
    if face.hidden:
        scales = [face.number(0.2, 3) for _ in range(face.integer(3, 8))]
    shape = face.size(3), face.size(4), face.size(6)
    steps = [scale * torch.randn(shape, generator=draw) for scale in scales]
    stream = [torch.stack(steps[: depth + 1]).sum(0) for depth in range(len(steps))]
    sizes, branches = (torch.stack([h.norm() for h in some]) for some in (stream, steps[1:]))
    got = call(answer, stream)
    if len(got) != len(stream) - 1:
        counts = f"{len(stream)} tensors has {len(stream) - 1} branches, and so {len(stream) - 1} ratios"
        raise shown_wrong(f"A stream of {counts}, not {len(got)}.")
    expect_close(
        got,
        branches / sizes[:-1],
        "The ratio of each block",
        mistakes=[
            (branches / sizes[1:], "Divide by what the shortcut brings, the stream before the sum, not after it."),
            (sizes[1:] / sizes[:-1], "That is the growth of the stream: the branch is the difference of two tensors."),
            (sizes.diff() / sizes[:-1], "Subtract the tensors first, then take the norm."),
            (branches, "That is the size of the branch alone: divide by the size of the stream."),
        ],
    )
    return "the share of each branch"


def _dead(activations: Tensor) -> Tensor:
    return (activations.flatten(0, -2) == 0).all(0).double().mean()


@exercise("exercise-probing-dead", points=1, right=_dead)
def check_dead_share(answer: Callable[[Tensor], float], face: Draw) -> str:
    """Check ``answer(activations)``: the share of the features that are 0 for every sample and token.

    The verdict is wrong if a share is wrong, for one axis before the features or for two.
    """
    for shape in face.cases(
        (40, 7), (5, 6, 12), drawn=lambda: (face.integer(5, 9), face.integer(3, 8), face.integer(6, 30))
    ):
        activations = torch.randn(shape, generator=face.generator(6)).relu()
        dead = face.integer(1, 4) if face.hidden else 2
        activations[..., 1 : 1 + dead] = 0
        zero = activations == 0
        expect_close(
            call(answer, activations),
            dead / shape[-1],
            f"The share for a tensor of shape {shape}",
            mistakes=[
                (zero.double().mean(), "That is the share of zeros: a unit is dead if it is 0 for every sample."),
                (zero.any(-1).double().mean(), "Features are the last axis: look over all the others."),
                (zero.all(-1).double().mean(), "Features are the last axis: look over all the others."),
                (zero.all(0).double().mean(), "A unit is dead if it is 0 for every token too: join the axes before."),
                (1 - dead / shape[-1], "That is the share of the living."),
                (dead, "That is how many are dead: divide by the number of features."),
            ],
        )
    return "the share of dead units"


@exercise("exercise-probing-twins", points=2)
def check_twins(answer: Callable[[nn.Module], list[tuple[str, str]]], face: Draw) -> str:
    """Check ``answer(model)``: the pairs of names of equal parameters with at least two axes.

    The verdict is wrong if a pair is missing, or one is named that is none.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(face.integer(0, 2**31))
        d, few = face.size(4, 4, 8), 3
        model = nn.Sequential(
            *(nn.Linear(d, d) for _ in range(4)), nn.Linear(d, few), *(nn.LayerNorm(few) for _ in "ab")
        )
    copies = face.choice(((1, 2), (1, 3), (1, 2, 3), (3,))) if face.hidden else (2, 3)
    with torch.no_grad():
        for layer in model[:5]:
            nn.init.zeros_(layer.bias)
        for copy in copies:
            model[copy].weight.copy_(model[0].weight)
        model[4].weight.copy_(model[0].weight[:few])  # another shape, and no copy
    model.append(model[1])  # the same module once more
    got, wanted = call(answer, model), [("0.weight", f"{copy}.weight") for copy in copies]
    pairs = [tuple(pair) for pair in got]
    if any("bias" in name or name.startswith(("5", "6")) for pair in pairs for name in pair):
        raise Wrong("Biases and gains start equal in every network: count only parameters with at least two axes.")
    if any(name.startswith("7") for pair in pairs for name in pair):
        raise Wrong("One tensor in two places is no copy: named_parameters() lists it once.")
    if any((f"{one}.weight", f"{other}.weight") in pairs for one, other in pairwise(copies)):
        raise Wrong("Pair each parameter with the first one that it equals, not with every one.")
    if any(first == second or first > second for first, second in pairs):
        raise Wrong("In each pair the first name is the parameter that comes first, the second the one that equals it.")
    if any("4.weight" in pair for pair in pairs):
        raise Wrong("Parameters of different shapes are no copies of each other.")
    if pairs != wanted:
        raise shown_wrong(f"Layers 2 and 3 of the example are copies of layer 0: {wanted}; got {pairs}.")
    return "every copy, and nothing else"
