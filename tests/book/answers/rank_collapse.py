"""Right and wrong answers to the exercises of "When all tokens become one"."""

from resnorm_lib.checks import rank_collapse


def share(depth, tokens, step=lambda q: 2 * q / (1 + q)):
    q = 1 / tokens
    for _ in range(depth):
        q = step(q)
    return q


def pre_norm_share(depth, tokens):
    common, own = 1 / tokens, 1 - 1 / tokens
    for _ in range(depth):
        common += common / (common + own)
    return common / (common + own)


EXERCISES = {
    rank_collapse.check_distance: (
        lambda x: (x - x.mean(0)).norm() / x.norm(),
        {
            lambda x: (x - x.mean(1, keepdim=True)).norm() / x.norm(): "mean over features",
            lambda x: (x - x.mean()).norm() / x.norm(): "One number was taken off",
            lambda x: (x - x.mean(0)).norm(): "divide by it",
            lambda x: (x - x.mean(0)).square().sum() / x.square().sum(): "take the root",
            lambda x: x.norm(): r"is \S+, but it must be",
        },
    ),
    rank_collapse.check_post_norm_share: (
        share,
        {
            lambda depth, tokens: share(depth, tokens, lambda q: min(1.0, 2 * q)): "cannot just double",
            pre_norm_share: "That is Pre-LN",
            lambda depth, tokens: 1 / tokens: "that of depth - 1",
        },
    ),
}
