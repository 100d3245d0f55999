"""The constants and initialisations that the papers prescribe, by number."""

import copy
import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from resnorm_lib.models import MLP, DecoderLM, EncoderDecoder, cifar_resnet
from resnorm_lib.residual import SCHEMES, BranchPosition, Residual, ResidualStack, branch_widths, make_scheme
from resnorm_lib.residual.branch import output_projection, scaled_weights
from tests.residual.tools import Valued, two_layers


def scheme(name, **position):
    return make_scheme(name, 4, position=BranchPosition(**({"index": 0} | position)))


def test_deep_norm_of_one_stack():
    """18 layers of two branches, as in Table 1 of the paper: (2N)^(1/4) and (8N)^(-1/4)."""
    deep = scheme("deep_norm", num_branches=36, branches_per_layer=2)
    assert deep.alpha == pytest.approx(2.449490, rel=1e-6)
    assert deep.beta == pytest.approx(0.288675, rel=1e-6)


def test_deep_norm_of_an_encoder_and_its_decoder():
    encoder = scheme("deep_norm", num_branches=12, branches_per_layer=2, role="encoder", other_depth=6)
    assert encoder.alpha == pytest.approx(0.81 * (6**4 * 6) ** (1 / 16), rel=1e-12)
    assert encoder.alpha == pytest.approx(1.417938, rel=1e-6)
    assert encoder.beta == pytest.approx(0.496989, rel=1e-6)
    decoder = scheme("deep_norm", num_branches=18, branches_per_layer=3, role="decoder", other_depth=6)
    assert decoder.alpha == pytest.approx(2.059767, rel=1e-6)
    assert decoder.beta == pytest.approx(0.3432945, rel=1e-6)


def test_sub_ln_gains():
    assert scheme("sub_ln", num_branches=12, branches_per_layer=2).gain == pytest.approx(math.sqrt(math.log(12)))
    decoder = scheme("sub_ln", num_branches=18, branches_per_layer=3, role="decoder", other_depth=4)
    assert decoder.gain == pytest.approx(math.sqrt(math.log(18)))
    encoder = scheme("sub_ln", num_branches=8, branches_per_layer=2, role="encoder", other_depth=6)
    assert encoder.gain == pytest.approx(math.sqrt(math.log(18) * math.log(8) / 3))


def test_t_fixup_gains():
    encoder = scheme("t_fixup", num_branches=12, branches_per_layer=2, role="encoder", other_depth=5)
    assert encoder.gain == pytest.approx(0.67 * 6**-0.25)
    assert encoder.embedding_gain == pytest.approx(45**-0.25)
    decoder = scheme("t_fixup", num_branches=15, branches_per_layer=3, role="decoder", other_depth=6)
    assert decoder.gain == decoder.embedding_gain == pytest.approx(45**-0.25)


@pytest.mark.parametrize(("layers", "start"), [(1, 0.1), (18, 0.1), (19, 1e-5), (24, 1e-5), (25, 1e-6), (36, 1e-6)])
def test_layer_scale_starts_smaller_in_deeper_networks(layers, start):
    gain = scheme("layer_scale", num_branches=2 * layers, branches_per_layer=2).gain
    assert torch.equal(gain, torch.full((4,), start))


def test_stochastic_depth_decays_linearly():
    keeps = [scheme("stochastic_depth", index=i, num_branches=54).keep for i in range(54)]
    assert keeps[0] == pytest.approx(1 - 0.5 / 54)
    assert keeps[-1] == pytest.approx(0.5)
    assert all(a - b == pytest.approx(0.5 / 54) for a, b in pairwise(keeps))


def test_gates_start_nearly_shut():
    assert torch.equal(scheme("highway").gate.bias, torch.full((4,), -2.0))
    assert torch.equal(scheme("gru").bias, torch.full((4,), 2.0))


@pytest.mark.parametrize("maps", [2, 3, 4])
def test_fixup_scales_all_maps_but_the_last_which_is_zero(maps):
    branch = nn.Sequential(*(nn.Linear(4, 4) for _ in range(maps)))
    before = [layer.weight.clone() for layer in branch]
    Residual(branch, 4, "fixup", num_branches=16)
    for layer, weight in zip(branch[:-1], before[:-1], strict=True):
        torch.testing.assert_close(layer.weight, weight * 16 ** (-1 / (2 * maps - 2)))
    assert branch[-1].weight.abs().max() == 0
    assert branch[-1].bias.abs().max() == 0


def test_fixup_starts_an_image_network_at_equal_logits():
    model = cifar_resnet(8, scheme="fixup", norm="none")
    assert torch.equal(model(torch.randn(2, 3, 32, 32)), torch.zeros(2, 10))
    assert torch.equal(MLP(5, 8, 3, out_features=4, scheme="fixup")(torch.randn(2, 5)), torch.zeros(2, 4))


