"""Checks for the code exercises: each takes an answer, and says in one sentence what is wrong with it.

A chapter calls, for instance, ``check_residual_block(my_block)``, and the verdict shows itself in a notebook:
``right: ...``, or ``not yet: ...`` with the mistake where it can be recognised, and the first difference where it
cannot. There is one file a chapter, and beside them one folder, ``judge``, with what all of them share;
:func:`resnorm_lib.checks.judge.registry.registry` finds every check, with label and points. The checks are checked: the
tests hold for each the reference answer, the stub, and wrong answers that must get the right sentence.
"""

from resnorm_lib.checks.judge.answers import Wrong
from resnorm_lib.checks.judge.registry import Exercise, Verdict, exercise, registry

__all__ = ["Exercise", "Verdict", "Wrong", "exercise", "registry"]
