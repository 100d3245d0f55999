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


def pixel_norm(x, weight, bias, eps, axes=1, correction=0, shape=(-1, 1, 1)):
    spread = x.var(axes, correction=correction, keepdim=True) + eps
    return weight.view(shape) * (x - x.mean(axes, keepdim=True)) / spread.sqrt() + bias.view(shape)


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
    family_of_norms.check_pixel_norm: (
        pixel_norm,
        {
            lambda *a: pixel_norm(*a, shape=(-1,)): "met the columns",
            lambda *a: pixel_norm(*a, axes=(1, 2, 3)): "over the whole image",
            lambda *a: pixel_norm(*a, axes=(2, 3)): "instance normalization",
            lambda *a: pixel_norm(*a, axes=3): "a line of pixels",
            lambda *a: pixel_norm(*a, correction=1): "the biased one",
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
