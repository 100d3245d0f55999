"""Biased to the identity: a norm in the branch keeps deep residual blocks close to the identity; so do other means.

De and Smith (2020), arXiv:2002.10444; Zhang, Dauphin and Ma (2019), arXiv:1901.09321; Bachlechner et al. (2021),
arXiv:2003.04887; Yang et al. (2019), arXiv:1902.08129, for the same norm without the shortcut.
"""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resnorm_lib.engine.classification import ImageConfig, set_up, train
from resnorm_lib.engine.experiment import Experiment, Metric, Paper
from resnorm_lib.engine.training import errors, fix_statistics
from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.models import cifar_resnet
from resnorm_lib.norms import make_norm
from resnorm_lib.residual import ResidualStack

__all__ = ["ARMS", "EXPERIMENT", "LINEAR", "Config", "Ends", "Perceptron", "branch_shares", "build"]

# The way in which branches join, and the norm inside them; the most telling first.
ARMS = {
    "BN": ("pre_norm", "batch"),
    "no norm": ("add", "none"),
    "SkipInit": ("skip_init", "none"),  # without norms ReZero is the same: a scalar that starts at 0
    "BN after the sum": ("post_norm", "batch"),  # the same norm and the same shortcut, without the bias
    "1/sqrt(L)": ("depth_scaled", "none"),
    "Fixup": ("fixup", "none"),
    "LN": ("pre_norm", "layer"),
    "plain BN": ("plain", "batch"),
    "LayerScale": ("layer_scale", "layer"),
}
LINEAR = "linear"  # the baseline: what the two ends reach without any block between them


@dataclass(frozen=True)
class Config(ImageConfig):
    """Networks without a norm and ways to make up for it, all trained alike."""

    data: str = "spirals"  # or digits: perceptrons of equal blocks; cifar10: residual networks with pre-activation
    depths: tuple = (10, 80)  # blocks of a perceptron; layers, 6n + 2, of a network with pre-activation
    epochs: int = 10
    lr: float = 0.02


PRESETS = {
    "cpu": Config(),
    "rates": Config(learning_rates=(0.0001, 0.0005, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)),
    "gpu": Config(
        data="cifar10",
        depths=(56,),
        epochs=8,
        batch_size=256,
        lr=0.05,
        weight_decay=5e-4,
        schedule="cosine",
        warmup=100,
        amp=True,
    ),
}


def arms(config: Config) -> dict:
    """Return the baseline, then every way of joining at each depth, the deepest networks last."""
    return {LINEAR: (LINEAR, 0)} | {f"{name}, {depth}": (name, depth) for depth in config.depths for name in ARMS}


class Ends(nn.Module):
    """A linear classifier: the two outer maps of :class:`Perceptron`, with no block between them.

    They start as there. What another network reaches beyond this, its blocks have done.

    Parameters
    ----------
    in_features, width : int
        Inputs of other shapes are flattened.
    """

    stages = ()

    def __init__(self, in_features: int, width: int) -> None:
        super().__init__()
        self.embed, self.head = _linear_in(in_features, width), _linear_out(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x.flatten(1)))


class Perceptron(nn.Module):
    r"""Blocks of two maps between a linear map in and a linear map out.

    .. math:: F_\ell(h) = W_{\ell 2}\,\mathrm{ReLU}(N(W_{\ell 1}\,\mathrm{ReLU}(h) + b_{\ell 1})) + b_{\ell 2}

    The scheme puts its norm, if it has one, before this. Fixup needs two maps, which :class:`resnorm_lib.models.MLP`
    has not. Weights start as He et al. (2015) have it, and those of the first map with variance 1/in_features; all
    biases start at 0, as Fixup has it for the head too.

    Parameters
    ----------
    in_features, width, depth : int
        ``depth`` counts blocks.
    scheme, norm : str
        As for :class:`resnorm_lib.residual.Residual`.
    """

    def __init__(self, in_features: int, width: int, depth: int, scheme: str, norm: str) -> None:
        super().__init__()
        self.embed = _linear_in(in_features, width)
        self.blocks = ResidualStack([_branch(width, norm) for _ in range(depth)], width, scheme, norm=norm)
        self.final_norm = self.blocks.make_final_norm(norm)
        self.head = _linear_out(width)
        with torch.no_grad():
            self.head.weight.mul_(self.blocks.head_gain)

    @property
    def stages(self) -> list[nn.Module]:
        return [self.blocks]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.final_norm(self.blocks(self.embed(x))))


