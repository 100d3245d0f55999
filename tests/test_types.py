"""Public functions say the types of their arguments and of what they return: the package is typed (PEP 561)."""

import inspect
from importlib import import_module
from importlib.resources import files
from pkgutil import iter_modules

import pytest

import resnorm_lib
from resnorm_lib import bench, data, engine, models, norms, ops, plot, probes, reference, residual

NAMES = (f"{room.__name__}.{info.name}" for room in (engine, bench) for info in iter_modules(room.__path__))
FILES = [file for file in map(import_module, NAMES) if hasattr(file, "__all__")]
MODULES = (reference, data, ops, norms, residual, models, probes, plot, *FILES)


def callables(module):
    """Yield name and function of what a module offers: functions, and the public methods of its classes."""
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing):
            own = {key: value for key, value in vars(thing).items() if inspect.isfunction(value)}
            yield from ((f"{name}.{key}", value) for key, value in own.items() if not key.startswith("_"))
        elif inspect.isfunction(thing):
            yield name, thing


def untyped(function):
    """Return the arguments without a type, and ``return`` where that has none. ``**options`` may have none."""
    signature = inspect.signature(function)
    kinds = {p.name: p for p in signature.parameters.values() if p.name != "self" and p.kind != p.VAR_KEYWORD}
    return [name for name, p in kinds.items() if p.annotation is p.empty] + (
        ["return"] if signature.return_annotation is signature.empty else []
    )


@pytest.mark.parametrize(
    ("name", "function"),
    [pytest.param(name, function, id=f"{m.__name__}.{name}") for m in MODULES for name, function in callables(m)],
)
def test_a_public_function_says_its_types(name, function):
    assert not untyped(function), f"{name} lacks types"


def test_a_missing_type_is_seen():
    def half(x: int, y):
        return x + y

    assert untyped(half) == ["y", "return"]


def test_the_marker_of_types_is_part_of_the_package():
    assert (files(resnorm_lib) / "py.typed").is_file()
