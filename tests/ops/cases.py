"""What the tests of the fused operations share: where they run, tables of flags, and how large an error may be.

On a machine with a GPU the kernels are compiled; elsewhere Triton's interpreter runs them, if triton is there. The
interpreter is slow for each program and not for each number, so that tests take few rows and tiles of many.
"""

import itertools
import math

import pytest
import torch

from resnorm_lib.ops import has_kernels, kernels
from tests.ops.interpreter import remember_the_language

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LOW, HIGH = (torch.bfloat16, torch.float16), (torch.float32, torch.float64)
ROUNDOFF = {dtype: torch.finfo(dtype).eps / 2 for dtype in LOW + HIGH}

CAN_RUN = has_kernels(torch.empty(0, device=DEVICE))
if CAN_RUN and DEVICE == "cpu":
    remember_the_language()

needs_kernels = pytest.mark.skipif(
    not CAN_RUN,
    reason="no kernel can run: that takes a GPU, or triton with TRITON_INTERPRET=1, which the root conftest.py sets",
)


def gpu(test):
    """A test for a GPU alone; elsewhere it is skipped and says so."""
    reason = "needs a GPU with compiled kernels"
    return pytest.mark.gpu(pytest.mark.skipif(DEVICE != "cuda", reason=reason)(needs_kernels(test)))


def random(*shape, dtype=torch.float64, seed=0, grad=False):
    """The same numbers on every device."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x.to(dtype).to(DEVICE).requires_grad_(grad)


def strided(x):
    """The same rows with NaN between them: reading one of these shows."""
    gap = torch.full_like(x, torch.nan)
    return torch.stack([x, gap], dim=-2).flatten(-2)[..., : x.shape[-1]].detach().requires_grad_(x.requires_grad)


def pairwise(**factors):
    """Rows, as dicts, such that any two values of any two factors meet in at least one of them.

    Greedy: a row begins with a pair that has not met yet; each further factor takes the value that makes the most new
    pairs with those chosen.
    """
    pairs = [
        ((a, i), (b, j))
        for a, b in itertools.combinations(factors, 2)
        for i in range(len(factors[a]))
        for j in range(len(factors[b]))
    ]
    left, rows = dict.fromkeys(pairs), []
    while left:
        row = dict(next(iter(left)))
        for name in factors:
            if name not in row:
                gains = [
                    sum(_pair(factors, name, i, *other) in left for other in row.items())
                    for i in range(len(factors[name]))
                ]
                row[name] = gains.index(max(gains))
        for a, b in itertools.combinations(factors, 2):
            left.pop(((a, row[a]), (b, row[b])), None)
        rows.append({name: factors[name][row[name]] for name in factors})
    return rows


def _pair(factors, a, i, b, j):
    names = list(factors)
    return ((a, i), (b, j)) if names.index(a) < names.index(b) else ((b, j), (a, i))


def name(row):
    """A row of a table as the name of its test."""
    words = (
        key if value is True else str(value).removeprefix("torch.") if value else f"no_{key}"
        for key, value in row.items()
    )
    return "-".join(words)


def gradients(function, inputs, dys):
    """Outputs and gradients, detached; inputs that are None have none."""
    leaves = [x if x is None else x.detach().clone(memory_format=torch.preserve_format) for x in inputs]
    leaves = [x if x is None else _like(x, y).requires_grad_() for x, y in zip(leaves, inputs)]
    outputs = function(*leaves)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    dys = [dy.to(y.dtype) for dy, y in zip(dys, outputs)]
    grads = torch.autograd.grad(outputs, [x for x in leaves if x is not None], dys)
    return [y.detach() for y in outputs], list(grads)


def _like(copy, original):
    """The copy with the strides of the original."""
    if copy.stride() == original.stride():
        return copy
    return original.detach()


def in_double(x):
    return None if x is None else x.detach().double()


def assert_as_good_as_torch(function, inputs, dys, parameters=()):
    """The errors of kernels are at most twice torch's in the same dtypes, and two roundings.

    The exact result is that of the torch version in float64, so that this is for narrower dtypes. The two roundings
    are for entries that torch happens to hit: u times the largest entry each, u that of the result's dtype. The
    gradient of a parameter (``parameters``: their places among the inputs) is a sum over M rows, whose error grows with
    the root of M.
    """
    with kernels("off"):
        exact = [t for part in gradients(function, [in_double(x) for x in inputs], dys) for t in part]
        plain = [t for part in gradients(function, inputs, dys) for t in part]
    with kernels("on"):
        outputs, grads = gradients(function, inputs, dys)
    rows = inputs[0].numel() // inputs[0].shape[-1]
    places = [k for k, x in enumerate(inputs) if x is not None]
    growth = [1.0] * len(outputs) + [math.sqrt(rows) if k in parameters else 1.0 for k in places]
    for k, (ours, torchs, right) in enumerate(zip([*outputs, *grads], plain, exact, strict=True)):
        assert (ours.dtype, ours.shape) == (torchs.dtype, torchs.shape), k
        error, torch_error = ((t.double() - right).abs().max().item() for t in (ours, torchs))
        roundings = 2 * ROUNDOFF[ours.dtype] * growth[k] * right.abs().max().item()
        assert error <= 2 * torch_error + roundings, f"result {k}: {error} against torch's {torch_error}"
