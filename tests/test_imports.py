"""What an import costs: in fresh processes, since this one has imported everything already."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import resnorm_lib

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("data", "ops", "norms", "residual", "models", "probes")  # in this order: each finds those below it loaded
FORBIDDEN = ("torch.zeros(1)", "torch.cuda.is_available()", "torch.rand(1)")

# An operation of torch would be a tensor made, or a random number drawn; a device wakes up when it is asked whether it
# is there.
WATCHED = """
import json, sys, torch
from torch.utils._python_dispatch import TorchDispatchMode

class NoOperation(TorchDispatchMode):
    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        raise AssertionError(f"{operation} ran")

def forbid(*args, **kwargs):
    raise AssertionError("a device was touched")

for device in (torch.cuda, torch.mps, torch.xpu):
    for name in ("_lazy_init", "is_available", "device_count"):
        if hasattr(device, name):
            setattr(device, name, forbid)
torch.backends.mps.is_available = forbid

for line in map(str.strip, sys.stdin):
    try:
        with NoOperation():
            exec(line)
        print(json.dumps(["", *{"matplotlib", "sklearn"} & {*sys.modules}]))
    except AssertionError as error:
        print(json.dumps([str(error)]))
"""


def run(code, lines=""):
    result = subprocess.run(
        [sys.executable, "-c", code], input=lines, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def watched():
    """What each line did: one process imports the floors from the ground up, then does what is forbidden."""
    lines = (*(f"import resnorm_lib.{floor}" for floor in FLOORS), *FORBIDDEN)
    output = run(WATCHED, "\n".join(lines))
    return dict(zip(lines, map(json.loads, output.splitlines()), strict=True))


@pytest.mark.parametrize("floor", FLOORS)
def test_importing_a_floor_touches_no_device_computes_nothing_and_brings_no_plots_or_data_sets(watched, floor):
    assert watched[f"import resnorm_lib.{floor}"] == [""]


@pytest.mark.parametrize("line", FORBIDDEN)
def test_the_watch_sees_what_an_import_must_not_do(watched, line):
    (fault,) = watched[line]
    assert fault


def test_the_package_needs_no_other_and_its_reference_numpy_alone():
    heavy = {"torch", "numpy", "matplotlib", "sklearn", "tqdm"}
    code = "import resnorm_lib, sys; print(*sys.modules); resnorm_lib.reference; print(*sys.modules)"
    package, reference = (heavy & {*line.split()} for line in run(code).splitlines())
    assert (package, reference) == (set(), {"numpy"})


def test_a_package_is_found_by_its_name_after_the_import_of_the_library():
    assert {*resnorm_lib.PACKAGES} <= {*dir(resnorm_lib)}
    assert resnorm_lib.norms.__name__ == "resnorm_lib.norms"
    with pytest.raises(AttributeError, match="module 'resnorm_lib' has no attribute 'norm'"):
        _ = resnorm_lib.norm
