"""The second bank: exercises whose answers and cases lie in a folder of the teacher's, and not in the book."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from torch import Tensor, nn

from resnorm_lib.checks import Wrong
from resnorm_lib.checks.judge.answers import TOLERANCE, call
from resnorm_lib.checks.judge.face import Draw
from resnorm_lib.checks.judge.references import expect
from resnorm_lib.checks.judge.registry import exercise

__all__ = ["VARIABLE", "Held", "drive", "load", "named"]

VARIABLE = "RESNORM_INSTRUCTOR"
PACKAGE = "resnorm_instructor"  # under which the files of the folder are imported


class Held(NamedTuple):
    """What a teacher keeps of one exercise in code."""

    label: str
    points: int
    what: str | tuple[str, ...]  # the answer returns, as the subject of a sentence: "The output"
    right: tuple[Callable, ...]  # answers; the first is the one that is shown and compared with
    wrong: dict[Callable, str]  # answers, and the sentence that names the mistake of each
    drawn: Callable[[Draw], tuple]  # draws the arguments of one case
    use: Callable[..., dict[str, Any]] | None = None  # works with an answer that is a class: `drive`
    tolerance: float = TOLERANCE  # relative to the largest entry

    def check(self) -> Callable:
        """Return the check: without a seed it teaches on three examples, with one it draws others."""
        known = [*self.wrong.items()]

        def check(answer: Callable, face: Draw) -> str:
            examples = Draw("examples")
            shown = [self.drawn(examples) for _ in range(3)]
            for arguments in face.cases(*shown, drawn=lambda: self.drawn(face), count=3):
                expect(
                    answer,
                    self.right[0],
                    *arguments,
                    what=self.what,
                    mistakes=known,
                    use=self.use,
                    tolerance=self.tolerance,
                )
            return "on every case that was tried"

        return exercise(self.label, self.points)(check)


def named() -> Path | None:
    """Return the folder that the environment names, if it names one.

    Raises
    ------
    ValueError
        If it names one that is not there.
    """
    if not (name := os.environ.get(VARIABLE)):
        return None
    if not Path(name).is_dir():
        raise ValueError(f"{VARIABLE} is {name!r}, but it must name a folder that is there.")
    return Path(name)


def load(folder: Path | None) -> tuple[dict[str, Held], dict[str, str]]:
    """Return the exercises in code of a teacher's folder, and the model answers to those in words, by label.

    Each of its Python files may define ``BANK``, a list of :class:`Held`, and ``WORDS``, answers by label.
    """
    held: dict[str, Held] = {}
    words: dict[str, str] = {}
    for module in _modules(folder) if folder else ():
        held |= {each.label: each for each in getattr(module, "BANK", ())}
        words |= getattr(module, "WORDS", {})
    return held, words


def _modules(folder: Path) -> Iterator[ModuleType]:
    """Import the files of a folder anew, as modules of a package: one may import from another."""
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]
    sys.modules[PACKAGE] = ModuleType(PACKAGE)
    sys.modules[PACKAGE].__path__ = [str(folder.resolve())]
    for path in sorted(folder.glob("[!_]*.py")):
        yield importlib.import_module(f"{PACKAGE}.{path.stem}")


def drive(
    answer: type[nn.Module],
    arguments: Sequence[Any],
    state: dict[str, Tensor],
    batches: Sequence[Tensor],
    probe: Tensor,
    start: Sequence[str] = (),
) -> dict[str, Any]:
    """Make a module, give it a state, train it on batches (forward alone), evaluate it; return all results by name.

    Parameters
    ----------
    start : sequence of str
        Entries of the state whose values in a new module count too.

    Raises
    ------
    Wrong
        If the answer makes no module, or one whose state has other entries.
    """
    module = call(answer, *arguments)
    if not isinstance(module, nn.Module):
        raise Wrong("A class was expected whose objects are nn.Modules.")
    own = {name: value.detach().clone() for name, value in module.state_dict().items()}
    if own.keys() != state.keys():
        has, needs = (", ".join(sorted(each)) or "nothing" for each in (own, state))
        raise Wrong(f"The state of the module holds {has}; parameters and buffers must be: {needs}.")
    results = {f"{name} of a new module": own[name] for name in start}
    module.load_state_dict(state)
    module.train()
    results |= {f"Output {number} in training": call(module, x) for number, x in enumerate(batches, 1)}
    module.eval()
    results["The output in evaluation"] = call(module, probe)
    return results | {f"{name} after training": value.clone() for name, value in module.state_dict().items()}
