"""What an import costs: each in a fresh process, since this one has imported everything already."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("ops", "norms", "residual", "models", "probes", "data")

# An operation of torch would be a tensor made, or a random number drawn; a device wakes up when it is asked whether it
# is there.
WATCHED = """
import sys, torch
from torch.utils._python_dispatch import TorchDispatchMode

class NoOperation(TorchDispatchMode):
    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        raise AssertionError(f"{operation} ran during an import")

def forbid(*args, **kwargs):
    raise AssertionError("a device was touched during an import")

for device in (torch.cuda, torch.mps, torch.xpu):
    for name in ("_lazy_init", "is_available", "device_count"):
        if hasattr(device, name):
            setattr(device, name, forbid)
torch.backends.mps.is_available = forbid
"""


def run(code):
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def modules_after(code):
    """The modules of others that are there after running the code."""
    return {name.partition(".")[0] for name in run(f"{code}\nimport sys\nprint(*sys.modules)")}


def test_the_reference_needs_numpy_alone():
    after = modules_after("import resnorm_lib.reference")
    assert "numpy" in after
    assert not after & {"torch", "matplotlib", "sklearn", "tqdm"}


@pytest.mark.parametrize("floor", FLOORS)
def test_no_floor_brings_plots_or_data_sets(floor):
    after = modules_after(f"import resnorm_lib.{floor}")
    assert "torch" in after
    assert not after & {"matplotlib", "sklearn"}


@pytest.mark.parametrize("floor", FLOORS)
def test_importing_a_floor_touches_no_device_and_computes_nothing(floor):
    run(f"{WATCHED}\nwith NoOperation():\n    import resnorm_lib.{floor}")


@pytest.mark.parametrize("code", ["torch.zeros(1)", "torch.cuda.is_available()", "torch.rand(1)"])
def test_the_watch_sees_what_an_import_must_not_do(code):
    with pytest.raises(AssertionError, match="during an import"):
        run(f"{WATCHED}\nwith NoOperation():\n    {code}")
