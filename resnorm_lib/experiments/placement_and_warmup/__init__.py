"""Placement and warm-up: where the norm stands decides whether training needs a slow start (Xiong et al. 2020)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from resnorm_lib.engine.datasets import text_task
from resnorm_lib.engine.experiment import Experiment, Metric, Paper
from resnorm_lib.engine.recipe import Recipe
from resnorm_lib.engine.training import cross_entropy, fit
from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.experiments.placement_and_warmup.context_gain import (
    context_loss,
    output_without_layer,
    spread,
    unigram_loss,
)
from resnorm_lib.models import DecoderLM

__all__ = ["EXPERIMENT", "Arm", "Config", "build"]

MASKS = 3  # random stream of dropout, which takes no generator
LAST = 30  # steps whose mean is the training loss
SPREAD_AT = (1, 2, 3, 5, 10, 20, 40, 80, 120, 160, 200, 300, 400, 500, 700, 1000)  # steps

KINDS = {  # the most telling first
    "post": ("post_norm", False, "layer"),
    "post-warmup": ("post_norm", True, "layer"),
    "pre": ("pre_norm", False, "layer"),
    "pre-warmup": ("pre_norm", True, "layer"),
    "deepnorm": ("deep_norm", False, "layer"),
    "rezero": ("rezero", False, "none"),
    "peri": ("peri_ln", False, "layer"),
    "ln-scaling": ("ln_scaling", False, "layer"),
    "pre-rms": ("pre_norm", False, "rms"),
    "no-norm": ("add", False, "none"),
}


@dataclass(frozen=True)
class Config:
    """Character language models that differ in placement, warm-up and depth, all else equal."""

    data: str = "pydoc"  # or shakespeare
    kinds: tuple = tuple(KINDS)
    depths: tuple = (6,)  # layers: all kinds
    extra_depths: tuple = (12,)  # layers: ``extra_kinds`` alone
    extra_kinds: tuple = ("post-warmup", "deepnorm")
    deepest_depth: int = 0  # layers: ``extra_kinds`` and ReZero, with ``deepest_dim`` features; 0: none
    dim: int = 32
    deepest_dim: int = 32
    num_heads: int = 4
    context_length: int = 32  # characters of a window
    batch_size: int = 8
    steps: int = 200
    lr: float = 0.004
    learning_rates: tuple = ()  # each arm trains at all of them in place of lr
    warmup: int = 150  # steps, in the arms that have one
    schedule: str = "constant"  # after the warm-up
    dropout: float = 0.0
    test_batches: int = 8
    amp: bool = False  # bfloat16
    capture: bool = True  # on a GPU: a training step as one CUDA graph

    def recipe(self, warmup: bool) -> Recipe:
        """Return how an arm is trained: AdamW without weight decay and without clipping, which would hide effects."""
        names = {name: getattr(self, name) for name in ("lr", "steps", "schedule", "amp", "capture")}
        return Recipe(**names, optimizer="adamw", fused=True, warmup=self.warmup if warmup else 0)


@dataclass(frozen=True)
class Arm:
    """One condition: the placement of the norms, which norm, and whether the rate starts small."""

    scheme: str
    depth: int
    dim: int
    warmup: bool = False
    norm: str = "layer"


PRESETS = {
    "cpu": Config(),
    "rates": Config(learning_rates=(0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032)),
    "long": Config(extra_depths=(), kinds=("post", "post-warmup", "pre", "deepnorm", "ln-scaling"), steps=800),
    # Captured, not compiled: to compile a network of this size takes longer than its 500 steps.
    "gpu": Config(
        data="shakespeare",
        extra_depths=(24,),
        extra_kinds=("post-warmup", "pre", "deepnorm"),
        deepest_depth=100,
        dim=384,
        deepest_dim=192,
        num_heads=6,
        context_length=256,
        batch_size=64,
        steps=500,
        lr=1e-3,
        warmup=200,
        dropout=0.2,
        test_batches=4,
        amp=True,
    ),
}


def arms(config: Config) -> dict:
    """Return all kinds at the first depths, then the few that matter most in deeper networks."""
    places = [(kind, depth, config.dim) for depth in config.depths for kind in config.kinds]
    places += [(kind, depth, config.dim) for depth in config.extra_depths for kind in config.extra_kinds]
    if config.deepest_depth:
        places += [(kind, config.deepest_depth, config.deepest_dim) for kind in (*config.extra_kinds, "rezero")]
    return {f"{kind}-{depth}": _arm(kind, depth, dim) for kind, depth, dim in places}


def _arm(kind: str, depth: int, dim: int) -> Arm:
    scheme, warmup, norm = KINDS[kind]
    return Arm(scheme, depth, dim, warmup, norm)


def build(config: Config, arm: Arm, vocab_size: int) -> DecoderLM:
    """Return the language model of an arm; its output is not tied to the embedding: neither sets the other's scale."""
    sizes = {"depth": arm.depth, "num_heads": config.num_heads, "context_length": config.context_length}
    options = {"scheme": arm.scheme, "norm": arm.norm, "dropout": config.dropout, "tied": False}
    return DecoderLM(vocab_size, arm.dim, **sizes, **options)


