"""What a chapter gives to its exercises: the imports, functions and data that they use, and nothing that is trained."""

import ast
import builtins
import re
from collections.abc import Iterable, Iterator
from functools import cache

from nbformat import NotebookNode

from resnorm_lib.course.names import DEFINITIONS, bound, free, used

__all__ = ["lacking", "named", "needed"]

# A set-up starts in seconds: it may call what these modules offer, which loads and builds, and what the chapter defines
# by them alone. All else, and these methods, may train.
BUILDS = ("math", "numpy", "torch", "resnorm_lib.data", "resnorm_lib.models", "resnorm_lib.norms",
          "resnorm_lib.reference", "resnorm_lib.residual", "resnorm_lib.runtime")  # fmt: skip
SETTINGS = ("get", "runtime")  # from elsewhere: an experiment by its name, the settings; and all that is called load_
TRAINS = {"backward", "fit", "grad", "jacobian", "minimize", "run", "step", "trial"}
KNOWN = {*dir(builtins), "math", "np", "torch"}
CODE = re.compile(r"`([^`\n]+)`")
NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")


def needed(notebook: NotebookNode, sources: Iterable[str]) -> str:
    """Return the imports, functions and data of the chapter's body that some sources use, and these use in turn.

    What the chapter trains or measures is not among them, and no function that needs it.
    """
    body = _Body(notebook)
    for name in sorted(used(sources)):
        body.give(name)
    return "\n".join(_lines(body.given()))


def lacking(notebook: NotebookNode, sources: Iterable[str]) -> list[str]:
    """Return the names of the chapter's body that some sources use and an assignment cannot give: what is trained."""
    body = _Body(notebook)
    return [name for name in sorted(used(sources)) if name in body.places and not body.give(name)]


def named(notebook: NotebookNode, text: str) -> list[str]:
    """Return what the code in a text names of the chapter: functions, classes, modules, and experiments."""
    body = _Body(notebook)
    words = {word for code in CODE.findall(text) for word in NAME.findall(code)}
    return sorted(word for word in words if any(body.is_tool(place) for place in body.places.get(word, ())))


class _Body:
    """The statements of a chapter outside its exercises, and which of them have been given."""

    def __init__(self, notebook: NotebookNode):
        cells = [cell for cell in notebook.cells if not {"stub", "solution"} & set(cell.metadata.get("tags", []))]
        sources = [cell.source for cell in cells if cell.cell_type == "code"]
        self.nodes = [node for source in sources for node in _statements(source)]
        self.filled = set().union(*map(_filled, self.nodes))
        self.places: dict[str, list[int]] = {}
        for place, node in enumerate(self.nodes):
            for name in bound(_text(node)):
                self.places.setdefault(name, []).append(place)
        self.state: dict[int, bool] = {}  # whether a statement can be given

    def given(self) -> list[ast.stmt]:
        return [self.nodes[place] for place, able in sorted(self.state.items()) if able]

    def is_tool(self, place: int) -> bool:
        node = self.nodes[place]
        if getattr(node, "decorator_list", []):  # a kernel, which needs a GPU or an interpreter
            return False
        called = node.value.func if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) else None
        return isinstance(node, DEFINITIONS) or (isinstance(called, ast.Name) and called.id == "get")

    def give(self, name: str, before: int | None = None) -> bool:
        """Give a name as it stands before a statement, by default at the end; say whether that is possible."""
        if name in KNOWN and name not in self.places:
            return True
        places = [place for place in self.places.get(name, ()) if self._may_stand(self.nodes[place])]
        if not places:
            return name in KNOWN
        end = len(self.nodes) if before is None else before
        place = max((each for each in places if each < end), default=places[0])
        if place not in self.state:
            self.state[place] = True  # while it is looked into: functions may call themselves
            kept = dict(self.state)
            if not all(self.give(each, place) for each in sorted(free(_text(self.nodes[place])))):
                self.state = kept | {place: False}
        return self.state[place]

    def _may_stand(self, node: ast.stmt) -> bool:
        if bound(_text(node)) & self.filled:
            return False
        if isinstance(node, ast.With | ast.Try):
            return self._builds(node) and all(isinstance(each, ast.Assign) for each in node.body)
        return isinstance(node, DEFINITIONS) or (isinstance(node, ast.Assign) and self._builds(node))

    def _builds(self, node: ast.AST, seen: frozenset[str] = frozenset()) -> bool:
        """Say whether a statement calls only what loads and builds."""
        return all(self._may_call(each.func, seen) for each in ast.walk(node) if isinstance(each, ast.Call))

    def _may_call(self, called: ast.expr, seen: frozenset[str]) -> bool:
        while isinstance(called, ast.Attribute | ast.Subscript | ast.Call):
            if isinstance(called, ast.Attribute) and called.attr in TRAINS:
                return False
            called = called.func if isinstance(called, ast.Call) else called.value
        name = called.id if isinstance(called, ast.Name) else ""
        nodes = [self.nodes[place] for place in self.places.get(name, ())]
        return name in seen or all(self._offers(each, name, seen | {name}) for each in nodes)

    def _offers(self, node: ast.stmt, name: str, seen: frozenset[str]) -> bool:
        if isinstance(node, ast.ImportFrom):
            return (
                name in SETTINGS
                or name.startswith("load_")
                or any(f"{node.module}.".startswith(f"{each}.") for each in BUILDS)
            )
        return not isinstance(node, ast.FunctionDef | ast.ClassDef) or self._builds(node, seen)


def _filled(node: ast.stmt) -> set[str]:
    """Return the names that a statement gives an entry to: what they were made as is not what they are."""
    if isinstance(node, DEFINITIONS):
        return set()
    kept = [each for each in ast.walk(node) if isinstance(each, ast.Subscript) and isinstance(each.ctx, ast.Store)]
    kept += [each for each in ast.walk(node) if isinstance(each, ast.Attribute) and each.attr in ("append", "update")]
    return {each.value.id for each in kept if isinstance(each.value, ast.Name)}


def _lines(nodes: list[ast.stmt]) -> Iterator[str]:
    imports = (ast.Import, ast.ImportFrom)
    yield from dict.fromkeys(_text(node) for node in nodes if isinstance(node, imports))
    for node in nodes:
        if not isinstance(node, imports):
            space = "\n\n" if isinstance(node, ast.FunctionDef | ast.ClassDef) else ""
            yield space + _text(node)


@cache  # an assignment asks for the same cells once for each of its exercises, in each of its faces
def _statements(source: str) -> tuple[ast.stmt, ...]:
    return tuple(ast.parse(source).body)


_text = cache(ast.unparse)