def test_deep_norm_shrinks_values_and_output_but_not_queries_and_keys():
    arguments = {"vocab_size": 50, "dim": 16, "depth": 3, "num_heads": 2, "context_length": 8}
    torch.manual_seed(0)
    plain = DecoderLM(**arguments, scheme="post_norm").state_dict()
    torch.manual_seed(0)
    deep = DecoderLM(**arguments, scheme="deep_norm").state_dict()
    assert list(plain) == list(deep)
    beta = (8 * 3) ** -0.25
    for name, weight in plain.items():
        factor = torch.ones_like(weight)
        if name.endswith("qkv.weight"):
            factor[32:] = beta
        elif name.endswith(("branch.output_projection.weight", "up.weight")):
            factor.fill_(beta)
        torch.testing.assert_close(deep[name], weight * factor, msg=name)


def test_t_fixup_scales_the_embeddings_of_both_halves():
    arguments = {"source_vocab": 50, "target_vocab": 40, "dim": 16, "num_heads": 2, "context_length": 8}
    arguments |= {"encoder_depth": 2, "decoder_depth": 3}
    torch.manual_seed(0)
    plain = EncoderDecoder(**arguments, scheme="add")
    torch.manual_seed(0)
    fixed = EncoderDecoder(**arguments, scheme="t_fixup")
    for half in ("encoder.embedding", "embedding"):
        was, now = plain.get_submodule(half), fixed.get_submodule(half)
        torch.testing.assert_close(now.token.weight, was.token.weight * 27**-0.25)
    cross = plain.blocks[1].branch.key_value.weight, fixed.blocks[1].branch.key_value.weight
    torch.testing.assert_close(cross[1][:16], cross[0][:16])
    torch.testing.assert_close(cross[1][16:], cross[0][16:] * 27**-0.25)


def test_a_sequential_shows_its_maps_in_order():
    branch = two_layers(4)
    first, last = scaled_weights(branch)
    assert first is branch[0].weight
    assert last is branch[2].weight
    assert output_projection(branch) is branch[2]


# -- once, and again after a reset -----------------------------------------------------------------------------------

STARTS = ["deep_norm", "fixup", "t_fixup", "sub_ln"]


def weights(branch):
    return [weight.clone() for weight in scaled_weights(branch)]


@pytest.mark.parametrize("scheme", STARTS)
def test_a_branch_that_several_blocks_share_starts_as_one_block_would(scheme):
    alone, shared = two_layers(4, 3), two_layers(4, 3)
    Residual(alone, 4, scheme, position=BranchPosition(index=0, num_branches=6))
    stack = ResidualStack([shared] * 6, 4, scheme)
    ResidualStack([shared] * 6, 4, scheme)  # nor a second time
    for ours, theirs in zip(weights(stack[5].branch), weights(alone), strict=True):
        assert torch.equal(ours, theirs)
    assert all(block.branch is shared for block in stack)


def test_a_copy_of_a_wrapped_branch_keeps_its_start():
    branch = ResidualStack([two_layers(4, step) for step in range(4)], 4, "deep_norm")[0].branch
    before, twin = weights(branch), copy.deepcopy(branch)
    ResidualStack([twin] * 4, 4, "deep_norm")
    assert all(torch.equal(one, other) for one, other in zip(weights(twin), before, strict=True))


def test_one_branch_cannot_have_two_starts():
    branch, tied = two_layers(4), two_layers(4, 1)
    Residual(branch, 4, "deep_norm", num_branches=4)
    Residual(branch, 4, "pre_norm", num_branches=9)  # which asks for none
    for scheme, number in (("deep_norm", 9), ("sub_ln", 4)):
        with pytest.raises(ValueError, match=r"has the start of DeepNorm \(num_branches=4"):
            Residual(branch, 4, scheme, num_branches=number)
    tied[0].weight = branch[0].weight
    with pytest.raises(ValueError, match="share whole branches, not parts of them"):
        Residual(tied, 4, "deep_norm", num_branches=4)


def reset(part):
    if hasattr(part, "reset_parameters"):
        part.reset_parameters()


ORDERS = {
    "apply": lambda model: model.apply(reset),  # what is inside first
    "modules": lambda model: [reset(part) for part in model.modules()],  # what is outside first
}


class Maps(Valued):
    """As torch draws them."""

    def __init__(self, dim):
        nn.Module.__init__(self)
        self.value, self.output_projection = nn.Linear(dim, dim), nn.Linear(dim, dim)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_model_from_the_meta_device_starts_as_any_other(scheme, order):
    """What is drawn differs, so that what is not drawn must be equal, and what is scaled must have its spread."""

    def build():
        growth = {"growth": 64} if scheme == "concat" else {}
        branches = [
            Maps(64) if scheme == "value_residual" else nn.Sequential(nn.Linear(reads, 64), nn.Linear(64, writes))
            for reads, writes in branch_widths(64, scheme, 8, **growth)
        ]
        return ResidualStack(branches, 64, scheme, **growth)

    expected = build()
    with torch.device("meta"):
        model = build()
    model.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(float("nan"))
    ORDERS[order](model)
    for (name, ours), theirs in zip(model.state_dict().items(), expected.state_dict().values(), strict=True):
        if ours.dim() > 1 or name.endswith(("0.bias", "1.bias", "value.bias", "projection.bias")):
            six_errors = 6 * (2 * 0.8 / (4 * ours.numel())) ** 0.5  # of the ratio of two spreads of a uniform draw
            torch.testing.assert_close(ours.std(), theirs.std(), rtol=six_errors, atol=0)
        else:
            assert torch.equal(ours, theirs), name
