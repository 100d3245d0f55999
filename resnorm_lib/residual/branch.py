"""The protocol between schemes and branches: no scheme guesses at the names of a branch's parameters.

=========================  ===========================================================================================
a branch may have          meaning
=========================  ===========================================================================================
``scaled_weights()``       the weights on the way from what it reads to what it writes, in this order, the output
                           projection last. Views are welcome: the value rows of a fused projection. Queries
                           and keys only choose where to look, and are not among them.
``output_projection``      the last linear map
``inner_norm``             a module in front of the output projection, which a scheme may replace
``mixes_values``           ``True`` if its call takes ``mix_values``, a function to apply to an attention's values
=========================  ===========================================================================================

A linear layer, a convolution, and an ``nn.Sequential`` of them need none of this: their order says it all.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

__all__ = ["output_projection", "put_inner_norm", "scaled_weights"]


def _linear_layers(branch: nn.Module, wanted: str) -> list[nn.Module]:
    if isinstance(branch, nn.Linear | _ConvNd):
        return [branch]
    if isinstance(branch, nn.Sequential):
        return [layer for child in branch for layer in _linear_layers(child, wanted)]
    if all(parameter.dim() < 2 for parameter in branch.parameters()):
        return []  # an activation, a norm, a dropout
    raise ValueError(
        f"the scheme must initialise the branch, but {type(branch).__name__} has no {wanted}: "
        "give it one (resnorm_lib.residual.branch says what it is), or make it an nn.Sequential."
    )


def scaled_weights(branch: nn.Module) -> list[Tensor]:
    """Return the weights from what the branch reads to what it writes.

    Raises
    ------
    ValueError
        If the branch neither says nor shows which they are.

    Examples
    --------
    >>> [tuple(weight.shape) for weight in scaled_weights(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)))]
    [(8, 2), (2, 8)]
    """
    if hasattr(branch, "scaled_weights"):
        return list(branch.scaled_weights())
    return [layer.weight for layer in _linear_layers(branch, "scaled_weights()")]


def output_projection(branch: nn.Module) -> nn.Module:
    """Return the last linear map of the branch.

    Raises
    ------
    ValueError
        If the branch has none, or neither says nor shows which it is.
    """
    if hasattr(branch, "output_projection"):
        return branch.output_projection
    layers = _linear_layers(branch, "output_projection")
    if not layers:
        raise ValueError(f"the scheme must initialise the branch, but {type(branch).__name__} has no linear map.")
    return layers[-1]


def put_inner_norm(branch: nn.Module, make_norm: Callable[[int], nn.Module]) -> None:
    """Put ``make_norm(dim)`` in front of the output projection.

    Raises
    ------
    ValueError
        If the branch has no place for it.
    """
    projection = output_projection(branch)
    dim = projection.in_features if isinstance(projection, nn.Linear) else projection.in_channels
    norm = make_norm(dim).to(projection.weight)
    if hasattr(branch, "inner_norm"):
        branch.inner_norm = norm
    elif isinstance(branch, nn.Sequential) and branch[-1] is projection:
        branch[-1] = nn.Sequential(norm, projection)
    else:
        raise ValueError(
            f"the scheme puts a norm before the last linear map, but {type(branch).__name__} has no inner_norm: "
            "give it one (an nn.Identity() that its forward calls there), or make it an nn.Sequential."
        )