@contextmanager
def flushed() -> Iterator[None]:
    """Let numbers below 1e-38 be 0: in a network that dies they make a step on a CPU many times slower."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def trial(config: Config, arm: Arm, log: TrialLog) -> None:
    """Train one model; note its losses, how far its tokens differ, and what each layer is worth."""
    task = text_task(config.data, config.batch_size, config.context_length, log, test_batches=config.test_batches)
    x, target = map(torch.cat, zip(*task.test))
    with log.seeded(0):
        model = build(config, arm, task.vocab_size).to(log.device)

    sample = x[: -(-len(x) // 4)]  # all of x would cost as much as the training

    @torch.no_grad()
    def log_spread(step: int, model: nn.Module) -> None:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=config.amp):
            features = model.eval().features(sample)
        model.train()
        log.add(step, spread=spread(features))

    with flushed(), log.seeded(MASKS):
        log_spread(0, model)
        at = {step: partial(log_spread, step) for step in {*SPREAD_AT, config.steps}}
        fit(model, iter(task.train), config.recipe(arm.warmup), log, every=1, at=at)
        val_loss = log_layer_removal(config, arm, model.eval(), x, target, log)
    losses = [loss for _, loss in log.points["loss"][-LAST:]]
    log.summary(train_loss=sum(losses) / len(losses), val_loss=val_loss, gain=unigram_loss(target) - val_loss)
    log.summary(spread=log.points["spread"][-1][1])


def log_layer_removal(config: Config, arm: Arm, model: nn.Module, x: Tensor, target: Tensor, log: TrialLog) -> Tensor:
    """Log how much the loss and the context loss rise without each layer; return the loss of the model.

    Only in arms of the first depths: the work grows with the square of the depth, and no question needs the others.
    """
    whole = output_without_layer(model, None, x, config.amp)
    loss, in_context = cross_entropy(whole, target), context_loss(whole, target)
    for layer in range(arm.depth if arm.depth in config.depths else 0):
        output = output_without_layer(model, layer, x, config.amp)
        rises = cross_entropy(output, target) - loss, context_loss(output, target) - in_context
        log.add(layer, loss_rise_without_layer=rises[0], context_loss_rise=rises[1])
    return loss


EXPERIMENT = Experiment(
    name="placement_and_warmup",
    question="Does a Post-LN Transformer need warm-up, and what replaces it?",
    order=2,
    presets=PRESETS,
    arms=arms,
    trial=trial,
    metrics={
        "train_loss": Metric("training loss", "nats"),
        "val_loss": Metric("validation loss", "nats"),
        "gain": Metric("gain from context", "nats"),
        "spread": Metric("spread of the features", "", 3),
    },
    paper={("pre-warmup-6", "val_loss"): Paper("1.47", "karpathy2022nanogpt", "5,000 steps, tied embedding")},
    differs="steps in hundreds, not in ten thousands; a language model, where the paper translates; no label smoothing",
)
