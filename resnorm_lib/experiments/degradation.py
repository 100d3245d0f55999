"""Degradation: deeper plain networks train worse, deeper residual ones do not (He et al. 2016, arXiv:1512.03385)."""

from dataclasses import dataclass

from resnorm_lib.experiments.engine import Experiment, Metric, Paper
from resnorm_lib.experiments.tasks import Training, image_task
from resnorm_lib.experiments.training import endless, evaluate, fit
from resnorm_lib.models import MLP, cifar_resnet

__all__ = ["EXPERIMENT", "Config"]


@dataclass(frozen=True)
class Config(Training):
    """Plain and residual networks of several depths, all trained alike."""

    data: str = "digits"  # digits: perceptrons of equal blocks; cifar10: the networks of the paper
    depths: tuple = (2, 20, 40)  # blocks of a perceptron; layers, 6n + 2, of a network for images
    width: int = 64  # of a perceptron
    train_images: int = 0  # 0: all


PRESETS = {
    "cpu": Config(),
    "gpu": Config(
        data="cifar10",
        depths=(20, 56),
        epochs=60,
        batch_size=256,
        lr=0.2,
        weight_decay=1e-4,
        schedule="cosine",
        warmup=400,
        amp=True,
        compile=True,
    ),
}
KINDS = ("plain", "residual")


def arms(config):
    """Plain and residual twins of each depth, the shallow ones first."""
    return {f"{kind}-{depth}": (kind, depth) for depth in config.depths for kind in KINDS}


def build(kind, depth, config, task):
    """Return the network of an arm. Twins have the same parameters; the plain one lacks the shortcuts."""
    if config.data == "digits":
        return MLP(task.shape[0], config.width, depth, 10, scheme="plain" if kind == "plain" else "pre_norm")
    return cifar_resnet(depth, in_channels=task.shape[0], scheme="plain" if kind == "plain" else None)


def trial(config, arm, log):
    """Train one network; note error and loss on all of the training data and on the test data."""
    task = image_task(config.data, config.batch_size, log, size=config.train_images)
    with log.seeded(0):
        model = build(*arm, config, task).to(log.device)
    steps = config.epochs * task.steps
    recipe = config.recipe(steps, channels_last=len(task.shape) == 3)
    fit(model, endless(lambda: task.train), recipe, log, every=max(1, steps // 100))
    for name, data in (("train", task.seen), ("test", task.test)):
        loss, error = evaluate(model, data, amp=config.amp)
        log.summary(**{f"{name}_loss": loss, f"{name}_error": 100 * error})


EXPERIMENT = Experiment(
    name="degradation",
    question="Do deeper networks train worse, and do shortcuts change that?",
    presets=PRESETS,
    arms=arms,
    trial=trial,
    metrics={
        "train_error": Metric("training error", "%"),
        "test_error": Metric("test error", "%"),
        "train_loss": Metric("training loss", "nats", 4),
    },
    paper={
        (f"residual-{depth}", "test_error"): Paper(error, "he2016deep")
        for depth, error in ((20, "8.75"), (32, "7.51"), (44, "7.17"), (56, "6.97"), (110, "6.43"))
    },
    differs="60 epochs and a cosine schedule instead of 64,000 steps (164 epochs) at three rates; batches of 256",
)
