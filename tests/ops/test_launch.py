"""What a plan keeps and runs at once is what Triton would have launched, to the last parameter."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.ops.cases import DEVICE, needs_kernels

HEADER = Path(sysconfig.get_paths()["include"], "Python.h")


@needs_kernels
@pytest.mark.skipif(DEVICE == "cuda", reason="with a GPU tests/bench/test_host.py compares what the kernels compute")
@pytest.mark.skipif(not shutil.which("gcc") or not HEADER.exists(), reason="Triton's launcher takes gcc and Python.h")
def test_what_is_kept_brings_to_the_driver_what_triton_brings(tmp_path):
    """Also for other addresses, counts and launchers than were kept. A process of its own: see there."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    result = subprocess.run(
        [sys.executable, "-m", "tests.ops.launched", tmp_path],
        env=environment | {"TRITON_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
