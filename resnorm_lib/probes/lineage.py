"""Which value was computed from which: the graph of the calls of one forward pass, without a tensor in it.

Autograd's own graph would not do: there is none under ``no_grad``, and none inside a checkpoint.
"""

from collections.abc import Iterable, Sequence

from torch import Tensor
from torch.utils.weak import TensorWeakRef

from resnorm_lib.probes.operations import (
    aliases,
    carries_no_gradient,
    feature_axis_after,
    gives_itself,
    is_linear,
    is_of_data,
    mixes,
    work_of,
)

__all__ = ["Lineage", "Node"]


class Node:
    """One value: the values it was computed from (``parents``), and a weak reference to the tensor."""

    __slots__ = (
        *("alias", "axis", "cost", "cut", "index", "linear", "loose", "outside", "parents", "reference", "size"),
        *("version", "weight", "work"),
    )

    def __init__(
        self,
        index: int,
        tensor: Tensor,
        parents: tuple["Node", ...] = (),
        *,
        loose: tuple["Node", ...] = (),
        cost: int = 0,
        work: int = 0,
        weight: bool = False,
        alias: bool = False,
        axis: int | None = None,
        linear: bool = False,
        outside: bool = False,
    ) -> None:
        self.index, self.parents = index, parents
        self.loose = loose  # what it was computed from, if it is a mask or holds indices: no parents, for no gradient
        self.cut: bool = bool(loose) or any(parent.cut for parent in parents)  # whether a mask or indices led to it
        self.cost = cost  # how often features were mixed to compute it from its parents: 0 or 1
        self.work = work  # what was mixed: features, tokens, an average, nothing
        self.weight = weight  # a parameter or a buffer, or computed from these alone
        self.alias = alias  # holds the same values as its only parent
        self.linear = linear  # a linear map of its first parent
        self.outside = outside  # made of what no call has shown, such as an array of NumPy's, and of weights
        self.axis = axis  # of the features; None: no call has revealed it
        self.reference, self.version, self.size = TensorWeakRef(tensor), _version(tensor), tensor.numel()

    def tensor(self) -> Tensor | None:
        """Return the tensor, or None if it was freed or changed in place."""
        tensor = self.reference()
        return tensor if tensor is not None and _version(tensor) == self.version else None

    def feature_axis(self, dims: int) -> int:
        """Return the feature axis. If no call revealed it: 1 for images, the last axis otherwise."""
        axis = self.axis if self.axis is not None else 1 if dims > 3 else -1
        return axis if 0 <= axis < dims else dims - 1

    def value(self) -> "Node":
        """Return the node that this one is a view, cast or copy of, or the node itself."""
        return self.parents[0].value() if self.alias else self


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


class Lineage:
    """Holds the nodes of all tensors that a forward pass has made so far.

    Parameters
    ----------
    weights : iterable of tensors
        The parameters and buffers of the model.
    inputs : iterable of tensors
        What the model is called with.
    """

    def __init__(self, weights: Iterable[Tensor], inputs: Iterable[Tensor] = ()) -> None:
        self.weights = {id(tensor) for tensor in weights}
        self.nodes: dict[int, Node] = {}  # by the id of the tensor
        self.count = 0
        self.spoken = False  # whether a value has become numbers of Python's, which may be in any new tensor
        for tensor in inputs:
            self.add(tensor, weight=id(tensor) in self.weights)

    def knows(self, tensor: Tensor) -> bool:
        node = self.nodes.get(id(tensor))
        return node is not None and node.reference() is tensor

    def strange(self, tensor: Tensor) -> bool:
        """Return whether no call that was seen has made it, or one of other data, and it is no input and no weight."""
        return self.of(tensor).outside

    def of(self, tensor: Tensor) -> Node:
        """Return the node of a tensor. A tensor that no call has made gets a new node without parents."""
        if not self.knows(tensor):
            weight = id(tensor) in self.weights
            self.add(tensor, weight=weight, outside=not weight)
        return self.nodes[id(tensor)]

    def add(self, tensor: Tensor, parents: tuple[Node, ...] = (), **facts) -> Node:
        self.count += 1
        node = self.nodes[id(tensor)] = Node(self.count, tensor, parents, **facts)
        return node

    def record(self, name: str, inputs: Sequence[Tensor], results: Sequence[Tensor]) -> list[Node]:
        """Add the nodes of a call's results. A result that is one of the inputs was changed in place, or left alone.

        Returns
        -------
        list of the new nodes
        """
        parents = tuple({self.of(tensor): None for tensor in inputs})
        weights = [tensor for tensor, node in ((t, self.of(t)) for t in inputs) if node.weight]
        cost, linear = int(mixes(name, weights)), is_linear(name, weights)
        work = work_of(name, cost)
        if linear and parents[0].value().linear:
            cost = 0  # two linear maps in a row are one (a low-rank adapter)
        # A weight that is handed to every sample (learned queries) is an activation from there on.
        only_weights = bool(parents) and len(weights) == len(inputs) and name not in ("expand", "expand_as", "repeat")
        outside = is_of_data(name, inputs, self.spoken) or (
            any(node.outside for node in parents) and all(node.outside or node.weight for node in parents)
        )
        axis = feature_axis_after(name, parents[0].axis if parents else None)
        made = []
        for result in results:
            itself = bool(inputs) and result is inputs[0]
            if itself and gives_itself(name, result, self.nodes.get(id(result))):
                continue
            if carries_no_gradient(result):
                made.append(self.add(result, loose=parents, cost=cost, work=work, weight=only_weights))
                continue
            alias = len(parents) == 1 and aliases(name, inputs[0], result) and not itself
            facts = {"cost": cost, "work": work, "weight": only_weights, "alias": alias, "axis": axis, "linear": linear}
            facts["outside"] = outside
            made.append(self.add(result, parents, **facts))
        return made
