"""A T-maze: the sign at its entrance says which way to turn at its end, and the corridor between shows other arrows.

The task is that of Bakker (2001), "Reinforcement learning with long short-term memory", with distractors.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from resnorm_lib._arguments import positive_int

__all__ = ["ACTIONS", "BUMP", "FORWARD", "JUNCTION", "LEFT", "OBSERVATIONS", "POSTER", "RIGHT", "SIGN", "Maze", "Walk"]

ACTIONS = ("forward", "left", "right")
FORWARD, LEFT, RIGHT = range(3)
OBSERVATIONS = ("sign left", "sign right", "poster left", "poster right", "junction")
SIGN, POSTER, JUNCTION = 0, 2, 4  # a sign to the right is SIGN + 1
BUMP = -0.1  # reward of walking into a wall


@dataclass(frozen=True)
class Maze:
    """The entrance with the sign, ``corridor`` cells, each with a poster that changes at every step, and the junction.

    An episode ends with a turn at the junction, which earns 1 if the sign showed it and 0 otherwise, or after ``limit``
    steps. A wall costs 0.1, and the agent stays where it is.

    Examples
    --------
    >>> maze = Maze(corridor=2, limit=6)
    >>> cell, reward, over = maze.step(torch.tensor([3]), torch.tensor([1]), torch.tensor([RIGHT]))
    >>> reward.item(), over.item()
    (1.0, True)
    """

    corridor: int = 6
    limit: int = 12

    def __post_init__(self) -> None:
        positive_int("corridor", self.corridor)
        if positive_int("limit", self.limit) < self.corridor + 2:
            raise ValueError(
                f"limit is {self.limit}, but it must be at least {self.corridor + 2}: the shortest way "
                f"through a corridor of {self.corridor} cells has so many steps."
            )

    @property
    def junction(self) -> int:
        return self.corridor + 1

    def observe(self, cell: Tensor, side: Tensor, generator: Generator | None = None) -> Tensor:
        """Return what agents in the cells (n) see; ``side`` (n) is 1 where the sign shows to the right."""
        poster = POSTER + torch.randint(2, cell.shape, generator=generator).to(cell.device)
        seen = torch.where(cell == 0, SIGN + side, poster)
        return torch.where(cell == self.junction, JUNCTION, seen)

    def step(self, cell: Tensor, side: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the next cells, the rewards and whether the episodes are over, each (n)."""
        at_end = cell == self.junction
        over = at_end & (action != FORWARD)
        bumped = at_end == (action == FORWARD)  # forward at the junction, or a turn before it
        right = over & (action == LEFT + side)
        reward = torch.where(right, 1.0, torch.where(bumped, BUMP, 0.0))
        return cell + (~at_end & (action == FORWARD)), reward, over

    def expected_return(self, policy: Tensor) -> float:
        r"""Return the expected sum of rewards of a policy, exactly.

        With :math:`V_0 = 0` and k steps left, in the cell c and for the side s,

        .. math:: V_k(c) = \sum_o p(o \mid c, s) \sum_a \pi(a \mid s, o) \bigl( r(c, a, s) + V_{k-1}(c') \bigr).

        Parameters
        ----------
        policy : Tensor
            Probabilities (5, 3) of the actions for each observation, for a policy without memory; or (2, 5, 3), one
            such table for each side, for one that remembers the sign.
        """
        tables = policy.double().expand(2, len(OBSERVATIONS), len(ACTIONS))
        return sum(self._value(table, side) for side, table in enumerate(tables)) / 2

    def _value(self, table: Tensor, side: int) -> float:
        cells, count = torch.arange(self.junction + 1), len(ACTIONS)
        posters = table[POSTER : POSTER + 2].mean(0)
        chance = torch.stack([table[SIGN + side], *[posters] * self.corridor, table[JUNCTION]])  # (cells, actions)
        grid = cells[:, None].expand(-1, count)
        after, reward, over = self.step(grid, torch.tensor(side), torch.arange(count).expand_as(grid))
        value = torch.zeros(len(cells), dtype=torch.float64)
        for _ in range(self.limit):
            value = (chance * (reward + torch.where(over, 0.0, value[after]))).sum(1)
        return value[0].item()


@dataclass
class Walk:
    """Episodes side by side, each (n, T): after its end an episode has reward 0 and ``alive`` False."""

    seen: Tensor
    actions: Tensor
    rewards: Tensor
    alive: Tensor
