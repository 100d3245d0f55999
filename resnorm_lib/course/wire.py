"""What travels between the process that judges and the one that runs an answer.

To the child go pickles, whose functions stay behind and are called back. From the child comes JSON, in which nothing
can be hidden that the judge would run: numbers, arrays, containers, and handles for all that must stay in the child.
"""

import base64
import io
import pickle
import struct
from collections.abc import Callable
from socket import socket
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["LARGEST", "decode", "dump", "encode", "load", "receive", "send"]

LARGEST = 64_000_000  # bytes of a message
_PLAIN = (bool, int, float, str, type(None))


def send(link: socket, message: bytes) -> None:
    """Send one message, its length first."""
    link.sendall(struct.pack("!Q", len(message)) + message)


def receive(link: socket) -> bytes:
    """Return one message.

    Raises
    ------
    EOFError
        If the other side has gone, or its message is longer than :data:`LARGEST`.
    """
    (length,) = struct.unpack("!Q", _exactly(link, 8))
    if length > LARGEST:
        raise EOFError(f"A message of {length:,} bytes was refused.")
    return _exactly(link, length)


def _exactly(link: socket, length: int) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        part = link.recv(min(length - len(parts), 1 << 20))
        if not part:
            raise EOFError("The other side has gone.")
        parts += part
    return bytes(parts)


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, functions: list[Callable]) -> None:
        super().__init__(file)
        self.functions = functions

    def persistent_id(self, value: Any) -> int | None:
        if not isinstance(value, FunctionType | MethodType | BuiltinFunctionType) or _belongs_to_torch(value):
            return None
        self.functions.append(value)
        return len(self.functions) - 1


def _belongs_to_torch(function: Callable) -> bool:
    return (getattr(function, "__module__", None) or "torch").split(".")[0] in ("torch", "numpy", "collections")


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, function: Callable[[int], Callable]) -> None:
        super().__init__(file)
        self.persistent_load = function


def dump(value: Any, functions: list[Callable]) -> bytes:
    """Pickle a value for the child; functions in it are appended to the list, and stay here."""
    file = io.BytesIO()
    _Pickler(file, functions).dump(value)
    return file.getvalue()


def load(data: bytes, function: Callable[[int], Callable]) -> Any:
    """Return what :func:`dump` has pickled; ``function`` makes what stands for a function by its number."""
    return _Unpickler(io.BytesIO(data), function).load()


def encode(value: Any, other: Callable[[Any], dict], alias: Callable[[Tensor], dict | None] = lambda _: None) -> Any:
    """Return a value as what JSON can say.

    Parameters
    ----------
    other : function
        Makes an entry for whatever is neither a number nor a container of numbers.
    alias : function
        Says where a tensor lies among the arguments, if it does.

    Examples
    --------
    >>> encode((1, [2.0]), other=repr)
    {'tuple': [1, {'list': [2.0]}]}
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if type(value) in (Tensor, torch.nn.Parameter):
        return alias(value) or _numbers(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        data = base64.b64encode(value.tobytes()).decode()
        return {"array": data, "dtype": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [encode(each, other, alias) for each in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key, other), encode(each, other, alias)] for key, each in value.items()]}
    if value is ...:
        return {"ellipsis": True}
    return {"torch": str(value).removeprefix("torch.")} if isinstance(value, torch.dtype) else other(value)


def _numbers(value: Tensor) -> dict:
    flat = value.detach().cpu().contiguous().view(-1).view(torch.uint8)
    data = base64.b64encode(flat.numpy().tobytes()).decode()
    return {"tensor": data, "dtype": str(value.dtype).removeprefix("torch."), "shape": list(value.shape)}


def decode(tree: Any, held: Callable[[dict], Any]) -> Any:
    """Return the value that :func:`encode` was given; ``held`` makes what stands for an entry of ``keep``.

    Examples
    --------
    >>> decode(encode({"a": (1, torch.ones(2))}, other=repr), held=repr)
    {'a': (1, tensor([1., 1.]))}
    """
    if not isinstance(tree, dict):
        return tree
    if "tensor" in tree:
        data = bytearray(base64.b64decode(tree["tensor"]))
        dtype = _dtype(tree["dtype"])
        flat = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        return flat.reshape(tree["shape"])
    if "array" in tree:
        return np.frombuffer(base64.b64decode(tree["array"]), np.dtype(tree["dtype"])).reshape(tree["shape"]).copy()
    if "list" in tree or "tuple" in tree:
        kind = list if "list" in tree else tuple
        return kind(decode(each, held) for each in next(iter(tree.values())))
    if "dict" in tree:
        return {decode(key, held): decode(each, held) for key, each in tree["dict"]}
    if "torch" in tree:
        return _dtype(tree["torch"])
    return ... if "ellipsis" in tree else held(tree)


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name)
    if not isinstance(found, torch.dtype):
        raise TypeError(f"{name} is no dtype.")
    return found
