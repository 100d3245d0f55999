"""The report of `make bench`, and the textbook networks that it compares ours with."""

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from resnorm_lib.bench import __main__ as command
from resnorm_lib.bench import ratios as bench
from resnorm_lib.bench.plain import copy_state
from resnorm_lib.bench.timing import processor_time
from resnorm_lib.engine import machine
from tests.residual.tools import disturb, draw

REPORT = Path(__file__).parents[2] / "book" / "recorded" / "bench.json"
NUMBERS = ("ratio", "lower_quartile", "upper_quartile", "ours_ms", "theirs_ms")


@pytest.fixture(scope="module")
def report():
    if not REPORT.exists():
        pytest.skip("the report lies in the checkout alone")
    return json.loads(REPORT.read_text())


@pytest.fixture(scope="module")
def pairs():
    torch.manual_seed(0)
    return [pair for pairs in bench.PAIRS.values() for pair in pairs()]


def test_the_report_says_where_how_and_of_which_code_it_was_measured(report):
    assert report.keys() == {"machine", "threads", "code", "pairs"}
    assert report["machine"].keys() == {*machine.SCHEMA["required"]}
    assert "resnorm_lib.bench ratios" in report["machine"]["command"]
    assert report["threads"] == 1
    assert datetime.fromisoformat(report["machine"]["date"])
    assert report["code"].keys() == {"experiment", "library"}


def test_the_report_lists_every_pair_with_its_goal(report, pairs):
    listed = [(row["group"], row["name"], row["goal"], row["turns"]) for row in report["pairs"]]
    wanted = [(pair.group, pair.name, bench.GOALS[pair.group], pair.turns) for pair in pairs]
    assert listed == wanted, "the report is old: run make bench"


def test_every_reported_ratio_meets_its_goal(report):
    for row in report["pairs"]:
        assert row.keys() == {"group", "name", "goal", "turns", *NUMBERS}
        assert all(row[number] > 0 for number in NUMBERS)
        assert row["lower_quartile"] <= row["ratio"] <= row["upper_quartile"]
        assert row["ratio"] <= row["goal"], row["name"]


def test_both_of_a_pair_take_the_same_number_of_calls():
    calls = []
    row = bench.measure(bench.Pair("norm", "two", lambda: calls.append("a"), lambda: calls.append("b"), turns=3))
    assert calls.count("a") == calls.count("b") - 1  # theirs has one more: how long it takes sets the repeats
    assert row["turns"] == 3


def test_a_missed_goal_is_reported_and_is_no_success(monkeypatch, tmp_path, capsys):
    slow = bench.Pair("norm", "slow", lambda: sum(range(200_000)), lambda: sum(range(100_000)), turns=3)
    monkeypatch.setattr(bench, "PAIRS", {"norm": lambda: [slow]})
    path, threads = tmp_path / "bench.json", torch.get_num_threads()
    with pytest.raises(SystemExit, match="A ratio is above its goal"):
        command.main(["ratios", "--only", "norm", "--out", str(path)])
    torch.set_num_threads(threads)
    assert capsys.readouterr().out.endswith("1.05  missed\n")
    (row,) = json.loads(path.read_text())["pairs"]
    assert row["ratio"] > 1.5


def test_time_of_other_processes_counts_once_they_have_ended():
    code = "sum(range(3_000_000))"
    before = processor_time()
    subprocess.run([sys.executable, "-c", code], check=True)
    assert processor_time() - before > 0.01


@pytest.mark.parametrize(
    ("twins", "x", "target"),
    [
        (bench.resnets, draw(4, 3, 32, 32), torch.arange(4)),
        (bench.decoders, torch.arange(24).reshape(2, 12), torch.arange(24)),
    ],
    ids=["resnet", "decoder"],
)
@pytest.mark.parametrize("train", [True, False])
def test_ours_and_the_textbook_network_agree_in_outputs_and_gradients(twins, x, target, train):
    ours, plain = (model.double().train(train) for model in twins())
    copy_state(disturb(ours), plain)
    outputs = [model(x) for model in (ours, plain)]
    for output in outputs:
        F.cross_entropy(output.flatten(0, -2), target).backward()
    torch.testing.assert_close(*outputs, rtol=1e-12, atol=1e-12)
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-12)
    for one, other in zip(ours.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
