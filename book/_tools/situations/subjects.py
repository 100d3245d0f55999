"""What is put into each situation: a small stack for every scheme, for every norm, and for every norm in a branch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resnorm_lib.models import ReversibleInstanceNorm
from resnorm_lib.norms import NORMS, AdaptiveLayerNorm, CosineQKNorm, QKNorm, weight_norm, weight_standardization
from resnorm_lib.residual import SCHEMES, BranchPosition, ResidualStack, Stack, branch_widths

BLOCKS, DIM = 4, 8
OPTIONS = {"concat": {"growth": 3}}
VARIANTS = {"reversible, save_memory": ("reversible", {"save_memory": True})}


class Branch(nn.Sequential):
    """Two maps of tokens or of channels, with a place for whatever a situation puts in front or in between."""

    mixes_values = True

    def __init__(self, reads, writes, first=nn.Identity, between=nn.Identity, images=False):
        maps = [nn.Conv1d(reads, writes, 1), nn.Conv1d(writes, writes, 1)] if images else []
        one, two = maps or (nn.Linear(reads, writes), nn.Linear(writes, writes))
        super().__init__(first(), one, nn.Tanh(), between(), two)

    def forward(self, x, mix_values=None):
        if mix_values is None:
            return super().forward(x)
        return self[4](self[3](self[2](mix_values(self[1](self[0](x))))))


class Attend(nn.Module):
    """Attention of a head with itself, behind a norm of queries and keys."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        q, k = self.norm(x, x)
        return (q @ k.mT).softmax(-1) @ x


class Conditioned(nn.Module):
    """A gated norm whose condition is the mean of the tokens."""

    def __init__(self):
        super().__init__()
        self.norm = AdaptiveLayerNorm(DIM, DIM)

    def forward(self, x):
        y, gate = self.norm(x, x.mean(1))
        return gate * y


def within(part: Callable) -> Callable:
    """Return what puts a module between the two maps of a branch."""
    return lambda branch: branch.__setitem__(2, part())


def of_weights(norm: Callable) -> Callable:
    """Return what gives both maps of a branch a norm of their weights."""
    return lambda branch: [norm(module) for module in branch if isinstance(module, nn.Linear)]


INNER = {
    "AdaptiveLayerNorm": within(Conditioned),
    "QKNorm": within(lambda: Attend(QKNorm(DIM))),
    "CosineQKNorm": within(lambda: Attend(CosineQKNorm(DIM, gain=1.0))),
    "ReversibleInstanceNorm": within(lambda: ReversibleInstanceNorm(nn.Tanh())),
    "weight_norm": of_weights(weight_norm),
    "weight_standardization": of_weights(weight_standardization),
}


@dataclass(frozen=True)
class Subject:
    """A row of the table: ``build`` makes a stack, always with the same numbers, and ``x`` what it reads."""

    name: str
    kind: str  # "scheme", "norm", or "inner norm"
    scheme: str = "pre_norm"
    norm: str = "layer"

    def build(self, seed: int = 0, make: Callable = Branch, **changes) -> Stack:
        """Return the stack in float64: schemes in evaluation, where nothing is drawn, others in training."""
        scheme, options = VARIANTS.get(self.scheme, (self.scheme, OPTIONS.get(self.scheme, {})))
        axis = 1 if self.kind == "norm" else -1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            widths = branch_widths(DIM, scheme, BLOCKS, **options)
            options = {"norm": self.norm, "position": BranchPosition(feature_axis=axis)} | options | changes
            branches = [make(*width, images=axis == 1) for width in widths]
            for branch in dict.fromkeys(branches) if self.kind == "inner norm" else ():
                INNER[self.name](branch)
            stack = ResidualStack(branches, DIM, scheme, **options)
            for parameter in stack.parameters():
                if not parameter.is_meta:  # off their start, where zeros and ones would hide mistakes
                    parameter.data.add_(0.2 * torch.randn(parameter.shape))
        return stack.double().train(self.kind != "scheme")

    def x(self, seed: int = 0, rows: int = 6, length: int = 3) -> Tensor:
        """Return tokens (rows, length, DIM), or for a norm images of one axis (rows, DIM, length)."""
        x = torch.randn(rows, length, DIM, generator=torch.Generator().manual_seed(100 + seed)).double()
        return x.transpose(1, 2).contiguous() if self.kind == "norm" else x


def subjects() -> list[Subject]:
    """Return the rows of the table: all schemes, and all norms in a stack with pre-norm."""
    schemes = [Subject(name, "scheme", scheme=name) for name in (*SCHEMES, *VARIANTS)]
    norms = [Subject(name, "norm", norm=name) for name in NORMS]
    return schemes + norms + [Subject(name, "inner norm") for name in INNER]


def numbers(model: nn.Module, x: Tensor, call: Callable | None = None) -> dict[str, Tensor]:
    """Return all that a step gives: output, gradients, statistics. ``call`` takes the place of ``model(x)``."""
    x = x.detach().clone().requires_grad_()
    y = (call or model)(1 * x)  # nobody may write into a leaf
    y.square().sum().backward()
    found = {"output": y.detach(), "input": x.grad}
    found |= {f"gradient of {name}": parameter.grad for name, parameter in model.named_parameters()}
    return found | {name: buffer.double() for name, buffer in model.named_buffers()}


def same(found: dict, expected: dict, rtol: float = 1e-8) -> None:
    """Raise an AssertionError unless all numbers are the same, up to rounding."""
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, rtol=rtol, atol=rtol, msg=lambda text, name=name: f"{name}: {text}"
        )
