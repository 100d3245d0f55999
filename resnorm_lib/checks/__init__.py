"""Checks for the code exercises: each takes an answer, and says in one sentence what is wrong with it.

A chapter calls, for instance, ``check_residual_block(my_block)``, and the verdict shows itself in a notebook:
``right: ...``, or ``not yet: ...`` with the mistake where it can be recognised, and the first difference where it
cannot. There is one file a chapter; :func:`resnorm_lib.checks.registry.registry` finds them all, with label and
points. The checks are checked: the tests hold for each the reference answer, the stub, and wrong answers that must get
the right sentence.
"""

from resnorm_lib.checks.answers import Wrong
from resnorm_lib.checks.registry import Exercise, Verdict, exercise, registry

__all__ = ["Exercise", "Verdict", "Wrong", "exercise", "registry"]
