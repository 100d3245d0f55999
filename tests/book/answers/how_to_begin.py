"""Right and wrong answers to the exercises of "How to begin"."""

import math

from resnorm_lib.checks import how_to_begin as checks


def branch_factor(growth, branches, v, place):
    each = growth ** (1 / branches) - 1 if place == "no norm" else (growth - 1) / branches
    return math.sqrt(each / v)


def other_place(growth, branches, v, place):
    return branch_factor(growth, branches, v, "pre-norm" if place == "no norm" else "no norm")


def gpt2_std(name, layers, sigma):
    return sigma / math.sqrt(2 * layers) if name.endswith("c_proj.weight") else sigma


def rate_factor(times, a, optimizer):
    return times ** ((2 if optimizer == "sgd" else 1) * a - 1)


def measured_factors(branches, x, growth, cross=True, follow=True, root=True, sign=1):
    factors, h, each = [], x, growth ** (1 / len(branches)) if root else growth
    for branch in branches:
        f = branch(h)
        v, q = f.square().mean(), h.square().mean()
        c = (h * f).mean() if cross else 0 * v
        factors.append(((sign * (c.square() + v * (each - 1) * q).sqrt() - c) / v).item())
        h = h + factors[-1] * f if follow else h
    return factors


def own_constants(layers, x, growth, place, optimizer, tuned, normed=True, wrong=None):
    branches = [branch for layer in layers for branch in layer]
    reads = x / x.square().mean().sqrt() if normed else x
    if place == "pre-norm" and normed:
        reads = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
    added = [branch(reads).square().mean().item() for branch in branches]
    count, v = len(branches), sum(added) / len(branches)

    def step(branches, optimizer=optimizer):
        return branches * branch_factor(growth, branches, v, place) ** (2 if optimizer == "sgd" else 1)

    s, rate = branch_factor(growth, count, v, place), tuned[1] * step(tuned[0]) / step(count)
    other = {"sgd": "adam", "adam": "sgd"}[optimizer]
    slips = {
        "layers": (len(layers), v, s, rate),
        "first": (count, added[0], s, rate),
        "sum": (count, v * count, s, rate),
        "layer": (count, v * count / len(layers), s, rate),
        "root": (count, v**0.5, s, rate),
        "square": (count, v, s**2, rate),
        "added": (count, v, other_place(growth, count, v, place), rate),
        "without v": (count, v, branch_factor(growth, count, 1.0, place), rate),
        "depth alone": (count, v, count**-0.5, rate),
        "optimizer": (count, v, s, tuned[1] * step(tuned[0], other) / step(count, other)),
        "upside down": (count, v, s, tuned[1] * step(count) / step(tuned[0])),
        "tuned": (count, v, s, tuned[1]),
        "count alone": (count, v, s, tuned[1] * tuned[0] / count),
        "three": (count, v, s),
    }
    return slips.get(wrong, (count, v, s, rate))


def slip(wrong):
    return lambda *arguments: own_constants(*arguments, wrong=wrong)


def one_reading(layers, x, growth, place, optimizer, tuned):
    right = own_constants(layers, x, growth, place, optimizer, tuned)
    return right[0], own_constants(layers, x, growth, "no norm", optimizer, tuned)[1], *right[2:]


EXERCISES = {
    checks.check_branch_factor: (
        branch_factor,
        {
            lambda g, n, v, place: branch_factor(g, n, v, place) ** 2: "square of the factor",
            other_place: "growths multiply",
            lambda g, n, v, place: (math.log(g) / n / v) ** 0.5: "ln g is an approximation",
            lambda g, n, v, place: branch_factor(g, n, 1.0, place): "Divide by v, what the branch",
            lambda g, n, v, place: branch_factor(g, n, 1.0, place) * v**0.5: "under the root",
            lambda g, n, v, place: branch_factor(g**2, n, v, place): "already that of the mean square",
            lambda g, n, v, place: (
                branch_factor(g, n, v, place) if place == "no norm" else (g / n / v) ** 0.5
            ): "add growth - 1",
        },
    ),
    checks.check_gpt2_std: (
        gpt2_std,
        {
            lambda name, layers, sigma: sigma: "must be scaled",
            lambda name, layers, sigma: gpt2_std("c_proj.weight", layers, sigma): "does not write",
            lambda name, layers, sigma: gpt2_std(name, layers / 2, sigma): "adds to the stream twice",
            lambda name, layers, sigma: sigma / (2 * layers): "take the root",
        },
    ),
    checks.check_rate_factor: (
        rate_factor,
        {
            lambda times, a, optimizer: 1 / rate_factor(times, a, optimizer): "must undo it",
            lambda times, a, optimizer: times ** (a - 1): "proportional to the gradient",
            lambda times, a, optimizer: times * rate_factor(times, a, optimizer): "more branches, too",
            lambda times, a, optimizer: times**0.5 * rate_factor(times, a, optimizer): "not like its root",
        },
    ),
    checks.check_own_constants: (
        own_constants,
        {
            slip("layers"): "branches, not layers",
            lambda *arguments: own_constants(*arguments, normed=False): "mean square 1, not x",
            one_reading: "read another x",
            slip("first"): "v of the first branch",
            slip("sum"): "not their sum",
            slip("layer"): "one branch adds, not a layer",
            slip("root"): "not its root",
            slip("square"): "square of the factor",
            slip("added"): "Growths multiply",
            slip("without v"): "Divide by v",
            slip("depth alone"): "neither v nor the growth",
            slip("optimizer"): "the factor twice",
            slip("upside down"): "must undo it",
            slip("tuned"): "tuned at another depth",
            slip("count alone"): "another one at another depth",
            slip("three"): "must return 4 values",
        },
    ),
    checks.check_measured_factors: (
        measured_factors,
        {
            lambda branches, x, growth: measured_factors(branches, x, growth, cross=False): "three terms",
            lambda branches, x, growth: measured_factors(branches, x, growth, follow=False): "not x",
            lambda branches, x, growth: measured_factors(branches, x, growth, root=False): "L-th root",
            lambda branches, x, growth: measured_factors(branches, x, growth, sign=-1): "negative",
            lambda branches, x, growth: measured_factors(branches, x, growth)[:1]: "One factor for each",
        },
    ),
}
