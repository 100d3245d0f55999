"""The second bank as assignments: statements from ``book/course/bank``, answers from the folder of a teacher."""

import inspect
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from book._tools.course.notebooks import NAMES
from book._tools.manifest import ROOT
from book._tools.myst import Fence, directives, fences
from resnorm_lib.course.bank import Held

__all__ = ["banks", "read_bank", "unanswered"]

DEFINED = re.compile(r"^(?:class|def) (\w+)", re.MULTILINE)
IMPORTS = """import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.functional import relu"""
BEFORE = """These exercises are in no chapter, and their answers are not in the book. Write your answers into the cells that are made for them, and hand in this notebook. {names}
The cell below an answer tries its example and says nothing where it is right. When you have handed in, other shapes and numbers are tried, in float64 and in float32."""  # noqa: E501


def banks() -> list[Path]:
    """Return the files with the statements."""
    return sorted((ROOT / "book/course/bank").glob("*.md"))


def unanswered(path: Path, held: dict[str, Held], words: dict[str, dict]) -> list[str]:
    """Return the labels of a bank's exercises to which a teacher's folder has no answer."""
    labels = (label for label, *_ in _statements(path.read_text(encoding="utf-8")))
    return [label for label in labels if label not in {**held, **words}]


def read_bank(path: Path, held: dict[str, Held], words: dict[str, dict]) -> NotebookNode:
    """Return a bank in the form of a chapter, so that it is cut up like one; answers are there where they are held."""
    text = path.read_text(encoding="utf-8")
    introduction = "\n".join(text.splitlines()[1 : fences(text)[0].line]).strip()
    cells = [nbformat.v4.new_code_cell(IMPORTS)]
    for label, statement, stub in _statements(text):
        cells.append(_tagged(nbformat.v4.new_markdown_cell(statement), "exercise"))
        if stub:
            cells.append(_tagged(nbformat.v4.new_code_cell(stub), "stub"))
        if label in held:
            name = DEFINED.findall(stub)[-1]
            cells.append(_tagged(nbformat.v4.new_code_cell(_source(held[label], name)), "solution"))
        elif label in words:
            cell = nbformat.v4.new_markdown_cell(words[label]["answer"])
            cells.append(_tagged(cell, "solution", levels=words[label]))
    return nbformat.v4.new_notebook(
        cells=cells, metadata={"introduction": f"{introduction}\n\n{BEFORE.format(names=NAMES)}"}
    )


def _statements(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield label, statement and stub of each exercise; the stub is the code that follows, "" where there is none."""
    for fence, following in itertools.pairwise([*fences(text), None]):
        found = directives(fence.source)
        if found and found[0].name == "exercise":
            yield found[0].options["label"], fence.source, following.content if _is_code(following) else ""


def _is_code(fence: Fence | None) -> bool:
    return fence is not None and fence.info == "python"


def _tagged(cell: NotebookNode, tag: str, **more: dict) -> NotebookNode:
    cell.metadata |= {"tags": [tag], **more}
    return cell


def _source(held: Held, name: str) -> str:
    """Return the code of the first right answer under the name that students use."""
    return DEFINED.sub(
        lambda found: found[0].replace(found[1], name), inspect.getsource(held.right[0]), count=1
    ).strip()
