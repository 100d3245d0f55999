"""Small batches: what batch normalization loses, and whether the statistics or the optimizer loses it.

Wu and He (2018), arXiv:1803.08494; ghost batches: Hoffer, Hubara and Soudry (2017), arXiv:1705.08741; statistics for
evaluation: Wu and Johnson (2021), arXiv:2105.07576; batch renormalization: Ioffe (2017), arXiv:1702.03275.
"""

from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from resnorm_lib.engine.classification import ImageConfig, set_up, train
from resnorm_lib.engine.experiment import Experiment, Metric, Paper
from resnorm_lib.engine.training import errors, evaluate
from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.experiments.small_batches.batch_statistics import (
    evaluate_in_batches,
    replace_norms,
    with_precise_statistics,
)
from resnorm_lib.models import MLP, cifar_resnet
from resnorm_lib.norms import BatchNorm, BatchRenorm, GhostBatchNorm, GroupNorm

__all__ = ["EXPERIMENT", "Config", "arms", "build"]

R_MAX, D_MAX = 1.5, 0.5  # of batch renormalization, as Wu and He set them for batches of four


@dataclass(frozen=True)
class Config(ImageConfig):
    """Networks that differ in their norm alone, in batches of several sizes or in one batch cut into ghosts."""

    batch_size: int = 128
    lr: float = 0.1  # at batch_size; for other sizes in proportion
    epochs: int = 5
    ghosts: tuple = (2, 4, 8, 32)  # sizes of the parts that one batch is cut into
    sizes: tuple = (2, 4, 8, 32)  # sizes of the batch itself
    controls: tuple = (2, 8, 32)  # the same for the norms that see no batch
    renorm: tuple = (4,)  # the same for batch renormalization
    groups: int = 8  # of group normalization; layer normalization is one group
    depth: int = 4  # blocks of a perceptron; layers, 6n + 2, of a network for images


PRESETS = {
    "cpu": Config(),
    # With a quarter set apart an epoch has 7 steps of 128: 49 together, where the other preset has 50.
    "rates": Config(
        epochs=7,
        sizes=(2,),
        controls=(2,),
        renorm=(),
        held=0.25,
        learning_rates=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    ),
    # Small batches would take a GPU as long as large ones, each: there the ghosts alone.
    "gpu": Config(
        data="cifar10",
        depth=20,
        sizes=(),
        controls=(),
        renorm=(),
        weight_decay=5e-4,
        schedule="cosine",
        warmup=100,
        amp=True,
    ),
}


def arms(config: Config) -> dict:
    """Return the whole batch first, then size by size from the smallest on: ghosts beside batches that are small."""
    whole = config.batch_size
    small = {"ghost BN": config.ghosts, "BN": config.sizes, "GN": config.controls, "LN": config.controls}
    small["renorm"] = config.renorm
    chosen = {f"{norm}, {whole}": (norm, whole, whole) for norm in ("BN", "GN", "LN")}
    for size in sorted({size for sizes in small.values() for size in sizes}):
        for norm, sizes in small.items():
            if size in sizes:
                chosen[f"{norm}, {size}"] = norm, size, whole if norm == "ghost BN" else size
    return chosen


def build(norm: str, size: int, config: Config, shape: tuple) -> nn.Module:
    """Return the network of an arm, for inputs of this shape. All have the same parameters, and start alike."""
    make = {
        "BN": BatchNorm,
        "ghost BN": partial(GhostBatchNorm, ghost_batch_size=size),
        "GN": partial(GroupNorm, config.groups),
        "LN": partial(GroupNorm, 1),
        "renorm": partial(BatchRenorm, r_max=1.0, d_max=0.0),
    }[norm]
    if config.data == "digits":
        model = MLP(shape[0], config.width, config.depth, out_features=10)
    else:
        model = cifar_resnet(config.depth, in_channels=shape[0])
    return replace_norms(model, make)


def enable_correction(model: nn.Module) -> bool:
    """Let batch renormalization correct, once its running statistics mean something; say whether there is any."""
    layers = [layer for layer in model.modules() if isinstance(layer, BatchRenorm)]
    for layer in layers:
        layer.r_max, layer.d_max = R_MAX, D_MAX
    return bool(layers)


def trial(config: Config, arm: tuple[str, int, int], log: TrialLog) -> None:
    """Train one network; note its errors as it is used, and in the two ways that the batch allows."""
    norm, size, batch = arm
    scaled = replace(config, batch_size=batch, lr=config.lr * batch / config.batch_size)
    task, model = set_up(scaled, lambda shape: build(norm, size, config, shape), log)
    train(model, task, scaled, log, at={task.steps: enable_correction})
    log.summary(**errors(model, task, amp=config.amp))
    if not norm.endswith("BN"):
        return
    precise = with_precise_statistics(model, task.train_eval, config.amp)
    log.summary(precise_error=100 * evaluate(precise, task.test, amp=config.amp)[1])
    log.summary(batch_train_loss=evaluate_in_batches(model, task.train_eval, size, config.amp)[0])
    for other in sorted({*config.ghosts, size, config.batch_size}):
        error = 100 * evaluate_in_batches(model, task.test, other, config.amp)[1]
        log.add(other, error_in_batches=error)  # a curve over sizes, not over steps
        if other == size:
            log.summary(batch_error=error)


# Errors on ImageNet of ResNet-50, by images on each GPU. Statistics are those of one GPU, so that they are ghosts.
SIZES = (2, 4, 8, 16, 32)
BN, GN = ("34.7", "27.3", "24.8", "23.7", "23.6"), ("24.1", "24.2", "24.0", "24.2", "24.1")
NOTE = "ImageNet, images on each GPU"

EXPERIMENT = Experiment(
    name="small_batches",
    question="What does batch normalization lose in small batches: by their statistics, or by their steps?",
    order=3,
    presets=PRESETS,
    arms=arms,
    trial=trial,
    metrics={
        "test_error": Metric("test error", "%"),
        "precise_error": Metric("test error, statistics of all training data", "%"),
        "batch_error": Metric("test error, statistics of the batch", "%"),
        "train_loss": Metric("training loss", "nats", 4),
        "batch_train_loss": Metric("training loss, statistics of the batch", "nats", 4),
    },
    paper={
        **{(f"ghost BN, {n}", "test_error"): Paper(e, "wu2018group", NOTE) for n, e in zip(SIZES, BN)},
        **{(f"BN, {n}", "test_error"): Paper(e, "wu2018group", NOTE) for n, e in zip(SIZES, BN)},
        **{(f"GN, {n}", "test_error"): Paper(e, "wu2018group", NOTE) for n, e in zip(SIZES, GN)},
        ("LN, 32", "test_error"): Paper("25.3", "wu2018group", NOTE),
        ("renorm, 4", "test_error"): Paper("26.3", "wu2018group", NOTE),
    },
    differs="CIFAR-10, not ImageNet; 5 epochs; ghosts in a batch of 128, while the paper's whole batch shrinks",
)
