"""The table of real networks: nothing is left out, everything has a source, and each row says where it is from."""

import re

import pytest

from book._ext import real_models

ROWS = real_models.load()
KEYS = {*real_models.COLUMNS, "paper", "code"}
PLACEMENTS = ("post", "pre", "sandwich", "after", "inside")
BIBLIOGRAPHY = (real_models.DATA.parent / "references.bib").read_text(encoding="utf-8")
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])


@each_row
def test_a_row_fills_every_column_and_no_other(row):
    assert set(row) == KEYS
    assert all(str(value).strip() for value in row.values())
    assert row["placement"].split(",")[0] in PLACEMENTS


@each_row
def test_a_row_has_a_source_that_can_be_looked_up(row):
    paper = str(row["paper"])
    assert (paper, row["code"]) != ("-", "-")
    assert paper == "-" or re.fullmatch(r"\d{4}\.\d{5}", paper) or f"{{{paper}," in BIBLIOGRAPHY


@each_row
def test_eps_is_known_exactly_where_an_implementation_is_named(row):
    assert (row["eps"] == "-") == (row["code"] == "-")


def test_networks_stand_once_and_by_year():
    assert [row["year"] for row in ROWS] == sorted(row["year"] for row in ROWS)
    assert len({row["name"] for row in ROWS}) == len(ROWS)


def test_the_table_has_a_line_for_each_network():
    lines = real_models.table(ROWS).splitlines()
    assert len(lines) == len(ROWS) + 2
    assert len({line.count("|") for line in lines}) == 1


def test_a_source_is_a_link_or_a_citation():
    links = {row["name"]: real_models.sources(row) for row in ROWS}
    assert links["BERT"].startswith("{cite:t}`devlin2019bert`, [`bert`](https://github.com/huggingface/transformers/")
    assert links["GPT-3"] == "[arXiv:2005.14165](https://arxiv.org/abs/2005.14165)"
    assert "https://github.com/facebookresearch/DiT" in links["DiT"]
