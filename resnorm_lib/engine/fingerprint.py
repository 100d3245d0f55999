"""Digests of code: what a record belongs to.

Comments, spacing, docstrings, annotations, and what is imported for them do not count: they change no number.
"""

import ast
import functools
import hashlib
import pkgutil
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from resnorm_lib.engine.documents import TEXT, record

__all__ = ["SCHEMA", "of_experiment", "of_modules", "of_sources"]

SCHEMA = record(
    "digests of the code that ran: that of the measurement itself, and that of the rest of the library",
    {"experiment": TEXT, "library": TEXT},
    optional=("experiment", "library"),
)


def of_sources(texts: Iterable[str]) -> str:
    """Return a digest, 16 hexadecimal digits, of Python sources in this order.

    Raises
    ------
    SyntaxError
        If a source is no Python.

    Examples
    --------
    >>> first = "from torch import Tensor\\ndef f(x: Tensor):\\n    'Double x.'\\n    return 2 * x"
    >>> second = "def f(x): return 2*x  # twice"
    >>> of_sources([first]) == of_sources([second])
    True
    """
    return hashlib.sha256(repr([_tree(text) for text in texts]).encode()).hexdigest()[:16]


@functools.cache  # most experiments use the same modules
def _tree(text: str) -> Any:
    return _shape(_without_unused_imports(_Bare().visit(ast.parse(text))))


def of_modules(names: Iterable[str]) -> str:
    """Return the digest of modules by name, whatever their order."""
    return of_sources([_path(name).read_text(encoding="utf-8") for name in sorted(names)])


@functools.cache
def of_experiment(name: str) -> dict[str, str]:
    """Return the digests of the code of an experiment, by the name of its module.

    ``"experiment"`` is that of its own modules: a record that has another one belongs to another experiment.
    ``"library"`` is that of the rest of the library which they import: with another one the numbers need not differ.
    """
    search = find_spec(name).submodule_search_locations or []
    own = {name, *(info.name for info in pkgutil.walk_packages(search, f"{name}."))}
    return {"experiment": of_modules(own), "library": of_modules(_used_by(own))}


def _used_by(names: Iterable[str]) -> set[str]:
    """Return the names of what modules import of their own package, directly or not, without the modules themselves."""
    found, todo = set(), list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += _imports(name)
    return found - set(names)


@functools.cache
def _imports(name: str) -> tuple[str, ...]:
    return tuple(_own_imports(name))


def _own_imports(name: str) -> Iterator[str]:
    package = name.partition(".")[0]
    for node in ast.walk(ast.parse(_path(name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module.partition(".")[0] == package:
            yield node.module
            both = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (
                other for other in both if find_spec(node.module).submodule_search_locations and find_spec(other)
            )
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == package)


def _path(name: str) -> Path:
    return Path(find_spec(name).origin)


DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class _Bare(ast.NodeTransformer):
    """Removes docstrings and annotations. That a name in a class has an annotation still counts: it makes a field."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node):
            node.body = node.body[1:]
        for name in {"annotation", "returns"} & set(node._fields):
            setattr(node, name, None)
        return node


def _without_unused_imports(tree: ast.AST) -> ast.AST:
    """Remove what is imported for annotations alone, or for nothing."""
    nodes = list(ast.walk(tree))
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    used |= {node.value for node in nodes if isinstance(node, ast.Constant)}  # what __all__ names
    for node in nodes:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {alias: (alias.asname or alias.name).partition(".")[0] for alias in node.names}
            node.names = [alias for alias, name in names.items() if name in used]
    return tree


def _shape(node: Any) -> Any:
    """Return a syntax tree as tuples. ``ast.dump`` writes empty fields in some versions of Python and not in others."""
    if isinstance(node, list):
        shapes = [_shape(item) for item in node]
        return [shape for shape in shapes if shape is not None]
    if not isinstance(node, ast.AST):
        return node
    fields = dict(ast.iter_fields(node))
    if isinstance(node, (ast.Import, ast.ImportFrom)) and not node.names:
        return None
    return type(node).__name__, [(name, _shape(value)) for name, value in fields.items() if value not in (None, [])]
