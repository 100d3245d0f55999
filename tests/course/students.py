"""Invented students who hand in two exercises, worth three points, and what each must get."""

import json
import zlib

from resnorm_lib.course.key import Assignment, Task

DISTANCE = "def distance_from_one_vector(x):\n    return (x - x.mean(0)).norm() / x.norm()"
SHARE = """def post_norm_share(depth, tokens):
    share = 1 / tokens
    for _ in range(depth):
        share = 2 * share / (1 + share)
    return share"""
# Wrong where the default dtype that another cell has set was not that of ONE.
NEEDS = f"{DISTANCE} * ONE.sum()\nassert ONE.dtype == torch.float64"
STUBS = [
    "def distance_from_one_vector(x):\n    raise NotImplementedError",
    "def post_norm_share(depth, tokens):\n    raise NotImplementedError",
]
TASKS = [
    Task("exercise-rank-distance", "distance_from_one_vector", 1, "answer-rank-distance", STUBS[0]),
    Task("exercise-rank-recursion", "post_norm_share", 2, "answer-rank-recursion", STUBS[1]),
]
CELLS = [each.cell for each in TASKS]


def code(source, cell=None, kind="code"):
    """Return a cell, as a notebook of nbgrader's first format holds it."""
    found = {"nbgrader": {"grade_id": cell, "solution": True}} if cell else {}
    name = cell or f"own-{zlib.crc32(source.encode())}"
    made = {"cell_type": kind, "id": name, "metadata": found, "source": source}
    return made | ({"outputs": [], "execution_count": None} if kind == "code" else {})


SETUP = code("import numpy as np\nimport torch\nfrom torch import nn\nHALF = 0.5\nnever = open('nowhere')", "setup")
ASSIGNMENT = Assignment("rank_collapse", "When all tokens become one", TASKS, [SETUP, *map(code, STUBS, CELLS)])


def notebook(*cells):
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells)})


def cells(first=DISTANCE, second=SHARE):
    return code(first, CELLS[0]), code(second, CELLS[1])


def both(first=DISTANCE, second=SHARE):
    return notebook(*cells(first, second))


def handed_back(line):
    """Return an answer that first runs a line, and then gives what would be right if the checks believed it."""
    imports = "import numpy as np\nimport resnorm_lib.checks.judge.answers as answers"
    return f"{imports}\n{line}\ndef distance_from_one_vector(x):\n    return 0.0"


def from_colab(*cells, marks=True):
    """Return a notebook in the format before cells had ids, as Colab saves it: they stand in the metadata."""
    moved = []
    for cell in cells:
        kept = {key: value for key, value in cell.items() if key != "id"}
        moved.append(kept | {"metadata": {"id": cell["id"]} | (cell["metadata"] if marks else {})})
    return json.dumps({"nbformat": 4, "nbformat_minor": 0, "metadata": {"colab": {}}, "cells": moved})


