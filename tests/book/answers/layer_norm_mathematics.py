"""Right and wrong answers to the exercises of "LayerNorm, the mathematics"."""

from resnorm_lib.checks import layer_norm_mathematics as checks


def gradients(dy, x, weight, eps, *, gain_last=False, mean=True, along=True, sums=False, divide=True, ddof=0):
    """The backward pass, right by default; each option makes one mistake."""
    centred = x - x.mean(-1, keepdim=True)
    sigma = (x.var(-1, correction=ddof, keepdim=True) + eps).sqrt()
    x_hat = centred / sigma
    g = dy if gain_last else weight * dy
    factor = x.shape[-1] if sums else 1
    dx = g - mean * factor * g.mean(-1, keepdim=True)
    dx = dx - along * factor * x_hat * (g * x_hat).mean(-1, keepdim=True)
    dx = dx / sigma if divide else dx
    return (weight * dx if gain_last else dx), (dy * x_hat).sum(0), dy.sum(0)


def wrong(**mistake):
    return lambda dy, x, weight, eps: gradients(dy, x, weight, eps, **mistake)


def without_gain(dy, x, weight, eps):
    return gradients(dy, x, 1.0, eps)


def without_eps(dy, x, weight, eps):
    return gradients(dy, x, weight, 0.0)


def mean_over_rows(dy, x, weight, eps):
    dx, dweight, dbias = gradients(dy, x, weight, eps)
    return dx, dweight / len(dy), dbias


def mean_bias(dy, x, weight, eps):
    dx, dweight, dbias = gradients(dy, x, weight, eps)
    return dx, dweight, dbias / len(dy)


EXERCISES = {
    checks.check_layer_norm_backward: (
        gradients,
        {
            without_gain: "lacks the gain",
            wrong(gain_last=True): "The gain comes first",
            wrong(mean=False, along=False): "two terms are missing",
            wrong(along=False): "the term along x_hat is missing",
            wrong(mean=False): "is not subtracted",
            wrong(divide=False): "not divided by sigma",
            wrong(sums=True): "not sums",
            without_eps: "sigma must contain eps",
            wrong(ddof=1): "not by d - 1",
            lambda dy, x, weight, eps: (x, x[0], x[0]): "The gradient of x is",
            mean_over_rows: "The gradient of weight is the sum",
            mean_bias: "The gradient of bias is the sum",
            lambda dy, x, weight, eps: gradients(dy, x, weight, eps)[0]: "must return . values",
        },
    ),
    checks.check_folded_centring: (
        lambda weight, bias: (weight - weight.mean(0), bias - bias.mean()),
        {
            lambda weight, bias: (weight, bias): "Nothing is folded",
            lambda weight, bias: (weight - weight.mean(0), bias): "The bias has a mean",
            lambda weight, bias: (weight, bias - bias.mean()): "The weight has a mean",
            lambda weight, bias: (weight - weight.mean(1, keepdim=True), bias - bias.mean()): "not of each row",
            lambda weight, bias: (weight.T, bias): "folded weight has shape",
            lambda weight, bias: (weight - weight.mean(), bias - bias.mean()): "The output of RMSNorm is",
            lambda weight, bias: weight: "must return . values",
        },
    ),
    checks.check_same_path: (
        lambda rate, decay, c: (c**2 * rate, decay / c**2),
        {
            lambda rate, decay, c: (rate, decay): "The rate must change",
            lambda rate, decay, c: (c * rate, decay / c): r"c times as long: c\^2",
            lambda rate, decay, c: (rate / c**2, decay * c**2): "The other way around",
            lambda rate, decay, c: (c**2 * rate, decay): "must stay as it was, and the rate",
            lambda rate, decay, c: (c**2 * rate, decay * c**2): "opposite to the rate",
            lambda rate, decay, c: c**2 * rate: "must return . values",
        },
    ),
}
