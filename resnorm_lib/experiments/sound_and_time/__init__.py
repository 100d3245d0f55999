"""Sound and time: a norm on the data against a norm in the network, for words and for a series whose level rises.

Mean subtraction: Atal (1974); reversible instance normalization: Kim et al. (2022).
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnorm_lib import runtime
from resnorm_lib.data.words import WORDS, mean_off
from resnorm_lib.engine.experiment import Experiment, Metric
from resnorm_lib.engine.recipe import Recipe
from resnorm_lib.engine.training import evaluate, fit
from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.experiments.sound_and_time.tasks import SoundNet, Words, co2_windows, make_words, shuffled
from resnorm_lib.models import MLP, ReversibleInstanceNorm

__all__ = ["EXPERIMENT", "NETWORKS", "Config", "forecast", "hear"]

# The scheme and the norm in the network.
NETWORKS = {
    "plain": ("plain", "none"),
    "residual": ("add", "none"),
    "residual LN": ("pre_norm", "layer"),
    "residual BN": ("pre_norm", "batch"),
}
WEIGHTS, DATA, ORDER = range(3)  # random streams of a trial


@dataclass(frozen=True)
class Config:
    """Small networks with Adam, whose rate falls to 0."""

    depth: int = 6  # branches of the network for words
    width: int = 16
    train_words: int = 400
    noise: float = 0.7  # of a recording, in units of the voice
    epochs: int = 15
    series_depth: int = 4  # blocks of the perceptron for the series
    series_width: int = 32
    series_steps: int = 150  # each on all windows
    lr: float = 0.01
    learning_rates: tuple = ()  # each arm trains at all of them in place of lr


PRESETS = {
    "cpu": Config(),
    "rates": Config(learning_rates=(0.001, 0.003, 0.01, 0.03, 0.1)),
    "gpu": Config(depth=24, width=64, train_words=6000, noise=2.0, epochs=20, series_width=64, series_steps=2000),
}


def arms(config: Config) -> dict:
    """Return both tasks for every network: the data as they come, and normalized recording by recording."""
    data = {"words": False, "words, mean off": True, "series": False, "series, RevIN": True}
    return {
        f"{task}: {name}": (task.split(",")[0], *network, on_data)
        for task, on_data in data.items()
        for name, network in NETWORKS.items()
    }


def recipe(config: Config, steps: int) -> Recipe:
    """Return how both tasks are trained."""
    return Recipe(config.lr, steps, "adam", schedule="cosine")


@lru_cache(2)
def _words(seed: int, shift: int, train: int, noise: float) -> Words:
    """Return the words of a seed, which all arms of a run share; to synthesise them takes as long as to learn them."""
    return make_words(runtime.generator(seed), train, noise)


def hear(config: Config, scheme: str, norm: str, means_off: bool, log: TrialLog) -> nn.Module:
    """Train a network on words; note its error on the test words, on the same through another microphone, and where
    the rate is chosen: on further words, through the microphone of training.
    """
    words = _words(log.base + DATA, runtime.seed(), config.train_words, config.noise)
    x, val, test, other = (
        (mean_off(part) if means_off else part).to(log.device)
        for part in (words.x_train, words.x_val, words.x_test, words.x_other)
    )
    y, y_val, y_test = (part.to(log.device) for part in (words.y_train, words.y_val, words.y_test))
    with log.seeded(WEIGHTS):
        model = SoundNet(x.shape[1], len(WORDS), config.width, config.depth, scheme, norm).to(log.device)
    steps = config.epochs * (len(x) // 50)
    fit(model, shuffled(x, y, 50, log.generator(ORDER)), recipe(config, steps), log)
    parts = {"error": (test, y_test), "other_error": (other, y_test), "val_error": (val, y_val)}
    log.summary(**{name: 100 * evaluate(model, [part])[1] for name, part in parts.items()})
    return model


def forecast(config: Config, scheme: str, norm: str, reversible: bool, log: TrialLog) -> nn.Module:
    """Train a network on windows of carbon dioxide; note its mean absolute error in ppm on the later windows, those of
    the test and those where the rate is chosen.
    """
    data = co2_windows()
    x, y, *later = (
        (part - data.mean).to(log.device) / data.std for part in (data.x_train, data.y_train, data.x_test, data.x_val)
    )
    size = config.series_width, config.series_depth
    with log.seeded(WEIGHTS):
        model = MLP(x.shape[1], *size, out_features=y.shape[1], scheme=scheme, norm=norm)
        model = (ReversibleInstanceNorm(model) if reversible else model).to(log.device)
    order = log.generator(ORDER)
    fit(model, shuffled(x, y, len(x), order), recipe(config, config.series_steps), log, loss=F.mse_loss)
    for name, windows, target in zip(("mae", "val_mae"), later, (data.y_test, data.y_val)):
        log.summary(**{name: _mean_absolute_error(model, windows, target.to(log.device), data.mean, data.std)})
    return model


@torch.no_grad()
def _mean_absolute_error(model: nn.Module, x: Tensor, y: Tensor, mean: float, std: float) -> Tensor:
    model.eval()
    return (model(x) * std + mean - y).abs().mean()


def trial(config: Config, arm: tuple[str, str, str, bool], log: TrialLog) -> None:
    """Train one network on its task."""
    task, *network = arm
    (hear if task == "words" else forecast)(config, *network, log)


EXPERIMENT = Experiment(
    name="sound_and_time",
    question="What does a norm on the data do that a norm in the network does not?",
    order=7,
    presets=PRESETS,
    arms=arms,
    trial=trial,
    metrics={
        "error": Metric("words wrong", "%"),
        "other_error": Metric("with another microphone", "%"),
        "val_error": Metric("where the rate is chosen", "%"),
        "mae": Metric("error of the forecast", "ppm"),
        "val_mae": Metric("where the rate is chosen", "ppm"),
    },
    differs="synthesised words and one series of 526 months; the papers have speech, and many series",
)
