"""Small batches: what each arm builds, whose rows its statistics are, and how it is measured."""

import numpy as np
import pytest
import torch
from torch import nn

from resnorm_lib.engine import classification
from resnorm_lib.experiments import get, small_batches
from resnorm_lib.experiments.small_batches import build
from resnorm_lib.experiments.small_batches.batch_statistics import (
    evaluate_in_batches,
    replace_norms,
    with_precise_statistics,
)
from resnorm_lib.norms import BatchNorm, BatchRenorm, GhostBatchNorm, GroupNorm
from tests.data.image_files import CIFAR, cifar_arrays

EXPERIMENT = get("small_batches")
CPU = EXPERIMENT.config("cpu")
NORMS = ("BN", "ghost BN", "GN", "LN", "renorm")


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(norm, size=4, config=CPU, shape=(64,)):
    torch.manual_seed(0)
    return build(norm, size, config, shape)


def test_all_arms_start_with_the_same_parameters():
    first, *others = [dict(made(norm).named_parameters()) for norm in NORMS]
    for other in others:
        assert all(torch.equal(value, first[name]) for name, value in other.items())
        assert other.keys() == first.keys()


@pytest.mark.parametrize(
    ("norm", "kind", "setting"),
    [
        ("BN", BatchNorm, {}),
        ("ghost BN", GhostBatchNorm, {"ghost_batch_size": 4}),
        ("GN", GroupNorm, {"num_groups": 8}),
        ("LN", GroupNorm, {"num_groups": 1}),
        ("renorm", BatchRenorm, {"r_max": 1.0, "d_max": 0.0}),
    ],
)
def test_an_arm_has_the_norm_that_its_name_says_and_no_other(norm, kind, setting):
    norms = [m for m in made(norm).modules() if type(m).__module__.startswith("resnorm_lib") and hasattr(m, "eps")]
    assert len(norms) == CPU.depth + 1
    for layer in norms:
        assert type(layer) is kind
        assert {name: getattr(layer, name) for name in setting} == setting


def test_ghosts_of_a_batch_are_small_batches_of_their_own():
    """The network with ghosts of four gives what the network with BN gives for each four rows."""
    x = normal(12, 64).float()
    ghosts, whole = made("ghost BN"), made("BN")
    apart = torch.cat([whole(part) for part in x.split(4)])
    torch.testing.assert_close(ghosts(x), apart, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(whole(x), apart, atol=0.1)


def test_a_norm_is_replaced_with_its_gain_its_offset_and_its_statistics():
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(BatchNorm(3)))
    old = model[1][0]
    for value in (old.weight, old.bias, old.running_mean):
        nn.init.normal_(value)
    new = replace_norms(model, lambda channels: GhostBatchNorm(channels, 2))[1][0]
    assert type(new) is GhostBatchNorm
    assert all(torch.equal(value, old.state_dict()[key]) for key, value in new.state_dict().items())


def test_precise_statistics_are_those_of_all_data_as_evaluation_passes_it():
    """Layer after layer: a second norm sees what the first gives with statistics of all data, not of ghosts."""
    x = 5 + 2 * normal(96, 64).float()
    model = made("ghost BN")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    twin = with_precise_statistics(model, [(x, None)])
    norm = twin.blocks[1].scheme.norm
    inputs = []
    norm.register_forward_pre_hook(lambda layer, args: inputs.append(args[0]))
    twin.eval()(x)
    torch.testing.assert_close(norm.running_mean, inputs[0].mean(0), rtol=0, atol=0.05)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("norm", ["BN", "ghost BN"])
def test_the_function_that_was_trained_is_measured_in_batches_of_its_size(norm):
    x, y = normal(14, 64).float(), torch.arange(14) % 10
    model = made(norm)
    parts = [model(part) for part in x[:12].split(4)]
    loss, error = evaluate_in_batches(model.eval(), [(x, y)], 4)  # two rows are left over
    torch.testing.assert_close(loss, nn.functional.cross_entropy(torch.cat(parts), y[:12]))
    assert error == (torch.cat(parts).argmax(1) != y[:12]).float().mean()
    assert not model.training


