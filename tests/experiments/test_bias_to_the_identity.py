"""Biased to the identity: the share that is measured, and what each arm builds."""

import numpy as np
import pytest
import torch
from torch import nn

from resnorm_lib.experiments import get
from resnorm_lib.experiments.bias_to_the_identity import ARMS, LINEAR, Perceptron, branch_shares, build
from resnorm_lib.residual import ResidualStack
from tests.data.image_files import CIFAR, cifar_arrays

EXPERIMENT = get("bias_to_the_identity")
CPU = EXPERIMENT.config("cpu", width=256)
STARTS_AS_IDENTITY = ("SkipInit", "Fixup")


@pytest.fixture
def x():
    return torch.randn(256, 64, generator=torch.Generator().manual_seed(0))


def made(name, depth, config=CPU, shape=(64,)):
    torch.manual_seed(0)
    return build(name, depth, config, shape)


class OneBlock(nn.Module):
    """A stack of one block, with a branch to choose."""

    def __init__(self, branch, scheme="add"):
        super().__init__()
        self.stages = [ResidualStack([branch], 64, scheme, norm="none")]

    def forward(self, x):
        return self.stages[0](x)


def test_the_share_is_that_of_the_part_that_is_no_multiple_of_the_input(x):
    """A branch -x/2 keeps the direction; one that turns x by a quarter gives 1/sqrt(2)."""
    halved, turned = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)
    with torch.no_grad():
        halved.weight.copy_(-torch.eye(64) / 2)
        turn = torch.zeros(64, 64)
        turn[torch.arange(0, 64, 2), torch.arange(1, 64, 2)] = 1
        turned.weight.copy_(turn - turn.T)
    assert branch_shares(OneBlock(halved), x).item() == pytest.approx(0, abs=1e-6)
    assert branch_shares(OneBlock(turned), x).item() == pytest.approx(0.5**0.5, rel=0.05)
    shifted = branch_shares(OneBlock(turned), x + 100)  # a mean over the batch is no part of a share
    assert shifted.item() == pytest.approx(branch_shares(OneBlock(turned), x).item(), rel=1e-3)


def test_with_batch_normalization_the_shares_fall_like_the_root_of_the_depth(x):
    """Each branch adds 1 - 1/pi, for its last ReLU reads a normalized input: s / (1 + s l) is the squared share."""
    added = 1 - 1 / torch.pi
    law = (added / (1 + added * torch.arange(1, 41))).sqrt()
    torch.testing.assert_close(branch_shares(made("BN", 40), x), law, rtol=0.1, atol=0)


@pytest.mark.parametrize(("name", "share"), [("BN after the sum", 0.6362), ("plain BN", 1.0), ("no norm", 0.5**0.5)])
def test_without_the_bias_the_shares_do_not_fall(name, share, x):
    """After the sum: the stream has the variance 1 and the branch 1 - 1/pi, 0.405 of both together."""
    shares = branch_shares(made(name, 40), x)
    assert shares[5:].mean().item() == pytest.approx(share, rel=0.15)


@pytest.mark.parametrize("name", STARTS_AS_IDENTITY)
def test_some_start_as_the_identity(name, x):
    assert branch_shares(made(name, 10), x).max() == 0


def test_measuring_changes_nothing(x):
    model = made("BN", 3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.eval()
    branch_shares(model, x)
    assert not model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_has_the_norm_that_its_name_says_and_no_other(name):
    kinds = {type(module).__name__ for module in made(name, 2).modules()} & {"BatchNorm", "LayerNorm"}
    norm = {"batch": {"BatchNorm"}, "layer": {"LayerNorm"}, "none": set()}[ARMS[name][1]]
    assert kinds == norm


def test_rezero_without_norms_is_skip_init(x):
    models = []
    for scheme in ("rezero", "skip_init"):
        torch.manual_seed(0)
        models.append(Perceptron(64, 32, 4, scheme, "none"))
    assert torch.equal(models[0](x), models[1](x))


def test_the_baseline_is_linear_and_has_the_ends_of_the_others(x):
    linear, deep = made(LINEAR, 0), made("no norm", 5)
    moved = linear(x + 1) - linear(x)
    torch.testing.assert_close(moved, moved[:1].expand_as(moved), rtol=0, atol=1e-5)
    assert torch.equal(linear.embed.weight, deep.embed.weight)
    assert linear.head.weight.shape == deep.head.weight.shape
    images = torch.randn(2, 3, 8, 8)
    assert made(LINEAR, 0, shape=(3, 8, 8))(images).shape == (2, 10)


@pytest.mark.parametrize("name", [LINEAR, *ARMS])
def test_no_offset_starts_at_random(name):
    assert all(p.abs().max() == 0 for key, p in made(name, 2).named_parameters() if key.endswith("bias"))


def test_fixup_starts_as_its_paper_says():
    model = made("Fixup", 16)
    assert model.head.weight.abs().max() == 0
    for block in model.blocks:
        assert block.branch[-1].weight.abs().max() == 0
        # two maps: He's sqrt(2/width), times 16 ** (-1 / (2 * 2 - 2)) = 1/4
        assert block.branch[1].weight.std().item() == pytest.approx((2 / 256) ** 0.5 / 4, rel=0.05)


def test_a_trial_notes_what_the_table_shows():
    run = EXPERIMENT.run(EXPERIMENT.config("cpu", depths=(3,), epochs=2, width=16), arms=["SkipInit, 3", "BN, 3"])
    for trial in run.trials:
        assert set(trial.summary) >= set(EXPERIMENT.metrics)
        assert trial.diverged is None
    assert run.mean("SkipInit, 3", "share_start") == 0
    assert run.mean("SkipInit, 3", "share_end") > 0


def test_a_trial_that_diverges_keeps_its_first_share():
    config = EXPERIMENT.config("cpu", depths=(40,), epochs=1, lr=10.0)
    trial = EXPERIMENT.run(config, arms=["no norm, 40"]).trials[0]
    assert trial.diverged is not None
    assert 0.5 < trial.summary["share_start"] < 1


def test_the_networks_for_photographs_run_with_every_arm(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNORM_DATA", str(tmp_path))
    np.savez(tmp_path / CIFAR, **cifar_arrays(16))
    config = EXPERIMENT.config("gpu", depths=(14,), epochs=1, train_images=16, batch_size=8, warmup=0, lr=0.001)
    run = EXPERIMENT.run(config, preset="gpu", device="cpu")
    assert run.arms == [LINEAR, *(f"{name}, 14" for name in ARMS)]
    for trial in run.trials:
        assert trial.diverged is None
        assert "test_error" in trial.summary
        assert ("share_start" in trial.summary) == ("share_end" in trial.summary) == (trial.arm != LINEAR)
    for name in STARTS_AS_IDENTITY:
        assert run.mean(f"{name}, 14", "share_start") == 0
