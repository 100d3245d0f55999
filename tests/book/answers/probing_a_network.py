"""Right and wrong answers to the exercises of "Probing a network"."""

from itertools import pairwise

import torch

from resnorm_lib.checks import probing_a_network as checks


def branch_shares(stream):
    return [((after - before).norm() / before.norm()).item() for before, after in pairwise(stream)]


def dead_share(activations):
    return (activations.flatten(0, -2) == 0).all(0).double().mean().item()


def twins(model, axes=2, first_only=True, tied=False, shapes=True):
    named = [(n, p) for n, p in model.named_parameters(remove_duplicate=not tied) if p.ndim >= axes]
    pairs, copies = [], set()
    for i, (first, p) in enumerate(named):
        if first_only and first in copies:
            continue
        for second, q in named[i + 1 :]:
            cut = q if shapes else q[: len(p)]
            other = p if shapes else p[: len(q)]
            if cut.shape == other.shape and torch.equal(cut, other):
                pairs.append((first, second))
                copies.add(second)
    return sorted(pairs)


EXERCISES = {
    checks.check_branch_shares: (
        branch_shares,
        {
            lambda s: [*branch_shares(s), 0.0]: "not 4",
            lambda s: [(b - a).norm() / b.norm() for a, b in pairwise(s)]: "not after it",
            lambda s: [b.norm() / a.norm() for a, b in pairwise(s)]: "growth of the stream",
            lambda s: [(b.norm() - a.norm()) / a.norm() for a, b in pairwise(s)]: "Subtract the tensors first",
            lambda s: [(b - a).norm() for a, b in pairwise(s)]: "branch alone",
        },
    ),
    checks.check_dead_share: (
        dead_share,
        {
            lambda a: (a == 0).double().mean(): "share of zeros",
            lambda a: (a == 0).any(-1).double().mean(): "Features are the last axis",
            lambda a: (a == 0).all(-1).double().mean(): "Features are the last axis",
            lambda a: (a == 0).all(0).double().mean(): "every token too",
            lambda a: 1 - dead_share(a): "share of the living",
            lambda a: a.shape[-1] * dead_share(a): "how many are dead",
        },
    ),
    checks.check_twins: (
        twins,
        {
            lambda m: twins(m, axes=1): "at least two axes",
            lambda m: twins(m, tied=True): "lists it once",
            lambda m: twins(m, first_only=False): "not with every one",
            lambda m: [(b, a) for a, b in twins(m)]: "the first name is the parameter that comes first",
            lambda m: twins(m, shapes=False): "different shapes",
            lambda m: []: "are copies of layer 0",
            lambda m: [pair for pair in twins(m) if pair[1] != "3.weight"]: "are copies of layer 0",
            lambda m: [
                ("0.weight", second) for second in ("1.weight", "2.weight", "3.weight")
            ]: "are copies of layer 0",
            lambda m: [name for pair in twins(m) for name in pair]: "cannot use",
            lambda m: twins(m)[::-1]: "are copies of layer 0",
        },
    ),
}
