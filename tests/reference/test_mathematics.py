"""Theorems about norms, checked on the reference formulas."""

import numpy as np
import pytest

from resnorm_lib import reference as r


def noise(shape, seed=7):
    return np.random.default_rng(seed).standard_normal(shape)


X, IMAGE, WEIGHT = noise((5, 6), 0), noise((5, 4, 3), 1), 1 + 0.3 * noise(6, 2)


def jacobian(forward, backward, x):
    """Return the Jacobian at one row x: row i is the gradient of y_i."""
    _, cache = forward(x)
    return np.stack([backward(e, cache)[0] for e in np.eye(len(x))])


def layer(x, eps=0.0):
    return r.layer_norm_forward(x, eps=eps)


def rms(x, eps=0.0):
    return r.rms_norm_forward(x, eps=eps)


@pytest.mark.parametrize("d", [2, 3, 7, 16])
def test_the_jacobian_is_a_projection_over_sigma_of_rank_d_minus_2(d):
    x = np.random.default_rng(d).standard_normal(d) * 3 + 5
    x_hat, sigma = layer(x)[0], x.std()
    projection = np.eye(d) - np.ones((d, d)) / d - np.outer(x_hat, x_hat) / d
    computed = jacobian(layer, r.layer_norm_backward, x)
    np.testing.assert_allclose(computed, projection / sigma, atol=1e-14)
    np.testing.assert_allclose(projection @ projection, projection, atol=1e-14)
    values = np.linalg.svd(computed, compute_uv=False)
    np.testing.assert_allclose(values, [1 / sigma] * (d - 2) + [0, 0], atol=1e-13)
    for lost in (np.ones(d), x):
        np.testing.assert_allclose(computed @ lost, 0, atol=1e-13)


@pytest.mark.parametrize("d", [1, 2, 7, 16])
def test_the_rms_jacobian_has_rank_d_minus_1(d):
    x = np.random.default_rng(d).standard_normal(d) + 5
    size = np.sqrt((x**2).mean())
    values = np.linalg.svd(jacobian(rms, r.rms_norm_backward, x), compute_uv=False)
    np.testing.assert_allclose(values, [1 / size] * (d - 1) + [0], atol=1e-13)


def test_gradient_is_orthogonal_to_ones_and_to_x_hat():
    x_hat, cache = layer(X)
    dx, _, _ = r.layer_norm_backward(noise(X.shape), cache)
    assert np.abs(dx.sum(axis=-1)).max() < 1e-13
    assert np.abs((dx * x_hat).sum(axis=-1)).max() < 1e-13


def test_with_eps_the_gradient_keeps_a_part_eps_over_variance_along_x_hat():
    eps = 0.1
    x_hat, cache = r.layer_norm_forward(X, eps=eps)
    dy = noise(X.shape)
    dx, _, _ = r.layer_norm_backward(dy, cache)
    sigma2 = X.var(axis=-1) + eps
    along = (dx * x_hat).sum(axis=-1) / (dy * x_hat).sum(axis=-1) * np.sqrt(sigma2)
    np.testing.assert_allclose(along, eps / sigma2, rtol=1e-12)


def test_layer_norm_forgets_shift_and_scale_and_rms_norm_scale_alone():
    np.testing.assert_allclose(layer(7 * X + 100)[0], layer(X)[0], atol=1e-12)
    np.testing.assert_allclose(layer(-X)[0], -layer(X)[0], atol=1e-15)
    np.testing.assert_allclose(rms(7 * X)[0], rms(X)[0], atol=1e-14)
    assert np.abs(rms(X + 100)[0] - rms(X)[0]).max() > 0.1


def test_a_larger_input_gets_a_smaller_gradient():
    """f(c x) = f(x), so the gradient at c x is that at x over c."""
    dy = noise(X.shape)
    at_x, at_3x = (r.layer_norm_backward(dy, layer(c * X)[1])[0] for c in (1, 3))
    np.testing.assert_allclose(3 * at_3x, at_x, atol=1e-14)


