"""Right and wrong answers to the exercises of "Vision"."""

import torch
from torch.nn.functional import layer_norm, silu

from resnorm_lib.checks import vision as checks
from resnorm_lib.experiments.vision.boxes import iou as overlap_of


def iou(a, b, clip=True, twice=False, over="union"):
    sides = [min(a[2 + k], b[2 + k]) - max(a[k], b[k]) for k in (0, 1)]
    if clip:
        sides = [max(0.0, side) for side in sides]
    common = sides[0] * sides[1]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    if over == "one":
        return common
    return common / {"union": sum(areas) - common * (not twice), "smaller": min(areas), "first": areas[0]}[over]


def suppress(boxes, scores, overlap, best_first=True, only_kept=True):
    kept, better = [], []
    for row in scores.argsort(descending=best_first).tolist():
        if all(overlap_of(boxes[row], boxes[other]) <= overlap for other in (kept if only_kept else better)):
            kept.append(row)
        better.append(row)
    return kept


def flow_pair(noise, x, t):
    return (1 - t) * noise + t * x, x - noise


def midpoint(velocity, x, steps, place=0.5, time=0.5):
    for step in range(steps):
        ahead = x + place / steps * velocity(x, step / steps)
        x = x + velocity(ahead, (step + time) / steps) / steps
    return x


def in_place(velocity, x, steps):
    x.copy_(midpoint(velocity, x, steps))
    return x


def zero_block(h, c, modulation, branch, activate=silu, one=1.0, norm=True):
    shift, scale, gate = modulation(activate(c)).chunk(3, 1)
    normed = layer_norm(h, h.shape[-1:], eps=1e-6) if norm else h
    return h + gate * branch((one + scale) * normed + shift)


def ungated(h, c, modulation, branch, shortcut=1.0):
    shift, scale, _ = modulation(silu(c)).chunk(3, 1)
    return shortcut * h + branch((1 + scale) * layer_norm(h, h.shape[-1:], eps=1e-6) + shift)


def gate_of(c, modulation):
    return modulation(silu(c)).chunk(3, 1)[2]


EXERCISES = {
    checks.check_iou: (
        iou,
        {
            lambda a, b: iou(a, b, clip=False): "clip both sides",
            lambda a, b: iou(a, b, twice=True): "counted twice",
            lambda a, b: iou(a, b, over="smaller"): "smaller box",
            lambda a, b: iou(a, b, over="first"): "first box",
            lambda a, b: iou(a, b, over="one"): "divide it by the union",
        },
    ),
    checks.check_suppress: (
        suppress,
        {
            lambda boxes, scores, overlap: scores.argsort(descending=True).tolist(): "Nothing is suppressed",
            lambda *given: suppress(*given, best_first=False): "worst score",
            lambda *given: suppress(*given, only_kept=False): "is suppressed suppresses",
            lambda *given: sorted(suppress(*given)): "not the best first",
            lambda boxes, scores, overlap: [0]: "keeps the rows",
        },
    ),
    checks.check_flow_pair: (
        flow_pair,
        {
            lambda noise, x, t: flow_pair(x, noise, t): "backwards",
            lambda noise, x, t: (noise + t * x, x): "must fade",
            lambda noise, x, t: (flow_pair(noise, x, t)[0], noise - x): "wrong sign",
            lambda noise, x, t: (flow_pair(noise, x, t)[0], x): "derivative",
            lambda noise, x, t: (flow_pair(noise, x, t)[0], (1 - t) * (x - noise)): "does not depend on t",
            lambda noise, x, t: flow_pair(noise, x, t)[0]: "two tensors",
        },
    ),
    checks.check_midpoint: (
        midpoint,
        {
            lambda *given: midpoint(*given, place=0.0, time=0.0): "Euler",
            lambda *given: midpoint(*given, time=0.0): "middle's time",
            lambda *given: midpoint(*given, place=0.0): "middle's place",
            lambda *given: midpoint(*given, place=1.0, time=1.0): "half a step",
            in_place: "in place",
        },
    ),
    checks.check_zero_block: (
        zero_block,
        {
            ungated: "gate is missing",
            lambda *given: zero_block(*given) - given[0]: "shortcut is missing",
            lambda h, c, m, f: gate_of(c, m) * ungated(h, c, m, f): "close the shortcut",
            lambda h, c, m, f: h + (1 + gate_of(c, m)) * ungated(h, c, m, f, shortcut=0.0): "must be g, not",
            lambda *given: zero_block(*given, one=0.0): "gain must be 1",
            lambda *given: zero_block(*given, norm=False): "norm is missing",
            lambda *given: zero_block(*given, activate=torch.clone): "SiLU",
        },
    ),
}