def test_ghosts_stand_beside_the_batch_of_their_size():
    """A run cut short has finished the sizes that it began with."""
    arms = list(EXPERIMENT.arms(CPU))
    assert arms[:3] == ["BN, 128", "GN, 128", "LN, 128"]
    for size in CPU.ghosts:
        assert arms.index(f"BN, {size}") == arms.index(f"ghost BN, {size}") + 1


def test_the_rate_goes_with_the_batch_and_ghosts_leave_it_alone(monkeypatch):
    seen = {}

    def fit(model, batches, recipe, log, **rest):
        seen[log.arm] = recipe.lr, len(next(batches)[0]), recipe.steps

    monkeypatch.setattr(classification, "fit", fit)
    EXPERIMENT.run(EXPERIMENT.config("cpu", epochs=2), arms=["BN, 128", "ghost BN, 2", "BN, 32", "GN, 8"])
    assert seen == {
        "BN, 128": (0.1, 128, 20),
        "ghost BN, 2": (0.1, 128, 20),
        "BN, 32": (0.025, 32, 80),
        "GN, 8": (0.00625, 8, 324),
    }


def test_renormalization_begins_to_correct_after_the_first_epoch(monkeypatch):

    limits, enable = [], small_batches.enable_correction

    def watch(model):
        limits.append({layer.r_max for layer in model.modules() if isinstance(layer, BatchRenorm)})
        enable(model)
        limits.append({(m.r_max, m.d_max) for m in model.modules() if isinstance(m, BatchRenorm)})

    monkeypatch.setattr(small_batches, "enable_correction", watch)
    EXPERIMENT.run(EXPERIMENT.config("cpu", epochs=1, renorm=(64,)), arms=["renorm, 64"])
    assert limits == [{1.0}, {(1.5, 0.5)}]


def test_a_trial_notes_what_the_table_shows():
    run = EXPERIMENT.run(EXPERIMENT.config("cpu", epochs=1), arms=["ghost BN, 8", "GN, 128"])
    ghosts, group = run.trials
    assert set(ghosts.summary) >= set(EXPERIMENT.metrics)
    assert {"test_error", "train_loss"} <= set(group.summary)
    sizes, errors = ghosts.curve("error_in_batches")
    assert sizes == [2, 4, 8, 32, 128]
    assert errors[2] == ghosts.summary["batch_error"]


def test_a_sweep_notes_the_error_by_which_a_rate_is_chosen():
    config = EXPERIMENT.config("rates", epochs=1, learning_rates=[0.05])
    ghosts, small = EXPERIMENT.run(config, preset="rates", arms=["ghost BN, 8", "GN, 2"]).trials
    for trial in (ghosts, small):
        assert trial.summary["val_error"] != trial.summary["test_error"]


@pytest.mark.parametrize("amp", [False, True])
def test_the_gpu_preset_runs_at_toy_size(tmp_path, monkeypatch, amp):
    monkeypatch.setenv("RESNORM_DATA", str(tmp_path))
    np.savez(tmp_path / CIFAR, **cifar_arrays(32))
    config = EXPERIMENT.config(
        "gpu", epochs=1, train_images=32, batch_size=16, depth=8, ghosts=(2, 8), groups=4, lr=0.001, amp=amp
    )
    run = EXPERIMENT.run(config, preset="gpu", device="cpu")
    assert run.arms == ["BN, 16", "GN, 16", "LN, 16", "ghost BN, 2", "ghost BN, 8"]
    for trial in run.trials:
        assert trial.diverged is None
        assert "test_error" in trial.summary
    assert run.values("ghost BN, 2", "precise_error")[0] is not None
