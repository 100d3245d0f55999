"""Answers, cases and mark schemes to "A claim against a measurement"."""

import itertools
import math

import numpy as np
import torch

from resnorm_lib.checks.judge.answers import call
from resnorm_lib.course.bank import Held


def difference(valid_a, test_a, valid_b, test_b):
    best_a, best_b = valid_a.mean(1).argmin(), valid_b.mean(1).argmin()
    return test_a[best_a].mean() - test_b[best_b].mean()


def difference_by_sorting(valid_a, test_a, valid_b, test_b):
    arms = ((valid_a, test_a), (valid_b, test_b))
    a, b = (min(zip(valid.sum(1).tolist(), test.mean(1).tolist()))[1] for valid, test in arms)
    return a - b


def one_rate(valid_a, test_a, valid_b, test_b):
    best = valid_a.mean(1).argmin()
    return test_a[best].mean() - test_b[best].mean()


def chosen_by_best_seed(valid_a, test_a, valid_b, test_b):
    best_a, best_b = valid_a.min(1).values.argmin(), valid_b.min(1).values.argmin()
    return test_a[best_a].mean() - test_b[best_b].mean()


def rate_of_each_seed(valid_a, test_a, valid_b, test_b):
    each = (test.gather(0, valid.argmin(0)[None]).mean() for valid, test in ((valid_a, test_a), (valid_b, test_b)))
    return next(each) - next(each)


def rates_case(face):
    """Draw until the difference is none of rounding, and other choices of a rate give another."""
    while True:
        rates, seeds = face.integer(6, 10), face.integer(3, 7)
        noise = torch.linspace(0.2, 2.0, rates, dtype=torch.float64)[torch.from_numpy(face.numpy(7).permutation(rates))]
        drawn = [2 + noise[:, None] * face.normal(rates, seeds) + 0.5 * face.normal(rates, 1) for _ in range(4)]
        va, ta, vb, tb = drawn
        found = [0.0, *(float(difference(a, ta, b, tb)) for a, b in ((va, vb), (ta, tb), (-va, -vb)))]
        if min(abs(one - other) for one, other in itertools.combinations(found, 2)) > 0.2:
            return tuple(drawn)


def p_value(with_it, without):
    n, wins = len(with_it), int((with_it < without).sum())
    extreme = max(wins, n - wins)
    tail = sum(math.comb(n, k) for k in range(extreme, n + 1)) / 2**n
    return min(1.0, 2 * tail)


def p_value_by_counting(with_it, without):
    n = len(with_it)
    off = abs(2 * int((with_it < without).sum()) - n)
    return sum(math.comb(n, k) for k in range(n + 1) if abs(2 * k - n) >= off) / 2**n


def tails(sides=2, more=0, single=False):
    """Return a wrong answer."""

    def answer(with_it, without):
        n, wins = len(with_it), int((with_it < without).sum())
        extreme = max(wins, n - wins)
        chosen = [extreme] if single else range(extreme + more, n + 1)
        return sides * sum(math.comb(n, k) for k in chosen) / 2**n

    return answer


