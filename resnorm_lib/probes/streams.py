"""Residual additions, and the streams that they form: which addition continues the sum of which."""

import math
from collections.abc import Callable
from functools import cache

from torch import Tensor
from torch.autograd.graph import GradientEdge

from resnorm_lib.probes.lineage import Node
from resnorm_lib.probes.parting import Parting, carried

__all__ = ["Addition", "Record", "assemble"]

Record = dict[str, Tensor | tuple[int, ...]]  # what was measured at one depth, by the fields of a Point


class Addition:
    """One residual addition: its place in the graph of calls, and what was measured at its sum and at its start."""

    def __init__(self, module: str, parting: Parting, before: "Addition | None") -> None:
        self.module, self.parting = module, parting
        self.before = before  # the addition whose output the shortcut starts from
        self.out: Node | None = None  # the node of the sum, once it is made
        self.start: Record = {}  # measured at the fork, for a first addition
        self.end: Record = {}  # measured at the sum
        self.edges: list[GradientEdge] = []  # of autograd's graph, from early to late

    @property
    def shortcut(self) -> str:
        way = self.parting.way
        if self.parting.cost or any(node.linear for node in way[:-1]):
            return "projection"
        operand = way[0].value()
        summed = self.before is not None and operand is self.before.out.value()
        return "identity" if summed or operand is self.parting.fork.value() else "modified"


def assemble(additions: list[Addition]) -> list[list[Addition]]:
    """Return the streams, each a list of additions in order, the longest first.

    Several additions may read one sum: the next one of the stream, one inside its branch, a projection that is no
    shortcut (a low-rank adapter). The next is the one that most additions follow, or a projection for want of others.
    """
    _join_stages(additions)
    followers: dict[Addition, list[Addition]] = {addition: [] for addition in additions}
    for addition in additions:
        if addition.before is not None:
            followers[addition.before].append(addition)

    @cache
    def following(addition: Addition) -> Addition | None:
        return max(map(rank, followers[addition]), default=(None,))[-1]

    @cache
    def length(addition: Addition) -> int:
        way = 1
        while (addition := following(addition)) is not None:
            way += 1
        return way

    def rank(addition: Addition) -> tuple[bool, int, int, Addition]:
        return not addition.parting.cost, length(addition), addition.out.index, addition

    for addition in reversed(additions):  # the last first, so that no recursion is deeper than one
        length(addition)
    starts = [a for a in additions if a.before is None or following(a.before) is not a]
    streams = [_way(start, following) for start in starts]
    # A lone projection is the sum of two maps of one input, such as a weight and its low-rank adapter.
    return sorted((way for way in streams if len(way) > 1 or not way[0].parting.cost), key=len, reverse=True)


def _way(addition: Addition | None, following: Callable[[Addition], Addition | None]) -> list[Addition]:
    way = []
    while addition is not None:
        way.append(addition)
        addition = following(addition)
    return way


def _join_stages(additions: list[Addition]) -> None:
    """Continue a stream behind layers without a shortcut (a change of resolution), if its last sum leads there."""
    ends = {addition.out: addition for addition in additions}
    continued = {addition.before for addition in additions}
    # The earliest fork first: behind a change of resolution the first block, and not an addition inside its branch.
    for addition in sorted(additions, key=lambda addition: addition.parting.fork.index):
        if addition.before is None:
            end = ends.get(carried(addition.parting.fork, ends, math.inf))
            if end not in continued:  # None is among them: the first addition of all
                addition.before = end
                continued.add(end)
