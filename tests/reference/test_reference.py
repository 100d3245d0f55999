"""The hand-derived formulas against finite differences, against autograd, and as mathematics."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from resnorm_lib import reference as r

RNG = np.random.default_rng(0)
WEIGHT, BIAS = 1 + 0.3 * RNG.standard_normal(6), RNG.standard_normal(6)
RUNNING = 0.2 * RNG.standard_normal(4), 1 + 0.2 * RNG.random(4)
X, IMAGE = RNG.standard_normal((5, 6)), RNG.standard_normal((5, 4, 3))
W4, B4 = WEIGHT[:4], BIAS[:4]

# name: forward of its arrays (y, cache), backward, arrays. The order of gradients is that of the arrays.
SPECIAL = {
    "batch_norm": (r.batch_norm_forward, r.batch_norm_backward, (IMAGE, W4, B4)),
    "batch_norm in evaluation": (
        lambda x, w, b: r.batch_norm_forward(x, w, b, running=RUNNING),
        r.batch_norm_backward,
        (IMAGE, W4, B4),
    ),
    "batch_renorm at its limits": (
        lambda x, w, b: r.batch_renorm_forward(x, (RUNNING[0] + 9, RUNNING[1] / 9), w, b, r_max=2, d_max=0.5),
        r.batch_renorm_backward,
        (IMAGE, W4, B4),
    ),
    "ghost_batch_norm": (
        lambda x, w, b: r.ghost_batch_norm_forward(x, 2, w, b),
        r.ghost_batch_norm_backward,
        (IMAGE, W4, B4),
    ),
    "group_norm": (lambda x, w, b: r.group_norm_forward(x, 2, w, b), r.group_norm_backward, (IMAGE, W4, B4)),
    "instance_norm": (r.instance_norm_forward, r.instance_norm_backward, (IMAGE, W4, B4)),
    "scale_norm of short rows": (
        lambda x, g: r.scale_norm_forward(x, g, eps=10),
        r.scale_norm_backward,
        (X, np.array(1.7)),
    ),
    "qk_norm": (r.qk_norm_forward, r.qk_norm_backward, (X, X[:3] + 1, WEIGHT, WEIGHT + 1)),
    "cosine_qk_norm": (r.cosine_qk_norm_forward, r.cosine_qk_norm_backward, (X, X[:3] + 1, np.array(1.7))),
    "weight_norm": (r.weight_norm_forward, r.weight_norm_backward, (WEIGHT[:5], IMAGE)),
    "weight_standardization": (r.weight_standardization_forward, r.weight_standardization_backward, (IMAGE,)),
}
OWN_TESTS = {"ada_norm", "adaptive_layer_norm"}  # below: a backward that is no derivative, and two outputs
ARRAYS = {
    "x": X,
    "weight": WEIGHT,
    "bias": BIAS,
    "alpha": np.array(0.7),
    "shift": np.array(0.2),
    "scale": np.array(1.7),
}
FORWARDS = {name.removesuffix("_forward") for name in r.__all__ if name.endswith("_forward")}


def by_signature(name):
    """Return forward, backward and arrays of a formula whose arguments have the usual names."""
    forward, backward = getattr(r, f"{name}_forward"), getattr(r, f"{name}_backward")
    parameters = inspect.signature(forward).parameters
    unknown = [key for key, p in parameters.items() if key not in ARRAYS and p.default is p.empty]
    assert not unknown, f"{name}_forward takes {', '.join(unknown)}: give it a row in SPECIAL, in {__file__}."
    names = [key for key in parameters if key in ARRAYS]
    return lambda *arrays: forward(**dict(zip(names, arrays))), backward, [ARRAYS[key] for key in names]


DERIVED = sorted(SPECIAL.keys() | FORWARDS - OWN_TESTS - {name.split()[0] for name in SPECIAL})


def noise(shape, seed=7):
    return np.random.default_rng(seed).standard_normal(shape)


def difference(loss, arrays, k, direction, step=1e-6):
    """Return the derivative of ``loss`` along ``direction`` in the k-th array, by central difference."""
    ends = [loss(*arrays[:k], arrays[k] + sign * step * direction, *arrays[k + 1 :]) for sign in (1, -1)]
    return (ends[0] - ends[1]) / (2 * step)


@pytest.mark.parametrize("name", DERIVED)
def test_the_derived_gradient_is_the_limit_of_differences(name):
    forward, backward, arrays = SPECIAL.get(name) or by_signature(name)
    y, cache = forward(*arrays)
    rng = np.random.default_rng(1)
    dy = rng.standard_normal(y.shape)
    gradients = backward(dy, cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    assert len(gradients) == len(arrays)
    for k, (array, gradient) in enumerate(zip(arrays, gradients)):
        direction = rng.standard_normal(array.shape)
        numeric = difference(lambda *a: (forward(*a)[0] * dy).sum(), arrays, k, direction)
        assert np.shape(gradient) == array.shape
        # Rounding of the loss u |loss| / step, and the cubic term step^2: both below 1e-8.
        assert abs((direction * gradient).sum() - numeric) < 1e-7 * (1 + abs(numeric)), (name, k)


def test_the_adaptive_gradient_is_the_limit_of_differences():
    rng = np.random.default_rng(2)
    arrays = [rng.standard_normal(s) for s in ((2, 5, 4), (2, 3), (12, 3), (12,))]
    y, gate, cache = r.adaptive_layer_norm_forward(*arrays)
    dy, dgate = rng.standard_normal(y.shape), rng.standard_normal(gate.shape)

    def loss(*a):
        y, gate, _ = r.adaptive_layer_norm_forward(*a)
        return (y * dy).sum() + (gate * dgate).sum()

    for k, gradient in enumerate(r.adaptive_layer_norm_backward(dy, dgate, cache)):
        direction = rng.standard_normal(arrays[k].shape)
        numeric = difference(loss, arrays, k, direction)
        assert abs((direction * gradient).sum() - numeric) < 1e-7 * (1 + abs(numeric))


def test_ada_norm_differentiates_with_its_factor_held_still():
    rng = np.random.default_rng(3)
    dy, direction = rng.standard_normal(X.shape), rng.standard_normal(X.shape)
    y, cache = r.ada_norm_forward(X, 1.3, 0.2)
    phi = y / r.layer_norm_forward(X)[0]
    frozen = difference(lambda x: (phi * r.layer_norm_forward(x)[0] * dy).sum(), [X], 0, direction)
    whole = difference(lambda x: (r.ada_norm_forward(x, 1.3, 0.2)[0] * dy).sum(), [X], 0, direction)
    derived = (r.ada_norm_backward(dy, cache) * direction).sum()
    assert abs(derived - frozen) < 1e-7
    assert abs(derived - whole) > 1e-2


def test_batch_renorm_differentiates_with_its_correction_held_still():
    x = IMAGE.transpose(0, 2, 1).reshape(-1, 4)
    y, cache = r.batch_renorm_forward(x, RUNNING, W4, B4)
    dx, _, _ = r.batch_renorm_backward(W4 * y, cache)
    assert np.abs(dx.sum(axis=0)).max() < 1e-12


@pytest.mark.parametrize("eps", [0.0, 1e-5, 1e-3])
def test_layer_norm_agrees_with_autograd_through_elementary_operations(eps):
    x, w, b = (torch.tensor(a, requires_grad=True) for a in (X, WEIGHT, BIAS))
    dy = torch.tensor(noise(X.shape))
    mean = x.mean(-1, keepdim=True)
    y = w * (x - mean) / ((x - mean).square().mean(-1, keepdim=True) + eps).sqrt() + b
    y.backward(dy)
    expected, cache = r.layer_norm_forward(X, WEIGHT, BIAS, eps)
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-13)
    for tensor, gradient in zip((x, w, b), r.layer_norm_backward(dy.numpy(), cache)):
        np.testing.assert_allclose(tensor.grad.numpy(), gradient, rtol=1e-11, atol=1e-13)


def test_one_column_and_constant_rows_give_the_bias():
    assert (r.layer_norm_forward(X[:, :1], bias=[3.0])[0] == 3).all()
    assert (r.layer_norm_forward(np.full((2, 6), 4.0), WEIGHT, BIAS)[0] == BIAS).all()
    assert (r.batch_norm_forward(np.full((2, 6), 4.0), WEIGHT, BIAS)[0] == BIAS).all()


def test_an_empty_batch_is_a_batch_of_no_rows():
    for forward in (r.layer_norm_forward, r.rms_norm_forward, r.scale_norm_forward, r.dynamic_tanh_forward):
        assert forward(np.ones((0, 6)))[0].shape == (0, 6)
    assert r.group_norm_forward(np.ones((0, 4, 3)), 2)[0].shape == (0, 4, 3)
    assert r.batch_norm_forward(np.ones((0, 4)), running=RUNNING)[0].shape == (0, 4)


def test_statistics_of_evaluation_need_no_batch():
    y, _ = r.batch_norm_forward(IMAGE, W4, B4, running=RUNNING)
    tensors = [torch.tensor(a) for a in (IMAGE, *RUNNING, W4, B4)]
    np.testing.assert_allclose(y, F.batch_norm(*tensors).numpy(), rtol=1e-13)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: r.layer_norm_forward(X, WEIGHT[:5]), r"weight has shape \(5,\), but x asks for \(6,\)\."),
        (
            lambda: r.layer_norm_backward(X[:2], r.layer_norm_forward(X)[1]),
            r"dy has shape \(2, 6\), but y had shape \(5, 6\)\.",
        ),
        (lambda: r.rms_norm_forward(X, WEIGHT[:5]), r"weight has shape \(5,\), but x asks for \(6,\)\."),
        (lambda: r.batch_norm_forward(X[0]), r"x has 1 axes, but batch normalization needs \(N, C\)"),
        (lambda: r.batch_norm_forward(X[:0]), "x is empty: a batch without entries has no mean"),
        (lambda: r.batch_norm_forward(X, running=([0.0], [1.0])), r"running mean has shape \(1,\), but x asks for"),
        (lambda: r.batch_norm_running(X[:1], (BIAS, WEIGHT)), r"x has shape \(1, 6\), but an unbiased variance needs"),
        (lambda: r.group_norm_forward(X, 4), "num_groups is 4, but it must divide the 6 channels of x"),
        (lambda: r.group_norm_forward(X[0], 1), r"x has 1 axes, but group normalization needs"),
        (lambda: r.instance_norm_forward(X), r"x has 2 axes, but instance normalization needs \(N, C, L, ...\)"),
        (lambda: r.weight_norm_forward([1.0], [[0.0]]), "v has a slice of zeros, which has no direction"),
        (lambda: r.qk_norm_forward(X[0], X), "q has 1 axes, but it must have 2"),
        (lambda: r.adaptive_layer_norm_forward(X, X, X, X), "x has 2 axes, but it must have 3"),
    ],
)
def test_a_wrong_array_gets_a_sentence(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        wrong()


def test_every_forward_has_its_backward():
    backwards = {name.removesuffix("_backward") for name in r.__all__ if name.endswith("_backward")}
    single = ", ".join(FORWARDS ^ backwards)
    assert not single, f"{single}: resnorm_lib/reference has a forward without its backward, or the other way round."


def test_the_reference_imports_numpy_and_no_torch():
    program = "import sys, resnorm_lib.reference; print('numpy' in sys.modules, 'torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["True", "False"]
