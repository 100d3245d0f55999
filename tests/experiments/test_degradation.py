"""Degradation: what its arms build, how it measures gradients, and both presets from end to end at toy size."""

import copy
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from resnorm_lib.engine.datasets import image_task
from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.experiments import get
from resnorm_lib.experiments.degradation import build, gradient_sizes
from resnorm_lib.residual import residual_blocks
from tests.data.image_files import CIFAR, cifar_arrays

EXPERIMENT = get("degradation")
CPU, GPU = (EXPERIMENT.config(preset) for preset in ("cpu", "gpu"))
SHAPES = {"cpu": (64,), "gpu": (3, 32, 32)}


def made(kind, depth, config=CPU, shape=(64,)):
    torch.manual_seed(0)
    return build(kind, depth, config, shape)


def images(rows=256, shape=(64,)):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, *shape, generator=generator), torch.randint(10, (rows,), generator=generator)


@pytest.mark.parametrize("preset", ["cpu", "gpu"])
def test_twins_start_alike_and_only_one_has_shortcuts(preset):
    config, shape = EXPERIMENT.config(preset), SHAPES[preset]
    plain, residual = (made(kind, 20, config, shape) for kind in ("plain", "residual"))
    states = plain.state_dict(), residual.state_dict()
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    x, _ = images(4, shape)
    assert not torch.allclose(plain.eval()(x), residual.eval()(x))


@pytest.mark.parametrize(("preset", "named"), [("cpu", "plain-40 residual-2"), ("gpu", "ResNet-56-plain ResNet-20")])
def test_arms_are_named_after_their_networks_and_twins_stand_side_by_side(preset, named):
    config = EXPERIMENT.config(preset)
    arms = EXPERIMENT.arms(config)
    assert len(arms) == 2 * len(config.depths)
    assert set(named.split()) <= set(arms)
    assert list(arms.values()) == [(kind, depth) for depth in config.depths for kind in ("plain", "residual")]


def test_no_arm_on_digits_stands_beside_a_number_of_the_paper():
    """Twenty blocks of a perceptron are another network than twenty layers of convolutions."""
    with_numbers = {arm for arm, _ in EXPERIMENT.paper}
    assert not with_numbers & set(EXPERIMENT.arms(EXPERIMENT.config("cpu", depths=(2, 20, 32, 44, 56, 110))))
    assert with_numbers & set(EXPERIMENT.arms(GPU))


@pytest.mark.parametrize(("kind", "preset"), [("plain", "cpu"), ("residual", "cpu"), ("residual", "gpu")])
def test_gradient_sizes_are_those_of_the_stream_behind_each_block(kind, preset):
    """Computed a second way: push the output of one block along a direction and watch the loss."""
    config, shape = EXPERIMENT.config(preset), SHAPES[preset]
    model, (x, y) = made(kind, 8, config, shape).double(), images(8, shape)
    x = x.double()
    sizes = gradient_sizes(model, x, y)
    blocks = residual_blocks(model)
    assert len(sizes) == len(blocks)
    gradient = {}

    def keep(block, inputs, h):
        h.register_hook(lambda g: gradient.setdefault(block, g))

    hook = blocks[1].register_forward_hook(keep)
    F.cross_entropy(model(x), y).backward()
    hook.remove()
    direction = gradient[blocks[1]] / gradient[blocks[1]].norm()
    losses = []
    for step in (1e-5, -1e-5):
        hook = blocks[1].register_forward_hook(lambda block, inputs, h, step=step: h + step * direction)
        losses.append(F.cross_entropy(model(x), y).item())
        hook.remove()
    assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(sizes[1].item(), rel=1e-4)


def test_measuring_leaves_weights_mode_and_hooks_as_they_were():
    model = made("plain", 4).eval()
    weights = copy.deepcopy(dict(model.named_parameters()))
    gradient_sizes(model, *images())
    assert not model.training
    assert not any(block._forward_hooks for block in model.blocks)
    assert all(torch.equal(weights[name], p) and p.grad is None for name, p in model.named_parameters())


def test_before_training_a_plain_stack_multiplies_the_squared_gradient_by_its_known_factor():
    """pi / (pi - 1) a block (Yang et al. 2019), in a network wide enough for chance to be small."""
    model = made("plain", 20, EXPERIMENT.config("cpu", width=256))
    sizes = gradient_sizes(model, *images(1000))
    assert (sizes[0] / sizes[-1]).item() ** (2 / 19) == pytest.approx(math.pi / (math.pi - 1), rel=0.05)


def test_a_trial_notes_errors_as_it_learns_and_gradients_by_block():
    run = EXPERIMENT.run(EXPERIMENT.config("cpu", epochs=2, depths=(3,), evaluations=4))
    for trial in run.trials:
        steps, errors = trial.curve("train_error")
        assert steps == [10, 20, 30, 40]
        assert errors[-1] == trial.summary["train_error"]
        for when in ("before", "after"):
            blocks, sizes = trial.curve(f"gradient_{when}")
            assert blocks == [1, 2, 3]
            assert sizes[0] / sizes[-1] == pytest.approx(trial.summary[f"gradient_{when}"], rel=1e-5)


@pytest.mark.parametrize("preset", ["rates", "adam"])
def test_a_sweep_notes_three_times_the_error_by_which_a_rate_is_chosen(preset):
    config = EXPERIMENT.config(preset, depths=(2,), epochs=2, learning_rates=[0.01])
    for trial in EXPERIMENT.run(config, preset=preset).trials:
        steps, errors = trial.curve("val_error")
        assert steps == [10, 20, 30]
        assert errors[-1] == trial.summary["val_error"] != trial.summary["test_error"]


@pytest.mark.parametrize("preset", ["rates", "adam"])
def test_a_sweep_looks_after_200_400_and_600_steps(preset):
    config = EXPERIMENT.config(preset)
    task = image_task("digits", config.batch_size, TrialLog("toy", 0, torch.device("cpu")), held=config.held)
    assert (config.epochs * task.steps, config.evaluations) == (600, 3)


def test_the_optimizer_is_a_setting():
    losses = [
        EXPERIMENT.run(EXPERIMENT.config("cpu", epochs=1, depths=(2,), optimizer=name)).trials[0].summary["train_loss"]
        for name in ("sgd", "adam")
    ]
    assert losses[0] != losses[1]
    with pytest.raises(ValueError, match="optimizer is 'adm'"):
        EXPERIMENT.run(EXPERIMENT.config("cpu", epochs=1, depths=(2,), optimizer="adm"))


@pytest.mark.parametrize("amp", [False, True])
def test_the_gpu_preset_runs_on_a_cpu_at_toy_size(tmp_path, monkeypatch, amp):
    np.savez(tmp_path / CIFAR, **cifar_arrays())
    monkeypatch.setenv("RESNORM_DATA", str(tmp_path))
    small = {"epochs": 1, "train_images": 16, "batch_size": 8, "depths": (8,), "warmup": 1, "amp": amp}
    run = EXPERIMENT.run(EXPERIMENT.config("gpu", **small), preset="gpu", device="cpu")
    assert run.arms == ["ResNet-8-plain", "ResNet-8"]
    for trial in run.trials:
        assert trial.diverged is None
        assert set(EXPERIMENT.metrics) <= set(trial.summary)
        assert all(value is not None and math.isfinite(value) for value in trial.summary.values())
