"""Right and wrong answers to the exercises of "The family of normalizations"."""

from resnorm_lib.checks import family_of_norms

AXES = {"batch": (0, 2, 3), "layer": (1, 2, 3), "instance": (2, 3), "rms": (1, 2, 3)}


def norm(x, kind, num_groups, eps, axes=AXES, correction=0, root=True, outside=False, centred=False):
    """Each norm in elementary operations; the options are what may go wrong."""
    shape = x.shape
    if kind == "group":
        x = x.reshape(len(x), num_groups, -1)
    over = -1 if kind == "group" else axes[kind]
    if kind == "rms" and not centred:
        spread = x.square().mean(over, keepdim=True)
    else:
        spread = x.var(over, correction=correction, keepdim=True)
        x = x - x.mean(over, keepdim=True)
    if outside:
        return (x / (spread.sqrt() + eps)).reshape(shape)
    return (x / ((spread + eps).sqrt() if root else spread + eps)).reshape(shape)


def merge(mean_a, var_a, m_a, mean_b, var_b, m_b):
    m = m_a + m_b
    mean = (m_a * mean_a + m_b * mean_b) / m
    squares = (m_a * (var_a + mean_a**2) + m_b * (var_b + mean_b**2)) / m
    return mean, squares - mean**2


def merge_within(mean_a, var_a, m_a, mean_b, var_b, m_b):
    return merge(mean_a, var_a, m_a, mean_b, var_b, m_b)[0], (m_a * var_a + m_b * var_b) / (m_a + m_b)


def merge_unbiased(*statistics):
    mean, variance = merge(*statistics)
    m = statistics[2] + statistics[5]
    return mean, variance * m / (m - 1)


EXERCISES = {
    family_of_norms.check_family: (
        norm,
        {
            lambda *a: norm(*a, axes=AXES | {"batch": (1, 2, 3)}): "batch: the mean runs over the set of 'layer'",
            lambda *a: norm(*a, axes=AXES | {"layer": (0, 2, 3)}): "layer: the mean runs over the set of 'batch'",
            lambda *a: norm(*a, axes=AXES | {"instance": (1, 2, 3)}): "instance: the mean runs over .* 'layer'",
            lambda *a: norm(*a, correction=1): "the biased one",
            lambda *a: norm(*a, root=False): "divide by the root",
            lambda *a: norm(*a, outside=True): "inside the root",
            lambda *a: norm(*a, centred=True): "nothing is subtracted",
            lambda x, *a: norm(x, *a).flatten(1): "a norm keeps that of x",
        },
    ),
    family_of_norms.check_merged_statistics: (
        merge,
        {
            merge_within: "spread between the two means is missing",
            merge_unbiased: "divide by m, not by m - 1",
            lambda a, va, m, b, vb, k: ((a + b) / 2, va): "weight the means",
            lambda *a: merge(*a)[1]: "must return two numbers",
        },
    ),
    family_of_norms.check_moved_gain: (
        lambda w, v, old, new: w * ((v + new) / (v + old)).sqrt(),
        {
            lambda w, v, old, new: w * ((v + old) / (v + new)).sqrt(): "upside down",
            lambda w, v, old, new: w * (v + new) / (v + old): "The root is missing",
            lambda w, v, old, new: w: "The gain is unchanged",
        },
    ),
}
