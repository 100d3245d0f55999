"""Residual connections and normalization: norms, residual schemes, models, and the checks of the book.

Import what you need from its module, for instance ``from resnorm_lib.norms import LayerNorm``; ``resnorm_lib.norms`` is
there after ``import resnorm_lib``, too. This file imports no package before it is asked for, so that
:mod:`resnorm_lib.reference` needs NumPy alone and no import touches a device.
"""

import importlib
import sys
from types import ModuleType

__version__ = "0.1.0"

if sys.version_info < (3, 11):  # noqa: UP036 -- pip checks this, a checkout on the path does not
    raise ImportError(f"resnorm_lib needs Python 3.11 or newer, but this is Python {sys.version.split()[0]}.")

PACKAGES = (
    "reference",
    "data",
    "ops",
    "norms",
    "residual",
    "models",
    "probes",
    "engine",
    "experiments",
    "parallel",
    "bench",
    "checks",
    "course",
)


def __getattr__(name: str) -> ModuleType:
    if name in PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *PACKAGES})
