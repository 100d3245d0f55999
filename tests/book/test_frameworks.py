"""The page for readers from Keras and Flax: its tables and its program, held to the frameworks themselves.

Keras and Flax are needed by nothing else in the project: without them only the columns of PyTorch are checked.
"""

import importlib
import inspect
import operator
import re

import pytest
import torch

from book._ext import frameworks
from tests.book.sources import ROOT

PAGE = (ROOT / "book/frameworks.md").read_text(encoding="utf-8")
LAYERS = frameworks.load()
COLUMNS = [("torch.nn", 0), ("keras.layers", 1), ("flax.nnx", 2)]
CELLS = [
    pytest.param(layer, module, cells[column], id=f"{layer}-{module.partition('.')[0]}-{cells[column]}")
    for layer, row in LAYERS.items()
    for module, column in COLUMNS
    for cells in (row["arguments"] | row.get("tensors", {})).values()
    if cells[column] != "-"
]
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def framework(monkeypatch):
    """Return a function that imports a framework's layers, or skips the test where it is not installed."""

    def load(module):
        monkeypatch.setenv("KERAS_BACKEND", "torch")
        pytest.importorskip(module.partition(".")[0])
        return importlib.import_module(module)

    return load


def made(layers, row, column):
    """Return the layer that a row makes, with its weights."""
    names = vars(layers)
    if column == 2:
        names = names | {"rngs": layers.Rngs(0)}
    layer = eval(row["make"][column], {}, dict(names))
    if column == 1 and not layer.built:
        layer.build(*[(None, 5, 5, 8)] * (2 if "Attention" in row["make"][column] else 1))
    return layer


def signature(layers, row, column):
    """Return the parameters of what a row makes, a class or a function, by name."""
    name = row["make"][column].partition("(")[0]
    kind = getattr(layers, name, None)
    if kind is None:  # a function of Keras
        kind = getattr(importlib.import_module("keras.activations"), name)
    parameters = inspect.signature(kind.__init__ if inspect.isclass(kind) else kind).parameters
    return {
        name: p for name, p in parameters.items() if name != "self" and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }


@pytest.mark.parametrize(("layer", "module", "cell"), CELLS)
def test_a_cell_says_what_the_framework_has(layer, module, cell, framework):
    layers, row, column = framework(module), LAYERS[layer], dict(COLUMNS)[module]
    name, second = frameworks.split(cell)
    if any(cell in cells for cells in row.get("tensors", {}).values()):
        tensor = operator.attrgetter(name)(made(layers, row, column))
        shape = str(tuple(tensor.shape)).replace(",)", ")")
        assert shape == second
    else:
        default = signature(layers, row, column)[name].default
        assert repr(default) == second or (second is None and default is inspect.Parameter.empty)


@pytest.mark.parametrize(("module", "column"), COLUMNS, ids=frameworks.FRAMEWORKS)
@pytest.mark.parametrize("layer", LAYERS)
def test_every_argument_of_a_framework_is_in_the_table_or_on_the_list_of_omitted_ones(layer, module, column, framework):
    found = set(signature(framework(module), LAYERS[layer], column))
    assert found - frameworks.arguments(LAYERS[layer], column) <= left_out(column)


@pytest.mark.parametrize(("module", "column"), COLUMNS, ids=frameworks.FRAMEWORKS)
def test_what_is_omitted_exists_and_stands_in_no_table(module, column, framework):
    layers = framework(module)
    assert left_out(column) <= set().union(*(signature(layers, row, column) for row in LAYERS.values()))
    assert not left_out(column) & set().union(*(frameworks.arguments(row, column) for row in LAYERS.values()))


def left_out(column):
    return {name for cells in frameworks.omitted().values() for name in cells[column]}


def test_an_argument_is_omitted_for_one_reason():
    for column, _ in enumerate(frameworks.FRAMEWORKS):
        names = [name for cells in frameworks.omitted().values() for name in cells[column]]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("row", LAYERS.values(), ids=LAYERS)
def test_a_row_has_a_cell_for_each_framework(row):
    rows = [row["make"], *row["arguments"].values(), *row.get("tensors", {}).values()]
    assert {len(cells) for cells in rows} == {len(frameworks.FRAMEWORKS)}
    assert all(any(cell != "-" for cell in cells) for cells in rows)


def test_every_table_stands_on_the_page_once():
    assert re.findall(r"^```\{frameworks\} (.*)$", PAGE, re.MULTILINE) == [*LAYERS, "omitted"]


def test_a_table_has_a_line_for_each_row():
    lines = frameworks.table(LAYERS["LN"]).splitlines()
    assert len(lines) == 3 + len(LAYERS["LN"]["arguments"]) + len(LAYERS["LN"]["tensors"])
    assert "| under the root | `eps=1e-05` | `epsilon=0.001` | `epsilon=1e-06` |" in lines
    assert "| across devices | – | – | `axis_name=None` |" in lines


def test_the_table_of_what_is_omitted_has_a_line_for_each_reason():
    lines = frameworks.omissions(frameworks.omitted()).splitlines()
    assert len(lines) == 2 + len(frameworks.omitted())
    assert "| overwrites its input | `inplace` | – | – |" in lines


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        ("eps=1e-05", ("eps", "1e-05")),
        ("weight (6, 8)", ("weight", "(6, 8)")),
        ("out.bias (8)", ("out.bias", "(8)")),
        ("rate", ("rate", None)),
    ],
)
def test_a_cell_is_a_name_and_what_it_is_by_default_or_its_shape(cell, parts):
    assert frameworks.split(cell) == parts


def test_the_program_of_the_page_runs(framework):
    for module, _ in COLUMNS:
        framework(module)
    state = torch.get_rng_state()
    exec("\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)), {})
    torch.set_rng_state(state)


def test_the_program_of_the_page_can_be_read_where_the_others_are_missing():
    program = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    compile(program, "frameworks.md", "exec")
    assert program.count("assert ") > 30
