"""The library from the ground floor up: a floor imports floors below it, and none above."""

import ast
from pathlib import Path

import pytest

import resnorm_lib

ROOT = Path(resnorm_lib.__file__).parent
FLOORS = resnorm_lib.PACKAGES  # from the lowest to the highest
SHARED = {path.stem for path in ROOT.glob("*.py")}


def imported(path):
    """Return the names under ``resnorm_lib`` that a file imports anywhere, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module] if isinstance(node, ast.ImportFrom) else getattr(node, "names", [])
        for name in (getattr(each, "name", each) or "" for each in names):
            if name == "resnorm_lib":  # from resnorm_lib import norms
                yield from (alias.name for alias in node.names if isinstance(node, ast.ImportFrom))
            elif name.startswith("resnorm_lib."):
                yield name.split(".")[1]


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_imports_only_floors_below_it(floor):
    below = {*FLOORS[: FLOORS.index(floor) + 1], *SHARED, "__version__"}
    up = {f"{path.name} imports {name}" for path in (ROOT / floor).rglob("*.py") for name in imported(path)
          if name not in below}  # fmt: skip
    assert not up


def test_every_package_of_the_library_is_a_floor():
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(FLOORS)


@pytest.mark.parametrize("line", ["import resnorm_lib.models", "from resnorm_lib import models",
                                  "def f():\n    from resnorm_lib.models.mlp import MLP"])  # fmt: skip
def test_an_arrow_up_would_be_seen(line, tmp_path):
    (tmp_path / "file.py").write_text(line)
    assert list(imported(tmp_path / "file.py")) == ["models"]
