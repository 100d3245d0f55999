"""Every command line of the library ends in silence when its reader has seen enough."""

import os
import subprocess
import sys

import pytest

LINES = ("resnorm_lib", "bench schema", "bench.gpu --help", "course --help", "experiments", "parallel --help")


@pytest.mark.parametrize("line", LINES)
def test_a_reader_that_leaves_causes_no_traceback(line):
    module, *words = line.split()
    module = module if module == "resnorm_lib" else f"resnorm_lib.{module}"
    reader, writer = os.pipe()
    os.close(reader)  # as behind ``| head``, which has read its lines
    done = subprocess.run([sys.executable, "-m", module, *words], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == (0 if "--help" in words else 1)  # argparse leaves it at 0
