"""Residual additions, and the streams that they form: which addition continues the sum of which."""

import math
from functools import cache

from resnorm_lib.probes.parting import carried

__all__ = ["Addition", "assemble"]


class Addition:
    """One residual addition: its place in the graph of calls, and what was measured at its sum and at its start."""

    def __init__(self, module, parting, before):
        self.module, self.parting = module, parting
        self.before = before  # the addition whose output the shortcut starts from
        self.out = None  # the node of the sum
        self.start, self.end = {}, {}  # measured at the fork, for a first addition, and at the sum
        self.edges = []  # of autograd's graph, from early to late

    @property
    def shortcut(self):
        way = self.parting.way
        if self.parting.cost or any(node.linear for node in way[:-1]):
            return "projection"
        operand = way[0].value()
        summed = self.before is not None and operand is self.before.out.value()
        return "identity" if summed or operand is self.parting.fork.value() else "modified"


def assemble(additions):
    """Return the streams, each a list of additions in order, the longest first.

    Several additions may read one sum: the next one of the stream, one inside its branch, a projection that is no
    shortcut (a low-rank adapter). The next is the one that most additions follow, or a projection for want of others.
    """
    _join_stages(additions)
    followers = {addition: [] for addition in additions}
    for addition in additions:
        if addition.before is not None:
            followers[addition.before].append(addition)

    @cache
    def following(addition):
        return max(map(rank, followers[addition]), default=(None,))[-1]

    @cache
    def length(addition):
        way = 1
        while (addition := following(addition)) is not None:
            way += 1
        return way

    def rank(addition):
        return not addition.parting.cost, length(addition), addition.out.index, addition

    for addition in reversed(additions):  # the last first, so that no recursion is deeper than one
        length(addition)
    starts = [a for a in additions if a.before is None or following(a.before) is not a]
    streams = [_way(start, following) for start in starts]
    # A lone projection is the sum of two maps of one input, such as a weight and its low-rank adapter.
    return sorted((way for way in streams if len(way) > 1 or not way[0].parting.cost), key=len, reverse=True)


def _way(addition, following):
    way = []
    while addition is not None:
        way.append(addition)
        addition = following(addition)
    return way


def _join_stages(additions):
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
