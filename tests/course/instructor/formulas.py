"""Answers and cases to "Formulas, in code"."""

import math

import torch

from resnorm_lib.course.bank import Held


def clipped(gradients, most):
    length = gradients.norm(dim=1, keepdim=True)
    return gradients * (most / length).clamp(max=1)


def clipped_by_rows(gradients, most):
    lengths = gradients.square().sum(1).sqrt()
    return torch.stack([row * most / n if n > most else row.clone() for row, n in zip(gradients, lengths)])


def clip_case(face):
    """Draw rows half of which are too long."""
    gradients = 2 * face.normal(2 * face.integer(2, 6), face.integer(3, 8))
    return gradients, float(f"{gradients.norm(dim=1).quantile(0.5):.4g}")


def one_more(count, mean, squares, x):
    new = mean + (x - mean) / (count + 1)
    return count + 1, new, squares + (x - mean) * (x - new)


def one_more_by_share(count, mean, squares, x):
    away = x - mean
    return count + 1, (count * mean + x) / (count + 1), squares + away * away * count / (count + 1)


def backward(dy, x, weight):
    rho = x.square().mean(-1, keepdim=True).sqrt()
    normed, scaled = x / rho, dy * weight
    along = (scaled * normed).mean(-1, keepdim=True)
    return (scaled - normed * along) / rho, (dy * normed).sum(0)


def backward_by_autograd(dy, x, weight):
    with torch.enable_grad():
        x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
        return torch.autograd.grad(weight * x / x.square().mean(-1, keepdim=True).sqrt(), (x, weight), dy)


def backward_with(gain="dx", along="mean", centred=False, root=1, summed=True):
    """Return a wrong answer."""

    def answer(dy, x, weight):
        rho = x.square().mean(-1, keepdim=True).sqrt()
        normed, scaled = x / rho, dy * weight if gain in ("dx", "both") else dy
        part = scaled * normed
        taken = {"none": 0, "mean": part.mean(-1, keepdim=True), "sum": part.sum(-1, keepdim=True)}[along]
        dx = (scaled - normed * taken) / rho**root
        dweight = (dy * weight if gain == "both" else dy) * normed
        return dx - dx.mean(-1, keepdim=True) if centred else dx, dweight.sum(0) if summed else dweight.mean(0)

    return answer


def shares(depth, a):
    return [math.comb(depth, k) * a**k / (1 + a) ** depth for k in range(depth + 1)]


def shares_by_blocks(depth, a):
    found = torch.ones(1, dtype=torch.float64)
    for _ in range(depth):
        longer = torch.zeros(len(found) + 1, dtype=torch.float64)
        longer[:-1] += found / (1 + a)
        longer[1:] += found * a / (1 + a)
        found = longer
    return found


def means(shape, groups):
    n, c, _, _ = shape
    return c, n, n * c, n * groups


def means_by_tensor(shape, groups):
    x = torch.zeros(shape)
    grouped = x.reshape(shape[0], groups, -1)
    return x.mean((0, 2, 3)).numel(), x.mean((1, 2, 3)).numel(), x.mean((2, 3)).numel(), grouped.mean(-1).numel()


def counts_case(face):
    n, groups, each, height, width = (face.integer(*limits) for limits in ((2, 9), (2, 4), (2, 5), (3, 9), (10, 15)))
    return (n + 10, groups * each, height, width), groups


def folded(kernel, mean, variance, gain, shift, eps):
    scale = gain / (variance + eps).sqrt()
    return scale[:, None, None, None] * kernel, shift - scale * mean


def folded_by_rows(kernel, mean, variance, gain, shift, eps):
    scale = gain * (variance + eps).rsqrt()
    return torch.stack([s * each for s, each in zip(scale, kernel)]), shift - mean * scale


def backward_case(face):
    shape = face.integer(2, 6), face.integer(3, 8)
    return face.normal(*shape), 2 * face.normal(*shape) + 1, face.normal(shape[1])


def fold_case(face):
    size = face.integer(2, 4)
    mean, gain, shift = face.normal(3, size)
    kernel = face.normal(size, size, size, size)
    return kernel, mean, face.normal(size).square() + 0.2, gain, shift, face.number(0.1, 0.5)


def peak(depth, every):
    starts = range(0, depth, every)
    return max(earlier + min(every, depth - start) for earlier, start in enumerate(starts))


def peak_in_one_line(depth, every):
    return depth // every + every - 1


def peak_case(face):
    every = face.integer(3, 7)
    return every * face.integer(8, 12) + face.integer(2, every - 1), every


def safe(value):
    return math.floor(65504 / value**2)


def safe_by_counting(value):
    count = 0
    while (count + 1) * value * value <= 65504:
        count += 1
    return count


def likeness(x):
    unit = x / x.norm(dim=1, keepdim=True)
    n = len(x)
    return ((unit @ unit.T).sum() - n) / (n * (n - 1))


