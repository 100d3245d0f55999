"""What every residual scheme is: it opens a state, reads it, writes to it, and closes it."""

from torch import nn

from resnorm_lib.residual.norm_axis import feature_norm

__all__ = ["Scheme", "fusable", "is_fusable", "residual_add", "same_shape"]


def same_shape(stream, branch):
    """Raise unless both have one shape."""
    if stream.shape != branch.shape:
        raise ValueError(
            f"the branch has shape {tuple(branch.shape)}, but the stream has {tuple(stream.shape)}: "
            "a residual add never broadcasts."
        )


def residual_add(stream, branch):
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


def fusable(forward):
    """Mark the ``forward`` of a block that reads, branches and writes, no more. One that a subclass writes has no mark.

    A stack may then make the additions of such blocks itself, together with the norms that follow them.
    """
    forward.is_fusable = True
    return forward


def is_fusable(forward):
    """Whether it bears the mark."""
    return getattr(forward, "is_fusable", False)


class Scheme(nn.Module):
    r"""One way in which branches join the stream.

    A stack opens the state with its first block's scheme, lets each block step, and closes with its last block's::

        state = open(x)
        state = write(state, branch(read(state)))     # once for each block: forward()
        x     = close(state)

    For most schemes the state is x itself, and opening and closing do nothing. A new scheme is one class with
    ``write`` and whatever else differs from what stands here, and one line in :data:`resnorm_lib.residual.SCHEMES`.

    Parameters
    ----------
    dim : int
        Number of features of the stream.
    norm : str
        Name of the norm N.
    position : BranchPosition
        Where the branch stands.
    """

    needs_final_norm = True  # whether the stream leaves the stack without a norm
    places_norm = False  # whether the scheme is about where the norm stands
    has_shortcut = True  # whether x reaches the output past the branch
    carries_state = False  # whether the state is more than x; then it is a tuple
    embedding_gain = 1.0  # what the embeddings in front of the stack are multiplied by at the start
    head_gain = 1.0  # and the last linear map of the model

    def __init__(self, dim, norm, position):
        super().__init__()
        self.position = position
        self.norm = self.make_norm(norm, self.read_dim(dim))

    def make_norm(self, norm, dim):
        return feature_norm(norm, dim, self.position.feature_axis)

    def read_dim(self, dim):
        """Width of what the branch reads."""
        return self.position.in_dim or dim

    @classmethod
    def widths(cls, dim, step, **options):
        """Return the width that branch number ``step`` of a stack reads, and the width that it writes."""
        return dim, dim

    def initialise(self, branch):
        """Give the branch the start that the scheme's paper requires. Most require none."""

    def check(self, blocks):
        """Raise if a stack of these blocks cannot do what the scheme is for. Called by the first block's scheme."""

    def open(self, x):
        return x

    def read(self, state):
        return self.norm(state)

    def write(self, state, update):
        raise NotImplementedError

    def check_update(self, state, update):
        same_shape(state[0] if self.carries_state else state, update)

    def close(self, state):
        return state

    def map_streams(self, state, function):
        """Apply ``function`` to every stream of the state."""
        return tuple(map(function, state)) if self.carries_state else function(state)

    def forward(self, state, branch, shortcut=None):
        update = branch(self.read(state))
        state = state if shortcut is None else self.map_streams(state, shortcut)
        self.check_update(state, update)  # before a gain can broadcast it to the right shape
        return self.write(state, update)

    def run(self, blocks, state, context):
        """Step through the blocks of a stack. A scheme may have another way to do it that gives the same."""
        for block in blocks:
            state = block(state, **context)
        return state

    def per_feature(self, vector, x):
        """Shape a vector (dim,) so that it multiplies the features of x."""
        return vector.reshape(-1, *(1,) * (x.dim() - 2)) if self.position.feature_axis == 1 else vector
