"""Rank collapse: what is measured means what it says, and the arms are what they are called."""

import numpy as np
import pytest
import torch

from resnorm_lib.experiments import get
from resnorm_lib.experiments.rank_collapse import ARMS, attention_stack, mean_cosine, rank_residual
from resnorm_lib.models.transformer_branches import FeedForward, SelfAttention

EXPERIMENT = get("rank_collapse")


def tokens(seed=0, shape=(3, 5, 7)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_rank_residual_is_that_of_the_nearest_single_vector():
    x = tokens()
    direct = [np.linalg.norm(sample - sample.mean(0)) / np.linalg.norm(sample) for sample in x.numpy()]
    assert rank_residual(x).item() == pytest.approx(np.mean(direct))
    nudged = (x - (x.mean(1, keepdim=True) + 0.01)).norm(dim=(1, 2)) / x.norm(dim=(1, 2))
    assert nudged.mean() > rank_residual(x)


def test_the_cosine_is_the_mean_over_pairs_of_different_tokens():
    x = tokens()
    unit = x / x.norm(dim=-1, keepdim=True)
    pairs = [unit[n, s] @ unit[n, t] for n in range(3) for s in range(5) for t in range(5) if s != t]
    assert mean_cosine(x).item() == pytest.approx(torch.stack(pairs).mean().item())


def test_tokens_that_are_tiny_are_compared_as_well():
    x = tokens()
    torch.testing.assert_close(mean_cosine(1e-40 * x), mean_cosine(x))


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_has_the_parts_that_its_name_says(arm):
    config = EXPERIMENT.config("cpu", depth=3)
    stack = attention_stack(*ARMS[arm], config)
    count = {kind: sum(isinstance(m, kind) for m in stack.modules()) for kind in (SelfAttention, FeedForward)}
    assert count == {SelfAttention: 3, FeedForward: 3 if "MLP" in arm else 0}
    x = tokens(shape=(1, 4, 64))
    with torch.no_grad():
        for module in stack.modules():
            if isinstance(module, SelfAttention):
                module.output_projection.weight.zero_()
            if isinstance(module, FeedForward):
                for parameter in module.parameters():
                    parameter.zero_()
        silent = stack(x)
    assert torch.equal(silent, x if "shortcut" in arm else torch.zeros_like(x))


@pytest.mark.parametrize("arm", ARMS)
def test_the_first_layer_noted_is_the_input_and_the_last_the_summary(arm):
    run = EXPERIMENT.run(EXPERIMENT.config("cpu", depth=4, samples=2, tokens=6), arms=[arm])
    [trial] = run.trials
    steps, values = trial.curve("rank_residual")
    assert steps == list(range(5))
    assert values[-1] == trial.summary["rank_residual"]


def test_the_gpu_preset_runs_at_toy_size():
    config = EXPERIMENT.config("gpu", depth=3, dim=24, num_heads=12, tokens=5, samples=2)
    run = EXPERIMENT.run(config, preset="gpu", device="cpu")
    assert run.arms == list(ARMS)
    assert all(value is not None for trial in run.trials for value in trial.summary.values())


def test_queries_get_no_gradient_where_all_tokens_are_one():
    run = EXPERIMENT.run(EXPERIMENT.config("cpu", depth=12), arms=["attention alone", "shortcut, LN, scaled"])
    assert run.values("attention alone", "queries")[0] < 1e-9
    assert run.values("shortcut, LN, scaled", "queries")[0] > 0.1
