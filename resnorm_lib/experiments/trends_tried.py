"""Trends, tried: norms without statistics and several streams, each at its own best rate, on the text of the chapter.

Zhu et al. (2025), arXiv:2503.10622 (DyT); Chen et al. (2025), arXiv:2512.10938 (Derf); Zhu et al. (2025),
arXiv:2409.19606 (hyper-connections); Xie et al. (2025), arXiv:2512.24880 (mHC).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resnorm_lib.engine.datasets import text_task
from resnorm_lib.engine.experiment import Experiment, Metric
from resnorm_lib.engine.recipe import Recipe
from resnorm_lib.engine.training import evaluate, fit
from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.models import DecoderLM
from resnorm_lib.residual.hyper import HyperConnections

__all__ = ["ARMS", "EXPERIMENT", "Config", "build", "mixing_gain"]

# How branches join the stream, and the norm in front of them; the last norm is of the same kind.
ARMS = {
    "LN": ("pre_norm", "layer"),
    "RMSNorm": ("pre_norm", "rms"),
    "DyT": ("pre_norm", "dyt"),
    "Derf": ("pre_norm", "derf"),
    "no norm": ("pre_norm", "none"),
    "hyper-connections": ("hyper_connections", "layer"),
    "mHC": ("stochastic_hyper_connections", "layer"),
}


@dataclass(frozen=True)
class Config:
    """Character language models that differ in their norm or in how their branches join, all else equal."""

    data: str = "pydoc"  # or shakespeare
    depth: int = 6  # layers, two branches each
    dim: int = 32
    num_heads: int = 4
    context_length: int = 32  # characters of a window
    batch_size: int = 8
    steps: int = 200
    lr: float = 0.004
    learning_rates: tuple = (0.001, 0.002, 0.004, 0.008, 0.016)  # each arm trains at all of them
    test_batches: int = 8
    amp: bool = False  # bfloat16

    def recipe(self) -> Recipe:
        """Return how all arms are trained: AdamW without weight decay, clipping or warm-up."""
        return Recipe(self.lr, self.steps, "adamw", amp=self.amp, fused=True)


PRESETS = {
    "cpu": Config(),
    "gpu": Config(
        data="shakespeare",
        dim=384,
        num_heads=6,
        context_length=256,
        batch_size=64,
        steps=500,
        lr=1e-3,
        learning_rates=(2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3),
        test_batches=4,
        amp=True,
    ),
}


def build(config: Config, scheme: str, norm: str, vocab_size: int) -> DecoderLM:
    """Return the language model of an arm; its output is not tied to the embedding: neither sets the other's scale."""
    sizes = {"depth": config.depth, "num_heads": config.num_heads, "context_length": config.context_length}
    return DecoderLM(vocab_size, config.dim, **sizes, scheme=scheme, norm=norm, tied=False)


@torch.no_grad()
def mixing_gain(model: nn.Module, x: Tensor) -> Tensor:
    r"""Return by how much the streams are enlarged on their way past all branches, the mean over tokens.

    .. math:: \max_i \sum_j \left| \left(R_L \cdots R_2 R_1\right)_{ij} \right|

    The largest absolute row sum, as Xie et al. (2025) measure it, with the mixing matrices that each token decides.

    Parameters
    ----------
    model : nn.Module
        With schemes of the class :class:`resnorm_lib.residual.hyper.HyperConnections`.
    x : tensor
        A batch of inputs.
    """
    products = []

    def multiply(scheme: nn.Module, inputs: tuple) -> None:
        mixing = scheme.maps(inputs[0][0])[2].squeeze(-1).movedim((0, 1), (-2, -1)).float()  # (..., n, n)
        products.append(mixing @ products[-1] if products else mixing)

    schemes = [module for module in model.modules() if isinstance(module, HyperConnections)]
    hooks = [scheme.register_forward_pre_hook(multiply) for scheme in schemes]
    model(x)
    for hook in hooks:
        hook.remove()
    return products[-1].abs().sum(-1).amax(-1).mean()


def trial(config: Config, arm: tuple[str, str], log: TrialLog) -> None:
    """Train one model; note its validation loss, and with several streams the gain of their mixing."""
    task = text_task(config.data, config.batch_size, config.context_length, log, test_batches=config.test_batches)
    with log.seeded(0):
        model = build(config, *arm, task.vocab_size).to(log.device)
    fit(model, iter(task.train), config.recipe(), log)
    log.summary(val_loss=evaluate(model, task.test, amp=config.amp)[0])
    if arm[0].endswith("hyper_connections"):
        log.summary(gain=mixing_gain(model, task.test[0][0]))


EXPERIMENT = Experiment(
    name="trends_tried",
    question="Does a norm without statistics train as well as a norm, and do several streams beat one?",
    order=11,
    presets=PRESETS,
    arms=lambda config: ARMS,
    trial=trial,
    metrics={"val_loss": Metric("validation loss", "nats"), "gain": Metric("gain of the mixing", "", 3)},
    differs="0.1 million parameters, trained for seconds; the models of the papers are a thousand times as large",
)
