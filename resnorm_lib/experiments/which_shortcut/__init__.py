"""Which shortcut? The identity against factors, gates, a matrix and dropout (He et al. 2016, arXiv:1603.05027)."""

from dataclasses import dataclass

from torch import nn

from resnorm_lib._arguments import choice
from resnorm_lib.engine.classification import ImageConfig, set_up, train
from resnorm_lib.engine.experiment import Experiment, Metric, Paper
from resnorm_lib.engine.training import errors, fix_statistics
from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.experiments.which_shortcut.shortcuts import MAKE, log_product, mean_factors
from resnorm_lib.models import MLP, cifar_resnet
from resnorm_lib.residual import residual_blocks

__all__ = ["EXPERIMENT", "SHORTCUTS", "Config", "build"]

# name: what stands on the shortcut, and its number. The paper's Table 1, plus 0.9 and a matrix that starts as I.
SHORTCUTS = {
    "identity": ("factor", 1.0),
    "factor 0.5": ("factor", 0.5),
    "matrix": ("matrix", None),
    "dropout": ("dropout", 0.5),
    "shortcut gate, bias 0": ("gate", 0.0),
    "shortcut gate, bias -6": ("gate", -6.0),
    "halves": ("frozen", 0.0),
    "exclusive gate, bias 0": ("exclusive", 0.0),
    "exclusive gate, bias -6": ("exclusive", -6.0),
    "none": ("none", None),
    "factor 0.9": ("factor", 0.9),
    "matrix from I": ("matrix", "identity"),
}
MASKS = 3  # random stream of the masks of dropout, which take no generator
SCHEMES = {"none": "plain", "exclusive": "highway", "frozen": "highway"}


@dataclass(frozen=True)
class Config(ImageConfig):
    """One network, trained with one shortcut after the other."""

    epochs: int = 10
    depth: int = 40  # blocks of a perceptron; layers, 6n + 2, of a network for images
    shortcuts: tuple = tuple(SHORTCUTS)


PRESETS = {
    "cpu": Config(),
    "rates": Config(learning_rates=(0.003, 0.01, 0.02, 0.05, 0.2)),
    "gpu": Config(
        data="cifar10",
        depth=56,
        epochs=6,
        batch_size=512,
        lr=0.3,
        weight_decay=1e-4,
        schedule="cosine",
        warmup=100,
        amp=True,
        shortcuts=tuple(SHORTCUTS)[:7],
    ),
}


def arms(config: Config) -> dict:
    """Return the chosen shortcuts, by default those of the table above in its order."""
    return {name: SHORTCUTS[choice("shortcut", name, SHORTCUTS)] for name in config.shortcuts}


def build(kind: str, number: float | str | None, config: Config, shape: tuple) -> nn.Module:
    """Return the network of an arm for inputs of that shape.

    What stands on the shortcut is put into every block. Where the shape changes it comes after the padding. Gates that
    share the signal out between branch and shortcut are the scheme ``highway``: exclusive, or frozen at one half each.

    Examples
    --------
    >>> build("factor", 0.5, Config(), (64,)).blocks[0].downsample
    Factor()
    """
    scheme = SCHEMES.get(kind)
    options = {"bias": number} if scheme == "highway" else {}
    if config.data == "digits":
        model = MLP(shape[0], config.width, config.depth, out_features=10, scheme=scheme or "pre_norm", **options)
    else:
        model = cifar_resnet(config.depth, in_channels=shape[0], scheme=scheme, **options)
    for block in residual_blocks(model):
        if kind == "frozen":
            nn.init.zeros_(block.scheme.gate.weight)
            block.scheme.gate.requires_grad_(False)
        elif kind in MAKE:
            conv = getattr(block, "conv2", None)
            dim, axis = (conv.out_channels, 1) if conv else (config.width, None)
            changed = MAKE[kind](dim, axis, number)
            block.downsample = nn.Sequential(block.downsample, changed) if block.downsample else changed
    return model


def trial(config: Config, arm: tuple[str, float | str | None], log: TrialLog) -> None:
    """Train one network; note both errors, and the product of the factors on the way before and after."""
    task, model = set_up(config, lambda shape: build(*arm, config, shape), log)
    x = next(iter(task.train_eval))[0]
    before = mean_factors(model, x)
    with log.seeded(MASKS):
        train(model, task, config, log)
        # A stream that grows leaves running averages behind.
        fix_statistics(model, (images for images, _ in task.train_eval))
    log.summary(**errors(model, task, amp=config.amp))
    if before is not None:
        log.summary(product_before=log_product(before), product_after=log_product(mean_factors(model, x)))


PUBLISHED = {
    "identity": "6.61",
    "factor 0.5": "fail",
    "matrix": "12.22",
    "dropout": "fail",
    "shortcut gate, bias 0": "12.86",
    "shortcut gate, bias -6": "6.91",
    "halves": "12.35",
    "exclusive gate, bias 0": "fail",
    "exclusive gate, bias -6": "8.70",
    "none": "fail",
}
EXPERIMENT = Experiment(
    name="which_shortcut",
    question="What may stand on the shortcut besides the identity?",
    order=5,
    presets=PRESETS,
    arms=arms,
    trial=trial,
    metrics={
        "train_error": Metric("training error", "%"),
        "test_error": Metric("test error", "%"),
        "train_loss": Metric("training loss", "nats", 4),
    },
    paper={(name, "test_error"): Paper(value, "he2016identity", "median of 5") for name, value in PUBLISHED.items()},
    differs="56 layers instead of 110; 6 epochs and a cosine schedule instead of 164 epochs; batches of 512",
)
