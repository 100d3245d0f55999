"""What each operation of torch does to a value: mix its features, or keep them apart. New operations are added here."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:  # which imports this file
    from resnorm_lib.probes.lineage import Node

__all__ = [
    "AVERAGE",
    "CONCATENATIONS",
    "FEATURES",
    "TOKENS",
    "aliases",
    "as_torch",
    "carries_no_gradient",
    "feature_axis_after",
    "gives_itself",
    "hides_a_sum",
    "is_linear",
    "is_neutral",
    "is_of_data",
    "is_relu",
    "mixes",
    "plain_name",
    "values_of",
    "work_of",
]

# What a call mixes at most, from little to much.
NOTHING, AVERAGE, TOKENS, FEATURES = range(4)

PRODUCTS = {
    *("linear", "bilinear", "matmul", "mm", "bmm", "mv", "addmm", "addbmm", "baddbmm", "einsum", "tensordot", "lstm"),
    *("gru", "rnn_tanh", "rnn_relu", "scaled_dot_product_attention", "multi_head_attention_forward"),
    "grad",  # torch.autograd.grad inside a model: every entry depends on all of the function
}
# These may take a weight matrix (positions that are added), and still work on every feature by itself.
ENTRY_BY_ENTRY = {
    *("add", "sub", "mul", "div", "pow", "where", "masked_fill", "cat", "stack", "maximum", "minimum", "prelu", "lerp"),
    *("layer_norm", "rms_norm", "batch_norm", "group_norm", "instance_norm", "normalize"),
}
# These mix tokens or pixels, and no features, or both.
TOKENS_MIXED = {"roll", "cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"}
SAME_VALUE = {
    *("view", "reshape", "flatten", "unflatten", "permute", "transpose", "swapaxes", "movedim", "squeeze", "unsqueeze"),
    *("contiguous", "clone", "to", "type", "type_as", "float", "double", "half", "bfloat16", "detach", "identity"),
    *("view_as", "reshape_as", "slice", "alias", "t", "copy"),
}
MOVES_AXES = SAME_VALUE | {"get"}  # x.T and x.mT are attributes: their function is called __get__
CHANNELS_SECOND = {"batch_norm", "group_norm", "instance_norm", "local_response_norm"}
FEATURES_LAST = {"linear", "layer_norm", "rms_norm", "embedding", "multi_head_attention_forward"}
CONCATENATIONS = {"cat", "concat", "concatenate", "stack"}
# Their second operand gives dtype, device or shape, and no value.
LIKE_ANOTHER = {"to", "type_as", "view_as", "reshape_as", "expand_as"}
# Sums inside one call: the branch and the stream are operands, the addition is never seen.
SUMS_INSIDE = {
    *("addcmul", "addcdiv", "addmm", "addmv", "addr", "addbmm", "baddbmm", "lerp", "rsub", "index_add"),
    *("scatter_add", "scatter_reduce", "index_put", "foreach_add", "foreach_sub"),
}
# Nothing stays of the values that their first operand had.
OVERWRITES = {"copy", "fill"}
# These make a tensor of a list, an array or bytes; and these of one number.
OF_DATA = {"tensor", "as_tensor", "asarray", "frombuffer", "new_tensor"}
OF_A_NUMBER = {"full", "full_like", "new_full", "fill"}
NEUTRAL = {"add": 0, "sub": 0, "mul": 1, "div": 1, "truediv": 1}
DROPOUTS = {"dropout", "alpha_dropout", "feature_dropout"}  # give back the input itself where nothing is dropped
RELU_LIKE = {"relu", "relu6", "threshold", "clamp_min"}
OTHER_NAMES = {"iadd": "add", "radd": "add", "imul": "mul", "rmul": "mul", "subtract": "sub", "multiply": "mul"}
OTHER_NAMES |= {"isub": "sub", "to_copy": "to", "unsafe_view": "view"}


def as_torch(function: Callable) -> Callable:
    """Return ``torch.add`` for ``torch.ops.aten.add.Tensor``, as an exported model calls it, and others unchanged."""
    if isinstance(function, torch._ops.OpOverload):
        return getattr(torch, function.overloadpacket.__name__, function.overloadpacket)
    return function


def plain_name(function: Callable, args: tuple = ()) -> str:
    """Return ``add`` for ``torch.add``, ``Tensor.add_``, ``Tensor.__iadd__`` and their like."""
    name = getattr(function, "__name__", str(function)).strip("_")
    if name == "getitem" and _keeps_order(args[1] if len(args) > 1 else None):
        return "view"  # x[:], x[None]
    return OTHER_NAMES.get(name, name)


def _keeps_order(index: object) -> bool:
    """Return whether the index is made of slices, ``None`` and ``...`` alone, so that no entry changes its place."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is ... or isinstance(part, slice) for part in parts)


