"""Trends, tried: other norms and other ways to join a branch, each at its own best rate, on the text of the chapter.

Zhu et al. (2025), arXiv:2503.10622 (DyT); Chen et al. (2025), arXiv:2512.10938 (Derf); Kim et al. (2017),
arXiv:1707.06065 (dynamic LN); Zhu et al. (2025), arXiv:2409.19606 (hyper-connections); Xie et al. (2025),
arXiv:2512.24880 (mHC); Sun et al. (2025), arXiv:2502.05795 (LN scaling); Zhou et al. (2025), arXiv:2410.17897 (value
residual); Pagliardini et al. (2024), arXiv:2402.02622 (DenseFormer); Srivastava et al. (2015), arXiv:1505.00387
(highway); Bachlechner et al. (2021), arXiv:2003.04887 (ReZero).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resnorm_lib.data import load_text, text_batches
from resnorm_lib.engine.experiment import Experiment, Metric
from resnorm_lib.engine.recipe import Recipe
from resnorm_lib.engine.training import evaluate, fit
from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.models import DecoderLM
from resnorm_lib.norms import AdaptiveLayerNorm
from resnorm_lib.norms.registry import Norm
from resnorm_lib.residual.hyper import HyperConnections

__all__ = ["ARMS", "EXPERIMENT", "Config", "DynamicLayerNorm", "build", "mixing_gain"]

WEIGHTS, ORDER = 0, 2  # random streams of a trial


class DynamicLayerNorm(nn.Module):
    """Layer normalization whose gain and bias each token computes from itself.

    In the paper a summary of a whole utterance decides them, which a model of the next character cannot have.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.adaptive = AdaptiveLayerNorm(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.adaptive(x, x)[0]


# How branches join the stream, and the norm in front of them; the last norm is of the same kind.
ARMS = {
    "LN": ("pre_norm", "layer"),
    "RMSNorm": ("pre_norm", "rms"),
    "DyT": ("pre_norm", "dyt"),
    "Derf": ("pre_norm", "derf"),
    "dynamic LN": ("pre_norm", DynamicLayerNorm),
    "no norm": ("pre_norm", "none"),
    "hyper-connections": ("hyper_connections", "layer"),
    "mHC": ("stochastic_hyper_connections", "layer"),
    "LN scaling": ("ln_scaling", "layer"),
    "value residual": ("value_residual", "layer"),
    "DenseFormer": ("dense_former", "layer"),
    "highway": ("highway", "layer"),
    "ReZero": ("rezero", "layer"),  # begins shut, as the highway does, but its factor does not see the input
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
    windows: int = 256  # of either half of the held-out text, in batches of 32
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
        amp=True,
    ),
}


def build(config: Config, scheme: str, norm: Norm, vocab_size: int) -> DecoderLM:
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


def trial(config: Config, arm: tuple[str, Norm], log: TrialLog) -> None:
    """Train one model; note its loss on two held-out halves: where its rate is chosen, and what is reported.

    With several streams, note the gain of their mixing as well.
    """
    text = load_text(config.data)
    order = log.generator(ORDER, log.device)
    train = text_batches(text.train.to(log.device), config.batch_size, config.context_length, order)
    with log.seeded(WEIGHTS):
        model = build(config, *arm, len(text.vocabulary)).to(log.device)
    fit(model, train, config.recipe(), log)
    for name, part in zip(("val_loss", "test_loss"), text.val.to(log.device).chunk(2)):
        fixed = torch.Generator(log.device).manual_seed(0)  # the same windows for every trial
        windows = list(text_batches(part, 32, config.context_length, fixed, steps=config.windows // 32))
        log.summary(**{name: evaluate(model, windows, amp=config.amp)[0]})
    if arm[0].endswith("hyper_connections"):
        log.summary(gain=mixing_gain(model, windows[0][0]))


EXPERIMENT = Experiment(
    name="trends_tried",
    question="Does a newer norm, or a newer way to join a branch, train better than LN and a sum?",
    order=11,
    presets=PRESETS,
    arms=lambda config: ARMS,
    trial=trial,
    metrics={
        "test_loss": Metric("loss on held-out text", "nats"),
        "gain": Metric("gain of the mixing", "", 3),
        "val_loss": Metric("loss where the rate is chosen", "nats"),
    },
    differs="0.1 million parameters, trained for seconds; the models of the papers are a thousand times as large",
)
