"""Learning rates: every arm of an experiment at several of them, and each arm's own best.

A comparison at one rate says what works at this rate. A config with ``learning_rates`` makes each arm train at all of
them; the run then has an arm for each pair, named as :func:`at` names it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from resnorm_lib.engine.records import Run

__all__ = ["at", "best", "by_rate", "conditions"]


def at(arm: str, rate: float) -> str:
    """Return the name of an arm at a learning rate.

    Examples
    --------
    >>> at("plain-40", 0.05)
    'plain-40 at 0.05'
    """
    return f"{arm} at {rate:g}"


def conditions(arms: Mapping[str, Any], config: Any) -> dict[str, tuple[Any, Any]]:
    """Return what a run tries, by name: a config and an arm.

    If the config has ``learning_rates``, every arm is tried at each of them.

    Parameters
    ----------
    arms : mapping of str to anything
    config : dataclass
        With ``lr``, if it has ``learning_rates``.
    """
    rates = getattr(config, "learning_rates", ())
    if not rates:
        return {name: (config, arm) for name, arm in arms.items()}
    return {at(name, rate): (replace(config, lr=rate), arm) for name, arm in arms.items() for rate in rates}


def by_rate(run: Run, arm: str, metric: str) -> dict[float, list[float | None]]:
    """Return the metric of an arm, one value a seed, at each rate of a run; ``None`` where it was not finite."""
    return {rate: run.values(at(arm, rate), metric) for rate in run.config["learning_rates"]}


def best(run: Run, arm: str, metric: str) -> float:
    """Return the rate at which the mean of a metric over the seeds is smallest; a seed that diverged rules it out."""
    return min(run.config["learning_rates"], key=lambda rate: run.mean(at(arm, rate), metric))
