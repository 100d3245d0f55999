"""Launch every kernel by Triton's own launcher, and once more as it was kept, and compare what reaches the driver.

python -m tests.ops.launched FOLDER

No GPU is needed: ``driver.c``, compiled into the folder, stands in for the driver of CUDA and notes grid, threads,
shared memory, stream, function and parameters of each launch. It is a process of its own, since Triton either compiles
or interprets.
"""

import ctypes
import gc
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import torch
import triton
from triton.backends.nvidia import driver as nvidia

from resnorm_lib.bench import host
from resnorm_lib.bench.operations import as_tuple
from resnorm_lib.ops import derf, kernel_tools, launch
from resnorm_lib.ops.elementwise import kernels as elementwise
from resnorm_lib.ops.group_norm import kernels as group_norm
from resnorm_lib.ops.group_norm import kernels_backward as group_norm_backward
from resnorm_lib.ops.norm import kernels as norm
from resnorm_lib.ops.norm import kernels_backward as norm_backward

STREAM, MOST = 77, 64
MODULES = kernel_tools, elementwise, group_norm, group_norm_backward, norm, norm_backward


def stand_in(folder):
    """Compile the driver and return it. What asks for libcuda.so.1 later finds it loaded."""
    library = Path(folder, "libcuda.so.1")
    source = Path(__file__).with_name("driver.c")
    subprocess.run(["gcc", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o", library, source], check=True)
    library.with_name("libcuda.so").symlink_to(library.name)  # an older Triton links it by this name
    os.environ["TRITON_LIBCUDA_PATH"] = str(folder)
    return ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)


class Driver(nvidia.CudaDriver):
    """Triton's own, for an H100 that is the only device."""

    def __init__(self):
        self.utils, self.launcher_cls = nvidia.CudaUtils(), nvidia.CudaLauncher
        self.get_current_device = lambda: 0
        self.get_current_stream = lambda index: STREAM
        self.get_device_capability = lambda index: (9, 0)


class Launch(ctypes.Structure):
    """What the driver notes."""

    _fields_ = (
        *((name, ctypes.c_uint32 * 3) for name in ("grid", "block")),
        *((name, ctypes.c_uint32) for name in ("shared", "attributes")),
        *((name, ctypes.c_uint64) for name in ("stream", "function", "count")),
        ("parameters", ctypes.c_uint64 * MOST),
    )


class Launches:
    """Does each launch by Triton and as it is kept, and holds what reaches the driver against each other."""

    def __init__(self, cuda):
        self.last, self.number = Launch.in_dll(cuda, "last"), ctypes.c_uint64.in_dll(cuda, "launches")
        self.unloaded = (ctypes.c_bool * 1024).in_dll(cuda, "unloaded")
        self.sizes = (ctypes.c_char * MOST * 1024).in_dll(cuda, "sizes")
        self.plain, self.by_triton = launch.Plan._launch, launch.Plan._launch_by_triton
        self.kernels = set()

    def noted(self, function, *arguments):
        """Return what one launch brings to the driver."""
        before = self.number.value
        function(*arguments)
        assert self.number.value == before + 1
        return bytes(self.last)

    def compare(self, plan, grid, arguments, kept):
        """Return the note of a launch by Triton, which the others must equal; and whether code was ``kept``."""
        compiled = self.by_triton(plan, grid, arguments)
        bits = re.findall(r"\.param \.[a-z](\d+) ", compiled.asm["ptx"].partition("{")[0])
        self.sizes[compiled.function].value = bytes(int(number) // 8 for number in bits)
        wanted = self.noted(self.by_triton, plan, grid, arguments)
        assert (tuple(self.last.grid), self.last.stream, self.last.count) == ((*grid, 1, 1)[:3], STREAM, len(bits))
        with mock.patch.object(launch.Plan, "_launch_by_triton", autospec=True, side_effect=self.by_triton) as again:
            for _ in range(2):
                assert self.noted(self.plain, plan, grid, None, arguments) == wanted, plan.kernel
        assert kept == (again.call_count < 2), (plan.kernel, again.call_count)
        self.kernels.add((plan.kernel.fn.__module__, plan.kernel.fn.__name__))
        return Launch.from_buffer_copy(wanted)


def operations(*names):
    """Call these, or all, forward and backward."""
    x, alpha, shift = (torch.randn(size, requires_grad=True) for size in ((3, 64), (1,), (1,)))
    calls = {**host.calls("cpu", rows=3), "derf": (lambda: derf(x, alpha, shift), (x, alpha, shift))}
    for name in names or calls.keys() - {"torch", "bare"}:
        call, inputs = calls[name]
        torch.autograd.grad(sum(y.sum() for y in as_tuple(call())), inputs)
        with torch.no_grad():
            call()


def sums():
    """Return a plan, its grid and its arguments, of which one is for an address and one for a count."""
    part, out = torch.zeros(1, 3, 64), torch.zeros(65)
    plan, blocks = launch._sum_plan(64, 1, part.dtype, out.dtype)
    return plan, (blocks, 1), lambda start=0, count=3: (part, out[start : start + 64], None, count)


def other_code(launches, kept):
    """What was kept is not run for an address or a count that it was not compiled for."""
    plan, grid, arguments = sums()
    notes = [launches.compare(plan, grid, arguments(), kept), launches.compare(plan, grid, arguments(1), False)]
    notes += [launches.compare(plan, grid, arguments(count=2**31 + 3), kept)]
    assert len({note.function for note in notes}) == 3
    assert 2**31 + 3 in [*notes[2].parameters]


def observed(launches):
    """Who asks to be told of each launch is told."""
    plan, grid, arguments = sums()
    hook, told = triton.knobs.runtime.launch_enter_hook, mock.Mock()
    hook.add(told)
    launches.compare(plan, grid, arguments(), False)
    hook.remove(told)
    assert told.call_count == 4


def loaded(launches):
    """What was kept stays loaded when Triton has forgotten it."""
    plan, grid, arguments = sums()
    function = launches.compare(plan, grid, arguments(), True).function
    plan.kernel.device_caches.clear()
    gc.collect()
    assert not launches.unloaded[function]


def refused(launches):
    """Where the launcher takes other arguments, Triton's own launch takes over."""
    plan, grid, arguments = sums()
    wanted = launches.noted(launches.by_triton, plan, grid, arguments())
    launches.plain(plan, grid, None, arguments())
    plan.kept = {key: (lambda stream: None, *kept[1:]) for key, kept in plan.kept.items()}
    assert plan.kept
    assert launches.noted(launches.plain, plan, grid, None, arguments()) == wanted
    assert launch.Plan.direct is False


def main(folder):
    launches = Launches(stand_in(folder))
    triton.runtime.driver.set_active(Driver())
    wanted = {
        (module.__name__, name)
        for module in MODULES
        for name, kernel in vars(module).items()
        if any(parameter.do_not_specialize for parameter in getattr(kernel, "params", ()))
    }
    with (
        host.without_launch(),
        mock.patch.multiple(launch.Plan, direct=None, _launch_by_triton=launches.by_triton),
        mock.patch.object(launch, "current_stream", return_value=STREAM),
    ):
        kept = launch.runs_kept_code()
        with mock.patch.object(launch.Plan, "_launch", lambda plan, grid, _, a: launches.compare(plan, grid, a, kept)):
            operations()
            with launch.forced(block=64):  # rows and groups that are longer than a tile
                operations("add_layer_norm", "rms_norm", "group_norm")
        assert launches.kernels == wanted
        other_code(launches, kept)
        if kept:
            observed(launches)
            loaded(launches)
            refused(launches)
    print(f"Triton {triton.__version__}: {launches.number.value} launches of {len(wanted)} kernels, {kept=}")


if __name__ == "__main__":
    main(sys.argv[1])
