"""The names of a notebook: which a cell uses, which it defines, and what must run before it."""

import ast
import symtable
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

__all__ = ["before", "bound", "free", "tree", "used"]

DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
BY_TEXT = {"eval", "exec", "globals", "locals", "vars"}  # whoever uses one may ask for any name
_FAULTS = (SyntaxError, ValueError, RecursionError, MemoryError)  # of what is no Python, or nested too deep


@lru_cache(maxsize=10_000)  # the same cells are asked for once for each exercise
def free(source: str) -> frozenset[str]:
    """Return the names that a source uses and does not import or define at its top level."""
    top = symtable.symtable(source, "<cell>", "exec")
    return frozenset(_globals(top)) - bound(source)


@lru_cache(maxsize=10_000)
def bound(source: str) -> frozenset[str]:
    """Return the names that a source imports, defines or assigns at its top level.

    Examples
    --------
    >>> sorted(bound("import os.path\\nfor i in range(3):\\n    table = [each for each in range(i)]"))
    ['i', 'os', 'table']
    """
    top = symtable.symtable(source, "<cell>", "exec")
    return frozenset(each.get_name() for each in top.get_symbols() if each.is_assigned() or each.is_imported())


def _globals(table: symtable.SymbolTable) -> Iterator[str]:
    yield from (each.get_name() for each in table.get_symbols() if each.is_referenced() and each.is_global())
    for inner in table.get_children():
        yield from _globals(inner)


def used(sources: Iterable[str]) -> set[str]:
    """Return the names that sources use, one after the other, and do not import or define."""
    names, own = set(), set()
    for source in sources:
        names |= free(source) - own
        own |= bound(source)
    return names


def tree(source: str) -> list[ast.stmt]:
    """Return the statements of a source; none where it is no Python."""
    try:
        return ast.parse(source).body
    except _FAULTS:
        return []


def before(answer: str, above: Iterable[str], below: Iterable[str] = ()) -> list[str]:
    """Return the statements of other cells that an answer needs, and those that these need in turn.

    What a cell prints, draws or tries is not among them, but what sets torch's default dtype above is: tensors of other
    cells were made with it. A name that no cell above gives is looked for in those below: a student may have run them
    first.

    Examples
    --------
    >>> before("def f(x): return g(x)", ["N = 1", "def g(x): return N * x", "print(g(3))", "M = 2"])
    ['N = 1', 'def g(x): return N * x']
    """
    parts = [[each for cell in cells for each in _statements(cell)] for cells in (above, below)]
    statements = [*parts[0], *parts[1]]
    data = {name for each in statements if not each.defines for name in each.binds}
    givers: dict[str, list[int]] = {}
    for places in (range(len(parts[0])), range(len(parts[0]), len(statements))):
        found: dict[str, list[int]] = {}
        for place in places:
            for name in statements[place].binds | statements[place].changes & data:
                found.setdefault(name, []).append(place)
        givers = found | givers
    kept = {place for place, each in enumerate(parts[0]) if not each.defines and "set_default_dtype(" in each.text}
    wanted = {name for each in [*_statements(answer), *(parts[0][place] for place in kept)] for name in each.needs}
    if wanted & BY_TEXT:
        kept = {*range(len(statements))}
    asked: set[str] = set()
    while wanted - asked:
        name = (wanted - asked).pop()
        asked.add(name)
        kept |= (new := {*givers.get(name, ())} - kept)
        wanted |= {each for place in new for each in statements[place].needs}
    return [statements[place].text for place in sorted(kept)]


class _Statement(NamedTuple):
    """A statement at the top level of a cell."""

    text: str
    defines: bool  # a function, a class, or an import
    binds: frozenset[str]
    needs: frozenset[str]
    changes: frozenset[str]  # what it may change without giving it a new value


@lru_cache(maxsize=1000)
def _statements(source: str) -> tuple[_Statement, ...]:
    return tuple(each for node in tree(source) if (each := _statement(source, node)))


def _statement(source: str, node: ast.stmt) -> _Statement | None:
    decorators = getattr(node, "decorator_list", [])
    above = source.split("\n")[decorators[0].lineno - 1 : node.lineno - 1] if decorators else []
    text = "\n".join([*above, ast.get_source_segment(source, node) or ""])
    try:
        defines = isinstance(node, DEFINITIONS)
        binds = bound(text)
        return _Statement(text, defines, binds, free(text), frozenset() if defines else frozenset(_changed(node)))
    except _FAULTS:
        return None


def _changed(node: ast.stmt) -> Iterator[str]:
    """Yield the names whose parts a statement assigns, and those that stand in a call whose result it drops."""
    for each in ast.walk(node):
        stored = isinstance(each, ast.Attribute | ast.Subscript) and isinstance(each.ctx, ast.Store | ast.Del)
        if stored or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Call)):
            yield from _names(each.value)


def _names(node: ast.expr) -> Iterator[str]:
    return (each.id for each in ast.walk(node) if isinstance(each, ast.Name))