def sign_case(face):
    n = face.integer(8, 12)
    shift = face.choice([-1, 1]) * (0.3 + torch.from_numpy(face.numpy(n).random(n)))
    flipped = face.integer(2, (n - 1) // 2)
    shift[:flipped] *= -1
    base = face.normal(n)
    return base + shift, base


def misfits(variances):
    y = np.log(np.asarray(variances, dtype=float))
    block = np.arange(1, len(y) + 1)
    laws = [np.vstack([np.ones(len(y)), x]).T for x in (block, np.log(block))]
    found = [y - law @ np.linalg.lstsq(law, y, rcond=None)[0] for law in laws]
    return tuple(float(np.sqrt(np.mean(each**2))) for each in found)


def misfits_by_correlation(variances):
    y = torch.as_tensor(variances).double().log()
    block = torch.arange(1, len(y) + 1).double()
    pairs = [torch.stack([x, y]) for x in (block, block.log())]
    return [(y.var(correction=0) * (1 - torch.corrcoef(each)[0, 1] ** 2)).sqrt() for each in pairs]


def misfits_with(first=1, log=True, through_zero=False, squared=False, mean=True):
    """Return a wrong answer."""

    def answer(variances):
        y = np.asarray(variances, dtype=float)
        y = np.log(y) if log else y
        block = np.arange(first, len(y) + first)
        results = []
        for x in (block, np.log(block)):
            law = x[:, None] if through_zero else np.vstack([np.ones(len(y)), x]).T
            left = y - law @ np.linalg.lstsq(law, y, rcond=None)[0]
            size = np.mean(left**2) if mean else np.sum(left**2) / (len(y) - 2)
            results.append(float(size if squared else np.sqrt(size)))
        return tuple(results)

    return answer


def law_case(face):
    block = torch.arange(1, face.integer(7, 10)).double()
    return (
        (face.number(0.1, 0.5) * block + face.number(0.2, 1.0) * block.log() + 0.1 * face.normal(len(block))).exp(),
    )


def exponent(depths, gradients):
    x, y = depths.log(), gradients.log()
    x = x - x.mean()
    return (x * y).sum() / x.square().sum()


def exponent_by_numpy(depths, gradients):
    return np.polyfit(np.log(depths.numpy()), np.log(gradients.numpy()), 1)[0]


def ends_alone(depths, gradients):
    return (gradients[-1] / gradients[0]).log() / (depths[-1] / depths[0]).log()


def exponent_case(face):
    steps = torch.tensor([face.number(1.3, 3.0) for _ in range(face.integer(4, 9))], dtype=torch.float64)
    depths = face.integer(2, 6) * torch.cumprod(steps, 0)
    noise = 0.1 * face.normal(len(depths))
    return depths, face.number(1, 9) * depths ** face.number(-0.9, -0.2) * noise.exp()


def largest(sizes, bn, gn):
    better = [size for size, old, new in zip(sizes, bn, gn) if new.max() < old.min()]
    return max(better, default=0)


def largest_by_sorting(sizes, bn, gn):
    for place in sorted(range(len(sizes)), key=lambda place: -sizes[place]):
        if (gn[place][:, None] < bn[place]).all():
            return sizes[place]
    return 0


def largest_by_table(sizes, bn, gn):
    won = gn.amax(1) < bn.amin(1)
    return (torch.tensor(sizes) * won).max()


def largest_by_numpy(sizes, bn, gn):
    won = np.max(gn.numpy(), axis=1) < np.min(bn.numpy(), axis=1)
    return float(np.max(np.array(sizes)[won], initial=0))


def crossing(pick=max, compare=lambda old, new: new.max() < old.min(), nowhere=0):
    """Return a wrong answer."""

    def answer(sizes, bn, gn):
        return pick((size for size, old, new in zip(sizes, bn, gn) if compare(old, new)), default=nowhere)

    return answer


def largest_or_error(sizes, bn, gn):
    return max(size for size, old, new in zip(sizes, bn, gn) if new.max() < old.min())


def first_found(sizes, bn, gn):
    return next((size for size, old, new in zip(sizes, bn, gn) if new.max() < old.min()), 0)


def ask_tables(answer, sizes, bn, gn, far):
    """Ask for a table where GN wins somewhere, and for one where it wins nowhere."""
    return {
        "The largest size": call(answer, list(sizes), bn, gn),
        "The largest size of a table where GN is nowhere better": call(answer, list(sizes), bn, far),
    }


def crossing_case(face):
    seeds, level = face.integer(3, 6), face.number(10, 60)
    spread = torch.linspace(-1, 1, seeds, dtype=torch.float64)
    # from the smallest size on: some won beyond doubt, one seed by seed, one by the means, one by a lucky seed, one lost
    won = [6.0, 5.0, 4.0, 3.0][-face.integer(3, 4) :]
    gaps = torch.tensor([*won, 1.2, 1.2, -2.0, *[-6.0] * face.integer(1, 5)], dtype=torch.float64)
    count, last = len(gaps), len(won) - 1
    gn = level + 0.1 * face.normal(count, 1) + spread
    bn = gn.flip(1) + (gaps + 0.1 * face.normal(count))[:, None]
    bn[last + 1] = gn[last + 1] + gaps[last + 1]
    bn[last + 3, 0] += 3
    order = sorted(range(count), key=lambda _: face.number(0, 1))
    first = [place for place in order if place <= last]
    if first[0] in (0, last):  # of those that are won the first to be found is neither the smallest nor the largest
        here, there = order.index(first[0]), order.index(1)
        order[here], order[there] = order[there], order[here]
    smallest = face.integer(1, 3)
    sizes = [2 ** (smallest + place) for place in order]
    return sizes, bn[order], gn[order], 16 + gn[order]


def flattery(errors, k):
    ordered, n = errors.sort().values, len(errors)
    weights = torch.tensor([math.comb(n - 1 - i, k - 1) for i in range(n)], dtype=errors.dtype) / math.comb(n, k)
    best = (weights * ordered).sum()
    return best, errors.mean() - best


def flattery_by_listing(errors, k):
    smallest = [min(chosen) for chosen in itertools.combinations(errors.tolist(), k)]
    best = sum(smallest) / len(smallest)
    return best, sum(errors.tolist()) / len(errors) - best


def flattery_with(estimate):
    """Return a wrong answer."""

    def answer(errors, k):
        best = estimate(errors.sort().values, k)
        return best, errors.mean() - best

    return answer


def with_replacement(ordered, k):
    n = len(ordered)
    left = (torch.arange(n, 0, -1).double() / n) ** k
    return (ordered * (left - torch.cat([left[1:], torch.zeros(1).double()]))).sum()


def scattered(errors, other):
    """Return distances in deviations and in errors of the mean."""
    above = other - errors.mean()
    return above / errors.std(), above / errors.std() * math.sqrt(len(errors))


def above(errors, other):
    distance = other - errors.mean()
    deviation = errors.std()
    return distance / deviation, distance / (deviation / math.sqrt(len(errors)))


def gain(share, saved):
    return share * saved, 1 / (1 - share * saved)


def gain_by_times(share, saved):
    new = (1 - share) + share * (1 - saved)
    return 1 - new, 1 / new


def diverged(losses):
    last = losses[:, -1]
    return (~(last <= losses[:, 0])).double().mean()


def diverged_by_counting(losses):
    bad = [not math.isfinite(row[-1]) or row[-1] > row[0] for row in losses.tolist()]
    return sum(bad) / len(bad)


def diverged_case(face):
    seeds, steps = face.integer(13, 14), face.integer(5, 8)
    losses = 1 + torch.from_numpy(face.numpy(5).random((seeds, steps)))
    losses[:, 0], losses[:, -1] = 2.5, 1.0
    losses[:4, -1] = torch.tensor([math.nan, math.inf, 9.0, 8.0])  # diverged
    losses[4, 1], losses[5, 1], losses[6, 1] = 50.0, math.inf, math.nan  # came back
    losses[7, 2] = math.nan  # recorded once by accident
    losses[8:, -1] = 2.4  # learns little
    return (losses[torch.from_numpy(face.numpy(6).permutation(seeds))],)


def powers(distances):
    logs = distances.log()
    return (logs[1:] / logs[:-1]).mean(), (distances[-1] / distances[0]) ** (1 / (len(distances) - 1))


def powers_by_loops(distances):
    logs = [math.log(each) for each in distances]
    pairs = list(itertools.pairwise(logs))
    exponents = sum(new / old for old, new in pairs) / len(pairs)
    return exponents, math.exp(sum(new - old for old, new in pairs) / len(pairs))


def collapse_case(face):
    distances = [face.number(0.6, 0.9)]
    for _ in range(face.integer(3, 5)):
        distances.append(distances[-1] ** face.number(1.1, 1.8))
    return (torch.tensor(distances, dtype=torch.float64),)


BANK = [
    Held("bank-claim-rates", 2, "The difference", (difference, difference_by_sorting), {
        one_rate: "Both arms are at the best rate of the first.",
        lambda va, ta, vb, tb: difference(ta, ta, tb, tb): "The rate is chosen on test data.",
        chosen_by_best_seed: "The rate is chosen by its luckiest seed; the mean over seeds decides.",
        rate_of_each_seed: "Each seed has a rate of its own: one rate for each arm.",
        lambda va, ta, vb, tb: difference(va, va, vb, vb): "The losses on validation data are compared.",
        lambda va, ta, vb, tb: ta.mean() - tb.mean(): "All rates are averaged; the best is wanted.",
        lambda va, ta, vb, tb: difference(-va, ta, -vb, tb): "The rate with the largest loss is chosen.",
    }, rates_case),
    Held("bank-claim-sign", 2, "The p-value", (p_value, p_value_by_counting), {
        tails(sides=1): "That is one side; a coin can be one-sided in two ways.",
        tails(more=1): "At least as one-sided: the measured count itself belongs to it.",
        tails(single=True): "That is the probability of exactly this count; more one-sided ones belong to it.",
        lambda a, b: 1 - p_value(a, b): "That is 1 minus the p-value.",
        lambda a, b: float((a < b).double().mean()): "That is the share of seeds that win.",
        lambda a, b: 2 / 2 ** len(a): "That is the p-value of seeds that all agree.",
    }, sign_case),
    Held("bank-claim-law", 3, ("exponential law", "power law"), (misfits, misfits_by_correlation), {
        misfits_with(first=2): "The first variance is that behind block 1.",
        misfits_with(log=False): "The laws are fitted to the variance; its logarithm is wanted.",
        misfits_with(through_zero=True): "The law has no constant: a is missing.",
        misfits_with(squared=True): "A root is missing: the root mean square is wanted.",
        misfits_with(mean=False): "Divide by the number of blocks, not by two fewer.",
        lambda v: misfits(v)[::-1]: "The two results are exchanged.",
    }, law_case),
    Held("bank-claim-exponent", 2, "The exponent", (exponent, exponent_by_numpy), {
        ends_alone: "Only the first and the last depth are used.",
        lambda d, g: exponent(d.exp(), g): "The depth is fitted without a logarithm.",
        lambda d, g: exponent(d, g.exp()): "The gradient is fitted without a logarithm.",
        lambda d, g: exponent(g, d): "Depth and gradient are exchanged.",
        lambda d, g: (d.log() * g.log()).sum() / d.log().square().sum(): "The law has no constant: the means must be taken off.",
        lambda d, g: exponent(d.log().exp() ** 2, g): "Half of it: a square has come in.",
    }, exponent_case),
    Held("bank-claim-crossing", 2, "The size", (largest, largest_by_sorting, largest_by_table, largest_by_numpy), {
        crossing(compare=lambda old, new: new.mean() < old.mean()): "A mean is compared; beyond doubt is: the worst seed of one, the best of the other.",
        crossing(compare=lambda old, new: new.mean() < old.min()): "A mean is compared; beyond doubt is: the worst seed of one, the best of the other.",
        crossing(compare=lambda old, new: (new < old).all()): "Seeds are compared one by one; beyond doubt is: the worst of one, the best of the other.",
        crossing(compare=lambda old, new: new.min() < old.max()): "That is where a lucky seed wins.",
        crossing(min): "The largest such size is wanted, not the smallest.",
        crossing(nowhere=-1): "Where GN is nowhere better beyond doubt the answer is 0.",
        lambda sizes, bn, gn: crossing(nowhere=min(sizes))(sizes, bn, gn): "Where GN is nowhere better beyond doubt the answer is 0, not a size.",
        largest_or_error: "The answer raises ValueError",
        crossing(nowhere=None): "The answer returns nothing: does it end with return?",
        first_found: "The sizes come in any order: the first that is found need not be the largest.",
        crossing(compare=lambda old, new: old.max() < new.min()): "That is where BN is better.",
        lambda sizes, bn, gn: sum(new.max() < old.min() for old, new in zip(bn, gn)): "That is how many sizes there are, not the largest.",
    }, crossing_case, ask_tables),
    Held("bank-claim-best-of", 3, ("expected best", "flattery"), (flattery, flattery_by_listing), {
        flattery_with(lambda ordered, k: ordered[0]): "That is the best of all runs, not of k.",
        flattery_with(with_replacement): "Different runs are chosen; here one may be chosen twice.",
        flattery_with(lambda ordered, k: ordered[:k].mean()): "That is the mean of the k best.",
        lambda e, k: tuple(-each for each in flattery(-e, k)): "The largest error is taken in the place of the smallest.",
        lambda e, k: (flattery(e, k)[0], -flattery(e, k)[1]): "The flattery has the wrong sign: the mean is larger.",
        lambda e, k: (flattery(e, k)[0], e.median() - flattery(e, k)[0]): "The mean of all runs is wanted, not the median.",
    }, lambda face: (5 + face.normal(face.integer(6, 8)), face.integer(2, 4))),
    Held("bank-claim-scatter", 1, ("in deviations", "in errors of the mean"), (above, scattered), {
        lambda e, o: (above(e, o)[1], above(e, o)[0]): "The two results are exchanged.",
        lambda e, o: ((o - e.mean()) / e.std(correction=0), (o - e.mean()) / e.std(correction=0) * len(e) ** 0.5): "The unbiased deviation is wanted, divided by n - 1 under the root.",
        lambda e, o: (above(e, o)[0], above(e, o)[0] * len(e)): "The error of the mean is the deviation over the root of n.",
        lambda e, o: (above(e, o)[0], above(e, o)[0] / len(e) ** 0.5): "The error of the mean is smaller than the deviation, not larger.",
        lambda e, o: ((o - e.mean()) / e.var(), (o - e.mean()) / e.var() * len(e) ** 0.5): "The variance is in the denominator: a root is missing.",
        lambda e, o: tuple(-each for each in above(e, o)): "The sign is wrong: above the mean is positive.",
        lambda e, o: above(e, o + e.mean() - e.min()): "The distance is that from the best run, not from the mean.",
    }, lambda face: (6 + face.normal(face.integer(5, 9)), face.number(7, 9))),
    Held("bank-claim-amdahl", 1, ("saved share", "speed-up"), (gain, gain_by_times), {
        lambda s, r: (r, 1 / (1 - r)): "That is what the norm saves; it is only a share of the step.",
        lambda s, r: (s * r, 1 + s * r): "The speed-up is the old time over the new.",
        lambda s, r: (s * r, 1 - s * r): "That is the new time over the old.",
        lambda s, r: (1 - s * r, 1 / (1 - s * r)): "That is the share that is left, not the saved one.",
        lambda s, r: (s * (1 - r), 1 / (1 - s * (1 - r))): "What is saved is exchanged with what is left of the norm.",
        lambda s, r: (s - r, 1 / (1 - s + r)): "A share of a share is a product.",
    }, lambda face: (face.number(0.05, 0.45), face.number(0.1, 0.6))),
    Held("bank-claim-diverged", 2, "The share", (diverged, diverged_by_counting), {
        lambda x: (x[:, -1] > x[:, 0]).double().mean(): "NaN is above nothing: a comparison with it is false.",
        lambda x: (~x[:, -1].isfinite()).double().mean(): "A loss that ends above its start has diverged, too.",
        lambda x: (~(x <= x[:, :1])).any(1).double().mean(): "A seed that came back has not diverged: the last loss decides.",
        lambda x: (~x.isfinite()).any(1).double().mean(): "A seed that came back has not diverged, and one may diverge with finite losses.",
        lambda x: 1 - diverged(x): "That is the share of seeds that have not diverged.",
        lambda x: (~(x[:, -1] <= x[:, 0])).double().sum(): "That is the number of seeds, not their share.",
        lambda x: (~(x[:, -1] <= x[:, 1])).double().mean(): "The first loss is compared with, not the second.",
    }, diverged_case),
    Held("bank-claim-collapse", 2, ("exponent", "factor"), (powers, powers_by_loops), {
        lambda r: (powers(r)[0], (r[1:] / r[:-1]).mean()): "The factors are averaged; their geometric mean is wanted.",
        lambda r: ((r[1:] / r[:-1]).mean(), powers(r)[1]): "The exponent is the ratio of the logarithms.",
        lambda r: (1 / powers(r)[0], 1 / powers(r)[1]): "The ratios are upside down.",
        lambda r: (powers(r)[0], (r[-1] / r[0]) ** (1 / len(r))): "There is one factor fewer than there are distances.",
        lambda r: ((r.log()[-1] / r.log()[0]) ** (1 / (len(r) - 1)), powers(r)[1]): "The exponents' plain mean is wanted, not their geometric one.",
        lambda r: (r.log()[1:].sum() / r.log()[:-1].sum(), powers(r)[1]): "The mean of the ratios is wanted, not the ratio of the means.",
        lambda r: (r.log()[-1] / r.log()[0], r[-1] / r[0]): "That is from the first layer to the last; the mean of one layer is wanted.",
    }, collapse_case),
]  # fmt: skip

WORDS = {
    "bank-words-shift": {
        "answer": "Refuted is *because*: the noise brings a shift back at every step, and training is nearly as good as with BN; so less shift is not what helps. Not refuted: that BN helps, and that it reduces shift without noise. Missing: the shift itself, measured in all three networks, and each arm at its own best rate.",
        "full": "Cause refuted, effect not, and the measured shift (or a rate for each arm) named as missing",
        "half": 'Cause refuted, nothing said to be missing; "BN does not work because of the noise" without telling cause and effect apart',
        "none": '"BN does not help"',
    },
    "bank-words-lesion": {
        "answer": "An ensemble loses one of many members: small losses at most places fit. The three places are those where the width changes, and no identity leads past them. The same numbers follow if each block refines the stream a little and later blocks expect only small changes; then paths are not independent, and removing several blocks would show it.",
        "full": "Prediction, fit, blocks without an identity, and iterative refinement with a test that would tell them apart",
        "half": 'Two of these; "at three places the blocks were important", without saying what they have in common',
        "none": "The claim repeated",
    },
    "bank-words-rate": {
        "answer": "Five rates for each, or the loss against the rate: Post-LN at a smaller rate as good as Pre-LN overturns it. More seeds at the same rate: ranges that overlap. Warm-up of some hundred steps for both, and the full length of training: Post-LN at least as good at the end.",
        "full": "Three experiments with the result that overturns each: own rates, seeds, warm-up or length",
        "half": 'Two, or three without results; "try other rates and more seeds"',
        "none": '"Train longer"',
    },
    "bank-words-digits": {
        "answer": "At an accuracy of 0.94, chance has a standard deviation of sqrt(0.94 * 0.06 / 10000) = 0.24 % for one network; the difference is 0.06 %, six images. It says nothing. To be reported: several seeds with their range, and on the same images the number on which the two disagree.",
        "full": "0.24 % (or 24 images) against 0.06 %, and seeds with their range",
        "half": 'The right conclusion without the number; "six images are too few"',
        "none": "Larger, since 94.37 > 94.31",
    },
}
