"""Checks for the exercises of "Vision"."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu

from resnorm_lib.checks.judge.answers import Wrong, call, expect_close, shown_wrong, to_array
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.registry import exercise
from resnorm_lib.experiments.vision.boxes import Found, iou, suppress

__all__ = ["check_flow_pair", "check_iou", "check_midpoint", "check_suppress", "check_zero_block"]


def _iou(a: tuple, b: tuple) -> float:
    sides = [max(0.0, min(a[2 + k], b[2 + k]) - max(a[k], b[k])) for k in (0, 1)]
    area, other = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return sides[0] * sides[1] / (area + other - sides[0] * sides[1])


@exercise("exercise-vision-iou", points=1, right=_iou)
def check_iou(answer: Callable[[tuple, tuple], float], face: Draw) -> str:
    """Check ``answer(a, b)``: the intersection over union of two boxes (x0, y0, x1, y1).

    The verdict is wrong if the value of a pair of boxes is wrong.
    """
    pairs = (
        ((0.0, 0.0, 4.0, 4.0), (3.0, 1.0, 6.0, 3.0), "of a large box and a small one"),
        ((0.0, 0.0, 2.0, 2.0), (1.0, 0.0, 3.0, 2.0), "of two boxes that overlap by half"),
        ((0.0, 0.0, 2.0, 2.0), (3.0, 3.0, 5.0, 5.0), "of two boxes apart in both directions"),
        ((0.0, 0.0, 2.0, 2.0), (0.0, 3.0, 2.0, 5.0), "of two boxes apart in one direction"),
    )
    for a, b, what in face.cases(*pairs, drawn=lambda: (_box(face), _box(face), "of two boxes")):
        area, other = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
        sides = [min(a[2 + k], b[2 + k]) - max(a[k], b[k]) for k in (0, 1)]
        common = max(0.0, sides[0]) * max(0.0, sides[1])
        unclipped = sides[0] * sides[1]
        expect_close(
            call(answer, a, b),
            common / (area + other - common),
            f"The IoU {what}",
            mistakes=[
                (unclipped / (area + other - unclipped), "Boxes apart have no common area: clip both sides at 0."),
                (common / (area + other), "The common area is counted twice in the sum of both areas: take it off."),
                (common / min(area, other), "Divide by the union, not by the smaller box."),
                (common / area, "Divide by the union, not by the first box."),
                (common, "That is the intersection: divide it by the union."),
            ],
            tolerance=1e-6,
        )
    return "intersection over union"


def _box(face: Draw) -> tuple[float, float, float, float]:
    x, y = face.number(0, 5), face.number(0, 5)
    return x, y, x + face.number(1, 5), y + face.number(1, 5)


def _kept(boxes: Tensor, scores: Tensor, overlap: float) -> list[int]:
    rows = torch.arange(len(boxes))
    return suppress(Found(boxes, rows, scores), overlap).labels.tolist()


@exercise("exercise-vision-suppress", points=2)
def check_suppress(answer: Callable[[Tensor, Tensor, float], list[int]], face: Draw) -> str:
    """Check ``answer(boxes, scores, overlap)``: the rows that greedy non-maximum suppression keeps, the best first.

    The verdict is wrong if other rows are kept, or in another order.
    """
    chain = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
    cases = [(chain, torch.tensor([0.7, 0.9, 0.8])), (chain, torch.tensor([0.9, 0.8, 0.7]))]
    draw = face.generator(3)
    for boxes, scores in face.cases(*cases, _crowd(draw, 12), drawn=lambda: _crowd(draw, face.integer(8, 20))):
        overlap = face.choice([0.05, 0.1, 0.2, 0.45, 0.6]) if face.hidden else 0.3
        got = call(answer, boxes.clone(), scores.clone(), overlap)
        kept = [int(row) for row in to_array(got)]
        right = _kept(boxes, scores, overlap)
        if kept == right:
            continue
        if kept == scores.argsort(descending=True).tolist():
            raise Wrong("Nothing is suppressed: leave out what overlaps with a better box that is kept.")
        if kept == _kept(boxes, -scores, overlap):
            raise Wrong("The worst score goes first: begin with the best.")
        if kept == _without_chain(boxes, scores, overlap):
            raise Wrong("A box that is suppressed suppresses another: compare with the boxes that were kept, only.")
        if sorted(kept) == sorted(right):
            raise Wrong("The right boxes are kept, but not the best first.")
        raise shown_wrong(f"The answer keeps the rows {kept}, but they must be {right}.")
    return "one box for one object"


def _crowd(draw: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
    corner = 20 * torch.rand(count, 2, generator=draw)
    return torch.cat((corner, corner + 8), 1), torch.rand(count, generator=draw)


def _without_chain(boxes: Tensor, scores: Tensor, overlap: float) -> list[int]:
    """Return what is kept where any better box suppresses, kept or not."""
    order = scores.argsort(descending=True)
    close = (iou(boxes[order][:, None], boxes[order][None]) > overlap).tril(-1).any(1)
    return order[~close].tolist()


@exercise(
    "exercise-vision-pair", points=1, right=lambda noise, picture, t: ((1 - t) * noise + t * picture, picture - noise)
)
def check_flow_pair(answer: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]], face: Draw) -> str:
    """Check ``answer(noise, x, t)``: the point of the straight path at t, and its velocity.

    The verdict is wrong if one of the two is wrong.
    """
    draw, rows = face.generator(4), face.size(3, 4)
    noise, x = torch.randn(2, rows, face.size(5), generator=draw)
    t = torch.rand(rows, 1, generator=draw) if face.hidden else torch.tensor([[0.0], [0.25], [1.0]])
    got = call(answer, noise.clone(), x.clone(), t.clone())
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise Wrong("The answer must return two tensors: the point and the velocity.")
    mistakes = [
        (t * noise + (1 - t) * x, "Time runs backwards: at t = 0 the point is the noise, at t = 1 the picture."),
        (noise + t * x, "The noise must fade as the picture comes: its weight is 1 - t."),
    ]
    expect_close(got[0], (1 - t) * noise + t * x, "The point", mistakes)
    mistakes = [
        (noise - x, "The velocity has the wrong sign: it must lead from the noise to the picture."),
        (x, "That is the picture: the velocity is the derivative of the point with respect to t."),
        ((1 - t) * (x - noise), "That is what is left of the way: the velocity does not depend on t."),
    ]
    expect_close(got[1], x - noise, "The velocity", mistakes)
    return "a straight path"


@exercise(
    "exercise-vision-midpoint", points=2, right=lambda velocity, x, steps: _midpoint(velocity, x, steps, 0.5, 0.5)
)
def check_midpoint(answer: Callable[[Callable[[Tensor, float], Tensor], Tensor, int], Tensor], face: Draw) -> str:
    """Check ``answer(velocity, x, steps)``: from t = 0 to 1 by the midpoint method.

    The verdict is wrong if the end is wrong.
    """
    start = torch.randn(face.size(3), generator=face.generator(5), dtype=torch.float64) + 2
    a = face.value(1.0, 0.2, 2)

    def velocity(x: Tensor, t: float) -> Tensor:
        return (a + t) * x + t**2

    for steps in face.cases(1, 4, drawn=lambda: face.integer(1, 6), count=2):
        got = call(answer, velocity, start.clone(), steps)
        expect_close(
            got,
            _midpoint(velocity, start, steps, 0.5, 0.5),
            f"The end after {steps} step{'s' * (steps > 1)}",
            mistakes=[
                (_midpoint(velocity, start, steps, 0.0, 0.0), "That is Euler's method: ask again in the middle."),
                (
                    _midpoint(velocity, start, steps, 0.5, 0.0),
                    "The second question must be asked at the middle's time.",
                ),
                (
                    _midpoint(velocity, start, steps, 0.0, 0.5),
                    "The second question must be asked at the middle's place.",
                ),
                (_midpoint(velocity, start, steps, 1.0, 1.0), "That looks a whole step ahead: go half a step."),
            ],
        )
    return "the midpoint method"


def _midpoint(velocity: Callable, x: Tensor, steps: int, place: float, time: float) -> Tensor:
    """Return the end of a path whose second question is asked so far ahead, in steps."""
    h = 1 / steps
    for step in range(steps):
        ahead = x + place * h * velocity(x, step * h)
        x = x + h * velocity(ahead, (step + time) * h)
    return x


def _zero_block(h: Tensor, c: Tensor, modulation: nn.Module, branch: nn.Module) -> Tensor:
    shift, scale, gate = modulation(silu(c)).chunk(3, 1)
    return h + gate * branch((1 + scale) * layer_norm(h, h.shape[1:], eps=1e-6) + shift)


@exercise("exercise-vision-zero", points=2, right=_zero_block)
def check_zero_block(answer: Callable[..., Tensor], face: Draw) -> str:
    """Check ``answer(h, c, modulation, branch)``: an adaLN-Zero block on h (N, d) with a condition c (N, d).

    The verdict is wrong if the output is wrong, or if a block whose modulation is 0 is not the identity.
    """
    draw = face.generator(6)
    n, d = face.size(4), face.size(6, 3, 9)
    h, c = 2 * torch.randn(2, n, d, generator=draw) + 0.5
    modulation, branch = nn.Linear(d, 3 * d), nn.Linear(d, d)
    for layer in (modulation, branch):
        layer.weight.data = torch.randn(layer.weight.shape, generator=draw) / 3
        layer.bias.data = torch.randn(layer.bias.shape, generator=draw) / 3
    with torch.no_grad():
        got = call(answer, h.clone(), c.clone(), modulation, branch)
        shift, scale, gate = modulation(silu(c)).chunk(3, 1)
        normed = layer_norm(h, (d,), eps=1e-6)
        update = branch((1 + scale) * normed + shift)
        raw = modulation(c).chunk(3, 1)
        mistakes = [
            (h + update, "The gate is missing: multiply the branch by g."),
            (gate * update, "The shortcut is missing."),
            (gate * (h + update), "The gate must multiply the branch alone: it must not close the shortcut."),
            (h + (1 + gate) * update, "The gate must be g, not 1 + g: a block must start as the identity."),
            (
                h + gate * branch(scale * normed + shift),
                "The gain must be 1 + a: with a = 0 the norm is the plain one.",
            ),
            (h + gate * branch((1 + scale) * h + shift), "The norm is missing."),
            (h + raw[2] * branch((1 + raw[1]) * normed + raw[0]), "The SiLU of the condition is missing."),
        ]
        expect_close(got, h + gate * update, "The output", mistakes, tolerance=1e-4)
    return "a block that starts as the identity"