def test_rows_land_on_the_sphere_of_radius_root_d_at_right_angles_to_ones():
    x_hat, _ = layer(X)
    np.testing.assert_allclose(np.linalg.norm(x_hat, axis=-1), 6**0.5)
    np.testing.assert_allclose(x_hat.sum(axis=-1), 0, atol=1e-13)
    np.testing.assert_allclose(layer(x_hat)[0], x_hat, atol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(rms(X)[0], axis=-1), 6**0.5)


def test_rms_norm_is_layer_norm_of_centred_rows():
    centred = X - X.mean(axis=-1, keepdims=True)
    np.testing.assert_allclose(rms(centred)[0], layer(X)[0], atol=1e-14)


def test_scale_norm_of_length_root_d_is_rms_norm():
    np.testing.assert_allclose(r.scale_norm_forward(X)[0], rms(X)[0], atol=1e-15)


def test_batch_norm_is_layer_norm_of_the_transpose():
    dy = noise(X.shape)
    (y, cache), (y_t, cache_t) = r.batch_norm_forward(X), r.layer_norm_forward(X.T)
    np.testing.assert_allclose(y, y_t.T, atol=1e-14)
    dx, dx_t = r.batch_norm_backward(dy, cache)[0], r.layer_norm_backward(dy.T, cache_t)[0]
    np.testing.assert_allclose(dx, dx_t.T, atol=1e-14)


def test_batch_norm_shrinks_the_gradient_by_exactly_its_two_projections():
    """|dx|^2 = (w / sigma)^2 (|dy|^2 - <1, dy>^2 / m - <x_hat, dy>^2 / m), per channel (Santurkar et al., 2018)."""
    x_hat, (_, sigma, *_) = r.batch_norm_forward(X, eps=0.0)
    _, cache = r.batch_norm_forward(X, WEIGHT, eps=0.0)
    dy, m = noise(X.shape), len(X)
    dx, _, _ = r.batch_norm_backward(dy, cache)
    removed = (dy.sum(axis=0) ** 2 + (x_hat * dy).sum(axis=0) ** 2) / m
    np.testing.assert_allclose((dx**2).sum(axis=0), (WEIGHT / sigma) ** 2 * ((dy**2).sum(axis=0) - removed))


def test_group_norm_lies_between_layer_norm_and_instance_norm():
    whole, _ = r.group_norm_forward(IMAGE, 1)
    np.testing.assert_allclose(whole, layer(IMAGE.reshape(5, -1), 1e-5)[0].reshape(IMAGE.shape), atol=1e-14)
    single, _ = r.group_norm_forward(IMAGE, 4)
    np.testing.assert_allclose(single, r.instance_norm_forward(IMAGE)[0])
    np.testing.assert_allclose(single, layer(IMAGE, 1e-5)[0], atol=1e-14)


def test_a_network_behind_a_norm_does_not_feel_the_length_of_its_weights():
    """Scale invariance: <w, df/dw> = 0 for the weights in front of batch normalization."""
    features, w, dy = noise((8, 6)), noise((6, 4), 1), noise((8, 4), 2)
    _, cache = r.batch_norm_forward(features @ w, eps=0.0)
    dw = features.T @ r.batch_norm_backward(dy, cache)[0]
    np.testing.assert_allclose((w * dw).sum(axis=0), 0, atol=1e-13)


def test_weight_norm_pushes_directions_at_right_angles():
    _, cache = r.weight_norm_forward(WEIGHT[:5], X)
    _, dv = r.weight_norm_backward(noise(X.shape), cache)
    np.testing.assert_allclose((X * dv).sum(axis=-1), 0, atol=1e-13)


def test_dynamic_tanh_and_derf_are_linear_near_zero_and_bounded_far_away():
    tiny, huge = np.full((1, 6), 1e-6), np.full((1, 6), 1e6)
    np.testing.assert_allclose(r.dynamic_tanh_forward(tiny)[0], 0.5 * tiny, rtol=1e-9)
    np.testing.assert_allclose(r.derf_forward(tiny)[0], 2 / np.pi**0.5 * 0.5 * tiny, rtol=1e-9)
    assert (r.dynamic_tanh_forward(huge)[0] == 1).all()
    assert (r.derf_forward(-huge)[0] == -1).all()
