"""A claim prints one line when it holds and raises when it does not."""

import numpy as np
import pytest
import torch

from resnorm_lib.claims import ClaimError, check, claim, lines, parts


@pytest.mark.parametrize("measured", [1.0, 1, np.float32(1), np.array(1.0), torch.tensor(1.0), torch.tensor([[1.0]])])
def test_any_single_number_can_be_measured(measured, capsys):
    claim("a.b", "one", measured, at_least=1, at_most=1)
    assert capsys.readouterr().out == "holds  a.b  one  1 <= 1 <= 1\n"


@pytest.mark.parametrize(
    ("bounds", "comparison"),
    [
        ({"at_least": 0.5}, "0.75 >= 0.5"),
        ({"at_most": 0.8}, "0.75 <= 0.8"),
        ({"at_least": 0, "at_most": 1}, "0 <= 0.75 <= 1"),
    ],
)
def test_the_line_shows_measured_value_bound_and_source(bounds, comparison, capsys):
    claim("a.b", "statement", 0.75, **bounds, source="someone2020")
    assert capsys.readouterr().out == f"holds  a.b  statement  {comparison}  [someone2020]\n"


@pytest.mark.parametrize("measured", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_claim_that_does_not_hold_raises_and_prints_nothing(measured, capsys):
    with pytest.raises(ClaimError, match=r"does not hold: a\.b: between 0 and 1: 0 <= "):
        claim("a.b", "between 0 and 1", measured, at_least=0, at_most=1)
    assert capsys.readouterr().out == ""


def test_the_bound_itself_holds():
    claim("a.b", "at most 1", 1.0, at_most=1)
    claim("a.b", "at least 1", 1.0, at_least=1)


def test_a_claim_without_a_bound_is_none():
    with pytest.raises(ValueError, match=r"claim 'a\.b' has no bound: give at_least, at_most or both"):
        claim("a.b", "nothing", 1.0)


@pytest.mark.parametrize("measured", ["1", None, 1j, [1.0]])
def test_what_is_no_number_cannot_be_measured(measured):
    with pytest.raises(ValueError, match=r"claim 'a\.b' measured .* which is no number"):
        claim("a.b", "nothing", measured, at_most=1)


def test_a_value_near_its_bound_is_shown_with_the_digits_that_keep_the_line_true(capsys):
    claim("a.b", "a share", 0.453691, at_least=0.45365, at_most=0.45375)
    assert capsys.readouterr().out == "holds  a.b  a share  0.45365 <= 0.4537 <= 0.45375\n"


def test_whole_numbers_are_shown_whole(capsys):
    claim("a.b", "two to the 32", 2**32, at_least=2**32, at_most=2**32)
    assert capsys.readouterr().out == "holds  a.b  two to the 32  4294967296 <= 4294967296 <= 4294967296\n"


def test_a_value_between_a_bound_and_the_six_digits_of_it_stays_true_as_printed(capsys):
    claim("a.b", "below the half of ln 10", 1.151292, at_most=1.1512925)
    [line] = lines(capsys.readouterr().out)
    assert line.measured <= line.at_most


@pytest.mark.parametrize("measured", [1.0, 1 + 2**-52, 1 - 2**-52])
def test_the_last_bits_of_a_value_change_no_digit_of_its_bounds(measured, capsys):
    check("a.b", "a ratio", measured, at_least=1 - 1e-9, at_most=1 + 1e-9)
    assert capsys.readouterr().out == "check  a.b  a ratio  1 <= 1 <= 1\n"


def test_a_value_just_outside_its_bound_is_not_shown_as_the_bound():
    with pytest.raises(ClaimError, match=r"1\.0004 <= 1$"):
        claim("a.b", "at most one", 1.0004, at_most=1)


TEXT = """depth 2
holds  a.b  at most (or so)  0.1 <= 0.2 <= 0.3  (10 seeds: 0.1 to 0.25)  [he2016]
check  a.c  two  2 >= 1
the end
"""


def test_a_line_is_read_with_seeds_and_source():
    first, second = lines(TEXT)
    assert (first.statement, first.comparison) == ("at most (or so)", "0.1 <= 0.2 <= 0.3")
    assert (first.seeds, first.source) == ("10 seeds: 0.1 to 0.25", "he2016")
    assert (second.word, second.at_least, second.seeds, second.source) == ("check", 1.0, None, None)


def test_a_text_is_cut_into_claims_and_all_else_in_its_order():
    assert parts(TEXT) == ["depth 2", lines(TEXT), "the end"]
    assert parts("no claim\n\nat all") == ["no claim\n\nat all"]
