"""How far it is from a module to its arithmetic: the files that one reads are the files that run."""

import sys
from pathlib import Path

import pytest
import torch

import resnorm_lib
from resnorm_lib.norms import Derf, DynamicTanh, GroupNorm, LayerNorm, RMSNorm
from resnorm_lib.ops import kernels
from tests.ops.cases import DEVICE, needs_kernels

ROOT = Path(resnorm_lib.__file__).parent


def files(module, x):
    """Return the files of the library in which a forward pass calls a function, once everything is imported."""
    module(x)
    seen = set()

    def note(frame, event, argument):
        path = Path(frame.f_code.co_filename)
        if event == "call" and ROOT in path.parents:
            seen.add(path.relative_to(ROOT).as_posix())

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        module(x)
    finally:
        sys.setprofile(before)
    return seen


@pytest.mark.parametrize("make", [LayerNorm, RMSNorm])
def test_on_a_cpu_it_is_two_files(make):
    file = f"norms/{'layer' if make is LayerNorm else 'rms'}_norm.py"
    assert files(make(8), torch.ones(2, 8)) == {file, "ops/norm/function.py"}


@needs_kernels
def test_to_a_kernel_it_is_class_function_autograd_and_launch():
    """Beside them run the switch, what all launches share, and where it interprets a kernel the kernel itself."""
    with kernels("on"):
        seen = files(LayerNorm(8).to(DEVICE), torch.ones(2, 8, device=DEVICE))
    own = {"norms/layer_norm.py", *(f"ops/norm/{name}.py" for name in ("function", "eager", "launch"))}
    assert seen - {"ops/norm/kernels.py", "ops/kernel_tools.py"} == own | {"ops/dispatch.py", "ops/launch.py"}


@needs_kernels
@pytest.mark.parametrize("length", [1, 4, 16])
@pytest.mark.parametrize(
    "norm",
    [LayerNorm(8), RMSNorm(8), RMSNorm((2, 4)), GroupNorm(2, 8), DynamicTanh(8), Derf(8)],
    ids=lambda norm: type(norm).__name__,
)
def test_a_weight_of_another_length_is_refused_before_a_kernel_reads_past_it(norm, length):
    """A module's own weight fits; one that was assigned, or lent by functional_call, need not."""
    x = torch.ones(3, *getattr(norm, "normalized_shape", (8,)), device=DEVICE)
    lent = {"weight": torch.ones(length, device=DEVICE)}
    with kernels("on"), pytest.raises(ValueError, match=rf"weight has shape \({length},\), but it must have"):
        torch.func.functional_call(norm.to(DEVICE), lent, x)
