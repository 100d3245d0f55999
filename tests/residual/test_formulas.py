"""Each scheme that carries nothing but x against its formula, written out a second time in float64."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from resnorm_lib.residual import SCHEMES, BranchPosition, Residual, ResidualStack, branch_widths, profile_admin
from tests.residual.tools import disturb, draw, linear, make_stack, two_layers


def layer_norm(x, eps=1e-5):
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + eps).sqrt()


def check(block, x, expected):
    torch.testing.assert_close(block.double()(x), expected, rtol=1e-12, atol=1e-12)


def third_of_six(scheme, f=None, **options):
    return Residual(f or linear(6), 6, scheme=scheme, position=BranchPosition(index=2, num_branches=6), **options)


def test_plain():
    f, x = linear(6), draw(5, 6)
    check(Residual(f, 6, scheme="plain"), x, f(layer_norm(x)))


def test_add():
    f, x = linear(6), draw(5, 6)
    check(Residual(f, 6, scheme="add"), x, x + f(x))


def test_pre_norm():
    f, x = linear(6), draw(5, 6)
    check(Residual(f, 6), x, x + f(layer_norm(x)))


def test_post_norm():
    f, x = linear(6), draw(5, 6)
    check(Residual(f, 6, scheme="post_norm"), x, layer_norm(x + f(x)))


def test_res_post_norm():
    f, x = linear(6), draw(5, 6)
    check(Residual(f, 6, scheme="res_post_norm"), x, x + layer_norm(f(x)))


def test_parallel_branches_of_a_layer_read_one_norm_of_the_same_stream():
    branches, x = [linear(6, seed) for seed in range(4)], draw(5, 6)
    stack = ResidualStack(branches, 6, scheme="parallel", branches_per_layer=2)
    h = x + branches[0](layer_norm(x)) + branches[1](layer_norm(x))
    check(stack, x, h + branches[2](layer_norm(h)) + branches[3](layer_norm(h)))


def test_admin_weighs_the_shortcut_by_feature():
    f, x = linear(6), draw(5, 6)
    block = disturb(Residual(f, 6, scheme="admin", norm=None))
    check(block, x, block.scheme.omega * x + f(x))


def test_sandwich():
    f, x = linear(6), draw(5, 6)
    check(Residual(f, 6, scheme="sandwich"), x, x + layer_norm(f(layer_norm(x))))


def test_peri_ln_normalizes_the_embedding_too():
    stack, x = make_stack("peri_ln", blocks=2), draw(5, 4)
    h = layer_norm(x)
    for block in stack:
        h = h + layer_norm(block.branch(layer_norm(h)))
    check(stack, x, h)


def test_sub_ln_normalizes_inside_the_branch():
    f, x = two_layers(6), draw(5, 6)
    first, last = (f[0].weight.clone(), f[0].bias), (f[2].weight.clone(), f[2].bias)
    gain = math.sqrt(math.log(6))
    block = third_of_six("sub_ln", f)
    inner = torch.tanh(F.linear(layer_norm(x), gain * first[0], first[1]))
    check(block, x, x + F.linear(layer_norm(inner), gain * last[0], last[1]))


def test_deep_norm():
    f, x = linear(6), draw(5, 6)
    before = f.weight.clone()
    block = third_of_six("deep_norm", f)
    check(block, x, layer_norm(6**0.25 * x + F.linear(x, before * 24**-0.25, f.bias)))


def test_ln_scaling_counts_layers_from_one():
    f, x = linear(6), draw(5, 6)
    check(third_of_six("ln_scaling", f), x, x + f(layer_norm(x) / math.sqrt(3)))
    in_transformer = BranchPosition(index=2, num_branches=6, branches_per_layer=2)
    check(Residual(f, 6, scheme="ln_scaling", position=in_transformer), x, x + f(layer_norm(x) / math.sqrt(2)))


def test_mix_ln_is_post_norm_in_the_first_quarter():
    f, x = linear(6), draw(5, 6)
    for index in range(8):
        block = Residual(f, 6, scheme="mix_ln", position=BranchPosition(index=index, num_branches=8))
        check(block, x, layer_norm(x + f(x)) if index < 2 else x + f(layer_norm(x)))
        assert block.scheme.needs_final_norm == (index >= 2)


def test_depth_scaled_and_complete_p():
    f, x = linear(6), draw(5, 6)
    check(Residual(f, 6, scheme="depth_scaled", num_branches=7), x, x + f(layer_norm(x)) / math.sqrt(7))
    check(Residual(f, 6, scheme="complete_p", num_branches=7), x, x + f(layer_norm(x)) / 7)


def test_rezero_and_skip_init():
    f, x = linear(6), draw(5, 6)
    for scheme, read in (("rezero", layer_norm(x)), ("skip_init", x)):
        block = Residual(f, 6, scheme=scheme)
        nn.init.constant_(block.scheme.alpha, 0.75)
        check(block, x, x + 0.75 * f(read))


def test_layer_scale():
    f, x = linear(6), draw(5, 6)
    block = Residual(f, 6, scheme="layer_scale", initial=0.5)
    check(block, x, x + 0.5 * f(layer_norm(x)))


def test_fixup():
    f, x = two_layers(6), draw(5, 6)
    block = disturb(Residual(f, 6, scheme="fixup", num_branches=9).double())
    s = block.scheme
    check(block, x, x + s.gain * f(x + s.bias_in) + s.bias_out)


def test_t_fixup():
    f, x = linear(6), draw(5, 6)
    check(Residual(f, 6, scheme="t_fixup", num_branches=9), x, x + f(x))


def test_highway():
    f, x = linear(6), draw(5, 6)
    block = disturb(Residual(f, 6, scheme="highway", norm="none").double())
    t = torch.sigmoid(x @ block.scheme.gate.weight.T + block.scheme.gate.bias)
    check(block, x, t * f(x) + (1 - t) * x)


def test_gru_gate():
    f, x = linear(6), draw(5, 6)
    block = disturb(Residual(f, 6, scheme="gru").double())
    w, u = ([layer.weight.T for layer in layers] for layers in (block.scheme.of_branch, block.scheme.of_stream))
    y = f(F.layer_norm(x, (6,), block.scheme.norm.weight, block.scheme.norm.bias)).clamp(min=0)
    r, z = torch.sigmoid(y @ w[0] + x @ u[0]), torch.sigmoid(y @ w[1] + x @ u[1] - block.scheme.bias)
    check(block, x, (1 - z) * x + z * torch.tanh(y @ w[2] + (r * x) @ u[2]))


def test_stochastic_depth_in_evaluation_is_the_mean_of_training():
    f, x = linear(6), draw(1, 6)
    block = third_of_six("stochastic_depth", f, survival=0.4).double()
    keep = 1 - 3 / 6 * 0.6
    torch.manual_seed(0)
    trained = block(x.expand(20000, 6))
    change = f(layer_norm(x))
    kept = torch.isclose(trained, x + change).all(-1)
    assert (kept | torch.isclose(trained, x).all(-1)).all()  # each row has the whole branch or nothing of it
    assert kept.double().mean().item() == pytest.approx(keep, abs=4 * (keep * (1 - keep) / 20000) ** 0.5)
    check(block.eval(), x, x + keep * change)


def test_stochastic_depth_can_toss_one_coin_for_the_batch():
    block = third_of_six("stochastic_depth", survival=0.0, per_sample=False).double()
    x = draw(50, 6)
    torch.manual_seed(0)
    dropped = [(block(x) == x).all(-1) for _ in range(40)]
    assert all(rows.all() or not rows.any() for rows in dropped)
    assert 0 < sum(bool(rows.all()) for rows in dropped) < 40


@pytest.mark.parametrize("scheme", ["rezero", "skip_init", "fixup"])
def test_promised_identities_hold_bit_for_bit(scheme):
    x = draw(7, 4)
    assert torch.equal(make_stack(scheme)(x), x)


@pytest.mark.parametrize("scheme", ["dense_former", "hyper_connections", "stochastic_hyper_connections"])
def test_schemes_that_begin_as_pre_norm(scheme):
    x = draw(7, 4)
    tolerance = 5e-2 if scheme.startswith("stochastic") else 1e-12  # its R is the identity up to e^-8
    torch.testing.assert_close(make_stack(scheme)(x), make_stack("pre_norm")(x), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name not in ("plain", "value_residual")])
def test_features_of_images_stand_on_axis_one(scheme):
    """A 1x1 convolution of an image is a linear map of each pixel, so both layouts must agree."""

    def branch(reads, seed, writes):
        f = two_layers(reads, seed, writes)
        for number in (0, 2):
            layer = nn.Conv2d(f[number].in_features, f[number].out_features, 1, dtype=torch.float64)
            layer.load_state_dict({"weight": f[number].weight[:, :, None, None], "bias": f[number].bias})
            f[number] = layer
        return f

    options = {"growth": 3} if scheme == "concat" else {}
    widths = branch_widths(4, scheme, 4, **options)
    convolutions = [branch(reads, step, writes) for step, (reads, writes) in enumerate(widths)]
    images = ResidualStack(convolutions, 4, scheme, position=BranchPosition(feature_axis=1), **options).double().eval()
    tokens = make_stack(scheme).eval()
    for image, token in zip(disturb(images).parameters(), disturb(tokens).parameters(), strict=True):
        image.data = token.data.view_as(image)
    x = draw(2, 3, 5, 4)
    torch.testing.assert_close(images(x.movedim(-1, 1)).movedim(1, -1), tokens(x))


def test_other_norms_stand_in_the_same_place():
    f, x = linear(6), draw(5, 6)
    rms = x / (x.square().mean(-1, keepdim=True) + torch.finfo(torch.float64).eps).sqrt()
    check(Residual(f, 6, norm="rms"), x, x + f(rms))
    check(Residual(f, 6, norm="batch"), x, x + f(F.batch_norm(x, None, None, training=True)))
    check(Residual(f, 6, norm="none"), x, x + f(x))


def test_further_arguments_reach_the_branch():
    class Shifted(nn.Linear):
        def forward(self, x, shift):
            return super().forward(x) + shift

    block = Residual(Shifted(6, 6), 6, norm="none").double()
    x = draw(5, 6)
    torch.testing.assert_close(block(x, shift=2.0), block(x, 0.0) + 2)


def test_admin_weighs_the_shortcut_by_all_earlier_branches():
    """omega is 1, then the root of the variance of the sum before the norm, as if nothing had been normalized."""
    branches, x = [linear(6, seed) for seed in range(3)], draw(50, 6)
    stack = ResidualStack(branches, 6, "admin").double()
    profile_admin(stack, x)
    omega, y = 1.0, x
    for block, f in zip(stack, branches, strict=True):
        torch.testing.assert_close(block.scheme.omega, torch.full((6,), omega, dtype=torch.float64))
        before, y = y, layer_norm(omega * y + f(y)).detach()
        omega = math.sqrt(omega**2 * before.var(correction=0) + f(before).detach().var(correction=0))
    check(stack, x, y)
