"""An experiment that takes no time, for the tests of the engine."""

import os
from dataclasses import dataclass

import torch

from resnorm_lib.engine.experiment import Experiment, Metric, Paper

__all__ = ["EXPERIMENT", "Config"]


@dataclass(frozen=True)
class Config:
    """Numbers that are summed."""

    steps: int = 60
    rates: tuple = (0.5, 1.0)
    scale: float = 1.0
    name: str = "sum"
    fast: bool = False


def arms(config):
    """One arm a rate, and one that diverges."""
    return {f"rate-{rate}": rate for rate in config.rates} | {"bad": float("inf")}


def trial(config, rate, log):
    """Add random numbers; may be told by the environment to stop in the middle."""
    if os.environ.get("TOY_CRASHES_AT") == f"{log.arm}:{log.seed}":
        raise RuntimeError("the toy was told to crash")
    if os.environ.get("TOY_INTERRUPTED_AT") == f"{log.arm}:{log.seed}":
        raise KeyboardInterrupt
    total = torch.zeros(())
    noise = torch.randn(config.steps, generator=log.generator(1))
    for step in log.steps(config.steps):
        total = total + rate * config.scale * noise[step].abs()
        log.add(step + 1, loss=total, half=total / 2)
    log.summary(total=total, count=config.steps)


EXPERIMENT = Experiment(
    name="toy",
    question="Does the engine count?",
    presets={"cpu": Config(), "gpu": Config(steps=120)},
    arms=arms,
    trial=trial,
    metrics={"total": Metric("total", "units", 3), "count": Metric("count", "", 0)},
    paper={("rate-0.5", "total"): Paper("20", "he2016deep")},
)
