"""Vision: reading, finding and making digits, with and without shortcuts, with one norm and another.

Making them is flow matching (Lipman et al. 2023, arXiv:2210.02747) with the blocks of Peebles and Xie (2023),
arXiv:2212.09748; finding them is a detector in the manner of Redmon et al. (2016), arXiv:1506.02640.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnorm_lib import runtime
from resnorm_lib._arguments import choice
from resnorm_lib.engine.classification import ImageConfig, set_up, train
from resnorm_lib.engine.experiment import Experiment, Metric
from resnorm_lib.engine.training import errors, fit
from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.experiments.vision.boxes import precision_recall_f1, without_labels
from resnorm_lib.experiments.vision.canvases import make_canvases
from resnorm_lib.experiments.vision.detector import Detector, detect, detection_loss, targets
from resnorm_lib.experiments.vision.flow import FlowNet, flow_batches, flow_pairs, sample
from resnorm_lib.experiments.vision.pictures import HELD, Pictures, load_pictures
from resnorm_lib.experiments.vision.scores import nearest_label, precision_recall
from resnorm_lib.models import MLP, cifar_resnet

__all__ = ["CONVOLUTIONAL", "EXPERIMENT", "FLOWS", "MLPS", "Config"]


@dataclass(frozen=True)
class Config(ImageConfig):
    """One of three tasks on the same pictures."""

    task: str = "make"  # read: classifiers; find: detectors on canvases; make: flows from noise
    width: int = 128
    depth: int = 3  # blocks; in each of the three stages where the pictures are not rows of pixels
    steps: int = 600  # of training, to find and to make
    batch_size: int = 64
    lr: float = 0.005
    optimizer: str = "adam"
    schedule: str = "cosine"
    warmup: int = 20
    canvases: int = 2000  # to learn finding from; a tenth as many to test, and to choose a rate
    samples: int = 500  # made pictures that are scored


RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
PRESETS = {
    "cpu": Config(depth=2, steps=400, learning_rates=(0.0003, 0.001, 0.003, 0.01, 0.03)),
    "find": Config(task="find", width=32, depth=2, steps=400, batch_size=16, learning_rates=RATES),
    "read": Config(task="read", width=64, depth=12, epochs=8, learning_rates=RATES),
    "clothes": Config(
        task="read",
        data="fashion",
        width=64,
        depth=12,
        epochs=1,
        batch_size=128,
        learning_rates=RATES,
    ),
    "photographs": Config(
        task="read",
        data="cifar10",
        optimizer="sgd",
        epochs=10,
        batch_size=256,
        weight_decay=1e-4,
        warmup=200,
        amp=True,
        learning_rates=(0.02, 0.05, 0.1, 0.2, 0.5),
    ),
    "gpu": Config(
        data="fashion",
        width=1024,
        depth=8,
        steps=10_000,
        batch_size=256,
        learning_rates=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    ),
}
MLPS = {
    "pre-norm, LN": ("pre_norm", "layer"),
    "pre-norm, BN": ("pre_norm", "batch"),
    "shortcut, no norm": ("pre_norm", "none"),
    "post-norm, LN": ("post_norm", "layer"),
    "plain, LN": ("plain", "layer"),
    "plain, BN": ("plain", "batch"),
    "plain, no norm": ("plain", "none"),
}
CONVOLUTIONAL = {
    "shortcut, GN": ("add", "group"),
    "shortcut, BN": ("add", "batch"),
    "shortcut, IN": ("add", "instance"),
    "shortcut, no norm": ("add", "none"),
    "plain, GN": ("plain", "group"),
    "plain, BN": ("plain", "batch"),
    "plain, no norm": ("plain", "none"),
}
FLOWS = {  # how a block is told; its scheme and its norm
    "input": ("input", "add", "layer"),
    "added": ("added", "add", "layer"),
    "adaLN": ("adaLN", "add", "layer"),
    "adaLN-Zero": ("adaLN-Zero", "add", "layer"),
    "shortcut, BN": ("adaLN", "add", "batch"),
    "shortcut, no norm": ("adaLN", "add", "none"),
    "plain, LN": ("adaLN", "plain", "layer"),
    "plain, BN": ("adaLN", "plain", "batch"),
    "plain, no norm": ("adaLN", "plain", "none"),
}


def arms(config: Config) -> dict:
    """Return the arms of the task."""
    tasks = {
        "make": FLOWS,
        "find": CONVOLUTIONAL,
        "read": CONVOLUTIONAL if config.data == "cifar10" else MLPS,
    }
    return tasks[choice("task", config.task, tasks)]


def trial(config: Config, arm: tuple[str, ...], log: TrialLog) -> None:
    """Train one network for the task; score it on pictures that it has not seen, and where its rate is chosen."""
    {"make": _make, "find": _find, "read": _read}[config.task](config, arm, log)


def _read(config: Config, arm: tuple[str, str], log: TrialLog) -> None:
    scheme, norm = arm

    def build(shape: tuple) -> nn.Module:
        if config.data == "cifar10":
            return cifar_resnet(6 * config.depth + 2, scheme=scheme, norm=norm)
        mlp = MLP(prod(shape), config.width, config.depth, out_features=10, scheme=scheme, norm=norm)
        return nn.Sequential(nn.Flatten(), mlp)

    task, model = set_up(config, build, log, held=HELD, augment=config.data == "cifar10")
    train(model, task, config, log)
    log.summary(**errors(model, task, amp=config.amp))
    if config.data != "cifar10":
        split = log.base + 1 if config.data == "digits" else 0
        log.summary(neighbour_error=_neighbour_error(config.data, split, runtime.seed()))


@lru_cache(1)
def _neighbour_error(data: str, seed: int, shift: int) -> float:
    """Return the test error (percent) of the nearest training picture, which all trials with these pictures share.

    RESNORM_SEED, which shifts what a seed draws, is an argument so that the cache tells two of its values apart.
    """
    pictures = load_pictures(data, runtime.generator(seed))
    parts = zip(pictures.x_test.split(500), pictures.y_test.split(500))
    wrong = (nearest_label(x, pictures.x_train, pictures.y_train) != y for x, y in parts)
    return 100 * torch.cat(list(wrong)).double().mean().item()


def _find(config: Config, arm: tuple[str, str], log: TrialLog) -> None:
    pictures = load_pictures(config.data, log.generator(1))
    with log.seeded(0):
        model = Detector(config.depth, config.width, *arm).to(log.device)
    draw = log.generator(2)
    learnt = make_canvases(pictures.x_train, pictures.y_train, config.canvases, draw)
    tested = make_canvases(pictures.x_test, pictures.y_test, config.canvases // 10, draw)
    chosen = make_canvases(pictures.x_val, pictures.y_val, config.canvases // 10, draw)
    batches = _drawn(learnt.x.to(log.device), targets(learnt).to(log.device), config.batch_size, draw)
    fit(model, batches, config.recipe(config.steps, fused=True), log, loss=detection_loss)
    found, truth = detect(model, tested.x.to(log.device)), tested.truth()
    precision, recall, f1 = precision_recall_f1(found, truth)
    located = precision_recall_f1(without_labels(found), without_labels(truth))[2]
    log.summary(precision=100 * precision, recall=100 * recall, missing=100 * (1 - f1), unlocated=100 * (1 - located))
    val_f1 = precision_recall_f1(detect(model, chosen.x.to(log.device)), chosen.truth())[2]
    log.summary(val_missing=100 * (1 - val_f1))


def _drawn(x: Tensor, wanted: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches drawn at random, without end."""
    while True:
        rows = torch.randint(len(x), (batch_size,), generator=generator).to(x.device)
        yield x[rows], wanted[rows]


