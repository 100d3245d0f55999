"""Right and wrong answers to the exercises of "The Transformer, block by block"."""

import torch

from resnorm_lib.checks import transformer_block_by_block as checks


def layer_weights(d, m):
    return 4 * (d * d + d) + d * m + m + m * d + d + 4 * d


def causal_mask(t, window=None):
    back = torch.arange(t)[:, None] - torch.arange(t)
    return (back >= 0) & (back < (window or t))


def no_window(t, window=None):
    return causal_mask(t)


def strict(t, window=None):
    return causal_mask(t, window) & ~torch.eye(t, dtype=torch.bool)


def one_more(t, window=None):
    return causal_mask(t, window and window + 1)


def both_ways(t, window=None):
    return causal_mask(t, window) | causal_mask(t, window).T


def first_leak(model, tokens, only=None, copy=True, own=False):
    whole = model(tokens)
    for i in range(tokens.shape[1] - 1):
        changed = tokens.clone() if copy else tokens
        changed[:, i if own else i + 1 :][:, :only] += 1
        if not torch.equal(model(changed)[:, i], whole[:, i]):
            return i
    return None


def last_leak(model, tokens):
    found = [i for i in range(tokens.shape[1]) if first_leak(model, tokens[:, i:]) == 0]
    return found[-1] if found else None


def one_too_far(model, tokens):
    found = first_leak(model, tokens)
    return None if found is None else found + 1


def in_place(model, tokens):
    found = first_leak(model, tokens)
    tokens += 1
    return found


def parallel(x, see, think, n):
    z = n(x)
    return x + see(z) + think(z)


def serial(x, see, think, n):
    x1 = x + see(n(x))
    return x1 + think(n(x1))


EXERCISES = {
    checks.check_layer_weights: (
        layer_weights,
        {
            lambda d, m: layer_weights(d, m) - 4 * d: "two norms are missing",
            lambda d, m: layer_weights(d, m) - 2 * d: "A norm has a gain and a bias",
            lambda d, m: 4 * d * d + 2 * d * m + 4 * d: "biases of the linear maps are missing",
            lambda d, m: 4 * d * d + 2 * d * m: "Biases and norms are missing",
            lambda d, m: layer_weights(d, m) - d * d - d: "four maps",
        },
    ),
    checks.check_causal_mask: (
        causal_mask,
        {
            lambda t, window=None: causal_mask(t, window).double(): "tensor of bools",
            lambda t, window=None: ~causal_mask(t, window): "not where it may not",
            lambda t, window=None: causal_mask(t, window).T: "transpose it",
            no_window: "window is ignored",
            strict: "look at itself",
            one_more: "token itself is one of",
            both_ways: "later tokens",
        },
    ),
    checks.check_first_leak: (
        first_leak,
        {
            lambda model, tokens: first_leak(model, tokens, only=1): "passes as causal",
            lambda model, tokens: None: "passes as causal",
            lambda model, tokens: 0: "looks at the token itself",
            one_too_far: "leaks first at position",
            lambda model, tokens: first_leak(model, tokens, own=True): "looks at the token itself",
            last_leak: "leaks first at position",
            in_place: "in place",
        },
    ),
    checks.check_parallel: (
        parallel,
        {
            lambda x, see, think, n: see(n(x)) + think(n(x)): "shortcut is missing",
            lambda x, see, think, n: x + see(x) + think(x): "read the normed input",
            lambda x, see, think, n: parallel(n(x), see, think, lambda z: z): "x itself",
            lambda x, see, think, n: x + think(see(n(x))): "does not read the other",
            serial: "one after the other",
            lambda x, see, think, n: x + see(n(x)) + think(n(x)): "computed 2 times",
        },
    ),
}
