"""The MLP: twins with and without shortcuts, its initialisation, its errors."""

import copy
import pickle

import pytest
import torch

from resnorm_lib.models import MLP


def build(seed=0, **options):
    torch.manual_seed(seed)
    return MLP(64, 32, **({"depth": 4, "out_features": 10} | options))


def images(rows=16):
    return torch.randn(rows, 64, generator=torch.Generator().manual_seed(1))


def test_plain_and_residual_twins_have_the_same_parameters():
    plain, residual = (build(scheme=scheme).state_dict() for scheme in ("plain", "pre_norm"))
    assert list(plain) == list(residual)
    assert all(torch.equal(plain[name], residual[name]) for name in plain)


def test_parameter_order_is_the_order_of_the_forward_pass():
    names = [name for name, _ in build(depth=1).named_parameters()]
    assert names == [
        *("embed.weight", "embed.bias", "blocks.0.branch.1.weight", "blocks.0.branch.1.bias"),
        *("blocks.0.scheme.norm.weight", "blocks.0.scheme.norm.bias"),
        *("final_norm.weight", "final_norm.bias", "head.weight", "head.bias"),
    ]


def test_initial_numbers_are_those_of_the_first_chapter():
    """The digits that this seed has always given: chapters print numbers that hang on them."""
    model = build()
    assert model(images()).abs().sum().item() == pytest.approx(77.93787, rel=1e-5)


def test_weights_start_with_the_promised_variance():
    torch.manual_seed(0)
    model = MLP(400, 300, depth=2, out_features=10)
    for weight, variance in [(model.embed.weight, 1 / 400), *((b.branch[1].weight, 2 / 300) for b in model.blocks)]:
        # The variance of n normal draws has a relative spread of sqrt(2 / n): four of them either way.
        assert weight.var().item() == pytest.approx(variance, rel=4 * (2 / weight.numel()) ** 0.5)
        assert abs(weight.mean().item()) < 4 * (variance / weight.numel()) ** 0.5
    assert all(b.branch[1].bias.abs().max() == 0 for b in model.blocks)
    assert model.embed.bias.abs().max() == 0


def test_rezero_leaves_the_embedding_alone_at_the_start():
    model = build(scheme="rezero", norm="none")
    x = images()
    assert torch.equal(model.blocks(model.embed(x)), model.embed(x))


def test_only_post_norm_goes_without_a_last_norm():
    assert isinstance(build(scheme="post_norm").final_norm, torch.nn.Identity)
    assert not isinstance(build(scheme="pre_norm").final_norm, torch.nn.Identity)


@pytest.mark.parametrize("scheme", ["plain", "pre_norm", "post_norm", "rezero", "depth_scaled"])
@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_every_weight_learns_and_copies_agree(scheme, norm):
    model = build(scheme=scheme, norm=norm)
    model(images()).square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    model.eval()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(images()), model(images()))


def test_compiles_without_a_break():
    model = build()
    torch.testing.assert_close(torch.compile(model, fullgraph=True, backend="aot_eager")(images()), model(images()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_features": 0}, "in_features is 0, but it must be at least 1"),
        ({"width": "wide"}, "width is 'wide', but it must be an integer"),
        ({"depth": 0}, "depth is 0, but it must be at least 1"),
        ({"out_features": -3}, "out_features is -3, but it must be at least 1"),
        ({"scheme": "residual_net"}, "scheme is 'residual_net', but it must be one of"),
        ({"norm": "bach"}, "Did you mean 'batch'"),
    ],
)
def test_wrong_arguments_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        MLP(**({"in_features": 4, "width": 4, "depth": 2, "out_features": 2} | arguments))
