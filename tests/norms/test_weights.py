"""Weight normalization, weight standardization, and the norms that take more than one input."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from resnorm_lib import reference
from resnorm_lib.norms import AdaptiveLayerNorm, CosineQKNorm, QKNorm, weight_norm, weight_standardization

LAYERS = [nn.Linear(5, 3), nn.Conv2d(2, 3, 3), nn.ConvTranspose1d(2, 3, 3), nn.Embedding(4, 3)]


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_changes_nothing_at_first_and_shares_the_state_of_torch(layer, dim):
    ours, theirs = (
        weight_norm(copy.deepcopy(layer), dim=dim),
        parametrizations.weight_norm(copy.deepcopy(layer), dim=dim),
    )
    torch.testing.assert_close(ours.weight, layer.weight)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    moved = {name: 2 * tensor + 0.1 for name, tensor in ours.state_dict().items()}
    ours.load_state_dict(moved), theirs.load_state_dict(moved)
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_minus_one_is_refused_because_torch_takes_it_for_none():
    theirs = parametrizations.weight_norm(nn.Linear(5, 3), dim=-1)
    assert theirs.parametrizations.weight.original0.shape == ()
    with pytest.raises(ValueError, match="dim is -1, but it must be an axis of the weight, counted from 0, or None"):
        weight_norm(nn.Linear(5, 3), dim=-1)


def test_weight_norm_of_a_vector_has_a_length_for_each_entry():
    layer = weight_norm(nn.LayerNorm(3))
    assert layer.parametrizations.weight.original0.shape == (3,)
    torch.testing.assert_close(layer.weight, torch.ones(3))


def test_the_direction_is_pushed_at_right_angles_and_only_grows():
    layer = weight_norm(nn.Linear(5, 3).double())
    layer(normal(7, 5)).square().sum().backward()
    v = layer.parametrizations.weight.original1
    assert (v * v.grad).sum(1).abs().max() < 1e-12
    assert ((v - 0.1 * v.grad).norm(dim=1) > v.norm(dim=1)).all()


def test_removing_the_parametrization_leaves_the_weight():
    layer = weight_norm(nn.Linear(5, 3))
    weight = layer.weight.detach().clone()
    parametrize.remove_parametrizations(layer, "weight")
    assert torch.equal(layer.weight, weight)


def test_assigning_a_weight_sets_length_and_direction():
    layer = weight_norm(nn.Linear(2, 1))
    layer.weight = torch.tensor([[3.0, 4.0]])
    assert layer.parametrizations.weight.original0.item() == 5
    torch.testing.assert_close(layer.weight, torch.tensor([[3.0, 4.0]]))


@pytest.mark.parametrize("layer", LAYERS[:3], ids=lambda layer: type(layer).__name__)
def test_standardized_weights_have_mean_0_variance_1_and_forget_their_scale(layer):
    layer = copy.deepcopy(layer).double()
    with torch.no_grad():
        layer.weight.mul_(100)
    other = copy.deepcopy(layer)
    with torch.no_grad():
        other.weight.mul_(7).add_(3)
    ours, other = weight_standardization(layer, eps=0), weight_standardization(other, eps=0)
    rows = ours.weight.flatten(1)
    torch.testing.assert_close(rows.mean(1), torch.zeros_like(rows[:, 0]), atol=1e-12, rtol=0)
    torch.testing.assert_close(rows.var(1, correction=0), torch.ones_like(rows[:, 0]))
    torch.testing.assert_close(ours.weight, other.weight)


def test_a_convolution_is_standardized_over_its_whole_window():
    layer = nn.Conv2d(2, 3, 3).double()
    expected, _ = reference.weight_standardization_forward(layer.weight.detach().numpy())
    torch.testing.assert_close(weight_standardization(layer).weight.detach(), torch.from_numpy(expected))


@pytest.mark.parametrize("wrap", [weight_norm, weight_standardization])
def test_a_parametrized_convolution_trains_in_bfloat16_autocast(wrap):
    layer, x = wrap(nn.Conv2d(2, 3, 3)), normal(1, 2, 5, 5).float()
    with torch.autocast("cpu", torch.bfloat16):
        layer(x).float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


# Query-key norms


def test_normalized_logits_stay_bounded_however_long_queries_and_keys_grow():
    q, k = normal(2, 4, 7, 8), normal(2, 4, 5, 8, seed=1)
    for scale in (1.0, 1e6):
        unit = QKNorm(8, eps=0).double()
        q_hat, k_hat = unit(scale * q, scale * k)
        assert (q_hat @ k_hat.transpose(-1, -2) / 8**0.5).abs().max() <= 8**0.5 + 1e-12
        cosine = CosineQKNorm(8, gain=3.0).double()
        q_hat, k_hat = cosine(scale * q, scale * k)
        logits = q_hat @ k_hat.transpose(-1, -2)
        torch.testing.assert_close(logits, 3 * F.cosine_similarity(q[..., None, :], k[..., None, :, :], dim=-1))


@pytest.mark.parametrize(
    "norm", [QKNorm(8), QKNorm(8, "layer", bias=False, eps=1e-6), QKNorm(8, nn.RMSNorm), CosineQKNorm(8)]
)
def test_query_key_norms_feed_the_attention_of_torch(norm):
    q, k, v = (normal(2, 4, n, 8, seed=n).float() for n in (7, 5, 5))
    q_hat, k_hat = norm(q, k)
    scale = 1.0 if isinstance(norm, CosineQKNorm) else None
    attended = F.scaled_dot_product_attention(q_hat, k_hat, v, scale=scale)
    weights = (q_hat @ k_hat.transpose(-1, -2) * (scale or 8**-0.5)).softmax(-1)
    torch.testing.assert_close(attended, weights @ v)


def test_queries_and_keys_have_gains_of_their_own():
    norm = QKNorm(4, "layer", bias=False)
    assert [name for name, _ in norm.named_parameters()] == ["q_norm.weight", "k_norm.weight"]
    nn.init.constant_(norm.q_norm.weight, 3.0)
    q = normal(5, 4).float()
    q_hat, k_hat = norm(q, q)
    assert torch.equal(q_hat, 3 * k_hat)


# Adaptive layer normalization


def test_an_adaptive_block_starts_as_the_identity_under_every_condition():
    norm, x, condition = AdaptiveLayerNorm(4, 3).double(), normal(2, 5, 4), normal(2, 3)
    y, gate = norm(x, condition)
    torch.testing.assert_close(y, F.layer_norm(x, (4,), eps=1e-6))
    assert gate.shape == (2, 1, 4)
    assert torch.equal(x + gate * y, x)


def test_a_closed_gate_still_learns():
    norm, x = AdaptiveLayerNorm(4, 3).double(), normal(2, 5, 4)
    y, gate = norm(x, normal(2, 3))
    (x + gate * y).square().sum().backward()
    _, _, gate_grad = norm.modulation.bias.grad.chunk(3)
    assert (gate_grad != 0).all()


def test_a_condition_for_each_token_and_one_for_each_sample_agree():
    norm, x, condition = AdaptiveLayerNorm(4, 3).double(), normal(2, 5, 4), normal(2, 3)
    nn.init.normal_(norm.modulation.weight)
    y, gate = norm(x, condition)
    y_token, gate_token = norm(x, condition[:, None].expand(2, 5, 3))
    torch.testing.assert_close(y_token, y)
    torch.testing.assert_close(gate_token, gate.expand(2, 5, 4))
    y_image, gate_image = norm(x[:, None], condition)
    assert (y_image.shape, gate_image.shape) == ((2, 1, 5, 4), (2, 1, 1, 4))


def test_a_layer_may_be_built_without_memory_and_loaded():
    layer = weight_norm(nn.Linear(3, 2))
    with torch.device("meta"):
        twin = weight_norm(nn.Linear(3, 2))
    twin.to_empty(device="cpu").load_state_dict(layer.state_dict())
    x = torch.randn(4, 3)
    assert torch.equal(twin(x), layer(x))
