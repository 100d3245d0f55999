"""The experiments of the book: each runs in seconds on a CPU and, with the "gpu" preset, in minutes on a GPU.

``python -m resnorm_lib.experiments list`` names them; :func:`get` returns one::

    from resnorm_lib.experiments import get

    degradation = get("degradation")
    run = degradation.run(degradation.config("cpu", epochs=3))

A run is a :class:`resnorm_lib.engine.records.Run`. One module is one experiment.
"""

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING

from resnorm_lib._arguments import choice

if TYPE_CHECKING:  # else this imports torch before the command line has fixed its arithmetic
    from resnorm_lib.engine.experiment import Experiment

__all__ = ["EXPERIMENTS", "get"]

# Every module here is an experiment.
EXPERIMENTS = tuple(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_"))


def get(name: str) -> "Experiment":
    """Return the experiment of that name.

    Raises
    ------
    ValueError
        If there is none.
    """
    module = import_module(f"{__name__}.{choice('experiment', name, EXPERIMENTS)}")
    return module.EXPERIMENT
