"""The table of situations: each cell that is tried again is what the page says, and a fault would be seen."""

import pytest
import torch

from book._tools.situations import alone, loops, together
from book._tools.situations.__main__ import PAGE
from book._tools.situations.outcomes import (
    ALONE,
    NOTED,
    NOTES,
    RIGHT,
    SITUATIONS,
    TOGETHER,
    WRONG,
    Outcome,
    applies,
    outcome,
    outcomes,
)
from book._tools.situations.page import markdown, read
from book._tools.situations.subjects import INNER, Subject, subjects
from resnorm_lib import norms
from resnorm_lib.residual import SCHEMES

pytestmark = pytest.mark.filterwarnings("ignore")  # torch warns of what a note on the page explains
TEXT = PAGE.read_text(encoding="utf-8")
SIGNS = read(TEXT)
SLOW = {alone.export, alone.export_lengths, *TOGETHER}  # of these every sixth row


def check(pairs):
    found = outcomes(pairs)
    assert {key: SIGNS[key] for key in found} == {key: outcome.sign for key, outcome in found.items()}, [
        (key, outcome.text) for key, outcome in found.items() if outcome.sign == WRONG
    ]
    return found


def rows(situation):
    number = SITUATIONS.index(situation)
    chosen = subjects()[number % 6 :: 6] if situation in SLOW else subjects()
    return [(situation, row) for row in chosen if applies(situation, row)]


def not_in(page, wanted):
    """Return a sentence that names the rows in which the page and the library differ, or nothing."""
    rows = sorted({f"{kind} {name}" for _, kind, name in page ^ wanted})
    return f"book/api/situations.md is not today's, in {', '.join(rows)}: make situations writes it." if rows else ""


def test_a_norm_that_is_new_is_told_how_it_gets_its_row():
    told = "book/api/situations.md is not today's, in norm mean_abs: make situations writes it."
    assert not_in({("copies", "norm", "rms")}, {("copies", "norm", "rms"), ("copies", "norm", "mean_abs")}) == told
    assert not_in({("copies", "norm", "rms")}, {("copies", "norm", "rms")}) == ""


def test_every_scheme_and_every_norm_is_in_every_situation():
    pairs = [(situation, row) for situation in SITUATIONS for row in subjects() if applies(situation, row)]
    found = not_in({*SIGNS}, {(situation.__name__, row.kind, row.name) for situation, row in pairs})
    assert not found, found
    assert WRONG not in SIGNS.values()


def test_every_norm_of_the_library_is_a_row():
    """Those with a name stand in a stack, the others within its branches; of weights, what makes the layer."""
    modules = {name for name in norms.__all__ if isinstance(getattr(norms, name), type)}
    named = {name for name in modules if getattr(norms, name) in norms.NORMS.values()} | {
        "GroupNorm"
    }  # "group" calls it
    behind = {"WeightNorm": "weight_norm", "WeightStandardization": "weight_standardization"}
    of_models = {"ReversibleInstanceNorm"}
    assert {*INNER} == {behind.get(name, name) for name in modules - named} | of_models


@pytest.mark.parametrize("situation", ALONE, ids=lambda situation: situation.__name__)
def test_a_cell_is_what_the_page_says(situation):
    for _, text in check(rows(situation)).values():
        assert text in TEXT or "the scheme" in text  # whose name differs from row to row


def test_two_processes_find_what_the_page_says():
    check([pair for situation in TOGETHER for pair in rows(situation)])


def test_a_note_has_a_row():
    names = {(situation, kind) for situation, kind, _ in SIGNS}
    assert {*NOTES} <= names
    for (situation, kind), (whom, why) in NOTES.items():
        assert whom <= {name for at, of, name in SIGNS if (at, of) == (situation, kind)}
        assert why in TEXT


def test_a_fault_would_be_seen(monkeypatch):
    row = Subject("pre_norm", "scheme")
    assert outcome(loops.own_loop, row).sign == "✓"
    whole = torch.Tensor.square
    monkeypatch.setattr(torch.Tensor, "square", lambda x: whole(x) * torch.rand(()))  # no two losses are the same
    found = outcome(loops.own_loop, row)
    assert found.sign == WRONG
    cell = ("own_loop", "scheme", "pre_norm")
    with pytest.raises(ValueError, match="own_loop scheme pre_norm: AssertionError"):
        markdown({cell: found})
    assert read(markdown({cell: Outcome("✓")})) == {cell: "✓"}


def test_a_norm_whose_hook_is_passed_by_would_be_seen(monkeypatch):
    def forward(self, x, branch, shortcut):
        return shortcut(x) + branch(self.norm.forward(x))

    row = Subject("pre_norm", "scheme")
    assert outcome(alone.hooks, row).sign == RIGHT
    monkeypatch.setattr(SCHEMES["pre_norm"], "forward", forward)
    assert "a hook was not called, of 0.scheme.norm, 1." in outcome(alone.hooks, row).text


def own_sign(*signs):
    rank = torch.distributed.get_rank()
    return signs[rank], f"process {rank}"


def test_a_fault_of_either_process_would_be_seen():
    found = together.in_two_processes([(WRONG, RIGHT), (RIGHT, WRONG), (NOTED, WRONG), (RIGHT, RIGHT)], own_sign)
    assert found == [(WRONG, "process 0"), (WRONG, "process 1"), (WRONG, "process 1"), (RIGHT, "process 0")]
