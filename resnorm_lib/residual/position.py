"""The position of a branch in its network."""

import math
from dataclasses import dataclass

from resnorm_lib._arguments import choice, positive_int

__all__ = ["BranchPosition"]

ROLES = ("alone", "encoder", "decoder")


@dataclass(frozen=True)
class BranchPosition:
    r"""Say where in its network a branch stands, for schemes that depend on depth.

    Parameters
    ----------
    index : int, optional
        Number of branches before this one in the whole network. Schemes that depend on it say so when it is missing.
    num_branches : int, optional
        L, the number of branches in the whole network.
    branches_per_layer : int, default 1
        How many branches a paper counts as one layer: 2 in a Transformer, 3 with cross-attention.
    stage_index, stage_branches : int, optional
        The same as ``index`` and ``num_branches``, within one stack; a ResNet has a stack for each stage.
    feature_axis : int, optional
        Axis of the features: -1 for tokens, 1 for images. By default the last, and a norm stays as it is.
    in_dim : int, optional
        Width of the stream before this block where the block changes it, as at the start of a ResNet's stage.
    role : {"alone", "encoder", "decoder"}
        The latter two are the halves of an encoder-decoder.
    other_depth : int, default 0
        Number of layers (not branches) of the other half.

    Raises
    ------
    ValueError
        If a value does not fit.

    Examples
    --------
    >>> BranchPosition(index=5, num_branches=12, branches_per_layer=2).layer
    3
    """

    index: int | None = None
    num_branches: int | None = None
    branches_per_layer: int = 1
    stage_index: int | None = None
    stage_branches: int | None = None
    feature_axis: int | None = None
    in_dim: int | None = None
    role: str = "alone"
    other_depth: int = 0

    def __post_init__(self) -> None:
        choice("role", self.role, ROLES)
        if self.num_branches is not None:
            positive_int("num_branches", self.num_branches)
        positive_int("branches_per_layer", self.branches_per_layer)
        positive_int("other_depth", self.other_depth, at_least=0 if self.role == "alone" else 1)
        if self.feature_axis not in (None, -1, 1):
            raise ValueError(f"feature_axis is {self.feature_axis!r}, but it must be -1 (tokens), 1 (images) or None.")
        for name, limit in (("index", self.num_branches), ("stage_index", self.stage_branches or self.num_branches)):
            value = getattr(self, name)
            if value is not None and positive_int(name, value, at_least=0) >= (limit or math.inf):
                raise ValueError(f"{name} is {value}, but it counts from 0, so that it must be less than {limit}.")

    @property
    def required_index(self) -> int:
        """Return the index, or raise a sentence that says how to give it."""
        if self.index is None:
            raise ValueError(
                "index is None, but this scheme depends on where the block stands: "
                "give position=BranchPosition(index=..., num_branches=...), or build a ResidualStack, which counts."
            )
        return self.index

    @property
    def required_num_branches(self) -> int:
        """Return the number of branches in the network, or raise a sentence that says how to give it."""
        if self.num_branches is None:
            raise ValueError(
                "num_branches is None, but this scheme depends on the number of branches in the whole network: "
                "give num_branches=..., or build a ResidualStack, which counts."
            )
        return self.num_branches

    @property
    def layer(self) -> int:
        """Return the layer that the branch belongs to, counted from 1."""
        return self.required_index // self.branches_per_layer + 1

    @property
    def num_layers(self) -> int:
        """Return the number of layers of the network."""
        return -(-self.required_num_branches // self.branches_per_layer)

    @property
    def local_index(self) -> int:
        """Return the number of branches before this one in its stack."""
        return self.required_index if self.stage_index is None else self.stage_index

    @property
    def starts_layer(self) -> bool:
        """Return whether the branch is the first of its layer."""
        return self.local_index % self.branches_per_layer == 0

    @property
    def is_last(self) -> bool:
        """Return whether the branch is the last of its stack, if that is known."""
        last = self.stage_branches or self.num_branches
        return None not in (self.index, last) and self.local_index == last - 1
