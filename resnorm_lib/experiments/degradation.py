"""Degradation: deeper plain networks train worse, deeper residual ones do not (He et al. 2016, arXiv:1512.03385)."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnorm_lib.engine.classification import ImageConfig, set_up, train
from resnorm_lib.engine.datasets import Task
from resnorm_lib.engine.experiment import Experiment, Metric, Paper
from resnorm_lib.engine.training import errors
from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.models import MLP, cifar_resnet
from resnorm_lib.residual import residual_blocks

__all__ = ["EXPERIMENT", "Config", "build", "gradient_sizes"]


@dataclass(frozen=True)
class Config(ImageConfig):
    """Plain and residual networks of several depths, all trained alike."""

    depths: tuple = (2, 20, 40)  # blocks of a perceptron; layers, 6n + 2, of a network for images
    epochs: int = 10
    evaluations: int = 10  # of both errors during the training


PRESETS = {
    "cpu": Config(),
    # With a quarter set apart an epoch has 15 steps: 600 together, and errors after 200, 400 and 600.
    "rates": Config(
        depths=(20, 40),
        epochs=40,
        evaluations=3,
        held=0.25,
        learning_rates=(0.0005, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    ),
    "adam": Config(
        depths=(40,),
        epochs=40,
        evaluations=3,
        held=0.25,
        optimizer="adam",
        learning_rates=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03),
    ),
    "gpu": Config(
        data="cifar10",
        depths=(20, 56),
        epochs=10,
        batch_size=256,
        lr=0.2,
        weight_decay=1e-4,
        schedule="cosine",
        warmup=200,
        amp=True,
        evaluations=5,
    ),
}
KINDS = ("plain", "residual")


def arms(config: Config) -> dict:
    """Return plain and residual twins depth by depth: a run cut short has compared the shallow ones."""
    names = {"plain": "plain-{}", "residual": "residual-{}"}
    if config.data != "digits":  # other networks, so other names: 20 layers of convolutions are not 20 blocks
        names = {"plain": "ResNet-{}-plain", "residual": "ResNet-{}"}
    return {names[kind].format(depth): (kind, depth) for depth in config.depths for kind in KINDS}


def build(kind: str, depth: int, config: Config, shape: tuple) -> nn.Module:
    """Return the network of an arm for inputs of that shape.

    Twins have the same parameters; the plain one lacks the shortcuts.

    Parameters
    ----------
    kind : {"plain", "residual"}
    depth : int
        Blocks for ``"digits"``, layers of convolutions otherwise.
    config : Config
    shape : tuple
        (features,) or (channels, height, width).

    Examples
    --------
    >>> twins = [build(kind, 20, Config(), (64,)) for kind in KINDS]
    >>> [sum(parameter.numel() for parameter in twin.parameters()) for twin in twins]
    [90698, 90698]
    """
    if config.data == "digits":
        return MLP(shape[0], config.width, depth, out_features=10, scheme="plain" if kind == "plain" else "pre_norm")
    return cifar_resnet(depth, in_channels=shape[0], scheme="plain" if kind == "plain" else None)


def gradient_sizes(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    r"""Return :math:`\lVert\partial\mathcal{L}/\partial h_\ell\rVert` behind each block, from the first to the last.

    The loss is the mean cross-entropy in training mode, so that the normalization is that of this batch. Running
    statistics take a step towards it, as in any forward pass.

    Parameters
    ----------
    model : MLP or ResNet
    x, target : tensors
        A batch.

    Returns
    -------
    tensor of shape (blocks,)
    """
    stream = []
    hooks = [block.register_forward_hook(lambda block, x, h: stream.append(h)) for block in residual_blocks(model)]
    training = model.training
    loss = F.cross_entropy(model.train()(x), target)
    for hook in hooks:
        hook.remove()
    model.train(training)
    return torch.stack([gradient.norm() for gradient in torch.autograd.grad(loss, stream)])


def trial(config: Config, arm: tuple[str, int], log: TrialLog) -> None:
    """Train one network; note its errors as it learns, and the gradient behind each block before and after."""
    task, model = set_up(config, lambda shape: build(*arm, config, shape), log)
    last = {}

    def log_errors(step: int, model: nn.Module) -> None:
        last.update(errors(model, task, amp=config.amp))
        log.add(step, **{name: value for name, value in last.items() if name.endswith("_error")})

    steps = config.epochs * task.steps
    moments = {max(1, steps * part // config.evaluations) for part in range(1, config.evaluations + 1)}
    before = log_gradients("before", model, task, log)
    train(model, task, config, log, at={step: partial(log_errors, step) for step in moments})
    log.summary(**last, gradient_before=before, gradient_after=log_gradients("after", model, task, log))


def log_gradients(when: str, model: nn.Module, task: Task, log: TrialLog) -> Tensor:
    """Log the norm of the gradient behind each block (the step counts blocks) and return the ratio of first to last."""
    sizes = gradient_sizes(model, *next(iter(task.train_eval)))
    for block, size in enumerate(sizes, 1):
        log.add(block, **{f"gradient_{when}": size})
    return sizes[0] / sizes[-1]


EXPERIMENT = Experiment(
    name="degradation",
    question="Do deeper networks train worse, and do shortcuts change that?",
    order=1,
    presets=PRESETS,
    arms=arms,
    trial=trial,
    metrics={
        "train_error": Metric("training error", "%"),
        "test_error": Metric("test error", "%"),
        "train_loss": Metric("training loss", "nats", 4),
        "gradient_before": Metric("gradient, first block over last, before", "", 1),
        "gradient_after": Metric("after", "", 1),
    },
    paper={
        (f"ResNet-{depth}", "test_error"): Paper(error, "he2016deep")
        for depth, error in ((20, "8.75"), (32, "7.51"), (44, "7.17"), (56, "6.97"), (110, "6.43"))
    }
    | {("ResNet-110-plain", "test_error"): Paper("> 60", "he2016deep", "not drawn in the paper's Figure 6")},
    differs="10 epochs and a cosine schedule instead of 64,000 steps (164 epochs) at three rates; batches of 256",
)
