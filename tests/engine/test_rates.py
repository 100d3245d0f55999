"""Every arm at several learning rates, and its own best."""

from dataclasses import dataclass, replace

import pytest

from resnorm_lib.engine.rates import at, best, by_rate, conditions
from resnorm_lib.engine.records import Run, Trial
from resnorm_lib.experiments import EXPERIMENTS, get


@dataclass(frozen=True)
class Config:
    lr: float = 0.1
    learning_rates: tuple = ()


def test_without_rates_each_arm_has_the_config_as_it_is():
    assert conditions({"a": 1}, Config()) == {"a": (Config(), 1)}


def test_with_rates_each_arm_trains_at_each_of_them():
    config = Config(learning_rates=(0.1, 0.2))
    found = conditions({"a": 1, "b": 2}, config)
    assert list(found) == ["a at 0.1", "a at 0.2", "b at 0.1", "b at 0.2"]
    assert found["b at 0.2"] == (replace(config, lr=0.2), 2)


@pytest.fixture
def run():
    losses = {0.1: (3.0, 2.0), 0.2: (1.0, 2.0), 0.5: (0.0, None)}
    trials = [Trial(at("a", r), s, summary={"loss": v}) for r, both in losses.items() for s, v in enumerate(both)]
    return Run("x", "rates", {"learning_rates": [0.1, 0.2, 0.5]}, {}, trials)


def test_the_best_rate_has_the_smallest_mean_and_no_seed_that_diverged(run):
    assert by_rate(run, "a", "loss") == {0.1: [3.0, 2.0], 0.2: [1.0, 2.0], 0.5: [0.0, None]}
    assert best(run, "a", "loss") == 0.2


def test_a_sweep_has_five_rates_or_more():
    configs = [config for name in EXPERIMENTS for config in get(name).presets.values()]
    numbers = [len(config.learning_rates) for config in configs if getattr(config, "learning_rates", ())]
    assert numbers
    assert min(numbers) >= 5