def _make(config: Config, arm: tuple[str, str, str], log: TrialLog) -> None:
    pictures = load_pictures(config.data, log.generator(1), log.device)
    with log.seeded(0):
        model = FlowNet(pictures.x_train.shape[1], config.width, config.depth, *arm).to(log.device)
    batches = flow_batches(pictures.x_train, pictures.y_train, config.batch_size, log.generator(2, log.device))
    fit(model, batches, config.recipe(config.steps, fused=True), log, loss=F.mse_loss)
    log.summary(**_scores(model.eval(), pictures, config.samples, lambda stream: log.generator(stream, log.device)))


@torch.no_grad()
def _scores(
    model: FlowNet, pictures: Pictures, samples: int, generator: Callable[[int], torch.Generator]
) -> dict[str, float | Tensor]:
    """Return how well a flow does on held-out pictures: its loss there, and what its samples are worth beside them.

    A loss where the rate is chosen comes with them.
    """
    real, labels = pictures.x_test[:samples], pictures.y_test[:samples]
    losses = {}
    for name, x, y, stream in (("test", real, labels, 3), ("val", pictures.x_val, pictures.y_val, 5)):
        rows, velocity = flow_pairs(x[:samples].repeat(8, 1), y[:samples].repeat(8), generator(stream))
        losses[f"{name}_loss"] = F.mse_loss(model(rows), velocity)
    made = sample(model, labels, generator(4))
    right = (nearest_label(made, pictures.x_test, pictures.y_test) == labels).double().mean()
    precision, recall = precision_recall(made, real)
    return {**losses, "right": 100 * right, "precision": 100 * precision, "recall": 100 * recall}


EXPERIMENT = Experiment(
    name="vision",
    question="How should a network that makes pictures be told what to make?",
    order=10,
    presets=PRESETS,
    arms=arms,
    trial=trial,
    metrics={
        "test_loss": Metric("loss on held-out pictures", "", 4),
        "right": Metric("of the class asked for", "%", 1),
        "precision": Metric("precision", "%", 1),
        "recall": Metric("recall", "%", 1),
        "missing": Metric("100 - F1", "%", 1),
        "unlocated": Metric("100 - F1, whatever the label", "%", 1),
        "train_error": Metric("training error", "%"),
        "test_error": Metric("test error", "%"),
        "neighbour_error": Metric("test error of the nearest neighbour", "%"),
        "val_loss": Metric("loss where the rate is chosen", "", 4),
        "val_missing": Metric("100 - F1 where the rate is chosen", "%", 1),
        "val_error": Metric("error where the rate is chosen", "%"),
    },
    differs="pictures of 8 x 8 pixels and MLPs instead of ImageNet and Transformers; seconds of training",
)
