"""The six settings: what they give, and the sentence that a wrong one gets."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from resnorm_lib import runtime


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("RESNORM_PRESET", "huge", "RESNORM_PRESET is 'huge', but it must be one of cpu, gpu."),
        ("RESNORM_DEVICE", "tpu", "RESNORM_DEVICE is 'tpu', but it must be one of cpu, cuda, mps."),
        ("RESNORM_SEED", "-1", "RESNORM_SEED is '-1', but it must be an integer, 0 or larger."),
        ("RESNORM_SEED", "one", "RESNORM_SEED is 'one', but it must be an integer, 0 or larger."),
        ("RESNORM_SEED", "²", "RESNORM_SEED is '²', but it must be an integer, 0 or larger."),
        ("RESNORM_DATA", "/no/such/folder", "RESNORM_DATA is '/no/such/folder', but there is no such folder."),
        ("RESNORM_ARITHMETIC", "fast", "RESNORM_ARITHMETIC is 'fast', but it must be one of same, native."),
        ("RESNORM_PROGRESS", "yes", "RESNORM_PROGRESS is 'yes', but it must be one of 0, 1."),
    ],
)
def test_a_wrong_setting_stops_the_chapter_with_one_sentence(monkeypatch, variable, value, sentence):
    monkeypatch.setenv(variable, value)
    with pytest.raises(runtime.SettingError) as error:
        runtime.start()
    assert str(error.value) == sentence


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_a_device_that_the_machine_lacks_is_named(monkeypatch):
    monkeypatch.setenv("RESNORM_DEVICE", "cuda")
    with pytest.raises(runtime.SettingError, match="'cuda' is asked for, but PyTorch finds none"):
        runtime.device()


def test_the_gpu_preset_asks_for_the_gpu(monkeypatch):
    monkeypatch.setenv("RESNORM_PRESET", "gpu")
    monkeypatch.delenv("RESNORM_DEVICE")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert runtime.device() == torch.device("cuda")


def test_an_empty_variable_is_as_good_as_none(monkeypatch):
    for variable in ("PRESET", "DEVICE", "SEED", "DATA", "PROGRESS"):
        monkeypatch.setenv(f"RESNORM_{variable}", "")
    assert runtime.check() == {
        "preset": "cpu",
        "device": torch.device("cpu"),
        "seed": 0,
        "data": None,
        "progress": True,
    }


def test_start_says_where_the_chapter_runs(capsys):
    threads = torch.get_num_threads()
    assert runtime.start() == torch.device("cpu")
    assert torch.get_num_threads() == 1
    assert capsys.readouterr().out == "preset cpu, device cpu, seed 0\n"
    torch.set_num_threads(threads)


def test_the_data_folder_is_the_one_that_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("RESNORM_DATA", str(tmp_path))
    assert runtime.data_folder() == tmp_path


def test_shifted_seeds_never_meet(monkeypatch):
    seeds = set()
    for shift in range(3):
        monkeypatch.setenv("RESNORM_SEED", str(shift))
        seeds |= {runtime.seed(base) for base in range(1000)}
    assert len(seeds) == 3000


def test_seeded_leaves_the_global_state_alone():
    before = torch.random.get_rng_state()
    with runtime.seeded(1):
        torch.rand(5)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_progress_changes_nothing_but_the_screen(monkeypatch, capsys):
    for shown in ("0", "1"):
        monkeypatch.setenv("RESNORM_PROGRESS", shown)
        assert list(runtime.progress(range(4), "counting")) == [0, 1, 2, 3]
        assert bool(capsys.readouterr().err) == (shown == "1")


DIGEST = """
import sys
from resnorm_lib import runtime
assert "torch" not in sys.modules
runtime.start()
import torch
from resnorm_lib.models import MLP
with runtime.seeded(0):
    y = MLP(64, 64, 20, out_features=10)(torch.randn(32, 64)).double().sum()
print(torch.backends.cpu.get_cpu_capability(), torch.get_num_threads(), y.item().hex())
"""


def plain(code, **settings):
    """Return the lines that a Python prints which nobody has prepared: none of our variables is set."""
    env = {k: v for k, v in os.environ.items() if k not in runtime.ARITHMETIC and not k.startswith("RESNORM_")}
    done = subprocess.run([sys.executable, "-c", code], env=env | settings, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_chapter_computes_alike_in_a_kernel_that_nobody_has_prepared():
    prepared = plain(DIGEST, **runtime.ARITHMETIC)
    assert plain(DIGEST) == prepared
    assert prepared[0] == "preset cpu, device cpu, seed 0"
    assert prepared[1].startswith("AVX2 1 ")


def test_the_command_line_of_the_experiments_computes_alike_too():
    code = "import runpy, sys\nsys.argv[1:] = ['list']\n"
    code += "runpy.run_module('resnorm_lib.experiments', run_name='__main__')\n"
    code += "import torch\nprint(torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())"
    assert plain(code)[-1] == "AVX2 1"


COMPILED = """
from resnorm_lib import runtime
runtime.start()
import torch
torch.set_num_threads(1)
def norm(x):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
x = torch.randn(64, 1024, generator=torch.Generator().manual_seed(0))
error = (torch.compile(norm)(x) - norm(x)).abs().max()
print(torch.backends.cpu.get_cpu_capability(), error.item())
"""


@pytest.mark.skipif(not shutil.which("g++"), reason="needs the compiler that torch.compile uses")
def test_code_compiled_for_other_instructions_is_not_taken(tmp_path):
    """From a common folder the error is 1e38; where the native process comes last, it aborts."""
    one = {"TORCHINDUCTOR_COMPILE_THREADS": "1"}  # that compile: nothing to start
    for mode in ("native", "same"):
        name, error = plain(COMPILED, RESNORM_ARITHMETIC=mode, **one, TORCHINDUCTOR_CACHE_DIR=str(tmp_path))[-1].split()
        if mode == "native" and name != "AVX512":
            pytest.skip("This processor has one set of instructions.")
        assert float(error) < 1e-5


def test_compiled_code_has_a_folder_for_its_instructions(tmp_path):
    code = "from resnorm_lib import runtime; import os; runtime.fix_arithmetic()\n"
    code += "print(os.environ.get('TORCHINDUCTOR_CACHE_DIR'))"
    assert plain(code, TORCHINDUCTOR_CACHE_DIR=str(tmp_path)) == [str(tmp_path / "avx2")]
    assert plain(code, TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "avx2")) == [str(tmp_path / "avx2")]
    native = plain(code, RESNORM_ARITHMETIC="native", TORCHINDUCTOR_CACHE_DIR=str(tmp_path))
    assert native == [str(tmp_path)]


def test_native_arithmetic_is_the_machine_s_own_and_is_said():
    told, computed = plain(DIGEST, RESNORM_ARITHMETIC="native")[1:]
    assert told == "arithmetic of this machine: digits may differ from those stored with the book"
    code = "import torch; print(torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())"
    assert computed.split()[:2] == plain(code)[0].split()


def test_a_torch_that_was_imported_before_is_told():
    assert plain("import torch\n" + DIGEST.replace('assert "torch" not in sys.modules\n', ""))[1].startswith(
        "arithmetic of"
    )