# student: (what is handed in, points)
STUDENTS = {
    "right": (both(), 3),
    "stub": (both(*STUBS), 0),
    "in-place": (both("def distance_from_one_vector(x):\n    x -= x.mean(0)\n    return x.norm() / x.norm()"), 2),
    "patches-allclose": (both(handed_back("np.allclose = lambda *a, **k: True")), 2),
    "replaces-check": (both(handed_back("answers.expect_close = answers.agree = lambda *a, **k: True")), 2),
    "endless": (both("def distance_from_one_vector(x):\n    while True:\n        pass"), 2),
    "exits": (both("import sys\ndef distance_from_one_vector(x):\n    sys.exit(0)"), 2),
    "kills": (both("import os\ndef distance_from_one_vector(x):\n    os._exit(0)"), 2),
    "prints": (both(DISTANCE.replace("    return", "    print('x\\n' * 300_000)\n    return")), 3),
    "silent": (both(handed_back("import builtins; builtins.print = lambda *a: None")), 2),
    "check-edited": (
        notebook(code(DISTANCE, CELLS[0]), code("print('right')", "check-rank-distance"), code(SHARE, CELLS[1])),
        3,
    ),
    "ids-lost": (notebook(code(DISTANCE), code(SHARE)), 3),
    "cell-missing": (notebook(code(DISTANCE, CELLS[0])), 1),
    "cell-twice": (notebook(code(DISTANCE, CELLS[0]), code(DISTANCE, CELLS[0]), code(SHARE, CELLS[1])), 3),
    "no-notebook": ("{", 0),
    "syntax": (both("def distance_from_one_vector(x:\n    return 1"), 2),
    "half-character": (both('def distance_from_one_vector(x):\n    raise ValueError("\\ud800")'), 2),
    "half-character-in-the-file": (both("# \ud800\n" + DISTANCE), 2),
    "deep": (both(f"y = {'+'.join(['1'] * 2000)}\n{DISTANCE}"), 3),
    "deep-own-cell": (
        notebook(
            code(f"class Deep:\n    y = {'+'.join(['1'] * 2000)}"), code(DISTANCE, CELLS[0]), code(SHARE, CELLS[1])
        ),
        3,
    ),
    "deep-notebook": ("[" * 100_000, 0),
    "own-cell": (
        notebook(
            code("def mean(x):\n    return x.mean(0)"),
            code("1 / 0"),
            code("def distance_from_one_vector(x):\n    return (x - mean(x)).norm() / x.norm()", CELLS[0]),
            code(f"%time 1\n{SHARE}", CELLS[1]),
        ),
        3,
    ),
    "uses-the-first-cell": (both(second=SHARE.replace("share = 1 / tokens", "share = np.divide(1, tokens)")), 3),
    "first-cell-edited": (
        notebook(
            code("from math import hypot", "setup"), *cells(second=SHARE.replace("1 / tokens", "hypot(1 / tokens)"))
        ),
        3,
    ),
    "own-constant": (notebook(code("START = 1.0"), *cells(second=SHARE.replace("1 / tokens", "START / tokens"))), 3),
    "own-constant-below": (
        notebook(*cells(second=SHARE.replace("1 / tokens", "START / tokens")), code("START = 1.0\nprint(START)")),
        3,
    ),
    "own-table": (
        notebook(
            code("table = {}\nfor each in range(3):\n    table[each] = each"),
            code("table['start'] = 1\nraise ValueError"),
            *cells(second=SHARE.replace("1 / tokens", "table['start'] / tokens")),
        ),
        3,
    ),
    "helper-in-another-answer": (
        both(f"def half(x):\n    return x / 2\n\n{DISTANCE}", SHARE.replace("2 * share /", "4 * half(share) /")),
        3,
    ),
    "tries-its-answer": (
        both(f"{DISTANCE}\ndisplay(distance_from_one_vector(torch.eye(2)))\nif True:\n    %time 1\ntorch.norm?"),
        3,
    ),
    "as-markdown": (notebook(code(DISTANCE, CELLS[0], "markdown"), code(SHARE, CELLS[1], "raw")), 3),
    "below-the-stub": (notebook(*cells(STUBS[0]), code(DISTANCE)), 3),
    "colab": (from_colab(*cells()), 3),
    "colab-without-marks": (from_colab(*cells(), marks=False), 3),
    "no-such-name": (both("def distance_from_one_vector(x):\n    return nowhere(x)"), 2),
    "speaks-of-names": (both("def distance_from_one_vector(x):\n    raise ValueError('it raises NameError')"), 2),
    "sets-a-dtype": (notebook(code("torch.set_default_dtype(torch.float64)\nONE = torch.ones(1)"), *cells(NEEDS)), 3),
}


def write(folder):
    """Write all hand-ins as nbgrader collects them."""
    for student, (text, _) in STUDENTS.items():
        path = folder / student / "rank_collapse" / "rank_collapse.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
