"""Agents: what the maze pays, what a policy sees, and what the policy gradient is."""

import itertools

import pytest
import torch
from torch import nn

from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.experiments import get
from resnorm_lib.experiments.agents import SCHEMES, train
from resnorm_lib.experiments.agents.learning import Memoryless, Policy, objective, returns_to_go, walk
from resnorm_lib.experiments.agents.maze import BUMP, FORWARD, JUNCTION, LEFT, POSTER, RIGHT, Maze, Walk

EXPERIMENT = get("agents")
MAZE = Maze(corridor=3, limit=7)
TOY = {"corridor": 1, "limit": 3, "depth": 1, "width": 4, "walks": 4, "updates": 3}
CHOICES = torch.eye(3)


def table(*actions: int) -> torch.Tensor:
    """A policy that takes one action for each of the five observations."""
    return CHOICES[list(actions)]


def test_who_remembers_the_sign_earns_one_and_who_does_not_half_of_it():
    knows = torch.stack([table(FORWARD, FORWARD, FORWARD, FORWARD, turn) for turn in (LEFT, RIGHT)])
    assert MAZE.expected_return(knows) == 1
    assert max(MAZE.expected_return(table(*a)) for a in itertools.product(range(3), repeat=5)) == 0.5


def test_who_never_walks_bumps_until_the_time_is_up():
    assert MAZE.expected_return(table(LEFT, LEFT, LEFT, LEFT, LEFT)) == pytest.approx(7 * BUMP)
    assert MAZE.expected_return(table(FORWARD, FORWARD, FORWARD, FORWARD, FORWARD)) == pytest.approx(3 * BUMP)


def test_the_expected_return_is_the_mean_of_walks():
    policy = Memoryless()
    nn.init.normal_(policy.table.weight, generator=torch.Generator().manual_seed(1))
    logits, _ = policy(torch.arange(5))
    earned = walk(policy, MAZE, 20_000, torch.Generator().manual_seed(2)).rewards.sum(1)
    error = earned.std() / 20_000**0.5
    assert abs(earned.mean() - MAZE.expected_return(logits.softmax(-1))) < 4 * error


def test_an_episode_ends_at_its_turn_and_earns_nothing_afterwards():
    seen = walk(Memoryless(), MAZE, 500, torch.Generator().manual_seed(3))
    turned = (seen.seen == JUNCTION) & (seen.actions != FORWARD) & seen.alive
    after = turned.cumsum(1) - turned.long() > 0
    assert turned.any()
    assert not seen.alive[after].any()
    assert not seen.rewards[after].any()


def test_the_sign_is_seen_at_the_entrance_alone_and_the_posters_do_not_depend_on_it():
    cell, side = torch.arange(5).repeat(2000), torch.ones(10_000, dtype=torch.long)
    seen = MAZE.observe(cell, side, torch.Generator().manual_seed(4))
    assert (seen[cell == 0] == 1).all()
    assert (seen[cell == 4] == JUNCTION).all()
    posters = seen[(cell > 0) & (cell < 4)] - POSTER
    assert abs(posters.double().mean() - 0.5) < 4 * 0.5 / len(posters) ** 0.5


def test_a_limit_that_nobody_can_keep_is_refused():
    with pytest.raises(ValueError, match="limit is 4"):
        Maze(corridor=3, limit=4)


def test_returns_to_go_are_sums_of_what_is_still_to_come():
    rewards = torch.randn(3, 5, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    powers = torch.tensor([[0.9 ** (k - t) if k >= t else 0.0 for t in range(5)] for k in range(5)]).double()
    torch.testing.assert_close(returns_to_go(rewards, 0.9), rewards @ powers)


def test_the_objective_has_the_gradient_of_the_expected_return():
    """In a walk of one step, averaged over all actions with their probabilities, it is the exact gradient."""
    policy = Memoryless().double()
    nn.init.normal_(policy.table.weight, generator=torch.Generator().manual_seed(6))
    reward = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    probability = policy(torch.tensor([[JUNCTION]]))[0].softmax(-1).flatten()
    (wanted,) = torch.autograd.grad((probability * reward).sum(), policy.table.weight)
    total = 0
    for action in range(3):
        seen = torch.tensor([[JUNCTION]])
        one = Walk(seen, torch.tensor([[action]]), reward[None, action : action + 1], torch.ones(1, 1).bool())
        loss = objective(policy, one, discount=1.0, entropy=0.0)
        total = total + probability[action].detach() * loss
    (found,) = torch.autograd.grad(total, policy.table.weight)
    torch.testing.assert_close(-found[:, :3], wanted[:, :3])


@pytest.mark.parametrize("options", SCHEMES.values(), ids=SCHEMES)
def test_a_policy_begins_with_equal_chances_and_sees_nothing_of_the_future(options):
    policy = Policy(8, depth=2, limit=6, **options).eval()
    seen = torch.tensor([[0, 2, 3, 2, 4]])
    logits, value = policy(seen)
    assert not logits.any()
    assert not value.any()
    changed = policy.features(torch.tensor([[0, 2, 3, 3, 2]]))
    torch.testing.assert_close(policy.features(seen)[:, :3], changed[:, :3])


def test_an_agent_acts_with_the_statistics_it_has_gathered_and_learns_with_those_of_the_batch():
    modes = []

    class Watched(Policy):
        def forward(self, seen):
            modes.append((self.training, torch.is_grad_enabled()))
            return super().forward(seen)

    policy = Watched(4, depth=1, limit=3, scheme="pre_norm", norm="batch")
    train(policy, EXPERIMENT.config("cpu", **TOY), TrialLog("arm", 0, torch.device("cpu")))
    assert set(modes) == {(False, False), (True, True)}


def test_each_arm_leaves_out_what_its_name_says():
    def modules(name):
        return [type(module).__name__ for module in Policy(8, depth=2, limit=6, **SCHEMES[name]).modules()]

    assert "Plain" in modules("no shortcut")
    assert "LayerNorm" in modules("no shortcut")
    assert not any("Norm" in name for name in modules("no norm"))
    assert "LayerNorm" not in modules("pre-norm, BN")


@pytest.mark.parametrize("preset", EXPERIMENT.presets)
def test_a_run_measures_what_its_table_shows(preset):
    rates = {"learning_rates": (0.01,)} if EXPERIMENT.presets[preset].learning_rates else {}
    run = EXPERIMENT.run(EXPERIMENT.config(preset, **TOY, **rates), 1, device="cpu")
    assert len(run.trials) == len(SCHEMES)
    assert set(run.trials[0].summary) == set(EXPERIMENT.metrics)
    assert 0 <= run.trials[0].summary["regret"] <= 1.3
    assert len(run.trials[0].metrics["earned"]["value"]) == 3
