"""Language: classifying, writing, translating, answering, with the norm before, after, around a branch, or nowhere.

Places of the norm: Xiong et al. (2020), arXiv:2002.04745; Ding et al. (2021), arXiv:2105.13290 (both sides).
The wrong norm, that of batches: Shen et al. (2020), arXiv:2003.07845.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnorm_lib.data import batches
from resnorm_lib.data.translation import PAD
from resnorm_lib.engine.experiment import Experiment, Metric
from resnorm_lib.engine.recipe import Recipe
from resnorm_lib.engine.training import cross_entropy, endless, evaluate, fit
from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.experiments.language import tasks
from resnorm_lib.experiments.language.readers import Answerer, Classifier, Translator, best_spans
from resnorm_lib.experiments.language.token_batch_norm import TokenBatchNorm
from resnorm_lib.models import DecoderLM

__all__ = ["EXPERIMENT", "NETWORKS", "PLACES", "Config", "build", "make_task", "mistakes", "token_loss"]

# The scheme and the norm of a network: LayerNorm at its places, or nowhere, and the wrong norm at Pre-LN's place.
PLACES = {
    "Pre-LN": ("pre_norm", "layer"),
    "Post-LN": ("post_norm", "layer"),
    "both sides": ("peri_ln", "layer"),
    "no norm": ("add", "none"),
    "no shortcut": ("plain", "layer"),
}
NETWORKS = PLACES | {"BatchNorm": ("pre_norm", "batch")}
TASKS = ("classify", "write", "translate", "answer")
WEIGHTS, DATA, ORDER = range(3)  # random streams of a trial


@dataclass(frozen=True)
class Config:
    """Small Transformers with Adam, whose rate rises for a tenth of the steps and then falls to 0."""

    tasks: tuple = TASKS
    width: int = 32
    depth: int = 2  # layers; of encoder and decoder each, where there are both
    num_heads: int = 2
    steps: int = 200
    batch_size: int = 32
    sentences: int = 3000  # to learn to classify from
    numbers: int = 2000  # to learn to translate from
    largest: int = 9999  # of the numbers
    passages: int = 8000  # to learn to answer from
    lr: float = 0.006
    learning_rates: tuple = ()  # each arm trains at all of them in place of lr


PRESETS = {
    "cpu": Config(),
    "rates": Config(steps=300, learning_rates=(0.002, 0.005, 0.01, 0.02, 0.05)),
    "deep": Config(tasks=("translate",), depth=6, steps=300, learning_rates=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02)),
    "gpu": Config(
        width=256,
        depth=8,
        num_heads=8,
        steps=5000,
        batch_size=128,
        sentences=6500,
        numbers=50_000,
        largest=999_999,
        passages=100_000,
        lr=0.0005,
    ),
}


def arms(config: Config) -> dict:
    """Return every network at every task of the config."""
    return {f"{task}: {name}": (task, *network) for task in config.tasks for name, network in NETWORKS.items()}


def make_task(name: str, config: Config, seed: int) -> tasks.Task:
    """Return the data of a task; all networks of a seed share them."""
    if name == "classify":
        return tasks.classifying(seed, config.sentences)
    if name == "write":
        return tasks.writing(seed)
    if name == "translate":
        return tasks.translating(seed, config.numbers, config.largest)
    return tasks.answering(seed, config.passages)


def build(name: str, task: tasks.Task, config: Config, scheme: str, norm: str) -> nn.Module:
    """Return the network for a task. The statistics of a norm of batches leave padding out."""
    shape = {"dim": config.width, "depth": config.depth, "num_heads": config.num_heads}
    shape |= {"scheme": scheme, "norm": TokenBatchNorm if norm == "batch" else norm}
    if name == "translate":
        return Translator(task.words, **shape)
    shape["context_length"] = task.x.shape[1]
    if name == "classify":
        return Classifier(task.words, 4, **shape)
    return DecoderLM(task.words, **shape) if name == "write" else Answerer(task.words, **shape)


def token_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean cross-entropy in nats over what is no padding."""
    return F.cross_entropy(logits.flatten(0, -2), target.flatten(), ignore_index=PAD)


@torch.no_grad()
def mistakes(name: str, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the wrong answers in percent: a wrong digit, or a wrong end of a span, makes an answer wrong."""
    model.eval()
    if name == "classify":
        right = model(x).argmax(1) == y
    elif name == "answer":
        right = (best_spans(model(x)) == y).all(1)
    else:
        right = (model.translate(x[:, : model.source_length], y.shape[1])[:, 1:] == y).all(1)
    return 100 * (~right).float().mean()


@torch.no_grad()
def both_losses(model: nn.Module, x: Tensor, y: Tensor, size: int, loss: Callable) -> dict[str, Tensor]:
    """Return the mean loss of batches of ``size``: with running statistics, and with each batch's own, as in training.

    The latter moves the running statistics: measure all else before.
    """
    data = [both for both in zip(x.split(size), y.split(size)) if len(both[0]) == size]
    return {
        name: torch.stack([loss(model.train(training)(x), y) for x, y in data]).mean()
        for name, training in (("running_nats", False), ("batch_nats", True))
    }


def trial(config: Config, arm: tuple[str, str, str], log: TrialLog) -> None:
    """Train one network on one task; note what it gets wrong, on the test and where the rate is chosen."""
    name, *network = arm
    task = make_task(name, config, log.base + DATA)
    with log.seeded(WEIGHTS):
        model = build(name, task, config, *network).to(log.device)
    x, y, *rest = (part.to(log.device) for part in task[:6])
    order = log.generator(ORDER)
    size = min(config.batch_size, len(x))
    recipe = Recipe(config.lr, config.steps, "adam", schedule="cosine", warmup=config.steps // 10)
    loss = token_loss if name == "translate" else cross_entropy
    fit(model, endless(lambda: batches(x, y, size, order, drop_last=True)), recipe, log, loss=loss)
    for part, (inputs, targets) in zip(("val", "test"), zip(rest[::2], rest[1::2])):
        if name == "write":
            log.summary(**{f"{part}_nats": evaluate(model, [(inputs, targets)])[0]})
        else:
            log.summary(**{f"{part}_wrong": mistakes(name, model, inputs, targets)})
    if network[1] == "batch":
        log.summary(**both_losses(model, *rest[2:], size, loss))


EXPERIMENT = Experiment(
    name="language",
    question="At which tasks of language does the place of the norm matter?",
    order=9,
    presets=PRESETS,
    arms=arms,
    trial=trial,
    metrics={
        "test_wrong": Metric("wrong answers", "%", 1),
        "test_nats": Metric("loss of the language model", "nats"),
        "val_wrong": Metric("wrong where the rate is chosen", "%", 1),
        "val_nats": Metric("loss where the rate is chosen", "nats"),
        "running_nats": Metric("loss on the test, running statistics", "nats"),
        "batch_nats": Metric("loss on the test, statistics of each batch", "nats"),
    },
    differs="thousands of sentences and two layers; the papers have millions of sentences and 6 to 24 layers",
)
