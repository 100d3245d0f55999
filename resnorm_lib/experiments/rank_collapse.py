"""Rank collapse: attention makes tokens alike, a shortcut slows it, a scaled branch stops it, at the start of training.

Dong, Cordonnier and Loukas (2021), arXiv:2103.03404: without shortcuts, tokens become one vector doubly exponentially
fast in depth. Noci et al. (2022), arXiv:2206.03126: with shortcuts they still become alike, unless the branches are
scaled by one over the square root of the depth; and where tokens are alike, queries and keys get no gradient.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnorm_lib.engine.experiment import Experiment, Metric
from resnorm_lib.engine.trial_log import TrialLog
from resnorm_lib.models.transformer_branches import FeedForward, SelfAttention
from resnorm_lib.residual import BranchPosition, ResidualStack

__all__ = ["EXPERIMENT", "Config", "attention_stack", "mean_cosine", "rank_residual"]


@dataclass(frozen=True)
class Config:
    """Stacks of attention at the start of training, in float64, on tokens drawn from a normal distribution."""

    depth: int = 32  # attentions
    dim: int = 64
    num_heads: int = 1
    tokens: int = 32
    samples: int = 8


PRESETS = {"cpu": Config(), "gpu": Config(depth=128, dim=768, num_heads=12, tokens=256, samples=4)}

ARMS = {
    "attention alone": ("plain", "none", False),
    "with LN": ("plain", "layer", False),
    "with MLP": ("plain", "none", True),
    "shortcut": ("add", "none", False),
    "shortcut, LN": ("pre_norm", "layer", False),
    "shortcut, LN, MLP": ("pre_norm", "layer", True),
    "shortcut, LN, scaled": ("depth_scaled", "layer", False),
    "shortcut, LN, MLP, scaled": ("depth_scaled", "layer", True),
}


def arms(config: Config) -> dict:
    """Return for each arm the scheme, the norm, and whether a perceptron follows every attention."""
    return ARMS


def attention_stack(scheme: str, norm: str, mlp: bool, config: Config) -> ResidualStack:
    """Return the stack of an arm; layer l ends after block l, or after block 2l where each has a perceptron."""
    kinds = (SelfAttention, FeedForward) if mlp else (SelfAttention,)
    make = {
        SelfAttention: lambda: SelfAttention(config.dim, config.num_heads),
        FeedForward: lambda: FeedForward(config.dim),
    }
    branches = [make[kind]() for _ in range(config.depth) for kind in kinds]
    return ResidualStack(
        branches, config.dim, scheme, norm=norm, branches_per_layer=len(kinds), position=BranchPosition(feature_axis=-1)
    ).double()


def rank_residual(x: Tensor) -> Tensor:
    r"""Return how far tokens (..., T, d) are from being one vector, the mean over samples.

    .. math:: \frac{\lVert X - \mathbf 1 \bar x^\top \rVert_F}{\lVert X \rVert_F}, \qquad \bar x = \tfrac1T \sum_t x_t

    0 if all tokens are the same; 1 if their mean is 0. Dong et al. use another norm; in both the mean of the tokens, or
    a vector near it, is what is taken off.

    Examples
    --------
    >>> rank_residual(torch.ones(1, 4, 3)).item()
    0.0
    """
    centred = x - x.mean(-2, keepdim=True)
    return (centred.norm(dim=(-2, -1)) / x.norm(dim=(-2, -1))).mean()


def mean_cosine(x: Tensor) -> Tensor:
    r"""Return the mean cosine of two different tokens of a sample, :math:`\cos(x_s, x_t)` over all :math:`s \neq t`.

    Examples
    --------
    >>> round(mean_cosine(torch.eye(3)[None]).item(), 6)
    0.0
    """
    unit = F.normalize(x, dim=-1, eps=1e-300)  # a stack may shrink its stream to 1e-40
    tokens = x.shape[-2]
    total = unit.sum(-2).square().sum(-1)  # sum of all cosines, the T ones of a token with itself included
    return ((total - tokens) / (tokens * (tokens - 1))).mean()


def trial(config: Config, arm: tuple[str, str, bool], log: TrialLog) -> None:
    """Send tokens through a stack at its start; note per layer how alike they are, and which weights get a gradient."""
    scheme, norm, mlp = arm
    with log.seeded(0):
        stack = attention_stack(scheme, norm, mlp, config).to(log.device)
    shape = (config.samples, config.tokens, config.dim)
    x = torch.randn(shape, generator=log.generator(1), dtype=torch.float64).to(log.device)
    readout = torch.randn(shape, generator=log.generator(2), dtype=torch.float64).to(log.device)
    log.begin("evaluate")
    streams = [x]
    hooks = [block.register_forward_hook(lambda *call: streams.append(call[-1])) for block in stack]
    final = stack(x)
    for hook in hooks:
        hook.remove()
    for layer, stream in enumerate(streams[:: 2 if mlp else 1]):
        log.add(layer, rank_residual=rank_residual(stream), cosine=mean_cosine(stream))
    (F.layer_norm(final, final.shape[-1:]) * readout).mean().backward()
    log.summary(rank_residual=rank_residual(final), cosine=mean_cosine(final), queries=_query_share(stack))


def _query_share(stack: nn.Module) -> Tensor:
    """Return the norm of the gradient of queries and keys over that of values: the median over attentions."""
    shares = []
    for module in stack.modules():
        if isinstance(module, SelfAttention):
            query, key, value = module.qkv.weight.grad.chunk(3)
            shares.append(torch.cat([query, key]).norm() / value.norm())
    return torch.stack(shares).median()


EXPERIMENT = Experiment(
    name="rank_collapse",
    question="Does attention make all tokens alike, and what stops it?",
    order=6,
    presets=PRESETS,
    arms=arms,
    trial=trial,
    metrics={
        "rank_residual": Metric("distance from one vector", "", 4),
        "cosine": Metric("cosine of two tokens", "", 3),
        "queries": Metric("gradient of queries and keys / of values", "", 4),
    },
    differs="networks at the start of training, on random tokens; the papers measure trained ones too",
)
