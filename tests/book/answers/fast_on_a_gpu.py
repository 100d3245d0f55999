"""Right and wrong answers to the exercises of "Fast on a GPU"."""

from resnorm_lib.checks import fast_on_a_gpu


def merge(a, b, factor=lambda n_a, n_b: n_a * n_b / (n_a + n_b)):
    (n_a, m_a, q_a), (n_b, m_b, q_b) = a, b
    n, delta = n_a + n_b, m_b - m_a
    return n, m_a + delta * n_b / n, q_a + q_b + delta**2 * factor(n_a, n_b)


def plain_mean(a, b):
    n, _, q = merge(a, b)
    return n, (a[1] + b[1]) / 2, q


def one_pass(a, b):
    n, mean, _ = merge(a, b)
    return n, mean, sum(q + count * m * m for count, m, q in (a, b)) - n * mean * mean


EXERCISES = {
    fast_on_a_gpu.check_backward_bytes: (
        lambda m, n, e, p: 3 * m * n * e + 8 * m + 16 * p * n,
        {
            lambda m, n, e, p: 3 * m * n * e + 8 * m: "partial sums are missing",
            lambda m, n, e, p: 3 * m * n * e + 8 * m + 8 * p * n: "written and read",
            lambda m, n, e, p: 3 * m * n * e + 8 * m + 4 * e * p * n: "float32 whatever",
            lambda m, n, e, p: 3 * m * n * e + 16 * p * n: "statistics are missing",
            lambda m, n, e, p: 2 * m * n * e + 8 * m + 16 * p * n: "Three tensors move",
            lambda m, n, e, p: 5 * m * n * e + 8 * m + 16 * p * n: "read once",
            lambda m, n, e, p: m * n: r"is \S+, but it must be",
        },
    ),
    fast_on_a_gpu.check_merge: (
        merge,
        {
            plain_mean: "Weigh the means",
            lambda a, b: merge(a, b, lambda n_a, n_b: 0): "delta squared is missing",
            lambda a, b: merge(a, b, lambda n_a, n_b: 1): "needs its factor",
            lambda a, b: merge(a, b, lambda n_a, n_b: n_a + n_b): "not n",
            one_pass: "squares are lost",
            lambda a, b: merge(a, b)[1:]: "must be a triple",
        },
    ),
}
