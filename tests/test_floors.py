"""The library from the ground floor up: a floor imports floors below it, none above, and nothing from the tests."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import resnorm_lib

ROOT = Path(resnorm_lib.__file__).parent
FLOORS = resnorm_lib.PACKAGES  # from the lowest to the highest
SHARED = {path.stem for path in ROOT.glob("*.py")}


def imported(path):
    """Return the names under ``resnorm_lib`` that a file imports anywhere, inside functions too, and ``tests``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module] if isinstance(node, ast.ImportFrom) else getattr(node, "names", [])
        for name in (getattr(each, "name", each) or "" for each in names):
            if name == "resnorm_lib":  # from resnorm_lib import norms
                yield from (alias.name for alias in node.names if isinstance(node, ast.ImportFrom))
            elif name.startswith("resnorm_lib."):
                yield name.split(".")[1]
            elif name.split(".")[0] == "tests":
                yield "tests"


def circle(root):
    """Return the packages and files of a library that need each other, or None."""
    graph = {}
    for path in root.rglob("*.py"):
        part = path.relative_to(root).with_suffix("").parts[0]
        graph.setdefault(part, set()).update({*imported(path)} - {part, "__version__"})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_imports_only_floors_below_it(floor):
    below = {*FLOORS[: FLOORS.index(floor) + 1], *SHARED, "__version__"}
    up = {f"{path.name} imports {name}" for path in (ROOT / floor).rglob("*.py") for name in imported(path)
          if name not in below}  # fmt: skip
    assert not up


def test_no_two_parts_of_the_library_need_each_other():
    assert circle(ROOT) is None


def test_a_circle_would_be_seen(tmp_path):
    (tmp_path / "plot.py").write_text("from resnorm_lib.norms import LayerNorm")
    (tmp_path / "norms").mkdir()
    (tmp_path / "norms" / "layer_norm.py").write_text("def draw():\n    import resnorm_lib.plot")
    assert {*circle(tmp_path)} == {"plot", "norms"}


def test_every_package_of_the_library_is_a_floor():
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(FLOORS)


@pytest.mark.parametrize("line", ["import resnorm_lib.models", "from resnorm_lib import models",
                                  "def f():\n    from resnorm_lib.models.mlp import MLP"])  # fmt: skip
def test_an_arrow_up_would_be_seen(line, tmp_path):
    (tmp_path / "file.py").write_text(line)
    assert list(imported(tmp_path / "file.py")) == ["models"]


def test_one_function_says_in_which_dtype_statistics_are_taken():
    """``_precision.statistics_dtype``. The records of the benchmark hold its own files as they are."""
    own = re.compile(r"promote_types\([^\n]*torch\.float32\)|torch\.float64 if [^\n]* else torch\.float32")
    found = [path.name for path in ROOT.rglob("*.py") if own.search(path.read_text(encoding="utf-8"))]
    assert found == ["_precision.py"]
