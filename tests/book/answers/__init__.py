"""Answers to the exercises, a file a chapter: ``EXERCISES = {check: (reference, {wrong answer: what it is told})}``."""

import importlib
import pkgutil

EXERCISES = {}
for info in pkgutil.iter_modules(__path__):
    EXERCISES |= importlib.import_module(f"{__name__}.{info.name}").EXERCISES
