"""Image classification as the experiments share it: one config, one start, one training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from resnorm_lib.engine.datasets import Task, image_task
from resnorm_lib.engine.recipe import Recipe
from resnorm_lib.engine.training import endless, fit
from resnorm_lib.engine.trial_log import TrialLog

__all__ = ["ImageConfig", "set_up", "train"]

RECIPE = ("lr", "optimizer", "momentum", "weight_decay", "schedule", "warmup", "amp", "compile", "capture")


@dataclass(frozen=True)
class ImageConfig:
    """The settings that every classification of images has; an experiment's Config adds its own."""

    data: str = "digits"  # digits, spirals: perceptrons of equal blocks; cifar10: residual networks as in the papers
    width: int = 64  # of a perceptron
    train_images: int = 0  # 0: all
    held: float = 0.0  # share of the training images that no network learns from: there a rate is chosen
    epochs: int = 20
    batch_size: int = 64
    lr: float = 0.05
    learning_rates: tuple = ()  # each arm trains at all of them in place of lr
    optimizer: str = "sgd"  # sgd, adam, adamw
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "constant"  # constant, cosine, steps
    warmup: int = 0  # steps
    amp: bool = False  # bfloat16
    compile: bool = False
    capture: bool = True  # on a GPU: a training step as one CUDA graph

    def recipe(self, steps: int, **changes) -> Recipe:
        """Return the :class:`resnorm_lib.engine.recipe.Recipe` of these settings for so many steps."""
        return Recipe(**({name: getattr(self, name) for name in RECIPE} | {"steps": steps} | changes))


def set_up(
    config: ImageConfig, build: Callable[[tuple], nn.Module], log: TrialLog, **options
) -> tuple[Task, nn.Module]:
    """Return the data of a config, and the network ``build(shape of one image)`` on the device of the trial.

    Trials of one seed draw the same weights where they build the same layers. Options are those of
    :func:`resnorm_lib.engine.datasets.image_task`, beside or in place of those of the config.
    """
    options = {"size": config.train_images, "held": config.held} | options
    task = image_task(config.data, config.batch_size, log, **options)
    with log.seeded(0):
        return task, build(task.shape).to(log.device)


def train(
    model: nn.Module,
    task: Task,
    config: ImageConfig,
    log: TrialLog,
    *,
    at: Mapping[int, Callable[[nn.Module], object]] | None = None,
) -> None:
    """Train ``model`` in place for the epochs of a config; ``at`` is as for :func:`resnorm_lib.engine.training.fit`."""
    steps = config.epochs * task.steps
    recipe = config.recipe(steps, channels_last=len(task.shape) == 3)
    fit(model, endless(lambda: task.train), recipe, log, every=max(1, steps // 100), at=at)
