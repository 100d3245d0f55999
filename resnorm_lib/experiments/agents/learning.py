"""A policy that reads what it has seen, and the policy gradient that trains it."""

import torch
from torch import Generator, Tensor, nn

from resnorm_lib.experiments.agents.maze import ACTIONS, OBSERVATIONS, Maze, Walk
from resnorm_lib.models import TransformerEncoder

__all__ = ["Memoryless", "Policy", "objective", "returns_to_go", "walk"]


class Policy(TransformerEncoder):
    """Map observations (N, T) to the logits of the actions (N, T, 3) and to values (N, T); none sees a later one.

    The head is 0 at the start: all actions are equally probable.
    """

    causal = True

    def __init__(self, dim: int, *, depth: int, limit: int, **options) -> None:
        super().__init__(
            len(OBSERVATIONS), dim, depth=depth, num_heads=2, context_length=limit, hidden=2 * dim, **options
        )
        self.head = nn.Linear(self.out_dim, len(ACTIONS) + 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        out = self.head(self.features(seen))
        return out[..., :-1], out[..., -1]


class Memoryless(nn.Module):
    """The same for the present observation alone: a table of logits and values, 0 at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(len(OBSERVATIONS), len(ACTIONS) + 1)
        nn.init.zeros_(self.table.weight)

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        out = self.table(seen)
        return out[..., :-1], out[..., -1]


@torch.no_grad()
def walk(
    policy: nn.Module, maze: Maze, n: int, generator: Generator | None, device: torch.device | str = "cpu"
) -> Walk:
    """Let ``n`` agents walk through the maze, each action drawn from the policy."""
    side = torch.randint(2, (n,), generator=generator).to(device)
    cell, alive = torch.zeros_like(side), torch.ones(n, dtype=torch.bool, device=device)
    seen, steps = torch.zeros(n, 0, dtype=torch.long, device=device), []
    while alive.any() and len(steps) < maze.limit:
        seen = torch.cat([seen, maze.observe(cell, side, generator)[:, None]], 1)
        logits, _ = policy(seen)
        dice = torch.rand(n, 1, generator=generator).to(device)
        action = (logits[:, -1].softmax(-1).cumsum(-1)[:, :-1] < dice).sum(-1)
        cell, reward, over = maze.step(cell, side, action)
        steps.append((action, reward * alive, alive))
        alive = alive & ~over
    return Walk(seen, *(torch.stack(part, 1) for part in zip(*steps)))


def returns_to_go(rewards: Tensor, discount: float) -> Tensor:
    r"""Return :math:`G_t = r_t + \gamma r_{t+1} + \gamma^2 r_{t+2} + \dots` for rewards (n, T).

    Examples
    --------
    >>> returns_to_go(torch.tensor([[0.0, 0.0, 1.0]]), 0.5)
    tensor([[0.2500, 0.5000, 1.0000]])
    """
    total, out = torch.zeros_like(rewards[:, 0]), []
    for reward in rewards.flip(1).unbind(1):
        total = reward + discount * total
        out.append(total)
    return torch.stack(out[::-1], 1)


def objective(policy: nn.Module, seen: Walk, discount: float, entropy: float) -> Tensor:
    r"""Return the loss of an actor with a critic, the mean over all steps of

    .. math:: -\log \pi(a_t \mid o_{\le t}) \, (G_t - V_t) + \tfrac12 (G_t - V_t)^2 - \beta H(\pi),

    where the first term's :math:`G_t - V_t` is a number, through which no gradient flows.
    """
    logits, value = policy(seen.seen)
    goal = returns_to_go(seen.rewards, discount)
    log_p = logits.log_softmax(-1)
    chosen = log_p.gather(-1, seen.actions[..., None])[..., 0]
    actor = -chosen * (goal - value).detach()
    critic = 0.5 * (goal - value).square()
    chaos = -(log_p.exp() * log_p).sum(-1)
    return ((actor + critic - entropy * chaos) * seen.alive).sum() / seen.alive.sum()