def likeness_by_pairs(x):
    pairs = torch.combinations(torch.arange(len(x)))
    return torch.cosine_similarity(x[pairs[:, 0]], x[pairs[:, 1]]).mean()


def slopes(w):
    return w.prod(), (1 + w).prod()


def slopes_by_hand(w):
    return math.prod(w.tolist()), math.prod((w + 1).tolist())


BANK = [
    Held("bank-clip", 2, "The result", (clipped, clipped_by_rows), {
        lambda g, most: g.clamp(-most, most): "Each entry is clipped, which turns a row: its length is what must be.",
        lambda g, most: g * most / g.norm(dim=1, keepdim=True): "Short rows are made longer; they stay as they are.",
        lambda g, most: g * min(1.0, float(most / g.norm())): "All rows are clipped by one factor; each has its own length.",
        lambda g, most: g * (most / g.square().sum(1, keepdim=True)).clamp(max=1): "The root of the sum of squares is missing.",
        lambda g, most: g * (g.norm(dim=1, keepdim=True) <= most): "Long rows are dropped; they keep their direction.",
        lambda g, most: g * (most / g.norm(dim=0)).clamp(max=1): "Columns are clipped in the place of rows.",
        lambda g, most: g * (most / g.abs().sum(1, keepdim=True)).clamp(max=1): "That length sums absolute values; squares are meant, and their root.",
    }, clip_case),
    Held("bank-welford", 2, ("count", "mean", "squares"), (one_more, one_more_by_share), {
        lambda n, m, s, x: (n + 1, one_more(n, m, s, x)[1], s + (x - m) ** 2): "The old mean is used twice: the product takes the distance from both means.",
        lambda n, m, s, x: (n + 1, one_more(n, m, s, x)[1], s + (x - one_more(n, m, s, x)[1]) ** 2): "The new mean is used twice: the product takes the distance from both means.",
        lambda n, m, s, x: (n + 1, m + (x - m) / n, s + (x - m) * (x - m - (x - m) / n)): "The distance is divided by the old count.",
        lambda n, m, s, x: (n, *one_more(n, m, s, x)[1:]): "The count has not moved.",
        lambda n, m, s, x: (n + 1, (m + x) / 2, s + (x - m) * (x - (m + x) / 2)): "The new entry counts as much as all before.",
        lambda n, m, s, x: (*one_more(n, m, s, x)[:2], one_more(n, m, s, x)[2] / (n + 1)): "That is the variance; the sum of squares is kept.",
    }, lambda face: (face.integer(2, 20), face.number(-5, 5), face.number(1, 30), face.number(6, 9))),
    Held("bank-rms-backward", 3, ("dx", "dweight"), (backward, backward_by_autograd), {
        backward_with(gain="none"): "dx lacks the weight.",
        backward_with(gain="both"): "dweight has the weight in it.",
        backward_with(along="none"): "The root depends on x, too: the part along x must go.",
        backward_with(along="sum"): "The part along x is a mean over the features, not a sum.",
        backward_with(centred=True): "That belongs to LayerNorm: RMSNorm takes off no mean.",
        backward_with(root=2): "dx is divided by the mean square; its root is right.",
        backward_with(summed=False): "dweight sums over the tokens.",
    }, backward_case),
    Held("bank-paths", 2, "The list", (shares, shares_by_blocks), {
        lambda n, a: [math.comb(n, k) * a**k for k in range(n + 1)]: "Those are not shares: they do not sum to 1.",
        lambda n, a: [math.comb(n, k) / 2**n for k in range(n + 1)]: "That is the number of paths: each has a weight, too.",
        lambda n, a: [a**k * (1 - a) / (1 - a ** (n + 1)) for k in range(n + 1)]: "There are many paths of a length: their number is missing.",
        lambda n, a: shares(n, a)[::-1]: "The lengths come in the opposite order.",
        lambda n, a: shares(n, a)[1:]: "The path through no branch is missing.",
        lambda n, a: shares(n, a)[:-1]: "The path through all branches is missing.",
    }, lambda face: (face.integer(3, 12), face.number(0.1, 0.7))),
    Held("bank-counts", 1, ("BN", "LN", "IN", "GN"), (means, means_by_tensor), {
        lambda s, g: (s[0], s[1], s[0] * s[1], s[0] * g): "BatchNorm and LayerNorm are exchanged.",
        lambda s, g: (s[1], s[0], s[0] * s[1], g): "GroupNorm has its groups in each sample.",
        lambda s, g: (s[1], s[0], s[1], s[0] * g): "InstanceNorm has a mean for each sample and channel.",
        lambda s, g: (s[1], s[0] * s[2] * s[3], s[0] * s[1], s[0] * g): "LayerNorm over the whole image has one mean for each sample.",
        lambda s, g: (s[0] * s[2] * s[3], s[1] * s[2] * s[3], s[2] * s[3], s[2] * s[3] * s[1] // g): "Those are the entries of a mean, not the means.",
        lambda s, g: (s[1], s[0], s[0] * s[1], s[0] * s[1] // g): "The argument is the number of groups, not the channels of one.",
    }, counts_case),
    Held("bank-conv-fold", 2, ("kernel", "bias"), (folded, folded_by_rows), {
        lambda k, m, v, g, s, e: (folded(k.transpose(0, 1), m, v, g, s, e)[0].transpose(0, 1), folded(k, m, v, g, s, e)[1]): "The scale met the inputs of the kernel; it belongs to the outputs.",
        lambda k, m, v, g, s, e: (folded(k, m, v, g, s, e)[0], s): "The running mean is lost in the bias.",
        lambda k, m, v, g, s, e: (folded(k, m, v, g, s, e)[0], s - m): "The mean is scaled, too, before it is taken off.",
        lambda k, m, v, g, s, e: folded(k, m, v, g, s, 0.0): "eps is lost.",
        lambda k, m, v, g, s, e: folded(k, m, (v + e) ** 2 - e, g, s, e): "The norm divides by the root of the variance.",
        lambda k, m, v, g, s, e: (folded(k, m, v, g, s, e)[0], s + m * g / (v + e).sqrt()): "The running mean is taken off, not added.",
        lambda k, m, v, g, s, e: folded(k, m, v, torch.ones_like(g), s, e): "The gain is lost.",
    }, fold_case),
    Held("bank-peak", 1, "The number", (peak, peak_in_one_line), {
        lambda n, every: n: "That is the number without checkpoints.",
        lambda n, every: math.ceil(n / every): "Those are the checkpoints alone; the inputs of a segment come beside them.",
        lambda n, every: every: "Those are the inputs of one segment; the checkpoints before it are there, too.",
        lambda n, every: n - math.ceil(n / every): "Those are the inputs that the forward pass does not keep.",
        lambda n, every: math.ceil(n / every) + every - 1: "When the first full segment is computed anew, the checkpoint of the shorter one is gone.",
        lambda n, every: math.ceil(n / every) - 1 + n % every: "That is the last segment, which is the shortest; look at those before it, too.",
    }, peak_case, None, 0),
    Held("bank-overflow", 1, "The number", (safe, safe_by_counting), {
        lambda x: 65504 / x**2: "A number of features is whole.",
        lambda x: math.ceil(65504 / x**2): "One too many: the last one does not fit.",
        lambda x: math.floor(65504 / x): "The squares are summed.",
        lambda x: math.floor(math.sqrt(65504) / x): "The sum of the squares must fit, and there is no root yet.",
        lambda x: math.floor(65504 / x**2) - 1: "One too few: there is room for one more.",
        lambda x: math.floor(32752 / x**2): "Half of the range is left.",
    }, lambda face: (face.number(10, 40),), None, 0),
    Held("bank-cosine", 2, "The mean cosine", (likeness, likeness_by_pairs), {
        lambda x: torch.cosine_similarity(x[:, None], x[None], -1).mean(): "Each token is compared with itself, too.",
        lambda x: (x @ x.T).fill_diagonal_(0).sum() / len(x) / (len(x) - 1): "The lengths of the tokens are in it: that is the mean product.",
        lambda x: likeness(x - x.mean(0)): "No mean is taken off.",
        lambda x: likeness(x.T): "Features are compared in the place of tokens.",
        lambda x: torch.cosine_similarity(x[1:], x[:-1]).mean(): "Only neighbours are compared; all pairs are wanted.",
        lambda x: torch.cosine_similarity(x[:, None], x[None], -1).abs().fill_diagonal_(0).sum() / len(x) / (len(x) - 1): "The sign of a cosine counts.",
    }, lambda face: (face.normal(face.integer(4, 8), face.integer(3, 7)) + 0.5,)),
    Held("bank-slopes", 1, ("plain", "residual"), (slopes, slopes_by_hand), {
        lambda w: (w.sum(), (1 + w).sum()): "Slopes one after the other are multiplied.",
        lambda w: (w.prod(), 1 + w.prod()): "Each block has its own shortcut, not the whole stack.",
        lambda w: (w.prod(), 1 + w.sum()): "Paths through two branches and more are missing.",
        lambda w: ((1 + w).prod(), w.prod()): "The two results are exchanged.",
        lambda w: (w.prod(), w.exp().prod()): "exp(w) is near 1 + w, and not equal.",
        lambda w: (w[:-1].prod(), (1 + w[:-1]).prod()): "The last block is missing.",
    }, lambda face: (0.3 + 0.8 * face.normal(face.integer(4, 7)),)),
]  # fmt: skip
