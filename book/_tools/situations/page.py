"""The table as a page of the book, and back."""

import re
from collections.abc import Iterable

from book._tools.situations.outcomes import NOTED, REFUSED, RIGHT, SITUATIONS, WRONG, Outcome
from book._tools.situations.subjects import subjects

TITLES = {"scheme": "Schemes", "norm": "Norms", "inner norm": "Norms within a branch"}
HEAD = f"""# What holds in which situation

How schemes and norms fare where users of other libraries have met surprises. A row is a stack of four blocks with a
scheme (and the norm `"layer"`), with `"pre_norm"` and a norm, or with `"pre_norm"` and a norm within each branch.
A column is a situation, explained below the tables. Every cell has been run: `make situations` makes
this page, and the tests run most of it again. The cells of FSDP2 were run on a CPU: torch 2.6, the oldest that is
allowed, cannot do that (`'Stream' object has no attribute 'record_event'`).

{RIGHT} the right numbers   {REFUSED} an exception whose sentence says what to do   {NOTED} a limit, explained below
"""


def markdown(found: dict[tuple[str, str, str], Outcome]) -> str:
    """Return the page.

    Raises
    ------
    ValueError
        If a cell is wrong: that is a fault to mend, and nothing to print.
    """
    wrong = {key: outcome.text for key, outcome in found.items() if outcome.sign == WRONG}
    if wrong:
        raise ValueError("\n".join(f"{' '.join(key)}: {text}" for key, text in wrong.items()))
    tables = [f"## {title}\n\n" + "\n".join(_table(kind, found)) for kind, title in TITLES.items()]
    legend = "\n".join(_legend(number, situation, found) for number, situation in enumerate(SITUATIONS, 1))
    return f"{HEAD}\n" + "\n\n".join(tables) + f"\n\n## The situations\n\n{legend}\n"


def _table(kind: str, found: dict) -> Iterable[str]:
    yield f"| {kind} | " + " | ".join(str(number) for number, _ in enumerate(SITUATIONS, 1)) + " |"
    yield "|---" + "|:-:" * len(SITUATIONS) + "|"
    for name in (row.name for row in subjects() if row.kind == kind):
        signs = (found.get((situation.__name__, kind, name), Outcome("")).sign for situation in SITUATIONS)
        yield f"| `{name}` | " + " | ".join(signs) + " |"


def _legend(number: int, situation, found: dict) -> str:
    lines = [f"{number}. {' '.join(situation.__doc__.split()).replace('``', '`')}"]
    for sign, verb in ((REFUSED, "Raises"), (NOTED, "A limit")):
        said = {}
        for (name, _, row), outcome in found.items():
            if name == situation.__name__ and outcome.sign == sign:
                said.setdefault(re.sub(r"the scheme \w+", "the scheme ...", outcome.text), []).append(f"`{row}`")
        lines += [f"{verb} for {', '.join(rows)}: {text}" for text, rows in said.items()]
    return "\n   ".join(lines)


def read(page: str) -> dict[tuple[str, str, str], str]:
    """Return the signs of a page, by the names of the situation, the kind and the row."""
    signs = {}
    for kind, title in TITLES.items():
        rows = page.split(f"## {title}\n")[1].split("##")[0]
        for name, cells in re.findall(r"^\| `(.+?)` \| (.*) \|$", rows, flags=re.MULTILINE):
            for situation, sign in zip(SITUATIONS, cells.split("|"), strict=True):
                signs |= {(situation.__name__, kind, name): sign.strip()} if sign.strip() else {}
    return signs
