"""Which shortcut? The identity against factors, gates, a matrix and dropout (He et al. 2016, arXiv:1603.05027)."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from resnorm_lib._arguments import choice
from resnorm_lib.experiments.engine import Experiment, Metric, Paper
from resnorm_lib.experiments.tasks import Training, image_task
from resnorm_lib.experiments.training import endless, evaluate, fit, fix_statistics
from resnorm_lib.models import MLP, cifar_resnet
from resnorm_lib.models.resnet_blocks import convolution
from resnorm_lib.residual.gates import FeatureLinear, Highway

__all__ = ["EXPERIMENT", "SHORTCUTS", "Config", "build", "product_of_factors"]

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
SCHEMES = {"none": "plain", "exclusive": "highway", "frozen": "highway"}


@dataclass(frozen=True)
class Config(Training):
    """One network, trained with one shortcut after the other."""

    epochs: int = 10
    data: str = "digits"  # digits: perceptrons of equal blocks; cifar10: the networks of the paper
    depth: int = 40  # blocks of a perceptron; layers, 6n + 2, of a network for images
    width: int = 64  # of a perceptron
    train_images: int = 0  # 0: all
    shortcuts: tuple = tuple(SHORTCUTS)


PRESETS = {
    "cpu": Config(),
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


def arms(config):
    """The chosen shortcuts; in the order of the table above where nothing else is asked for."""
    return {name: SHORTCUTS[choice("shortcut", name, SHORTCUTS)] for name in config.shortcuts}


class Factor(nn.Module):
    r""":math:`\lambda x`."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


class Gate(nn.Module):
    r""":math:`(1 - g(x)) \odot x` with :math:`g(x) = \sigma(W x + b)`: a gate on the shortcut alone."""

    def __init__(self, dim, axis, bias):
        super().__init__()
        self.gate = FeatureLinear(dim, axis)
        nn.init.constant_(self.gate.bias, bias)

    def forward(self, x):
        return (1 - torch.sigmoid(self.gate(x))) * x


def matrix(dim, axis, start):
    """A learned map of the features: its start keeps the size of what it gets, or is the identity."""
    layer = convolution(dim, dim, 1) if axis == 1 else nn.Linear(dim, dim, bias=False)
    with torch.no_grad():
        if start == "identity":
            layer.weight.copy_(torch.eye(dim).reshape(layer.weight.shape))
        elif axis != 1:  # a convolution starts as all others do; behind a ReLU that keeps the size
            nn.init.normal_(layer.weight, std=dim**-0.5)
    return layer


MAKE = {
    "factor": lambda dim, axis, number: Factor(number),
    "gate": Gate,
    "matrix": matrix,
    "dropout": lambda dim, axis, number: nn.Dropout(number),
}


def build(kind, number, config, shape):
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
        model = MLP(shape[0], config.width, config.depth, 10, scheme=scheme or "pre_norm", **options)
    else:
        model = cifar_resnet(config.depth, in_channels=shape[0], scheme=scheme, **options)
    for block in blocks(model):
        if kind == "frozen":
            nn.init.zeros_(block.scheme.gate.weight)
            block.scheme.gate.requires_grad_(False)
        elif kind in MAKE:
            conv = getattr(block, "conv2", None)
            dim, axis = (conv.out_channels, 1) if conv else (config.width, None)
            changed = MAKE[kind](dim, axis, number)
            block.downsample = nn.Sequential(block.downsample, changed) if block.downsample else changed
    return model


def blocks(model):
    return list(model.blocks) if isinstance(model, MLP) else [block for stage in model.stages for block in stage]


@torch.no_grad()
def product_of_factors(model, x):
    r"""Return :math:`\log_{10} \prod_\ell \lambda_\ell`, with the mean factor of each block's shortcut for this input.

    Parameters
    ----------
    model : a network of :func:`build` whose shortcuts are factors or gates
    x : tensor
        A batch.

    Returns
    -------
    float, or None where some shortcut is neither
    """
    factors = []

    def note(gate, inputs, output):
        factors.append((1 - torch.sigmoid(output)).mean().item())

    hooks = []
    for block in blocks(model):
        found = [module for module in block.modules() if isinstance(module, (Factor, Gate, Highway))]
        if not found:
            return None
        if isinstance(found[0], Factor):
            factors.append(found[0].factor)
        else:
            hooks.append(found[0].gate.register_forward_hook(note))
    training = model.training
    model.train()(x)  # with the statistics of this batch: before training there are no others
    model.train(training)
    for hook in hooks:
        hook.remove()
    return sum(math.log10(factor) for factor in factors)


def trial(config, arm, log):
    """Train one network; note both errors, and the product of the factors on the way before and after."""
    task = image_task(config.data, config.batch_size, log, size=config.train_images)
    with log.seeded(0):
        model = build(*arm, config, task.shape).to(log.device)
    x = next(iter(task.seen))[0]
    products = {"product_before": product_of_factors(model, x)}
    steps = config.epochs * task.steps
    recipe = config.recipe(steps, channels_last=len(task.shape) == 3)
    fit(model, endless(lambda: task.train), recipe, log, every=max(1, steps // 100))
    fix_statistics(model, (images for images, _ in task.seen))  # a stream that grows leaves running averages behind
    for name, data in (("train", task.seen), ("test", task.test)):
        loss, error = evaluate(model, data, amp=config.amp)
        log.summary(**{f"{name}_loss": loss, f"{name}_error": 100 * error})
    products["product_after"] = product_of_factors(model, x)
    log.summary(**{name: value for name, value in products.items() if value is not None})


FAIL = "fail (above 20)"
PUBLISHED = {
    "identity": "6.61",
    "factor 0.5": FAIL,
    "matrix": "12.22",
    "dropout": FAIL,
    "shortcut gate, bias 0": "12.86",
    "shortcut gate, bias -6": "6.91",
    "halves": "12.35",
    "exclusive gate, bias 0": FAIL,
    "exclusive gate, bias -6": "8.70",
    "none": FAIL,
}
EXPERIMENT = Experiment(
    name="shortcut",
    question="What may stand on the shortcut besides the identity?",
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