def mixes(name: str, weights: Sequence[Tensor]) -> bool:
    """Return whether an output feature depends on several input features: a product, a convolution, a weight matrix."""
    if name in PRODUCTS or name.startswith(("conv", "linear_")):  # linear_dynamic holds its weights packed
        return True
    matrix = any(weight.dim() > 1 and weight.is_floating_point() for weight in weights)
    return matrix and name not in ENTRY_BY_ENTRY and name not in SAME_VALUE


def work_of(name: str, mixed: int) -> int:
    """Return what the call mixes: features (``mixed``, from :func:`mixes`), tokens, an average, or nothing."""
    if mixed:
        return FEATURES
    if name in TOKENS_MIXED or "pool" in name or name.startswith("fft_"):
        return TOKENS
    return AVERAGE if name == "mean" else NOTHING


def is_linear(name: str, weights: Sequence[Tensor]) -> bool:
    """Return whether the call applies a weight matrix to its first argument, and does nothing else."""
    return bool(weights) and (name in ("linear", "addmm", "mm", "matmul", "tensordot") or name.startswith("conv"))


def is_relu(name: str, args: tuple, kwargs: dict[str, Any]) -> bool:
    """Return whether the call sets negative values to zero, as ReLU6 does, which is a hardtanh from 0."""
    return name in RELU_LIKE or (name == "hardtanh" and kwargs.get("min_val", args[1] if len(args) > 1 else -1) == 0)


def aliases(name: str, source: Tensor, result: Tensor) -> bool:
    """Return whether the result holds the same values in another shape, dtype or place."""
    return name in SAME_VALUE and isinstance(result, torch.Tensor) and source.numel() == result.numel()


def is_of_data(name: str, sources: Sequence[Tensor], spoken: bool) -> bool:
    """Return whether the call makes a tensor of data in which torch does not see what it was computed from.

    A number may be such data where a value has been ``spoken``: was made a number of Python's, as by ``item()``.
    """
    return not sources and (name in OF_DATA or (spoken and name in OF_A_NUMBER))


def is_neutral(name: str, args: tuple, kwargs: dict[str, Any]) -> bool:
    """Return whether the call adds 0 or multiplies by 1, as Python's sum begins: 0 + x."""
    if name not in NEUTRAL or kwargs or len(args) != 2 or not isinstance(args[0], Tensor):
        return False
    return type(args[1]) in (int, float) and args[1] == NEUTRAL[name]


def feature_axis_after(name: str, before: int | None) -> int | None:
    """Return the feature axis after the call: 1, -1, or ``None`` where the call does not reveal it."""
    if name.startswith("conv") or name in CHANNELS_SECOND:
        return 1
    if name in FEATURES_LAST:
        return -1
    return None if name in MOVES_AXES else before


def values_of(name: str, tensors: list[Tensor]) -> list[Tensor]:
    """Return those of a call's arguments whose values it uses, not only their shape, dtype or device."""
    if name.endswith("_like") or name.startswith("new_"):
        return []
    if name in OVERWRITES:
        return tensors[1:]
    return tensors[:1] if name in LIKE_ANOTHER else tensors


def carries_no_gradient(tensor: Tensor) -> bool:
    """Return whether the tensor is a mask or holds indices: its derivative with respect to what it came from is 0.

    Smaller integers may be quantized values, which stand for the numbers they came from.
    """
    return tensor.dtype in (torch.bool, torch.int64)


def gives_itself(name: str, tensor: Tensor, known: "Node | None") -> bool:
    """Return whether a call that returned its argument left it alone: a cast to the same dtype, dropout of nothing."""
    if tensor.is_inference():  # counts no changes
        return name in SAME_VALUE | DROPOUTS
    return known is not None and known.tensor() is tensor


def hides_a_sum(name: str) -> bool:
    """Return whether the call adds some of its operands, so that the addition itself is not seen."""
    return name in SUMS_INSIDE
