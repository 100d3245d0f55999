"""Agents: a Transformer as the memory of an agent in a T-maze, with three ways to join a branch to the stream.

The comparison of Parisotto et al. (2020), arXiv:1910.06764, at small scale, and beside it what it leaves out: no
shortcut, no norm, and a norm over the batch.
"""

from dataclasses import dataclass
from functools import partial

from torch import nn

from resnorm_lib.engine.experiment import Experiment, Metric
from resnorm_lib.engine.recipe import Recipe, make_optimizer, rate, set_rate
from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.experiments.agents.learning import Policy, objective, walk
from resnorm_lib.experiments.agents.maze import Maze
from resnorm_lib.residual.gates import GRUGate

__all__ = ["EXPERIMENT", "SCHEMES", "Config", "train"]

SCHEMES = {
    "post-norm": {"scheme": "post_norm"},
    "pre-norm": {"scheme": "pre_norm"},
    "gated": {"scheme": "gru"},
    "gated, b = 0": {"scheme": partial(GRUGate, bias=0.0)},
    "no shortcut": {"scheme": "plain"},
    "no norm": {"scheme": "add", "norm": "none"},
    "pre-norm, BN": {"scheme": "pre_norm", "norm": "batch"},
}
WEIGHTS, WALKS = range(2)  # random streams of a trial
LAST = 20  # updates over which the return at the end is averaged


@dataclass(frozen=True)
class Config:
    """A causal Transformer, trained by policy gradients at a constant rate."""

    corridor: int = 3
    limit: int = 7
    depth: int = 6  # layers, each an attention and a feed-forward
    width: int = 24
    walks: int = 32  # episodes in an update
    updates: int = 120
    discount: float = 0.95
    entropy: float = 0.02
    warmup: int = 0
    lr: float = 0.004
    learning_rates: tuple = ()  # each arm trains at all of them in place of lr


PRESETS = {
    "cpu": Config(),
    "rates": Config(learning_rates=(0.001, 0.002, 0.004, 0.008, 0.016, 0.032)),
    "gpu": Config(
        corridor=12,
        limit=20,
        depth=12,
        width=64,
        walks=512,
        updates=400,
        learning_rates=(0.0001, 0.0003, 0.001, 0.003, 0.01),
    ),
}


def arms(config: Config) -> dict:
    """Return the ways to join branch and stream, and what is left out."""
    return SCHEMES


def train(policy: nn.Module, config: Config, log: TrialLog) -> None:
    """Train a policy; note the mean return of the walks of each update, before it."""
    maze, walks = Maze(config.corridor, config.limit), log.generator(WALKS)
    recipe = Recipe(config.lr, config.updates, "adam", warmup=config.warmup, fused=True)
    optimizer = make_optimizer(policy, recipe)
    for number in log.steps(config.updates):
        set_rate(optimizer, rate(recipe, number))
        policy.eval()  # a batch norm acts with its running statistics, and learns with those of the batch
        seen = walk(policy, maze, config.walks, walks, log.device)
        policy.train()
        loss = objective(policy, seen, config.discount, config.entropy)
        log.add(number + 1, earned=seen.rewards.sum(1).mean())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()


def trial(config: Config, arm: dict, log: TrialLog) -> None:
    """Train one agent. The regret is what it earned less than the optimal policy, whose return is 1."""
    with log.seeded(WEIGHTS):
        policy = Policy(config.width, depth=config.depth, limit=config.limit, **arm).to(log.device)
    log.begin("train")
    train(policy, config, log)
    earned = [float(value) for _, value in log.points["earned"]]
    log.summary(regret=1 - sum(earned) / len(earned), final=sum(earned[-LAST:]) / len(earned[-LAST:]))


EXPERIMENT = Experiment(
    name="agents",
    question="Where do norm and gate go in a Transformer that is the memory of an agent?",
    order=8,
    presets=PRESETS,
    arms=arms,
    trial=trial,
    metrics={
        "regret": Metric("regret, mean over the training"),
        "final": Metric("return of the last 20 updates"),
    },
    differs=(
        "a T-maze of five cells, six layers and 4,000 episodes; the paper has three-dimensional worlds, twelve layers "
        "and billions of frames"
    ),
)
