"""The base of all residual schemes, and the addition that never broadcasts."""

from collections.abc import Callable

from torch import Tensor, nn

from resnorm_lib.norms.registry import Norm
from resnorm_lib.residual.norm_axis import feature_norm
from resnorm_lib.residual.position import BranchPosition

__all__ = ["Scheme", "check_update", "identity", "residual_add", "same_shape"]

State = Tensor | tuple  # the stream, or what a scheme carries beside it too
Branch = Callable[..., Tensor]


def check_update(update: object) -> None:
    """Raise a ``ValueError`` unless the branch has returned a tensor."""
    if not isinstance(update, Tensor):
        raise ValueError(
            f"the branch returned a {type(update).__name__}, but it must return a tensor of the shape of the stream: "
            "torch's attention, for instance, returns its weights as well."
        )


def same_shape(stream: Tensor, branch: Tensor) -> None:
    """Raise a ``ValueError`` unless both are tensors of one shape."""
    check_update(branch)
    if stream.shape != branch.shape:
        raise ValueError(
            f"the branch has shape {tuple(branch.shape)}, but the stream has {tuple(stream.shape)}: "
            "a residual add never broadcasts."
        )


def residual_add(stream: Tensor, branch: Tensor) -> Tensor:
    """Return ``stream + branch``; the shapes must be equal.

    The ``+`` of torch broadcasts: adding (N, 1) to (N, d) is no error there, and a bug here.

    Parameters
    ----------
    stream, branch : tensors of one shape

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> import torch
    >>> residual_add(torch.ones(2, 3), torch.ones(2, 1))
    Traceback (most recent call last):
        ...
    ValueError: the branch has shape (2, 1), but the stream has (2, 3): a residual add never broadcasts.
    """
    same_shape(stream, branch)
    return stream + branch


def identity(x: Tensor, read: Tensor | None = None) -> Tensor:
    """Return the first argument: the shortcut of a block that keeps the shape."""
    return x


class Scheme(nn.Module):
    r"""One way in which branches join the stream.

    A scheme is one class whose ``forward`` is its formula, for instance
    ``return residual_add(shortcut(x), branch(self.norm(x)))``, decorated with its name
    (``resnorm_lib.residual.registry.named``). ``shortcut`` is what the stream goes through past the branch, the
    identity except where a ResNet changes the shape. Its second argument is what the branch reads, if there is one
    such tensor: in networks with pre-activation the projection starts from that.

    For most schemes the state that goes from block to block is the stream x itself. A scheme that carries more sets
    ``carries_state``; its state is a tuple that :class:`resnorm_lib.residual.Stack` opens and closes.

    Parameters
    ----------
    dim : int
        Number of features of the stream.
    norm : str, class, callable or None
        The norm N: whatever :func:`resnorm_lib.norms.make_norm` takes.
    position : BranchPosition
        Where in the network the branch stands.
    """

    needs_final_norm = True  # whether the stream leaves the stack without a norm
    places_norm = False  # whether the scheme decides where the norm stands
    has_shortcut = True  # whether x reaches the output past the branch
    carries_state = False  # whether the state is more than x; then it is a tuple
    embedding_gain = 1.0  # initial factor of the embeddings in front of the stack
    head_gain = 1.0  # initial factor of the last linear map of the model

    def __init__(self, dim: int, norm: Norm, position: BranchPosition) -> None:
        super().__init__()
        self.position = position
        self.norm = self.make_norm(norm, self.read_dim(dim))

    def make_norm(self, norm: Norm, dim: int) -> nn.Module:
        return feature_norm(norm, dim, self.position.feature_axis)

    def read_dim(self, dim: int) -> int:
        """Return the width of what the branch reads."""
        return self.position.in_dim or dim

    @classmethod
    def widths(cls, dim: int, index: int, **options) -> tuple[int, int]:
        """Return the width that branch number ``index`` of a stack reads, and the width that it writes."""
        return dim, dim

    def initialise(self, branch: nn.Module) -> None:
        """Give the branch the initialisation that the scheme's paper requires. Most require none."""

    def reset_parameters(self) -> None:
        """Put the scheme's own parameters back to their start. Norms and gates in it have this method too."""

    def check(self, blocks: nn.Module) -> None:
        """Raise if a stack of these blocks cannot do what the scheme is for. A stack asks its first scheme."""

    def open(self, x: Tensor) -> State:
        """Return the state at the start of a stack. A stack asks its first scheme."""
        return x

    def close(self, state: State) -> Tensor:
        """Return the stream at the end of a stack. A stack asks its last scheme."""
        return state

    def map_streams(self, state: State, function: Branch) -> State:
        """Apply ``function`` to every stream of the state."""
        return tuple(map(function, state)) if self.carries_state else function(state)

    def forward(self, state: State, branch: Branch, shortcut: Branch = identity) -> State:
        """Return the next state. ``branch`` and ``shortcut`` are callables."""
        raise NotImplementedError

    def run(self, blocks: nn.Module, state: State, context: dict) -> State:
        """Step through the blocks of a stack. An override must give the same result."""
        for block in blocks:
            state = block(state, **context)
        return state

    def per_feature(self, vector: Tensor, x: Tensor) -> Tensor:
        """Shape a vector (dim,) so that it multiplies the features of x."""
        return vector.reshape(-1, *(1,) * (x.dim() - 2)) if self.position.feature_axis == 1 else vector
