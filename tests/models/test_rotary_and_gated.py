"""Rotary positions and gated feed-forwards: their formulas, their properties, and every scheme around them."""

import math

import pytest
import torch
import torch.nn.functional as F

from resnorm_lib.models import DecoderLM, TransformerEncoder
from resnorm_lib.models.gated_feed_forward import GatedFeedForward
from resnorm_lib.models.rotary import rotate
from resnorm_lib.models.transformer_branches import FeedForward, SelfAttention
from resnorm_lib.residual import SCHEMES
from tests.residual.tools import disturb, draw

SIZES = {"depth": 2, "num_heads": 2, "context_length": 8}
LLAMA = {"norm": "rms", "positions": "rotary", "gated": True, "activation": "silu"}


def words(rows, length, vocab=20, seed=0):
    return torch.randint(vocab, (rows, length), generator=torch.Generator().manual_seed(seed))


# -- rotary ----------------------------------------------------------------------------------------------------------


def test_a_rotation_is_a_product_with_a_complex_number():
    x, half = draw(2, 3, 7, 10), 5
    expected = torch.empty_like(x)
    for t in range(7):
        for i in range(half):
            turned = torch.complex(x[..., t, i], x[..., t, i + half])
            turned = turned * complex(math.cos(t * 10_000 ** (-i / half)), math.sin(t * 10_000 ** (-i / half)))
            expected[..., t, i], expected[..., t, i + half] = turned.real, turned.imag
    torch.testing.assert_close(rotate(x), expected, rtol=1e-12, atol=1e-12)


def test_scalar_products_know_only_how_far_apart_two_positions_are():
    q, k = draw(6, seed=1).expand(9, 6), draw(6, seed=2).expand(9, 6)  # one query and one key, at every position
    scores = rotate(q) @ rotate(k).T
    for apart in range(-8, 9):
        diagonal = scores.diagonal(apart)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-12, atol=1e-12)
    assert scores[0].std() > 0.1


def test_the_first_position_stays_and_no_vector_changes_its_length():
    x = draw(2, 5, 8)
    y = rotate(x)
    assert torch.equal(y[:, 0], x[:, 0])
    torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_angles_of_far_positions_are_exact_in_every_dtype(dtype):
    """Position 3001 is no number of bfloat16: an angle that is computed in it would be off by radians."""
    x = torch.zeros(3002, 2, dtype=dtype)
    x[:, 0] = 1
    y = rotate(x)
    assert y.dtype == dtype
    assert y[3001, 0].item() == pytest.approx(math.cos(3001), abs=max(torch.finfo(dtype).eps, 1e-3))


def test_a_model_with_rotary_positions_sees_distances_and_not_positions():
    """With padding in front the same words stand later, and the real ones are told the same about each other."""
    model = disturb(TransformerEncoder(20, 16, **SIZES, positions="rotary")).double().eval()
    tokens = words(1, 5)
    later = torch.cat([words(1, 3, seed=1), tokens], 1)
    padding = torch.arange(8)[None] < 3
    torch.testing.assert_close(model(later, padding)[:, 3:], model(tokens), rtol=1e-9, atol=1e-9)
    learned = disturb(TransformerEncoder(20, 16, **SIZES)).double().eval()
    assert not torch.allclose(learned(later, padding)[:, 3:], learned(tokens), atol=1e-3)


def test_an_order_of_words_still_matters():
    model = disturb(TransformerEncoder(20, 16, **SIZES, positions="rotary")).double().eval()
    tokens, order = words(1, 5), torch.tensor([1, 0, 2, 3, 4])
    assert not torch.allclose(model(tokens[:, order]), model(tokens)[:, order], atol=1e-4)


@pytest.mark.parametrize("qk_norm", [None, "rms"])
def test_attention_with_rotary_positions_is_attention_of_rotated_heads(qk_norm):
    branch = disturb(SelfAttention(12, 2, causal=True, rotary=True, qk_norm=qk_norm)).double()
    x = draw(2, 5, 12)
    q, k, v = (
        part.unflatten(-1, (2, 6)).transpose(1, 2) for part in F.linear(x, *branch.qkv.parameters()).chunk(3, -1)
    )
    if qk_norm is not None:  # first the norm, then the angle
        q, k = branch.qk_norm(q, k)
    scores = (rotate(q) @ rotate(k).mT / 6**0.5).masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
    expected = branch.output_projection((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(branch(x), expected, rtol=1e-10, atol=1e-10)


# -- gated -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("activation", "g"), [("silu", lambda x: x * torch.sigmoid(x)), ("relu", torch.relu)])
def test_a_gated_feed_forward_is_its_formula(activation, g):
    branch = disturb(GatedFeedForward(6, 10, activation=activation)).double()
    (w0, b0), (w1, b1), (w2, b2) = (m.parameters() for m in (branch.gate, branch.up, branch.output_projection))
    x = draw(3, 4, 6)
    expected = (g(x @ w0.T + b0) * (x @ w1.T + b1)) @ w2.T + b2
    torch.testing.assert_close(branch(x), expected, rtol=1e-12, atol=1e-12)


def test_two_thirds_of_the_width_have_as_many_weights():
    plain = sum(p.numel() for p in FeedForward(96, 384).parameters() if p.dim() == 2)
    assert sum(p.numel() for p in GatedFeedForward(96, 256).parameters() if p.dim() == 2) == plain


def test_what_a_scheme_scales_makes_the_branch_grow_by_its_square():
    """The gate is left alone: times c in each of ``scaled_weights`` is times c squared in what is written."""
    branch = GatedFeedForward(6, 10, activation="silu").double()
    x = draw(3, 6)
    before = branch(x)
    with torch.no_grad():
        for weight in branch.scaled_weights():
            weight.mul_(3)
    torch.testing.assert_close(branch(x), 9 * before, rtol=1e-10, atol=1e-12)


# -- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_takes_both(scheme):
    tied = {"tied": False} if scheme == "concat" else {}
    model = DecoderLM(20, 16, **SIZES, scheme=scheme, **LLAMA, **tied)
    loss = model(words(2, 8)).square().sum()
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


def test_rotary_positions_have_no_weights_and_keep_the_longest_sequence():
    model = DecoderLM(20, 16, **SIZES, **LLAMA)
    assert not any("position" in name for name in model.state_dict())
    with pytest.raises(ValueError, match="T at most context_length=8"):
        model(words(1, 9))


def test_a_reset_draws_the_gate_anew():
    torch.manual_seed(0)
    model = DecoderLM(20, 16, **SIZES, **LLAMA)
    before = model.blocks[1].branch.gate.weight.clone()
    model.apply(lambda module: module.reset_parameters() if hasattr(module, "reset_parameters") else None)
    assert not torch.equal(model.blocks[1].branch.gate.weight, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positions": "rotatory"}, r"positions is 'rotatory', but it must be one of .* Did you mean 'rotary'"),
        ({"gated": "yes"}, "gated is 'yes', but it must be True or False"),
        ({"positions": "rotary", "num_heads": 16}, "dim / num_heads is 1, but for rotary positions it must be even"),
    ],
)
def test_wrong_arguments_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        DecoderLM(20, 16, **(SIZES | arguments))


def test_an_odd_width_cannot_be_turned():
    with pytest.raises(ValueError, match="a head has 3 features"):
        rotate(torch.zeros(2, 3))
