"""The formulas of the book in NumPy, float64: forward, and a backward derived by hand.

Nothing here imports torch. These functions are the oracle of the tests and the code that the formula
chapters print. Each ``*_forward`` returns ``(y, cache)``; the matching ``*_backward(dy, cache)`` returns the
gradient with respect to each input of the forward, in the same order.
"""

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = []

# Every public function of every file of this folder is exported: a new formula is a new file and no more.
for _file in pkgutil.iter_modules(__path__, f"{__name__}."):
    if not _file.name.rpartition(".")[2].startswith("_"):
        _values = vars(import_module(_file.name)).items()
        _own = {key: f for key, f in _values if key[0] != "_" and getattr(f, "__module__", "") == _file.name}
        globals().update(_own)
        __all__ += _own

if TYPE_CHECKING:  # what reads types runs no loop

    def __getattr__(name: str) -> Callable[..., Any]: ...
