"""Schemes whose paper asks for another start of the branch: given once to each branch, and again when it is reset."""

from collections.abc import Iterator

import torch
from torch import nn

from resnorm_lib.norms.registry import Norm
from resnorm_lib.residual.block import Block
from resnorm_lib.residual.position import BranchPosition
from resnorm_lib.residual.scheme import Scheme

__all__ = ["StartsBranch"]

MARK = "_started_by"


class StartsBranch(Scheme):
    """The base of such schemes: ``start`` multiplies weights of the branch, ``prepare`` changes its modules."""

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__(dim, norm, position)
        self.branches = ()  # the branch whose start is this scheme's task; a tuple, so that it is no module of this one

    def prepare(self, branch: nn.Module) -> None:
        """Change what the branch is made of. Most schemes change nothing."""

    def start(self, branch: nn.Module) -> None:
        """Change fresh weights of the branch to what the paper asks for."""
        raise NotImplementedError

    @torch.no_grad()
    def initialise(self, branch: nn.Module) -> None:
        if not _is_started(branch, self._mark()):
            self.prepare(branch)
            self.start(branch)
            self.branches = (branch,)
            _mark(branch, self._mark())

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Put the scheme's parameters and the weights of its branch back to a start."""
        for branch in self.branches:
            for module in reversed(list(_layers(branch))):  # what is inside first, so that the outer has the last word
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()
            self.start(branch)

    def _mark(self) -> str:
        here = self.position
        depth = f"num_branches={here.num_branches}, branches_per_layer={here.branches_per_layer}"
        return f"{type(self).__name__} ({depth}, role={here.role!r}, other_depth={here.other_depth})"


def _layers(branch: nn.Module) -> Iterator[nn.Module]:
    """Return the modules of a branch; a block that is its own branch is none of them, nor is its scheme."""
    schemes = {part for module in branch.modules() if isinstance(module, Scheme) for part in module.modules()}
    return (module for module in branch.modules() if module not in schemes and not isinstance(module, Block))


def _owners(branch: nn.Module) -> Iterator[tuple[nn.Module, list[nn.Parameter]]]:
    """Return the modules that have matrices of their own, and these matrices."""
    for module in _layers(branch):
        matrices = [parameter for parameter in module.parameters(recurse=False) if parameter.dim() > 1]
        if matrices:
            yield module, matrices


def _is_started(branch: nn.Module, mark: str) -> bool:
    """Return whether the weights have this start already, because the branch is wrapped or stacked a second time."""
    found = set()
    for module, matrices in _owners(branch):
        marks = [getattr(thing, MARK, None) for thing in (module, *matrices)]
        found.add(next((mark for mark in marks if mark is not None), None))
    if found - {None, mark} or len(found) > 1:
        raise ValueError(
            f"the branch, or a part of it, has the start of {', '.join(sorted(found - {None}))} from being wrapped "
            f"before, but it must be fresh for {mark}. Within one stack, share whole branches, not parts of them."
        )
    return mark in found


def _mark(branch: nn.Module, mark: str) -> None:
    for module, matrices in _owners(branch):
        for thing in (module, *matrices):
            setattr(thing, MARK, mark)
