"""Which shortcut: what stands where in each arm, how the product of factors is measured, and both presets."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from resnorm_lib.experiments import get
from resnorm_lib.experiments.which_shortcut import SHORTCUTS, build
from resnorm_lib.experiments.which_shortcut.shortcuts import log_product, mean_factors
from resnorm_lib.residual import residual_blocks
from tests.data.image_files import CIFAR, cifar_arrays

EXPERIMENT = get("which_shortcut")
CPU = EXPERIMENT.config("cpu", depth=5)
IMAGES = EXPERIMENT.config("gpu", depth=20)
SETTINGS = pytest.mark.parametrize(("config", "shape"), [(CPU, (64,)), (IMAGES, (3, 32, 32))], ids=["cpu", "gpu"])


def made(name, config=CPU, shape=(64,)):
    torch.manual_seed(0)
    return build(*SHORTCUTS[name], config, shape)


def images(shape=(64,), rows=32):
    return torch.randn(rows, *shape, generator=torch.Generator().manual_seed(1))


def silence(model):
    """Make every branch compute 0, so that what is left is the shortcuts alone."""
    for block in residual_blocks(model):
        last = block.bn2 if hasattr(block, "bn2") else block.branch[1]
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
    return model.eval()


def stream(model, x):
    return model.blocks(model.embed(x)) / model.embed(x)


@SETTINGS
def test_every_arm_is_a_network_of_the_depth_that_is_asked_for(config, shape):
    for name in SHORTCUTS:
        model = made(name, config, shape)
        assert len(residual_blocks(model)) == (5 if config is CPU else 9)
        assert model(images(shape, rows=4)).shape == (4, 10)


@SETTINGS
def test_the_identity_changes_nothing(config, shape):
    torch.manual_seed(0)
    untouched = build("other", None, config, shape).eval()
    assert torch.equal(untouched(images(shape)), made("identity", config, shape).eval()(images(shape)))


@pytest.mark.parametrize(("name", "factor"), [("identity", 1.0), ("factor 0.9", 0.9), ("factor 0.5", 0.5)])
def test_with_silent_branches_factors_multiply(name, factor):
    torch.testing.assert_close(stream(silence(made(name)), images()), torch.full((32, 64), factor**5))


@pytest.mark.parametrize("name", ["shortcut gate, bias 0", "exclusive gate, bias -6"])
def test_with_silent_branches_gates_multiply(name):
    model = silence(made(name))
    bias = SHORTCUTS[name][1]
    for module in model.modules():
        if hasattr(module, "gate"):
            nn.init.zeros_(module.gate.weight)
    expected = (1 - 1 / (1 + math.exp(-bias))) ** 5
    torch.testing.assert_close(stream(model, images()), torch.full((32, 64), expected))
    assert log_product(mean_factors(model, images())) == pytest.approx(math.log10(expected), abs=1e-5)


def test_the_exclusive_gate_shares_out_what_the_shortcut_gate_leaves_whole():
    """Shut by half, one adds half of the branch and the other all of it."""
    shares = []
    for name in ("exclusive gate, bias 0", "shortcut gate, bias 0"):
        model = made(name, EXPERIMENT.config("cpu", depth=1)).eval()
        for module in model.modules():
            if hasattr(module, "gate"):
                nn.init.zeros_(module.gate.weight)
        (block,), h = residual_blocks(model), images()
        shares.append((block(h) - h / 2) / block.branch(block.scheme.norm(h)))
    torch.testing.assert_close(shares[0], torch.full((32, 64), 0.5), rtol=0, atol=1e-3)
    torch.testing.assert_close(shares[1], torch.full((32, 64), 1.0), rtol=0, atol=1e-3)


def test_frozen_halves_stay_halves():
    model = made("halves")
    assert mean_factors(model, images()) == pytest.approx([0.5] * 5)
    assert not any(block.scheme.gate.weight.requires_grad for block in model.blocks)


def test_halves_are_factors_of_one_half_from_twice_the_input():
    """A branch reads through a norm, which takes every factor out: half of the whole sum is another unit."""
    halves, half = made("halves").train(), made("factor 0.5").train()
    half.load_state_dict(halves.state_dict(), strict=False)
    h = images().double()
    halves, half = halves.double(), half.double()
    torch.testing.assert_close(2 * halves.blocks(h), half.blocks(2 * h), rtol=1e-4, atol=1e-4)


def test_a_matrix_from_the_identity_starts_as_the_identity():
    x = images()
    assert torch.equal(made("identity").blocks[0].downsample(x), x)
    for config, shape in ((CPU, (64,)), (IMAGES, (16, 8, 8))):
        changed = made("matrix from I", config, (64,) if config is CPU else (3, 32, 32))
        x = images(shape)
        torch.testing.assert_close(residual_blocks(changed)[0].downsample(x), x)


def test_a_matrix_keeps_the_size_of_what_it_gets():
    model = made("matrix", EXPERIMENT.config("cpu", width=512))
    x = images((512,), rows=200)
    assert model.blocks[0].downsample(x).square().mean().item() == pytest.approx(1, rel=0.05)


def test_where_the_shape_changes_the_padding_comes_first():
    entry = residual_blocks(made("factor 0.5", IMAGES, (3, 32, 32)))[3]
    x = images((16, 32, 32), rows=2)
    out = entry.downsample(x)
    assert out.shape == (2, 32, 16, 16)
    assert torch.equal(out[:, :16], 0.5 * x[:, :, ::2, ::2])
    assert not out[:, 16:].any()


@pytest.mark.parametrize("name", ["matrix", "dropout", "none"])
def test_no_factors_are_given_where_there_are_none(name):
    assert mean_factors(made(name), images()) is None


def test_the_masks_of_dropout_hang_on_the_seed_alone():
    """Dropout draws from the global stream, which whoever ran before has moved."""
    config = EXPERIMENT.config("cpu", epochs=1, depth=2)
    losses = []
    for draws in (0, 5):
        torch.rand(draws)
        losses.append(EXPERIMENT.run(config, arms=["dropout"]).trials[0].summary["train_loss"])
    assert losses[0] == losses[1]


def test_arms_can_be_chosen_and_a_wrong_name_is_named():
    chosen = EXPERIMENT.config("cpu", shortcuts=["dropout", "identity"])
    assert list(EXPERIMENT.arms(chosen)) == ["dropout", "identity"]
    with pytest.raises(ValueError, match="shortcut is 'gate'"):
        EXPERIMENT.arms(EXPERIMENT.config("cpu", shortcuts=["gate"]))


def test_numbers_of_the_paper_belong_to_arms_that_exist():
    assert {arm for arm, _ in EXPERIMENT.paper} <= set(SHORTCUTS)


def test_the_gpu_preset_runs_on_a_cpu_at_toy_size(tmp_path, monkeypatch):
    np.savez(tmp_path / CIFAR, **cifar_arrays())
    monkeypatch.setenv("RESNORM_DATA", str(tmp_path))
    small = {"epochs": 1, "train_images": 16, "batch_size": 8, "depth": 8, "warmup": 1, "lr": 0.001}
    config = EXPERIMENT.config("gpu", shortcuts=list(SHORTCUTS), **small)
    run = EXPERIMENT.run(config, preset="gpu", device="cpu")
    assert run.arms == list(SHORTCUTS)
    for trial in run.trials:
        assert trial.diverged is None
        assert set(EXPERIMENT.metrics) <= set(trial.summary)
    assert run.trials[0].summary["product_after"] == 0