def _linear_in(in_features: int, width: int) -> nn.Linear:
    linear = nn.Linear(in_features, width)
    nn.init.normal_(linear.weight, std=in_features**-0.5)
    nn.init.zeros_(linear.bias)
    return linear


def _linear_out(width: int) -> nn.Linear:
    linear = nn.Linear(width, 10)
    nn.init.zeros_(linear.bias)
    return linear


def _branch(width: int, norm: str) -> nn.Sequential:
    maps = nn.Linear(width, width), nn.Linear(width, width)
    for linear in maps:
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.ReLU(), maps[0], make_norm(norm, width), nn.ReLU(), maps[1])


def build(name: str, depth: int, config: Config, shape: tuple) -> nn.Module:
    """Return the network of an arm, for inputs of this shape."""
    if name == LINEAR:
        return Ends(math.prod(shape), config.width)
    scheme, norm = ARMS[name]
    if len(shape) == 1:
        return Perceptron(shape[0], config.width, depth, scheme, norm)
    return cifar_resnet(depth, in_channels=shape[0], block="pre_basic", scheme=scheme, norm=norm)


@torch.no_grad()
def branch_shares(model: nn.Module, x: Tensor) -> Tensor:
    r"""Return for each block which share of its output is not a multiple of its input.

    .. math:: \text{share}_\ell = \frac{\mathrm{std}(h_\ell - c\,h_{\ell-1})}{\mathrm{std}(h_\ell)}, \qquad
              c = \frac{\mathrm{cov}(h_{\ell-1}, h_\ell)}{\mathrm{var}(h_{\ell-1})}

    Variances and covariances are those of a feature over the batch (and over the pixels), averaged over features. With
    weights at random, c is the factor of the shortcut and the rest is the branch: in a stack whose branches each add
    the variance 1 to a stream that starts with 1, block :math:`\ell` has the share :math:`1/\sqrt{\ell + 1}`. Without
    a shortcut it is 1, for the identity 0. Blocks that change the shape are left out. A copy in training mode does
    the work; the model stays as it is.

    Parameters
    ----------
    model : nn.Module
        With ``stages``, lists of blocks whose state is one tensor.
    x : tensor
        A batch of inputs.

    Returns
    -------
    tensor
        One share a block.
    """
    shares, model = [], copy.deepcopy(model).train()

    def note(block: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if inputs[0].shape == output.shape:
            before, after = _centred(inputs[0]), _centred(output)
            rest = after - (before * after).mean() / before.square().mean() * before
            shares.append((rest.square().mean() / after.square().mean()).sqrt())

    for stage in model.stages:
        for block in stage:
            block.register_forward_hook(note)
    model(x)
    return torch.stack(shares)


def _centred(h: Tensor) -> Tensor:
    """Return rows of features, each feature with the mean 0."""
    h = h.float().movedim(1, -1).flatten(0, -2)
    return h - h.mean(0)


def trial(config: Config, arm: tuple[str, int], log: TrialLog) -> None:
    """Train one network; note its branches' shares before and after, its loss and its errors."""
    task, model = set_up(config, lambda shape: build(*arm, config, shape), log)
    batch = next(iter(task.train_eval))[0]
    log_share("start", model, batch, log)
    train(model, task, config, log)
    fix_statistics(model, (x for x, _ in task.train_eval))  # so few steps leave a running average behind
    log.summary(**errors(model, task, amp=config.amp))
    log_share("end", model, batch, log)


def log_share(when: str, model: nn.Module, batch: Tensor, log: TrialLog) -> None:
    """Write down the mean share of the blocks; the baseline has none."""
    if model.stages:
        log.summary(**{f"share_{when}": branch_shares(model, batch).mean()})


EXPERIMENT = Experiment(
    name="bias_to_the_identity",
    question="Which very deep networks train without a norm, and how close to the identity do their blocks begin?",
    order=4,
    presets=PRESETS,
    arms=arms,
    trial=trial,
    metrics={
        "train_loss": Metric("training loss", "nats", 4),
        "train_error": Metric("training error", "%"),
        "test_error": Metric("test error", "%"),
        "share_start": Metric("share of the branch, before", "", 3),
        "share_end": Metric("share of the branch, after", "", 3),
    },
    paper={
        ("BN, 56", "test_error"): Paper("6.97", "he2016deep", "norms after the convolutions"),
        ("BN after the sum, 56", "test_error"): Paper("8.17 (110 layers)", "he2016identity", "6.61 in the branch"),
    },
    differs="8 epochs instead of 164 and more; one learning rate for all, where the papers tune it for each network",
)
