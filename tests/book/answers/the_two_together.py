"""Right and wrong answers to the exercises of "The two together"."""

from resnorm_lib.checks import the_two_together


def sizes(**other):
    """The answer, block by block, with some of its rules replaced."""
    rules = {
        "add": lambda q, block, v: q + v * q,
        "pre_norm": lambda q, block, v: q + v,
        "post_norm": lambda q, block, v: 1.0,
        "sandwich": lambda q, block, v: q + 1,
        "ln_scaling": lambda q, block, v: q + v / block,
    } | other

    def answer(name, depth, v):
        q = 1.0
        for block in range(1, depth + 1):
            q = rules[name](q, block, v)
        return q

    return answer


def stack(block, with_last=True):
    """A stack of blocks ``block(x, branch, norm)``."""

    def answer(x, branches, norms, last_norm):
        for branch, norm in zip(branches, norms, strict=True):
            x = block(x, branch, norm)
        return last_norm(x) if with_last else x

    return answer


def pre(x, branch, norm):
    return x + branch(norm(x))


def late(x, branch, norm):
    x = norm(x)
    return x + branch(x)


def in_place(x, branches, norms, last_norm):
    for branch, norm in zip(branches, norms, strict=True):
        x += branch(norm(x))
    return last_norm(x)


EXERCISES = {
    the_two_together.check_stream_size: (
        sizes(),
        {
            sizes(add=lambda q, block, v: q + v): "answers in proportion",
            sizes(pre_norm=lambda q, block, v: q + v * q): "however large the stream",
            sizes(post_norm=lambda q, block, v: 1 + v): "last step of a block is a norm",
            sizes(sandwich=lambda q, block, v: q + v): "whatever v is",
            sizes(ln_scaling=lambda q, block, v: q + v): "over sqrt",
            sizes(ln_scaling=lambda q, block, v: q + v * block**-0.5): "divides the mean square by l",
            lambda name, depth, v: sizes()(name, depth, v) + 1: "twice as large",
        },
    ),
    the_two_together.check_pre_norm_stack: (
        stack(pre),
        {
            stack(pre, with_last=False): "last norm is missing",
            stack(late): "one step too late",
            stack(late, with_last=False): "too late, and the last norm is missing",
            stack(lambda x, branch, norm: norm(x + branch(x))): "This is Post-LN",
            stack(lambda x, branch, norm: norm(x + branch(x)), with_last=False): "This is Post-LN",
            stack(lambda x, branch, norm: branch(norm(x))): "no shortcut",
            stack(lambda x, branch, norm: x + branch(x)): "norms are not used",
            in_place: "changes its argument in place",
            stack(lambda x, branch, norm: x - branch(norm(x))): "The output is",
        },
    ),
}
