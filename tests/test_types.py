"""The package is typed (PEP 561). That functions say their types is ruff's to see (ANN in pyproject.toml)."""

import inspect
import subprocess
import sys
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from pkgutil import iter_modules

import pytest

import resnorm_lib
from resnorm_lib import bench, data, engine, models, norms, ops, plot, probes, reference, residual

ROOT = Path(__file__).resolve().parent.parent
NAMES = (f"{room.__name__}.{info.name}" for room in (engine, bench) for info in iter_modules(room.__path__))
FILES = [file for file in map(import_module, NAMES) if hasattr(file, "__all__")]
MODULES = (reference, data, ops, norms, residual, models, probes, plot, *FILES)
THINGS = {f"{module.__name__}.{name}": getattr(module, name) for module in MODULES for name in module.__all__}
# Ruff reads what is written, and not what a decorator puts in its place.
DECORATED = {name: thing for name, thing in THINGS.items() if hasattr(thing, "__wrapped__")}


def untyped(function):
    """Return the arguments without a type, and ``return`` where that has none."""
    signature = inspect.signature(function)
    named = [p for p in signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return [p.name for p in named if p.annotation is p.empty] + (
        ["return"] if signature.return_annotation is signature.empty else []
    )


@pytest.mark.parametrize("name", DECORATED)
def test_a_decorated_function_says_its_types(name):
    assert not untyped(DECORATED[name])


def test_a_missing_type_is_seen():
    def half(x: int, y):
        return x + y

    assert untyped(half) == ["y", "return"]


PRIVATE = "class Half:\n    def __init__(self):\n        def inner(x):\n            return x / 2\n"


@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="its settings are those of the checkout")
@pytest.mark.parametrize(
    ("place", "rules"),
    [
        ("resnorm_lib/norms/new.py", ["ANN001", "ANN202", "ANN204"]),
        ("resnorm_lib/ops/new/kernels.py", []),
        ("tests/new.py", []),
    ],
)
def test_ruff_asks_every_function_of_the_library_for_its_types(place, rules):
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "concise"]
    told = subprocess.run(
        [*command, "--stdin-filename", place, "-"], input=PRIVATE, text=True, cwd=ROOT, capture_output=True
    )
    codes = [line.split()[1] for line in told.stdout.splitlines() if line.startswith(place)]
    assert sorted(code for code in codes if code.startswith("ANN")) == rules


def test_the_marker_of_types_is_part_of_the_package():
    assert (files(resnorm_lib) / "py.typed").is_file()
