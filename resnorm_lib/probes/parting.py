"""Where two values parted: what is the shortcut, what is the branch, and how sure that is."""

import heapq
import math
from collections.abc import Container
from typing import NamedTuple

from resnorm_lib.probes.lineage import Node
from resnorm_lib.probes.operations import AVERAGE, FEATURES, TOKENS

__all__ = ["Parting", "carried", "part"]


class Parting(NamedTuple):
    """Where a shortcut and a branch part, and how the shortcut runs."""

    fork: Node
    cost: int  # how often the shortcut mixes features: 0 or 1
    first: bool  # whether the shortcut is the first of the two that were asked about
    way: list[Node]  # from its end to the fork
    work: int  # if neither mixes features on every way: the most that the branch does on any; otherwise 0

    def is_identity(self) -> bool:
        """Return whether the shortcut hands the fork on as it was, perhaps in another shape or dtype."""
        return self.way[0].value() is self.fork.value()

    def is_scaled(self) -> bool:
        """Return whether the shortcut hands on every entry of the fork, perhaps times a number or a weight."""
        on_the_way = ([parent for parent in node.parents if not parent.weight] for node in self.way[:-1])
        return all(len(parents) == 1 for parents in on_the_way) and {node.size for node in self.way} == {self.fork.size}

    def is_sure(self) -> bool:
        """Return whether the branch does more than the shortcut.

        It does so on every way, or on some beside an identity, or it mixes tokens.
        """
        known = {FEATURES: self.is_identity, TOKENS: self.is_scaled, AVERAGE: lambda: False}
        return not self.work or known[self.work]()


class Side(NamedTuple):
    """What is known of the ways from a value back to a node."""

    cost: float = math.inf  # the smallest number of mixing calls on a way
    work: int = 0  # the most that a call on any way does
    after: Node | None = None  # the node after it on the way of the smallest cost

    def back(self, node: Node) -> "Side":
        """Return the same for the parents of the node."""
        return Side(self.cost + node.cost, max(self.work, node.work), node)

    def joined(self, other: "Side") -> "Side":
        """Return what is known with another way beside this one, or with none if it does not lead to the value."""
        if math.inf in (self.cost, other.cost):
            return min(self, other, key=lambda side: side.cost)
        nearest = other if other.cost < self.cost else self
        return nearest._replace(work=max(self.work, other.work))


Sides = dict[Node, list[Side]]  # what is known of the ways from each of two values back to a node


def part(a: Node, b: Node, *, loosely: bool = False) -> Parting | None:
    r"""Find where ``a`` and ``b`` parted: the latest x from which one came along a shortcut and the other did not.

    With :math:`c_a, c_b` the smallest number of mixing calls on a way from x to a and to b, the shorter of the two is
    a shortcut if it has at most one (a projection), and fewer than the other. If both have none, the shortcut is the
    one that does no work on any way, where the other mixes tokens, or features on a way beside (a gate).

    Parameters
    ----------
    a, b : Node
    loosely : bool
        Follow masks and indices too.

    Returns
    -------
    Parting, or ``None`` if a and b are no shortcut and branch of anything
    """
    open_ends: Sides = {a: [Side(0), Side()]}
    open_ends.setdefault(b, [Side(), Side()])[1] = Side(0)
    seen, heap, unsure = {}, [(-node.index, node) for node in open_ends], None
    heapq.heapify(heap)
    while heap:  # latest first: whatever comes from a node has been seen before the node
        node = heapq.heappop(heap)[1]
        to_a, to_b = seen[node] = open_ends.pop(node)
        if max(to_a.cost, to_b.cost) < math.inf:
            found = _parting(node, seen)
            if found is not None and found.is_sure():
                return found
            unsure = unsure or found
            if not open_ends or min(to_a.cost, to_b.cost) == 0:
                continue  # an earlier x on the same way would do no better
        for parent in (*node.parents, *node.loose) if loosely else node.parents:
            if parent.weight:
                continue
            if parent not in open_ends:
                open_ends[parent] = [Side(), Side()]
                heapq.heappush(heap, (-parent.index, parent))
            known = open_ends[parent]
            known[:] = (old.joined(side.back(node)) for old, side in zip(known, (to_a, to_b)))
    return unsure


def _parting(fork: Node, seen: Sides) -> Parting | None:
    """Return the parting at the fork, or ``None`` if the two did not part there, but are both branches, or none is."""
    to_a, to_b = seen[fork]
    shorter, longer = sorted((to_a, to_b), key=lambda side: side[:2])
    alike = shorter.cost == longer.cost
    if shorter.cost > 1 or (alike and not shorter.cost == 0 == shorter.work < longer.work):
        return None
    first = shorter is to_a
    return Parting(fork, shorter.cost, first, _way(seen, fork, int(not first)), longer.work if alike else 0)


def _way(seen: Sides, node: Node | None, side: int) -> list[Node]:
    way = []
    while node is not None:
        way.append(node)
        node = seen[node][side].after
    return way[::-1]


def carried(node: Node, wanted: Container[Node], most: float = 0) -> Node | None:
    """Return the latest of ``wanted`` from which ``node`` was computed with at most ``most`` mixing calls, or None."""
    costs: dict[Node, float] = {node: 0}
    heap = [(-node.index, node)]
    while heap:
        node = heapq.heappop(heap)[1]
        cost = costs.pop(node)
        if node in wanted:
            return node
        for parent in node.parents:
            if parent.weight or cost + node.cost > most:
                continue
            if parent not in costs:
                heapq.heappush(heap, (-parent.index, parent))
            costs[parent] = min(costs.get(parent, math.inf), cost + node.cost)
    return None
