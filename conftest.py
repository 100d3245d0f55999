"""Settings that every test needs, those of the notebooks included (pytest --nbval starts kernels that inherit them)."""

import importlib.util
import os

import pytest
from nbval.kernel import RunningKernel

from resnorm_lib import runtime
from tests.book.figures import figure_problems

runtime.fix_arithmetic()
os.environ.update(runtime.STORED)


def _interpret_kernels_without_a_gpu():
    """Triton reads the variable when a kernel is defined, torch the arithmetic above when it is imported."""
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("TRITON_INTERPRET", "1")


_interpret_kernels_without_a_gpu()

if importlib.util.find_spec("triton") is None:  # pytest imports what it looks for doctests in
    collect_ignore_glob = ["resnorm_lib/ops/*kernel*.py", "tests/ops/compiled*.py"]


def _execute_with_history(kernel, source, allow_stdin=None):
    """Run a cell as Jupyter does. Without history, nbval's way, a semicolon at its end does not silence its value."""
    return kernel.kc.execute(source, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)


RunningKernel.execute_cell_input = _execute_with_history


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """After nbval has compared the text of a cell, compare its figures, which nbval skips."""
    result = yield
    ran_and_is_compared = getattr(item, "test_outputs", None) is not None and item.options["check"]
    if ran_and_is_compared and (problems := figure_problems(item.cell.outputs, item.test_outputs)):
        item.raise_cell_error(" ".join(problems))
    return result
