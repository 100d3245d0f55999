"""A hand-in made whole for nbgrader, which stops its whole run at one broken cell, and looks for cells by their ids."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resnorm_lib.course.hand_in import FAULTS, defined, filled, read_cell
from resnorm_lib.course.key import Assignment

__all__ = ["mended"]


def mended(path: Path, assignment: Assignment) -> dict[str, Any]:
    """Return a notebook in which every cell that was handed out is there once, with its id, kind and nbgrader's marks.

    A cell that has lost its id is found by its text, an answer in code by its name, an answer in words by its place.
    Of cells with the same id the one that counts keeps it, for answers in words the longest; the others become cells
    of the student's own. What is nowhere is put back as it was handed out.

    Raises
    ------
    ValueError
        If the file is no notebook.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = [_plain(cell, f"own-{place}") for place, cell in enumerate(notebook["cells"])]
        read = [read_cell(cell) for cell in notebook["cells"]]
    except FAULTS as error:
        raise ValueError(f"path must be a notebook, but {path.name} is none: {type(error).__name__}.") from error
    found = _found(read, assignment)
    last = -1
    behind: dict[int, list[dict]] = {}  # cells to put back, by the place after which they stood
    for given in assignment.cells:
        if (place := found.get(given["id"])) is None:
            behind.setdefault(last, []).append(copy.deepcopy(given))
        else:
            last = place
            cells[place] = _as_given(cells[place], given)
    together = behind.get(-1, [])
    for place, cell in enumerate(cells):
        together += [cell, *behind.get(place, [])]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": notebook.get("metadata") or {}, "cells": together}


def _found(read: list[dict], assignment: Assignment) -> dict[str, int]:
    """Return the places of the cells that were handed out, by their ids."""
    tasks = {task.cell: task for task in assignment.tasks}
    stubs = {given["id"]: given["source"].strip() for given in assignment.cells}
    found: dict[str, int] = {}

    def full(name: str, place: int) -> tuple[int, int]:
        text = read[place]["source"].strip()
        return (filled(text, tasks[name]) if name in tasks else len(text) * (text != stubs[name])), place

    for name in (given["id"] for given in assignment.cells):
        if places := [place for place, cell in enumerate(read) if name in cell["ids"]]:
            found[name] = max(places, key=lambda place, name=name: full(name, place))
    known = {given["id"] for given in assignment.cells}
    free = [place for place, cell in enumerate(read) if not cell["ids"] & known]
    for given in assignment.cells:
        name = given["id"]
        if name in found or (name not in tasks and given["metadata"]["nbgrader"]["solution"]):
            continue
        fits = [place for place in free if read[place]["source"].strip() == stubs[name]]
        if name in tasks:
            named = [place for place in free if defined(read[place]["source"], tasks[name].name)]
            fits = [max(named, key=lambda place, name=name: full(name, place))] if named else []
        if fits:
            found[name] = fits[0]
            free.remove(fits[0])
    for name, start, end in _in_words(read, assignment, found):
        if between := [place for place in free if start < place < end and read[place]["kind"] != "code"]:
            found[name] = max(between, key=lambda place, name=name: full(name, place))
            free.remove(found[name])
    return found


def _in_words(read: list[dict], assignment: Assignment, found: dict[str, int]) -> Iterator[tuple[str, int, int]]:
    """Yield each answer in words that has no place, and the places of its neighbours."""
    names = [given["id"] for given in assignment.cells]
    for number, name in enumerate(names):
        if name not in found and assignment.cells[number]["cell_type"] == "markdown":
            start = next((found[each] for each in reversed(names[:number]) if each in found), -1)
            yield name, start, min((place for place in found.values() if place > start), default=len(read))


def _plain(cell: dict, name: str) -> dict[str, Any]:
    """Return a cell of the student's own: in the notebook's newest format, without marks of nbgrader's."""
    kind = cell["cell_type"] if cell.get("cell_type") in ("code", "markdown", "raw") else "raw"
    marks = cell.get("metadata") or {}
    metadata = {key: value for key, value in marks.items() if key not in ("nbgrader", "id")}
    plain = {"cell_type": kind, "id": name, "metadata": metadata, "source": read_cell(cell)["source"]}
    if kind == "code":
        plain |= {"outputs": cell.get("outputs") or [], "execution_count": cell.get("execution_count")}
    return plain


def _as_given(cell: dict, given: dict) -> dict[str, Any]:
    """Return a cell as one that was handed out: with its id, its kind and its marks."""
    metadata = {**cell["metadata"], **given["metadata"]}
    results = {"outputs": cell.get("outputs", []), "execution_count": cell.get("execution_count")}
    kept = {"cell_type": given["cell_type"], "id": given["id"], "metadata": metadata, "source": cell["source"]}
    return kept | (results if given["cell_type"] == "code" else {})
